"""Deploying, rolling back, drilling: Helm 3 and 4, a real API server with a deployer's rights, SOPS with KMS."""

import base64
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import psutil
import pytest
import yaml
from pavedpath.namespace import DEPLOY_RULES, deployer_kubeconfig
from pavedpath_sandbox.sandbox import Sandbox

from tests.integration.conftest import ROOT, World, kubernetes_client

pytestmark = pytest.mark.integration

SECRET = "postgres://shop:hunter2-and-never-shown@db/shop"
ROTATED = "postgres://shop:hunter2-the-next-one@db/shop"
DIGEST = "sha256:" + "a" * 64
CHART = ROOT / "charts/web-service"
COMMAND = str(ROOT / ".venv/bin/pavedpath")


@dataclass(frozen=True)
class Done:
    code: int
    stdout: str
    stderr: str
    document: dict[str, Any]


@dataclass
class Shop:
    """An application in a namespace of its own; everything that any command prints is kept."""

    sandbox: Sandbox
    directory: Path
    namespace: str
    helm: str
    printed: list[str]

    @property
    def values(self) -> Path:
        return self.directory / "values"

    def environment(self, *, admin: bool) -> dict[str, str]:
        variables = {**os.environ, **self.sandbox.environment(), "PAVEDPATH_HELM": self.helm}
        return variables if admin else {**variables, "KUBECONFIG": str(self.directory / "deployer.yaml")}

    def api(self) -> httpx.Client:
        return kubernetes_client(Path(self.sandbox.environment()["KUBECONFIG"]).read_text(), self.directory)

    def run(self, command: str, *options: str, app: str = "shop", admin: bool = False, expect: int = 0) -> Done:
        argv = [COMMAND, command, app, "--namespace", self.namespace, "--output", "json", *options]
        done = subprocess.run(
            argv, capture_output=True, text=True, env=self.environment(admin=admin), timeout=400, check=False
        )
        self.printed += [done.stdout, done.stderr]
        assert done.returncode == expect, f"{options} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return Done(done.returncode, done.stdout, done.stderr, json.loads(done.stdout) if done.stdout else {})

    def arguments(self, *options: str) -> list[str]:
        return ["--environment", "dev", "--chart", str(CHART), "--values-dir", str(self.values), *options]

    def deploy(self, *options: str, app: str = "shop", expect: int = 0) -> Done:
        return self.run("deploy", *self.arguments(*options), app=app, expect=expect)

    def revisions(self, app: str = "shop") -> list[dict[str, Any]]:
        return self.run("history", app=app).document["revisions"]

    def newest(self) -> int:
        return self.revisions()[0]["revision"]

    def running_images(self, app: str = "shop") -> set[str]:
        with self.api() as api:
            selector = {"labelSelector": f"app.kubernetes.io/instance={app}"}
            pods = api.get(f"/api/v1/namespaces/{self.namespace}/pods", params=selector).json()["items"]
        return {
            container["image"]
            for pod in pods
            if not pod["metadata"].get("deletionTimestamp")
            for container in pod["spec"]["containers"]
        }

    def kill_in_the_middle(self, *argv: str, admin: bool = False) -> str:
        """Run a command whose Helm is at work on pods that do not start; kill both, and return what was printed."""
        process = subprocess.Popen(
            [COMMAND, *argv, "--namespace", self.namespace],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment(admin=admin),
        )
        assert process.stderr
        said = ""
        for line in process.stderr:
            said += line
            if "ImagePullBackOff" in line:
                break
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        assert any(self.helm == each.name() for each in family)
        self.printed += [" ".join(each.cmdline()) for each in family]
        for each in family:
            each.send_signal(signal.SIGKILL)
        process.communicate(timeout=120)
        self.printed.append(said)
        return said


@pytest.fixture(scope="module")
def sandbox(toolchain: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("deploy") / "sandbox", groups=("aws", "kubernetes", "registry")) as made:
        yield made


@pytest.fixture(scope="module", params=["helm", "helm3"])
def shop(
    request: pytest.FixtureRequest, sandbox: Sandbox, toolchain: Path, tmp_path_factory: pytest.TempPathFactory
) -> Shop:
    program = request.param
    if not (toolchain / program).exists():
        missing = f"{program} is not in the toolchain. Fix: python -m toolchain ensure --with {program}"
        if os.environ.get("CI") or os.environ.get("PAVEDPATH_REQUIRE_TOOLCHAIN"):
            pytest.fail(missing)
        pytest.skip(missing)
    made = Shop(sandbox, tmp_path_factory.mktemp(program), f"shop-{program}", program, [])
    _make_deployer(made)
    _seal(made)
    return made


