"""The stack shared: what all environments have in common."""

import pulumi
import pulumi_github as github
from pavedpath import Repository
from pavedpath.workflows import GATE

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
    pulumi.export("repositories", {name: made.url for name, made in repositories.items()})
    pulumi.export(
        "rulesets",
        {name: pulumi.Output.concat(made.ruleset, ", requires ", GATE) for name, made in repositories.items()},
    )
