"""What expressions refer to must exist, at the place where they stand.

Sources: GitHub, "Contexts reference" and "Evaluate expressions in workflows and actions".
"""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from pavedpath.problem import Problem

from .expressions import CONTEXTS
from .grammar import Call, ExpressionError, Node, Operation, Reference, calls, walk, without_dollar
from .model import Dispatch, Job, Run, Surroundings, Workflow
from .places import Place, Text, texts
from .reach import environments_of

_FUNCTIONS: Mapping[str, tuple[int, int]] = {
    "contains": (2, 2),
    "startsWith": (2, 2),
    "endsWith": (2, 2),
    "format": (1, 100),
    "join": (1, 2),
    "toJSON": (1, 1),
    "fromJSON": (1, 1),
    "hashFiles": (1, 100),
    "success": (0, 0),
    "always": (0, 0),
    "cancelled": (0, 0),
    "failure": (0, 0),
    "case": (3, 101),
}
"""How many arguments each function takes."""

_SPECIAL = frozenset({"hashFiles", "success", "always", "cancelled", "failure"})
"""Functions that only work in some places."""

_GITHUB = frozenset(
    {
        "action",
        "action_path",
        "action_ref",
        "action_repository",
        "action_status",
        "actor",
        "actor_id",
        "api_url",
        "base_ref",
        "env",
        "event",
        "event_name",
        "event_path",
        "graphql_url",
        "head_ref",
        "job",
        "path",
        "ref",
        "ref_name",
        "ref_protected",
        "ref_type",
        "repository",
        "repository_id",
        "repository_owner",
        "repository_owner_id",
        "repository_visibility",
        "repositoryUrl",
        "retention_days",
        "run_id",
        "run_number",
        "run_attempt",
        "secret_source",
        "server_url",
        "sha",
        "token",
        "triggering_actor",
        "workflow",
        "workflow_ref",
        "workflow_sha",
        "workspace",
    }
)
_RUNNER = frozenset(["name", "os", "arch", "temp", "tool_cache", "debug", "environment"])
_JOB = frozenset(
    {
        "status",
        "container",
        "services",
        "check_run_id",
        "workflow_ref",
        "workflow_sha",
        "workflow_repository",
    }
)
_STRATEGY = frozenset({"fail-fast", "job-index", "job-total", "max-parallel"})


def nearest(name: str, known: Iterable[str]) -> str:
    """Return what was meant, as a fix: the nearest name, or all there are."""
    names = sorted(set(known))
    found = difflib.get_close_matches(name.lower(), [each.lower() for each in names], n=1, cutoff=0.6)
    if found:
        return f"did you mean {next(each for each in names if each.lower() == found[0])}?"
    if not names:
        return "add it, or take the reference away"
    return f"add it, or name one that is there: {', '.join(names)}"


@dataclass(frozen=True)
class _Known:
    """What a text's expressions may refer to."""

    workflow: Workflow
    surroundings: Surroundings
    text: Text

    @property
    def job(self) -> Job | None:
        return self.workflow.jobs.get(self.text.job)

    def inputs(self) -> list[str]:
        return [name for trigger in self.workflow.on if isinstance(trigger, Dispatch) for name in trigger.inputs]

    def of_environments(self, kind: Callable[[str], Iterable[str]]) -> list[str]:
        """Return what each environment that the job can have offers."""
        if self.job is None:
            return []
        names = environments_of(self.workflow, self.job, self.surroundings)
        offered = [set(kind(name)) for name in names if name in self.surroundings.environments]
        return sorted(set[str].intersection(*offered)) if offered else []

    def secrets(self) -> list[str]:
        environments = self.surroundings.environments
        offered = self.of_environments(lambda name: environments[name].secrets)
        return [*self.surroundings.secrets, *offered, "GITHUB_TOKEN"]

    def variables(self) -> list[str]:
        environments = self.surroundings.environments
        return [*self.surroundings.variables, *self.of_environments(lambda name: environments[name].variables)]

    def env(self) -> list[str]:
        job, step = self.job, self.text.step
        if job is None:
            return list(self.workflow.env)
        steps = job.steps if step is None else job.steps[: step + 1]
        own = () if step is None else job.steps[step].env
        return [*self.workflow.env, *job.env, *own, *(name for each in steps for name in _exported(each))]


