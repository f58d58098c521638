"""The variables that point standard tools at a sandbox; nothing else tells a program that it runs in one."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from . import environments
from .layout import Layout
from .parts import ORGANIZATION, PASSPHRASE, REGION

_PLUGINS = ("resource-aws", "resource-github", "resource-kubernetes")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def variables(
    layout: Layout,
    ports: Mapping[str, int],
    current: Mapping[str, str] = os.environ,
    environment: str = environments.DEFAULT,
) -> dict[str, str]:
    """The variables by name, for the AWS account and the cluster of `environment`.

    `ports` says which parts there are, `current` gives PATH and proxies.
    """
    result = {
        "PATH": _path(layout.toolchain_bin, current.get("PATH", os.defpath)),
        "PULUMI_HOME": str(layout.pulumi_home),
        "PULUMI_BACKEND_URL": f"file://{layout.root / 'pulumi'}",
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(layout.passphrase),
        "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,  # one of the user's own would win over the file
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_IGNORE_AMBIENT_PLUGINS": "true",
    }
    if _has_plugins(layout.pulumi_home):
        result["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] = "true"
    if "aws" in ports:
        result |= {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports['aws']}",
            "AWS_ACCESS_KEY_ID": environments.ACCOUNTS[environment],  # as an access key id, an account's is its own
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_SESSION_TOKEN": "",  # one of a real session must not reach the sandbox
            # boto3 reads the one, the Go SDK the other.
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            # S3 Control's clients call <account>.127.0.0.1, which no resolver knows; a proxy is asked for it by name.
            # In capitals only: curl, wget, apt and git, which read the other spelling, keep the user's own proxy.
            "HTTP_PROXY": f"http://127.0.0.1:{ports['aws']}",
        }
    if "github" in ports:
        result |= {
            # The provider wants the slash; on loopback it takes the API for a GitHub Enterprise Server's.
            "GITHUB_BASE_URL": f"http://127.0.0.1:{ports['github']}/",
            "GITHUB_TOKEN": _read(layout.github_token),
            "GITHUB_OWNER": ORGANIZATION,
        }
    if "charts" in ports:
        user, _, password = _read(layout.chart_users).partition(":")
        result |= {
            "CHART_REGISTRY_URL": f"http://127.0.0.1:{ports['charts']}",
            "CHART_REGISTRY_USER": user,
            "CHART_REGISTRY_PASSWORD": password,
        }
    if environments.qualified("kube-apiserver", environment) in ports:
        result["KUBECONFIG"] = str(layout.cluster(environment).kubeconfig)
    if (ingress := ports.get(environments.qualified("ingress", environment))) is not None:
        result["INGRESS_HOST"] = f"127.0.0.1:{ingress}"
    return result | _no_proxy({**current, **result})


def as_shell(values: Mapping[str, str]) -> str:
    """``export`` lines for a POSIX shell.

    Raises:
        ValueError: a name is not a shell variable's, or a value holds a NUL.
    """
    for name, value in values.items():
        if not _NAME.fullmatch(name) or "\0" in value:
            raise ValueError(f"{name!r} cannot be exported")
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in values.items())


def _path(first: Path, rest: str) -> str:
    others = [entry for entry in rest.split(os.pathsep) if entry and entry != str(first)]
    return os.pathsep.join([str(first), *others])


def _has_plugins(home: Path) -> bool:
    plugins = home / "plugins"
    return all(any(plugins.glob(f"{name}-v*")) for name in _PLUGINS)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


def _no_proxy(current: Mapping[str, str]) -> dict[str, str]:
    """Python's HTTP clients send loopback addresses to a proxy unless they are told not to."""
    if not any(current.get(name) for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY")):
        return {}
    entries = [entry for entry in (current.get("NO_PROXY") or current.get("no_proxy") or "").split(",") if entry]
    value = ",".join(dict.fromkeys([*entries, "127.0.0.1", "localhost"]))
    return {"NO_PROXY": value, "no_proxy": value}
