"""The stack shared: what all environments have in common."""

import pulumi
import pulumi_github as github
from pavedpath import Repository

from .contract import SharedOutputs
from .settings import SharedSettings


def deploy(settings: SharedSettings) -> None:
    """Compose the stack and export its outputs."""
    organization = github.get_organization_output(name=settings.organization, summary_only=True)
    repositories = {
        name: Repository(
            name,
            {
                "name": name,
                "description": repository.description,
                "visibility": repository.visibility,
                "topics": repository.topics,
                "approvals": repository.approvals,
                "checks": repository.checks,
            },
        )
        for name, repository in settings.repositories.items()
    }
    SharedOutputs(
        organization_id=organization.id.apply(int),
        repository_ids=pulumi.Output.all(**{name: made.repository_id for name, made in repositories.items()}),
    ).export()
    for name, made in repositories.items():
        pulumi.export(
            f"repository {name}",
            {"page": made.url, "ruleset": made.ruleset, "checks": ", ".join(settings.repositories[name].checks)},
        )
