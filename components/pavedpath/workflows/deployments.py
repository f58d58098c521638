"""What reaches an environment, in which order, with what, and how it goes back.

Sources: GitHub, "Managing environments for deployment", "Control the concurrency of workflows and jobs"; Helm, "helm
rollback".
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from pavedpath.problem import Problem

from .actions import needs
from .checks import APPROVERS
from .evaluation import Value
from .expressions import Expression
from .grammar import Reference, references, whole
from .model import Access, Concurrency, Job, Permissions, Run, Scope, Step, Surroundings, Uses, Workflow
from .places import Place, Text
from .reach import MERGE_GROUP, PULL_REQUEST, TAG, Event, allowed, covers, environments_of, events, exact_environments
from .reach import Run as EventRun
from .references import nearest
from .rendering import permissions, script

_CHECKOUT = "actions/checkout"
_BUILD = "docker/build-push-action"
_LOGIN = "docker/login-action"

_CHANGING = frozenset({Scope.ACTIONS, Scope.ATTESTATIONS, Scope.CONTENTS, Scope.DEPLOYMENTS, Scope.PACKAGES})
"""What lasts beyond the run; a report (checks, comments, SARIF) is replaced by that of the newer run."""

_DIFFERS = frozenset(
    f"github.{name}"
    for name in ("actor", "event_name", "head_ref", "ref", "ref_name", "run_attempt", "run_id", "run_number", "sha")
)
"""What makes a lock one of each run's own."""

_ANCESTRY = re.compile(r"(?P<before>[^\n;&|]*)\bgit\s+merge-base\s+--is-ancestor\b(?P<behind>.*)")
_REFUSES = re.compile(r"\bexit\s+[1-9]")
_DEPLOY = re.compile(
    r"\bpavedpath\s+deploy\b|\bhelm\b[^\n;|&]*\b(?:upgrade|install)\b[^\n;|&]*--(?:atomic|rollback-on-failure)\b"
)
_SHIP = re.compile(r"\bpavedpath\s+deploy\b|\bhelm\b[^\n;|&]*\b(?:upgrade|install)\b")
_ROLLBACK = re.compile(r"\bpavedpath\s+rollback\b|\bhelm\s+rollback\b")
_IMAGE = re.compile(r"""--image[ =]["']?[\w.-]+=["']?([^\s"']+)""")
_SET = re.compile(r"""--set(?:-string)?[ =]["']?(?:[\w-]+\.)*(?:image|tag|digest)=["']?([^\s"']+)""")
_VARIABLE = re.compile(r"\$\{?(\w+)\}?")


def problems(workflow: Workflow, surroundings: Surroundings) -> Iterator[Problem]:
    """Yield why a deployment would not run, would run where it must not, or would go back too far."""
    yield from _environments(workflow, surroundings)
    yield from _locks(workflow, surroundings)
    for name, job in workflow.jobs.items():
        at = f"{workflow.file}: jobs.{name}"
        yield from _images(at, workflow, job)
        yield from _rollbacks(at, workflow, name, surroundings)


def _environments(workflow: Workflow, surroundings: Surroundings) -> Iterator[Problem]:
    for name, job in workflow.jobs.items():
        for environment in environments_of(workflow, job, surroundings):
            if environment not in surroundings.environments:
                why = "the repository has no such environment: GitHub would make one without any rule"
                at = f"{workflow.file}: jobs.{name}.environment"
                yield Problem(at, environment, why, nearest(environment, surroundings.environments))
    runs = [EventRun(workflow, event, surroundings) for event in events(workflow, surroundings)]
    for name, job in workflow.jobs.items():
        reaching = [run for run in runs if name in run.jobs and not run.event.fork]
        for environment in environments_of(workflow, job, surroundings):
            if environment in surroundings.environments:
                yield from _policy(f"{workflow.file}: jobs.{name}", name, environment, reaching)


