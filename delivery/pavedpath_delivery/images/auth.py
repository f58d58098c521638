"""How a request proves who sends it: Basic, or a bearer token that a token service gives for a scope.

Source: the registry's "Token Authentication Specification" and "OAuth2 Token Authentication" (CNCF distribution).
"""

import re
from collections.abc import Callable, Generator
from typing import Any

import httpx

from pavedpath_delivery.images.credentials import Credentials
from pavedpath_delivery.images.patience import transient
from pavedpath_delivery.images.references import Name
from pavedpath_delivery.kit.documents import fields
from pavedpath_delivery.kit.errors import DeliveryError

_PARAMETER = re.compile(r'([A-Za-z_]+)="([^"]*)"')
_CLIENT = "pavedpath"


def challenge(response: httpx.Response) -> tuple[str, dict[str, str]]:
    """Return the scheme (`basic`, `bearer` or empty) and the parameters that a 401 asks for; bearer wins. Pure."""
    offers: dict[str, dict[str, str]] = {}
    for header in response.headers.get_list("www-authenticate"):
        scheme, _, rest = header.strip().partition(" ")
        offers[scheme.lower()] = {key.lower(): value for key, value in _PARAMETER.findall(rest)}
    scheme = next((each for each in ("bearer", "basic") if each in offers), "")
    return scheme, offers.get(scheme, {})


class RegistryAuth(httpx.Auth):
    """Authenticates the requests of one repository; asks for credentials only when the registry wants some.

    Args:
        name: the repository.
        find_credentials: gives what this machine has for the registry; called once, if at all.
    """

    def __init__(self, name: Name, find_credentials: Callable[[], Credentials | None]) -> None:
        self._name = name
        self._find = find_credentials
        self._known: tuple[Credentials | None] | None = None
        self._headers: dict[bool, str] = {}

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send with what is known, and once more with what the registry then asks for."""
        writes = request.method not in ("GET", "HEAD")
        if known := self._headers.get(writes):
            request.headers["Authorization"] = known
        response = yield request
        if response.status_code != 401 or response.request.url.host != request.url.host:
            return
        scheme, asked = challenge(response)
        if scheme == "bearer":
            answer = yield self._token_request(asked)
            answer.read()
            if answer.status_code == 403:  # it is the answer to the request, too
                return
            self._headers[writes] = f"Bearer {self._token(answer)}"
        elif scheme == "basic" and (basic := self._credentials().basic):
            self._headers[writes] = basic
        else:
            return
        request.headers["Authorization"] = self._headers[writes]
        yield request

    def _credentials(self) -> Credentials:
        if self._known is None:
            self._known = (self._find(),)
        return self._known[0] or Credentials()

    def _token_request(self, asked: dict[str, str]) -> httpx.Request:
        realm = httpx.URL(asked.get("realm", ""))
        if realm.scheme != "https" and not (self._name.loopback and realm.scheme == "http"):
            raise DeliveryError(f"{self._name.host} sends to {realm} for a token: credentials go over TLS only.")
        # A challenge may name several scopes, for example the source of a mount.
        scopes = asked.get("scope", "").split()
        mine = self._credentials()
        if mine.identity:
            form = {"grant_type": "refresh_token", "refresh_token": mine.identity, "client_id": _CLIENT}
            return httpx.Request(
                "POST", realm, data={**form, "service": asked.get("service", ""), "scope": " ".join(scopes)}
            )
        query: list[tuple[str, Any]] = [("service", asked["service"])] if asked.get("service") else []
        headers = {"Authorization": mine.basic} if mine.basic else {}
        url = realm.copy_with(params=[*realm.params.multi_items(), *query, *(("scope", each) for each in scopes)])
        return httpx.Request("GET", url, headers=headers)

    def _token(self, answer: httpx.Response) -> str:
        if problem := transient(answer):
            raise problem
        token = ""
        if answer.is_success:
            try:
                document = fields(answer.json())
            except ValueError:
                document = fields(None)
            token = str(document.get("token") or document.get("access_token") or "")
        if not token:
            raise DeliveryError(
                f"{self._name.host} gave no token for {self._name} ({answer.status_code}).\n"
                f"Fix: docker login {self._name.host}, as someone with access to {self._name.path}."
            )
        return token
