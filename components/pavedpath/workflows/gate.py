"""The one check that a repository requires: a job that always runs and reports on all the others.

Source: GitHub, "Troubleshooting required status checks": a check that a path filter skips stays pending for ever, and a
job that is skipped counts as passed.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from pavedpath.problem import Problem

from .checks import GATE
from .deployments import shows_merged
from .expressions import ALWAYS
from .grammar import references
from .model import Job, MergeGroup, PullRequest, Surroundings, Workflow
from .places import texts_of_job
from .reach import PULL_REQUEST, Event
from .reach import Run as EventRun

_HEAD = "github.event.pull_request.head.sha"


def problems(workflows: Sequence[Workflow], surroundings: Surroundings) -> Iterator[Problem]:
    """Yield why the required check would not report on all checks of every pull request."""
    if not workflows:
        return
    found = [
        (workflow, name, job)
        for workflow in workflows
        for name, job in workflow.jobs.items()
        if GATE in (name, str(job.name))
    ]
    if len(found) != 1:
        where = ", ".join(f"{workflow.file}: {name}" for workflow, name, _ in found) or "none"
        why = f"one job called {GATE} is what pull requests require, and there are {len(found)}"
        yield Problem("jobs", where, why, f"have one job {GATE} that needs all the others of its workflow")
        return
    workflow, name, job = found[0]
    at = f"{workflow.file}: jobs.{name}"
    yield from _gate(at, workflow, name, job)
    yield from _gate_triggers(f"{workflow.file}: on", workflow, surroundings)
    yield from _promotions(f"{workflow.file}: jobs", workflow, surroundings)
    yield from _collisions(workflows)


def _gate(at: str, workflow: Workflow, name: str, job: Job) -> Iterator[Problem]:
    if str(job.name or name) != GATE:
        yield Problem(f"{at}.name", str(job.name), f"pull requests require a check called {GATE}", "leave the name out")
    condition = job.condition.text.strip() if job.condition else ""
    if condition != ALWAYS.text:
        why = "a job that is skipped counts as passed, whatever the others did"
        yield Problem(f"{at}.if", condition, why, "let it run always()")
    missing = [each for each in workflow.jobs if each != name and each not in job.needs]
    if missing:
        yield Problem(f"{at}.needs", missing, "it does not report on these jobs", "add them to its needs")
    if job.matrix or job.environment:
        why = "neither a matrix nor an environment lets it report at once under its own name"
        yield Problem(at, None, why, "leave them out")
    if any(step.continue_on_error for step in job.steps):
        yield Problem(at, None, "a step that may fail hides what it reports", "take continue_on_error out")
    if len(workflow.jobs) > 1 and not _looks(at, name, job):
        why = "it does not look at how the others ended, or not always"
        yield Problem(at, None, why, "read needs.*.result in a step without a condition")


def _looks(at: str, name: str, job: Job) -> bool:
    """Whether some step that always runs reads the results."""
    return any(
        reference.path[0] == "needs"
        for text in texts_of_job(at, name, job)
        if text.step is not None and job.steps[text.step].condition is None
        for node in text.readable()
        for reference in references(node)
    )


def _gate_triggers(at: str, workflow: Workflow, surroundings: Surroundings) -> Iterator[Problem]:
    pull = next((each for each in workflow.on if isinstance(each, PullRequest)), None)
    if pull is None:
        yield Problem(at, None, "pull requests wait for the gate for ever", "start it on pull_request")
        return
    if pull.paths:
        why = "a pull request that touches none of them waits for the gate for ever"
        yield Problem(f"{at}.pull_request.paths", list(pull.paths), why, "leave them out, and decide in the jobs")
    if pull.types and not {"opened", "synchronize", "reopened"} <= set(pull.types):
        why = "a pull request is not checked at each change"
        yield Problem(f"{at}.pull_request.types", list(pull.types), why, "leave them out")
    for branch in (surroundings.default_branch, *_approval_branches(surroundings)):
        if pull.branches and branch not in pull.branches:
            why = f"pull requests into {branch} wait for the gate for ever"
            yield Problem(f"{at}.pull_request.branches", list(pull.branches), why, f"add {branch}")
    if surroundings.merge_queue and not any(isinstance(each, MergeGroup) for each in workflow.on):
        yield Problem(at, None, "the merge queue waits for the gate for ever", "start it on merge_group, too")


def _approval_branches(surroundings: Surroundings) -> list[str]:
    named = (each for facts in surroundings.environments.values() for each in facts.branches)
    return [each for each in dict.fromkeys(named) if each.startswith("deploy/")]


def _promotions(at: str, workflow: Workflow, surroundings: Surroundings) -> Iterator[Problem]:
    """Who approves a pull request into an approval branch takes its commits for merged: a job must see to it."""
    for branch in _approval_branches(surroundings):
        run = EventRun(workflow, Event("pull_request", PULL_REQUEST, branch, branch), surroundings)
        if not any(_guards(run, job) for job in workflow.jobs.values()):
            why = f"a pull request into {branch} could bring what was never merged into {surroundings.default_branch}"
            yield Problem(at, None, why, "add the job of pavedpath.workflows.checks.promotion_job")


def _guards(run: EventRun, job: Job) -> bool:
    return run.value(job.condition) is True and any(
        shows_merged(step, run) and any(_HEAD in str(value) for value in step.env.values()) for step in job.steps
    )


def _collisions(workflows: Sequence[Workflow]) -> Iterator[Problem]:
    pulled = [each for each in workflows if any(isinstance(on, PullRequest) for on in each.on)]
    names = Counter(str(job.name or name) for workflow in pulled for name, job in workflow.jobs.items())
    for name, count in names.items():
        if count > 1:
            where = ", ".join(
                f"{workflow.file}: {each}"
                for workflow in pulled
                for each, job in workflow.jobs.items()
                if str(job.name or each) == name
            )
            yield Problem("jobs", name, f"checks of a pull request share this name ({where})", "name them apart")
