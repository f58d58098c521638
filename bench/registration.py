"""What components cost over the bare SDK: the same resources registered through both, under the same mocks."""

import importlib
import re
import statistics
import time
from collections.abc import Callable, Mapping

import pulumi

from tests.mocks import Graph, run

REPEATS = 5


def programs(copies: int) -> dict[str, Callable[[], None]]:
    """Return programs that make many copies of a component each, by the component's name."""
    from pavedpath import ImageRegistry, NatMode, Repository, Vpc

    def repositories() -> None:
        for index in range(copies):
            Repository(f"r{index}", {"name": f"r{index}", "checks": {"test": "make test", "lint": "make lint"}})

    def networks() -> None:
        for index in range(copies // 5):
            zones = [f"us-east-1{letter}" for letter in "abc"]
            Vpc(f"v{index}", {"cidr": f"10.{index}.0.0/16", "zones": zones, "nat": NatMode.PER_ZONE})

    def registries() -> None:
        for index in range(copies):
            ImageRegistry(f"i{index}", {"repositories": [f"team{index}/{name}" for name in ("api", "web", "job")]})

    return {"Repository": repositories, "Vpc": networks, "ImageRegistry": registries}


def replay(graph: Graph) -> Callable[[], None]:
    """Return a program that registers a graph's resources by the SDK's own classes, with the same inputs."""
    calls = [
        (_sdk_class(node.type_), node.name, {_snake(key): value for key, value in node.inputs.items()})
        for node in graph.nodes.values()
        if node.custom
    ]

    def program() -> None:
        for index, (make, name, inputs) in enumerate(calls):
            make(f"{name}-{index}", **inputs)

    return program


def _sdk_class(token: str) -> Callable[..., pulumi.Resource]:
    package, module, name = token.split(":")
    part = module.partition("/")[0]
    path = f"pulumi_{package}" if part == "index" else f"pulumi_{package}.{part}"
    return getattr(importlib.import_module(path), name)


def _snake(key: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", key).lower()


def measure(copies: int = 20) -> Mapping[str, tuple[int, float, float]]:
    """Return, for each component, its number of resources and the milliseconds of one: by component, by the SDK.

    Both run by turns in this process, after a first run of each that pays for the imports; medians.
    """
    found: dict[str, tuple[int, float, float]] = {}
    for name, program in programs(copies).items():
        graph = run(program)
        bare = replay(graph)
        run(bare)
        resources = sum(node.custom for node in graph.nodes.values())
        times: dict[str, list[float]] = {"component": [], "bare": []}
        for _ in range(REPEATS):
            for way, each in (("component", program), ("bare", bare)):
                start = time.perf_counter()
                run(each)
                times[way].append(time.perf_counter() - start)
        by_component, by_sdk = (statistics.median(times[way]) / resources * 1000 for way in ("component", "bare"))
        found[name] = (resources, by_component, by_sdk)
    return found
