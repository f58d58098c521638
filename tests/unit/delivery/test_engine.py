import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.stack.engine import (
    Engine,
    StackNotFoundError,
    check_stacks,
    find_root,
    without_unused_salt,
)
from pavedpath_delivery.stack.errors import Exit, StackCommandError
from pavedpath_delivery.stack.lock import process_started
from pavedpath_delivery.stack.run import Run

from tests.unit.delivery.support import Project

LINES = st.lists(st.sampled_from(["config:", "  shop:owner: ann", "# note", "encryptionsalt: v1:x", ""]), max_size=8)


def test_a_missing_engine_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StackCommandError, match="make toolchain") as error:
        Engine(tmp_path, {"PATH": str(tmp_path)}).call("version")
    assert error.value.code is Exit.USAGE
    assert 'eval "$(pavedpath-sandbox env)"' in str(error.value)


def test_a_stack_that_is_not_there_is_its_own_error(project: Project) -> None:
    with pytest.raises(StackNotFoundError):
        project.engine().export("dev")


def test_another_failure_comes_with_the_engines_words(project: Project) -> None:
    with pytest.raises(StackCommandError, match=r"the stand-in knows no \['nonsense'"):
        project.engine().call("nonsense")


def test_the_environment_is_not_in_the_representation(project: Project) -> None:
    assert "FAKE_PULUMI" not in repr(project.engine())


def test_the_backend_is_chosen_as_the_engine_chooses(project: Project) -> None:
    (project.root / "Pulumi.yaml").write_text("name: shop\nbackend: {url: 's3://state'}\n")
    assert project.engine().backend_url().startswith("file://")
    assert Engine(project.root, {}).backend_url() == "s3://state"


def test_events_are_followed_and_the_end_is_kept(project: Project) -> None:
    project.operation("up", "dev", "up", code=1, err="error: boom\n")
    run = Run("dev", "up")
    project.engine().stream(["up", "--stack", "dev"], run, lambda event: void(run.apply(event, 0)))
    assert (run.exit_code, run.stderr, run.counts) == (1, "error: boom\n", {"created": 3})


def void(_value: object) -> None:
    """Discard."""


def signals_after(project: Project, count: int, hang: str) -> tuple[Run, str]:
    project.operation("up", "dev", "up", code=1, hang=hang)
    run, told = Run("dev", "up"), project.scenario / "signals"

    def interrupt() -> None:
        for number in range(count):
            os.kill(os.getpid(), signal.SIGINT)
            while number == 0 and not (told.exists() and told.read_text()):
                time.sleep(0.02)

    begun = threading.Event()

    def begin(_event: object) -> None:
        if not begun.is_set():
            begun.set()
            threading.Thread(target=interrupt, daemon=True).start()

    project.engine().stream(["up", "--stack", "dev"], run, begin)
    return run, told.read_text()


def test_an_interrupt_is_forwarded_once_and_the_engine_ends_by_itself(project: Project) -> None:
    before = signal.getsignal(signal.SIGINT)
    run, signals = signals_after(project, 1, hang="once")
    assert (run.interrupted, run.exit_code, signals) == (True, 1, str(int(signal.SIGINT)))
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_interrupt_kills(project: Project) -> None:
    run, signals = signals_after(project, 2, hang="for ever")
    assert (run.exit_code, signals) == (-signal.SIGKILL, str(int(signal.SIGINT)))


def ends(pid: int) -> bool:
    deadline = time.monotonic() + 120
    while process_started(pid) is not None and time.monotonic() < deadline:
        time.sleep(0.02)
    return process_started(pid) is None


def test_a_second_interrupt_kills_plugins_too_which_have_groups_of_their_own(project: Project) -> None:
    plugin = project.scenario / "up.dev.plugin"
    plugin.write_text("")
    signals_after(project, 2, hang="for ever")
    assert ends(int(plugin.read_text()))


