"""An application deployed as a Helm release."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NotRequired, TypedDict, cast

import pulumi
import pulumi_kubernetes as kubernetes
import yaml

from .component import Component, parse
from .errors import Problem
from .names import RELEASE
from .sops import SopsFile, SopsFileError, yaml_place

HISTORY = 10
"""Revisions that a release keeps, so that ten deployments back can be returned to."""


class HelmApplicationArgs(TypedDict):
    """Arguments of `HelmApplication`."""

    release: str
    """Name of the Helm release."""
    chart: str
    """Directory of the chart."""
    namespace: pulumi.Input[str]
    """Namespace that the release is installed into; it must exist."""
    values: NotRequired[Mapping[str, object]]
    """Values of the chart, as its values.yaml is shaped. Default: the chart's own."""
    secret_values: NotRequired[Mapping[str, object]]
    """Values laid over `values`, whose leaves are secret outputs (see `SopsFile.values`). Default: none."""
    timeout_seconds: NotRequired[int]
    """How long the release may take to become ready, in seconds, before it is rolled back. Default: 300."""


@dataclass(frozen=True)
class _HelmApplication:
    release: str
    chart: str
    namespace: pulumi.Input[str]
    values: Mapping[str, object] = field(default_factory=dict[str, object])
    secret_values: Mapping[str, object] = field(default_factory=dict[str, object])
    timeout_seconds: int = 300

    def problems(self) -> Iterator[Problem]:
        yield from RELEASE.check("release", self.release)
        if not self.timeout_seconds > 0:
            yield Problem(
                "timeout_seconds", self.timeout_seconds, "it must be positive", "give seconds, for example 300"
            )


def merge(base: Mapping[str, object], over: Mapping[str, object]) -> dict[str, object]:
    """Lay one values tree over another as Helm does: mappings merge, anything else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = merge(cast(Mapping[str, object], below), cast(Mapping[str, object], value))
        else:
            merged[key] = value
    return merged


class HelmApplication(Component):
    """One Helm release, upgraded atomically.

    Creates: the release with a history of ten revisions. A revision that is not ready in time is rolled back and the
    deployment fails. Secret values stay secret in the state.

    Raises:
        InvalidArgumentsError: before any resource, with every offender.
    """

    status: pulumi.Output[str]
    """What Helm says of the current revision, for example deployed."""
    revision: pulumi.Output[int]
    """Number of the current revision."""

    def __init__(self, name: str, args: HelmApplicationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        parsed = parse(_HelmApplication, args, "HelmApplication", name)
        super().__init__(name, opts)
        release = kubernetes.helm.v3.Release(
            name,
            name=parsed.release,
            chart=parsed.chart,
            namespace=parsed.namespace,
            values=merge(parsed.values, parsed.secret_values),
            atomic=True,
            timeout=parsed.timeout_seconds,
            max_history=HISTORY,
            opts=self.child(),
        )
        self.status = release.status.apply(lambda status: str(status.status))
        self.revision = release.status.apply(lambda status: int(status.revision or 0))
        self.register_outputs({"status": self.status, "revision": self.revision})


@dataclass(frozen=True)
class ValuesFiles:
    """The files that configure one application in one environment."""

    values: Mapping[str, object]
    secrets: SopsFile | None

    @classmethod
    def read(cls, directory: Path, environment: str, *, with_secrets: bool) -> "ValuesFiles":
        """Read `<environment>.yaml` and, if asked, the SOPS file `<environment>.secrets.yaml` of a directory.

        Raises:
            ValuesFilesError: names every file that is missing or cannot be used.
        """
        problems: list[str] = []
        plain_path = directory / f"{environment}.yaml"
        values: Mapping[str, object] = {}
        secrets: SopsFile | None = None
        try:
            values = _read_mapping(plain_path)
        except ValueError as error:
            problems.append(str(error))
        if with_secrets:
            try:
                secrets = SopsFile.read(directory / f"{environment}.secrets.yaml")
            except SopsFileError as error:
                problems.append(str(error))
        if problems:
            raise ValuesFilesError(problems)
        return cls(values, secrets)


class ValuesFilesError(ValueError):
    """Values files that cannot be used."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


def _read_mapping(path: Path) -> Mapping[str, object]:
    try:
        document: object = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}). Fix: create it.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not YAML{yaml_place(error)}. Fix: correct its syntax.") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ValueError(f"{path}: it holds {type(document).__name__}, not a mapping. Fix: write key: value lines.")
    return cast(Mapping[str, object], document)
