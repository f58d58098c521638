"""An application deployed as a Helm release."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

import pulumi
import pulumi_kubernetes as kubernetes
import yaml

from .component import Component
from .errors import Problem
from .names import RELEASE
from .shapes import read
from .sops import SopsFile, SopsFileError, map_leaves, yaml_place

HISTORY = 10
"""Revisions that a release keeps, so that ten deployments back can be returned to."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_WITH_DIGEST = re.compile(r".*@sha256:[0-9a-f]{64}")
# What they say of a mapping or a list does not depend on the values in it, which may be unknown.
_OF_STRUCTURE = {
    *("required", "additionalProperties", "propertyNames", "dependentRequired", "type"),
    *("minProperties", "maxProperties", "minItems", "maxItems"),
}
_SHOWN = 200
"""Characters of a validator's message that are shown: it repeats the whole tree that it complains about."""


class HelmApplicationArgs(TypedDict):
    """Arguments of `HelmApplication`."""

    release: str
    """Name of the Helm release."""
    chart: str
    """Directory or archive of the chart (see `Chart`), its name in `repository`, or oci://REGISTRY/NAME."""
    namespace: pulumi.Input[str]
    """Namespace that the release is installed into; it must exist."""
    repository: NotRequired[str]
    """Address of a chart repository, https://… Nothing verifies what it gives: prefer `Chart.fetch`. Default: none."""
    version: NotRequired[str]
    """Exact version of a chart that is not a path; required for it."""
    digest: NotRequired[str]
    """Digest of the chart at the path, as `Chart` verified it: stands in the release's history, and when it changes
    the release is upgraded, also where the chart's version stayed the same. Default: none."""
    default_values: NotRequired[Mapping[str, Any]]
    """Content of the chart's values.yaml, for the two checks below; it is not passed on. Default: empty."""
    values_schema: NotRequired[Mapping[str, Any]]
    """Content of the chart's values.schema.json: all values are held to it before the first resource. Default: none."""
    require_image_digest: NotRequired[bool]
    """Refuse values in which an image has no digest, as a tag can be moved. Default: False."""
    values: NotRequired[Mapping[str, Any]]
    """Values of the chart, as its values.yaml is shaped. Default: the chart's own."""
    secret_values: NotRequired[Mapping[str, Any]]
    """Values laid over `values`, whose leaves are secret outputs (see `SopsFile.values`). Default: none."""
    timeout_seconds: NotRequired[int]
    """How long the release may take to become ready, in seconds, before it is rolled back. Default: 300."""


@dataclass(frozen=True)
class _HelmApplication:
    release: str
    chart: str
    namespace: pulumi.Input[str]
    repository: str | None = None
    version: str | None = None
    digest: str | None = None
    default_values: Mapping[str, object] = field(default_factory=dict[str, object])
    values_schema: Mapping[str, object] = field(default_factory=dict[str, object])
    require_image_digest: bool = False
    values: Mapping[str, object] = field(default_factory=dict[str, object])
    secret_values: Mapping[str, object] = field(default_factory=dict[str, object])
    timeout_seconds: int = 300

    def problems(self) -> Iterator[Problem]:
        yield from RELEASE.check("release", self.release)
        if not self.timeout_seconds > 0:
            yield Problem(
                "timeout_seconds", self.timeout_seconds, "it must be positive", "give seconds, for example 300"
            )
        yield from self._pin_problems()
        yield from schema_problems(self.values_schema, self.default_values, self.values, self.secret_values)
        if self.require_image_digest:
            yield from image_problems(merge(self.default_values, merge(self.values, self.secret_values)))

    def _pin_problems(self) -> Iterator[Problem]:
        remote = self.repository is not None or self.chart.startswith("oci://")
        if self.repository is not None and not self.repository.startswith("https://"):
            yield Problem("repository", None, "it is no https address", "give https://…, or an oci:// address as chart")
        if remote and self.version is None:
            yield Problem("version", None, "without it each deployment may get another chart", "give the exact version")
        if not remote and self.version is not None:
            yield Problem("version", self.version, "a chart at a path has its own", "leave it out, or give repository")
        if remote and self.digest is not None:
            fix = "fetch the chart with Chart.fetch, which verifies it, and pass its arguments()"
            yield Problem("digest", self.digest, "nothing would verify it here", fix)
        elif self.digest is not None and not _DIGEST.fullmatch(self.digest):
            yield Problem("digest", self.digest, "it is no digest", "give sha256: and 64 hexadecimal digits")


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


class _Hidden:
    """Stands for a value that nobody may see, or that is known at deployment only."""


def _hide(tree: object) -> object:
    return map_leaves(tree, lambda _: _Hidden())


def _look(tree: object, at: tuple[str | int, ...], hidden: list[tuple[str | int, ...]]) -> object:
    """Return a tree as JSON has it, and collect the places of what cannot be looked at."""
    if isinstance(tree, Mapping):
        branches = cast(Mapping[object, object], tree)
        # As in Helm, null takes a default away.
        seen = {str(key): value for key, value in branches.items() if value is not None}
        return {key: _look(value, (*at, key), hidden) for key, value in seen.items()}
    if isinstance(tree, list | tuple):
        items = cast(Sequence[object], tree)
        return [_look(value, (*at, index), hidden) for index, value in enumerate(items)]
    if tree is None or isinstance(tree, str | int | float):
        return tree
    hidden.append(at)
    return ""


