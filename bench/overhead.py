"""A program under mocks in this process: what it costs without the engine and the providers."""

import json
import os
import runpy
import tempfile
from pathlib import Path

import yaml
from pavedpath import SopsFile

from tests.mocks import ANSWERS
from tests.mocks import run as run_under_mocks

SHARED = "organization/pavedpath/shared"


def run(project: str, stack: str) -> None:
    """Run a project's program for a stack, its settings read from the project's file."""
    directory = Path(project)
    config = yaml.safe_load((directory / f"Pulumi.{stack}.yaml").read_text())["config"]
    os.environ["PULUMI_CONFIG"] = json.dumps(
        {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
    )
    with tempfile.TemporaryDirectory() as scratch:
        _stand_ins(Path(scratch))
        entry = directory / "stacks" if (directory / "stacks").is_dir() else directory
        answers = {**ANSWERS, SHARED: {**ANSWERS[SHARED], "repository_id": 8}}  # the baseline's simpler contract
        run_under_mocks(lambda: runpy.run_path(str(entry), run_name="__main__"), stack, answers)


def _stand_ins(scratch: Path) -> None:
    """Put a kubeconfig and a `sops` that answers at once in place: neither is the program's own cost."""
    kubeconfig = scratch / "kubeconfig"
    kubeconfig.write_text(
        "current-context: c\ncontexts: [{name: c, context: {cluster: k}}]\n"
        "clusters: [{name: k, cluster: {server: 'https://127.0.0.1:6443'}}]\n"
    )
    sops = scratch / "sops"
    sops.write_text('#!/bin/sh\necho \'{"secrets": {"DATABASE_URL": "x", "SESSION_KEY": "x"}}\'\n')
    sops.chmod(0o755)
    decrypt = SopsFile.decrypt

    def with_its_own_key(self: SopsFile, *key_arns: str) -> dict[str, object]:  # noqa: ARG001  # the name is the method's
        return decrypt(self, self.key_arns[0])

    # The mocks' key is not the one of the committed file; everything else of the decryption stays in the measurement.
    SopsFile.decrypt = with_its_own_key
    os.environ |= {"KUBECONFIG": str(kubeconfig), "PATH": f"{scratch}:{os.environ['PATH']}"}