def _exported(step: object) -> Iterator[str]:
    """Yield the variables that a step hands to later ones by `$GITHUB_ENV`."""
    if isinstance(step, Run) and "GITHUB_ENV" in step.run:
        for line in step.run.splitlines():
            name, equals, _ = line.strip().removeprefix("echo ").lstrip("\"'").partition("=")
            if equals and name.replace("_", "").isalnum():
                yield name


def problems(workflow: Workflow, surroundings: Surroundings) -> Iterator[Problem]:
    """Yield every expression that GitHub could not evaluate, or would evaluate to nothing."""
    for text in texts(workflow):
        for bare in without_dollar(text.text):
            why = "an expression without its dollar is plain text"
            yield Problem(text.where, text.text, why, f"write ${{{{ {bare} }}}}")
        if text.place is Place.NONE:
            if "${{" in text.text:
                yield Problem(text.where, text.text, "GitHub evaluates no expression here", "write plain text")
            continue
        known = _Known(workflow, surroundings, text)
        for node in text.parsed():
            if isinstance(node, ExpressionError):
                yield Problem(text.where, text.text, f"the expression cannot be read: {node}", "correct it")
                continue
            yield from _functions(node, text)
            defaulted = set(_with_default(node))
            for reference in (each for each in walk(node) if isinstance(each, Reference)):
                yield from _reference(reference, known, optional=id(reference) in defaulted)


def _with_default(node: Node) -> Iterator[int]:
    """Yield the references for which something else stands in: the left operands of `||`."""
    for each in walk(node):
        if isinstance(each, Operation) and each.operator == "||" and isinstance(each.left, Reference):
            yield id(each.left)


def _functions(node: Node, text: Text) -> Iterator[Problem]:
    spelling = {name.lower(): name for name in _FUNCTIONS}
    for call in calls(node):
        name = spelling.get(call.function.lower())
        if name is None:
            yield Problem(
                text.where, text.text, f"there is no function {call.function}", nearest(call.function, _FUNCTIONS)
            )
        else:
            yield from _call(name, call, text)


def _call(name: str, call: Call, text: Text) -> Iterator[Problem]:
    least, most = _FUNCTIONS[name]
    if not least <= len(call.arguments) <= most:
        takes = str(least) if least == most else f"{least} to {most}"
        why = f"{name} takes {takes} arguments and is given {len(call.arguments)}"
        yield Problem(text.where, text.text, why, "correct the call")
    if name in _SPECIAL and name not in text.place.functions:
        only = "conditions and inputs of steps" if name == "hashFiles" else "conditions (if)"
        yield Problem(text.where, text.text, f"{name}() does not work here", f"it works in {only}")


def _reference(reference: Reference, known: _Known, *, optional: bool) -> Iterator[Problem]:
    text = known.text
    # Names are compared without case, as GitHub does.
    context = (reference.path[0] or "").lower()
    if context not in CONTEXTS:
        why = f"there is no context {reference.path[0]}"
        yield Problem(text.where, text.text, why, nearest(context, CONTEXTS))
        return
    if context not in text.place.contexts:
        here = ", ".join(sorted(text.place.contexts)) or "none"
        why = f"{context} is not available here"
        yield Problem(text.where, text.text, why, f"available are {here} ('Context availability')")
        return
    if len(reference.path) > 1 and reference.path[1] is not None:
        lowered = replace(reference, path=(context, *reference.path[1:]))
        found = _CHECKS[context](lowered, known)
        if found is not None and not (optional and context == "vars"):
            why, fix = found
            yield Problem(text.where, str(lowered), why, fix)


_Found = tuple[str, str] | None


