"""The machine's script, run for real with stand-ins for the programs of a machine."""

import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_runners import Architecture
from pavedpath_runners.machine import RUNNER, USER_DATA_BYTES, Machine, RunnerRelease, user_data

SHELLCHECK = Path(__file__).resolve().parents[3] / ".venv/bin/shellcheck"
CONFIGURATION = "the-configuration-that-nobody-may-see"

# The agent: it writes down how it was started, and what its job could see.
AGENT = """#!/bin/bash
{ printf 'configuration=%s\\n' "$ACTIONS_RUNNER_INPUT_JITCONFIG"; printf 'home=%s\\n' "$HOME"
  printf 'hook=%s\\n' "${ACTIONS_RUNNER_HOOK_JOB_STARTED:-}"; pwd; } >"$WORLD/agent"
tr '\\0' ' ' </proc/$$/cmdline >"$WORLD/command"
tr '\\0' ' ' </proc/$PPID/cmdline >>"$WORLD/command"
exit "${AGENT_STATUS:-0}"
"""
_RECORD = '#!/bin/bash\nprintf "%s %s\\n" "${0##*/}" "$*" >>"$WORLD/log"\n'
STAND_INS: Mapping[str, str] = {
    **dict.fromkeys(("useradd", "usermod", "systemctl", "shutdown", "chown"), _RECORD),
    "dnf": _RECORD + "[[ ! -e $WORLD/no-packages ]]\n",
    "rpm": '#!/bin/bash\n[[ " $INSTALLED " == *" $2 "* ]]\n',
    "id": "#!/bin/bash\nexit 1\n",
    "getent": "#!/bin/bash\n[[ -n ${DOCKER:-} ]]\n",
    "uname": '#!/bin/bash\necho "${MACHINE:-aarch64}"\n',
    "sleep": _RECORD,
    "setpriv": _RECORD
    + 'while [[ $1 == --* ]]; do case $1 in --init-groups) shift ;; *) shift 2 ;; esac; done\n"$@"\n',
    "curl": """#!/bin/bash
printf 'curl %s\\n' "$*" >>"$WORLD/log"
case "$*" in
  *" PUT "*api/token*) echo the-token ;;
  *meta-data/*)
    [[ $(cat) == 'X-aws-ec2-metadata-token: the-token' ]] || exit 22
    case "$*" in *instance-id) echo i-0123 ;; *region) echo eu-central-1 ;; esac ;;
  *github.com*) while [[ $1 != -o ]]; do shift; done; cp "$WORLD/archive" "$2" ;;
esac
""",
    "aws": """#!/bin/bash
printf 'aws %s\\n' "$*" >>"$WORLD/log"
[[ $AWS_MAX_ATTEMPTS == 1 ]] || exit 1  # its own retries would hide what a first try has done
case $2 in
  get-parameter)
    looks=$(($(cat "$WORLD/looks") - 1)); echo "$looks" >"$WORLD/looks"
    if ((looks > 0)) || [[ ! -e $WORLD/parameter ]]; then echo "${GET_ERROR:-ParameterNotFound}" >&2; exit 254; fi
    cat "$WORLD/parameter" ;;
  delete-parameter)
    read -r -a ends <<<"${DELETES:-}"
    case ${ends[$(grep -c delete-parameter "$WORLD/log") - 1]:-} in
      throttled) echo 'ThrottlingException' >&2; exit 254 ;;
      lost) rm "$WORLD/parameter"; echo 'Read timeout on endpoint URL' >&2; exit 255 ;;
      taken) rm "$WORLD/parameter" ;;
    esac
    [[ -e $WORLD/parameter ]] || { echo 'ParameterNotFound' >&2; exit 254; }
    [[ ! -e $WORLD/stuck ]] && rm "$WORLD/parameter" ;;
esac
""",
}


def archive() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        entry = tarfile.TarInfo("run.sh")
        entry.size, entry.mode = len(AGENT), 0o755
        tar.addfile(entry, io.BytesIO(AGENT.encode()))
    return packed.getvalue()


