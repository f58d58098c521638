"""What one stack tells another: typed outputs, exported and read through these models alone."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pulumi

from .settings import PROJECT


class ContractError(pulumi.RunError):
    """What another stack exports does not hold what this one needs."""


@dataclass(frozen=True)
class SharedOutputs:
    """What the shared stack tells the environments."""

    organization_id: pulumi.Output[int]
    """Numeric id of the GitHub organisation."""
    repository_ids: pulumi.Output[Mapping[str, int]]
    """Numeric id of each repository by its name."""
    approval_branches: pulumi.Output[Mapping[str, Sequence[str]]]
    """Environments that each repository, by its name, has an approval branch for."""

    KEY = "github"

    def export(self) -> None:
        """Export the model as one stack output."""
        pulumi.export(self.KEY, {field.name: getattr(self, field.name) for field in dataclasses.fields(self)})

    @classmethod
    def read(cls, stack: str = "shared") -> "SharedOutputs":
        """Read the model from another stack of this project; what is secret there stays secret here."""
        reference = pulumi.StackReference(f"{pulumi.get_organization()}/{PROJECT}/{stack}")
        contract = reference.require_output(cls.KEY)
        return cls(
            organization_id=contract.apply(lambda known: int(cast(Mapping[str, Any], known)["organization_id"])),
            repository_ids=contract.apply(
                lambda known: {name: int(number) for name, number in known["repository_ids"].items()}
            ),
            # A shared stack that an earlier release deployed has none of them.
            approval_branches=contract.apply(lambda known: known.get("approval_branches", {})),
        )

    def repository_id(self, name: str) -> pulumi.Output[int]:
        """Return the numeric id of one repository.

        Raises:
            ContractError: at deployment, when the shared stack makes no such repository.
        """

        def find(known: Mapping[str, int]) -> int:
            if name not in known:
                raise ContractError(
                    f"the stack shared makes no repository '{name}' (it makes: {', '.join(sorted(known))})."
                    " Fix: add it to pavedpath:repositories in Pulumi.shared.yaml and deploy shared first."
                )
            return known[name]

        return self.repository_ids.apply(find)

    def guarded_repository(self, name: str, environment: str) -> pulumi.Output[str]:
        """Return a repository's name, known to have an approval branch for an environment.

        Raises:
            ContractError: at deployment, when it has none: nothing would guard what deploys.
        """

        def check(known: Mapping[str, Sequence[str]]) -> str:
            if environment not in known.get(name, ()):
                raise ContractError(
                    f"the stack shared guards no branch deploy/{environment} of repository '{name}', which its"
                    f" deployments to {environment} are approved by. Fix: add {environment} to approval_branches of"
                    f" pavedpath:repositories.{name} in Pulumi.shared.yaml and deploy shared first."
                )
            return name

        return self.approval_branches.apply(check)
