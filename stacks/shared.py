"""The stack shared: what all environments have in common."""

from collections.abc import Mapping

import pulumi
import pulumi_github as github
from pavedpath import Repository, Team, creation_rules
from pavedpath.workflows import GATE

from .contract import SharedOutputs
from .identity import Identity
from .settings import PROJECT, SharedSettings
from .shared_arguments import repository_args, team_args


def deploy(settings: SharedSettings, identities: Mapping[str, Identity]) -> None:
    """Compose the stack and export its outputs."""
    organization = github.get_organization_output(name=settings.organization, summary_only=True)
    teams = {name: Team(name, team_args(name, settings)) for name in settings.teams}
    slugs = {team: made.slug for team, made in teams.items()}
    args = {name: repository_args(name, settings, slugs) for name in settings.repositories}
    repositories = {
        name: Repository(
            name, each, opts=pulumi.ResourceOptions(protect=settings.protect, retain_on_delete=settings.protect)
        )
        for name, each in args.items()
    }
    SharedOutputs(
        organization_id=organization.id.apply(int),
        repository_ids=pulumi.Output.all(**{name: made.repository_id for name, made in repositories.items()}),
        approval_branches=pulumi.Output.from_input(
            {name: sorted(each.get("approval_branches", {})) for name, each in args.items()}
        ),
    ).export()
    pulumi.export("repositories", {name: made.url for name, made in repositories.items()})
    pulumi.export(
        "rulesets",
        {name: pulumi.Output.concat(made.ruleset, ", requires ", GATE) for name, made in repositories.items()},
    )
    pulumi.export("sops", {".sops.yaml": sops_rules(identities)})


def sops_rules(identities: Mapping[str, Identity]) -> str:
    """Return the `.sops.yaml` by which `sops` finds the key of each environment's files."""
    return creation_rules(
        {
            environment: f"arn:aws:kms:{identity.region}:{identity.account}:alias/{PROJECT}-{environment}-sops"
            for environment, identity in identities.items()
        }
    )
