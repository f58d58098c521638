"""The committed stacks run under mocks, as committed or with some settings changed."""

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from pavedpath import SopsFile

from stacks import program
from stacks.parsing import SettingsError
from stacks.settings import ENVIRONMENTS, ROOT
from tests.mocks import ANSWERS, Graph, run

CALLER = "aws:index/getCallerIdentity:getCallerIdentity"
PLAIN = "a-decrypted-value"
"""What every secret of the SOPS files is under mocks."""


def config_of(stack: str) -> dict[str, Any]:
    """Return a stack's configuration as its file holds it."""
    return cast(dict[str, Any], yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"])


def as_the_engine_gives(config: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """Return a stack file's configuration as the engine hands it to a program, and the keys that are secret."""
    secret = [key for key, value in config.items() if isinstance(value, dict) and set(cast(Any, value)) == {"secure"}]
    flat = {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
    return flat | dict.fromkeys(secret, "a-decrypted-value-of-the-stack"), secret


def kubeconfig(cluster: str) -> str:
    """Return a kubeconfig whose current context points to a cluster of that name."""
    return (
        f"current-context: c\ncontexts: [{{name: c, context: {{cluster: {cluster}}}}}]\n"
        f"clusters: [{{name: {cluster}, cluster: {{server: 'https://127.0.0.1:6443'}}}}]\n"
    )


def deploy(
    stack: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    config: dict[str, Any] | None = None,
    account: str | None = None,
    cluster: str | None = None,
    **changed: Any,
) -> Graph:
    """Run a stack with its committed settings, some of them changed.

    Args:
        stack: its name.
        monkeypatch: sets the configuration for the time of the test.
        config: settings to start from instead of the stack's own.
        account: AWS account that the credentials belong to. Default: the stack's own.
        cluster: cluster that the kubeconfig points to. Default: the stack's own.
        **changed: values of `pavedpath:` keys that replace the committed ones.
    """
    settings = {**(config or config_of(stack)), **{f"pavedpath:{key}": value for key, value in changed.items()}}
    flat, secret_keys = as_the_engine_gives(settings)
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps(flat))
    monkeypatch.setenv("PULUMI_CONFIG_SECRET_KEYS", json.dumps(secret_keys))
    name = cluster or settings.get("pavedpath:cluster", "none")
    identity = {"accountId": account or settings.get("pavedpath:account", ""), "arn": "", "userId": "", "id": ""}
    monkeypatch.setattr(SopsFile, "decrypt", _decrypt)
    monkeypatch.chdir(Path.cwd())  # the program changes it; the test's end brings it back
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(kubeconfig(name))
        file.flush()
        monkeypatch.setenv("KUBECONFIG", file.name)
        return run(program.main, stack, {**ANSWERS, CALLER: identity})


def _decrypt(file: SopsFile, *_keys: str) -> dict[str, object]:
    return _fill(file.tree)


def _fill(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _fill(value) for key, value in cast(dict[str, Any], tree).items()}
    return PLAIN


def refused(make: Callable[[], Graph], error: type[Exception] = SettingsError) -> str:
    """Return the message of a program that must stop before its first resource."""
    with pytest.raises(error) as caught:
        make()
    return str(caught.value)


def is_environment(stack: str) -> bool:
    """Tell the environments' stacks from the shared one."""
    return stack in ENVIRONMENTS
