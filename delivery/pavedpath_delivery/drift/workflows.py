"""What workflow files refer to: actions and secrets. Pure.

Source: GitHub, "Workflow syntax for GitHub Actions", "Contexts reference".
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import yaml

from pavedpath_delivery.kit.documents import Json, Properties, fields, objects

_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_NAMED = re.compile(r"""\bsecrets\s*(?:\.\s*([A-Za-z_][\w-]*)|\[\s*'([^']+)'\s*\])""")
_ANY = re.compile(r"\bsecrets\b")
_QUOTED = re.compile(r"'(?:[^']|'')*'")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
GIVEN = frozenset({"GITHUB_TOKEN"})
"""Secrets that every run has."""


@dataclass(frozen=True, order=True)
class Reference:
    """A secret that a workflow names. `environment` is its job's; empty for none, `*` for one that the run decides."""

    file: str
    name: str
    environment: str = ""


@dataclass(frozen=True)
class Uses:
    """What one workflow file refers to.

    Attributes:
        references: the secrets that it names, in capitals.
        opaque: whether it hands on secrets without naming them (`secrets: inherit`, `toJSON(secrets)`).
        unpinned: actions and workflows of others that a moved tag or branch could replace.
    """

    references: frozenset[Reference]
    opaque: bool
    unpinned: tuple[str, ...]


def read(file: str, text: str) -> Uses:
    """Return what a workflow file refers to.

    Raises:
        ValueError: it is no YAML; says where.
    """
    try:
        document = fields(yaml.safe_load(text))
    except yaml.YAMLError as error:
        mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
        raise ValueError(f"no YAML{f' in line {mark.line + 1}' if mark else ''}") from None
    jobs = {name: fields(job) for name, job in fields(document.get("jobs")).items()}
    declared = _declared(document)
    found: set[Reference] = set()
    opaque = False
    rest = {key: value for key, value in document.items() if key != "jobs"}
    for tree, environment in [(rest, "*"), *((job, _environment(job)) for job in jobs.values())]:
        for expression in _expressions(tree):
            names = {(dotted or quoted).upper() for dotted, quoted in _NAMED.findall(expression)}
            found |= {Reference(file, name, environment) for name in names - declared - GIVEN}
            opaque |= bool(_ANY.search(_QUOTED.sub("", _NAMED.sub("", expression))))
    opaque |= any(job.get("secrets") == "inherit" for job in jobs.values())
    used = [str(each["uses"]) for job in jobs.values() for each in (job, *objects(job.get("steps"))) if "uses" in each]
    return Uses(frozenset(found), opaque, tuple(sorted({each for each in used if not _pinned(each)})))


def _declared(document: Properties) -> set[str]:
    """Return the secrets that callers of a reusable workflow hand in."""
    on: Json = document.get("on", cast(Mapping[Any, Any], document).get(True))  # YAML 1.1 reads `on` as true
    return {name.upper() for name in fields(fields(fields(on).get("workflow_call")).get("secrets"))}


def _environment(job: Properties) -> str:
    named: Json = job.get("environment") or ""
    name = str(fields(named).get("name", "")) if isinstance(named, Mapping) else str(named)
    return "*" if "${{" in name else name.lower()


def _expressions(tree: Json, key: str = "") -> Iterator[str]:
    if isinstance(tree, Mapping):
        for name, value in cast(Mapping[Any, Json], tree).items():
            yield from _expressions(value, str(name))
    elif isinstance(tree, list):
        for value in cast(list[Json], tree):
            yield from _expressions(value, key)
    elif isinstance(tree, str):
        # `if` is an expression also without its braces.
        yield from [tree] if key == "if" else _EXPRESSION.findall(tree)


def _pinned(uses: str) -> bool:
    if uses.startswith("./"):
        return True
    if uses.startswith("docker://"):
        return "@sha256:" in uses
    return _COMMIT.fullmatch(uses.partition("@")[2]) is not None
