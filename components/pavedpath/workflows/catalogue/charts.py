"""A repository of charts: `charts.yml` checks the changed ones, and pushes them where charts are kept."""

from collections.abc import Sequence
from enum import StrEnum

from pavedpath.workflows.catalogue import jobs, steps
from pavedpath.workflows.catalogue.blueprint import HOW_TO_CHANGE
from pavedpath.workflows.checks import GATE, gate_job
from pavedpath.workflows.expressions import (
    OF_THIS_REPOSITORY,
    Expression,
    call,
    event_is,
    github,
    matrix,
    output_of,
    output_of_step,
    secret,
    variable,
)
from pavedpath.workflows.model import (
    Access,
    Concurrency,
    Dispatch,
    Job,
    Matrix,
    PullRequest,
    Push,
    Run,
    Scope,
    Step,
    Text,
    Uses,
    Workflow,
)

_LOGIN: dict[str, Text] = {
    "CHART_REGISTRY_USER": secret("CHART_REGISTRY_USER"),
    "CHART_REGISTRY_PASSWORD": secret("CHART_REGISTRY_PASSWORD"),
}


class ChartStore(StrEnum):
    """Where charts are kept."""

    OCI = "oci"
    """The registry of the images: GitHub's own, or the one that the variable IMAGE_REGISTRY names."""
    CHARTMUSEUM = "chartmuseum"
    """A ChartMuseum at the variable CHART_REGISTRY_URL; the secrets CHART_REGISTRY_USER and _PASSWORD log in."""


def charts(
    *,
    folder: str = "charts",
    stores: Sequence[ChartStore] = (ChartStore.OCI,),
    increment: bool = True,
    owner: str = "",
) -> Workflow:
    """Return charts.yml: every pull request lints the changed charts, the default branch pushes them.

    Args:
        folder: of the charts.
        stores: where they go.
        increment: whether a changed chart must have a higher version.
        owner: organisation, in any case. Default: `github.repository_owner`, which must then be in lower case.
    """
    on_main = steps.all_of(github("ref").equals("refs/heads/main"), output_of("changed", "charts").differs("[]"))
    museum = ChartStore.CHARTMUSEUM in stores
    made = {
        "changed": _changed(folder),
        "lint_test": jobs.chart_lint(folder, increment=increment, before=[_dependencies()] if museum else []),
        "helm_push": Job(
            name=f"push {matrix('chart')}",
            needs=("changed", "lint_test"),
            condition=on_main,
            timeout_minutes=10,
            matrix=Matrix(axes={"chart": call("fromJSON", output_of("changed", "charts"))}),
            steps=[
                steps.checkout(),
                Uses(name="Set up Helm", action="azure/setup-helm"),
                steps.command(),
                Run(
                    name="Pack",
                    id="package",
                    env={"CHART": matrix("chart")},
                    run='pavedpath chart package "$CHART" --out "$RUNNER_TEMP/charts"',
                    outputs=("package", "name", "version", "digest"),
                ),
                *(_push(store, owner) for store in stores),
            ],
        ),
    }
    made[GATE] = gate_job(list(made), may_be_skipped=["helm_push"])
    return Workflow(
        file="charts.yml",
        name="charts",
        on=[PullRequest(), Push(branches=["main"]), Dispatch()],
        concurrency=Concurrency(group=f"charts-{github('ref')}", cancel_in_progress=event_is("pull_request")),
        jobs=made,
        how_to_change=HOW_TO_CHANGE,
        why="Checks changed charts, and pushes them from main.",
    )


def _changed(folder: str) -> Job:
    base = github("event.pull_request.base.sha") | github("event.before")
    since = Expression(f"{base.text} || github.sha")
    return Job(
        name="changed charts",
        timeout_minutes=5,
        outputs={"charts": output_of_step("changed", "charts")},
        steps=[
            steps.checkout(history=True),
            steps.command(),
            Run(
                name="Find them",
                id="changed",
                env={"SINCE": since},
                run=f'pavedpath chart changed --since "$SINCE" --dir {folder}',
                outputs=("charts",),
            ),
        ],
    )


def _dependencies() -> Step:
    return Run(
        name="Add the repository of dependencies",
        why="A fork gets no login.",
        condition=steps.any_of(github("event_name").differs("pull_request"), OF_THIS_REPOSITORY),
        env={"NAME": variable("CHART_REGISTRY_NAME"), "URL": variable("CHART_REGISTRY_URL"), **_LOGIN},
        run=steps.joined(
            'helm repo add "$NAME" "$URL"',
            '--username "$CHART_REGISTRY_USER"',
            '--password-stdin <<<"$CHART_REGISTRY_PASSWORD"',
        ),
    )


def _push(store: ChartStore, owner: str) -> Run:
    env: dict[str, Text] = {"PACKAGE": output_of_step("package", "package")}
    if store is ChartStore.OCI:
        env |= {
            "CHART_REGISTRY_URL": steps.chart_store(owner),
            "CHART_REGISTRY_USER": github("actor"),
            "CHART_REGISTRY_PASSWORD": secret("GITHUB_TOKEN"),
        }
    else:
        env |= {"CHART_REGISTRY_URL": variable("CHART_REGISTRY_URL"), **_LOGIN}
    return Run(
        name=f"Push to {'the registry' if store is ChartStore.OCI else 'ChartMuseum'}",
        env=env,
        permissions={Scope.PACKAGES: Access.WRITE} if store is ChartStore.OCI else {},
        run='pavedpath chart push "$PACKAGE"',
    )
