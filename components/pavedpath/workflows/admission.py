"""What a service may hold, in one place for GitHub and every other system: the types, and the rule of each value.

Whatever becomes part of a name, a path or a command has a rule. Values come from callers that no type checker read:
nothing here takes a type for granted.
"""

import re
from collections.abc import Iterator, Mapping
from typing import cast

from pavedpath.names import ENVIRONMENT, NAMESPACE, ORGANIZATION, SECRET, NameRule
from pavedpath.problem import Problem
from pavedpath.workflows.service import Image, Service, Target
from pavedpath.workflows.typed import items, mistyped

_REPOSITORY_PATH = r"(?!/)(?!.*(?:^|/)\.\.(?:/|$))(?!-)[A-Za-z0-9_./+@-]+"
FOLDER = NameRule(_REPOSITORY_PATH, "it is no path in a repository", "give a path such as services/api")
CHART = NameRule(
    # A deployment would take whatever version is the newest: the same commit must deploy the same chart.
    r"oci://[a-z0-9.-]+(?::[0-9]+)?(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)+"
    r"(?::[0-9]+\.[0-9]+\.[0-9]+(?:[-+][0-9A-Za-z.+-]{1,100})?|@sha256:[0-9a-f]{64})"
    rf"|(?!oci:){_REPOSITORY_PATH}",
    "it is neither a path in a repository nor a chart of one version in a registry",
    "give a path such as charts/orders, or oci://HOST/NAME:1.2.0 or oci://HOST/NAME@sha256:… of a registry",
)
CHECK = NameRule(r"[A-Za-z_][A-Za-z0-9_-]{0,99}", "it cannot be a job here", "use letters, digits, _ and -")
LABEL = NameRule(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", "it is no label", "use letters, digits, . _ and -")
_NAME = r"[a-z](?:[a-z0-9-]{0,51}[a-z0-9])?"
# Source: Helm, "helm install": a release's name is a DNS label of up to 53 characters.
_SERVICE = NameRule(_NAME, "Helm and Kubernetes refuse it", "use a-z, 0-9 and -, up to 53, a letter in front")
_IMAGE = NameRule(_NAME, "a registry refuses this name", "use a-z, 0-9 and -")
_PLATFORM = NameRule(
    # Source: Docker, "Multi-platform builds": what BuildKit emulates or compiles for.
    r"linux/(?:amd64(?:/v[234])?|arm64(?:/v8)?|arm(?:/v[567])?|386|ppc64le|riscv64|s390x|loong64)",
    "no image is built for such a platform",
    "give one such as linux/arm64",
)
_VERSION = NameRule(r"[0-9]+(?:\.[0-9]+){0,2}", "it is no version of Python", "give one such as 3.12")
_PATTERN = NameRule(r"[A-Za-z0-9_.*+/-]{1,100}", "it is no pattern of tags", "give one such as v*.*.*")
MINUTES = 60
"""Longest wait for a revision."""


def ruled(argument: str, value: object, rule: NameRule, *, optional: bool = False) -> Iterator[Problem]:
    """Yield a problem if a text breaks its rule; what is no text is for `mistyped` to name.

    Args:
        argument: name of what holds the value.
        value: what the caller gave.
        rule: what it must match.
        optional: whether an empty text is allowed.
    """
    if isinstance(value, str) and (value or not optional):
        yield from rule.check(argument, value)


def labels_problems(argument: str, labels: object) -> Iterator[Problem]:
    """Yield the labels of runners or agents that are none."""
    for label in items(labels):
        yield from ruled(argument, label, LABEL)


def problems(service: Service, targets: str = "targets") -> Iterator[Problem]:
    """Yield whatever is of the wrong type, and every value that breaks its rule.

    Args:
        service: what a caller gave; any attribute may hold anything.
        targets: what the caller calls its targets.
    """
    for each in mistyped("", service, Service):
        yield Problem(each.argument.replace("targets", targets, 1), each.value, each.why, each.fix)
    yield from ruled("name", service.name, _SERVICE)
    yield from ruled("owner", service.owner, ORGANIZATION, optional=True)
    yield from ruled("chart", service.chart, CHART, optional=True)
    yield from ruled("values", service.values, FOLDER, optional=True)
    yield from ruled("dbt", service.dbt, FOLDER, optional=True)
    if items(service.targets) and service.chart == "":
        yield Problem("chart", "", "there is nothing to deploy", f"name the chart, or no {targets}")
    yield from _check_problems(service)
    for index, image in enumerate(items(service.images)):
        if isinstance(image, Image):
            yield from _image_problems(f"images[{index}]", image)
    for index, target in enumerate(items(service.targets)):
        if isinstance(target, Target):
            yield from _target_problems(f"{targets}[{index}]", target)
    yield from _twice(service, targets)


def _check_problems(service: Service) -> Iterator[Problem]:
    checks = cast("object", service.checks)
    if isinstance(checks, Mapping):
        if not checks:
            yield Problem("checks", {}, "there is nothing that images could be tested by", "name at least one check")
        for name, command in cast("Mapping[object, object]", checks).items():
            yield from ruled("checks", name, CHECK)
            if isinstance(command, str) and not _is_command(command):
                yield Problem(f"checks.{name}", None, "it is no command", "give a shell command in plain text")
    if service.python in ([], ()):
        yield Problem("python", [], "no check would run", "name at least one version")
    for version in items(service.python):
        yield from ruled("python", version, _VERSION)
    minimum = cast("object", service.coverage_minimum)
    # Not "outside of": nan is neither below nor above anything.
    if isinstance(minimum, int | float) and not isinstance(minimum, bool) and not 0 <= minimum <= 100:
        yield Problem("coverage_minimum", minimum, "it is no share of all lines", "choose 0 to 100 per cent")


def _is_command(text: str) -> bool:
    return bool(text.strip()) and text.replace("\n", "").replace("\t", "").isprintable()


def _image_problems(at: str, image: Image) -> Iterator[Problem]:
    yield from ruled(f"{at}.name", image.name, _IMAGE)
    yield from ruled(f"{at}.context", image.context, FOLDER)
    yield from ruled(f"{at}.dockerfile", image.dockerfile, FOLDER)
    platforms = [each for each in items(image.platforms) if isinstance(each, str)]
    for platform in platforms:
        yield from ruled(f"{at}.platforms", platform, _PLATFORM)
    if image.platforms in ([], ()) or len(set(platforms)) < len(platforms):
        why = "an image is built and scanned for each platform once"
        yield Problem(f"{at}.platforms", platforms, why, "name each once, such as linux/arm64")


def _target_problems(at: str, target: Target) -> Iterator[Problem]:
    yield from ruled(f"{at}.environment", target.environment, ENVIRONMENT)
    yield from ruled(f"{at}.namespace", target.namespace, NAMESPACE, optional=True)
    yield from labels_problems(f"{at}.runner_labels", target.runner_labels)
    yield from ruled(f"{at}.smoke_host_variable", target.smoke_host_variable, SECRET)
    minutes = cast("object", target.timeout_minutes)
    if isinstance(minutes, int) and not isinstance(minutes, bool) and not 1 <= minutes <= MINUTES:
        yield Problem(f"{at}.timeout_minutes", minutes, "a job may not wait so", f"choose 1 to {MINUTES}")
    for pattern in items(target.tags):
        yield from ruled(f"{at}.tags", pattern, _PATTERN)


def _twice(service: Service, targets: str) -> Iterator[Problem]:
    """Yield what is named twice: names of jobs and variables are made of these, in one case and with _ for -."""
    images = [(f"images[{at}].name", getattr(each, "name", None)) for at, each in enumerate(items(service.images))]
    found = enumerate(items(service.targets))
    environments = [(f"{targets}[{at}].environment", getattr(each, "environment", None)) for at, each in found]
    for named in (images, environments):
        seen: set[str] = set()
        for argument, name in named:
            if isinstance(name, str):
                made = re.sub(r"[^a-z0-9]", "_", name.lower())
                if made in seen:
                    yield Problem(argument, name, "another is called so", "name each once")
                seen.add(made)
