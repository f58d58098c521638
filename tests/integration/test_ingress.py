"""Pods that really run: an image from the sandbox's registry, behind a Service and an Ingress."""

import json
import os
import signal
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from pavedpath_sandbox import images
from pavedpath_sandbox.sandbox import Sandbox

from tests.integration.conftest import kubernetes_client
from tests.integration.running import apply, eventually, exposed, pods

pytestmark = pytest.mark.integration

SERVER = """
import http.server, json, os, sys, time
print("starting", os.environ.get("VERSION"), flush=True)
if os.environ.get("CRASH"):
    sys.exit("no database")
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self, code, body):
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Two", "a"); self.send_header("X-Two", "b")
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        if self.path == "/ready":
            return self.answer(503 if os.environ.get("UNREADY") else 200, b"")
        if self.path.startswith("/slow?"):
            self.send_response(200); self.send_header("Transfer-Encoding", "chunked"); self.end_headers()
            self.wfile.write(b"1\\r\\n0\\r\\n"); self.wfile.flush()
            until, end = self.path.partition("?")[2], time.monotonic() + 60
            while not (came := os.path.exists(until)) and time.monotonic() < end: time.sleep(0.02)
            return self.wfile.write(b"1\\r\\n%d\\r\\n0\\r\\n\\r\\n" % came)
        if self.path == "/die":
            os._exit(3)
        known = {name: os.environ.get(name) for name in ("VERSION", "PASSWORD", "POD")}
        known |= {"path": self.path, "data": open("data.txt").read(), "forwarded": self.headers["X-Forwarded-Host"]}
        self.answer(200, json.dumps(known).encode())
    def do_POST(self):
        self.answer(201, self.rfile.read(int(self.headers["Content-Length"]))[::-1])
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
DOCKERFILE = """
FROM python:3.12-slim
ARG VERSION=1
WORKDIR /app
COPY server.py data.txt ./
ENV VERSION=${VERSION} PYTHONUNBUFFERED=1
EXPOSE 8000
CMD ["python", "/app/server.py"]
"""
HOST = {"Host": "shop.example"}


@pytest.fixture(scope="module")
def sandbox(toolchain: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("ingress") / "state", ("kubernetes", "registry")) as made:
        yield made


@pytest.fixture(scope="module")
def api(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> httpx.Client:
    return kubernetes_client(sandbox.layout.cluster().kubeconfig.read_text(), tmp_path_factory.mktemp("client"))


@pytest.fixture(scope="module")
def registry(sandbox: Sandbox) -> str:
    return next(part.address for part in sandbox.status() if part.part == "registry").removeprefix("http://")


@pytest.fixture(scope="module")
def image(registry: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    context = tmp_path_factory.mktemp("context")
    (context / "server.py").write_text(SERVER)
    (context / "data.txt").write_text("from the image")
    (context / "Dockerfile").write_text(DOCKERFILE)

    def push(version: str) -> str:
        built = images.build(context, context / "Dockerfile", arguments={"VERSION": version})
        images.push(built, [f"{registry}/acme/shop:{version}"])
        return f"{registry}/acme/shop@{built.digest}"

    return push


@pytest.fixture
def ingress(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=f"http://{sandbox.environment()['INGRESS_HOST']}", trust_env=False, timeout=120
    ) as client:
        yield client


def deployment(name: str, image: str, replicas: int = 1, **variables: str) -> str:
    env = json.dumps([{"name": key, "value": value} for key, value in variables.items()])
    return textwrap.dedent(f"""
        apiVersion: apps/v1
        kind: Deployment
        metadata: {{name: {name}}}
        spec:
          replicas: {replicas}
          selector: {{matchLabels: {{app: {name}}}}}
          strategy: {{rollingUpdate: {{maxSurge: 1, maxUnavailable: 0}}}}
          template:
            metadata: {{labels: {{app: {name}}}}}
            spec:
              containers:
                - name: web
                  image: "{image}"
                  ports: [{{name: http, containerPort: 8000}}]
                  envFrom: [{{secretRef: {{name: {name}, optional: true}}}}]
                  env: {env}
                  readinessProbe: {{httpGet: {{path: /ready, port: http}}, periodSeconds: 1}}
    """)


def waiting(pod: dict[str, Any]) -> dict[str, str]:
    statuses: list[dict[str, Any]] = pod["status"].get("containerStatuses") or [{}]
    return statuses[0].get("state", {}).get("waiting", {})


def ready(api: httpx.Client, name: str) -> int:
    return api.get(f"/apis/apps/v1/namespaces/default/deployments/{name}").json()["status"].get("readyReplicas", 0)


@pytest.fixture(scope="module")
def shop(api: httpx.Client, image: Callable[[str], str]) -> str:
    """An application with two pods and a secret, reached as shop.example."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "shop"}, "stringData": {"PASSWORD": "s3cret"}}
    apply(api, json.dumps(secret))
    first = image("1")
    apply(api, deployment("shop", first, replicas=2))
    apply(api, exposed("shop", "shop.example"))
    started = time.monotonic()
    eventually(lambda: ready(api, "shop") == 2)
    print(f"\ntwo pods ready after {time.monotonic() - started:.1f} s")  # noqa: T201  # shown with -s
    return first


