"""Sends the requests of a smoke test."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pavedpath_delivery.kit.errors import DeliveryError, Exit
from pavedpath_delivery.smoke.probe import Answer
from pavedpath_delivery.smoke.spec import Endpoint, Redirects, headers

if TYPE_CHECKING:
    import httpx

_LARGEST_BODY = 1 << 20
_MOST_REDIRECTS = 5


@dataclass(frozen=True)
class Target:
    """Where requests go: `connect` is the URL that is connected to, `host` what it is asked for (`Host`, TLS name)."""

    connect: str
    host: str
    loopback: bool

    @property
    def name(self) -> str:
        """The host that is asked for, without its port."""
        return urlsplit(f"//{self.host}").hostname or ""


def target(base: str, host: str = "") -> Target:
    """Return where a base URL leads. Pure.

    Without a scheme it is https, on loopback http. `localhost` and all names below it are loopback, without a look-up
    (RFC 6761, 6.3).

    Raises:
        DeliveryError: it is no base URL.
    """
    bare = "://" not in base
    parts = urlsplit(f"//{base}" if bare else base)
    name = (parts.hostname or "").rstrip(".")
    try:
        port = parts.port
    except ValueError:
        name = ""
        port = None
    if (
        not name
        or parts.query
        or parts.fragment
        or parts.username
        or (not bare and parts.scheme not in ("http", "https"))
    ):
        raise DeliveryError(
            "The base URL is no address such as https://shop.example, without user, query and fragment."
            " Fix: put what is secret into a header of the spec.",
            Exit.USAGE,
        )
    local = name == "localhost" or name.endswith(".localhost")
    loopback = local or _is_loopback(name)
    scheme = parts.scheme or ("http" if loopback else "https")
    suffix = f":{port}" if port else ""
    address = "127.0.0.1" if local else f"[{name}]" if ":" in name else name
    asked = f"[{name}]{suffix}" if ":" in name else f"{name}{suffix}"
    return Target(f"{scheme}://{address}{suffix}{parts.path.rstrip('/')}", host or asked, loopback)


def _is_loopback(name: str) -> bool:
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


class Client:
    """Asks a target. TLS is verified, against the name that is asked for.

    Args:
        place: where.
        environ: variables that headers name.
        transport: for tests.
    """

    def __init__(
        self, place: Target, environ: Mapping[str, str], transport: "httpx.BaseTransport | None" = None
    ) -> None:
        import httpx

        self._place = place
        self._environ = environ
        # A proxy of the job is for what is elsewhere.
        self._client = httpx.Client(trust_env=not place.loopback, follow_redirects=False, transport=transport)

    def __call__(self, endpoint: Endpoint, timeout: float) -> Answer:
        """Send a request; what goes wrong is an answer, too."""
        import httpx

        started = monotonic()
        try:
            status, found, body = self._send(endpoint, started + timeout)
        except httpx.TimeoutException:
            return Answer(problem=f"no answer within {timeout:.1f} s")
        except httpx.ConnectError as error:
            return Answer(problem=_connection(error))
        except httpx.HTTPError as error:
            return Answer(problem=f"no answer: {type(error).__name__}")
        return Answer(status, found, body, monotonic() - started)

    def _send(self, endpoint: Endpoint, until: float) -> tuple[int, dict[str, str], bytes]:
        import httpx

        sent = {"Host": self._place.host, "User-Agent": "pavedpath-smoke", **headers(endpoint, self._environ)}
        url = httpx.URL(self._place.connect + endpoint.path)
        for _ in range(_MOST_REDIRECTS):
            left = max(0.01, until - monotonic())
            request = self._client.build_request(
                endpoint.method,
                url,
                headers=sent,
                json=endpoint.request.json_body,
                timeout=left,
                extensions={"sni_hostname": self._place.name},
            )
            response = self._client.send(request, stream=True)
            try:
                onward = self._onward(response, url) if endpoint.redirects is Redirects.SAME_HOST else None
                if onward is None:
                    body = _read(response, until)
                    return response.status_code, {k.lower(): v for k, v in response.headers.items()}, body
                url = onward
            finally:
                response.close()
        raise httpx.TooManyRedirects("redirected too often")

    def _onward(self, response: "httpx.Response", url: "httpx.URL") -> "httpx.URL | None":
        """Where a redirection to the same host leads; elsewhere the headers, which may hold secrets, must not go."""
        if not response.has_redirect_location:
            return None
        onward = url.join(response.headers["location"])
        same = (onward.host in (url.host, self._place.name)) and onward.scheme == url.scheme
        return onward.copy_with(host=url.host, port=url.port) if same else None


def _read(response: "httpx.Response", until: float) -> bytes:
    """Read a body up to a size, and as long as there is time: one that trickles would take for ever."""
    import httpx

    body = b""
    for piece in response.iter_bytes():
        body += piece
        if monotonic() > until:
            raise httpx.ReadTimeout("the body takes too long")
        if len(body) >= _LARGEST_BODY:
            break
    return body[:_LARGEST_BODY]


def _connection(error: Exception) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not valid: {cause.verify_message}"
        cause = cause.__cause__ or cause.__context__
    return "no connection"
