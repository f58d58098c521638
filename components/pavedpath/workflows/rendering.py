"""Workflows as YAML that a person would have written.

Everything is in one order, in block style, with lists on one line where they fit; comments say why. Every scalar that
YAML 1.1 and 1.2 read differently, or as something other than text, is quoted (`on`, `no`, `1e3`, `012`, dates), so
that whatever reads the file reads the same. `plain` is what a reader gets back.
"""

import math
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

from .actions import Lock, default_lock, needs
from .expressions import Expression
from .model import (
    Access,
    Concurrency,
    Dispatch,
    Input,
    Job,
    JobEnvironment,
    Matrix,
    MergeGroup,
    Permissions,
    PullRequest,
    Push,
    Run,
    Scalar,
    Schedule,
    Scope,
    Service,
    Step,
    Trigger,
    Uses,
    Workflow,
)

Data: TypeAlias = "bool | int | float | str | Sequence[Data] | Mapping[str, Data] | None"
"""What YAML holds."""

_WIDTH = 120
_FLOW_WIDTH = 100

# Starts with a letter, `_`, `$` or `./`: never a number, a date, an indicator or an alias.
_PLAIN = re.compile(r"(?:[A-Za-z_$/]|\./)(?:[^\n]*[^\s:])?")
_RESERVED = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_FLOW_INDICATORS = frozenset(",[]{}?:")


class _Script(str):
    """A text that is easier to read as a block than in quotes."""

    __slots__ = ()


class _Condition(str):
    """A text that may be broken at its spaces."""

    __slots__ = ()


@dataclass(frozen=True)
class _Noted:
    """A value with what a reader sees around it."""

    value: "_Tree"
    above: str = ""
    beside: str = ""
    apart: bool = False
    """Whether a blank line stands before it."""


_Tree: TypeAlias = "bool | int | float | str | Sequence[_Tree] | Mapping[str, _Tree] | _Noted | None"


def render(workflow: Workflow, lock: Lock | None = None) -> str:
    """Return the workflow's file.

    Args:
        workflow: what to render; it is not checked here (`checking.problems`).
        lock: where the actions' commits stand. Default: the library's own lock.

    Raises:
        UnknownActionError: an action is not in the lock.
        ValueError: a number that YAML cannot hold, such as NaN.
    """
    heading = ["Written by Pavedpath; a change made here is overwritten. " + workflow.how_to_change, workflow.why]
    lines = [*_comment("\n".join(filter(None, heading)), ""), *_mapping(_workflow(workflow, lock or default_lock()), 0)]
    return "\n".join(lines) + "\n"


def plain(workflow: Workflow, lock: Lock | None = None) -> dict[str, Data]:
    """Return the workflow as the data that its file holds."""
    found = _stripped(_workflow(workflow, lock or default_lock()))
    assert isinstance(found, dict)  # noqa: S101  # a workflow is a mapping; narrows the type
    return found


def permissions(job: Job) -> dict[Scope, Access]:
    """Return the sum of what a job's steps and their actions declare, in the scopes' order."""
    total: dict[Scope, Access] = {}
    for step in job.steps:
        of_action: Permissions = needs(step) if isinstance(step, Uses) else {}
        for scope, access in (*of_action.items(), *step.permissions.items()):
            if total.get(scope) is not Access.WRITE:
                total[scope] = access
    return {scope: total[scope] for scope in Scope if scope in total}


def _workflow(workflow: Workflow, lock: Lock) -> dict[str, _Tree]:
    tree: dict[str, _Tree] = {"name": workflow.name}
    if workflow.run_name:
        tree["run-name"] = str(workflow.run_name)
    tree["on"] = _Noted(_triggers(workflow.on), apart=True)
    tree["permissions"] = _Noted({}, apart=True)
    if workflow.env:
        tree["env"] = _Noted(_texts(workflow.env), apart=True)
    if workflow.concurrency:
        tree["concurrency"] = _Noted(_concurrency(workflow.concurrency), apart=True)
    if any(isinstance(step, Run) for job in workflow.jobs.values() for step in job.steps):
        # Without it GitHub's bash has no pipefail.
        tree["defaults"] = _Noted({"run": {"shell": "bash"}}, apart=True)
    jobs: dict[str, _Tree] = {
        name: _Noted(_job(job, lock), above=job.why, apart=index > 0)
        for index, (name, job) in enumerate(workflow.jobs.items())
    }
    tree["jobs"] = _Noted(jobs, apart=True)
    return tree