@dataclass(frozen=True)
class World:
    directory: Path
    machine: Machine

    def run(self, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        script = self.directory / "part-001"
        script.write_text(user_data(self.machine))
        path = f"{self.directory / 'bin'}:{os.environ['PATH']}"
        environment = {"PATH": path, "WORLD": str(self.directory), "TMPDIR": str(self.directory), **variables}
        return subprocess.run(
            ["bash", str(script), *arguments],
            env=environment,
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    @property
    def log(self) -> list[str]:
        path = self.directory / "log"
        return path.read_text().splitlines() if path.exists() else []

    def logged(self, program: str) -> list[str]:
        return [line.partition(" ")[2] for line in self.log if line.startswith(f"{program} ")]

    def lay_down(self, after: int = 1) -> None:
        """Let the control plane lay the configuration down so that the given look finds it."""
        (self.directory / "parameter").write_text(CONFIGURATION)
        (self.directory / "looks").write_text(str(after))


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "bin").mkdir()
    for name, text in STAND_INS.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "archive").write_bytes(archive())
    (tmp_path / "units").mkdir()
    (tmp_path / "looks").write_text("1000")
    release = RunnerRelease("2.999.0", {"arm64": hashlib.sha256(archive()).hexdigest()})
    base, units = str(tmp_path / "base"), str(tmp_path / "units")
    return World(tmp_path, Machine("dev", boot_minutes=0, release=release, directory=base, units=units))


class TestFirstBoot:
    def test_makes_a_service_of_itself(self, world: World) -> None:
        done = world.run()
        assert done.returncode == 0, done.stderr
        base = world.directory / "base"
        unit = (world.directory / "units/pavedpath-runner.service").read_text()
        assert f"ExecStart=/bin/bash {base}/machine.sh serve\n" in unit
        assert (base / "machine.sh").read_text() == user_data(world.machine)
        enabled = "enable --now --no-block pavedpath-runner.service"
        assert world.log == ["systemctl daemon-reload", f"systemctl {enabled}"]

    def test_that_fails_ends_the_machine(self, world: World) -> None:
        (world.directory / "units").rmdir()
        assert world.run().returncode == 1
        assert world.logged("shutdown") == ["-h now"]


class TestPreparing:
    def test_installs_what_is_missing(self, world: World) -> None:
        world.lay_down()
        done = world.run("serve", INSTALLED="git")
        assert done.returncode == 0, done.stderr
        assert world.logged("dnf") == ["install -y -q libicu"]
        assert world.logged("useradd") == ["--create-home --shell /bin/bash runner"]
        assert world.logged("usermod") == []
        runner = world.directory / "base/runner"
        assert (runner / ".version").read_text() == "2.999.0\n"
        assert world.logged("chown") == [f"-R runner: {runner}"]

    def test_downloads_nothing_where_the_image_or_an_earlier_boot_has_it(self, world: World) -> None:
        world.lay_down()
        assert world.run("serve").returncode == 0
        world.lay_down()
        (world.directory / "log").unlink()
        assert world.run("serve", INSTALLED="git libicu", DOCKER="yes").returncode == 0
        assert [line for line in world.logged("curl") if "github.com" in line] == []
        assert world.logged("dnf") == []
        assert world.logged("usermod") == ["--append --groups docker runner"]

    def test_begins_anew_where_an_earlier_boot_was_cut_off(self, world: World) -> None:
        half = world.directory / "base/runner"
        half.mkdir(parents=True)
        (half / "run.sh").write_text("cut off")
        (half / "left-over").touch()
        world.lay_down()
        assert world.run("serve").returncode == 0
        assert (half / "run.sh").read_text() == AGENT
        assert not (half / "left-over").exists()

    def test_another_archive_than_the_pinned_one_ends_the_machine_before_it_is_unpacked(self, world: World) -> None:
        (world.directory / "archive").write_bytes(archive() + b"x")
        world.lay_down()
        done = world.run("serve")
        assert done.returncode == 1
        assert "does not have the checksum that is pinned" in done.stderr
        assert not (world.directory / "base").exists()
        assert (world.directory / "parameter").exists()
        assert world.logged("shutdown")[-1] == "-h now"

    def test_the_wrong_architecture_ends_the_machine(self, world: World) -> None:
        done = world.run("serve", MACHINE="x86_64")
        assert "this machine is a x86_64, and its pool is for arm64" in done.stderr
        assert world.logged("shutdown")[-1] == "-h now"

    def test_packages_that_cannot_be_had_end_the_machine_after_five_tries(self, world: World) -> None:
        (world.directory / "no-packages").touch()
        done = world.run("serve")
        assert "packages could not be installed: git libicu" in done.stderr
        assert len(world.logged("dnf")) == 5
        assert world.logged("shutdown")[-1] == "-h now"

    def test_no_packages_need_no_dnf(self, world: World) -> None:
        world.lay_down()
        assert World(world.directory, replace(world.machine, packages=())).run("serve").returncode == 0
        assert world.logged("dnf") == []


