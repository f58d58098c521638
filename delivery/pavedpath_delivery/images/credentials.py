"""Credentials of registries, from where `docker login` leaves them.

Source: Docker CLI, "Configuration files" (config.json) and "Credential helpers" (the programs docker-credential-*).
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pavedpath_delivery.images.references import DOCKER_HUB
from pavedpath_delivery.kit.documents import Properties, fields
from pavedpath_delivery.kit.errors import DeliveryError, Exit
from pavedpath_delivery.kit.programs import call, find

# `docker login` without a host writes this key, and its helpers know no other.
_HUB_KEY = "https://index.docker.io/v1/"
_HELPER_SECONDS = 30.0
_TOKEN_USER = "<token>"  # noqa: S105  # what helpers say for an identity token


@dataclass(frozen=True)
class Credentials:
    """How to prove who one is: a user with a password, or an identity token that is traded for access."""

    user: str = ""
    secret: str = field(default="", repr=False)
    identity: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The value of an Authorization header; empty without a user."""
        pair = f"{self.user}:{self.secret}".encode()
        return f"Basic {base64.b64encode(pair).decode()}" if self.user else ""


def config_path(environ: Mapping[str, str]) -> Path:
    """Return where Docker's configuration is."""
    folder = environ.get("DOCKER_CONFIG")
    return (Path(folder) if folder else Path(environ.get("HOME", "~")).expanduser() / ".docker") / "config.json"


def credentials(host: str, environ: Mapping[str, str]) -> Credentials | None:
    """Return the credentials for a registry; None for none: then it is asked anonymously.

    Raises:
        DeliveryError: the configuration, or its helper, cannot be used; never quotes what is in it.
    """
    path = config_path(environ)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise DeliveryError(f"{path} cannot be read ({type(error).__name__}).", Exit.USAGE) from error
    try:
        config = fields(json.loads(text))
    except ValueError as error:
        raise DeliveryError(f"{path} is no JSON. Fix: docker login {host}", Exit.USAGE) from error
    keys = [_HUB_KEY, DOCKER_HUB, "index.docker.io"] if host == DOCKER_HUB else [host, f"https://{host}"]
    helper = str(fields(config.get("credHelpers")).get(host) or config.get("credsStore") or "")
    if helper and (found := _from_helper(helper, keys[0], environ)):
        return found
    entries = fields(config.get("auths"))
    return next((found for key in keys if (found := _from_entry(fields(entries.get(key)), path, host))), None)


def _from_entry(entry: Properties, path: Path, host: str) -> Credentials | None:
    identity = str(entry.get("identitytoken") or "")
    user, secret = str(entry.get("username") or ""), str(entry.get("password") or "")
    if entry.get("auth"):
        try:
            user, _, secret = base64.b64decode(str(entry["auth"]), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise DeliveryError(
                f"{path}: the entry for {host} cannot be decoded. Fix: docker login {host}", Exit.USAGE
            ) from error
    return Credentials(user, secret.rstrip("\0"), identity) if user or identity else None


def _from_helper(helper: str, key: str, environ: Mapping[str, str]) -> Credentials | None:
    program = find(f"docker-credential-{helper}", f"log in to {key}, as Docker's configuration says")
    done = call([program, "get"], stdin=key, environ=environ, timeout=_HELPER_SECONDS)
    if done.code:  # helpers say so for a registry that they do not know; what they wrote may hold secrets
        return None
    try:
        answer = fields(json.loads(done.stdout))
    except ValueError as error:
        raise DeliveryError(f"docker-credential-{helper} gave no JSON for {key}.", Exit.USAGE) from error
    user, secret = str(answer.get("Username") or ""), str(answer.get("Secret") or "")
    if user == _TOKEN_USER:
        return Credentials(identity=secret)
    return Credentials(user, secret) if user else None
