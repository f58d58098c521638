"""The control plane's configuration as text, and the token that administers the cluster."""

from __future__ import annotations

import base64
import json
import secrets
from importlib.resources import files
from pathlib import Path

from pavedpath_sandbox.layout import write_private

_ADMIN = "pavedpath-sandbox-admin"
# The zones of the AWS region that the sandbox plays.
NODES = {"node-a": "us-east-1a", "node-b": "us-east-1b", "node-c": "us-east-1a"}
REGION = "us-east-1"


def ensure_token(path: Path) -> str:
    """Read the administrator's token, or make one (mode 0600)."""
    if not path.is_file():
        write_private(path, secrets.token_urlsafe(32))
    return path.read_text(encoding="utf-8").strip()


def token_file(token: str) -> str:
    """The API server's ``--token-auth-file``: token, user, uid, groups."""
    return f'{token},{_ADMIN},{_ADMIN},"system:masters"\n'


def kubeconfig(name: str, port: int, ca: bytes, token: str) -> str:
    """The administrator's kubeconfig, as JSON, which every reader of YAML reads; `name` is the cluster's."""
    cluster = {
        "server": f"https://127.0.0.1:{port}",
        "certificate-authority-data": base64.b64encode(ca).decode("ascii"),
    }
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": _ADMIN, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": _ADMIN, "namespace": "default"}}],
    }
    return json.dumps(content, indent=2) + "\n"


def stages(registry_port: int | None = None) -> str:
    """kwok's stages: what happens to nodes and pods here.

    Pods with an image of the registry at `registry_port` are left to the ingress, which runs them.
    """
    text = files("pavedpath_sandbox.kubernetes").joinpath("stages.yaml").read_text(encoding="utf-8")
    ours = f"^(127[.]0[.]0[.]1|localhost):{registry_port}/" if registry_port else "^$"
    return text.replace("SANDBOX_REGISTRY", ours)
