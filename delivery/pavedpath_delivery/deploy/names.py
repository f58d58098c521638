"""The forms of the names that Helm and Kubernetes take. Pure."""

import re

from pavedpath_delivery.kit.errors import DeliveryError, Exit

_LONGEST_RELEASE = 53
"""Source: `pkg/chart/v2/util/validate_name.go` of Helm, like the form."""
_RELEASE = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def misnamed(app: str, namespace: str) -> list[str]:
    """Return what is wrong with the names of a release and its namespace; empty for nothing."""
    problems: list[str] = []
    if len(app) > _LONGEST_RELEASE or not _RELEASE.fullmatch(app):
        fix = f"Fix: use a-z, 0-9 and -, at most {_LONGEST_RELEASE}, with a letter or digit at both ends."
        problems.append(f"APP {app}: no name of a release. {fix}")
    if not _LABEL.fullmatch(namespace):
        fix = "Fix: use a-z, 0-9 and -, at most 63, with a letter or digit at both ends."
        problems.append(f"--namespace {namespace}: no name of a namespace. {fix}")
    return problems


def check(app: str, namespace: str) -> None:
    """Refuse names that nothing can have.

    Raises:
        DeliveryError: names both, if both are wrong.
    """
    if problems := misnamed(app, namespace):
        raise DeliveryError("\n".join(problems), Exit.USAGE)