def _make_deployer(shop: Shop) -> None:
    """Make the namespace and its deployer with the rules of the component, and write the deployer's kubeconfig."""
    metadata = {"name": "deployer", "namespace": shop.namespace}
    base, rbac = f"/api/v1/namespaces/{shop.namespace}", "rbac.authorization.k8s.io"
    roles = f"/apis/{rbac}/v1/namespaces/{shop.namespace}"
    annotations = {"kubernetes.io/service-account.name": "deployer"}
    objects: list[tuple[str, dict[str, Any]]] = [
        ("/api/v1/namespaces", {"metadata": {"name": shop.namespace}}),
        (f"{base}/serviceaccounts", {"metadata": metadata}),
        (f"{roles}/roles", {"metadata": metadata, "rules": [dict(rule) for rule in DEPLOY_RULES]}),
        (
            f"{roles}/rolebindings",
            {
                "metadata": metadata,
                "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "deployer"},
                "subjects": [{"kind": "ServiceAccount", **metadata}],
            },
        ),
        (
            f"{base}/secrets",
            {
                "metadata": {"name": "token", "annotations": annotations},
                "type": "kubernetes.io/service-account-token",
            },
        ),
    ]
    with shop.api() as api:
        for path, body in objects:
            made = api.post(path, json=body)
            assert made.status_code == 201, made.text
        data: dict[str, str] = {}
        while not data.get("token"):
            time.sleep(0.1)
            data = api.get(f"{base}/secrets/token").json().get("data") or {}
        server = str(api.base_url)
    token = base64.b64decode(data["token"]).decode()
    (shop.directory / "deployer.yaml").write_text(deployer_kubeconfig(server, data["ca.crt"], token, shop.namespace))


def _seal(shop: Shop, secret: str = SECRET, **more: str) -> None:
    shop.values.mkdir(exist_ok=True)
    image = {"repository": "registry.example/shop/api", "tag": "v1"}
    (shop.values / "dev.yaml").write_text(yaml.safe_dump({"image": image, "env": {"LOG_LEVEL": "debug"}}))
    variables = shop.environment(admin=True)
    key = World(shop.directory, shop.sandbox).aws("kms").create_key()["KeyMetadata"]["Arn"]
    plain = shop.directory / "plain.yaml"
    plain.write_text(yaml.safe_dump({"secrets": {"DATABASE_URL": secret}, **more}))
    command = ["sops", "--config", os.devnull, "encrypt", "--kms", key, "--output-type", "yaml", str(plain)]
    sealed = subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout
    assert secret not in sealed
    (shop.values / "dev.secrets.yaml").write_text(sealed)
    plain.unlink()


def test_every_mistake_is_told_before_anything_is_changed(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "dev.yaml").write_text("a: [")
    (tmp_path / "dev.secrets.yaml").write_text("secrets: {A: not sealed}\n")
    refused = shop.run(
        "deploy",
        *("--environment", "dev", "--chart", str(tmp_path / "nowhere"), "--values-dir", str(tmp_path)),
        expect=2,
    )
    for part in ("nowhere", "dev.yaml: not YAML", "dev.secrets.yaml: sops cannot open it"):
        assert part in refused.stderr
    options = [*shop.arguments("--image", "api", "--timeout", "soon"), "--environment", "../dev"]
    misnamed = shop.run("deploy", *options, app="Shop", expect=2).stderr
    for part in ("APP Shop", "--environment ../dev", "--image api", "--timeout soon"):
        assert part in misnamed
    wrong = shop.deploy("--set", "replicas=many", "--set", "unknown=1", expect=2)
    assert "replicas" in wrong.stderr
    assert "unknown" in wrong.stderr
    loose = shop.deploy("--require-digest", expect=5)
    assert "registry.example/shop/api:v1" in loose.stderr
    assert "no image worker" in shop.deploy("--image", f"worker=r.example/w@{DIGEST}", expect=2).stderr
    assert "no release shop" in shop.run("history", expect=2).stderr
    assert "no release shop" in shop.run("rollback", "--yes", expect=2).stderr


