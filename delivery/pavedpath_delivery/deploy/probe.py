"""Requests to a service while something is done to it."""

from collections.abc import Callable

_TIMEOUT_S = 2.0


def requester(url: str) -> Callable[[], bool]:
    """Return what makes one request and says whether it was answered without a server's error."""
    import httpx

    # A connection each: one that is kept open would go on to the same pod.
    client = httpx.Client(timeout=_TIMEOUT_S, limits=httpx.Limits(max_keepalive_connections=0))

    def request() -> bool:
        try:
            return client.get(url).status_code < 500
        except httpx.HTTPError:
            return False

    return request