class TestServing:
    def test_takes_its_own_configuration_deletes_it_and_ends(self, world: World) -> None:
        world.lay_down()
        done = world.run("serve")
        assert done.returncode == 0, done.stderr
        name = "--name /pavedpath/dev/jit/i-0123"
        assert world.logged("aws") == [
            f"ssm get-parameter --region eu-central-1 {name} --with-decryption --query Parameter.Value --output text",
            f"ssm delete-parameter --region eu-central-1 {name}",
        ]
        assert not (world.directory / "parameter").exists()
        seen = (world.directory / "agent").read_text().splitlines()
        base = f"{world.directory}/base"
        hook = f"hook={base}/before-job.sh"
        assert seen == [f"configuration={CONFIGURATION}", "home=/home/runner", hook, f"{base}/runner"]
        assert world.logged("shutdown") == ["-h +735", "-h now"]

    def test_runs_the_agent_as_another_user(self, world: World) -> None:
        world.lay_down()
        world.run("serve")
        (started,) = world.logged("setpriv")
        assert started.startswith("--reuid runner --regid runner --init-groups env HOME=/home/runner")

    def test_shows_the_configuration_on_no_command_line_and_in_no_log(self, world: World) -> None:
        world.lay_down()
        done = world.run("serve")
        shown = done.stdout + done.stderr + "\n".join(world.log) + (world.directory / "command").read_text()
        assert CONFIGURATION not in shown
        assert "the-token" not in shown

    @pytest.mark.parametrize("error", ["ParameterNotFound", "ThrottlingException"])
    def test_waits_until_it_is_there_longer_each_time(self, world: World, error: str) -> None:
        patient = World(world.directory, replace(world.machine, boot_minutes=5))
        patient.lay_down(after=10)
        assert patient.run("serve", GET_ERROR=error).returncode == 0
        waits = [float(each) for each in patient.logged("sleep")]
        longest = [1, 2, 3, 5, 8, 10, 10, 10, 10]
        assert all(most / 2 <= wait <= most for wait, most in zip(waits, longest, strict=True)), waits

    def test_no_two_machines_ask_at_the_same_times(self, world: World) -> None:
        patient = World(world.directory, replace(world.machine, boot_minutes=5))
        for _ in range(2):
            patient.lay_down(after=10)
            assert patient.run("serve").returncode == 0
        waits = patient.logged("sleep")
        assert waits[:9] != waits[9:]

    def test_ends_the_machine_when_none_comes(self, world: World) -> None:
        done = world.run("serve")
        assert done.returncode == 1
        assert "no configuration within 0 minutes: ParameterNotFound" in done.stderr
        assert world.logged("shutdown") == ["-h +735", "-h now"]
        assert not (world.directory / "agent").exists()

    def test_does_not_use_what_it_cannot_delete(self, world: World) -> None:
        world.lay_down()
        (world.directory / "stuck").touch()
        done = world.run("serve")
        assert "could not be deleted, so it was not used" in done.stderr
        assert not (world.directory / "agent").exists()
        assert world.logged("shutdown")[-1] == "-h now"

    @pytest.mark.parametrize("ends", ["lost", "throttled lost", "throttled throttled throttled"])
    def test_a_delete_that_has_to_be_tried_again_costs_no_machine(self, world: World, ends: str) -> None:
        world.lay_down()
        done = world.run("serve", DELETES=ends)
        assert done.returncode == 0, done.stderr
        assert not (world.directory / "parameter").exists()
        assert f"configuration={CONFIGURATION}\n" in (world.directory / "agent").read_text()

    def test_does_not_use_what_another_has_deleted(self, world: World) -> None:
        world.lay_down()
        done = world.run("serve", DELETES="taken")
        assert "could not be deleted, so it was not used" in done.stderr
        assert not (world.directory / "agent").exists()
        assert len([line for line in world.logged("aws") if "delete-parameter" in line]) == 1

    def test_an_agent_that_fails_ends_the_machine_too(self, world: World) -> None:
        world.lay_down()
        done = world.run("serve", AGENT_STATUS="7")
        assert "the runner ended with status 7" in done.stderr
        assert world.logged("shutdown")[-1] == "-h now"

    def test_being_stopped_from_outside_is_not_its_end(self, world: World) -> None:
        # Systemd ends the whole group: the wait is interrupted, and the trap runs.
        (world.directory / "bin/sleep").write_text('#!/bin/bash\nkill -TERM "$PPID"\n')
        patient = World(world.directory, replace(world.machine, boot_minutes=5))
        assert patient.run("serve").returncode == 0
        assert patient.logged("shutdown") == ["-h +735"]


