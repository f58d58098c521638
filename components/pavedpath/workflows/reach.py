"""Which trigger on which ref reaches which job, environment, runner and secret.

Computed from the workflows alone: every condition is evaluated for every way in which a run can start, and what
cannot be known counts as reachable.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product

from .checks import APPROVERS
from .evaluation import UNKNOWN, Glob, Lookup, Symbol, Value, evaluate, matches, truth
from .expressions import Expression
from .grammar import Constant, ExpressionError, Operation, Reference, calls, parse, references, walk, whole
from .model import (
    Dispatch,
    EnvironmentFacts,
    InputType,
    Job,
    MergeGroup,
    PullRequest,
    Push,
    Schedule,
    Step,
    Surroundings,
    Trigger,
    Workflow,
)
from .places import Place, Text, texts_of_job

_REPOSITORY = Symbol("repository")
FORK = Symbol("fork")
"""The repository of a stranger's pull request."""
_HOSTED = re.compile(r"(ubuntu|windows|macos)-[\w.-]+")

PULL_REQUEST, MERGE_GROUP, BRANCH, TAG = "pull request", "merge group", "branch", "tag"
OTHERS = "any other"
"""Pattern of the refs that no filter, policy or condition names."""


@dataclass(frozen=True)
class Event:
    """One way in which a run starts."""

    trigger: str
    """GitHub's name of it, for example push."""
    kind: str
    """What the ref is: branch, tag, pull request or merge group."""
    pattern: str
    """Name or pattern of the branch or tag; of a pull request the branch that it goes into."""
    ref: str | Glob
    """The branch's or tag's name, as far as it is known."""
    fork: bool = False
    chosen: bool = False
    """Whether whoever starts the run chooses the ref."""

    def __str__(self) -> str:
        if self.kind == PULL_REQUEST:
            whose = "a fork" if self.fork else "this repository"
            return f"pull_request into {self.pattern} from {whose}"
        return f"{self.trigger} on {self.kind} {self.pattern}"


@dataclass(frozen=True, kw_only=True)
class Reach:
    """One job that one event can start, and what the job has."""

    workflow: str
    event: Event
    job: str
    environment: str = ""
    runner: str = ""
    secrets: tuple[str, ...] = ()
    """Without GITHUB_TOKEN."""
    approval: str = ""


def events(workflow: Workflow, surroundings: Surroundings) -> list[Event]:
    """Return every way in which a run of a workflow can start."""
    return [event for trigger in workflow.on for event in _events(trigger, workflow, surroundings)]


def _events(trigger: Trigger, workflow: Workflow, surroundings: Surroundings) -> Iterator[Event]:
    default = surroundings.default_branch
    match trigger:
        case PullRequest():
            for pattern in _positive(trigger.branches) or ["**"]:
                known = _ref(pattern)
                yield Event("pull_request", PULL_REQUEST, pattern, known)
                yield Event("pull_request", PULL_REQUEST, pattern, known, fork=True)
        case Push():
            neither = not trigger.branches and not trigger.tags
            named = (BRANCH, trigger.branches), (TAG, trigger.tags)
            for kind, patterns in named:
                if neither:
                    yield from _any(kind, "push", workflow, surroundings)
                for pattern in _positive(patterns):
                    yield Event("push", kind, pattern, _ref(pattern))
        case Dispatch():
            for kind in (BRANCH, TAG):
                yield from (
                    replace(each, chosen=True) for each in _any(kind, "workflow_dispatch", workflow, surroundings)
                )
        case MergeGroup():
            yield Event("merge_group", MERGE_GROUP, default, Glob(f"gh-readonly-queue/{default}/**"))
        case Schedule():
            yield Event("schedule", BRANCH, default, default)
        case _:
            yield Event("workflow_run", BRANCH, default, default)


def _positive(patterns: Sequence[str]) -> list[str]:
    return [each for each in patterns if not each.startswith("!")]


def _ref(pattern: str) -> str | Glob:
    return Glob(pattern) if re.search(r"[*?+\[]", pattern) else pattern


