"""Looking for secrets, and the rules that a whole company has."""

import shlex

from pavedpath.workflows.catalogue import steps
from pavedpath.workflows.catalogue.blueprint import HOW_TO_CHANGE
from pavedpath.workflows.expressions import Expression
from pavedpath.workflows.model import Dispatch, Job, Run, Schedule, Uses, Workflow

STANDARDS = ".standards"
"""Where a company's rules are checked out."""


def secret_scan_job() -> Job:
    """Return the job that looks for secrets in what a pull request or a push brings, or else in the whole history."""
    return Job(
        name="secrets",
        timeout_minutes=15,
        steps=[
            steps.checkout(history=True),
            Uses(
                name="Look for secrets",
                action="trufflesecurity/trufflehog",
                inputs={"extra_args": "--results=verified,unknown"},
            ),
        ],
    )


def secret_scan(*, cron: str = "17 4 * * 1") -> Workflow:
    """Return secret-scan.yml: the whole history, weekly, since what counts as a secret changes.

    Args:
        cron: when, in UTC.
    """
    return Workflow(
        file="secret-scan.yml",
        name="secret scan",
        on=[Schedule(cron=cron), Dispatch()],
        jobs={"secrets": secret_scan_job()},
        how_to_change=HOW_TO_CHANGE,
        why="Looks for secrets in the whole history: what counts as one changes.",
    )


def company_lint(standards: str, commit: str, command: str, *, token: Expression | None = None) -> Job:
    """Return the job that holds a repository to the rules of the company: a job of ci.yml, by `more`.

    Args:
        standards: OWNER/NAME of the repository with the rules, for example acme/standards.
        commit: which of its commits, in full: rules change by pull request, too.
        command: what is run from the root of the checked repository; the rules are in .standards.
        token: reads the repository with the rules. Default: it is public or internal.
    """
    inputs = {"repository": standards, "ref": commit, "path": STANDARDS, "persist-credentials": False}
    if token:
        inputs["token"] = str(token)
    return Job(
        name="company lint",
        timeout_minutes=15,
        steps=[
            steps.checkout(),
            Uses(name="Check the rules out", action="actions/checkout", inputs=inputs),
            Run(name=f"Apply the rules of {shlex.quote(standards)}", run=command),
        ],
    )
