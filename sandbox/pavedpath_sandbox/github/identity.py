"""Who asks: tokens of users and of app installations, and what a new server starts with."""

import base64
import hashlib
import json
from collections.abc import Callable

from pavedpath_sandbox.github.errors import GitHubError
from pavedpath_sandbox.github.settings import Settings
from pavedpath_sandbox.github.store import ROOT, Record, Store

_SCHEMES = ("bearer ", "token ")


def add_user(store: Store, login: str) -> Record:
    """Make an account if there is none of that login."""
    found = store.find("user", ROOT, login.lower())
    return found or store.insert("user", ROOT, login.lower(), {"login": login, "name": login})


def seed(store: Store, settings: Settings) -> Record:
    """The organisation and the accounts of the tokens; does nothing the second time. Returns the organisation."""
    login = settings.organization
    organization = store.find("organization", ROOT, login.lower())
    if organization is None:
        organization = store.insert(
            "organization",
            ROOT,
            login.lower(),
            {"login": login, "name": login, "description": None, "default_repository_permission": "read"},
        )
    for position, name in enumerate(dict.fromkeys(settings.tokens.values())):
        user = add_user(store, name)
        if store.find("membership", organization.id, str(user.id)) is None:
            role = "member" if position else "admin"
            store.insert("membership", organization.id, str(user.id), {"role": role, "state": "active"})
    return organization


def token_key(token: str) -> str:
    """What is stored of a token: never the token."""
    return hashlib.sha256(token.encode()).hexdigest()


def authenticate(store: Store, settings: Settings, authorization: str | None) -> tuple[Record | None, Record | None]:
    """The user, and the installation token if that is what was sent; raises GitHubError 401.

    A JSON Web Token is an app's own: it authenticates no user, and only operations of the app look at it.
    """
    if authorization is None:
        return None, None
    token = credential(authorization)
    if token.count(".") == 2:
        return None, None
    login = settings.tokens.get(token)
    if login is not None:
        return store.find("user", ROOT, login.lower()), None
    for kept in store.everywhere("token", token_key(token)):
        if kept["expires_at"] > store.now():
            return store.by_id("user", kept["user"]), kept
    raise GitHubError(401, "Bad credentials")


def credential(authorization: str) -> str:
    """The token in an `Authorization` header; raises GitHubError 401."""
    for scheme in _SCHEMES:
        if authorization.lower().startswith(scheme):
            return authorization[len(scheme) :].strip()
    if authorization.lower().startswith("basic "):
        try:
            return base64.b64decode(authorization[6:]).decode().partition(":")[2]
        except ValueError as error:
            raise GitHubError(401, "Bad credentials") from error
    raise GitHubError(401, "Bad credentials")


def app_of(store: Store, clock: Callable[[], float], authorization: str | None) -> Record:
    """The app that signed the JSON Web Token (RS256, at most ten minutes long); raises GitHubError 401."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    refused = GitHubError(401, "A JSON web token could not be decoded")
    parts = credential(authorization or "").split(".")
    if len(parts) != 3:
        raise refused
    try:
        header, claims, signature = (base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in parts)
        issued, now = json.loads(claims), clock()
        app = store.by_id("app", int(issued["iss"]))
        if json.loads(header)["alg"] != "RS256" or app is None:
            raise refused
        key = serialization.load_pem_public_key(app["public_key"].encode())
        if not isinstance(key, rsa.RSAPublicKey):
            raise refused
        key.verify(signature, f"{parts[0]}.{parts[1]}".encode(), padding.PKCS1v15(), hashes.SHA256())
        expires, since = float(issued["exp"]), float(issued["iat"])
    except (ValueError, KeyError, TypeError, InvalidSignature) as error:
        raise refused from error
    if expires <= now:
        raise GitHubError(401, "'Expiration time' claim ('exp') must be a numeric value representing the future time")
    if expires - since > 660 or since > now + 60:
        raise GitHubError(401, "'Expiration time' claim ('exp') is too far in the future")
    return app