def test_a_release_that_never_ran_is_taken_away_again(shop: Shop) -> None:
    failed = shop.deploy("--set", "image.tag=broken", "--timeout", "120s", "--fail-fast", "1s", app="never", expect=6)
    assert failed.document["state"] == "rolled-back"
    assert failed.document["revision"] == failed.document["previous"] == 0
    assert "could not be pulled for 1 s" in failed.stderr
    assert shop.running_images("never") == set()


def test_install_preview_unchanged_and_upgrade(shop: Shop) -> None:
    preview = shop.deploy("--dry-run").document
    assert (preview["state"], preview["revision"]) == ("previewed", 0)
    assert {each["object"] for each in preview["changes"]} == {"Deployment shop", "Service shop", "Secret shop"}
    first = shop.deploy().document
    assert (first["state"], first["revision"], first["previous"]) == ("deployed", 1, 0)
    assert shop.deploy().document["state"] == "unchanged"
    assert shop.newest() == 1
    image = f"image=registry.example/shop/api@{DIGEST}"
    (change,) = shop.deploy("--image", image, "--dry-run").document["changes"]
    assert (change["action"], change["object"]) == ("update", "Deployment shop")
    assert [line.split()[0] for line in change["lines"] if "image:" in line] == ["-", "+"]
    second = shop.deploy("--image", image, "--require-digest").document
    assert (second["state"], second["revision"], second["previous"]) == ("deployed", 2, 1)
    assert shop.running_images() == {f"registry.example/shop/api@{DIGEST}"}
    assert shop.deploy("--image", image, "--force").document["revision"] == 3
    with shop.api() as api:
        made = api.get(f"/api/v1/namespaces/{shop.namespace}/secrets/shop").json()
    assert base64.b64decode(made["data"]["DATABASE_URL"]).decode() == SECRET


def test_a_broken_image_is_rolled_back_by_helm_and_only_once(shop: Shop) -> None:
    before, images = shop.newest(), shop.running_images()
    failed = shop.deploy("--set", "image.tag=broken", "--timeout", "20s", expect=6)
    assert failed.document["state"] == "rolled-back"
    assert failed.document["previous"] == before
    assert "ImagePullBackOff" in failed.stderr
    assert any("ImagePullBackOff" in problem for problem in failed.document["problems"])
    newest, broken, *_ = shop.revisions()
    assert (broken["status"], broken["images"]) == ("failed", ["registry.example/shop/api:broken"])
    # One record of the failure and one of its rollback: nobody rolled back once more.
    assert (newest["revision"], newest["status"]) == (before + 2, "deployed")
    assert newest["description"] == f"Rollback to {before}"
    assert shop.running_images() == images


def test_a_rollback_after_failed_smoke_tests_undoes_only_what_runs(shop: Shop) -> None:
    deployed = shop.deploy("--set", "image.tag=v3").document
    late = shop.run("rollback", "--if-deployed", str(deployed["revision"] - 1)).document
    assert late["state"] == "passed-over"
    assert shop.newest() == deployed["revision"]
    planned = shop.run("rollback", "--if-deployed", str(deployed["revision"]), "--dry-run").document
    assert (planned["state"], planned["target"]) == ("planned", deployed["previous"])
    undone = shop.run("rollback", "--if-deployed", str(deployed["revision"])).document
    assert (undone["state"], undone["target"]) == ("rolled-back", deployed["previous"])
    assert shop.running_images() == {f"registry.example/shop/api@{DIGEST}"} == set(undone["images"])
    # A second job with the same idea finds that somebody was faster.
    assert shop.run("rollback", "--if-deployed", str(deployed["revision"])).document["state"] == "passed-over"


def test_a_rollback_by_hand_asks_first_and_refuses_what_never_ran(shop: Shop) -> None:
    assert "--yes" in shop.run("rollback", expect=2).stderr
    failed = next(each["revision"] for each in shop.revisions() if each["status"] == "failed")
    assert "never ran" in shop.run("rollback", "--yes", "--to-revision", str(failed), expect=5).stderr
    back = shop.run("rollback", "--yes", "--to-revision", "1").document
    assert (back["state"], back["target"]) == ("rolled-back", 1)
    assert shop.running_images() == {"registry.example/shop/api:v1"}
    assert "no earlier revision" in shop.run("rollback", "--yes", expect=2).stderr


