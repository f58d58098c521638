"""Which account a request is for, told to moto in the header that it knows. Pure functions of the WSGI environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from wsgiref.types import WSGIEnvironment

ACCOUNT_HEADER = "HTTP_X_MOTO_ACCOUNT_ID"
_CREDENTIAL = re.compile(r"\bCredential=(?P<account>\d{12})(?:/|%2F)", re.IGNORECASE)
# S3 Control puts the account before the endpoint's host, and clients reach that name through this server as a proxy.
_ACCOUNT_HOST = re.compile(r"^(?P<account>\d{12})\.(?:127\.0\.0\.1|localhost)(?::\d+)?$")


def account_of(environ: Mapping[str, object]) -> str | None:
    """The account that a request names: a host's first label, or an access key id of 12 digits.

    None for any other access key: moto finds the account of the ones it issued, and takes its default for the rest.
    """
    if host := _ACCOUNT_HOST.match(_host(environ)):
        return host["account"]
    signed = f"{environ.get('HTTP_AUTHORIZATION', '')}&{environ.get('QUERY_STRING', '')}"
    key = _CREDENTIAL.search(signed)
    return key["account"] if key else None


def addressed(environ: WSGIEnvironment) -> WSGIEnvironment:
    """The request with its account where moto looks for it first."""
    account = account_of(environ)
    return environ if account is None else {**environ, ACCOUNT_HEADER: account}


def is_for_others(environ: Mapping[str, object]) -> bool:
    """Whether a client takes this server for a proxy to a host that is not the sandbox's (RFC 9112 section 3.2.2)."""
    return "://" in str(environ.get("REQUEST_URI", "")).partition("?")[0] and not _ACCOUNT_HOST.match(_host(environ))


def _host(environ: Mapping[str, object]) -> str:
    return str(environ.get("HTTP_HOST", ""))
