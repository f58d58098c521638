"""Virtual time, and what may befall a call."""

import os
import subprocess
import sys
from collections.abc import Mapping

import pytest
from botocore.exceptions import ReadTimeoutError
from pavedpath_runners.simulator import world
from pavedpath_runners.simulator.dynamodb import AwsRefusals
from pavedpath_runners.simulator.engine import Engine, Entry, Rates
from pavedpath_runners.simulator.pavedpath import PAVEDPATH
from pavedpath_runners.simulator.scenario import KINDS, draw
from pavedpath_runners.simulator.simulation import Result, Simulation

REFUSALS = AwsRefusals("Throttled")


def _nothing(_result: object, _why: str) -> None:
    """The end is of no interest."""


class Stage:
    """An engine, and calls of a service that counts."""

    def __init__(self, rates: Mapping[str, Rates] | None = None, seed: int = 1) -> None:
        self.engine = Engine(seed, 0.0)
        self.engine.rates = rates or {}
        self.effects: list[str] = []
        self.ends: list[tuple[str | None, str]] = []

    def call(self, what: str) -> None:
        self.engine.call("service", "Act", 1.0, lambda: self.effects.append(what), REFUSALS)

    def invoke(self, name: str, calls: int, timeout: float = 60.0) -> None:
        def body() -> str:
            for number in range(calls):
                self.call(f"{name}{number}")
            return name

        self.engine.invoke(name, timeout, body, lambda result, why: self.ends.append((result, why)))

    def finish(self) -> None:
        while self.engine.step():
            pass


def test_events_come_in_the_order_of_their_time_and_then_of_their_scheduling() -> None:
    engine, seen = Engine(1, 100.0), list[str]()
    engine.after(2, seen.append, "late")
    engine.at(101, seen.append, "first")
    engine.after(1, seen.append, "second")
    while engine.step():
        seen.append(f"{engine.now():.0f}")
    assert seen == ["first", "101", "second", "101", "late", "102"]


def test_invocations_give_way_at_every_call() -> None:
    stage = Stage()
    stage.invoke("a", 8)
    stage.invoke("b", 8)
    stage.finish()
    assert sorted(stage.ends) == [("a", ""), ("b", "")]
    assert sorted(stage.effects) == [f"{name}{number}" for name in "ab" for number in range(8)]
    turns = [each[0] for each in stage.effects]
    assert turns != sorted(turns)


def test_a_crash_comes_before_the_effect_or_after_it_and_nothing_follows() -> None:
    found = set[tuple[int, str]]()
    for seed in range(40):
        stage = Stage({"service": Rates(crash=0.5)}, seed)
        stage.invoke("a", 3)
        stage.finish()
        result, why = stage.ends[0]
        assert (result, why) in [("a", ""), (None, "crash")]
        found.add((len(stage.effects), why))
    assert found == {(0, "crash"), (1, "crash"), (2, "crash"), (3, "crash"), (3, "")}


def test_what_cleans_up_in_a_crashed_process_calls_nobody() -> None:
    stage = Stage({"service": Rates(crash=1.0)})

    def body() -> None:
        try:
            stage.call("x")
        finally:
            stage.engine.rates = {}
            stage.call("never")

    stage.engine.invoke("a", 60.0, body, lambda _, why: stage.ends.append((None, why)))
    stage.finish()
    assert stage.ends == [(None, "crash")]
    assert "never" not in stage.effects


def test_a_time_out_ends_an_invocation_between_two_calls() -> None:
    stage = Stage()
    stage.invoke("a", 100, timeout=5.0)
    stage.finish()
    assert stage.ends == [(None, "time-out")]
    assert 1 < len(stage.effects) < 12


def test_throttling_has_no_effect_and_a_lost_answer_has() -> None:
    stage = Stage({"service": Rates(throttle=1.0)})
    stage.engine.invoke("a", 60.0, lambda: _refused(stage, "Throttled"), _nothing)
    stage.finish()
    assert stage.effects == []
    outcomes = set[int]()
    for seed in range(20):
        stage = Stage({"service": Rates(lost=1.0)}, seed)
        stage.engine.invoke("a", 60.0, lambda stage=stage: _lost(stage), _nothing)
        stage.finish()
        outcomes.add(len(stage.effects))
    assert outcomes == {1, 2}  # the client's own second try is a second effect, if the service lets it


def _refused(stage: Stage, code: str) -> None:
    with pytest.raises(Exception, match=code):
        stage.call("x")


def _lost(stage: Stage) -> None:
    try:
        stage.call("x")
    except ReadTimeoutError:
        assert stage.effects == ["x"]


class Stepped(Engine):
    """Gives way at every call, even if nobody waits for that."""

    def run(self, until: float) -> None:
        self._on = True
        while self._on and self.time < until and self.step():
            pass

    def stop(self) -> None:
        self._on = False


def test_to_give_way_to_nobody_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(seed: int) -> tuple[list[Entry] | None, Result]:
        simulation = Simulation(draw(seed), seed, PAVEDPATH, journal=True)
        result = simulation.run()
        return simulation.world.engine.journal, result

    seeds = range(len(KINDS))
    fast = [told(seed) for seed in seeds]
    monkeypatch.setattr(world, "Engine", Stepped)
    for seed in seeds:
        assert told(seed) == fast[seed]


def test_a_run_ends_at_its_time_and_with_the_event_that_stops_it() -> None:
    engine, seen = Engine(1, 0.0), list[str]()
    for at, what in ((1, "a"), (2, "b"), (3, "c"), (4, "d")):
        engine.at(at, seen.append, what)
    engine.at(3, engine.stop)
    engine.at(3, seen.append, "not yet")
    engine.run(2)
    assert seen == ["a", "b"]
    engine.run(10)
    assert (seen, engine.time) == (["a", "b", "c"], 3)
    engine.run(10)
    assert seen == ["a", "b", "c", "not yet", "d"]


def test_what_an_invocation_has_stopped_does_not_go_on_in_it() -> None:
    stage = Stage()

    def body() -> str:
        for number in range(9):
            stage.call(str(number))
            if number == 4:
                stage.engine.stop()
        return "done"

    stage.engine.invoke("a", 60.0, body, lambda result, why: stage.ends.append((result, why)))
    stage.engine.run(100.0)
    assert stage.effects == [str(number) for number in range(5)]
    stage.engine.run(100.0)
    assert stage.ends == [("done", "")]


TIMELINE = """
import hashlib, sys
from pavedpath_runners.simulator.invariants import line
from pavedpath_runners.simulator.pavedpath import PAVEDPATH
from pavedpath_runners.simulator.scenario import draw
from pavedpath_runners.simulator.simulation import Simulation
for seed in map(int, sys.argv[1:]):
    simulation = Simulation(draw(seed), seed, PAVEDPATH, journal=True)
    result = simulation.run()
    text = "\\n".join(map(line, simulation.timeline())) + repr(result)
    print(seed, len(text), hashlib.sha256(text.encode()).hexdigest())
"""


def test_the_same_seed_is_the_same_timeline_in_every_process() -> None:
    def timelines(hash_seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-c", TIMELINE, *(str(seed) for seed in range(14))]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    first = timelines("1")
    assert len(first.splitlines()) == 14
    assert timelines("4711") == first
