"""What strangers must not reach, and credentials that must not be.

Sources: GitHub, "Secure use reference", "Automatic token authentication", "Approving workflow runs from forks".
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from pavedpath.problem import Problem

from .actions import needs
from .evaluation import Value
from .expressions import Expression
from .grammar import Reference, references
from .model import (
    Access,
    Job,
    PullRequest,
    Push,
    Run,
    Scalar,
    Scope,
    Step,
    Surroundings,
    Uses,
    Workflow,
    WorkflowRun,
)
from .places import Place, Text, texts, texts_of_step
from .reach import FORK, events, is_self_hosted, secrets_of
from .reach import Run as EventRun

_CHECKOUT = "actions/checkout"
_AWS = "aws-actions/configure-aws-credentials"

_DOWNLOAD = "actions/download-artifact"
_TAKES = re.compile(r"\bgh\s+run\s+download\b|\bactions/(?:runs/[^\s]*/)?artifacts\b")
"""Commands that fetch artifacts of another run."""

_STRANGE_RUN: Mapping[str, Value] = {
    "github.event.workflow_run.event": "pull_request",
    "github.event.workflow_run.head_repository.full_name": FORK,
    "github.event.workflow_run.head_repository.fork": True,
}
"""What is known of a run that a pull request from a fork started."""

_HARMLESS = {
    ("github", "sha"),
    ("github", "run_id"),
    ("github", "run_number"),
    ("github", "run_attempt"),
    ("github", "repository_id"),
    ("github", "workspace"),
    ("github", "server_url"),
    ("github", "api_url"),
    ("job", "status"),
}
"""What nobody but GitHub sets, so that it may be pasted into a script."""

_EXECUTED = frozenset({"script", "run", "inline-script", "inlinescript"})
"""Inputs of actions that are scripts."""

_STORED_KEYS = frozenset(
    {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "GOOGLE_CREDENTIALS",
        "CREDENTIALS_JSON",  # the input of google-github-actions/auth
        "GCP_SA_KEY",
        "AZURE_CLIENT_SECRET",
        "AZURE_CREDENTIALS",
        "ARM_CLIENT_SECRET",
    }
)

_PUSHES = re.compile(r"\bgit\b[^\n;|&]*\bpush\b|\bgh\s+release\s+create\b|\bpavedpath\s+release\b|\bgit/refs\b")
_COMMAND_ENDS = re.compile(r"[\n;]|&&|\|\|")
_READS_TAGS = r"-[dlnv]\b|--(?:list|sort|contains|no-contains|points-at|merged|delete|verify)\b"
_MAKES_TAG = re.compile(
    rf"\bgit\b[^\n;|&]*\btag\b(?!\s*(?:$|[\n;|&)]|{_READS_TAGS}))|\bgh\s+release\s+create\b|\bpavedpath\s+release\b"
)
_TAGS = re.compile(r"--tags|--follow-tags|refs/tags|\bgit\b[^\n;|&]*\btag\b|\bgh\s+release\b|\bpavedpath\s+release\b")


def problems(workflow: Workflow, workflows: Sequence[Workflow], surroundings: Surroundings) -> Iterator[Problem]:
    """Yield what would let strangers in, or needs a credential that is stored."""
    yield from _forks(workflow, surroundings)
    yield from _artifacts(workflow, workflows, surroundings)
    yield from _injections(workflow)
    yield from _clouds(workflow)
    for name, job in workflow.jobs.items():
        for index, step in enumerate(job.steps):
            at = f"{workflow.file}: jobs.{name}.steps[{index}]"
            if isinstance(step, Uses) and step.action == _CHECKOUT:
                yield from _checkout(at, step, workflow)
            yield from _token(at, name, index, step)
            if isinstance(step, Run) and not _releases_its_own_tag(workflow, step):
                yield from _pushes(at, step, job, workflows)


def _forks(workflow: Workflow, surroundings: Surroundings) -> Iterator[Problem]:
    found: dict[str, Problem] = {}
    for event in events(workflow, surroundings):
        if not event.fork:
            continue
        run = EventRun(workflow, event, surroundings)
        for name in run.jobs:
            for problem in _reached_by_fork(run, name):
                found.setdefault(str(problem), problem)
    yield from found.values()


def _reached_by_fork(run: EventRun, name: str) -> Iterator[Problem]:
    job, at = run.workflow.jobs[name], f"{run.workflow.file}: jobs.{name}"
    fix = "let it run only OF_THIS_REPOSITORY, or not on pull_request"
    secrets = secrets_of(run, name)
    if secrets:
        yield Problem(at, ", ".join(secrets), "a pull request from a fork reaches these secrets", fix)
    if is_self_hosted(job):
        why = "a pull request from a fork runs its code on a machine of yours"
        yield Problem(f"{at}.runs-on", list(job.runs_on), why, fix)
    if job.environment:
        why = "a pull request from a fork reaches an environment"
        yield Problem(f"{at}.environment", str(job.environment.name), why, fix)


def _artifacts(workflow: Workflow, workflows: Sequence[Workflow], surroundings: Surroundings) -> Iterator[Problem]:
    """Yield what takes files that the run of a stranger's pull request left, where the repository's secrets are."""
    watched = {name for trigger in workflow.on if isinstance(trigger, WorkflowRun) for name in trigger.workflows}
    pulled = (each.name for each in workflows if any(isinstance(trigger, PullRequest) for trigger in each.on))
    strange = [name for name in pulled if name in watched]
    for event in events(workflow, surroundings) if strange else ():
        if event.trigger != "workflow_run":
            continue
        # A filter of branches and head_branch are no help: a stranger's branch may be called main.
        run = EventRun(workflow, event, surroundings, _STRANGE_RUN)
        for name in run.jobs:
            for index, step in enumerate(workflow.jobs[name].steps):
                if run.may_run(step) and _takes_artifact(step):
                    why = f"it takes what a run of {', '.join(strange)} left, which a stranger's pull request can start"
                    fix = "let it run only if github.event.workflow_run.event is not pull_request, or take nothing"
                    yield Problem(f"{workflow.file}: jobs.{name}.steps[{index}]", None, why, fix)


def _takes_artifact(step: Step) -> bool:
    if isinstance(step, Uses):
        return step.action == _DOWNLOAD and "run-id" in step.inputs
    return _TAKES.search(step.run.replace("\\\n", " ")) is not None


def _injections(workflow: Workflow) -> Iterator[Problem]:
    for text in texts(workflow):
        executed = text.where.rsplit(".", 1)[-1].lower() in _EXECUTED and ".with." in text.where
        if text.place is not Place.SCRIPT and not executed:
            continue
        job = workflow.jobs[text.job]
        for reference in (each for node in text.readable() for each in references(node)):
            if not _is_harmless(reference, job):
                why = f"{reference} would be pasted into the script, where whoever sets it could run commands"
                yield Problem(text.where, None, why, "hand it over in env, and write it as a quoted variable")


def _is_harmless(reference: Reference, job: Job) -> bool:
    parts = [each or "*" for each in reference.path]
    context = parts.pop(0) if parts else ""
    if context in ("runner", "strategy") or (context, parts[0] if parts else "") in _HARMLESS:
        return True
    if context == "matrix" and len(parts) == 1 and job.matrix:
        axis = job.matrix.axes.get(parts[0], ())
        values = [axis] if isinstance(axis, Expression) else axis
        rows = [row.get(parts[0], "") for row in job.matrix.include]
        return not any(isinstance(each, Expression) for each in [*values, *rows])
    return False


def _clouds(workflow: Workflow) -> Iterator[Problem]:
    fix = "exchange the job's identity (OIDC): aws-actions/configure-aws-credentials with role-to-assume"
    for text in texts(workflow):
        name = text.where.rsplit(".", 1)[-1].upper().replace("-", "_")
        if name in _STORED_KEYS and text.place is not Place.SCRIPT:
            yield Problem(text.where, None, "a key that is stored leaks and stays valid", fix)
        for reference in (each for node in text.readable() for each in references(node)):
            context, _, part = str(reference).partition(".")
            if context.lower() in ("secrets", "vars") and part.upper() in _STORED_KEYS:
                yield Problem(text.where, str(reference), "a key that is stored leaks and stays valid", fix)
    for name, job in workflow.jobs.items():
        for index, step in enumerate(job.steps):
            if isinstance(step, Uses) and step.action == _AWS and not step.inputs.get("role-to-assume"):
                at = f"{workflow.file}: jobs.{name}.steps[{index}].with"
                yield Problem(at, sorted(step.inputs), "without a role it uses keys", fix)


def _checkout(at: str, step: Uses, workflow: Workflow) -> Iterator[Problem]:
    if step.inputs.get("persist-credentials") is not False:
        why = "the token would lie in .git, where every later step and every artifact has it"
        yield Problem(f"{at}.with.persist-credentials", step.inputs.get("persist-credentials"), why, "give False")
    if any(isinstance(each, WorkflowRun) for each in workflow.on):
        chosen = [str(step.inputs.get(name, "")) for name in ("ref", "repository")]
        if any(re.search(r"head|pull_request|workflow_run", each) for each in chosen):
            why = "workflow_run has the repository's secrets, and this would run a stranger's code with them"
            yield Problem(f"{at}.with", chosen, why, "check out the default branch, or run on pull_request")


def _token(at: str, job: str, index: int, step: Step) -> Iterator[Problem]:
    declared = {**(needs(step) if isinstance(step, Uses) else {}), **step.permissions}
    if step.permissions.get(Scope.ID_TOKEN) is Access.READ:
        yield Problem(f"{at}.permissions", "id-token: read", "an identity is only ever written", "give WRITE")
    if not declared and _mentions_token(texts_of_step(at, job, index, step)):
        why = "it is given GITHUB_TOKEN, which may do nothing"
        yield Problem(at, None, why, "declare in permissions what it does with it, or take the token away")


def _mentions_token(found: Iterator[Text]) -> bool:
    used = (str(each).lower() for text in found for node in text.readable() for each in references(node))
    return any(each in ("secrets.github_token", "github.token") for each in used)


def _pushes(at: str, step: Run, job: Job, workflows: Sequence[Workflow]) -> Iterator[Problem]:
    commands = _COMMAND_ENDS.split(step.run.replace("\\\n", " "))
    if not any(_PUSHES.search(each) and "--dry-run" not in each for each in commands):
        return
    tags = bool(_TAGS.search(step.run))
    # What another step tagged, this one may push by its name alone.
    tagged = tags or any(_MAKES_TAG.search(each.run) for each in job.steps if isinstance(each, Run))
    started = [
        workflow.file
        for workflow in workflows
        for trigger in workflow.on
        if isinstance(trigger, Push)
        and ((tagged and trigger.tags) or (not tags and (trigger.branches or not trigger.tags)))
    ]
    if started and not _has_token_of_its_own({**job.env, **step.env}):
        what = "tags" if tags else "tags or branches" if tagged else "branches"
        why = f"{what} that GITHUB_TOKEN pushes start no workflow, and {', '.join(started)} waits for them"
        yield Problem(at, None, why, "push with the token of an app: actions/create-github-app-token")


def _releases_its_own_tag(workflow: Workflow, step: Run) -> bool:
    """Whether the tag is what started the run: `pavedpath release` then makes the release, and no tag."""
    by_tags = all(isinstance(each, Push) and each.tags and not each.branches for each in workflow.on)
    return by_tags and _PUSHES.findall(step.run) == ["pavedpath release"]


def _has_token_of_its_own(env: Mapping[str, Scalar]) -> bool:
    """Whether some variable holds a token, and none GitHub's own."""
    at = Text("", "\n".join(str(value) for value in env.values()), Place.STEP)
    used = {str(each).lower() for node in at.readable() for each in references(node)}
    if used & {"secrets.github_token", "github.token"}:
        return False
    return any(each.startswith(("secrets.", "steps.")) for each in used)