def _policy(at: str, name: str, environment: str, runs: Sequence[EventRun]) -> Iterator[Problem]:
    """Hold the events that reach a job against the policy of an environment it can have."""
    for run in runs:
        facts = run.surroundings.environments[environment]
        job, event = run.workflow.jobs[name], run.event
        taken = allowed(event, facts)
        deploys = job.environment is not None and job.environment.deployment
        if event.kind == MERGE_GROUP or (event.kind == PULL_REQUEST and (deploys or not taken)):
            why = f"{event} reaches the environment {environment}: code that nobody has merged"
            yield Problem(f"{at}.environment", environment, why, "give the job a condition that leaves it out")
        elif not taken and not event.chosen and exact_environments(run.workflow, job) is not None:
            kind = "tags" if event.kind == TAG else "branches"
            policy = ", ".join(facts.tags if event.kind == TAG else facts.branches) or "none"
            why = f"{event} reaches the environment {environment}, whose policy takes of {kind}: {policy}"
            fix = f"narrow the trigger or the job's condition, or add {event.pattern} to the environment's {kind}"
            yield Problem(f"{at}.environment", environment, why, fix)
        elif taken and event.kind == TAG and not _shows_ancestry(run, name):
            why = f"{event} reaches {environment}, and a tag can name a commit that was never merged"
            fix = "before that, run git merge-base --is-ancestor on the commit and the default branch, in a needed job"
            yield Problem(f"{at}.environment", environment, why, fix)
        elif taken and event.kind == TAG and not event.chosen and not _is_protected(event, run.surroundings):
            why = f"{event} reaches {environment}, and whoever may write to the repository can make such a tag"
            yield Problem(f"{at}.environment", environment, why, f"protect the tags {event.pattern}")
        if APPROVERS in facts.variables:
            yield from _approvers(at, job, environment, event)
    if runs and not any(allowed(run.event, run.surroundings.environments[environment]) for run in runs):
        facts = runs[0].surroundings.environments[environment]
        policy = ", ".join([*facts.branches, *facts.tags]) or "none"
        why = f"no trigger of the workflow ever reaches the environment {environment}, whose policy takes {policy}"
        yield Problem(f"{at}.environment", environment, why, "start it on a ref that the policy takes")


def _is_protected(event: Event, surroundings: Surroundings) -> bool:
    return any(covers(pattern, event.pattern) for pattern in surroundings.protected_tags)


def _approvers(at: str, job: Job, environment: str, event: Event) -> Iterator[Problem]:
    first = job.steps[0] if job.steps else None
    reads = first is not None and any(f"vars.{APPROVERS}" in str(value) for value in first.env.values())
    if not reads or first is None or first.condition is not None or first.continue_on_error:
        why = f"{environment} is deployed to by approvers, and the first step does not ask who started the run"
        yield Problem(f"{at}.steps[0]", None, why, "begin with the step of pavedpath.workflows.approver_step")
    if event.trigger != "workflow_dispatch":
        why = f"{event} reaches {environment}, which is deployed to by hand"
        yield Problem(f"{at}.environment", environment, why, "start it by workflow_dispatch")


def _shows_ancestry(run: EventRun, name: str) -> bool:
    """Whether a commit is shown to be merged before the job does anything with its environment."""
    job = run.workflow.jobs[name]
    for step in job.steps:
        if shows_merged(step, run):
            return True
        if not (isinstance(step, Uses) and step.action == _CHECKOUT):
            break
    if job.condition is not None and re.search(r"\b(always|failure|cancelled)\s*\(", job.condition.text):
        return False
    return any(
        shows_merged(step, run) for each in _needed(run.workflow, name) for step in run.workflow.jobs[each].steps
    )


def shows_merged(step: Step, run: EventRun) -> bool:
    """Whether a step certainly fails in this run unless a commit is on the default branch."""
    text = _commands(step)
    found = _ANCESTRY.search(text)
    if found is None or not _stops(text, found) or step.continue_on_error or run.value(step.condition) is not True:
        return False
    # Against the default branch, by its name or by a variable that has it.
    behind = found["behind"]
    by_variable = "$" in behind and any("default_branch" in str(value) for value in step.env.values())
    return by_variable or re.search(rf"[/\s]{re.escape(run.surroundings.default_branch)}\b", behind) is not None


def _stops(text: str, found: re.Match[str]) -> bool:
    """Whether a script ends where git says no: bash's `-e` passes over what is a condition or a part of a list."""
    before, behind = found["before"].strip(), found["behind"]
    earlier = text[: found.start()].rstrip()
    if re.search(r"\bset\s+\+e|(?:&&|\|\|)$", earlier) or before.endswith("!") or "&&" in behind:
        return False
    conditional = re.search(r"\b(?:if|elif|while|until)$", before) or "||" in behind
    return not conditional or _REFUSES.search(text, found.start("behind")) is not None


