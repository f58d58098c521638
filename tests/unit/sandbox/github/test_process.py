"""The server as a process: it says where it listens, answers at once, and loses nothing to a kill."""

import json
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest


@contextmanager
def serve(directory: Path, *more: str) -> Generator[tuple[subprocess.Popen[str], httpx.Client]]:
    (directory / "tokens").write_text("secret-token\n")
    command = [sys.executable, "-m", "pavedpath_sandbox.github", "--port", "0", "--strict"]
    command += ["--state", str(directory / "github.db"), "--token-file", str(directory / "tokens"), *more]
    with (directory / "log").open("a") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["port"]
        headers = {"authorization": "token secret-token"}
        try:
            with httpx.Client(
                base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False, timeout=120
            ) as client:
                yield process, client
        finally:
            process.terminate()
            process.wait(120)
            process.stdout.close()


def until_ready(client: httpx.Client) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            client.get("/_sandbox/health").raise_for_status()
        except httpx.TransportError:
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.02)
        else:
            return


def test_a_kill_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    with serve(tmp_path) as (process, client):
        until_ready(client)
        made = client.post("/orgs/acme/repos", json={"name": "app", "auto_init": True})
        assert made.status_code == 201, made.text
        process.kill()
        process.wait(120)
    with serve(tmp_path) as (_, client):
        until_ready(client)
        assert client.get("/api/v3/repos/acme/app").json()["id"] == made.json()["id"]
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert {"repos/create-in-org", "repos/get"} <= {line.get("operation") for line in lines}
    assert "secret-token" not in (tmp_path / "log").read_text()


def test_plan_and_limits_are_options(tmp_path: Path) -> None:
    with serve(tmp_path, "--plan", "enterprise", "--rate-limit", "7", "--organization", "umbrella") as (_, client):
        until_ready(client)
        answer = client.get("/orgs/umbrella")
        assert answer.json()["plan"]["name"] == "enterprise"
        assert answer.headers["x-ratelimit-limit"] == "7"


@pytest.mark.parametrize("content", ["", "one two three\n"])
def test_a_wrong_token_file_is_one_clear_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokens").write_text(content)
    command = [sys.executable, "-m", "pavedpath_sandbox.github", "--state", str(tmp_path / "db")]
    done = subprocess.run(
        [*command, "--token-file", str(tmp_path / "tokens")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert str(tmp_path / "tokens") in done.stderr