def _any(kind: str, trigger: str, workflow: Workflow, surroundings: Surroundings) -> Iterator[Event]:
    facts = surroundings.environments.values()
    policies = [pattern for each in facts for pattern in (each.branches if kind == BRANCH else each.tags)]
    default = [surroundings.default_branch] if kind == BRANCH else []
    patterns = list(dict.fromkeys([*default, *policies, *_named(workflow, kind)]))
    for pattern in patterns:
        if not pattern.startswith("refs/pull/"):
            yield Event(trigger, kind, pattern, _ref(pattern))
    yield Event(trigger, kind, OTHERS, Glob("**", frozenset(patterns)))


def _named(workflow: Workflow, kind: str) -> Iterator[str]:
    """Yield the refs that a workflow's conditions name."""
    prefix = "refs/heads/" if kind == BRANCH else "refs/tags/"
    for name, job in workflow.jobs.items():
        for node in (node for text in texts_of_job("", name, job) for node in text.readable()):
            for each in walk(node):
                if isinstance(each, Operation) and each.operator in ("==", "!="):
                    sides = {type(side): side for side in (each.left, each.right)}
                    named, where = sides.get(Constant), sides.get(Reference)
                    if isinstance(named, Constant) and isinstance(named.value, str) and isinstance(where, Reference):
                        if str(where) == "github.ref" and named.value.startswith(prefix):
                            yield named.value.removeprefix(prefix)
                        if str(where) == "github.ref_name" and kind == BRANCH:
                            yield named.value


def _prefixed(prefix: str, ref: str | Glob) -> str | Glob:
    if isinstance(ref, str):
        return prefix + ref
    return Glob(prefix + ref.pattern, frozenset(prefix + each for each in ref.excluded))


def context(event: Event, surroundings: Surroundings) -> dict[str, Value]:
    """Return what is known of the `github` context, by path in lower case."""
    pulled = event.kind == PULL_REQUEST
    prefix = {TAG: "refs/tags/", PULL_REQUEST: ""}.get(event.kind, "refs/heads/")
    found: dict[str, Value] = {
        "github.event_name": event.trigger,
        "github.ref": Glob("refs/pull/*/merge") if pulled else _prefixed(prefix, event.ref),
        "github.ref_name": Glob("*/merge") if pulled else event.ref,
        "github.ref_type": TAG if event.kind == TAG else BRANCH,
        "github.repository": _REPOSITORY,
        "github.event.repository.full_name": _REPOSITORY,
        "github.event.repository.default_branch": surroundings.default_branch,
        "github.base_ref": event.ref if pulled else "",
        "github.event.pull_request.base.ref": event.ref if pulled else None,
        "github.event.pull_request.head.repo.full_name": None,
        "github.event.pull_request.head.repo.fork": event.fork if pulled else None,
    }
    if pulled:
        found["github.event.pull_request.head.repo.full_name"] = FORK if event.fork else _REPOSITORY
    else:
        found["github.head_ref"] = ""
    if event.trigger == "push":
        found["github.event.created"] = UNKNOWN
    return found


@dataclass(frozen=True)
class Run:
    """One event of one workflow: which of its jobs and steps may run.

    Attributes:
        assumed: what is assumed of other contexts, by path in lower case, for example steps.deploy.outcome.
    """

    workflow: Workflow
    event: Event
    surroundings: Surroundings
    assumed: Mapping[str, Value] = field(default_factory=dict[str, Value])

    @cached_property
    def _github(self) -> dict[str, Value]:
        return context(self.event, self.surroundings)

    @cached_property
    def jobs(self) -> list[str]:
        """Ids of the jobs that may run, in order."""
        known: dict[str, bool] = {}
        for name in self.workflow.jobs:
            self._may_run(name, known, ())
        return [name for name in self.workflow.jobs if known[name]]

    def _may_run(self, name: str, known: dict[str, bool], above: tuple[str, ...]) -> bool:
        if name in known:
            return known[name]
        if name in above or name not in self.workflow.jobs:
            return True
        job = self.workflow.jobs[name]
        needed = {each: self._may_run(each, known, (*above, name)) for each in job.needs}
        known[name] = (
            all(needed.values()) or (job.condition is not None and _whatever_happened(job.condition))
        ) and self._possible(job.condition, needed)
        return known[name]

    def _possible(self, condition: Expression | None, needed: Mapping[str, bool]) -> bool:
        return self.value(condition, needed) is not False

    def value(self, condition: Expression | None, needed: Mapping[str, bool] | None = None) -> Value:
        """Return whether a condition holds in this run: True, False or UNKNOWN."""
        if condition is None:
            return True
        try:
            return truth(evaluate(parse(condition.text), self._lookup(needed or {})))
        except ExpressionError:
            return UNKNOWN

    def may_run(self, step: Step) -> bool:
        """Whether a step may run, provided that its job does."""
        return self.value(step.condition, dict.fromkeys(self.jobs, True)) is not False

    def _lookup(self, needed: Mapping[str, bool]) -> Lookup:
        def lookup(reference: Reference) -> Value:
            name = str(reference).lower()
            if name in self.assumed:
                return self.assumed[name]
            if name in self._github:
                return self._github[name]
            path = reference.path
            if path[0] == "inputs" or name.startswith("github.event.inputs."):
                return UNKNOWN if self.event.trigger == "workflow_dispatch" else None
            if name.startswith("github.event.pull_request.") and self.event.kind != PULL_REQUEST:
                return None
            if path[0] == "needs" and len(path) > 2 and not needed.get(path[1] or "", True):
                return "skipped" if path[2] == "result" else None
            return UNKNOWN

        return lookup


