"""Workflows of GitHub Actions as typed values: written in Python, checked as a whole, rendered as a person would.

`model` has the values, `expressions` what stands in `${{ }}`, `actions` the lock file of actions, `checking` what must
hold, `reach` which trigger reaches which environment, `rendering` the YAML, `catalogue` the pipelines.
"""

from .checks import APPROVERS, GATE, GITHUB_ACTIONS_APP, PROMOTION, ChecksWorkflow, approver_step

__all__ = ["APPROVERS", "GATE", "GITHUB_ACTIONS_APP", "PROMOTION", "ChecksWorkflow", "approver_step"]
