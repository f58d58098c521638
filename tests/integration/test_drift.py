"""Drift of a real stack, of settings on the sandbox's GitHub and of a Helm release; and the page about them."""

import base64
import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.browser import Browser, browser
from tests.integration.conftest import ROOT, World
from tests.integration.test_dora import Hub

pytestmark = pytest.mark.integration

COMMAND = str(ROOT / ".venv/bin/pavedpath")
SECRET = "hunter2-and-never-shown"
CHART = {
    "Chart.yaml": "{apiVersion: v2, name: shop, version: 1.4.2, appVersion: 1.4.2}",
    "templates/all.yaml": f"""
apiVersion: v1
kind: Secret
metadata: {{name: login}}
stringData: {{password: {SECRET}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: settings}}
data: {{mode: fast}}
---
apiVersion: v1
kind: Service
metadata: {{name: api}}
spec:
  selector: {{app: api}}
  ports: [{{port: 80, targetPort: http}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: api}}
spec:
  replicas: 1
  selector: {{matchLabels: {{app: api}}}}
  template:
    metadata: {{labels: {{app: api}}}}
    spec:
      containers:
        - name: api
          image: registry.test/api@sha256:{"a" * 64}
          ports: [{{name: http, containerPort: 8080}}]
          resources: {{requests: {{cpu: 0.5, memory: 1024Mi}}}}
          env: [{{name: MODE, value: "1"}}]
""",
}
WORKFLOW = """
on: push
jobs:
  deploy:
    runs-on: linux
    environment: prod
    steps:
      - uses: actions/checkout@v4
      - run: echo ${{ secrets.NOPE }}
"""
SECTIONS = ["running", "environments", "history", "dora", "drift", "evidence"]


