"""A service and how it is delivered, as one value: what the catalogue and the renderings for other systems start from.

It says what there is (checks, images, a chart, environments), not how a system of pipelines does it.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pavedpath.plans import Approval


@dataclass(frozen=True, kw_only=True)
class Image:
    """One image of the service."""

    name: str
    """Last part of its name, for example api: the image is REGISTRY/OWNER/SERVICE/api."""
    context: str
    """Folder that it is built from, from the repository's root."""
    dockerfile: str = "Dockerfile"
    """Path in the context."""
    platforms: Sequence[str] = ("linux/amd64", "linux/arm64")


@dataclass(frozen=True, kw_only=True)
class Target:
    """One environment that the service is deployed to, in order: each takes what the one before it ran."""

    environment: str
    approval: Approval = Approval.NONE
    """Who must agree, and what enforces it."""
    namespace: str = ""
    """Default: the service's name."""
    runner_labels: Sequence[str] = ()
    """Default: self-hosted, linux, arm64 and the environment's name, as the runner fleet registers them."""
    smoke_host_variable: str = "INGRESS_HOST"
    """Variable of the environment with the host that smoke tests ask."""
    timeout_minutes: int = 5
    """How long a revision may take to become ready before Helm goes back."""
    tags: Sequence[str] = ()
    """Patterns of release tags that deploy to it, for example v*.*.*; they need a tag policy of the environment."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """One repository with a service in it."""

    name: str
    """Name of the service, of its release and of its repository."""
    checks: Mapping[str, str]
    """Shell command of each check by job id."""
    images: Sequence[Image] = ()
    chart: str = ""
    """Folder of the chart, or oci://HOST/NAME:VERSION or oci://HOST/NAME@sha256:… of a registry; empty for none."""
    values: str = ""
    """Folder of its values and SOPS files. Default: etc/helm_values/<name>."""
    targets: Sequence[Target] = ()
    python: Sequence[str] = ("3.12",)
    """Versions of Python that the checks run with."""
    dbt: str = ""
    """Folder of a dbt project; empty for none."""
    coverage_minimum: float | None = None
    """Per cent of lines that the tests must reach; none without it."""
    owner: str = ""
    """Organisation; by default that of the repository, as `github.repository_owner`."""

    @property
    def chart_folder(self) -> str:
        """Folder of the chart; empty if a registry has it, or there is none."""
        return "" if self.chart.startswith("oci://") else self.chart

    @property
    def chart_arguments(self) -> Sequence[str]:
        """What `pavedpath deploy` is told of the chart; a version apart, as not every Helm takes it in the name."""
        name, colon, version = self.chart.rpartition(":")
        if self.chart_folder or not colon or "@" in name:
            return (f"--chart {shlex.quote(self.chart)}",)
        return f"--chart {shlex.quote(name)}", f"--chart-version {shlex.quote(version)}"
