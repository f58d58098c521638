"""The SDK's own gRPC stubs, without the SDK: `import pulumi` takes twice as long as everything else the host needs."""

import sys
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING


def _shadow(name: str, directory: Path) -> None:
    """Register an empty package, so that its submodules load and its __init__ does not run."""
    module = ModuleType(name)
    module.__path__ = [str(directory)]
    sys.modules[name] = module


if not TYPE_CHECKING and "pulumi" not in sys.modules:
    found = PathFinder.find_spec("pulumi")
    if found is None or found.origin is None:
        raise ModuleNotFoundError(f"no Pulumi SDK in {sys.prefix}: install the project's requirements first")
    sdk = Path(found.origin).parent
    for package in ("pulumi", "pulumi.runtime", "pulumi.runtime.proto"):
        _shadow(package, sdk.joinpath(*package.split(".")[1:]))

# Imported after the packages are shadowed.
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2  # noqa: E402 - for the reason above

__all__ = ["language_pb2", "language_pb2_grpc", "plugin_pb2"]
