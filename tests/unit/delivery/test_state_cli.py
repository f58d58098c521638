"""The commands against the stand-in, with faults."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pavedpath_delivery.cli import app
from pavedpath_delivery.stack.engine import Engine
from pavedpath_delivery.stack.errors import Exit, StackCommandError
from pavedpath_delivery.state import backup as room
from pavedpath_delivery.state import move as moving
from pavedpath_delivery.state.backup import back_up, read_backup, restore
from typer.testing import CliRunner, Result

from tests.unit.delivery.support import Project, urn

PARAMETER = "aws:ssm/parameter:Parameter"


def run(project: Project, *args: str) -> Result:
    return CliRunner().invoke(app, ["state", *args, "--cwd", str(project.root)])


def state(*names: str, time: str = "2026-03-01T12:00:00Z", value: Any = 1) -> dict[str, Any]:
    resources = [{"urn": urn(PARAMETER, name), "type": PARAMETER, "id": name, "inputs": {"v": value}} for name in names]
    return {"version": 3, "deployment": {"manifest": {"time": time}, "resources": resources}}


def silent(_line: str) -> None:
    pass


def test_a_backup_is_the_export_itself_with_its_checksum(project: Project, tmp_path: Path) -> None:
    project.state("dev", state("a"))
    done = back_up(project.engine(), "dev", tmp_path / "new" / "folder")
    assert json.loads(done.path.read_text()) == project.exported("dev")
    assert done.path.stat().st_mode & 0o777 == 0o600
    digest, name = room.checksum_path(done.path).read_text().split()
    assert (digest, name) == (hashlib.sha256(done.path.read_bytes()).hexdigest(), done.path.name)
    assert read_backup(done.path, "shop", "dev") == project.exported("dev")
    other = back_up(project.engine(), "dev", done.path.parent)
    assert other.path != done.path


def test_backups_of_several_stacks_as_json(project: Project, tmp_path: Path) -> None:
    for stack in ("dev", "prod"):
        project.state(stack)
    result = run(project, "backup", "dev", "prod", "--to", str(tmp_path / "b"), "--output", "json")
    assert result.exit_code == Exit.OK, result.output
    assert [each["stack"] for each in json.loads(result.stdout)["backups"]] == ["dev", "prod"]


def test_a_backup_never_shows_secrets(project: Project, tmp_path: Path) -> None:
    project.state("dev")
    result = run(project, "backup", "dev", "--to", str(tmp_path / "b"), "--show-secrets")
    assert result.exit_code == Exit.USAGE
    assert "never holds secrets in plain text" in result.stderr
    plain = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "plaintext": '"hush"'}
    project.state("dev", state("a", value=plain))
    result = run(project, "backup", "dev", "--to", str(tmp_path / "b"))
    assert result.exit_code == Exit.FAILED
    assert "hush" not in result.output
    assert not (tmp_path / "b").exists()


def test_an_interrupted_update_is_told_in_its_backup(project: Project, tmp_path: Path) -> None:
    export = state("a")
    export["deployment"]["pending_operations"] = [{"type": "creating", "resource": {"urn": urn(PARAMETER, "b")}}]
    project.state("dev", export)
    assert "pavedpath stack repair dev" in run(project, "backup", "dev", "--to", str(tmp_path)).stdout


@pytest.mark.parametrize("dies_at", ["checksum", "content"])
def test_a_backup_that_was_cut_off_is_not_there(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_at: str
) -> None:
    project.state("dev", state("a"))
    replace = os.replace

    def die(source: str, target: Path) -> None:
        if (str(target).endswith(".sha256")) is (dies_at == "checksum"):
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        back_up(project.engine(), "dev", tmp_path)
    assert [*tmp_path.glob("*.json"), *tmp_path.glob(".*")] == []


def test_a_missing_stack_is_made_and_restored(project: Project, tmp_path: Path) -> None:
    project.state("dev", state("a"))
    made = back_up(project.engine(), "dev", tmp_path)
    (project.scenario / "stacks" / "dev.json").unlink()
    result = run(project, "restore", "dev", str(made.path), "--dry-run", "--output", "json")
    assert json.loads(result.stdout)["created"] is True
    assert project.stacks() == []
    result = run(project, "restore", "dev", str(made.path))
    assert result.exit_code == Exit.OK, result.output
    assert project.exported("dev") == state("a")


def test_a_newer_state_is_kept_unless_forced_and_then_backed_up(project: Project, tmp_path: Path) -> None:
    project.state("dev", state("a"))
    made = back_up(project.engine(), "dev", tmp_path)
    newer = state("a", "b", time="2026-03-02T12:00:00Z")
    project.state("dev", newer)
    result = run(project, "restore", "dev", str(made.path))
    assert result.exit_code == Exit.FAILED
    assert "would be forgotten" in result.stderr
    assert "--dry-run" in result.stderr
    assert project.exported("dev") == newer
    assert run(project, "restore", "dev", str(made.path), "--force").exit_code == Exit.OK
    assert project.exported("dev") == state("a")
    (before,) = tmp_path.glob("*.before-restore.json")
    assert json.loads(before.read_text()) == newer


def test_a_dry_run_lists_the_difference_and_says_what_would_be_refused(project: Project, tmp_path: Path) -> None:
    project.state("dev", state("a"))
    made = back_up(project.engine(), "dev", tmp_path)
    newer = state("a", "b", time="2026-03-02T12:00:00Z")
    project.state("dev", newer)
    result = run(project, "restore", "dev", str(made.path), "--dry-run")
    assert result.exit_code == Exit.OK, result.output
    assert f"- shop::{PARAMETER}::b" in result.stdout
    assert "would be refused without --force" in result.stdout
    assert "newer than the backup's" in result.stdout
    assert "--dry-run" not in result.output, "it is what runs"
    room.checksum_path(made.path).unlink()
    result = run(project, "restore", "dev", str(made.path), "--dry-run", "--output", "json")
    told = json.loads(result.stdout)
    assert [("missing" in each, "newer" in each) for each in told["refused"]] == [(True, False), (False, True)]
    assert [each["change"] for each in told["differences"]] == ["removed"]
    result = run(project, "restore", "dev", str(made.path), "--dry-run", "--force")
    assert "would be restored" in result.stdout
    assert "refused" not in result.stdout
    assert project.exported("dev") == newer


def test_a_dry_run_over_a_state_that_cannot_be_read_lists_the_backup(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.state("dev", state("a"))
    made = back_up(project.engine(), "dev", tmp_path)

    def damaged(_engine: Engine, _stack: str) -> Any:
        raise StackCommandError("failed to load checkpoint: unexpected end of JSON input")

    monkeypatch.setattr(Engine, "export", damaged)
    result = run(project, "restore", "dev", str(made.path), "--dry-run")
    assert result.exit_code == Exit.OK, result.output
    assert f"+ shop::{PARAMETER}::a" in result.stdout
    assert "cannot be read" in result.stdout
    assert run(project, "restore", "dev", str(made.path)).exit_code == Exit.FAILED


def test_a_secrets_former_value_is_restored_though_it_looks_the_same(project: Project, tmp_path: Path) -> None:
    def secret(text: str) -> dict[str, str]:
        return {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": text}

    project.state("dev", state("a", value=secret("former")))
    made = back_up(project.engine(), "dev", tmp_path)
    project.state("dev", state("a", value=secret("later"), time="2026-03-02T12:00:00Z"))
    result = run(project, "restore", "dev", str(made.path), "--dry-run")
    assert "a secret's value may" in result.stdout
    assert run(project, "restore", "dev", str(made.path), "--force").exit_code == Exit.OK
    assert project.exported("dev") == state("a", value=secret("former"))
    assert "nothing to do" in run(project, "restore", "dev", str(made.path)).stdout


def grow(path: Path) -> None:
    path.write_text(path.read_text() + " ")


SPOILS: dict[str, tuple[Callable[[Path], object], str]] = {
    "changed": (grow, "SHA-256"),
    "empty checksum": (lambda path: room.checksum_path(path).write_text(""), "SHA-256"),
    "no checksum": (lambda path: room.checksum_path(path).unlink(), "is missing"),
    "gone": (lambda path: path.unlink(), "cannot be read"),
}


@pytest.mark.parametrize("what", SPOILS)
def test_a_file_that_may_not_be_whole_is_refused(project: Project, tmp_path: Path, what: str) -> None:
    spoil, said = SPOILS[what]
    project.state("dev", state("a"))
    made = back_up(project.engine(), "dev", tmp_path)
    project.state("dev", state("b"))
    spoil(made.path)
    with pytest.raises(StackCommandError, match=said):
        restore(project.engine(), "dev", made.path, silent)
    assert project.exported("dev") == state("b")


def test_a_restore_that_is_not_there_afterwards_is_told(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.state("dev", state("a"))
    made = back_up(project.engine(), "dev", tmp_path)
    project.state("dev", state("b"))

    def lose(_self: Engine, _stack: str, _export: Any) -> None:
        pass

    monkeypatch.setattr(Engine, "load", lose)
    with pytest.raises(StackCommandError, match="is not the backup's"):
        restore(project.engine(), "dev", made.path, silent)


def test_a_move_asks_where_nobody_can_answer(project: Project) -> None:
    result = run(project, "move", "dev", "--from", "file:///elsewhere", "--backup", "b")
    assert result.exit_code == Exit.USAGE
    assert "--yes" in result.stderr


def test_a_keyed_stack_is_created_with_its_key(project: Project) -> None:
    config = project.root / "Pulumi.dev.yaml"
    config.write_text("config: {}\nsecretsprovider: awskms://alias/x?region=us-east-1\nencryptedkey: y\n")
    shared = Engine(project.root, {**project.environ, "PULUMI_BACKEND_URL": "s3://acme?region=us-east-1"})
    shared.create("dev")
    assert project.calls()[-1][4:6] == ["--secrets-provider", "awskms://alias/x?region=us-east-1"]
    project.engine().create("dev")
    assert "--secrets-provider" not in project.calls()[-1], "the sandbox's passphrase stays on this machine"


def in_the_cloud(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    (project.root / "Pulumi.yaml").write_text("name: shop\nbackend: {url: 'https://api.pulumi.com'}\n")
    monkeypatch.delenv("PULUMI_BACKEND_URL")
    monkeypatch.delenv("PULUMI_ACCESS_TOKEN", raising=False)


def test_pulumi_cloud_needs_a_login_and_nothing_else(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    in_the_cloud(project, monkeypatch)
    (project.scenario / "whoami.json").write_text('{"user": "ann", "url": "https://api.pulumi.com"}')
    project.state("dev")
    result = run(project, "bootstrap", "dev", "prod", "--output", "json")
    assert result.exit_code == Exit.OK, result.output
    things = {each["name"]: each["outcome"] for each in json.loads(result.stdout)["things"]}
    assert things == {"ann": "kept", "dev": "kept", "prod": "made"}
    assert project.stacks() == ["dev", "prod"]
    assert "--secrets-provider" not in str(project.calls())


@pytest.mark.parametrize("token", ["", "pul-123"])
def test_pulumi_cloud_without_a_login_says_how(project: Project, monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    in_the_cloud(project, monkeypatch)
    monkeypatch.setenv("PULUMI_ACCESS_TOKEN", token)
    result = run(project, "bootstrap")
    assert result.exit_code == Exit.USAGE
    assert ("set but not accepted" in result.stderr) is bool(token)
    assert "pul-123" not in result.output


def test_what_a_cut_off_migration_left_is_a_persons_decision(project: Project, tmp_path: Path) -> None:
    (project.root / "Pulumi.dev.yaml").write_text("config: {}\n")
    (project.root / "Pulumi.dev.yaml.bak.1").write_text("config: {}\n")
    engine = project.engine()
    project.state("dev", state("a"))

    # The stand-in has one set of stacks for all backends, so the target's list is empty here by hand.
    def none(_engine: Engine) -> frozenset[str]:
        return frozenset()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(moving, "stacks_of", none)
        with pytest.raises(StackCommandError, match=r"mv Pulumi\.dev\.yaml\.bak\.1 Pulumi\.dev\.yaml"):
            moving.move(engine, "dev", f"file://{tmp_path}", tmp_path / "b", silent, "passphrase")
    assert project.stacks() == ["dev"]


def test_a_moved_stacks_former_file_is_beside_its_backup_once(tmp_path: Path) -> None:
    config, kept = tmp_path / "Pulumi.dev.yaml", tmp_path / "b" / "shop.dev.Pulumi.dev.yaml"
    kept.parent.mkdir()
    former, other = (tmp_path / f"Pulumi.dev.yaml.bak.{number}" for number in (1, 2))
    former.write_text("config: {}\n")
    moving.put_away(config, kept)
    assert kept.read_text() == "config: {}\n", "a migration that somebody else began"
    former.write_text("config: {}\n")
    other.write_text("config: {a: 1}\n")
    moving.put_away(config, kept)
    assert sorted(path.name for path in kept.parent.iterdir()) == [
        "shop.dev.Pulumi.dev.yaml",
        "shop.dev.Pulumi.dev.yaml.bak.2",
    ]
    assert not former.exists()
    assert not other.exists()