def _needed(workflow: Workflow, name: str) -> list[str]:
    """Return the jobs that a job waits for, directly or not."""
    found: dict[str, None] = {}
    waiting = list(workflow.jobs[name].needs)
    while waiting:
        each = waiting.pop()
        if each in workflow.jobs and each not in found:
            found[each] = None
            waiting += workflow.jobs[each].needs
    return list(found)


def _locks(workflow: Workflow, surroundings: Surroundings) -> Iterator[Problem]:
    with_environment = [name for name, job in workflow.jobs.items() if job.environment]
    if workflow.concurrency and with_environment:
        why = f"a run that waits for the approval of {', '.join(with_environment)} keeps every later run waiting"
        yield Problem(f"{workflow.file}: concurrency", None, why, "lock the jobs instead")
    yield from _lock(f"{workflow.file}: concurrency", workflow.concurrency, workflow, surroundings, workflow.jobs)
    for name, job in workflow.jobs.items():
        at = f"{workflow.file}: jobs.{name}.concurrency"
        yield from _lock(at, job.concurrency, workflow, surroundings, {name: job})
        if _deploys(job, workflow, surroundings):
            if job.concurrency is None:
                why = "two deployments to one environment could run at once"
                yield Problem(at, None, why, "lock the job by its environment")
            elif not job.concurrency.queue:
                why = "of the deployments that wait only the newest would remain, and the others be cancelled"
                yield Problem(at, str(job.concurrency.group), why, "declare the queue: Concurrency(..., queue=True)")
            if job.concurrency is not None:
                yield from _one_lock(f"{at}.group", job.concurrency)


def _one_lock(at: str, lock: Concurrency) -> Iterator[Problem]:
    for node in Text("", str(lock.group), Place.JOB_CONCURRENCY).readable():
        for reference in references(node):
            if str(reference) in _DIFFERS:
                why = f"{reference} differs from run to run, so that nothing waits for anything"
                yield Problem(at, str(lock.group), why, "name the lock by what is deployed, and where to")


def _deploys(job: Job, workflow: Workflow, surroundings: Surroundings) -> bool:
    """Whether a job changes its environment; one that only waits for an approval has nothing to change it with."""
    if job.environment is None or not job.environment.deployment:
        return False
    facts = [surroundings.environments.get(each) for each in environments_of(workflow, job, surroundings)]
    return bool(permissions(job)) or any(each is None or each.secrets or each.variables for each in facts)


def _lock(
    at: str, lock: Concurrency | None, workflow: Workflow, surroundings: Surroundings, jobs: Mapping[str, Job]
) -> Iterator[Problem]:
    if lock is None:
        return
    if not str(lock.group).strip():
        yield Problem(f"{at}.group", "", "the lock has no name", "name it")
    if lock.cancel_in_progress is False:
        return
    if lock.queue:
        why = "GitHub takes either: who cancels what runs leaves no queue"
        yield Problem(at, str(lock.group), why, "leave queue or cancel_in_progress out")
    for event in events(workflow, surroundings):
        run = EventRun(workflow, event, surroundings)
        changing = [name for name in run.jobs if name in jobs and _changes(run, jobs[name])]
        cancels = lock.cancel_in_progress
        if changing and (run.value(cancels) if isinstance(cancels, Expression) else cancels) is not False:
            why = f"{event} could be ended while {', '.join(changing)} changes something that outlives the run"
            yield Problem(f"{at}.cancel-in-progress", str(cancels), why, "cancel only what leaves nothing behind")
            return


def _changes(run: EventRun, job: Job) -> bool:
    """Whether ending a job midway could leave something half changed."""
    if job.environment is not None and job.environment.deployment:
        return True
    return any(
        access is Access.WRITE and scope in _CHANGING and _uses(run, step)
        for step in job.steps
        if run.may_run(step)
        for scope, access in _permitted(step).items()
    )


def _permitted(step: Step) -> Permissions:
    return {**(needs(step) if isinstance(step, Uses) else {}), **step.permissions}