def _triggers(triggers: Sequence[Trigger]) -> dict[str, _Tree]:
    tree: dict[str, _Tree] = {}
    for trigger in triggers:
        match trigger:
            case Schedule():
                earlier = tree.get("schedule")
                before = earlier if isinstance(earlier, list) else []
                tree["schedule"] = [*before, {"cron": trigger.cron}]
            case Dispatch():
                inputs = {name: _input(each) for name, each in trigger.inputs.items()}
                tree["workflow_dispatch"] = {"inputs": inputs} if inputs else None
            case MergeGroup():
                tree["merge_group"] = None
            case PullRequest():
                lists = {"types": trigger.types, "branches": trigger.branches, "paths": trigger.paths}
                tree["pull_request"] = _lists(lists)
            case Push():
                tree["push"] = _lists({"branches": trigger.branches, "tags": trigger.tags, "paths": trigger.paths})
            case _:
                lists = {"workflows": trigger.workflows, "types": ["completed"], "branches": trigger.branches}
                tree["workflow_run"] = _lists(lists)
    return tree


def _lists(lists: Mapping[str, Sequence[str]]) -> dict[str, _Tree] | None:
    return {name: list(values) for name, values in lists.items() if values} or None


def _input(given: Input) -> dict[str, _Tree]:
    tree: dict[str, _Tree] = {"description": given.description, "type": given.type.value}
    if given.options:
        tree["options"] = list(given.options)
    if given.required:
        tree["required"] = True
    if given.default is not None:
        tree["default"] = given.default
    return tree


def _concurrency(lock: Concurrency) -> dict[str, _Tree]:
    tree: dict[str, _Tree] = {"group": str(lock.group)}
    if lock.cancel_in_progress is not False:
        tree["cancel-in-progress"] = _scalar_of(lock.cancel_in_progress)
    if lock.queue:
        tree["queue"] = "max"
    return tree


def _job(job: Job, lock: Lock) -> dict[str, _Tree]:
    tree: dict[str, _Tree] = {}
    if job.name:
        tree["name"] = str(job.name)
    if job.needs:
        tree["needs"] = list(job.needs)
    if job.condition is not None:
        tree["if"] = _Condition(job.condition.text)
    tree["runs-on"] = job.runs_on[0] if len(job.runs_on) == 1 else list(job.runs_on)
    tree["timeout-minutes"] = job.timeout_minutes
    permitted = permissions(job)
    if permitted:
        tree["permissions"] = {scope.value: access.value for scope, access in permitted.items()}
    if job.environment:
        tree["environment"] = _environment(job.environment)
    if job.concurrency:
        tree["concurrency"] = _concurrency(job.concurrency)
    if job.matrix:
        tree["strategy"] = _strategy(job.matrix)
    if job.outputs:
        tree["outputs"] = _texts(job.outputs)
    if job.env:
        tree["env"] = _texts(job.env)
    if job.services:
        tree["services"] = {name: _service(service) for name, service in job.services.items()}
    tree["steps"] = [_step(step, lock) for step in job.steps]
    return tree


def _environment(environment: JobEnvironment) -> _Tree:
    if not environment.url and environment.deployment:
        return str(environment.name)
    tree: dict[str, _Tree] = {"name": str(environment.name)}
    if environment.url:
        tree["url"] = str(environment.url)
    if not environment.deployment:
        tree["deployment"] = False
    return tree


