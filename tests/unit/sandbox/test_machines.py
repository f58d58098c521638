"""What a machine does with its life, without AWS and GitHub."""

import base64
import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pavedpath_sandbox.machines import Options, Player, Seen, registration_of

OPTIONS = Options(boot=2.0, job=4.0, notice=2.0)


def configuration(registration: int) -> str:
    runner = base64.b64encode(json.dumps({"AgentId": str(registration)}).encode()).decode()
    return base64.b64encode(json.dumps({".runner": runner}).encode()).decode()


class World:
    """AWS and GitHub in one: machines, parameters, registrations with the job that waits for each, and what is told."""

    def __init__(self) -> None:
        self.seen: dict[str, Seen] = {}
        self.parameters: dict[str, str] = {}
        self.registrations: dict[int, int] = {}
        self.forks: set[int] = set()
        self.reruns: set[int] = set()
        self.finished: list[tuple[int, str]] = []
        self.announced: list[str] = []
        self.reclaimed: list[str] = []
        self.told: list[dict[str, Any]] = []

    def launch(self, number: int, job: int = 0, spot: bool = False) -> str:
        instance = f"i-{number}"
        self.seen[instance] = Seen(instance, f"dev-{number}-1", "dev", spot)
        self.parameters[f"/pavedpath/dev/jit/{instance}"] = configuration(number)
        self.registrations[number] = job
        return instance

    def running(self) -> list[Seen]:
        return list(self.seen.values())

    def take(self, parameter: str) -> str | None:
        return self.parameters.pop(parameter, None)

    def announce(self, instance: str) -> None:
        self.announced.append(instance)

    def terminate(self, instance: str) -> None:
        self.seen.pop(instance, None)

    def reclaim(self, instance: str) -> None:
        self.reclaimed.append(instance)
        self.terminate(instance)

    def connect(self, registration: int) -> tuple[bool, int, bool, int]:
        if registration not in self.registrations:
            return False, 0, False, 1
        job, self.registrations[registration] = self.registrations[registration], 0
        return True, job, job in self.forks, 2 if job in self.reruns else 1

    def finish(self, job: int, conclusion: str) -> None:
        self.finished.append((job, conclusion))

    def events(self, instance: str) -> list[str]:
        return [each["event"] for each in self.told if each["instance"] == instance]


@pytest.fixture
def world() -> World:
    return World()


def play(world: World, options: Options = OPTIONS, file: Path | None = None) -> Callable[[float, float], None]:
    player = Player(world, world, options, world.told.append, file)

    def between(start: float, end: float) -> None:
        for step in range(int((end - start) * 4)):
            player.step(start + step / 4)

    return between


def test_from_its_boot_to_its_end(world: World) -> None:
    instance = world.launch(1, job=11)
    go = play(world)
    go(0, 0.75)
    assert world.events(instance) == ["boots"]
    assert world.parameters
    go(0.75, 20)
    assert world.events(instance) == ["boots", "has its configuration", "runs", "ends its job", "ends itself"]
    assert (world.finished, world.seen, world.parameters) == ([(11, "success")], {}, {})


def test_it_waits_for_its_configuration_and_for_a_job(world: World) -> None:
    instance = world.launch(1)
    held = world.parameters.popitem()
    go = play(world)
    go(0, 10)
    assert world.events(instance) == ["boots"]
    world.parameters.update([held])
    go(10, 20)
    assert world.events(instance) == ["boots", "has its configuration"]
    world.registrations[1] = 12
    go(20, 40)
    assert world.finished == [(12, "success")]


def test_it_ends_itself_when_it_was_deregistered(world: World) -> None:
    instance = world.launch(1)
    go = play(world)
    go(0, 10)
    del world.registrations[1]
    go(10, 13)
    assert world.events(instance)[-2:] == ["was deregistered", "ends itself"]
    assert world.seen == {}


def test_a_forks_job_ends_before_it_begins_unless_forks_are_allowed(world: World) -> None:
    world.forks = {61, 62}
    refused, allowed = world.launch(1, 61), world.launch(2, 62)
    first, second = world.seen.pop(refused), world.seen.pop(allowed)
    world.seen = {refused: first}
    play(world)(0, 10)
    assert world.finished == [(61, "failure")]
    assert world.events(refused)[-2:] == ["refuses a fork's job", "ends itself"]
    world.seen = {allowed: second}
    play(world, replace(OPTIONS, allow_forks=True))(10, 30)
    assert world.finished[1:] == [(62, "success")]


