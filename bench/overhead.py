"""A program under mocks in this process: what it costs without the engine and the providers."""

import json
import os
import runpy
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml

from bench.sample import without_services
from tests.mocks import ACCOUNT, ANSWERS, Graph
from tests.mocks import run as run_under_mocks

CALLER = "aws:index/getCallerIdentity:getCallerIdentity"


def run(project: str, stack: str) -> Graph:
    """Run a project's program for a stack, its settings read from the project's file, and return its graph."""
    directory = Path(project)
    config: dict[str, Any] = yaml.safe_load((directory / f"Pulumi.{stack}.yaml").read_text())["config"]
    ours = (directory / "stacks").is_dir()
    if ours:
        shared = yaml.safe_load((directory / "Pulumi.shared.yaml").read_text())["config"]
        config = without_services(shared, config)
    entry = directory / "stacks" if ours else directory
    identity = {"id": "", "accountId": config.get("pavedpath:account", ACCOUNT), "arn": "", "userId": ""}
    with (
        tempfile.TemporaryDirectory() as scratch,
        patch.dict(os.environ, _environment(config, Path(scratch))),
        _its_own_key() if ours else nullcontext(),
    ):
        return run_under_mocks(
            lambda: runpy.run_path(str(entry), run_name="__main__"), stack, {**ANSWERS, CALLER: identity}
        )


def _environment(config: Mapping[str, Any], scratch: Path) -> dict[str, str]:
    """Return the settings, and a kubeconfig and a `sops` that answers at once: neither is the program's own cost."""
    kubeconfig = scratch / "kubeconfig"
    name = config.get("pavedpath:cluster", "k")
    kubeconfig.write_text(
        f"current-context: c\ncontexts: [{{name: c, context: {{cluster: {name}}}}}]\n"
        f"clusters: [{{name: {name}, cluster: {{server: 'https://127.0.0.1:6443'}}}}]\n"
    )
    sops = scratch / "sops"
    sops.write_text('#!/bin/sh\necho \'{"secrets": {"DATABASE_URL": "x", "SESSION_KEY": "x"}}\'\n')
    sops.chmod(0o755)
    settings = {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
    return {
        "PULUMI_CONFIG": json.dumps(settings),
        "KUBECONFIG": str(kubeconfig),
        "PATH": f"{scratch}:{os.environ['PATH']}",
    }


def _its_own_key() -> AbstractContextManager[object]:
    """Let each SOPS file be opened by its own key: the mocks' is not the one of the committed file.

    Everything else of the decryption stays in the measurement.
    """
    from pavedpath import SopsFile  # the baseline does not pay for it

    decrypt = SopsFile.decrypt

    def with_its_own_key(self: SopsFile, *key_arns: str) -> dict[str, object]:  # noqa: ARG001  # the name is the method's
        return decrypt(self, self.key_arns[0])

    return patch.object(SopsFile, "decrypt", with_its_own_key)