def _strategy(matrix: Matrix) -> dict[str, _Tree]:
    axes: dict[str, _Tree] = {
        name: str(values) if isinstance(values, Expression) else [_scalar_of(each) for each in values]
        for name, values in matrix.axes.items()
    }
    if matrix.include:
        axes["include"] = [{name: _scalar_of(each) for name, each in row.items()} for row in matrix.include]
    tree: dict[str, _Tree] = {"fail-fast": matrix.fail_fast}
    if matrix.max_parallel is not None:
        tree["max-parallel"] = matrix.max_parallel
    tree["matrix"] = axes
    return tree


def _service(service: Service) -> dict[str, _Tree]:
    tree: dict[str, _Tree] = {"image": service.image}
    if service.env:
        tree["env"] = _texts(service.env)
    if service.ports:
        tree["ports"] = list(service.ports)
    if service.options:
        tree["options"] = service.options
    return tree


def _step(step: Step, lock: Lock) -> _Noted:
    tree: dict[str, _Tree] = {}
    if step.name:
        tree["name"] = step.name
    if step.id:
        tree["id"] = step.id
    if step.condition is not None:
        tree["if"] = _Condition(step.condition.text)
    if step.continue_on_error:
        tree["continue-on-error"] = True
    if step.timeout_minutes is not None:
        tree["timeout-minutes"] = step.timeout_minutes
    if isinstance(step, Uses):
        tree["uses"] = _Noted(lock.reference(step.action), beside=lock.find(step.action).version)
        if step.inputs:
            tree["with"] = {name: _scalar_of(value) for name, value in step.inputs.items()}
    if step.env:
        tree["env"] = _texts(step.env)
    if isinstance(step, Run):
        if step.working_directory:
            tree["working-directory"] = step.working_directory
        tree["run"] = script(step.run)
    return _Noted(tree, above=step.why)


def script(text: str) -> str:
    """Return commands as they are rendered: without the indentation they have in common and blank lines around."""
    dedented = textwrap.dedent(text).strip("\n")
    return _Script(f"{dedented}\n" if "\n" in dedented else dedented)


def _texts(texts: Mapping[str, str | Expression]) -> dict[str, _Tree]:
    return {name: str(text) for name, text in texts.items()}


def _scalar_of(value: Scalar) -> bool | int | float | str:
    return str(value) if isinstance(value, Expression) else value


def _stripped(tree: _Tree) -> Data:
    if isinstance(tree, _Noted):
        return _stripped(tree.value)
    if isinstance(tree, Mapping):
        return {name: _stripped(value) for name, value in tree.items()}
    if isinstance(tree, str):
        return str(tree)
    if isinstance(tree, Sequence):
        return [_stripped(value) for value in tree]
    return tree


def _mapping(tree: Mapping[str, _Tree], indent: int) -> Iterator[str]:
    for name, value in tree.items():
        noted = value if isinstance(value, _Noted) else _Noted(value)
        if noted.apart:
            yield ""
        yield from _comment(noted.above, " " * indent)
        yield from _entry(f"{' ' * indent}{_text(name)}:", noted, indent)


def _entry(head: str, noted: _Noted, indent: int) -> Iterator[str]:
    tree = noted.value
    if isinstance(tree, Mapping) and tree:
        yield head
        yield from _mapping(tree, indent + 2)
    elif isinstance(tree, Sequence) and not isinstance(tree, str):
        flow = _flow(tree)
        if flow is not None and len(head) + 1 + len(flow) <= _FLOW_WIDTH:
            yield f"{head} {flow}"
        else:
            yield head
            yield from (line for each in tree for line in _item(each, indent + 2))
    else:
        first, *others = _leaf(tree, indent + 2, _WIDTH - len(head) - 1)
        yield head + (f" {first}" if first else "") + (f" # {noted.beside}" if noted.beside else "")
        yield from others