def test_a_deployment_that_was_killed_is_reverted_by_the_next(shop: Shop) -> None:
    before = shop.newest()
    broken = shop.arguments("--set", "image.tag=broken", "--timeout", "120s")
    shop.kill_in_the_middle("deploy", "shop", *broken)
    assert shop.revisions()[0]["status"] == "pending-upgrade"
    busy = shop.deploy("--set", "image.tag=v4", "--no-wait", expect=3)
    assert f"revision {before + 1} of shop is pending-upgrade" in busy.stderr
    assert shop.deploy("--set", "image.tag=v4", "--dry-run").document["changes"]
    repaired = shop.deploy("--set", "image.tag=v4", "--timeout", "30s")
    assert f"back to revision {before}" in repaired.stderr
    assert repaired.document["state"] == "deployed"
    assert shop.running_images() == {"registry.example/shop/api:v4"}
    described = [each["description"] for each in shop.revisions()[:2]]
    assert described == ["Upgrade complete", f"Rollback to {before}"]


def test_a_first_deployment_that_was_killed_is_begun_anew(shop: Shop) -> None:
    broken = shop.arguments("--set", "image.tag=broken", "--timeout", "120s")
    shop.kill_in_the_middle("deploy", "young", *broken)
    assert shop.revisions("young")[0]["status"] == "pending-install"
    assert shop.deploy("--timeout", "30s", app="young").document["revision"] == 1


def test_an_interrupted_deployment_is_rolled_back_by_helm(shop: Shop) -> None:
    images = shop.running_images()
    argv = [COMMAND, "deploy", "shop", "--namespace", shop.namespace]
    argv += [*shop.arguments("--set", "image.tag=broken", "--timeout", "120s")]
    process = subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=shop.environment(admin=False)
    )
    assert process.stderr
    next(line for line in process.stderr if "ImagePullBackOff" in line)
    process.send_signal(signal.SIGTERM)
    stdout, _ = process.communicate(timeout=300)
    shop.printed.append(stdout)
    assert process.returncode == 6, stdout
    assert shop.running_images() == images


def test_a_drill_of_a_broken_image_with_a_deployers_rights(shop: Shop) -> None:
    before, images = shop.newest(), shop.running_images()
    done = shop.run("drill", "--kind", "broken-image", "--fail-fast", "2s", "--timeout", "120s").document
    assert done["as_before"]
    assert not done["reason"]
    assert (done["revision_before"], done["revision_after"]) == (before, before + 2)
    assert done["measured"]["downtime_s"] == 0
    assert done["measured"]["recovery_s"] > 2
    assert shop.revisions()[1]["chart"] == "drill-0.0.0"
    assert shop.running_images() == images


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name is that of the base class
        pass


def test_drills_of_a_killed_pod_and_a_lost_node(shop: Shop) -> None:
    for kind, right in (("killed-pod", "delete pods"), ("lost-node", "patch nodes")):
        assert right in shop.run("drill", "--kind", kind, expect=5).stderr
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answer)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        probe = f"http://127.0.0.1:{server.server_port}/"
        killed = shop.run("drill", "--kind", "killed-pod", "--probe", probe, admin=True).document
    finally:
        server.shutdown()
        server.server_close()
    assert killed["as_before"]
    assert killed["measured"]["requests"] >= 3
    assert killed["measured"]["failed_requests"] == 0
    pod = killed["note"].split()[1]
    lost = shop.run("drill", "--kind", "lost-node", admin=True).document
    assert lost["as_before"]
    node = lost["note"].split()[1]
    with shop.api() as api:
        assert api.get(f"/api/v1/namespaces/{shop.namespace}/pods/{pod}").status_code == 404
        assert not api.get(f"/api/v1/nodes/{node}").json()["spec"].get("taints")
        pods = api.get(f"/api/v1/namespaces/{shop.namespace}/pods").json()["items"]
        maps = api.get(f"/api/v1/namespaces/{shop.namespace}/configmaps").json()["items"]
    assert not [each for each in pods if each["spec"]["nodeName"] == node and "shop-" in each["metadata"]["name"]]
    assert not [each for each in maps if "drill" in each["metadata"]["name"]]