def schema_problems(
    schema: Mapping[str, object],
    defaults: Mapping[str, object],
    values: Mapping[str, object],
    secret_values: Mapping[str, object],
) -> Iterator[Problem]:
    """Yield where values, laid over a chart's defaults, break its schema.

    Secret values and outputs are not known here: what depends on them is left to Helm, which checks again.
    """
    if not schema:
        return
    import jsonschema_rs

    hidden: list[tuple[str | int, ...]] = []
    secrets = cast(Mapping[str, object], _hide(secret_values))
    tree = _look(merge(defaults, merge(values, secrets)), (), hidden)
    try:
        validator = jsonschema_rs.validator_for(dict(schema), offline=True)
        errors = list(validator.iter_errors(tree))
    except ValueError as error:
        why = f"it is no JSON Schema that can be used ({str(error).splitlines()[0][:_SHOWN]})"
        yield Problem("values_schema", None, why, "correct the chart's values.schema.json")
        return
    for error in errors:
        path = tuple(error.instance_path)
        unknown = any(place[: len(path)] == path for place in hidden)
        if unknown and (path in hidden or error.schema_path[-1] not in _OF_STRUCTURE):
            continue
        message = error.message if len(error.message) <= _SHOWN else f"{error.message[:_SHOWN]}…"
        yield Problem(_dotted(path), None, message, "write what the chart's values.schema.json allows")


def _dotted(path: Sequence[str | int]) -> str:
    return "values" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)


def image_problems(tree: object, path: tuple[str | int, ...] = ()) -> Iterator[Problem]:
    """Yield each image in a values tree that has no digest; what is an output counts as having one.

    An image is what charts call so: a text or a mapping under `image` or `…Image`, and a mapping with `repository`
    beside `tag`, `digest`, `registry` or `pullPolicy`.
    """
    if isinstance(tree, list | tuple):
        for index, item in enumerate(cast(Sequence[object], tree)):
            yield from image_problems(item, (*path, index))
    if not isinstance(tree, Mapping):
        return
    known = cast(Mapping[str, object], tree)
    called = _called_image(path[-1]) if path else False
    if (called and {"repository", "name", "tag"} & set(known)) or (
        "repository" in known and {"tag", "digest", "registry", "pullPolicy"} & set(known)
    ):
        if not _pinned(known):
            yield _unpinned((*path, "digest"), known.get("digest") or None)
        return
    for key, item in known.items():
        if _called_image(key) and isinstance(item, str):
            if item and not _WITH_DIGEST.fullmatch(item):
                yield _unpinned((*path, key), item)
        else:
            yield from image_problems(item, (*path, key))


def _called_image(key: object) -> bool:
    return isinstance(key, str) and (key == "image" or key.endswith("Image"))


def _pinned(image: Mapping[str, object]) -> bool:
    digest = image.get("digest") or image.get("sha")  # some charts call it sha, without the algorithm
    if isinstance(digest, str):
        return _DIGEST.fullmatch(digest if ":" in digest else f"sha256:{digest}") is not None
    parts = [image.get("repository"), image.get("name"), image.get("tag")]
    # An output: its text is known at deployment, where the policy pack looks at it.
    return digest is not None or any(isinstance(part, str) and _WITH_DIGEST.fullmatch(part) for part in parts)


def _unpinned(path: Sequence[str | int], value: object) -> Problem:
    return Problem(
        _dotted(path), value, "it names no digest, and a tag can be moved", "give the sha256:… that the registry shows"
    )


class HelmApplication(Component):
    """One Helm release, upgraded atomically.

    Creates: the release with a history of ten revisions. A revision that is not ready in time is rolled back and the
    deployment fails. Secret values stay secret in the state. Values, images and the chart's pins are checked first.

    Raises:
        InvalidArgumentsError: before any resource, with every offender.
    """

    status: pulumi.Output[str]
    """What Helm says of the current revision, for example deployed."""
    revision: pulumi.Output[int]
    """Number of the current revision."""

    def __init__(self, name: str, args: HelmApplicationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        parsed = read(_HelmApplication, args, "HelmApplication", name)
        super().__init__(name, opts)
        release = kubernetes.helm.v3.Release(
            name,
            name=parsed.release,
            chart=parsed.chart,
            version=parsed.version,
            repository_opts=None if parsed.repository is None else {"repo": parsed.repository},
            # The one input that a changed template changes too; without it the provider sees name and version alone.
            description=None if parsed.digest is None else f"chart {parsed.digest}",
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


def check_values_directory(directory: Path, environments: Sequence[str]) -> None:
    """Check that every values file of an application belongs to an environment: a misspelt one would never be read.

    Raises:
        ValuesFilesError: names every file of another name.
    """
    known = sorted(name for each in environments for name in (f"{each}.yaml", f"{each}.secrets.yaml"))
    try:
        found = sorted(path.name for path in directory.iterdir())
    except OSError as error:
        raise ValuesFilesError([f"{directory}: cannot be read ({error.strerror}). Fix: create it."]) from None
    problems: list[str] = []
    for name in found:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            fix = f"rename it to {near[0]}" if near else f"remove it, or name it as one of {', '.join(known)}"
            problems.append(f"{directory / name}: no environment of this name. Fix: {fix}.")
    if problems:
        raise ValuesFilesError(problems)


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
