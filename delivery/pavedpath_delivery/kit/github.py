"""GitHub's REST API, at github.com or wherever GITHUB_BASE_URL points."""

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from pavedpath_delivery.kit.documents import fields
from pavedpath_delivery.kit.errors import DeliveryError

if TYPE_CHECKING:
    import httpx

_PUBLIC_API = "https://api.github.com/"


class GitHub:
    """The REST API as the owner's; the owner is an organisation.

    Args:
        client: an HTTP client whose base URL is the API's root and which authenticates itself.
        owner: the organisation.
    """

    def __init__(self, client: "httpx.Client", owner: str) -> None:
        self._client = client
        self.owner = owner

    def get(self, path: str, **params: str) -> Any | None:
        """Return the document at a path, None where there is none; empty for an answer without one."""
        response = self._client.get(path, params=params)
        if response.status_code == 404:
            return None
        response.raise_for_status()
        return response.json() if response.content else {}

    def send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any | None:
        """Make a change and return the answer's document, None for an answer without one.

        Raises:
            DeliveryError: GitHub refused it; says what was asked and GitHub's own reason.
        """
        response = self._client.request(method, path, json=body)
        if response.is_error:
            raise DeliveryError(f"GitHub refused {method} {path} ({response.status_code}): {_reason(response)}")
        return response.json() if response.content else None

    def every(self, path: str, key: str | None = None) -> list[Mapping[str, Any]]:
        """Return the items of all pages; `key` names the field that holds them where the answer is no list."""
        return list(self.stream(path, key))

    def stream(self, path: str, key: str | None = None, **params: str) -> Iterator[Mapping[str, Any]]:
        """Yield the items of all pages as `every` returns them; a page is asked for when its first item is."""
        response = self._client.get(path, params={"per_page": "100", **params})
        while response.status_code != 404:
            response.raise_for_status()
            yield from response.json()[key] if key else response.json()
            url = response.links.get("next", {}).get("url")
            if not url:
                return
            response = self._client.get(url)


@contextmanager
def told() -> Generator[None]:
    """Tell what GitHub refuses to answer, or that it cannot be reached, to the user; for what raises no DeliveryError.

    Raises:
        DeliveryError: instead of the HTTP client's own errors.
    """
    import httpx

    try:
        yield
    except httpx.HTTPStatusError as error:
        request, response = error.request, error.response
        response.read()
        raise DeliveryError(
            f"GitHub refused {request.method} {request.url.path} ({response.status_code}): {_reason(response)}"
        ) from error
    except httpx.HTTPError as error:
        raise DeliveryError(f"GitHub cannot be reached: {str(error) or type(error).__name__}") from error


def _reason(response: "httpx.Response") -> str:
    try:
        answer = fields(response.json())
    except ValueError:
        return response.reason_phrase
    listed = cast(list[Any], answer["errors"]) if isinstance(answer.get("errors"), list) else []
    errors = [str(fields(each).get("message", each)) for each in listed]
    return "; ".join([str(answer.get("message", response.reason_phrase)), *errors])


def api_root(base_url: str) -> str:
    """Return the REST root for the provider's base URL: an Enterprise Server has it under `/api/v3/`. Pure."""
    base = base_url.rstrip("/") + "/"
    host = urlsplit(base).hostname or ""
    if host == "api.github.com" or host.endswith(".ghe.com") or base.endswith("/api/v3/"):
        return base
    return base + "api/v3/"


def connect(environ: Mapping[str, str], provider: Mapping[str, Any] | None = None) -> GitHub:
    """Open the API that Pulumi's provider uses, or the one of the job that this runs in.

    `provider` are inputs of the provider, which come first; then GITHUB_BASE_URL, or GITHUB_API_URL as jobs have it;
    GITHUB_OWNER, or GITHUB_REPOSITORY_OWNER; and GITHUB_TOKEN.
    """
    import httpx

    def setting(field: str, *variables: str) -> str:
        value = (provider or {}).get(field)
        if isinstance(value, str) and value:
            return value
        return next((environ[name] for name in variables if environ.get(name)), "")

    base = setting("baseUrl", "GITHUB_BASE_URL")
    root = api_root(base) if base else environ.get("GITHUB_API_URL", _PUBLIC_API).rstrip("/") + "/"
    token = environ.get("GITHUB_TOKEN", "")
    headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    client = httpx.Client(base_url=root, headers=headers, timeout=30, follow_redirects=True)
    return GitHub(client, setting("owner", "GITHUB_OWNER", "GITHUB_REPOSITORY_OWNER"))
