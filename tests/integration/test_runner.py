"""A repository's workflows, run by act against the sandbox's own GitHub."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pavedpath_sandbox.cli import app
from pavedpath_sandbox.sandbox import Sandbox
from typer.testing import CliRunner, Result

pytestmark = pytest.mark.integration

WORKFLOW = """
name: CI / CD
on:
  push: {branches: [main, other]}
  pull_request:
permissions: {}
jobs:
  build:
    name: Build
    runs-on: ubuntu-latest
    permissions: {contents: read}
    outputs: {word: "${{ steps.one.outputs.word }}"}
    steps:
      - uses: actions/checkout@1111111111111111111111111111111111111111
      - id: one
        run: |
          echo "word=$(cat word.txt)" >> "$GITHUB_OUTPUT"
          mkdir -p "$RUNNER_TEMP/out" && cp word.txt "$RUNNER_TEMP/out/"
          echo "# Built $(cat word.txt)" >> "$GITHUB_STEP_SUMMARY"
      - uses: actions/upload-artifact@2222222222222222222222222222222222222222
        with: {name: words, path: "${{ runner.temp }}/out", if-no-files-found: error}
  deploy:
    needs: build
    if: github.event_name == 'push'
    runs-on: [self-hosted, linux, prod]
    environment: prod
    permissions: {deployments: read}
    steps:
      - uses: actions/download-artifact@3333333333333333333333333333333333333333
        with: {name: words}
      - env:
          PASSWORD: ${{ secrets.PASSWORD }}
          WORD: ${{ needs.build.outputs.word }}
        run: |
          test "$(cat word.txt)" = "$WORD"
          echo "the password is $PASSWORD"
          test "${#PASSWORD}" = 7
          code() { curl -sS -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $1" "$GITHUB_API_URL/$2"; }
          test "$(code "${{ github.token }}" "repos/$GITHUB_REPOSITORY/deployments")" = 200
          test "$(code "${{ github.token }}" "repos/$GITHUB_REPOSITORY/actions/secrets")" = 403
  never:
    needs: deploy
    if: failure() && github.ref == 'refs/heads/none'
    runs-on: ubuntu-latest
    steps: [{run: "exit 1"}]
"""
BY_HAND = """
name: by hand
on: {workflow_dispatch: {inputs: {number: {type: number, default: "3"}}}}
permissions: {}
jobs:
  count: {runs-on: ubuntu-latest, steps: [{run: "test ${{ inputs.number }} -gt 2"}]}
"""
R = "/repos/acme/words"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory, toolchain: Path) -> Iterator[Sandbox]:
    if not (toolchain / "act").exists():
        pytest.skip("no act in the toolchain. Fix: make toolchain")
    with Sandbox(tmp_path_factory.mktemp("runner"), groups=("github", "registry")) as made:
        yield made


@pytest.fixture(scope="module")
def github(sandbox: Sandbox) -> Iterator[httpx.Client]:
    variables = sandbox.environment()
    headers = {"Authorization": f"Bearer {variables['GITHUB_TOKEN']}"}
    with httpx.Client(base_url=variables["GITHUB_BASE_URL"], headers=headers, trust_env=False, timeout=120) as client:
        send(client, "POST", "/orgs/acme/repos", {"name": "words", "private": True, "auto_init": True})
        for path, text in (
            ("word.txt", "hello\n"),
            (".github/workflows/by-hand.yml", BY_HAND),
            (".github/workflows/ci.yml", WORKFLOW),
        ):
            content = base64.b64encode(text.encode()).decode()
            send(client, "PUT", f"{R}/contents/{path}", {"message": f"Write {path}", "content": content})
        policy = {"protected_branches": False, "custom_branch_policies": True}
        send(client, "PUT", f"{R}/environments/prod", {"deployment_branch_policy": policy})
        send(client, "POST", f"{R}/environments/prod/deployment-branch-policies", {"name": "main"})
        key = send(client, "GET", f"{R}/environments/prod/secrets/public-key")
        send(client, "PUT", f"{R}/environments/prod/secrets/PASSWORD", sealed(key, "of prod"))
        head = send(client, "GET", f"{R}/git/ref/heads/main")["object"]["sha"]
        send(client, "POST", f"{R}/git/refs", {"ref": "refs/heads/other", "sha": head})
        yield client


def sealed(key: Any, value: str) -> dict[str, str]:
    from nacl.public import PublicKey, SealedBox

    box = SealedBox(PublicKey(base64.b64decode(key["key"])))
    return {"encrypted_value": base64.b64encode(box.encrypt(value.encode())).decode(), "key_id": key["key_id"]}


def send(client: httpx.Client, method: str, path: str, body: Any = None) -> Any:
    answer = client.request(method, path, json=body)
    assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
    return answer.json() if answer.content else None


def workflows(sandbox: Sandbox, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["workflows", "acme/words", "--dir", str(sandbox.layout.root), *arguments])


def jobs(github: httpx.Client, run: Any) -> dict[str, str]:
    return {
        each["name"]: each["conclusion"] for each in send(github, "GET", f"{R}/actions/runs/{run['id']}/jobs")["jobs"]
    }


def latest(github: httpx.Client) -> Any:
    return send(github, "GET", f"{R}/actions/runs")["workflow_runs"][0]


def test_a_push_builds_and_deploys(sandbox: Sandbox, github: httpx.Client) -> None:
    done = workflows(sandbox, "--output", "json", "--verbose")
    assert done.exit_code == 0, done.output
    [result] = json.loads(done.stdout)
    assert result["summary"] == "# Built hello\n"
    assert {each.partition("@")[0] for each in result["stand_ins"]} == {
        "actions/checkout",
        "actions/upload-artifact",
        "actions/download-artifact",
    }
    assert "the password is ***" in done.stderr
    run = latest(github)
    assert (run["name"], run["event"], run["status"], run["conclusion"]) == ("CI / CD", "push", "completed", "success")
    assert jobs(github, run) == {"Build": "success", "deploy": "success", "never": "skipped"}
    checks = send(github, "GET", f"{R}/commits/{run['head_sha']}/check-runs")["check_runs"]
    assert {(each["name"], each["conclusion"]) for each in checks} >= {("Build", "success"), ("deploy", "success")}
    [deployment] = send(github, "GET", f"{R}/deployments?environment=prod")
    statuses = send(github, "GET", f"{R}/deployments/{deployment['id']}/statuses")
    assert (deployment["sha"], statuses[0]["state"]) == (run["head_sha"], "success")
    assert "of prod" not in "".join(
        path.read_text(errors="replace")
        for path in sandbox.layout.root.joinpath("workflows").rglob("*")
        if path.is_file()
    )


def test_a_ref_that_may_not_deploy_does_not(sandbox: Sandbox, github: httpx.Client) -> None:
    before = send(github, "GET", f"{R}/deployments")
    done = workflows(sandbox, "--ref", "other")
    assert done.exit_code == 1
    assert "ci.yml: deploy: failure" in done.stderr
    assert "ci.yml failed" in done.stdout
    assert jobs(github, latest(github)) == {"Build": "success", "deploy": "failure", "never": "skipped"}
    assert send(github, "GET", f"{R}/deployments") == before


def test_a_pull_request_only_builds(sandbox: Sandbox, github: httpx.Client) -> None:
    body = {"message": "More", "content": base64.b64encode(b"more").decode(), "branch": "other"}
    send(github, "PUT", f"{R}/contents/more.txt", body)
    number = send(github, "POST", f"{R}/pulls", {"title": "More", "head": "other", "base": "main"})["number"]
    done = workflows(sandbox, "--event", "pull_request", "--pull-request", str(number))
    assert done.exit_code == 0, done.output
    run = latest(github)
    assert (run["event"], run["head_branch"]) == ("pull_request", "other")
    assert jobs(github, run) == {"Build": "success", "deploy": "skipped", "never": "skipped"}


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 0, "by-hand.yml succeeded"),
        (["--input", "number=1"], 1, "by-hand.yml failed"),
        (["--input", "number=many"], 1, "Provided value 'many' for input 'number' is not a number"),
        (["--input", "other=1"], 1, "Unexpected inputs provided: ['other']"),
    ],
)
def test_a_run_by_hand(sandbox: Sandbox, github: httpx.Client, arguments: list[str], code: int, says: str) -> None:
    assert github.get(R).is_success
    done = workflows(sandbox, "--event", "workflow_dispatch", "--workflow", "by-hand.yml", *arguments)
    assert done.exit_code == code
    assert says in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--ref", "none"], 1, "there is no branch or tag none"),
        (["--workflow", "none.yml"], 1, "starts no workflow none.yml"),
        (["--event", "pull_request"], 2, "go together"),
        (["--input", "a=b"], 2, "only --event workflow_dispatch has inputs"),
        (["--tool", "no-such-program"], 1, "not on PATH: no-such-program"),
    ],
)
def test_what_cannot_run(sandbox: Sandbox, github: httpx.Client, arguments: list[str], code: int, says: str) -> None:
    assert github.get(R).is_success
    done = workflows(sandbox, *arguments)
    assert done.exit_code == code
    assert says in done.stdout + done.stderr
