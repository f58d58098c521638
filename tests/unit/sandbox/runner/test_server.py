"""What the runner asks of GitHub and tells it, against the sandbox's own server."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from pavedpath_sandbox.runner.server import GitHubServer, ServerError

from .conftest import Repository


def git(at: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", str(at), *arguments], capture_output=True, text=True, check=True).stdout.strip()


def test_a_checkout_is_on_its_branch_and_holds_no_token(
    repository: Repository, server: GitHubServer, tmp_path: Path
) -> None:
    first = repository.event()
    second = repository.write("a.txt", "a")
    server.clone(first, tmp_path / "old")
    assert git(tmp_path / "old", "rev-parse", "HEAD") == first.sha
    assert git(tmp_path / "old", "symbolic-ref", "HEAD") == "refs/heads/main"
    assert git(tmp_path / "old", "remote", "get-url", "origin") == f"https://github.com/{repository.name}"
    repository.send("POST", "/git/refs", {"ref": "refs/tags/v1", "sha": second})
    server.clone(repository.event(ref="refs/tags/v1"), tmp_path / "new")
    assert git(tmp_path / "new", "rev-parse", "HEAD") == second
    assert all(b"secret-token" not in path.read_bytes() for path in (tmp_path / "old").rglob("*") if path.is_file())


def test_a_commit_that_is_not_there(repository: Repository, server: GitHubServer, tmp_path: Path) -> None:
    event = repository.event()
    object.__setattr__(event, "sha", "1" * 40)
    with pytest.raises(ServerError, match="git -C"):
        server.clone(event, tmp_path / "checkout")


def test_what_holds_a_job_back_from_an_environment(repository: Repository, server: GitHubServer) -> None:
    user = repository.http.get("/user").json()["id"]
    repository.environment("open")
    repository.environment("main-only", ["main"])
    repository.environment("tags", [])
    repository.environment("reviewed", reviewers=[{"type": "User", "id": user}])
    repository.environment("late", wait_timer=5)
    held = {
        name: server.gate(repository.event(), name)
        for name in ("none", "open", "main-only", "tags", "reviewed", "late")
    }
    assert {name for name, reason in held.items() if not reason} == {"none", "open", "main-only"}
    assert "not allowed to deploy to tags" in held["tags"]
    assert "reviewed waits" in held["reviewed"]
    assert "not allowed" in server.gate(repository.event(ref="refs/heads/other"), "main-only")
    assert "not allowed" in server.gate(repository.event("pull_request", "refs/pull/1/merge"), "main-only")


def test_an_environment_for_protected_branches_takes_no_other(repository: Repository, server: GitHubServer) -> None:
    policy = {"protected_branches": True, "custom_branch_policies": False}
    repository.environment("prod", deployment_branch_policy=policy)
    rule: dict[str, Any] = {
        "name": "main",
        "target": "branch",
        "enforcement": "active",
        "rules": [{"type": "deletion"}],
    }
    rule["conditions"] = {"ref_name": {"include": ["refs/heads/main"], "exclude": []}}
    repository.send("POST", "/rulesets", rule)
    assert not server.gate(repository.event(), "prod")
    assert server.gate(repository.event(ref="refs/heads/other"), "prod")


def test_secrets_and_variables_of_the_environment_win(repository: Repository, server: GitHubServer) -> None:
    repository.environment("dev")
    repository.secret("A", "of the repository")
    repository.secret("B", "of both")
    repository.secret("B", "of dev", "dev")
    repository.send("POST", "/actions/variables", {"name": "V", "value": "1"})
    repository.send("POST", "/environments/dev/variables", {"name": "V", "value": "2"})
    assert server.contents(repository.name, "") == ({"A": "of the repository", "B": "of both"}, {"V": "1"})
    assert server.contents(repository.name, "dev") == ({"A": "of the repository", "B": "of dev"}, {"V": "2"})


def test_lists_are_read_to_their_end(repository: Repository, server: GitHubServer) -> None:
    for number in range(31):
        repository.send("POST", "/actions/variables", {"name": f"V{number}", "value": "x"})
    assert len(server.contents(repository.name, "")[1]) == 31


def test_a_run_from_its_first_job_to_its_end(repository: Repository, server: GitHubServer) -> None:
    repository.environment("prod", ["deploy/prod"])
    event = repository.event(inputs={"a": "b"})
    run = server.start_run(event, {"name": "CI"}, "ci.yml")
    server.start_job(run, "build", {"runs-on": "ubuntu-latest"})
    server.start_job(run, "deploy", {"runs-on": {"group": "g", "labels": ["linux"]}, "environment": {"name": "prod"}})
    server.skip_job(run, "later")
    server.finish_job(run, "build", "success")
    server.finish_job(run, "deploy", "success")  # it could not begin, whatever act says
    [shown] = repository.runs()
    assert (shown["status"], shown["event"], shown["head_sha"]) == ("in_progress", "push", event.sha)
    assert repository.jobs() == {
        "build": ("completed", "success"),
        "deploy": ("completed", "failure"),
        "later": ("completed", "skipped"),
    }
    server.close_run(run.id)
    [shown] = repository.runs()
    assert (shown["status"], shown["conclusion"]) == ("completed", "failure")
    assert repository.send("GET", "/deployments") == []


def test_a_run_that_is_gone_needs_no_end(server: GitHubServer) -> None:
    server.close_run(999_999)


def test_the_run_s_tokens_are_its_own(repository: Repository, server: GitHubServer) -> None:
    run = server.start_run(repository.event(), {}, "ci.yml")
    token = server.token_of(run, {"contents": "read"})
    identity = server.identity(run, "")
    assert set(identity) == {"ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"}
    assert "secret-token" not in {token, *identity.values()}
    secret = repository.http.post("/_sandbox/secrets/decrypt", json={}, headers={"authorization": f"token {token}"})
    assert secret.status_code == 403
    with pytest.raises(ServerError, match="Not permissions of a workflow: everything"):
        server.token_of(run, {"everything": "write"})


def test_a_server_that_does_not_answer_is_named() -> None:
    with pytest.raises(ServerError, match=r"127\.0\.0\.1:1 cannot be reached"):
        GitHubServer("http://127.0.0.1:1", "hidden").post("x", {})
