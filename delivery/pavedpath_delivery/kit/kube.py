"""A small Kubernetes API client over the kubeconfig: lists and objects, read, changed and deleted."""

import base64
import json
import os
import ssl
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import yaml

from pavedpath_delivery.kit.documents import Json, Properties, fields, objects
from pavedpath_delivery.kit.errors import DeliveryError, Exit

if TYPE_CHECKING:
    import httpx

_TIMEOUT_S = 10.0


def kubeconfig_path(environ: Mapping[str, str]) -> Path:
    """Return the first existing file of KUBECONFIG; the usual place only where the variable names none.

    A file that is named and missing is never replaced by the usual one, which may lead to another cluster.
    """
    listed = [Path(item) for item in environ.get("KUBECONFIG", "").split(os.pathsep) if item]
    if not listed:
        return Path("~/.kube/config").expanduser()
    return next((path for path in listed if path.exists()), listed[0])


@dataclass(frozen=True)
class _Access:
    server: str
    cluster: Properties
    user: Properties


def _access(path: Path) -> _Access:
    document = fields(yaml.safe_load(path.read_text()))

    def named(kind: str, name: str, field: str) -> Properties:
        return next((fields(e.get(field)) for e in objects(document.get(kind)) if e.get("name") == name), fields(None))

    context = named("contexts", str(document.get("current-context", "")), "context")
    cluster = named("clusters", str(context.get("cluster", "")), "cluster")
    if not cluster.get("server"):
        raise DeliveryError(
            f"The kubeconfig {path} cannot be used: its current context names no cluster with a server."
            " Fix: let KUBECONFIG name one that does, or choose a context (`kubectl config use-context`).",
            Exit.USAGE,
        )
    return _Access(str(cluster["server"]), cluster, named("users", str(context.get("user", "")), "user"))


def _token(user: Properties, environ: Mapping[str, str]) -> str | None:
    if user.get("token"):
        return str(user["token"])
    if user.get("tokenFile"):
        return Path(str(user["tokenFile"])).read_text().strip()
    plugin = fields(user.get("exec"))
    if not plugin:
        return None
    # https://kubernetes.io/docs/reference/config-api/client-authentication.v1/
    version = plugin.get("apiVersion", "client.authentication.k8s.io/v1")
    wanted = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}
    extra = {str(item["name"]): str(item["value"]) for item in objects(plugin.get("env"))}
    done = subprocess.run(
        [str(plugin["command"]), *cast(list[str], plugin.get("args") or [])],
        env={**environ, **extra, "KUBERNETES_EXEC_INFO": json.dumps(wanted)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return str(json.loads(done.stdout)["status"]["token"])


def _tls(access: _Access, base: Path) -> ssl.SSLContext | bool:
    if not access.server.startswith("https"):
        return False

    def pem(entry: Properties, key: str) -> str | None:
        if entry.get(f"{key}-data"):
            return base64.b64decode(str(entry[f"{key}-data"])).decode()
        return (base / str(entry[key])).read_text() if entry.get(key) else None

    context = ssl.create_default_context(cadata=pem(access.cluster, "certificate-authority"))
    if access.cluster.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    certificate, key = pem(access.user, "client-certificate"), pem(access.user, "client-key")
    if certificate and key:
        with tempfile.NamedTemporaryFile("w") as both:  # mode 0600; OpenSSL takes certificates from files alone
            both.write(f"{certificate}\n{key}\n")
            both.flush()
            context.load_cert_chain(both.name)
    return context


def _reason(error: Exception) -> str:
    """Return what is wrong; of bad YAML without its words, which quote the line, and a line may hold a token.

    A login program that fails is named without its arguments, for the same reason.
    """
    if isinstance(error, subprocess.CalledProcessError | subprocess.TimeoutExpired):
        end = "took too long" if isinstance(error, subprocess.TimeoutExpired) else f"ended with {error.returncode}"
        return f"its login program {error.cmd[0]} {end}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, KeyError):
        return f"it lacks {error}"
    if not isinstance(error, yaml.YAMLError):
        return str(error)
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    return f"it is no YAML ({type(error).__name__}{f' in line {mark.line + 1}' if mark else ''})"


def refusal(response: "httpx.Response") -> str:
    """Return why a request was refused, in the server's own words; GitHub has them in the same place."""
    try:
        said = str(fields(response.json()).get("message") or "")
    except ValueError:
        said = ""
    return said or f"{response.status_code} {response.reason_phrase}"


class KubernetesApi:
    """The cluster of the kubeconfig's current context. A refusal, or no answer, is the HTTP client's own error.

    Args:
        client: an HTTP client whose base URL is the API server's and which authenticates itself.
    """

    def __init__(self, client: "httpx.Client") -> None:
        self._client = client

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "KubernetesApi":
        """Open the cluster that KUBECONFIG names.

        Raises:
            DeliveryError: there is no usable kubeconfig.
        """
        import httpx

        path = kubeconfig_path(environ)
        if not path.exists():
            unset = "" if environ.get("KUBECONFIG") else "KUBECONFIG is not set, and "
            raise DeliveryError(
                f"No cluster is chosen: {unset}there is no file {path}. Fix: let KUBECONFIG name one that exists.",
                Exit.USAGE,
            )
        try:
            access = _access(path)
            token = _token(access.user, environ)
            tls = _tls(access, path.parent)
        except (OSError, KeyError, ValueError, yaml.YAMLError, subprocess.SubprocessError) as error:
            raise DeliveryError(
                f"The kubeconfig {path} cannot be used: {_reason(error)}. Fix: let KUBECONFIG name one that exists.",
                Exit.USAGE,
            ) from error
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return cls(httpx.Client(base_url=access.server, headers=headers, verify=tls, timeout=_TIMEOUT_S))

    def _ask(self, method: str, path: str, **options: Any) -> "httpx.Response":
        """Send a request; an error of no answer says whose, and what to look at."""
        import httpx

        try:
            return self._client.request(method, path, **options)
        except httpx.TransportError as error:
            url = error.request.url
            port = url.port or (443 if url.scheme == "https" else 80)
            message = (
                f"no answer from {url.host}:{port} ({str(error) or type(error).__name__})."
                " Fix: check that KUBECONFIG names the right cluster, that it runs, and that this machine may reach"
                " that host and port (VPN, firewall, proxy, certificate)."
            )
            raise type(error)(message, request=error.request) from error

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Json | None:
        """Return the document at a path, None where there is none."""
        response = self._ask("GET", path, params=dict(params or {}))
        if response.status_code == 404:
            return None
        response.raise_for_status()
        return response.json()

    def text(self, path: str, params: Mapping[str, str] | None = None) -> str | None:
        """Return what is at a path as it stands, a log for one; None where there is none."""
        response = self._ask("GET", path, params=dict(params or {}))
        if response.status_code == 404:
            return None
        response.raise_for_status()
        return response.text

    def items(self, path: str, params: Mapping[str, str] | None = None) -> list[Properties]:
        """Return the objects of a list."""
        return objects(fields(self.get(path, params)).get("items"))

    def send(self, method: str, path: str, body: Properties) -> Json:
        """Create (POST), replace (PUT) or change (PATCH, a merge patch) an object; return it as it is then."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        response = self._ask(method, path, content=json.dumps(body), headers={"Content-Type": kind})
        response.raise_for_status()
        return response.json()

    def delete(self, path: str) -> None:
        """Delete an object; one that is gone is no error."""
        response = self._ask("DELETE", path)
        if response.status_code != 404:
            response.raise_for_status()