def _whatever_happened(condition: Expression) -> bool:
    try:
        return any(each.function.lower() in ("always", "cancelled", "failure") for each in calls(parse(condition.text)))
    except ExpressionError:
        return True


def environments_of(workflow: Workflow, job: Job, surroundings: Surroundings) -> list[str]:
    """Return the names that a job's environment can have: all that fit where they cannot be computed."""
    exact = exact_environments(workflow, job)
    if exact is not None or job.environment is None:
        return exact or []
    known = re.sub(r"\$\{\{.*?\}\}", "**", str(job.environment.name))
    return [each for each in surroundings.environments if matches(known, each)]


def exact_environments(workflow: Workflow, job: Job) -> list[str] | None:
    """Return the names that a job's environment can have, or None if they cannot be computed."""
    text = "" if job.environment is None else str(job.environment.name)
    if "${{" not in text:
        return [text] if text else []
    try:
        expression = whole(text)
        node = parse(expression) if expression else None
    except ExpressionError:
        return []
    if isinstance(node, Constant):
        return [str(node.value)]
    return _values(node, workflow, job) if isinstance(node, Reference) else None


def _values(reference: Reference, workflow: Workflow, job: Job) -> list[str] | None:
    if reference.path[0] == "matrix" and job.matrix and len(reference.path) == 2:
        axis = reference.path[1] or ""
        values = job.matrix.axes.get(axis, ())
        if isinstance(values, Expression) or any(isinstance(each, Expression) for each in values):
            return None
        return [str(each) for each in [*values, *(row[axis] for row in job.matrix.include if axis in row)]]
    if reference.path[0] == "inputs" and len(reference.path) == 2:
        for trigger in workflow.on:
            given = trigger.inputs.get(reference.path[1] or "") if isinstance(trigger, Dispatch) else None
            if given and given.type is InputType.CHOICE:
                return list(given.options)
    return None


def is_self_hosted(job: Job) -> bool:
    """Whether a job runs on a machine of ours: any label but one of GitHub's own says so."""
    return len(job.runs_on) != 1 or not _HOSTED.fullmatch(job.runs_on[0])


def secrets_of(run: Run, name: str) -> list[str]:
    """Return the secrets that a job may read in a run, without GITHUB_TOKEN; `*` for one that is computed."""
    found: dict[str, None] = {}
    for text in _texts_that_count(run, name):
        for each in (each for node in text.readable() for each in references(node)):
            if each.path[0].lower() == "secrets" if each.path[0] else False:
                found[(each.path[1] or "*") if len(each.path) > 1 else "*"] = None
    return [each for each in found if each.upper() != "GITHUB_TOKEN"]


def _texts_that_count(run: Run, name: str) -> Iterator[Text]:
    job = run.workflow.jobs[name]
    for variable, value in run.workflow.env.items():
        yield Text(variable, str(value), Place.WORKFLOW_ENV)
    runs = [run.may_run(step) for step in job.steps]
    for text in texts_of_job("", name, job):
        if text.step is None or runs[text.step]:
            yield text