def _missing(name: str, known: Iterable[str], what: str) -> _Found:
    names = list(known)
    if name.lower() in {each.lower() for each in names}:
        return None
    return f"there is no {what} {name}", nearest(name, names)


def _part(reference: Reference) -> str:
    return reference.path[1] or ""


def _github(reference: Reference, _: _Known) -> _Found:
    if reference.path[1:3] == ("event", "inputs"):
        name = reference.path[3] if len(reference.path) > 3 else "*"
        return "inputs have a context of their own, with their types", f"write inputs.{name}"
    return _missing(_part(reference), _GITHUB, "github.* called")


def _secrets(reference: Reference, known: _Known) -> _Found:
    name = _part(reference)
    if name.upper().startswith("GITHUB_") and name.upper() != "GITHUB_TOKEN":
        part = name[len("GITHUB_") :].lower()
        hint = f"write github.{part}" if part in _GITHUB else "a secret's name never starts with GITHUB_"
        return f"GitHub has no secret {name}", hint
    return _missing(name, known.secrets(), "secret")


def _vars(reference: Reference, known: _Known) -> _Found:
    return _missing(_part(reference), known.variables(), "variable")


def _inputs(reference: Reference, known: _Known) -> _Found:
    return _missing(_part(reference), known.inputs(), "input")


def _env(reference: Reference, known: _Known) -> _Found:
    return _missing(_part(reference), known.env(), "environment variable set before this")


def _matrix(reference: Reference, known: _Known) -> _Found:
    matrix = known.job.matrix if known.job else None
    if matrix is None:
        return "the job has no matrix", "give it one, or name the value"
    axes = [*matrix.axes, *(name for row in matrix.include for name in row)]
    return _missing(_part(reference), axes, "axis")


def _needs(reference: Reference, known: _Known) -> _Found:
    job = known.job
    name = _part(reference)
    if job is None or name.lower() not in {each.lower() for each in job.needs}:
        exists = name in known.workflow.jobs
        fix = f"add {name} to needs" if exists else nearest(name, job.needs if job else ())
        return f"the job does not need a job {name}", fix
    needed = known.workflow.jobs.get(name)
    return _result(reference, needed.outputs if needed else (), ("result", "outputs"), f"job {name}")


def _steps(reference: Reference, known: _Known) -> _Found:
    job, index, name = known.job, known.text.step, _part(reference)
    steps = job.steps[:index] if job else ()
    if job and index is None:
        steps = job.steps
    found = next((each for each in steps if each.id.lower() == name.lower()), None)
    if found is None:
        later = job is not None and any(each.id == name for each in job.steps)
        fix = "move it before this step" if later else nearest(name, (each.id for each in steps if each.id))
        return f"no step before this has the id {name}", fix
    return _result(reference, found.outputs, ("outcome", "conclusion", "outputs"), f"step {name}")


def _result(reference: Reference, outputs: Iterable[str], parts: tuple[str, ...], whose: str) -> _Found:
    if len(reference.path) > 2 and reference.path[2] not in (*parts, None):
        return f"a {whose.split(maxsplit=1)[0]} has no {reference.path[2]}", nearest(str(reference.path[2]), parts)
    if len(reference.path) > 3 and reference.path[2] == "outputs" and reference.path[3] is not None:
        return _missing(reference.path[3], outputs, f"output of {whose} called")
    return None


_CHECKS: Mapping[str, Callable[[Reference, _Known], _Found]] = {
    "github": _github,
    "secrets": _secrets,
    "vars": _vars,
    "inputs": _inputs,
    "env": _env,
    "matrix": _matrix,
    "needs": _needs,
    "steps": _steps,
    "runner": lambda reference, _: _missing(_part(reference), _RUNNER, "runner.* called"),
    "job": lambda reference, _: _missing(_part(reference), _JOB, "job.* called"),
    "strategy": lambda reference, _: _missing(_part(reference), _STRATEGY, "strategy.* called"),
}