def _uses(run: EventRun, step: Step) -> bool:
    """Whether a step does what it may; a login changes nothing, and a build only what it pushes."""
    if not isinstance(step, Uses):
        return True
    if step.action == _BUILD:
        push = step.inputs.get("push", False)
        if isinstance(push, str) and "${{" in push:
            push = Expression(whole(push) or "null")
        found: Value | bool = run.value(push) if isinstance(push, Expression) else str(push).lower() == "true"
        return found is not False or "push=true" in str(step.inputs.get("outputs", ""))
    return step.action != _LOGIN


def _images(at: str, workflow: Workflow, job: Job) -> Iterator[Problem]:
    for index, step in enumerate(job.steps):
        text = _commands(step)
        if not _SHIP.search(text):
            continue
        for match in (*_IMAGE.finditer(text), *_SET.finditer(text)):
            if not _is_digest(match[1], workflow, job, step):
                why = "what is deployed is not shown to be what was built: the image is not named by a digest"
                fix = "name IMAGE@DIGEST by the output of the job that built it, or of the step that found it"
                yield Problem(f"{at}.steps[{index}].run", match[0], why, fix)


def _commands(step: Step) -> str:
    return script(step.run).replace("\\\n", " ") if isinstance(step, Run) else ""


def _is_digest(value: str, workflow: Workflow, job: Job, step: Step) -> bool:
    if re.search(r"@sha256:[0-9a-f]{64}$", value):
        return True
    env = {**workflow.env, **job.env, **step.env}
    texts = [str(env[name]) for name in _VARIABLE.findall(value) if name in env]
    return any(_from_digest(text, workflow, job, 0) for text in texts)


def _from_digest(text: str, workflow: Workflow, job: Job, depth: int) -> bool:
    """Follow outputs back to a step that knows a digest."""
    found = [each for node in Text("", text, Place.STEP).readable() for each in references(node)]
    return depth < len(workflow.jobs) + 1 and any(_source_is_digest(each, workflow, job, depth) for each in found)


def _source_is_digest(reference: Reference, workflow: Workflow, job: Job, depth: int) -> bool:
    path = [each or "" for each in reference.path]
    if len(path) < 4 or path[2] != "outputs":
        return False
    if path[0] == "needs" and path[1] in workflow.jobs:
        needed = workflow.jobs[path[1]]
        return path[3] in needed.outputs and _from_digest(str(needed.outputs[path[3]]), workflow, needed, depth + 1)
    steps = (each for each in job.steps if path[0] == "steps" and each.id == path[1])
    return any("digest" in output.lower() for each in steps for output in each.outputs)


def _rollbacks(at: str, workflow: Workflow, name: str, surroundings: Surroundings) -> Iterator[Problem]:
    job = workflow.jobs[name]
    earlier = [step for each in _needed(workflow, name) for step in workflow.jobs[each].steps]
    deployed_before = any(_DEPLOY.search(_commands(step)) for step in earlier)
    deploy: Step | None = None
    for index, step in enumerate(job.steps):
        text = _commands(step)
        here = f"{at}.steps[{index}]"
        own, back = _DEPLOY.search(text), _ROLLBACK.search(text)
        if back and ((own and own.start() < back.start()) or (deploy is None and deployed_before)):
            if "--if-deployed" not in text:
                yield _twice(f"{here}.run", "--if-deployed with the revision that the deployment put out")
        elif back and deploy is not None and not _only_after_success(deploy, step, workflow, surroundings):
            yield _twice(f"{here}.if", f"steps.{deploy.id or '<id of the deploy step>'}.outcome == 'success'")
        if own:
            deploy = step


def _twice(at: str, fix: str) -> Problem:
    why = "a deployment that failed has gone back by itself: going back again would go back too far"
    return Problem(at, None, why, f"make it depend on {fix}")


def _only_after_success(deploy: Step, step: Step, workflow: Workflow, surroundings: Surroundings) -> bool:
    if not deploy.id or step.condition is None:
        return False
    failed: dict[str, Value] = {
        f"steps.{deploy.id.lower()}.outcome": "failure",
        f"steps.{deploy.id.lower()}.conclusion": "success" if deploy.continue_on_error else "failure",
    }
    return all(
        EventRun(workflow, event, surroundings, failed).value(step.condition) is False
        for event in events(workflow, surroundings)
    )
