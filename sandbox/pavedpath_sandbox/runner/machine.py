"""The machine that jobs find: the toolchain's programs, some of the user's own, and the addresses of the sandbox."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pavedpath_sandbox import environments
from pavedpath_sandbox.sandbox import Sandbox

from .run import Machine, RunnerError

_SYSTEM = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
# How the user's package installers reach their registries, and with which certificates.
_KEPT = re.compile(r"(?:PIP|UV)_\w+|(?:https?|no|all)_proxy|\w*SSL_CERT\w*|REQUESTS_CA_BUNDLE", re.IGNORECASE)
# What of the sandbox's variables a job of GitHub's would not have: it gets credentials and the cluster by itself.
_OF_A_PERSON = re.compile(
    r"PATH|PULUMI_.*|AWS_(?:ACCESS|SECRET|SESSION)_.*|KUBECONFIG|GITHUB_.*|CHART_REGISTRY_.*|INGRESS_HOST"
)


def machine(
    sandbox: Sandbox,
    directory: Path,
    programs: Sequence[str],
    wheels: Path | None = None,
    variables: Mapping[str, Mapping[str, str]] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Machine:
    """Prepare a machine.

    Args:
        sandbox: a sandbox that runs.
        directory: what the jobs leave.
        programs: names of programs on the user's PATH that jobs need besides the toolchain's.
        wheels: folder of Python packages that are looked for before the registry.
        variables: variables (`vars`) that win over the repository's: see `Machine`.
        environ: the user's own environment.

    Raises:
        RunnerError: names all programs that are missing.
    """
    act = sandbox.layout.tool("act")
    # Of this program's own environment first: what it was installed with.
    search = os.pathsep.join([str(Path(sys.executable).parent), environ.get("PATH", os.defpath)])
    found = {name: shutil.which(name, path=search) for name in programs}
    missing = sorted(name for name, path in found.items() if path is None) + ([] if act else ["act"])
    if missing or act is None:
        raise RunnerError(f"not on PATH: {', '.join(missing)}. They are what jobs find on GitHub's machines")
    tools = directory / "tools"
    shutil.rmtree(tools, ignore_errors=True)
    tools.mkdir(parents=True)
    for name, path in found.items():
        (tools / name).symlink_to(str(path))
    kept = {name: value for name, value in environ.items() if _KEPT.fullmatch(name)}
    of_sandbox = {name: value for name, value in sandbox.environment().items() if not _OF_A_PERSON.fullmatch(name)}
    if wheels is not None:
        kept["PIP_FIND_LINKS"] = " ".join(filter(None, [str(wheels), kept.get("PIP_FIND_LINKS", "")]))
    path = os.pathsep.join([str(tools), str(sandbox.layout.toolchain_bin), _SYSTEM])
    return Machine(directory, path, {**kept, **of_sandbox}, act, registry_of(sandbox), dict(variables or {}))


def registry_of(sandbox: Sandbox) -> str:
    """Return the address (HOST:PORT) of the sandbox's registry.

    Raises:
        RunnerError: the sandbox has none.
    """
    found = next((part.address for part in sandbox.status() if part.part == "registry"), None)
    if found is None:
        raise RunnerError("the sandbox has no registry: `pavedpath-sandbox up` starts one")
    return found.removeprefix("http://")


def addresses(sandbox: Sandbox, repository: str) -> dict[str, dict[str, str]]:
    """Return the variables of jobs that a resolver of names would make unnecessary, for `machine`.

    An application that is called as its repository answers at NAME.ENVIRONMENT.localhost of the environment's ingress.
    """
    found = {"": {"IMAGE_REGISTRY": registry_of(sandbox)}}
    name = repository.rpartition("/")[2]
    for environment in environments.NAMES:
        if host := sandbox.environment(environment).get("INGRESS_HOST"):
            found[environment] = {"INGRESS_HOST": f"{name}.{environment}.localhost:{host.rpartition(':')[2]}"}
    return found
