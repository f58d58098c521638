"""A team's state for real: the engine, its S3 backend and its KMS secrets provider, against the sandbox's AWS."""

import json
import shutil
import subprocess
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from pavedpath_delivery.stack.errors import Exit
from pavedpath_sandbox.sandbox import Sandbox

from tests.integration.conftest import ROOT, World

pytestmark = pytest.mark.integration

PASSPHRASE = frozenset({"PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"})
SECRET = "correct-horse-battery"
PROGRAM = """\
import os, pathlib, time
import pulumi, pulumi_aws as aws
hold = os.environ.get("HOLD")
if hold:
    pathlib.Path(hold + ".reached").touch()
    while pathlib.Path(hold).exists():
        time.sleep(0.05)
token = pulumi.Config().get_secret("token") or pulumi.Output.secret("SECRET")
for name in NAMES:
    aws.ssm.Parameter(name, name="/" + pulumi.get_project() + "/" + name, type="SecureString", value=token)
pulumi.export("token", token)
"""
# As the repository's own files are: a salt of the sandbox's public passphrase.
CONFIG = """\
# A comment that stays.
config:
  aws:region: us-east-1
  {project}:owner: platform
# Of the sandbox.
encryptionsalt: v1:xaVgHHL1IUo=:v1:RIVO7268xhdYSRxt:55Gy/gk+Lt7MfhCweJFZK3d2fXvf+g==
"""


def s3_of(name: str) -> str:
    return f"s3://acme-{name}-state/team?region=us-east-1&s3ForcePathStyle=true"


