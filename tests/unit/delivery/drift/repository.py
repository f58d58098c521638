"""The documents of a repository in which everything is as it should be."""

from datetime import UTC, datetime
from typing import Any

NOW = datetime(2026, 4, 6, 12, tzinfo=UTC)
NAME = "acme/shop"
SHA = "a" * 40
WORKFLOW = f"""
on:
  push:
    branches: [main]
jobs:
  deploy:
    runs-on: [self-hosted]
    environment: prod
    steps:
      - uses: actions/checkout@{SHA}
      - run: ./deploy # never ${{{{ secrets.IN_A_COMMENT }}}}
        env:
          TOKEN: ${{{{ secrets.TOKEN }}}}
          KUBECONFIG: ${{{{ secrets['KUBECONFIG'] }}}}
"""


def rules(approvals: int = 1) -> list[dict[str, Any]]:
    return [
        {"type": "pull_request", "parameters": {"required_approving_review_count": approvals}},
        {
            "type": "required_status_checks",
            "parameters": {"required_status_checks": [{"context": "gate", "integration_id": 15368}]},
        },
        {"type": "non_fast_forward"},
        {"type": "deletion"},
    ]


def secret(name: str, updated: str = "2026-03-06T12:00:00Z") -> dict[str, Any]:
    return {"name": name, "created_at": "2024-01-01T00:00:00Z", "updated_at": updated}


def environment(name: str, **more: Any) -> dict[str, Any]:
    custom = {"protected_branches": False, "custom_branch_policies": True}
    return {"name": name, "protection_rules": [], "deployment_branch_policy": custom, **more}


def documents() -> dict[str, Any]:
    return {
        "repository": {"default_branch": "main", "permissions": {"admin": True}},
        "rules": rules(),
        "rulesets": [{"name": "main", "bypass_actors": []}],
        "environments": [environment("dev"), environment("prod")],
        "policies/dev": [{"name": "main", "type": "branch"}],
        "policies/prod": [{"name": "deploy/prod", "type": "branch"}],
        "rules/main": rules(),
        "rules/deploy/prod": rules(),
        "secrets": [secret("TOKEN")],
        "secrets/dev": [],
        "secrets/prod": [secret("KUBECONFIG")],
        "organization secrets": [secret("OF_ALL")],
        "actions": {"enabled": True, "allowed_actions": "selected", "sha_pinning_required": True},
        "token": {"default_workflow_permissions": "read", "can_approve_pull_request_reviews": False},
        "workflows": {".github/workflows/cd.yml": WORKFLOW},
        "outside": [],
        "keys": [{"id": 1, "title": "mirror", "read_only": True}],
        "hooks": [{"id": 2, "config": {"url": "https://hooks.test/x", "secret": "********", "insecure_ssl": "0"}}],
        "alerts": True,
        "deploy branches": [{"name": "deploy/prod", "date": "2026-04-01T00:00:00Z", "behind": 2}],
    }
