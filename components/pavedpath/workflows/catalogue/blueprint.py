"""A service with what GitHub's pipelines need to know beyond it: what every function of the catalogue starts from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pavedpath.plans import Approval
from pavedpath.workflows.catalogue import steps
from pavedpath.workflows.catalogue.steps import GITHUB_REGISTRY, Registry
from pavedpath.workflows.expressions import Expression, output_of
from pavedpath.workflows.model import Text
from pavedpath.workflows.service import Service, Target

HOW_TO_CHANGE = "Change the service in the program that manages the repository."


@dataclass(frozen=True, kw_only=True)
class Blueprint:
    """A service, and how GitHub delivers it."""

    service: Service
    requirements: Sequence[str] = ()
    """Requirements files of the checks: pip's downloads are kept by what stands in them."""
    registry: Registry = field(default_factory=lambda: GITHUB_REGISTRY)
    exceptions: str = ""
    """File of the findings that the repository lives with, each until a day; empty for none."""
    smoke: str = ""
    """File of what the smoke test asks; empty for /healthz, /ready and /metrics. A rollback always asks these."""
    dbt_private: bool = False
    """Whether the dbt project takes packages of private repositories, with the secret SECRET_GH_TOKEN."""
    notify: str = ""
    """Channel that hears of deployments: slack or webhook; empty for none."""
    default_branch: str = "main"
    kubeconfig: str = ""
    """Secret of each environment with its kubeconfig. Default: KUBECONFIG_<SERVICE>."""
    kubeconfig_encoded: bool = False
    """Whether it is encoded by base64."""
    settings: Mapping[str, Text] = field(default_factory=dict[str, Text])
    """Further values of the chart, by key."""

    @property
    def names(self) -> Mapping[str, str]:
        """Full names of the images without a tag, by the images' names."""
        service = self.service
        return {
            each.name: steps.image_name(self.registry, service.owner, service.name, each.name)
            for each in service.images
        }

    @property
    def built(self) -> Mapping[str, Expression]:
        """IMAGE@DIGEST by the images' names, in a job that needs those of `images.pushed`."""
        return {name: output_of(steps.job_id("image", name), "image") for name in self.names}

    @property
    def values(self) -> str:
        """Folder of the values and SOPS files."""
        return self.service.values or f"etc/helm_values/{self.service.name}"

    @property
    def kubeconfig_secret(self) -> str:
        """Secret with the kubeconfig."""
        return self.kubeconfig or steps.variable_of("KUBECONFIG", self.service.name)

    @property
    def chained(self) -> Sequence[Target]:
        """Targets of deploy.yml: one after another, until the first that is approved elsewhere or takes tags only."""
        found: list[Target] = []
        for target in self.service.targets:
            if target.approval in (Approval.BRANCH, Approval.DISPATCH) or target.tags:
                break
            found.append(target)
        return found

    @property
    def apart(self) -> Sequence[tuple[Target, Target]]:
        """Targets with a workflow of their own, each with the one before it, whose digests it takes."""
        pairs = zip(self.service.targets, self.service.targets[1:], strict=False)
        return [(before, target) for before, target in pairs if target not in self.chained and not target.tags]

    @property
    def released(self) -> Sequence[Target]:
        """Targets that a release tag deploys to."""
        return [target for target in self.service.targets if target.tags]
