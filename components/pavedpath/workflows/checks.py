"""The checks workflow that a managed repository carries, and the jobs that guard its branches.

A required check that a path filter skips stays pending for ever, so only one job is required: a gate that always runs
and reports on all the others.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pavedpath.problem import Problem

from .expressions import ALWAYS, Expression, event_is, github
from .model import Concurrency, Dispatch, Job, MergeGroup, PullRequest, Push, Run, Trigger, Uses, Workflow
from .rendering import render

_CHECKOUT = "actions/checkout"

GATE = "gate"
"""Job that reports on all checks; the one required status check of a repository."""

PROMOTION = "promotion"
"""Job that refuses a pull request into an approval branch which brings anything that is not on the default branch."""

APPROVERS = "DEPLOY_APPROVERS"
"""Variable of an environment: logins of those who may start a deployment to it, in lower case, with a space between.

A variable of the environment and not of the repository, since whoever may write to a repository may change its
variables, and an environment's take an administrator (GitHub, "Store information in variables").
"""

GITHUB_ACTIONS_APP = 15368
"""App id of GitHub Actions on github.com: with it, no other app's status can pass for the gate's."""

_CHECK_MINUTES = 30  # GitHub's own limit is six hours

# Source: GitHub, "Workflow syntax", jobs.<job_id>.
_JOB_ID = re.compile(r"^[A-Za-z_][A-Za-z0-9_-]{0,99}$")


@dataclass(frozen=True)
class ChecksWorkflow:
    """The workflow that checks every pull request and every push to the default branch.

    Attributes:
        checks: shell command of each check by its job id, for example {"test": "make test"}.
        branch: the default branch.
        merge_queue: whether it also checks what a merge queue is about to merge, which waits for it.
        approval_branches: branches whose pull requests may bring only what is on the default branch.
    """

    checks: Mapping[str, str]
    branch: str = "main"
    merge_queue: bool = False
    approval_branches: Sequence[str] = ()

    path = ".github/workflows/checks.yml"

    def problems(self) -> Iterator[Problem]:
        """Yield what GitHub would refuse."""
        if not self.checks:
            yield Problem("checks", {}, "there is nothing to require", "name at least one check and its command")
        for job, command in self.checks.items():
            if not _JOB_ID.fullmatch(job) or job == GATE:
                yield Problem("checks", job, "it cannot be a job id", f"use letters, digits, _ and -; not '{GATE}'")
            if job == PROMOTION and self.approval_branches:
                yield Problem("checks", job, "the job that guards approval branches is called so", "rename the check")
            if not command.strip():
                yield Problem("checks", job, "its command is empty", "give a shell command")
            if not command.replace("\n", "").replace("\t", "").isprintable():
                yield Problem("checks", job, "its command holds control characters, which YAML refuses", "remove them")

    def workflow(self) -> Workflow:
        """Return the workflow as a value."""
        jobs = {job: _check(job, command) for job, command in self.checks.items()}
        if self.approval_branches:
            jobs[PROMOTION] = promotion_job(self.branch, self.approval_branches)
        jobs[GATE] = gate_job(list(jobs))
        triggers: list[Trigger] = [PullRequest()]
        triggers += [MergeGroup()] if self.merge_queue else []
        return Workflow(
            file=self.path.rpartition("/")[2],
            name="checks",
            on=[*triggers, Push(branches=[self.branch]), Dispatch()],
            concurrency=Concurrency(group=f"checks-{github('ref')}", cancel_in_progress=event_is("pull_request")),
            jobs=jobs,
            how_to_change="Change the checks in the settings of the shared stack.",
        )

    def render(self) -> str:
        """Return the workflow file."""
        return render(self.workflow())


def _check(name: str, command: str) -> Job:
    steps = [
        Uses(action=_CHECKOUT, inputs={"persist-credentials": False}),
        Run(name="Run the check", run=command),
    ]
    return Job(name=name, steps=steps, timeout_minutes=_CHECK_MINUTES)


def gate_job(needs: Sequence[str], *, may_be_skipped: Sequence[str] = ()) -> Job:
    """Return the job that always runs, and fails unless every other one succeeded.

    Args:
        needs: ids of all other jobs.
        may_be_skipped: those of them that do not run when nothing of theirs changed. What decides that is among
            `needs`, so that a job that was skipped because something failed does not pass.
    """
    if may_be_skipped:
        run = """
        jq --exit-status --arg skippable "$MAY_BE_SKIPPED" '
          ($skippable | split(" ")) as $names
          | to_entries
          | all(.value.result == "success" or (.value.result == "skipped" and (.key | IN($names[]))))
        ' <<<"$RESULTS"
        """
        env = {"RESULTS": Expression("toJSON(needs)"), "MAY_BE_SKIPPED": " ".join(may_be_skipped)}
    else:
        run = 'jq --exit-status \'all(. == "success")\' <<<"$RESULTS"'
        env = {"RESULTS": Expression("toJSON(needs.*.result)")}
    return Job(
        name=GATE,
        needs=needs,
        condition=ALWAYS,
        timeout_minutes=5,
        steps=[Run(name="Fail unless every check succeeded", env=env, run=run)],
    )


def promotion_job(branch: str, approval_branches: Sequence[str]) -> Job:
    """Return the job that refuses a pull request into an approval branch with what is not on the default branch."""
    into = Expression(" || ".join(github("base_ref").equals(each).text for each in approval_branches))
    # The steps are skipped and not the job: the gate takes a skipped job for one that did not succeed.
    steps = [
        Uses(action=_CHECKOUT, condition=into, inputs={"fetch-depth": 0, "persist-credentials": False}),
        Run(
            name=f"Refuse what is not on {branch}",
            condition=into,
            env={"HEAD": github("event.pull_request.head.sha")},
            run=f'git merge-base --is-ancestor "$HEAD" "origin/{branch}"',
        ),
    ]
    return Job(name=PROMOTION, steps=steps, timeout_minutes=5)


def approver_step() -> str:
    """Return the step that lets only an approver deploy: the first of a job with an environment of `Approval.DISPATCH`.

    It fails unless the run was started by hand, and both who started it and who ran it again are approvers. That this
    step is in the job is what reviews of the default branch guarantee: the environment takes no other branch.
    """
    return f"""\
- name: Refuse who may not deploy
  shell: bash
  env:
    ACTORS: ${{{{ github.actor }}}} ${{{{ github.triggering_actor }}}}
    APPROVERS: ${{{{ vars.{APPROVERS} }}}}
    EVENT: ${{{{ github.event_name }}}}
  run: |
    if [ "$EVENT" != workflow_dispatch ]; then
      echo "::error::Deployments to this environment are started by hand, not by $EVENT."
      exit 1
    fi
    read -ra actors <<<"${{ACTORS,,}}"
    if [ "${{#actors[@]}}" -ne 2 ]; then
      echo "::error::It is not known who started this run."
      exit 1
    fi
    for actor in "${{actors[@]}}"; do
      if [[ " $APPROVERS " != *" $actor "* ]]; then
        echo "::error::$actor is not one of those who may deploy to this environment."
        exit 1
      fi
    done
"""