def approval_of(facts: EnvironmentFacts, trigger: str = "push") -> str:
    """Return who must agree before a deployment, in words; empty for nobody.

    Args:
        facts: of the environment.
        trigger: GitHub's name of what starts the run. A pull request is what a push to an approval branch takes; a run
            on that branch that is started by hand, for example a rollback, asks nobody.
    """
    if facts.reviewed:
        return "reviewers"
    if APPROVERS in facts.variables:
        return "started by an approver"
    branches = [each for each in facts.branches if each.startswith("deploy/")]
    if not branches or len(branches) < len(facts.branches):
        return ""
    return f"pull request into {branches[0]}" if trigger == "push" else f"none: any writer, on {branches[0]} only"


def reachability(workflows: Sequence[Workflow], surroundings: Surroundings) -> list[Reach]:
    """Return every job that every event can start, with its environment, runner and secrets; pure."""
    return [
        Reach(
            workflow=workflow.file,
            event=event,
            job=name,
            environment=environment,
            runner=", ".join(workflow.jobs[name].runs_on),
            secrets=tuple(secrets_of(run, name)),
            approval=approval_of(surroundings.environments[environment], event.trigger)
            if environment in surroundings.environments
            else "",
        )
        for workflow in workflows
        for event in events(workflow, surroundings)
        for run in [Run(workflow, event, surroundings)]
        for name in run.jobs
        for environment in environments_of(workflow, workflow.jobs[name], surroundings) or [""]
        if admits(event, environment, surroundings)
    ]


def admits(event: Event, environment: str, surroundings: Surroundings) -> bool:
    """Whether the environment's policy lets a run of the event in; without an environment nothing is in the way.

    Only where somebody chooses the ref does the policy say which refs those are; that a filter of a trigger and the
    policy differ is a mistake, and not hidden here.
    """
    facts = surroundings.environments.get(environment)
    return facts is None or not event.chosen or allowed(event, facts)


def allowed(event: Event, facts: EnvironmentFacts) -> bool:
    """Whether an environment's branch and tag policy takes every ref of an event."""
    if event.kind == MERGE_GROUP:
        return False
    if event.kind == PULL_REQUEST:
        return any(covers(pattern, "refs/pull/1/merge") for pattern in facts.branches)
    patterns = facts.tags if event.kind == TAG else facts.branches
    return event.pattern != OTHERS and any(covers(pattern, event.pattern) for pattern in patterns)


def covers(policy: str, pattern: str) -> bool:
    """Whether a policy's pattern takes every ref that a trigger's pattern does; False where that is not certain.

    A policy's `*` and `?` stop at a slash, `**/` does not; `**` alone is no policy at all. Source: GitHub, "Creating
    rulesets for a repository", section "Using fnmatch syntax"; of triggers "Workflow syntax", "Filter pattern cheat
    sheet".
    """
    if policy in (pattern, "**"):
        return True
    wild = {"**/": "(?:[^/]+/)*", "**": "[^/]*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]*\])", policy)
    try:
        taken = re.compile("".join(wild.get(each) or (each if each[:1] == "[" else re.escape(each)) for each in parts))
    except re.error:
        return False
    return all(taken.fullmatch(each) for each in _samples(pattern))


def _samples(pattern: str) -> Iterator[str]:
    """Yield refs that a trigger's pattern takes, made of what no policy has but as a wildcard."""
    parts = re.split(r"(\*\*|(?:\[[^\]]*\]|[^*])[?+]|\*|\[[^\]]*\])", pattern)
    return map("".join, product(*(_drawn(each) if index % 2 else (each,) for index, each in enumerate(parts))))


def _drawn(wildcard: str) -> Sequence[str]:
    one, many = "\0", "\0" * 100
    if wildcard == "**":
        return "", many, f"{one}/{one}"
    if wildcard == "*":
        return "", many
    return {"+": (one, many), "?": ("", one)}.get(wildcard[-1], (one,))


def table(reaches: Sequence[Reach]) -> str:
    """Return what reaches an environment, a machine of ours or a secret, as a table in Markdown."""
    rows = [("workflow", "started by", "job", "environment", "runner", "secrets", "approval")]
    for each in reaches:
        if each.environment or each.secrets:
            secrets = ", ".join(each.secrets)
            row = each.workflow, str(each.event), each.job, each.environment, each.runner, secrets, each.approval
            rows.append(tuple(cell.replace("|", "\\|") for cell in row))  # pyright: ignore[reportArgumentType]  # same length
    lines = [f"| {' | '.join(row)} |" for row in dict.fromkeys(rows)]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]) + "\n"
