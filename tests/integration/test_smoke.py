"""`smoke`, `health` and `diagnose` against releases whose pods really run, with the permissions of a deployment."""

import base64
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from pavedpath_sandbox import images
from pavedpath_sandbox.sandbox import Sandbox

from tests.integration.conftest import ROOT, kubernetes_client
from tests.integration.running import apply, eventually

pytestmark = pytest.mark.integration

SERVER = """
import http.server, json, os, sys
print("starting with", os.environ["DB_PASSWORD"], flush=True)
if os.environ.get("MODE") == "crash":
    sys.exit("no database at postgres://shop:" + os.environ["DB_PASSWORD"] + "@db")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        bodies = {"/healthz": "ok", "/ready": "ok", "/metrics": "http_requests_total 3\\n",
                  "/api/prime?n=100": json.dumps({"primes": [2, 3], "password": os.environ["DB_PASSWORD"]})}
        body = bodies.get(self.path)
        if os.environ.get("MODE") == "no-metrics" and self.path == "/metrics": body = "up 1\\n"
        self.send_response(404 if body is None else 200); self.end_headers(); self.wfile.write((body or "").encode())
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
PASSWORD = "correct-horse-battery"
SPEC = """
endpoints:
  - path: /api/prime?n=100
    json: {"$.primes[1]": 3}
    latency_ms: 60000