def processes(sandbox: Sandbox) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for process in psutil.process_iter(["cmdline"]):
        command = " ".join(process.info["cmdline"] or [])
        if str(sandbox.layout.images) in command and "server.py" in command:
            found.append(process)
    return [process for process in found if process.status() != psutil.STATUS_ZOMBIE]


def test_a_request_reaches_a_pods_process(shop: str, ingress: httpx.Client) -> None:
    answer = eventually(lambda: (got := ingress.get("/any/path?q=a%20b", headers=HOST)).is_success and got)
    assert answer.json() == {
        "VERSION": "1",
        "PASSWORD": "s3cret",
        "POD": None,
        "path": "/any/path?q=a%20b",
        "data": "from the image",
        "forwarded": "shop.example",
    }
    assert answer.headers.get_list("X-Two") == ["a", "b"]
    assert ingress.post("/", content=b"body", headers=HOST).text == "ydob"
    assert ingress.head("/", headers=HOST).status_code == 501  # the process's own answer, not the ingress's


def test_an_answer_is_passed_on_as_it_comes(shop: str, ingress: httpx.Client, tmp_path: Path) -> None:
    first_came = tmp_path / "first"
    with ingress.stream("GET", f"/slow?{first_came}", headers=HOST) as answer:
        pieces = answer.iter_raw()
        assert next(pieces) == b"0"
        first_came.touch()
        assert b"".join(pieces) == b"1"  # 0 if the process waited in vain for its first piece to come


def test_an_unknown_host_is_told_which_there_are(shop: str, ingress: httpx.Client) -> None:
    answer = ingress.get("/", headers={"Host": "else.example"})
    assert answer.status_code == 404
    assert "no Ingress has a rule for else.example/; hosts: shop.example" in answer.text


def test_an_ingress_without_a_class_gets_the_sandboxs(shop: str, api: httpx.Client) -> None:
    found = api.get("/apis/networking.k8s.io/v1/namespaces/default/ingresses/shop").json()
    assert found["spec"]["ingressClassName"] == "sandbox"


def test_logs_are_the_processes_own(shop: str, api: httpx.Client) -> None:
    name = pods(api, "shop")[0]["metadata"]["name"]
    assert api.get(f"/api/v1/namespaces/default/pods/{name}/log").text == "starting 1\n"


def test_up_leaves_pods_alone(shop: str, sandbox: Sandbox) -> None:
    before = {process.pid for process in processes(sandbox)}
    assert len(before) == 2
    assert {result.outcome for result in sandbox.up()} == {"unchanged"}
    assert {process.pid for process in processes(sandbox)} == before


def test_a_roll_answers_all_the_time(
    shop: str, api: httpx.Client, ingress: httpx.Client, image: Callable[[str], str]
) -> None:
    seen: list[str] = []

    def rolled() -> bool:
        answer = ingress.get("/", headers=HOST)
        assert answer.status_code == 200, answer.text
        seen.append(answer.json()["VERSION"])
        return seen[-5:] == ["2"] * 5

    apply(api, deployment("shop", image("2"), replicas=2))
    eventually(rolled)
    assert seen[0] == "1"
    apply(api, deployment("shop", shop, replicas=2))
    eventually(lambda: seen.append(ingress.get("/", headers=HOST).json()["VERSION"]) or seen[-5:] == ["1"] * 5)


def test_an_image_that_is_not_there_waits_and_the_old_pods_serve(
    shop: str, api: httpx.Client, ingress: httpx.Client, registry: str
) -> None:
    apply(api, deployment("shop", f"{registry}/acme/shop:gone", replicas=2))
    stuck = eventually(lambda: next((waiting(pod) for pod in pods(api, "shop") if waiting(pod)), None))
    assert eventually(lambda: any(waiting(pod).get("reason") == "ImagePullBackOff" for pod in pods(api, "shop")))
    assert stuck
    assert ingress.get("/", headers=HOST).status_code == 200
    events = api.get("/api/v1/namespaces/default/events").json()["items"]
    assert any("gone is not in the registry" in event["message"] for event in events)
    apply(api, deployment("shop", shop, replicas=2))
    eventually(lambda: not [pod for pod in pods(api, "shop") if waiting(pod)])


