"""What GitHub itself would refuse.

Sources: GitHub, "Workflow syntax for GitHub Actions" and "Events that trigger workflows".
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from pavedpath.problem import Problem

from .actions import Lock, UnknownActionError
from .expressions import Expression
from .model import (
    Dispatch,
    Input,
    InputType,
    Job,
    Matrix,
    Run,
    Schedule,
    Uses,
    Workflow,
    WorkflowRun,
)
from .places import texts
from .reach import is_self_hosted
from .references import nearest

_FILE = re.compile(r"[A-Za-z0-9_][\w.-]*\.ya?ml")
_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,99}")
_DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")
_CRON_FIELD = re.compile(r"(\*|\d{1,2}(-\d{1,2})?|[A-Za-z]{3}(-[A-Za-z]{3})?)(/\d{1,2})?")
_CRON_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_MOST_INPUTS = 25  # GitHub, changelog of December 2025: "Workflow dispatch supports 25 inputs"
_MOST_IN_MATRIX = 256
_LONGEST = 360
"""Minutes after which GitHub ends a job on its own runners; on ours it waits five days."""
_LONGEST_SELF_HOSTED = 5 * 24 * 60


def problems(workflows: Sequence[Workflow], lock: Lock) -> Iterator[Problem]:
    """Yield what GitHub would refuse to read or to run."""
    for file, count in Counter(workflow.file for workflow in workflows).items():
        if count > 1:
            yield Problem(file, None, f"{count} workflows have this file", "give each a file of its own")
    names = [workflow.name for workflow in workflows]
    for workflow in workflows:
        if not _FILE.fullmatch(workflow.file):
            yield Problem(workflow.file, None, "GitHub reads no such file", "call it <name>.yml, without a folder")
        if not workflow.name.strip():
            yield Problem(f"{workflow.file}: name", workflow.name, "it has no name", "name it")
        yield from _triggers(workflow, names)
        yield from _unprintable(workflow)
        if not workflow.jobs:
            yield Problem(f"{workflow.file}: jobs", {}, "it has no job", "add one")
        for name, job in workflow.jobs.items():
            yield from _job(f"{workflow.file}: jobs.{name}", name, job, lock)
        yield from _needs(workflow)


def _triggers(workflow: Workflow, names: Sequence[str]) -> Iterator[Problem]:
    at = f"{workflow.file}: on"
    if not workflow.on:
        yield Problem(at, [], "nothing starts it", "name a trigger")
    kinds = Counter(type(each).__name__ for each in workflow.on if not isinstance(each, Schedule))
    for kind, count in kinds.items():
        if count > 1:
            yield Problem(f"{at}.{kind}", count, "a kind of trigger stands once in a workflow", "merge them")
    for trigger in workflow.on:
        match trigger:
            case Dispatch():
                yield from _inputs(f"{at}.workflow_dispatch.inputs", trigger.inputs)
            case Schedule() if not _is_cron(trigger.cron):
                fix = "write five fields in UTC, for example 0 3 * * 1"
                yield Problem(f"{at}.schedule", trigger.cron, "it is no cron expression of GitHub's", fix)
            case WorkflowRun():
                for name in trigger.workflows:
                    if name not in names:
                        why = "no workflow of the repository has this name"
                        yield Problem(f"{at}.workflow_run", name, why, nearest(name, names))
            case _:
                pass


def _is_cron(text: str) -> bool:
    fields = text.split(" ")
    return len(fields) == len(_CRON_RANGES) and all(
        _CRON_FIELD.fullmatch(part)
        and all(low <= int(number) <= high for number in re.findall(r"\d+", part.split("/")[0]))
        for field, (low, high) in zip(fields, _CRON_RANGES, strict=True)
        for part in field.split(",")
    )


def _inputs(at: str, inputs: Mapping[str, Input]) -> Iterator[Problem]:
    if len(inputs) > _MOST_INPUTS:
        yield Problem(at, len(inputs), f"GitHub takes at most {_MOST_INPUTS} inputs", "merge some")
    for name, given in inputs.items():
        here = f"{at}.{name}"
        if not _ID.fullmatch(name):
            yield Problem(here, name, "it cannot be the name of an input", "use letters, digits, _ and -")
        if (given.type is InputType.CHOICE) != bool(given.options):
            fix = "name the options" if given.type is InputType.CHOICE else "leave them out, or use type choice"
            yield Problem(f"{here}.options", list(given.options), "options and type choice go together", fix)
        if len(set(given.options)) < len(given.options):
            yield Problem(f"{here}.options", list(given.options), "an option stands twice", "name each once")
        yield from _default(f"{here}.default", given)


def _default(at: str, given: Input) -> Iterator[Problem]:
    default = given.default
    if default is None:
        return
    wanted: dict[InputType, type | tuple[type, ...]] = {InputType.BOOLEAN: bool, InputType.NUMBER: (int, float)}
    right = isinstance(default, wanted.get(given.type, str))
    if not right or (given.type is InputType.NUMBER and isinstance(default, bool)):
        yield Problem(at, default, f"it is no {given.type.value}", "give a default of the input's type")
    elif given.type is InputType.CHOICE and default not in given.options:
        yield Problem(at, default, "it is none of the options", nearest(str(default), given.options))


def _unprintable(workflow: Workflow) -> Iterator[Problem]:
    plain = {"why": workflow.why, "how_to_change": workflow.how_to_change}
    plain |= {f"jobs.{name}.why": job.why for name, job in workflow.jobs.items()}
    found = [*((f"{workflow.file}: {name}", text) for name, text in plain.items())]
    found += [(each.where, each.text) for each in texts(workflow)]
    for where, text in found:
        wrong = sorted({each for each in text if not each.isprintable() and each not in "\n\t"})
        if wrong:
            shown = ", ".join(f"U+{ord(each):04X}" for each in wrong[:5])
            yield Problem(where, None, f"it holds characters that nobody sees ({shown})", "remove them")


def _job(at: str, name: str, job: Job, lock: Lock) -> Iterator[Problem]:
    if not _ID.fullmatch(name):
        yield Problem(at, name, "it cannot be a job's id", "use letters, digits, _ and -, not a digit or - in front")
    if not job.runs_on or not all(job.runs_on):
        yield Problem(f"{at}.runs-on", list(job.runs_on), "no runner is named", "name a label")
    longest = _LONGEST_SELF_HOSTED if is_self_hosted(job) else _LONGEST
    if not 1 <= job.timeout_minutes <= longest:
        fix = f"give 1 to {longest} minutes"
        yield Problem(f"{at}.timeout-minutes", job.timeout_minutes, "no job runs so long", fix)
    if job.matrix:
        yield from _matrix(f"{at}.strategy", job.matrix)
    for output in job.outputs:
        if not _ID.fullmatch(output):
            yield Problem(f"{at}.outputs", output, "it cannot be an output's name", "use letters, digits, _ and -")
    for service, facts in job.services.items():
        if not _DIGEST.fullmatch(facts.image):
            yield Problem(
                f"{at}.services.{service}.image", facts.image, "a tag can be moved", "name NAME@sha256:DIGEST"
            )
    yield from _steps(f"{at}.steps", job, lock)


def _matrix(at: str, matrix: Matrix) -> Iterator[Problem]:
    lists = [values for values in matrix.axes.values() if not isinstance(values, Expression)]
    if not matrix.axes and not matrix.include:
        yield Problem(f"{at}.matrix", {}, "it has no axis", "leave the matrix out")
    if not all(lists):
        yield Problem(f"{at}.matrix", None, "an axis has no value, so that the job never runs", "give values")
    elif math.prod(map(len, lists)) + len(matrix.include) > _MOST_IN_MATRIX:
        yield Problem(f"{at}.matrix", None, f"GitHub runs at most {_MOST_IN_MATRIX} of a matrix", "take values out")
    if matrix.max_parallel is not None and matrix.max_parallel < 1:
        yield Problem(f"{at}.max-parallel", matrix.max_parallel, "none would run", "give 1 or more")


def _steps(at: str, job: Job, lock: Lock) -> Iterator[Problem]:
    if not job.steps:
        yield Problem(at, [], "the job does nothing", "add a step")
    for step_id, count in Counter(step.id.lower() for step in job.steps if step.id).items():
        if count > 1:
            yield Problem(at, step_id, f"{count} steps have this id", "give each its own")
    for index, step in enumerate(job.steps):
        here = f"{at}[{index}]"
        if step.id and not _ID.fullmatch(step.id):
            yield Problem(f"{here}.id", step.id, "it cannot be a step's id", "use letters, digits, _ and -")
        if step.outputs and not step.id:
            yield Problem(f"{here}.outputs", list(step.outputs), "nobody can read them without an id", "give it an id")
        if step.timeout_minutes is not None and step.timeout_minutes < 1:
            yield Problem(f"{here}.timeout-minutes", step.timeout_minutes, "it would never run", "give 1 or more")
        match step:
            case Run() if not step.run.strip():
                yield Problem(f"{here}.run", step.run, "there is no command", "give one")
            case Uses():
                yield from _action(here, step, lock)
            case _:
                pass


def _action(at: str, step: Uses, lock: Lock) -> Iterator[Problem]:
    try:
        pin = lock.find(step.action)
    except UnknownActionError as error:
        yield Problem(f"{at}.uses", step.action, "no lock has this action", _meant(error))
        return
    for name, value in step.inputs.items():
        if isinstance(value, float) and not math.isfinite(value):
            yield Problem(f"{at}.with.{name}", value, "YAML cannot hold it", "give a number")
    if pin.repository in ("actions/upload-artifact", "actions/download-artifact") and _major(pin.version) < 4:
        yield Problem(f"{at}.uses", pin.version, "GitHub refuses artifacts before version 4", "lock v4 or newer")


def _meant(error: UnknownActionError) -> str:
    return f"did you mean {error.nearest}?" if error.nearest else "pavedpath actions update --add adds it"


def _major(version: str) -> int:
    found = re.match(r"v?(\d+)", version)
    return int(found[1]) if found else 0


def _needs(workflow: Workflow) -> Iterator[Problem]:
    for name, job in workflow.jobs.items():
        for needed in job.needs:
            if needed not in workflow.jobs:
                others = [each for each in workflow.jobs if each != name]
                at = f"{workflow.file}: jobs.{name}.needs"
                yield Problem(at, needed, "there is no such job", nearest(needed, others))
    cycle = _cycle({name: [each for each in job.needs if each in workflow.jobs] for name, job in workflow.jobs.items()})
    if cycle:
        why = "each of these jobs waits for the next: none would run"
        yield Problem(f"{workflow.file}: jobs", " -> ".join(cycle), why, "take one need out")


def _cycle(needs: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a cycle as the jobs along it, the first of which is the last, too; empty for none."""
    done: set[str] = set()
    for start in needs:
        path: list[str] = []
        waiting = [(start, 0)]
        while waiting:
            name, depth = waiting.pop()
            del path[depth:]
            if name in path:
                return [*path[path.index(name) :], name]
            path.append(name)
            if name not in done:
                waiting += [(each, depth + 1) for each in needs[name]]
        done.update(path)
    return []