def test_no_engine_and_no_plugin_is_left_when_following_it_fails(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pavedpath_delivery.stack.engine._STOP_S", 0.3)
    plugin = project.scenario / "up.dev.plugin"
    plugin.write_text("")
    project.operation("up", "dev", "up", hang="for ever")

    def fail(_event: object) -> None:
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        project.engine().stream(["up", "--stack", "dev"], Run("dev", "up"), fail)
    assert ends(int(plugin.read_text()))


ON_A_STACK: list[Callable[[Engine], object]] = [
    lambda engine: engine.create("dev"),
    lambda engine: engine.remove("dev"),
    lambda engine: engine.export("dev"),
    lambda engine: engine.outputs("dev"),
    lambda engine: engine.load("dev", {}),
    lambda engine: engine.cancel("dev"),
]


@pytest.mark.parametrize("act", ON_A_STACK)
def test_a_refusal_for_a_lock_names_the_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: Callable[[Engine], object]
) -> None:
    pulumi = tmp_path / "pulumi"
    said = (
        "error: the stack is currently locked by 1 lock(s). f: created by ann@elsewhere (pid 5) at 2026-03-01T12:00:00Z"
    )
    pulumi.write_text(f"#!/bin/sh\n/bin/cat > /dev/null\necho '{said}' >&2\nexit 255\n")
    pulumi.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StackCommandError) as error:
        act(Engine(tmp_path))
    assert error.value.code is Exit.LOCKED
    assert str(error.value).startswith("dev is locked:\n")
    assert str(error.value).endswith("pulumi cancel --yes dev && pavedpath stack repair dev")


def test_the_root_is_found_from_below(project: Project) -> None:
    below = project.root / "a" / "b"
    below.mkdir(parents=True)
    assert find_root(below) == project.root
    with pytest.raises(StackCommandError, match=r"No Pulumi\.yaml"):
        find_root(project.scenario)


def test_all_wrong_stack_names_are_told_at_once(project: Project) -> None:
    check_stacks(["anything"], project.root)
    (project.root / "Pulumi.dev.yaml").write_text("")
    (project.root / "Pulumi.prod.yaml").write_text("")
    check_stacks(["dev", "prod"], project.root)
    with pytest.raises(StackCommandError) as error:
        check_stacks(["dve", "a/b", "dev", "dev"], project.root)
    assert error.value.code is Exit.USAGE
    assert str(error.value).splitlines() == [
        "dve: no Pulumi.dve.yaml in the project; its stacks are dev, prod",
        "'a/b': not a stack's name (letters, digits, `_`, `.`, `-`; at most 100)",
        "dev: named 2 times",
    ]


@given(LINES)
def test_a_salt_that_nothing_needs_goes_and_nothing_else(lines: list[str]) -> None:
    cleaned = without_unused_salt("\n".join(lines))
    assert "encryptionsalt" not in cleaned
    assert [line for line in cleaned.splitlines() if line] == [
        line for line in lines if line and not line.startswith("encryptionsalt")
    ]


@given(LINES)
def test_a_salt_that_a_secret_needs_stays(lines: list[str]) -> None:
    text = "\n".join([*lines, "  shop:token:", "    secure: v1:abc"])
    assert without_unused_salt(text) == text


def test_a_salt_of_another_passphrase_makes_way_for_a_new_stack(project: Project) -> None:
    config = project.root / "Pulumi.dev.yaml"
    config.write_text("config:\n  shop:owner: ann\nencryptionsalt: v1:another-passphrase\n")
    Engine(project.root, project.environ).create("dev")
    assert project.stacks() == ["dev"]
    assert config.read_text() == "config:\n  shop:owner: ann\n"


def test_a_salt_that_a_secret_needs_is_never_given_up(project: Project) -> None:
    config = project.root / "Pulumi.dev.yaml"
    text = "config:\n  shop:token:\n    secure: v1:abc\nencryptionsalt: v1:another-passphrase\n"
    config.write_text(text)
    with pytest.raises(StackCommandError, match="incorrect passphrase"):
        Engine(project.root, project.environ).create("dev")
    assert config.read_text() == text


def test_a_salt_that_fits_stays_through_a_stacks_life(project: Project) -> None:
    config = project.root / "Pulumi.dev.yaml"
    config.write_text("encryptionsalt: v1:fits\n")
    engine = Engine(project.root, project.environ)
    engine.create("dev")
    engine.remove("dev")
    assert config.read_text() == "encryptionsalt: v1:fits\n"