def test_a_drill_that_was_killed_is_undone(shop: Shop) -> None:
    images = shop.running_images()
    shop.kill_in_the_middle("drill", "shop", "--kind", "broken-image", "--fail-fast", "110s", "--timeout", "120s")
    assert shop.revisions()[0]["status"] == "pending-upgrade"
    undone = shop.run("drill", "--restore", "--timeout", "30s").document
    assert undone["kind"] == "broken-image"
    assert shop.running_images() == images
    assert "no drill" in shop.run("drill", "--restore").document["note"]


def test_what_somebody_scaled_is_named_and_taken_back_by_force(shop: Shop) -> None:
    image = ("--set", "image.tag=v2")
    shop.deploy(app="scaled")
    path = f"/apis/apps/v1/namespaces/{shop.namespace}/deployments/scaled"
    with shop.api() as api:
        wanted = api.get(path).json()["spec"]["replicas"]
        merge = {"Content-Type": "application/merge-patch+json"}
        body = {"spec": {"replicas": 5}}
        api.patch(f"{path}/scale", params={"fieldManager": "kubectl"}, json=body, headers=merge).raise_for_status()
        while api.get(path).json()["status"].get("readyReplicas") != 5:
            time.sleep(0.2)
    assert shop.deploy(app="scaled").document["state"] == "unchanged"
    if shop.helm == "helm":
        for command in ("deploy", "rollback"):
            options = shop.arguments(*image) if command == "deploy" else ["--yes"]
            refused = shop.run(command, *options, app="scaled", expect=1).stderr
            for part in ("Revision 1 of scaled runs as before", '.spec.replicas is now owned by "kubectl"', "--force"):
                assert part in refused
        # The first of the failed ones was marked superseded by a rollback that was refused, too.
        first = next(each for each in shop.revisions("scaled") if each["revision"] == 2)
        assert (first["status"], first["ran"]) == ("superseded", False)
        never = shop.run("rollback", "--yes", "--to-revision", "2", app="scaled", expect=5)
        assert "never ran" in never.stderr
        assert shop.deploy(*image, "--force", app="scaled").document["state"] == "deployed"
    else:
        assert shop.deploy(*image, app="scaled").document["state"] == "deployed"
    with shop.api() as api:
        assert api.get(path).json()["spec"]["replicas"] == wanted
    assert shop.run("rollback", "--yes", app="scaled").document["target"] == 1


def test_a_chart_from_a_registry(shop: Shop, toolchain: Path, tmp_path: Path) -> None:
    (host,) = [each.address for each in shop.sandbox.status() if each.part == "registry"]
    charts = host.replace("http://", "oci://") + "/charts"
    helm = [str(toolchain / "helm")]
    subprocess.run([*helm, "package", str(CHART), "--destination", str(tmp_path)], check=True, capture_output=True)
    push = [*helm, "push", str(next(tmp_path.glob("*.tgz"))), charts, "--plain-http"]
    subprocess.run(push, check=True, capture_output=True)
    where = ["--environment", "dev", "--values-dir", str(shop.values), "--plain-http"]
    arguments = [*where, "--chart", f"{charts}/web-service", "--chart-version"]
    assert shop.run("deploy", *arguments, "0.1.0", app="remote").document["state"] == "deployed"
    assert shop.run("deploy", *arguments, "0.1.0", app="remote").document["state"] == "unchanged"
    assert "9.9.9" in shop.run("deploy", *arguments, "9.9.9", app="remote", expect=2).stderr


def test_a_changed_secret_is_told_and_not_shown(shop: Shop) -> None:
    shop.deploy()
    _seal(shop, ROTATED)
    changes = shop.deploy("--dry-run").document["changes"]
    lines = {each["object"]: each["lines"] for each in changes}
    assert lines["Secret shop"] == ["  (values of the secret differ)"]
    assert any("checksum/config" in line for line in lines["Deployment shop"])
    # Helm's errors quote what they complain about.
    _seal(shop, ROTATED, readinessPath="hunter2-is-no-path")
    assert "readinessPath" in shop.deploy(expect=2).stderr
    _seal(shop, ROTATED)
    assert shop.deploy().document["state"] == "deployed"


def test_no_secret_is_in_any_output(shop: Shop) -> None:
    everything = "\n".join(shop.printed)
    assert "shop" in everything
    assert any("upgrade shop" in each for each in shop.printed)  # command lines are among it
    for secret in (SECRET, ROTATED):
        assert secret not in everything
        assert base64.b64encode(secret.encode()).decode() not in everything
    assert "hunter2" not in everything
