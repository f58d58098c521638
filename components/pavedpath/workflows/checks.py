"""The checks workflow that a managed repository carries, rendered as text.

A required check that a path filter skips stays pending for ever, so only one job is required: a gate that always runs
and reports on all the others.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pavedpath.errors import Problem

CHECKOUT = "actions/checkout@8e8c483db84b4bee98b60c0593521ed34d9990e8 # v6.0.1"
"""Actions are named by commit, since a tag can be moved."""

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

    def render(self) -> str:
        """Return the workflow file."""
        jobs = "\n".join(self._job(job, command) for job, command in self.checks.items())
        queue = "\n  merge_group:" if self.merge_queue else ""
        needed = [*self.checks, *([PROMOTION] if self.approval_branches else [])]
        return f"""\
# Written by Pavedpath; a change made here is overwritten. Change the checks in the settings of the shared stack.
name: checks
on:
  pull_request:{queue}
  push:
    branches: [{self.branch}]
  workflow_dispatch:
permissions: {{}}
concurrency:
  group: checks-${{{{ github.ref }}}}
  cancel-in-progress: ${{{{ github.event_name == 'pull_request' }}}}
jobs:
{jobs}{self._promotion() if self.approval_branches else ""}
  {GATE}:
    name: {GATE}
    if: always()
    needs: [{", ".join(f'"{job}"' for job in needed)}]
    runs-on: ubuntu-latest
    timeout-minutes: 5
    permissions: {{}}
    steps:
      - name: Fail unless every check succeeded
        env:
          RESULTS: ${{{{ toJSON(needs.*.result) }}}}
        run: jq --exit-status 'all(. == "success")' <<<"$RESULTS"
"""

    def _job(self, job: str, command: str) -> str:
        lines = "\n".join(f"          {line}".rstrip() for line in command.strip().split("\n"))
        return f"""\
  "{job}":
    name: "{job}"
    runs-on: ubuntu-latest
    timeout-minutes: {_CHECK_MINUTES}
    permissions:
      contents: read
    steps:
      - uses: {CHECKOUT}
        with:
          persist-credentials: false
      - name: Run the check
        run: |
{lines}
"""

    def _promotion(self) -> str:
        # The steps are skipped and not the job: the gate takes a skipped job for one that did not succeed.
        condition = " || ".join(f"github.base_ref == '{branch}'" for branch in self.approval_branches)
        return f"""
  {PROMOTION}:
    name: {PROMOTION}
    runs-on: ubuntu-latest
    timeout-minutes: 5
    permissions:
      contents: read
    steps:
      - uses: {CHECKOUT}
        if: {condition}
        with:
          fetch-depth: 0
          persist-credentials: false
      - name: Refuse what is not on {self.branch}
        if: {condition}
        env:
          HEAD: ${{{{ github.event.pull_request.head.sha }}}}
        run: git merge-base --is-ancestor "$HEAD" "origin/{self.branch}"
"""


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
