"""Which cluster the Kubernetes provider talks to, read as the provider itself reads it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pulumi
import yaml


class ClusterError(pulumi.RunError):
    """There is no cluster to talk to."""


def api_server(environ: Mapping[str, str] = os.environ) -> str:
    """Return the address of the current context's API server.

    Raises:
        ClusterError: no kubeconfig, or one without a usable current context.
    """
    path = Path(environ.get("KUBECONFIG", "").split(os.pathsep)[0] or Path.home() / ".kube" / "config")
    try:
        document = cast(dict[str, Any], yaml.safe_load(path.read_text()))
        contexts = {entry["name"]: entry["context"] for entry in document["contexts"]}
        clusters = {entry["name"]: entry["cluster"] for entry in document["clusters"]}
        return str(clusters[contexts[document["current-context"]]["cluster"]]["server"])
    except OSError as error:
        raise ClusterError(
            f"kubeconfig {path}: {error.strerror}. The environment's namespaces and releases need a cluster."
            " Fix: set KUBECONFIG, or make sandbox-up and eval its env."
        ) from None
    except (KeyError, TypeError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ClusterError(
            f"kubeconfig {path}: no usable current context ({type(error).__name__}: {error})."
            " Fix: name one with current-context."
        ) from None
