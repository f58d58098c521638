"""What runs in production."""

import re
from collections.abc import Iterator, Mapping
from typing import cast

from policy.model import UNKNOWN, Data, Finding, Resource, at, is_production, resource_rule

_RELEASE = "kubernetes:helm.sh/v3:Release"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PINNED = re.compile(r".+@sha256:[0-9a-f]{64}")
_WITH_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
_LOCAL_CHART = re.compile(r"(/|\./|\.\./|[A-Za-z0-9_-]+/.*\.tgz$).*")


@resource_rule("release-pinned-by-digest", "What runs in production is exactly what was tested.", _RELEASE)
def release_pinned_by_digest(resource: Resource) -> Iterator[Finding]:
    """In a production stack: every image in a release's values has a digest, and the chart cannot change unseen.

    Production is decided by the stack's name. The values are the release's own: what a chart's values.yaml brings
    besides is not seen here.
    """
    if not is_production(resource.stack):
        return
    chart = resource.get("chart")
    if isinstance(chart, str) and not _pinned_chart(chart, resource.get("repositoryOpts", "repo")):
        yield Finding(
            "its chart comes from a repository, which may give another one under the same version",
            "use a chart of the checkout (a path that begins with ./, ../ or /) or oci://…@sha256:DIGEST",
        )
    files = resource.get("valueYamlFiles")
    if files and files is not UNKNOWN:
        yield Finding("its values are in files, where images are not seen", "pass them as `values`")
    for path in _unpinned(resource.get("values"), "values"):
        yield Finding(f"the image at {path} has no digest", "give the digest (sha256:…) that the registry has for it")


def _pinned_chart(chart: str, repository: Data) -> bool:
    if chart.startswith("oci://"):
        return _PINNED.fullmatch(chart) is not None
    return (repository is UNKNOWN or not repository) and _LOCAL_CHART.fullmatch(chart) is not None


def _unpinned(value: Data, path: str) -> Iterator[str]:
    """Yield where a values tree has an image without a digest. Images are what charts' conventions call so."""
    if isinstance(value, list | tuple):
        for index, item in enumerate(cast(list[Data], value)):
            yield from _unpinned(item, f"{path}[{index}]")
    if not isinstance(value, Mapping):
        return
    tree = cast(Mapping[str, Data], value)
    if _describes_image(tree, path):
        if not _pinned_image(tree):
            yield path
        return
    for key, item in tree.items():
        if _called_image(key) and isinstance(item, str):
            if item and not _PINNED.fullmatch(item):
                yield f"{path}.{key}"
        else:
            yield from _unpinned(item, f"{path}.{key}")


def _called_image(key: str) -> bool:
    return key == "image" or key.endswith("Image")


def _describes_image(tree: Mapping[str, Data], path: str) -> bool:
    named = _called_image(path.rsplit(".", 1)[-1])
    if named and {"repository", "name", "tag"} & set(tree):
        return True
    return "repository" in tree and bool({"tag", "digest", "registry", "pullPolicy"} & set(tree))


def _pinned_image(tree: Mapping[str, Data]) -> bool:
    digest = at(tree, "digest") or at(tree, "sha")  # kube-prometheus-stack calls it sha, without the algorithm
    if isinstance(digest, str):
        return _DIGEST.fullmatch(digest if ":" in digest else f"sha256:{digest}") is not None
    parts = [at(tree, "repository"), at(tree, "name"), at(tree, "tag")]
    return UNKNOWN in (digest, *parts) or any(isinstance(part, str) and _WITH_DIGEST.search(part) for part in parts)
