"""Deployments in GitHub's own list, for jobs without an environment: those with one are listed by GitHub itself."""

from collections.abc import Mapping, Sequence
from typing import Any

from pavedpath_delivery.deploy import flow
from pavedpath_delivery.kit.documents import Properties, fields, objects
from pavedpath_delivery.kit.errors import DeliveryError, Exit
from pavedpath_delivery.kit.github import GitHub

_STATES = {flow.State.ROLLED_BACK: "failure", flow.State.BROKEN: "error", flow.State.OVERTAKEN: "failure"}
_SHOWN = 30
"""Deployments that are looked at: each costs a request."""


def where(environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the repository and the commit of the job.

    Raises:
        DeliveryError: this is no job.
    """
    repository, commit = environ.get("GITHUB_REPOSITORY", ""), environ.get("GITHUB_SHA", "")
    if not (repository and commit):
        raise DeliveryError(
            "--record-deployment needs to know what is deployed. Fix: set GITHUB_REPOSITORY and GITHUB_SHA.",
            Exit.USAGE,
        )
    return repository, commit


def body(commit: str, environment: str, images: Sequence[str]) -> Mapping[str, Any]:
    """Return the request that makes a deployment: of this commit as it is, without waiting for its checks. Pure."""
    return {
        "ref": commit,
        "environment": environment,
        "auto_merge": False,
        "required_contexts": [],
        "description": "pavedpath deploy",
        "payload": {"images": list(images)},
    }


def status(outcome: flow.Outcome, environ: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the request that says how a deployment went. Pure."""
    result: dict[str, Any] = {
        "state": _STATES.get(outcome.state, "success"),
        "description": f"{outcome.state}, revision {outcome.revision}",
        "auto_inactive": True,
    }
    if run := environ.get("GITHUB_RUN_ID"):
        server, repository = environ.get("GITHUB_SERVER_URL", ""), environ["GITHUB_REPOSITORY"]
        result["log_url"] = f"{server}/{repository}/actions/runs/{run}"
    return result


def record(github: GitHub, environ: Mapping[str, str], environment: str, outcome: flow.Outcome) -> int:
    """Record a deployment and how it went; return its number.

    Raises:
        DeliveryError: GitHub refused it.
    """
    repository, commit = where(environ)
    made = fields(github.send("POST", f"repos/{repository}/deployments", body(commit, environment, outcome.images)))
    number = int(made["id"])
    github.send("POST", f"repos/{repository}/deployments/{number}/statuses", status(outcome, environ))
    return number


def attempt(github: GitHub, environ: Mapping[str, str], environment: str, outcome: flow.Outcome) -> str:
    """Record a deployment; return why it could not be, empty if it was: that takes nothing from the deployment."""
    import httpx

    try:
        record(github, environ, environment, outcome)
    except (DeliveryError, httpx.HTTPError) as error:
        fix = "Fix: look at GITHUB_TOKEN, which needs deployments: write. The next deployment is recorded again."
        return f"The deployment is not recorded on GitHub: {error}. {fix}"
    return ""


def deployments(github: GitHub, repository: str) -> list[Properties]:
    """Return the latest deployments of a repository with the state of each, newest first.

    Raises:
        DeliveryError: there is no such repository, or the token does not see it.
    """
    listed = github.get(f"repos/{repository}/deployments", per_page=str(_SHOWN))
    if listed is None:
        raise DeliveryError(
            f"There is no repository {repository}, or GITHUB_TOKEN does not see it. Fix: give OWNER/NAME, and a token"
            " that may read its deployments.",
            Exit.USAGE,
        )
    rows: list[Properties] = []
    for each in objects(listed):
        newest = objects(github.get(f"repos/{repository}/deployments/{each['id']}/statuses", per_page="1"))
        rows.append(
            {
                "environment": str(each.get("environment", "")),
                "when": str(each.get("created_at", "")),
                "state": str(newest[0].get("state", "")) if newest else "pending",
                "commit": str(each.get("sha", "")),
                "ref": str(each.get("ref", "")),
                "by": str(fields(each.get("creator")).get("login", "")),
            }
        )
    return rows