def test_an_image_that_comes_late_is_pulled_then_and_a_broken_one_never(
    api: httpx.Client, registry: str, image: Callable[[str], str]
) -> None:
    apply(api, deployment("late", f"{registry}/acme/shop:late"))
    apply(api, deployment("bad", f"{registry}/acme/shop:broken"))
    eventually(lambda: [pod for pod in pods(api, "late") if waiting(pod).get("reason") == "ImagePullBackOff"])
    image("late")
    image("broken")
    eventually(lambda: ready(api, "late") == 1)
    assert waiting(pods(api, "bad")[0])["reason"] == "ImagePullBackOff"
    for name in ("late", "bad"):
        api.delete(f"/apis/apps/v1/namespaces/default/deployments/{name}")


def test_readiness_is_the_processes_own(api: httpx.Client, ingress: httpx.Client, image: Callable[[str], str]) -> None:
    apply(api, deployment("moody", image("1"), UNREADY="1"))
    apply(api, exposed("moody", "moody.example"))
    eventually(lambda: [each for each in pods(api, "moody") if each["status"].get("containerStatuses")])
    answer = eventually(lambda: "503" in (got := ingress.get("/", headers={"Host": "moody.example"})).text and got)
    assert answer.status_code == 503
    assert "HTTP probe failed with statuscode: 503" in answer.text
    assert ready(api, "moody") == 0
    api.delete("/apis/apps/v1/namespaces/default/deployments/moody")


def test_a_process_that_ends_is_started_again_and_backs_off(
    api: httpx.Client, ingress: httpx.Client, image: Callable[[str], str]
) -> None:
    apply(api, deployment("crash", image("1"), CRASH="1"))
    eventually(lambda: [pod for pod in pods(api, "crash") if waiting(pod).get("reason") == "CrashLoopBackOff"])
    eventually(lambda: pods(api, "crash")[0]["status"]["containerStatuses"][0]["restartCount"] >= 1)
    pod = pods(api, "crash")[0]
    name = pod["metadata"]["name"]
    assert pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 1
    previous = api.get(f"/api/v1/namespaces/default/pods/{name}/log", params={"previous": "true"}).text
    assert "no database" in previous
    api.delete("/apis/apps/v1/namespaces/default/deployments/crash")


def test_a_foreign_image_is_only_played_and_says_so(shop: str, api: httpx.Client, ingress: httpx.Client) -> None:
    apply(api, deployment("foreign", "example.com/app:1"))
    apply(api, exposed("foreign", "foreign.example"))
    eventually(lambda: ready(api, "foreign") == 1)
    answer = eventually(
        lambda: "runs nothing" in (got := ingress.get("/", headers={"Host": "foreign.example"})).text and got
    )
    assert answer.status_code == 503
    assert "runs nothing here: its image is not of the sandbox's registry" in answer.text
    api.delete("/apis/apps/v1/namespaces/default/deployments/foreign")


@pytest.mark.parametrize(("code", "condition"), [(0, "Complete"), (4, "Failed")])
def test_a_job_runs_to_its_end(api: httpx.Client, image: Callable[[str], str], code: int, condition: str) -> None:
    container = {
        "name": "main",
        "image": image("1"),
        "env": [{"name": "PORT", "value": "80"}],
        "command": ["python3", "-c", f"import sys; sys.exit({code} if int(sys.argv[1]) > 1024 else 9)", "$(PORT)"],
    }
    spec = {"restartPolicy": "Never", "containers": [container]}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": f"job-{code}"}}
    apply(api, json.dumps({**job, "spec": {"backoffLimit": 0, "template": {"spec": spec}}}))

    def conditions() -> list[str]:
        status = api.get(f"/apis/batch/v1/namespaces/default/jobs/job-{code}").json().get("status", {})
        return [each["type"] for each in status.get("conditions", []) if each["status"] == "True"]

    eventually(lambda: condition in conditions())


def test_after_a_killed_ingress_the_next_up_runs_the_pods_again(
    shop: str, sandbox: Sandbox, ingress: httpx.Client
) -> None:
    orphans = {process.pid for process in processes(sandbox)}
    assert orphans
    pid = next(part.pid for part in sandbox.status() if part.part == "ingress")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    sandbox.up()
    assert not orphans & {process.pid for process in processes(sandbox)}
    eventually(lambda: ingress.get("/", headers=HOST).status_code == 200)


def test_a_deleted_application_leaves_no_process(shop: str, api: httpx.Client, sandbox: Sandbox) -> None:
    for name in ("shop", "moody", "crash"):
        api.delete(f"/apis/apps/v1/namespaces/default/deployments/{name}")
    eventually(lambda: processes(sandbox) == [])
    assert list(sandbox.layout.cluster().pod_logs.glob("default_shop*")) == []