def _item(tree: _Tree, indent: int) -> Iterator[str]:
    noted = tree if isinstance(tree, _Noted) else _Noted(tree)
    pad = " " * indent
    yield from _comment(noted.above, pad)
    if isinstance(noted.value, Mapping) and noted.value:
        first, *others = _mapping(noted.value, indent + 2)
        yield f"{pad}- {first.lstrip(' ')}"
        yield from others
    else:
        yield from _entry(f"{pad}-", noted, indent)


def _flow(values: Sequence[_Tree]) -> str | None:
    """Return a list on one line, or None if something in it needs lines of its own."""
    if any(isinstance(each, _Noted | Mapping) or (isinstance(each, str) and "\n" in each) for each in values):
        return None
    parts = [_text(each, flow=True) if isinstance(each, str) else _leaf(each, 0, _WIDTH)[0] for each in values]
    return f"[{', '.join(parts)}]"


def _leaf(tree: "_Tree", indent: int, room: int) -> list[str]:
    """Return a scalar's (or an empty collection's) lines, the first of which goes behind its key."""
    if isinstance(tree, str):
        return _block(tree, indent, room) or [_text(tree)]
    match tree:
        case None:
            shown = ""
        case bool():
            shown = str(tree).lower()
        case int():
            shown = str(tree)
        case float():
            shown = _number(tree)
        case Mapping():
            shown = "{}"
        case _:
            shown = "[]"
    return [shown]


def _number(value: float) -> str:
    if not math.isfinite(value):
        raise ValueError(f"a workflow cannot hold the number {value}")
    # Without an exponent, whose forms YAML 1.1 and 1.2 disagree on.
    shown = format(Decimal(repr(value)), "f")
    return shown if "." in shown else f"{shown}.0"


def _block(text: str, indent: int, room: int) -> list[str] | None:
    """Return a text as a literal block, a long condition as a folded one; None if neither fits what is in it."""
    pad = " " * indent
    if isinstance(text, _Condition):
        if len(text) > room and all(text.split(" ")) and text.isprintable():
            return [">-", *(pad + line for line in _broken(text, _WIDTH - indent))]
        return None
    lines = text.removesuffix("\n").split("\n")
    readable = all(line.replace("\t", "").isprintable() and line == line.rstrip() for line in lines)
    wanted = len(lines) > 1 or (isinstance(text, _Script) and _plainly(text) is None)
    if not wanted or not readable or not lines[-1] or lines[0][:1] in ("", "\t"):
        return None
    # Where the first line is indented, the indentation of the block itself must be told.
    header = "|" + ("2" if lines[0].startswith(" ") else "") + ("" if text.endswith("\n") else "-")
    return [header, *(pad + line if line else "" for line in lines)]


def _broken(text: str, width: int) -> Iterator[str]:
    """Break a condition before its operators; folding joins the lines again."""
    line, *pieces = re.split(r" (?=(?:&&|\|\|) )", text)
    for piece in pieces:
        if len(line) + 1 + len(piece) > width:
            yield line
            line = piece
        else:
            line = f"{line} {piece}"
    yield line


def _text(text: str, *, flow: bool = False) -> str:
    return _plainly(text, flow=flow) or _quoted(text)


def _plainly(text: str, *, flow: bool = False) -> str | None:
    """Return a text without quotes, or None if it would be read as something else."""
    if not _PLAIN.fullmatch(text) or text.lower() in _RESERVED or not text.isprintable():
        return None
    if ": " in text or " #" in text or (flow and not _FLOW_INDICATORS.isdisjoint(text)):
        return None
    return text


_ESCAPES = {"\n": "\\n", "\t": "\\t", "\\": "\\\\", '"': '\\"'}


def _quoted(text: str) -> str:
    if text.isprintable() and "'" not in text and ('"' in text or "\\" in text):
        return f"'{text}'"
    return '"' + "".join(_escaped(each) for each in text) + '"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _comment(text: str, pad: str) -> Iterable[str]:
    for paragraph in text.split("\n") if text else ():
        yield from (f"{pad}# {line}" for line in textwrap.wrap(paragraph, _WIDTH - len(pad) - 2) or ())