class Place:
    """A world with the shared stack, a repository that nobody declared, and a release."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.hub = Hub(world.environment)
        self.printed: list[str] = []

    def run(self, *arguments: str, expect: int) -> Any:
        done = subprocess.run(
            [COMMAND, *arguments, "--output", "json"],
            cwd=self.world.directory,
            env=self.world.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        self.printed += [done.stdout, done.stderr]
        assert done.returncode == expect, f"{arguments} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return json.loads(done.stdout)

    def drift(self, *arguments: str, expect: int) -> dict[tuple[str, str], Any]:
        found = self.run("drift", *arguments, expect=expect)
        return {(each["rule"], each["where"]): each for each in found["differences"]}


@pytest.fixture(scope="module")
def place(world: World, tmp_path_factory: pytest.TempPathFactory) -> Place:
    made = Place(world)
    chart = tmp_path_factory.mktemp("chart")
    for name, text in CHART.items():
        (chart / name).parent.mkdir(exist_ok=True)
        (chart / name).write_text(text)
    world.run("helm", "upgrade", "--install", "shop", str(chart), "--namespace", "shop", "--create-namespace")
    hub = made.hub
    hub.send("POST", "orgs/acme/repos", name="shop", auto_init=True)
    content = base64.b64encode(WORKFLOW.encode()).decode()
    hub.send("PUT", "repos/acme/shop/contents/.github/workflows/ci.yml", message="ci", content=content)
    hub.send("POST", "repos/acme/shop/hooks", config={"url": f"http://hooks.test/{SECRET}", "content_type": "json"})
    for name in ("dev", "prod"):
        hub.send("PUT", f"repos/acme/shop/environments/{name}")
    return made


def test_settings_that_nobody_declared_are_audited(place: Place) -> None:
    found = place.drift("--repository", "acme/shop", expect=4)
    assert {rule for rule, _ in found} >= {
        *("pull-request", "required-check", "force-push", "environment-open", "environment-approval"),
        *("secret-missing", "action-unpinned", "actions-allowed", "webhook-http", "webhook-secret"),
    }
    assert ("environment-open", "acme/shop: environment prod") in found
    whole = place.run("drift", "--repository", "acme/none", expect=1)
    assert [each["where"] for each in whole["unchecked"]] == ["acme/none"]


def test_an_edit_of_a_release_is_seen_and_put_back(place: Place) -> None:
    assert place.drift("--release", "shop/shop", expect=0) == {}
    edit = {"data": {"mode": "slow", "more": "1"}}
    env = [{"name": "MODE", "value": "1"}, {"name": "DEBUG", "value": "1"}]
    pod = {"spec": {"containers": [{"name": "api", "env": env}], "priorityClassName": None}}
    strategic = {"Content-Type": "application/strategic-merge-patch+json"}
    by = {"fieldManager": "kubectl-edit"}  # what `kubectl edit` calls itself
    api = place.world.kubernetes()
    configmap, deployment = (
        "/api/v1/namespaces/shop/configmaps/settings",
        "/apis/apps/v1/namespaces/shop/deployments/api",
    )
    changes = {
        configmap: edit,
        deployment: {"spec": {"template": pod, "paused": True}, "metadata": {"annotations": {"mine": "1"}}},
    }
    for path, change in changes.items():
        api.patch(path, params=by, headers=strategic, json=change).raise_for_status()
    api.delete("/api/v1/namespaces/shop/services/api").raise_for_status()
    found = place.drift("--release", "shop/shop", expect=4)
    where = {each.removeprefix("release shop/shop: ") for _, each in found}
    assert where == {
        "ConfigMap settings data.mode",
        "ConfigMap settings data.more",
        "Deployment api metadata.annotations.mine",
        "Deployment api spec.paused",
        "Deployment api spec.template.spec.containers[api].env[DEBUG]",
        "Service api",
    }
    paused = found["object-changed", "release shop/shop: Deployment api spec.paused"]
    assert (paused["found"], paused["wanted"]) == ("true (set by kubectl-edit)", "nothing")
    login = "/api/v1/namespaces/shop/secrets/login"
    api.patch(login, headers=strategic, json={"stringData": {"password": f"{SECRET}-2"}}).raise_for_status()
    secret = place.drift("--release", "shop/shop", expect=4)
    changed = secret["object-changed", "release shop/shop: Secret login data.password"]
    assert (changed["found"], changed["wanted"]) == ("(secret)", "(secret)")


def test_a_stack_is_compared_and_stays_as_it_is(place: Place) -> None:
    place.world.stack("up", "shared")
    assert place.drift("shared", expect=0) == {}
    before = place.world.export("shared")
    place.hub.send("PATCH", "repos/acme/storefront", description="Changed by hand")
    found = place.drift("shared", "--organization", "acme", expect=4)
    changed = [each for (rule, _), each in found.items() if rule == "stack-property"]
    assert [(each["found"], each["wanted"]) for each in changed] == [
        ("Changed by hand", "The shop's front end and its API")
    ]
    assert ("unmanaged-repository", "acme/shop") in found
    assert ("unmanaged-repository", "acme/storefront") not in found
    assert (
        json.loads(place.world.export("shared"))["deployment"]["resources"]
        == (json.loads(before)["deployment"]["resources"])
    )
    # What the stack makes is what the audit asks for.
    rules = {rule for rule, _ in place.drift("--repository", "acme/storefront", expect=4)}
    assert not rules & {"pull-request", "approvals", "required-check", "force-push", "workflow-token"}


def test_an_exception_is_shown_and_no_difference(place: Place, tmp_path: Path) -> None:
    found = place.drift("--repository", "acme/shop", expect=4)
    day = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
    entries = [{"rule": rule, "reason": "made for this test", "expires": day} for rule in {rule for rule, _ in found}]
    (tmp_path / "accepted.yaml").write_text(json.dumps({"version": 1, "exceptions": entries}))
    options = ("--repository", "acme/shop", "--exceptions", str(tmp_path / "accepted.yaml"))
    document = place.run("drift", *options, expect=0)
    assert len(document["accepted"]) == len(found)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def test_the_page_tells_all_of_it(place: Place, seen: Browser, tmp_path: Path) -> None:
    hub = place.hub
    first = hub.commit(50)
    states: list[tuple[str, list[str]]] = [(first, ["success"]), (hub.commit(20), ["failure"])]
    for sha, told in states:
        hub.deploy(sha, "in_progress", *told)
    fixed = hub.commit(10)
    hub.deploy(fixed, "success")
    made = hub.send(
        *("POST", "repos/acme/shop/deployments"),
        ref=hub.commit(1),
        environment="dev",
        auto_merge=False,
        required_contexts=[],
    )
    hub.send("POST", f"repos/acme/shop/deployments/{made['id']}/statuses", state="success")
    document = place.run(
        *("report", "--out", str(tmp_path), "--repository", "acme/shop", "--repository", "acme/none"),
        *("--app", "prod=shop/shop", "--app", "prod=shop/other"),
        expect=0,
    )
    in_prod = [each for each in document["running"]["rows"] if each["environment"] == "prod"]
    assert len(in_prod) == 2, "what is not there stands in the table, too"
    (prod,) = [each for each in in_prod if each["deployment"]]
    assert (prod["deployment"]["commit"], prod["behind"], prod["before"]) == (fixed, 1, "dev")
    assert (prod["release"]["version"], prod["release"]["revision"]) == ("1.4.2", 1)
    assert [each["outcome"] for each in document["history"]["rows"]] == ["success", "success", "failure", "success"]
    unread = {each["source"] for part in ("running", "history", "evidence") for each in document[part]["unread"]}
    assert {"deployments of acme/none", "release shop/other of prod"} <= unread
    assert document["dora"]["failures"] == 1
    page = tmp_path / "index.html"
    for width in (1200, 400):
        for scheme in ("light", "dark"):
            _look(seen, page.as_uri(), width, scheme)
    assert "Not read: deployments of acme/none" in str(seen.evaluate("document.body.innerText"))
    seen.open(page.as_uri(), width=720, media="print", scheme="dark")  # a sheet of A4, whatever the reader's screen
    assert seen.evaluate("document.documentElement.scrollWidth") <= 720
    assert seen.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert SECRET not in "".join([page.read_text(), *place.printed])


def _look(seen: Browser, url: str, width: int, scheme: str) -> None:
    seen.open(url, width=width, scheme=scheme)
    assert seen.said == []
    assert seen.requested == [url]
    assert seen.evaluate("document.documentElement.scrollWidth") <= width
    assert seen.evaluate("[...document.querySelectorAll('h2')].map(each => each.id)") == SECTIONS
    assert seen.evaluate("[...document.querySelectorAll('section')].every(each => each.offsetHeight > 40)")
    assert seen.evaluate("document.querySelectorAll('svg').length") == 4
    dark = seen.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert dark is (scheme == "dark")