@pytest.mark.parametrize("packages", [(), ("git", "docker")], ids=["none", "two"])
@pytest.mark.parametrize("architecture", list(Architecture))
def test_shellcheck_finds_nothing(architecture: Architecture, packages: tuple[str, ...], tmp_path: Path) -> None:
    script = tmp_path / "user-data.sh"
    script.write_text(user_data(Machine("dev", architecture=architecture, packages=packages)))
    done = subprocess.run([SHELLCHECK, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40))
def test_no_setting_can_become_a_command(text: str) -> None:
    script = user_data(Machine(text, packages=(text,)))
    head = script.partition("set -euo pipefail")[0]
    printed = subprocess.run(
        ["bash", "-c", head + '\nprintf "%s\\n" "$FLEET" "${PACKAGES[@]}"'], capture_output=True, text=True, check=True
    )
    assert printed.stdout == f"{text}\n{text}\n"


def test_it_is_far_from_the_limit_of_user_data() -> None:
    assert len(user_data(Machine("dev")).encode()) < USER_DATA_BYTES / 2
    with pytest.raises(ValueError, match="EC2 takes 16384"):
        user_data(Machine("dev", packages=("x" * USER_DATA_BYTES,)))


def test_the_pinned_release_has_a_checksum_for_every_architecture() -> None:
    assert list(RUNNER.problems()) == []
    assert set(RUNNER.sha256) == set(Architecture)
    with pytest.raises(ValueError, match="no checksum for x64"):
        user_data(Machine("dev", architecture=Architecture.X64, release=RunnerRelease("2.1.0", {"arm64": "0" * 64})))
    assert len(list(RunnerRelease("v2", {"arm64": "short"}).problems())) == 2


def event(**more: object) -> dict[str, object]:
    return {"repository": {"full_name": "acme/app"}, **more}


OWN, FORK = {"full_name": "acme/app"}, {"full_name": "mallory/app"}
EVENTS: Mapping[str, tuple[dict[str, object], bool]] = {
    "push": (event(ref="refs/heads/main"), True),
    "schedule": ({"schedule": "0 0 * * *"}, True),
    "own pull request": (event(pull_request={"head": {"repo": OWN}}), True),
    "fork's pull request": (event(pull_request={"head": {"repo": FORK}}), False),
    "deleted fork's pull request": (event(pull_request={"head": {"repo": None}}), False),
    "after an own run": (event(workflow_run={"head_repository": OWN}), True),
    "after a fork's run": (event(workflow_run={"head_repository": FORK}), False),
    "unknown pull request": (event(pull_request={}), False),
}


class TestForks:
    @pytest.fixture
    def hook(self, world: World) -> Path:
        world.lay_down()
        agent = world.run("serve")
        assert agent.returncode == 0, agent.stderr
        return world.directory / "base" / "before-job.sh"

    @pytest.mark.parametrize("name", EVENTS)
    def test_a_job_that_is_given_begins_only_if_its_code_is_own(self, hook: Path, name: str) -> None:
        content, own = EVENTS[name]
        path = hook.with_name("event.json")
        path.write_text(json.dumps(content))
        environment = {"PATH": os.environ["PATH"], "GITHUB_EVENT_PATH": str(path)}
        done = subprocess.run(["bash", "-e", str(hook)], env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) is own, done.stderr
        assert ("not the repository's own code" in done.stdout) is not own

    def test_an_event_that_cannot_be_read_is_not_let_in(self, hook: Path) -> None:
        environment = {"PATH": os.environ["PATH"], "GITHUB_EVENT_PATH": str(hook.with_name("none"))}
        assert subprocess.run(["bash", "-e", str(hook)], env=environment, capture_output=True, check=False).returncode

    def test_the_agent_is_told_of_the_hook(self, world: World, hook: Path) -> None:
        assert f"hook={hook}\n" in (world.directory / "agent").read_text()
        assert hook.stat().st_mode & 0o022 == 0

    def test_a_fleet_that_allows_forks_has_no_hook(self, world: World) -> None:
        world.lay_down()
        allowed = World(world.directory, replace(world.machine, allow_forks=True))
        assert allowed.run("serve").returncode == 0
        assert "hook=\n" in (world.directory / "agent").read_text()
