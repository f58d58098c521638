"""The part of the sample that `bench/baseline` has by hand: what the stacks deploy themselves.

A repository whose own workflows deliver it adds files and environments that are written for it, and would have to be
copied into the baseline: they would measure nothing new. So would a runner fleet, whose time is its provider's.
"""

from collections.abc import Mapping
from typing import Any


def without_services(shared: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stack's settings without the repositories that have a service, and what belongs to them.

    Args:
        shared: settings of the stack shared, which say which ones have.
        config: settings of any stack.
    """
    delivered = {name for name, each in shared["pavedpath:repositories"].items() if "service" in each}
    kept = {key: value for key, value in config.items() if not key.startswith("pavedpath:runner")}
    for key in ("repositories", "deployments", "applications"):
        found: Mapping[str, Any] | None = config.get(f"pavedpath:{key}")
        if found:
            kept[f"pavedpath:{key}"] = {name: each for name, each in found.items() if name not in delivered}
    if images := config.get("pavedpath:images"):
        kept["pavedpath:images"] = {
            **images,
            "repositories": [each for each in images["repositories"] if each.split("/")[0] not in delivered],
            "charts": [each for each in images["charts"] if each not in delivered],
        }
    return kept
