"""What one stack tells another: typed outputs, exported and read through these models alone."""

from collections.abc import Mapping
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

    KEY = "github"

    def export(self) -> None:
        """Export the model as one stack output."""
        pulumi.export(self.KEY, {"organization_id": self.organization_id, "repository_ids": self.repository_ids})

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
