"""The checks of a pull request: `ci.yml`, with the one job that is required; and `images.yml`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pavedpath.workflows.catalogue import images, jobs, steps
from pavedpath.workflows.catalogue.blueprint import HOW_TO_CHANGE, Blueprint
from pavedpath.workflows.checks import GATE, PROMOTION, gate_job, promotion_job
from pavedpath.workflows.expressions import OF_THIS_REPOSITORY, Expression, event_is, github
from pavedpath.workflows.model import (
    Concurrency,
    Dispatch,
    Input,
    InputType,
    Job,
    MergeGroup,
    PullRequest,
    Push,
    Trigger,
    Workflow,
)

FILE = "ci.yml"

_OWN = steps.any_of(github("event_name").differs("pull_request"), OF_THIS_REPOSITORY)


def ci(
    blueprint: Blueprint,
    *,
    pushes: Sequence[str] = (),
    merge_queue: bool = False,
    approval_branches: Sequence[str] = (),
    more: Mapping[str, Job] | None = None,
) -> Workflow:
    """Return ci.yml: it runs on every pull request, whatever paths changed, and `gate` reports on all its jobs.

    What costs much (images, the chart, the dbt project) runs only if its own files changed; `changes` finds that out,
    and the gate takes only these jobs for passed when they were skipped.

    Args:
        blueprint: the service.
        pushes: branches whose pushes are checked, too, for example develop.
        merge_queue: whether a merge queue is answered.
        approval_branches: branches whose pull requests may bring only what is on the default branch.
        more: further jobs by id, such as those of `scanning`.
    """
    made = _jobs(blueprint) | dict(more or {})
    if approval_branches:
        made[PROMOTION] = promotion_job(blueprint.default_branch, approval_branches)
    made[GATE] = gate_job(list(made), may_be_skipped=[name for name, job in made.items() if job.condition])
    triggers: list[Trigger] = [PullRequest()]
    triggers += [MergeGroup()] if merge_queue else []
    triggers += [Push(branches=pushes)] if pushes else []
    debug = Input(description="Say more about what fails", type=InputType.BOOLEAN, default=False)
    return Workflow(
        file=FILE,
        name="ci",
        on=[*triggers, Dispatch(inputs={"debug": debug})],
        concurrency=Concurrency(group=f"ci-{github('ref')}", cancel_in_progress=event_is("pull_request")),
        jobs=made,
        how_to_change=HOW_TO_CHANGE,
        why="Checks every pull request. Only `gate` is required: it always reports, whatever was skipped.",
    )


def image_pipeline(blueprint: Blueprint) -> Workflow:
    """Return images.yml, for a repository that makes images and deploys nothing; `gate` is its required check.

    Pull requests build, the default branch pushes; names are given to what the service's checks passed for.
    """
    checks = jobs.check_jobs(blueprint.service, blueprint.requirements)
    requested, on_main = event_is("pull_request"), github("ref").equals(f"refs/heads/{blueprint.default_branch}")
    built = {
        f"{name}_request": replace(job, name=f"{job.name} of a request", condition=requested)
        for name, job in images.checked(blueprint).items()
    }
    made = checks | built | images.pushed(blueprint, (), on_main) | images.published(blueprint, list(checks))
    skippable = [name for name in made if name not in checks]
    made[GATE] = gate_job(list(made), may_be_skipped=skippable)
    return Workflow(
        file="images.yml",
        name="images",
        on=[PullRequest(), Push(branches=[blueprint.default_branch]), Dispatch()],
        concurrency=Concurrency(group=f"images-{github('ref')}", cancel_in_progress=requested),
        jobs=made,
        how_to_change=HOW_TO_CHANGE,
        why="A digest has no name until the checks of its commit passed and its scan is clean.",
    )


def _jobs(blueprint: Blueprint) -> dict[str, Job]:
    service, areas = blueprint.service, _areas(blueprint)
    made = {jobs.CHANGES: jobs.changes(areas)} if areas else {}
    made |= jobs.check_jobs(service, blueprint.requirements, debug=True)
    if service.dbt:
        made["validate_dbt_project"] = jobs.if_changed(_dbt(blueprint), "dbt")
        if blueprint.dbt_private:
            # A fork gets no secret: its change is parsed with the packages that everybody may read.
            made["validate_dbt_project"] = _where(made["validate_dbt_project"], _OWN)
            public = jobs.if_changed(_dbt(replace(blueprint, dbt_private=False)), "dbt")
            made["validate_dbt_project_fork"] = replace(_where(public, ~_OWN), name="validate_dbt_project (fork)")
    if service.chart_folder:
        made["chart"] = jobs.if_changed(jobs.chart_lint(service.chart_folder.rpartition("/")[0] or "."), "chart")
    conditions = {
        image.name: jobs.changed(steps.job_id("image", image.name))
        for image in service.images
        if steps.job_id("image", image.name) in areas
    }
    return made | images.checked(blueprint, conditions)


def _where(job: Job, condition: Expression) -> Job:
    return replace(job, condition=condition if job.condition is None else job.condition & condition)


def _dbt(blueprint: Blueprint) -> Job:
    service = blueprint.service
    return jobs.dbt(service.dbt, service.python[-1], private=blueprint.dbt_private)


def _areas(blueprint: Blueprint) -> dict[str, Sequence[str]]:
    service, workflow = blueprint.service, f".github/workflows/{FILE}"
    areas: dict[str, Sequence[str]] = {}
    if service.dbt:
        areas["dbt"] = [service.dbt, workflow]
    if service.chart_folder:
        areas["chart"] = [service.chart_folder, workflow]
    for image in service.images:
        # Every change touches an image that is built from the whole repository.
        if image.context != ".":
            areas[steps.job_id("image", image.name)] = [image.context, workflow]
    return areas
