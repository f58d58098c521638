"""Secrets rotated for real: sops with the sandbox's KMS, staged versions in its Secrets Manager."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, cast

import boto3
import pytest
import yaml
from pavedpath_delivery.kit.errors import Exit
from pavedpath_sandbox.sandbox import Sandbox

from tests.integration.conftest import ROOT

pytestmark = pytest.mark.integration

PLAIN = """\
# Of the shop.
secrets:
    DATABASE_URL: postgres://shop:first@db/shop
    SESSION_KEY: first-session-key
    nested:
        - token: first-token
retries: 3
"""


@dataclass(frozen=True)
class Account:
    """An account of the sandbox's AWS, with sops and the command pointed at it."""

    folder: Path
    environ: Mapping[str, str] = field(repr=False)

    def client(self, service: str) -> Any:
        return cast(Any, boto3).client(
            service,
            endpoint_url=self.environ["AWS_ENDPOINT_URL"],
            region_name=self.environ["AWS_REGION"],
            aws_access_key_id=self.environ["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environ["AWS_SECRET_ACCESS_KEY"],
        )

    def rotate(self, *arguments: str, expect: Exit = Exit.OK, **environ: str) -> str:
        done = subprocess.run(
            [ROOT / ".venv/bin/pavedpath", "rotate", *arguments],
            cwd=self.folder,
            env={**self.environ, **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=400,
        )
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout + done.stderr

    def opened(self, file: Path) -> Any:
        done = subprocess.run(
            ["sops", "decrypt", "--output-type", "json", file], env=self.environ, capture_output=True, check=True
        )
        return json.loads(done.stdout)

    def sealed(self, name: str, plain: str = PLAIN) -> Path:
        key = self.client("kms").create_key()["KeyMetadata"]["Arn"]
        file = self.folder / name / "dev.secrets.yaml"
        file.parent.mkdir()
        file.write_text(plain)
        command = ["sops", "encrypt", "--in-place", "--kms", key, file]
        subprocess.run(command, env=self.environ, check=True, capture_output=True)
        return file


@pytest.fixture(scope="module")
def account(toolchain: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    folder = tmp_path_factory.mktemp("rotate")
    with Sandbox(folder / "sandbox", groups=("aws",)) as sandbox:
        path = f"{toolchain}{os.pathsep}{os.environ['PATH']}"
        yield Account(folder, {**os.environ, **sandbox.environment(), "PATH": path})


def changed_lines(before: str, after: str) -> set[str]:
    """Return the names of the lines that differ."""
    pairs = zip(before.splitlines(), after.splitlines(), strict=True)
    return {old.split(":")[0].strip(" -") for old, new in pairs if old != new}


def test_one_secret_changes_and_nothing_else(account: Account) -> None:
    file = account.sealed("one")
    file.chmod(0o640)
    before, text = account.opened(file), file.read_text()
    said = account.rotate("sops", str(file), "--key", "SESSION_KEY", "--generate", "letters:40")
    after = account.opened(file)
    new = after["secrets"].pop("SESSION_KEY")
    assert len(new) == 40
    assert new not in said
    del before["secrets"]["SESSION_KEY"]
    assert after == before
    assert changed_lines(text, file.read_text()) <= {"SESSION_KEY", "lastmodified", "mac"}
    assert file.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in file.parent.iterdir()) == ["dev.rotated.yaml", "dev.secrets.yaml"]


def test_a_value_made_elsewhere_comes_by_the_environment(account: Account) -> None:
    file = account.sealed("elsewhere")
    value = 'p"ss\nw[or]d\u00e9'
    said = account.rotate("sops", str(file), "--key", "secrets.nested.0.token", "--from-env", "NEW", NEW=value)
    assert account.opened(file)["secrets"]["nested"] == [{"token": value}]
    assert "ss" not in said.replace("secrets", "").replace("pass", "")


def test_a_new_data_key_seals_everything_anew_and_opens_as_before(account: Account) -> None:
    file = account.sealed("datakey")
    before, text = account.opened(file), file.read_text()
    account.rotate("sops", str(file), "--data-key")
    assert account.opened(file) == before
    assert {"DATABASE_URL", "SESSION_KEY", "token", "enc"} <= changed_lines(text, file.read_text())


def test_ages_follow_the_rotations(account: Account) -> None:
    file = account.sealed("ages")
    plan = json.loads(account.rotate("plan", str(file), "--output", "json"))
    assert [each["exact"] for each in plan["secrets"]] == [False] * 4  # sops seals the number, too
    account.rotate("sops", str(file), "--key", "SESSION_KEY")
    noted = yaml.safe_load((file.parent / "dev.rotated.yaml").read_text())["rotated"]
    assert set(noted) == {
        *("secrets.DATABASE_URL", "secrets.SESSION_KEY", "secrets.nested.0.token", "retries"),
    }
    assert noted["secrets.SESSION_KEY"] >= noted["secrets.DATABASE_URL"]
    rows = json.loads(account.rotate("plan", str(file.parent), "--max-age", "1", "--output", "json"))["secrets"]
    assert [each["due"] for each in rows] == [False] * 4
    assert all(each["exact"] for each in rows)


def test_who_may_not_open_the_file_changes_nothing(account: Account) -> None:
    file = account.sealed("foreign")
    text = file.read_text()
    said = account.rotate(
        *("sops", str(file), "--key", "SESSION_KEY"), expect=Exit.FAILED, AWS_ACCESS_KEY_ID="210987654321"
    )
    assert "KMS" in said
    assert file.read_text() == text
    assert [path.name for path in file.parent.iterdir()] == ["dev.secrets.yaml"]


SLOW_SOPS = """\
#!{python}
import os, pathlib, sys, time
if sys.argv[1] == os.environ["STOP_AT"]:
    pathlib.Path(os.environ["REACHED"]).touch()
    time.sleep(600)
os.execv(os.environ["REAL_SOPS"], ["sops", *sys.argv[1:]])
"""


@pytest.mark.parametrize("stop_at", ["decrypt", "set", "rotate"])
def test_killed_while_sops_works_the_file_is_as_it_was_and_the_next_run_goes_on(
    account: Account, tmp_path: Path, stop_at: str
) -> None:
    file = account.sealed(f"killed-{stop_at}")
    before, text = account.opened(file), file.read_text()
    slow = tmp_path / "sops"
    slow.write_text(SLOW_SOPS.format(python=sys.executable))
    slow.chmod(0o755)
    real = shutil.which("sops", path=account.environ["PATH"]) or ""
    environ = {
        **account.environ,
        "PATH": f"{tmp_path}{os.pathsep}{account.environ['PATH']}",
        "REAL_SOPS": real,
        "STOP_AT": stop_at,
        "REACHED": str(tmp_path / "reached"),
    }
    command = [ROOT / ".venv/bin/pavedpath", "rotate", "sops", file, "--key", "SESSION_KEY", "--data-key"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        deadline = time.monotonic() + 240
        while not (tmp_path / "reached").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        busy = account.rotate("sops", str(file), "--key", "SESSION_KEY", expect=Exit.LOCKED)
        assert "Another run" in busy
        run.send_signal(signal.SIGKILL)
    assert file.read_text() == text
    left = [path.read_text() for path in file.parent.iterdir() if path != file]
    assert len(left) == 1
    assert "first-session-key" not in left[0]
    account.rotate("sops", str(file), "--key", "SESSION_KEY")
    assert account.opened(file)["secrets"]["SESSION_KEY"] != before["secrets"]["SESSION_KEY"]
    assert sorted(path.name for path in file.parent.iterdir()) == ["dev.rotated.yaml", "dev.secrets.yaml"]


def stages(account: Account, name: str) -> dict[str, str]:
    manager = account.client("secretsmanager")
    found = manager.describe_secret(SecretId=name)["VersionIdsToStages"]
    return {
        stage: manager.get_secret_value(SecretId=name, VersionId=version)["SecretString"]
        for version, listed in found.items()
        for stage in listed
    }


@pytest.fixture
def secret(account: Account, request: pytest.FixtureRequest) -> str:
    name = f"dev/orders/{request.node.name[:40]}"
    account.client("secretsmanager").create_secret(Name=name, SecretString="first")
    return name


def test_a_staged_rotation_with_a_command(account: Account, secret: str, tmp_path: Path) -> None:
    script = tmp_path / "try.sh"
    script.write_text('#!/bin/sh\necho "$PAVEDPATH_SECRET"\ntest "$PAVEDPATH_SECRET" != first\n')
    script.chmod(0o755)
    said = account.rotate("aws", secret, "--test-command", str(script))
    found = stages(account, secret)
    assert set(found) == {"AWSCURRENT", "AWSPREVIOUS"}
    assert found["AWSPREVIOUS"] == "first"
    assert found["AWSCURRENT"] not in said
    rows = json.loads(account.rotate("plan", "--aws-secret", secret, "--output", "json"))["secrets"]
    assert [each["id"] for each in rows] == [f"aws:{secret}"]


class _Door(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.headers["Authorization"] == "Bearer known" else 401)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name that the base class gives it
        pass


def test_a_value_that_the_service_does_not_know_is_withdrawn(account: Account, secret: str) -> None:
    with HTTPServer(("127.0.0.1", 0), _Door) as door:
        Thread(target=door.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{door.server_address[1]}/"
        trial = ["--test-url", url, "--budget", "0"]
        said = account.rotate("aws", secret, *trial, expect=Exit.FAILED)
        assert "withdrawn; the old one stays" in said
        assert stages(account, secret) == {"AWSCURRENT": "first"}
        account.rotate("aws", secret, *trial, "--from-env", "NEW", NEW="known")
        door.shutdown()
    assert stages(account, secret) == {"AWSCURRENT": "known", "AWSPREVIOUS": "first"}


def test_killed_while_a_value_is_tried_the_next_run_finishes_it(account: Account, secret: str, tmp_path: Path) -> None:
    script, reached = tmp_path / "try.sh", tmp_path / "reached"
    script.write_text(f"#!/bin/sh\ntouch {reached}\nsleep 600\n")
    script.chmod(0o755)
    command = [ROOT / ".venv/bin/pavedpath", "rotate", "aws", secret, "--test-command", script]
    with subprocess.Popen(command, env=account.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        deadline = time.monotonic() + 240
        while not reached.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        run.send_signal(signal.SIGKILL)
    waiting = stages(account, secret)
    assert waiting["AWSCURRENT"] == "first"
    plan = account.rotate("plan", "--aws-secret", secret)
    assert "an interrupted rotation waits" in plan
    assert "finished" in account.rotate("aws", secret, "--untested")
    assert stages(account, secret) == {"AWSCURRENT": waiting["AWSPENDING"], "AWSPREVIOUS": "first"}


def test_a_secret_that_is_not_there(account: Account) -> None:
    said = account.rotate("aws", "dev/none", "--untested", expect=Exit.FAILED)
    assert "AWS refuses DescribeSecret (ResourceNotFoundException)" in said