def test_a_machine_that_is_ended_in_the_middle_of_a_job_is_told_of(world: World) -> None:
    busy, idle = world.launch(1, job=11), world.launch(2)
    go = play(world, replace(OPTIONS, job=100))
    go(0, 10)
    world.seen.clear()
    go(10, 11)
    assert (world.events(busy)[-1], world.events(idle)[-1]) == ("killed while busy", "gone while idle")
    assert world.finished == [(11, "failure")]


def test_only_spot_machines_are_taken_away_and_it_is_announced(world: World) -> None:
    spot, other = world.launch(1, job=11, spot=True), world.launch(2, job=12)
    go = play(world, replace(OPTIONS, interrupt=1.0))
    go(0, 40)
    assert world.announced == world.reclaimed == [spot]
    assert world.events(spot)[-3:] == ["is announced to be taken away", "taken away", "ends itself"]
    assert world.events(other)[-1] == "ends itself"
    assert sorted(world.finished) == [(11, "failure"), (12, "success")]


def test_a_job_that_is_run_again_keeps_its_machine(world: World) -> None:
    """A fleet runs a job again once."""
    world.launch(1, job=11, spot=True)
    world.reruns.add(11)
    play(world, replace(OPTIONS, interrupt=1.0))(0, 40)
    assert (world.announced, world.finished) == ([], [(11, "success")])


def test_machines_are_listed_no_more_often_than_wanted(world: World) -> None:
    listed: list[int] = []
    running = world.running
    world.running = lambda: listed.append(1) or running()
    instance = world.launch(1, job=11)
    player = Player(world, world, OPTIONS, world.told.append, look_seconds=5.0)
    for quarter in range(4 * 20):
        player.step(quarter / 4)
    assert len(listed) == 4
    assert world.events(instance)[-1] == "ends itself"


def test_a_boot_that_fails_does_nothing_for_ever_and_jobs_may_fail(world: World) -> None:
    dead = world.launch(1, job=11)
    go = play(world, replace(OPTIONS, never=1.0))
    go(0, 40)
    assert (world.events(dead), list(world.seen)) == (["never boots"], [dead])
    failing = World()
    failing.launch(1, job=11)
    play(failing, replace(OPTIONS, fail=1.0))(0, 40)
    assert failing.finished == [(11, "failure")]


def test_the_next_player_goes_on_where_one_was_killed(world: World, tmp_path: Path) -> None:
    file = tmp_path / "machines" / "dev.json"
    instance, dead = world.launch(1, job=11), world.launch(2)
    options = replace(OPTIONS, job=20)
    play(world, options, file)(0, 10)
    assert "runs" in world.events(instance)
    del world.registrations[2]
    play(world, options, file)(10, 60)
    assert world.finished == [(11, "success")]
    assert world.events(instance).count("boots") == 1
    assert world.events(dead)[-1] == "ends itself"
    assert json.loads(file.read_text()) == {}


def test_an_end_that_fails_is_tried_again_and_nothing_else_is(world: World, tmp_path: Path) -> None:
    instance, ended = world.launch(1, job=11), world.terminate
    calls = 0

    def fail(instance: str) -> None:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise ConnectionError("no answer")
        ended(instance)

    world.terminate = fail
    file = tmp_path / "dev.json"
    for step in range(80):
        # A player of its own each time: what one has done, the next one knows.
        with contextlib.suppress(ConnectionError):
            Player(world, world, OPTIONS, world.told.append, file).step(step / 4)
    assert world.finished == [(11, "success")]
    assert world.events(instance)[-2:] == ["ends its job", "ends itself"]
    assert calls == 3


def test_what_happens_to_a_machine_does_not_depend_on_the_others(world: World) -> None:
    options = replace(OPTIONS, never=0.5, seed=3)
    for number in range(40):
        world.launch(number)
    play(world, options)(0, 1)
    failed = {each["instance"] for each in world.told if each["event"] == "never boots"}
    assert 5 < len(failed) < 35
    alone = World()
    alone.launch(7)
    play(alone, options)(0, 1)
    assert (alone.events("i-7") == ["never boots"]) == ("i-7" in failed)


@pytest.mark.parametrize("text", ["", "x", base64.b64encode(b"{}").decode(), base64.b64encode(b"[]").decode()])
def test_what_is_no_configuration(text: str) -> None:
    with pytest.raises(ValueError, match="no just-in-time configuration"):
        registration_of(text)
