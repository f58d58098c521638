"""Takes secrets out of what a bundle holds: by the names of fields, by known values, and by their form. Pure."""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from pavedpath_delivery.deploy.secrets import HIDDEN, Hider, texts
from pavedpath_delivery.kit.documents import Json, Properties, fields

_NAME = (
    r"pass(?:word|wd|phrase)?s?|pwd|secrets?|tokens?|credentials?|authorization|auth|cookies?|session|dsn|kubeconfig"
    r"|(?:api|access|private|signing|encryption|master|fernet|shared|account)[-_.]?keys?|connection[-_.]?strings?"
    r"|(?:database|broker|redis|db|mongo(?:db)?|postgres(?:ql)?|mysql|amqp|rabbitmq|webhook|notify)[-_.]?ur[il]s?"
)
_MORE = r"(?:[-_.](?:id|value|base64|b64|key|base|old|new|previous|v?\d+))*"
_SECRET_NAME = re.compile(rf"(?:^|[-_.]|(?<=[a-z0-9]))(?:{_NAME}){_MORE}$", re.IGNORECASE)
# Fields of Kubernetes that name a secret or say something about one, and hold none.
_HARMLESS = frozenset(
    ("secretName", "automountServiceAccountToken", "secret", "tokenExpirationSeconds", "imagePullSecrets", "secrets")
)
_ASSIGNMENT = re.compile(
    # From a word's beginning alone: tried from each of its letters, a long word would take for ever.
    rf"""(?P<name>(?<![\w.-])["']?[\w.-]*(?:{_NAME}){_MORE}["']?[ \t]*[=:][ \t]*)"""
    r"""(?P<value>"(?:[^"\\]|\\.)*"|'[^']*'|[^\s,;&"'})\]]+)""",
    re.IGNORECASE,
)
_FLAG = re.compile(rf"(?P<name>(?<!\S)--?[\w-]*(?:{_NAME})[ \t]+)(?!-)\S+", re.IGNORECASE)
_FORMS = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"),  # a JSON web token
    re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    re.compile(r"\b(?:gh[opsur]_[A-Za-z0-9]{36,}|github_pat_\w{22,}|xox[abposr]-[\w-]{10,}|glpat-[\w-]{20,})"),
    re.compile(r"(?<=hooks\.slack\.com/services/)[\w/]+"),
)
_BEARER = re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
_USERINFO = re.compile(r"(\b[a-z][a-z0-9+.-]{0,40}://[^\s/:@]*):[^\s/]+@", re.IGNORECASE)


def is_secret_name(name: str) -> bool:
    """Whether a field or variable of that name holds a secret, as far as a name tells."""
    return name not in _HARMLESS and _SECRET_NAME.search(_words(name)) is not None


def _words(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)


def scrub_text(text: str, hide: Hider) -> str:
    """Return a text without secrets."""
    text = hide(text)
    for form in _FORMS:
        text = form.sub(HIDDEN, text)
    text = _BEARER.sub(rf"\1 {HIDDEN}", text)
    text = _USERINFO.sub(rf"\1:{HIDDEN}@", text)
    text = _FLAG.sub(rf"\g<name>{HIDDEN}", text)
    return _ASSIGNMENT.sub(rf"\g<name>{HIDDEN}", text)


def scrub_values(tree: Json) -> Json:
    """Return a chart's values with everything below a secret's name masked: as SOPS files are laid out."""
    if isinstance(tree, Mapping):
        known = cast(Mapping[str, Any], tree)
        return {
            name: mask(value) if _SECRET_NAME.search(_words(name)) else scrub_values(value)
            for name, value in known.items()
        }
    if isinstance(tree, list):
        return [scrub_values(item) for item in cast(list[Any], tree)]
    return tree


def mask(tree: Json) -> Json:
    """Return a tree of the same names whose values are hidden."""
    if isinstance(tree, Mapping):
        return {name: mask(value) for name, value in cast(Mapping[str, Any], tree).items()}
    if isinstance(tree, list):
        return [mask(item) for item in cast(list[Any], tree)]
    return tree if tree is None or isinstance(tree, bool) or tree == "" else HIDDEN


def secrets_of_values(tree: Json) -> Iterator[str]:
    """Yield the values below the secrets' names of a chart's values."""
    if isinstance(tree, Mapping):
        for name, value in cast(Mapping[str, Any], tree).items():
            yield from texts(value) if _SECRET_NAME.search(_words(name)) else secrets_of_values(value)
    elif isinstance(tree, list):
        for item in cast(list[Any], tree):
            yield from secrets_of_values(item)


def scrub_object(tree: Json) -> Json:
    """Return an object of the API without what nobody reads, and with the values of variables that hold secrets hidden.

    A ConfigMap's or an environment's value is hidden by its name; references to secrets stay.
    """
    if isinstance(tree, Mapping):
        known = dict(cast(Mapping[str, Any], tree))
        known.pop("managedFields", None)
        if is_secret_name(str(known.get("name", ""))) and isinstance(known.get("value"), str):
            known["value"] = HIDDEN
        return {
            name: HIDDEN if isinstance(value, str) and is_secret_name(name) else scrub_object(value)
            for name, value in known.items()
            if name != "kubectl.kubernetes.io/last-applied-configuration"
        }
    if isinstance(tree, list):
        return [scrub_object(item) for item in cast(list[Any], tree)]
    return tree


def values_of(secrets: Iterable[Properties]) -> set[str]:
    """Return what the Secret objects of a namespace hold, as texts; Helm's own records are left out."""
    found: set[str] = set()
    for secret in secrets:
        if secret.get("type") == "helm.sh/release.v1":
            continue
        for value in fields(secret.get("data")).values():
            try:
                found.add(base64.b64decode(str(value)).decode())
            except (binascii.Error, UnicodeDecodeError):
                found.add(str(value))  # not a text: it could only be seen as base64
    return found
