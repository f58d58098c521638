"""Jobs that more than one pipeline has: what changed, checks, the dbt project, charts."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pavedpath.workflows.catalogue import steps
from pavedpath.workflows.expressions import Expression, github, given, output_of, output_of_step, secret, variable
from pavedpath.workflows.model import Job, Run, Step, Text, Uses
from pavedpath.workflows.service import Service

CHANGES = "changes"

_BASES = ("pull_request.base.sha", "merge_group.base_sha", "before")

DEBUG = given("debug") | False
"""Whether a run by hand asked to be told more; false for every other run. The workflow has the input `debug`."""


def changes(areas: Mapping[str, Sequence[str]]) -> Job:
    """Return the job `changes`, which finds what a change touches: an output for each area, true or false.

    Args:
        areas: paths by the area's name.
    """
    lines = [
        f'echo "{area}=$(touched {" ".join(map(shlex.quote, paths))})" >> "$GITHUB_OUTPUT"'
        for area, paths in areas.items()
    ]
    compare = Run(
        name="Compare",
        id="compare",
        why="Without a commit to compare with, as in a run by hand, git fails, and everything counts as changed.",
        env={"BASE": Expression(" || ".join((*(github(f"event.{each}").text for each in _BASES), "'none'")))},
        run='touched() { git diff --quiet "$BASE...HEAD" -- "$@" && echo false || echo true; }\n' + "\n".join(lines),
        outputs=tuple(areas),
    )
    return Job(
        name=CHANGES,
        timeout_minutes=5,
        steps=[steps.checkout(history=True), compare],
        outputs={area: output_of_step("compare", area) for area in areas},
    )


def changed(area: str) -> Expression:
    """Ask whether `changes` found that an area was touched."""
    return output_of(CHANGES, area).equals("true")


def if_changed(job: Job, area: str) -> Job:
    """Return a job that runs only if an area was touched."""
    return replace(job, needs=(CHANGES,), condition=changed(area))


def check_jobs(service: Service, requirements: Sequence[str], *, debug: bool = False) -> dict[str, Job]:
    """Return a job for each check; with several versions of Python, one for each of them.

    Args:
        service: the service.
        requirements: files by which pip's downloads are kept; empty to keep none.
        debug: whether the workflow has the input `debug`.
    """
    several = len(service.python) > 1
    more: dict[str, Text] = {"PYTEST_ADDOPTS": given("debug") & "-vv --showlocals" | ""} if debug else {}
    return {
        (steps.job_id(check, version) if several else check): Job(
            name=f"{check} ({version})" if several else check,
            steps=[
                steps.checkout(),
                steps.python(version, requirements),
                Run(name="Run the check", env=more, run=command),
            ],
        )
        for check, command in service.checks.items()
        for version in service.python
    }


def dbt(folder: str, python: str = "3.12", *, private: bool = False) -> Job:
    """Return `validate_dbt_project`: the project in a folder is parsed with the packages that it names.

    It needs the variable PROFILES_YML_BASE64, a profiles.yml that connects to nothing, encoded by base64.

    Args:
        folder: of the project, with its requirements.txt.
        python: version.
        private: whether it takes packages of private repositories, which the secret SECRET_GH_TOKEN reads; such a job
            must not run for a fork.
    """
    token: dict[str, Text] = {"DBT_ENV_SECRET_GITHUB_TOKEN": secret("SECRET_GH_TOKEN")} if private else {}
    told: dict[str, Text] = {**token, "DBT_DEBUG": DEBUG, "DBT_QUIET": ~given("debug")}
    requirements = f"{folder}/requirements.txt"
    return Job(
        name="validate_dbt_project",
        steps=[
            steps.checkout(),
            steps.python(python, [requirements]),
            Run(
                name="Install dbt",
                env={**token, "PIP_ROOT_USER_ACTION": "ignore"},
                run=f"python -m pip install --quiet --requirement {shlex.quote(requirements)}",
            ),
            Run(name="Get the packages", env=told, working_directory=folder, run="dbt deps"),
            Run(
                name="Write profiles.yml",
                env={"PROFILES_YML_BASE64": variable("PROFILES_YML_BASE64")},
                working_directory=folder,
                run='base64 --decode <<<"$PROFILES_YML_BASE64" > profiles.yml',
            ),
            Run(name="Parse the project", env=told, working_directory=folder, run="dbt parse"),
        ],
    )


def chart_lint(folder: str, *, increment: bool = True, before: Sequence[Step] = ()) -> Job:
    """Return the job that checks changed charts with chart-testing, over the whole history.

    Args:
        folder: of charts, for example charts.
        increment: whether a changed chart must have a higher version.
        before: steps in front, for example a login to the registry of a dependency.
    """
    return Job(
        name="chart",
        steps=[
            steps.checkout(history=True),
            Uses(name="Set up Helm", action="azure/setup-helm"),
            steps.python("3.12"),
            Uses(name="Set up chart-testing", action="helm/chart-testing-action"),
            *before,
            Run(
                name="Lint, and ask for a new version",
                env={"TARGET": github("event.repository.default_branch")},
                run=steps.joined(
                    'ct lint --target-branch "$TARGET"',
                    f"--chart-dirs {shlex.quote(folder)}",
                    f"--check-version-increment={'true' if increment else 'false'}",
                    "--validate-maintainers=false",
                ),
            ),
        ],
    )
