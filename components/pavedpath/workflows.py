"""The checks workflow that a managed repository carries, rendered as text.

A required check that a path filter skips stays pending for ever, so only one job is required: a gate that always runs
and reports on all the others.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .errors import Problem

CHECKOUT = "actions/checkout@8e8c483db84b4bee98b60c0593521ed34d9990e8 # v6.0.1"
"""Actions are named by commit, since a tag can be moved."""

GATE = "gate"
"""Job that reports on all checks; the one required status check of a repository."""

GITHUB_ACTIONS_APP = 15368
"""App id of GitHub Actions on github.com: with it, no other app's status can pass for the gate's."""

# Source: GitHub, "Workflow syntax", jobs.<job_id>.
_JOB_ID = re.compile(r"^[A-Za-z_][A-Za-z0-9_-]{0,99}$")


@dataclass(frozen=True)
class ChecksWorkflow:
    """The workflow that checks every pull request and every push to the default branch.

    Attributes:
        checks: shell command of each check by its job id, for example {"test": "make test"}.
        branch: the default branch.
        timeout_minutes: how long one check may take, in minutes.
    """

    checks: Mapping[str, str]
    branch: str = "main"
    timeout_minutes: int = 30

    path = ".github/workflows/checks.yml"

    def problems(self) -> Iterator[Problem]:
        """Yield what GitHub would refuse."""
        if not self.checks:
            yield Problem("checks", {}, "there is nothing to require", "name at least one check and its command")
        for job, command in self.checks.items():
            if not _JOB_ID.fullmatch(job) or job == GATE:
                yield Problem("checks", job, "it cannot be a job id", f"use letters, digits, _ and -; not '{GATE}'")
            if not command.strip():
                yield Problem("checks", job, "its command is empty", "give a shell command")
            if not command.replace("\n", "").replace("\t", "").isprintable():
                yield Problem("checks", job, "its command holds control characters, which YAML refuses", "remove them")

    def render(self) -> str:
        """Return the workflow file."""
        jobs = "\n".join(self._job(job, command) for job, command in self.checks.items())
        return f"""\
# Written by Pavedpath; a change made here is overwritten. Change the checks in the settings of the shared stack.
name: checks
on:
  pull_request:
  push:
    branches: [{self.branch}]
  workflow_dispatch:
permissions: {{}}
concurrency:
  group: checks-${{{{ github.ref }}}}
  cancel-in-progress: ${{{{ github.event_name == 'pull_request' }}}}
jobs:
{jobs}
  {GATE}:
    name: {GATE}
    if: always()
    needs: [{", ".join(f'"{job}"' for job in self.checks)}]
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
    timeout-minutes: {self.timeout_minutes}
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