"""


@dataclass(frozen=True)
class Deployer:
    """Whoever deploys: a service account that may work in the namespace, and nowhere else."""

    sandbox: Sandbox
    kubeconfig: Path
    registry: str

    @property
    def environment(self) -> Mapping[str, str]:
        return {**os.environ, **self.sandbox.environment(), "KUBECONFIG": str(self.kubeconfig), "COLUMNS": "100"}

    def run(self, *command: str, expect: int = 0) -> str:
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=400)
        assert done.returncode == expect, f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def pavedpath(self, *arguments: str, expect: int = 0) -> str:
        return self.run(str(ROOT / ".venv/bin/pavedpath"), *arguments, expect=expect)

    def release(self, name: str, mode: str = "", tag: str = "1", *, wait: bool = True) -> None:
        values = {
            "image": {"repository": f"{self.registry}/acme/shop", "tag": tag},
            "readinessPath": "/ready",
            "env": {"MODE": mode},
            "secrets": {"DB_PASSWORD": PASSWORD},
        }
        path = self.kubeconfig.with_name(f"{name}.json")
        path.write_text(json.dumps(values))
        waiting = ["--wait", "--timeout", "300s"] if wait else []
        command = [
            "helm",
            "upgrade",
            "--install",
            name,
            str(ROOT / "charts/web-service"),
            "-n",
            "shop",
            "-f",
            str(path),
        ]
        self.run(*command, *waiting)


def role() -> list[dict[str, Any]]:
    inside = {"namespace": "shop", "name": "deployer"}
    group = "rbac.authorization.k8s.io"
    mine = {
        "apiGroups": ["", "apps", "batch", "networking.k8s.io", "discovery.k8s.io"],
        "resources": [
            *("pods", "pods/log", "services", "secrets", "configmaps", "events", "deployments", "replicasets"),
            *("jobs", "ingresses", "endpointslices"),
        ],
        "verbs": ["*"],
    }
    return [
        {"kind": "Role", "apiVersion": f"{group}/v1", "metadata": inside, "rules": [mine]},
        {
            "kind": "RoleBinding",
            "apiVersion": f"{group}/v1",
            "metadata": inside,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "deployer"},
            "subjects": [{"kind": "ServiceAccount", "name": "deployer", "namespace": "shop"}],
        },
    ]


@pytest.fixture(scope="module")
def sandbox(toolchain: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("smoke") / "state", ("kubernetes", "registry")) as made:
        yield made


@pytest.fixture(scope="module")
def api(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> httpx.Client:
    return kubernetes_client(sandbox.layout.cluster().kubeconfig.read_text(), tmp_path_factory.mktemp("client"))


@pytest.fixture(scope="module")
def deployer(sandbox: Sandbox, api: httpx.Client, tmp_path_factory: pytest.TempPathFactory) -> Deployer:
    folder = tmp_path_factory.mktemp("deployer")
    address = next(part.address for part in sandbox.status() if part.part == "registry").removeprefix("http://")
    (folder / "server.py").write_text(SERVER)
    (folder / "Dockerfile").write_text('FROM python:3.12\nCOPY server.py /app/\nCMD ["python", "/app/server.py"]\n')
    images.push(images.build(folder, folder / "Dockerfile"), [f"{address}/acme/shop:1"])
    assert api.post("/api/v1/namespaces", json={"metadata": {"name": "shop"}}).is_success
    accounts = "/api/v1/namespaces/shop/serviceaccounts"
    assert api.post(accounts, json={"metadata": {"name": "deployer"}}).is_success
    for each in role():
        path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/shop/{each['kind'].lower()}s"
        assert api.post(path, json=each).is_success
    token = api.post(f"{accounts}/deployer/token", json={"spec": {}}).json()["status"]["token"]
    config = json.loads(sandbox.layout.cluster().kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    (folder / "kubeconfig").write_text(json.dumps(config))
    return Deployer(sandbox, folder / "kubeconfig", address)


@pytest.fixture(scope="module")
def shop(deployer: Deployer, api: httpx.Client) -> str:
    """A release that runs, and the base URL at which it is reached."""
    deployer.release("shop")
    service = {"name": "shop", "port": {"name": "http"}}
    path = {"path": "/", "pathType": "Prefix", "backend": {"service": service}}
    rules = [{"host": "shop.localhost", "http": {"paths": [path]}}]
    ingress = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "shop"}}
    apply(api, json.dumps({**ingress, "spec": {"rules": rules}}), "shop")
    port = deployer.sandbox.environment()["INGRESS_HOST"].rpartition(":")[2]
    return f"http://shop.localhost:{port}"


def unpacked(path: Path) -> dict[str, str]:
    with tarfile.open(path) as archive:
        found = {member.name: archive.extractfile(member) for member in archive}
        return {name.partition("/")[2]: file.read().decode() for name, file in found.items() if file}


def test_a_healthy_release_passes(deployer: Deployer, shop: str, tmp_path: Path) -> None:
    (tmp_path / "smoke.yaml").write_text(SPEC)
    assert "shop in shop runs" in deployer.pavedpath("health", "shop", "--namespace", "shop")
    printed = deployer.pavedpath("smoke", shop, "--spec", str(tmp_path / "smoke.yaml"))
    assert "4 endpoints are good" in printed
    assert "✓ GET /api/prime" in printed
    host = shop.removeprefix("http://").partition(":")[0]
    address = deployer.sandbox.environment()["INGRESS_HOST"]
    by_host = json.loads(deployer.pavedpath("smoke", address, "--host", host, "--output", "json"))
    assert [each["status"] for each in by_host["endpoints"]] == [200, 200, 200]


def test_a_service_without_its_metric_fails(deployer: Deployer, shop: str, api: httpx.Client) -> None:
    deployer.release("shop", "no-metrics")
    printed = deployer.pavedpath("smoke", shop, "--budget", "15s", expect=1)
    assert "✗ GET /metrics" in printed
    assert "matches '^http_requests_total[{ ]'" in printed
    assert "1 of 3 endpoints failed" in printed
    deployer.release("shop")


def test_nothing_behind_the_ingress_fails_within_the_budget(deployer: Deployer, shop: str) -> None:
    found = deployer.pavedpath(
        "smoke", shop, "--host", "else.localhost", "--budget", "3s", "--output", "json", expect=1
    )
    document = json.loads(found)
    assert document["seconds"] < 30  # without an end to it there would be no answer at all
    assert not any(each["ok"] for each in document["endpoints"])


def pods_of(api: httpx.Client, release: str) -> list[dict[str, Any]]:
    label = {"labelSelector": f"app.kubernetes.io/instance={release}"}
    return api.get("/api/v1/namespaces/shop/pods", params=label).json()["items"]


def test_an_image_that_is_not_there_is_named(deployer: Deployer, shop: str, api: httpx.Client) -> None:
    deployer.release("gone", tag="9", wait=False)

    def refused() -> bool:
        statuses = [each for pod in pods_of(api, "gone") for each in pod["status"].get("containerStatuses", [])]
        return any(each["state"].get("waiting", {}).get("reason") == "ImagePullBackOff" for each in statuses)

    eventually(refused)
    printed = deployer.pavedpath("health", "gone", "--namespace", "shop", "--budget", "10s", expect=1)
    assert "✗" not in printed.partition("gone in shop")[0].replace("…", "")
    assert "ImagePullBackOff" in printed
    assert "9 is not in the registry" in printed


def test_a_diagnosis_of_a_crash_holds_the_logs_and_no_secret(
    deployer: Deployer, shop: str, api: httpx.Client, tmp_path: Path
) -> None:
    deployer.release("crash", "crash", wait=False)

    def restarted() -> bool:
        statuses = [each for pod in pods_of(api, "crash") for each in pod["status"].get("containerStatuses", [])]
        counts = [each["restartCount"] for each in statuses]
        return bool(counts) and all(counts)

    eventually(restarted)
    printed = deployer.pavedpath("diagnose", "crash", "--namespace", "shop", "--out", str(tmp_path / "out"))
    assert "CrashLoopBackOff: container service ended with status 1" in printed
    files = unpacked(tmp_path / "out" / "diagnosis-crash.tar.gz")
    whole = "\n".join(files.values()) + printed
    assert PASSWORD not in whole
    assert base64.b64encode(PASSWORD.encode()).decode() not in whole
    logs = [text for name, text in files.items() if name.startswith("logs/")]
    assert any("no database at postgres://shop:(secret)@db" in text for text in logs)
    assert any(name.endswith(".previous.log") for name in files)
    index = (tmp_path / "out" / "index.md").read_text()
    assert index == files["index.md"]
    assert "| 1 |" in index
    assert "deployed" in index
    forbidden = index.partition("This access may not read: ")[2].partition(".\n")[0]
    assert "nodes" in forbidden
    assert "resourcequotas" in forbidden
    assert "pods" not in forbidden
    assert "DB_PASSWORD: (secret)" in files["values.1.yaml"]
    assert "secrets.yaml" not in files


def test_a_release_that_is_not_there_is_a_mistake(deployer: Deployer, tmp_path: Path) -> None:
    said = deployer.pavedpath("health", "nothing", "--namespace", "shop", expect=2)
    assert "no workload of the release nothing" in said
    assert "may not list statefulsets" in said
    said = deployer.pavedpath("diagnose", "nothing", "--namespace", "shop", "--out", str(tmp_path), expect=2)
    assert "Nothing of the release nothing" in said