@dataclass(frozen=True)
class Project:
    """A project of one stack, `dev`, in a backend of its choice."""

    world: World
    directory: Path
    environ: Mapping[str, str] = field(repr=False)

    @classmethod
    def begin(cls, world: World, name: str, backend: str, *names: str) -> "Project":
        directory = world.directory / name
        directory.mkdir()
        (directory / ".venv").symlink_to(ROOT / ".venv")
        (directory / "Pulumi.yaml").write_text(
            f"name: {name}\nruntime: {{name: python, options: {{virtualenv: .venv}}}}\nbackend: {{url: '{backend}'}}\n"
        )
        (directory / "Pulumi.dev.yaml").write_text(CONFIG.format(project=name))
        environ = {key: value for key, value in world.environment.items() if key != "PULUMI_BACKEND_URL"}
        made = cls(world, directory, environ)
        made.program(*(names or ("one",)))
        return made

    def program(self, *names: str) -> None:
        text = PROGRAM.replace("SECRET", SECRET).replace("NAMES", repr(list(names)))
        (self.directory / "__main__.py").write_text(text)

    def popen(self, *command: str, **more: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            command,
            cwd=self.directory,
            env={**self.environ, **more},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def run(self, *command: str, expect: int = 0, **more: str) -> str:
        with self.popen(*command, **more) as process:
            printed, _ = process.communicate(timeout=300)
        assert process.returncode == expect, f"{command} ended with {process.returncode}:\n{printed}"
        assert SECRET not in printed
        return printed

    def pulumi(self, *arguments: str, expect: int = 0, **more: str) -> str:
        return self.run("pulumi", *arguments, "--non-interactive", expect=expect, **more)

    def pavedpath(self, *arguments: str, expect: int = 0, **more: str) -> str:
        return self.run(str(ROOT / ".venv/bin/pavedpath"), *arguments, expect=expect, **more)

    def keyed(self) -> "Project":
        """The same without a passphrase: what works then works with the key."""
        environ = {key: value for key, value in self.environ.items() if key not in PASSPHRASE}
        return Project(self.world, self.directory, environ)

    def up(self) -> None:
        self.pulumi("up", "--yes", "--skip-preview", "-s", "dev")

    def unchanged(self) -> None:
        self.pulumi("preview", "--expect-no-changes", "-s", "dev")

    def backup(self, folder: str = "backups") -> Path:
        printed = subprocess.run(
            [str(ROOT / ".venv/bin/pavedpath"), "state", "backup", "dev", "--to", folder, "--output", "json"],
            cwd=self.directory,
            env=self.environ,
            capture_output=True,
            text=True,
            check=True,
        )
        (made,) = json.loads(printed.stdout)["backups"]
        return self.directory / made["file"]

    @contextmanager
    def held_up(self) -> Generator["subprocess.Popen[str]"]:
        """An `up` that has the stack, and keeps it until it is killed or the context ends."""
        hold = self.directory / "hold"
        reached = self.directory / "hold.reached"
        reached.unlink(missing_ok=True)
        hold.touch()
        process = self.popen(
            "pulumi", "up", "--yes", "--skip-preview", "-s", "dev", "--non-interactive", HOLD=str(hold)
        )
        try:
            deadline = time.monotonic() + 240
            while not reached.exists():
                assert process.poll() is None, process.communicate()[0]
                assert time.monotonic() < deadline, "the program never ran"
                time.sleep(0.05)
            yield process
        finally:
            hold.unlink()
            process.communicate(timeout=300)


@pytest.fixture(scope="module")
def world(toolchain: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("state")
    made = World(directory, Sandbox(directory / ".sandbox", groups=("aws",)))
    with made.sandbox:
        yield made


@pytest.fixture(scope="module")
def home(world: World) -> Project:
    """A project whose backend `bootstrap` has just made, with its stack."""
    made = Project.begin(world, "home", s3_of("home"))
    made.pavedpath("state", "bootstrap", "dev")
    return made.keyed()


def test_bootstrap_makes_all_that_the_first_up_needs(home: Project) -> None:
    text = (home.directory / "Pulumi.dev.yaml").read_text()
    assert text.startswith("# A comment that stays.\nconfig:\n")
    assert "encryptionsalt" not in text
    assert "secretsprovider: awskms:///arn:aws:kms:us-east-1:123456789012:alias/pulumi-home?region=us-east-1" in text
    home.up()
    home.unchanged()
    s3 = home.world.aws("s3")
    state = s3.head_object(Bucket="acme-home-state", Key="team/.pulumi/stacks/home/dev.json")
    key = home.world.aws("kms").describe_key(KeyId="alias/pulumi-home")["KeyMetadata"]["Arn"]
    assert (state["ServerSideEncryption"], state["SSEKMSKeyId"]) == ("aws:kms", key)
    body = s3.get_object(Bucket="acme-home-state", Key="team/.pulumi/stacks/home/dev.json")["Body"].read().decode()
    assert SECRET not in body
    with pytest.raises(ClientError, match="403"):
        s3.put_object(Bucket="acme-home-state", Key="x", Body=b"", ServerSideEncryption="AES256")


def test_bootstrap_again_keeps_everything(home: Project) -> None:
    before = (home.directory / "Pulumi.dev.yaml").read_text()
    printed = home.pavedpath("state", "bootstrap", "dev")
    assert [line.split()[0] for line in printed.splitlines()[:4]] == ["kept"] * 4
    assert (home.directory / "Pulumi.dev.yaml").read_text() == before


def test_bootstrap_of_another_checkout_fills_in_what_was_not_committed(home: Project) -> None:
    path = home.directory / "Pulumi.dev.yaml"
    before = path.read_text()
    path.write_text(CONFIG.format(project="home"))
    assert "corrected  stack dev" in home.pavedpath("state", "bootstrap", "dev")
    assert path.read_text().splitlines()[-2:] == before.splitlines()[-2:]


def test_another_account_is_told_whose_the_bucket_is(home: Project) -> None:
    printed = home.pavedpath("state", "bootstrap", AWS_ACCESS_KEY_ID="210987654321", expect=Exit.FAILED)
    assert "belongs to another AWS account than 210987654321" in printed


def test_another_projects_bucket_is_left_to_it(home: Project) -> None:
    other = Project.begin(home.world, "guest", s3_of("home"))
    assert "it is the project home's" in other.pavedpath("state", "bootstrap", expect=Exit.USAGE)


@pytest.mark.parametrize("kind", ["file", "s3"])
def test_one_up_at_a_time_and_a_dead_ones_lock_is_explained(home: Project, tmp_path: Path, kind: str) -> None:
    # The lock's file is all that counts here, so the place may be anybody's.
    backend = s3_of("home") if kind == "s3" else f"file://{tmp_path}"
    project = Project.begin(home.world, f"locks-{kind}", backend)
    project.pulumi("stack", "init", "dev", "--no-select")
    with project.held_up() as first:
        who = f"process {first.pid}"
        refused = project.pavedpath("stack", "up", "dev", expect=Exit.LOCKED)
        assert who in refused
        assert "a process that is running" in refused
        assert "pulumi cancel" not in refused, "nobody is told to break a live lock"
        assert "the stack is currently locked by 1 lock(s)" in project.pulumi(
            "up", "--yes", "--skip-preview", "-s", "dev", expect=1
        )
        first.kill()
        first.wait()
        assert "removed the lock of process" in project.pavedpath("stack", "up", "dev")
    project.unchanged()


def test_a_deleted_a_damaged_and_an_outdated_state_come_back(home: Project) -> None:
    project = Project.begin(home.world, "lost", s3_of("lost"), "one", "two")
    project.pavedpath("state", "bootstrap", "dev")
    project = project.keyed()
    project.up()
    backup = project.backup()
    assert SECRET not in backup.read_text()
    subprocess.run(["sha256sum", "--check", f"{backup.name}.sha256"], cwd=backup.parent, check=True)
    assert "nothing to do" in project.pavedpath("state", "restore", "dev", str(backup))

    project.pulumi("stack", "rm", "dev", "--force", "--yes", "--preserve-config")
    assert "+ lost::aws:ssm/parameter:Parameter::two" in project.pavedpath(
        "state", "restore", "dev", str(backup), "--dry-run"
    )
    project.pavedpath("state", "restore", "dev", str(backup))
    project.unchanged()

    s3, key = project.world.aws("s3"), "team/.pulumi/stacks/lost/dev.json"
    whole = s3.get_object(Bucket="acme-lost-state", Key=key)["Body"].read()
    s3.put_object(Bucket="acme-lost-state", Key=key, Body=whole[: len(whole) // 2])
    refused = project.pavedpath("state", "restore", "dev", str(backup), expect=Exit.FAILED)
    assert "cannot be read" in refused
    project.pavedpath("state", "restore", "dev", str(backup), "--force")
    project.unchanged()

    project.program("one", "two", "three")
    project.up()
    planned = project.pavedpath("state", "restore", "dev", str(backup), "--dry-run")
    assert "- lost::aws:ssm/parameter:Parameter::three" in planned
    assert "would be refused without --force" in planned
    refused = project.pavedpath("state", "restore", "dev", str(backup), expect=Exit.FAILED)
    assert "newer than the backup's" in refused
    assert "aws:ssm/parameter:Parameter::three" in refused
    project.pavedpath("state", "restore", "dev", str(backup), "--force")
    assert "+ 1 to create" in project.pulumi("preview", "-s", "dev")
    (kept,) = backup.parent.glob("*.before-restore.json")
    project.pavedpath("state", "restore", "dev", str(kept))
    project.unchanged()


def test_a_file_that_is_no_backup_of_this_stack_is_refused(home: Project, tmp_path: Path) -> None:
    backup = home.backup(str(tmp_path))
    plain = tmp_path / "plain.json"
    plain.write_text(
        subprocess.run(
            ["pulumi", "stack", "export", "--show-secrets", "-s", "dev"],
            cwd=home.directory,
            env=home.environ,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )
    assert "in plain text" in home.pavedpath("state", "restore", "dev", str(plain), "--force", expect=Exit.FAILED)
    cut = tmp_path / backup.name
    cut.write_text(cut.read_text()[:-20])
    assert "SHA-256" in home.pavedpath("state", "restore", "dev", str(cut), expect=Exit.FAILED)
    other = Project.begin(home.world, "other", f"file://{tmp_path}/other")
    (tmp_path / "other").mkdir()
    other.pulumi("stack", "init", "dev", "--no-select")
    whole = home.backup(str(tmp_path / "again"))
    assert "not of other/dev" in other.pavedpath("state", "restore", "dev", str(whole), expect=Exit.FAILED)


def live_copies(project: Project, *backends: str) -> list[str]:
    found: list[str] = []
    for backend in backends:
        listed = project.pulumi("stack", "ls", "--json", PULUMI_BACKEND_URL=backend)
        found += [backend for each in json.loads(listed) if each["name"] == "dev"]
    return found


def moving(home: Project, name: str, folder: Path) -> tuple[Project, str]:
    """A project with a file backend's stack that is deployed, and then is told to live in S3."""
    folder.mkdir(parents=True, exist_ok=True)
    source = f"file://{folder}"
    project = Project.begin(home.world, name, source)
    project.pulumi("stack", "init", "dev", "--no-select")
    project.pulumi("config", "set", "--secret", "token", SECRET, "-s", "dev")
    project.up()
    pulumi = project.directory / "Pulumi.yaml"
    pulumi.write_text(pulumi.read_text().replace(source, s3_of(name)))
    return project, source


def test_a_stack_moves_to_another_backend_with_another_provider(home: Project, tmp_path: Path) -> None:
    project, source = moving(home, "mover", tmp_path / "source")
    move = ("state", "move", "dev", "--from", source, "--backup", "b", "--yes")
    assert "there is no key alias/pulumi-mover" in project.pavedpath(*move, expect=Exit.FAILED)
    project.pavedpath("state", "bootstrap")
    printed = project.pavedpath(*move)
    assert f"is in {s3_of('mover')}" in printed
    assert live_copies(project, source, s3_of("mover")) == [s3_of("mover")]
    keyed = project.keyed()
    keyed.unchanged()
    assert keyed.pulumi("stack", "output", "token", "-s", "dev") == "[secret]\n"
    assert list(project.directory.glob("Pulumi.dev.yaml.bak*")) == []
    assert "already" in project.pavedpath(*move)
    (backup,) = (project.directory / "b").glob("*Z.json")
    (config,) = (project.directory / "b").glob("*.Pulumi.dev.yaml*")
    shutil.copy(config, project.directory / "Pulumi.dev.yaml")
    project.pavedpath("state", "restore", "dev", str(backup), PULUMI_BACKEND_URL=source)
    assert live_copies(project, source) == [source], "the way back works, too"


def test_a_move_that_was_killed_goes_on_and_two_lives_are_never_merged(home: Project, tmp_path: Path) -> None:
    project, source = moving(home, "halfway", tmp_path / "source")
    target = s3_of("halfway")
    project.pavedpath("state", "bootstrap")
    provider = "awskms://alias/pulumi-halfway?region=us-east-1"
    project.pulumi("stack", "migrate", source, "dev", "--secrets-provider", provider, "--yes")
    assert live_copies(project, source, target) == [source, target]
    config = (project.directory / "Pulumi.dev.yaml").read_text()
    project.program("one", "two")
    project.up()
    move = ("state", "move", "dev", "--from", source, "--backup", "b", "--yes")
    assert "with another content" in project.pavedpath(*move, expect=Exit.FAILED)
    assert live_copies(project, source, target) == [source, target], "nothing was taken away"
    project.program("one")
    project.up()
    assert "with another content" in project.pavedpath(*move, expect=Exit.FAILED), "the same resources, but later"
    project.pulumi("stack", "rm", "dev", "--force", "--yes", "--preserve-config")
    saved = next(project.directory.glob("Pulumi.dev.yaml.bak*"))
    (project.directory / "Pulumi.dev.yaml").write_text(saved.read_text())
    saved.unlink()
    project.pulumi("stack", "migrate", source, "dev", "--secrets-provider", provider, "--yes")
    assert "was interrupted, and goes on" in project.pavedpath(*move)
    assert live_copies(project, source, target) == [target]
    assert "encryptedkey" in config
    project.keyed().unchanged()


def test_a_stack_that_somebody_works_on_does_not_move(home: Project, tmp_path: Path) -> None:
    project, source = moving(home, "busy", tmp_path / "source")
    target = s3_of("busy")
    project.pavedpath("state", "bootstrap")
    there = Project(project.world, project.directory, {**project.environ, "PULUMI_BACKEND_URL": source})
    with there.held_up() as first:
        refused = project.pavedpath(
            "state", "move", "dev", "--from", source, "--backup", "b", "--yes", expect=Exit.LOCKED
        )
        assert f"process {first.pid}" in refused
    assert live_copies(project, source, target) == [source]


def test_the_key_replaces_the_passphrase_of_a_stack_in_place(home: Project) -> None:
    project = Project.begin(home.world, "inplace", s3_of("inplace"))
    project.pavedpath("state", "bootstrap")
    project.pulumi("stack", "init", "dev", "--no-select")
    project.pulumi("config", "set", "--secret", "token", SECRET, "-s", "dev")
    project.up()
    assert "corrected  stack dev: secrets provider" in project.pavedpath("state", "bootstrap", "dev")
    project.keyed().unchanged()
