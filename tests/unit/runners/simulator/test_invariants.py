"""The invariants can break: a careless policy breaks them, and so does ours with a guard taken out."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from pavedpath_runners import execution
from pavedpath_runners.adapters import ec2 as ec2_adapter
from pavedpath_runners.adapters.dynamodb import TableLedger
from pavedpath_runners.configuration import Market
from pavedpath_runners.decisions import events
from pavedpath_runners.decisions.model import NOTHING, Decision, Scene
from pavedpath_runners.events import Action, JobEvent
from pavedpath_runners.records import Delivery, PoolCount
from pavedpath_runners.simulator import dynamodb
from pavedpath_runners.simulator.ec2 import Machine
from pavedpath_runners.simulator.expressions import Condition, condition
from pavedpath_runners.simulator.github import Habits
from pavedpath_runners.simulator.invariants import ViolationError, Watch
from pavedpath_runners.simulator.pavedpath import PAVEDPATH, Pavedpath
from pavedpath_runners.simulator.policy import Deployment, Hook, Services
from pavedpath_runners.simulator.scenario import KINDS, Shape, draw, fleet, pool
from pavedpath_runners.simulator.scenario import Scenario as World
from pavedpath_runners.simulator.simulation import Result, Simulation, run

from tests.unit.runners.simulator.naive import NAIVE

SMALL = World(
    name="small",
    fleet=fleet([pool(maximum=3)]),
    jobs=4,
    arrival=Shape.BURST,
    faults_until=60.0,
    durations=(400.0, 600.0),
)


def kind(name: str, rounds: int) -> range:
    first = list(KINDS).index(name)
    return range(first, first + rounds * len(KINDS), len(KINDS))


def naive(name: str, rounds: int = 12) -> list[Result]:
    return [Simulation(draw(seed), seed, NAIVE).run() for seed in kind(name, rounds)]


@pytest.mark.parametrize(
    ("name", "counter"),
    [
        ("webhook loss", "lost"),
        ("webhook loss", "double_launches"),
        ("stale busy", "killed"),
        ("bad boots", "orphans"),
        ("tiny maximum", "over_maximum"),
    ],
)
def test_a_careless_policy_is_caught(name: str, counter: str) -> None:
    assert sum(getattr(each, counter) for each in naive(name)) > 0


def first_violation(seeds: list[int]) -> ViolationError:
    for seed in seeds:
        try:
            run(draw(seed), seed, PAVEDPATH)
        except ViolationError as error:
            return error
    raise AssertionError("no seed has noticed")


def without(words: str) -> Callable[[str], Condition]:
    return lambda expression: (lambda _: True) if words in expression else condition(expression)


def test_without_the_version_an_update_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamodb, "condition", without("version = :version"))
    error = first_violation([*kind("storm", 40)])
    assert "is lost" in error.what or "goes from" in error.what
    assert f"seed {error.seed}" in str(error)
    assert f"python -m pavedpath_runners.simulator show {error.seed}" in str(error)
    assert error.timeline


def test_without_the_pools_condition_its_maximum_is_passed(monkeypatch: pytest.MonkeyPatch) -> None:

    def old(_: TableLedger, name: str) -> PoolCount:
        return PoolCount(name, 0)

    monkeypatch.setattr(TableLedger, "count", old)
    matrix = replace(SMALL, fleet=fleet([pool(maximum=1)]), durations=(20.0, 30.0))
    assert run(matrix, 1, PAVEDPATH).over_maximum == 0
    monkeypatch.setattr(dynamodb, "condition", without("live < :maximum"))
    with pytest.raises(ViolationError, match="of at most 1"):
        run(matrix, 1, PAVEDPATH)


def test_without_a_client_token_of_its_own_a_job_is_launched_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = iter(range(10**9))

    def another(*_: object) -> str:
        return str(next(numbers))

    monkeypatch.setattr(ec2_adapter, "client_token", another)
    error = first_violation([*kind("crash storm", 40), *kind("storm", 20)])
    assert "gets" in error.what or "of at most" in error.what


class Forgetful(Pavedpath):
    """Answers webhooks, and writes nothing down."""

    def webhook(self, hook: Hook) -> int:
        return 200

    def tick(self) -> None:
        """The reconciler would find the jobs."""


class Ending(Pavedpath):
    """Ends all machines in the fifth minute, whatever they do."""

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._ec2, self._ticks = services.ec2, 0

    def tick(self) -> None:
        self._ticks += 1
        if self._ticks < 5:
            return
        for reservation in self._ec2.describe_instances()["Reservations"]:
            for each in reservation["Instances"]:
                self._ec2.terminate_instances(InstanceIds=[each["InstanceId"]])


class Broken(Pavedpath):
    def tick(self) -> None:
        raise KeyError("a defect")


@pytest.mark.parametrize(
    ("policy", "told"),
    [(Forgetful, "is lost: it is queued at the end"), (Ending, "while job"), (Broken, "KeyError: 'a defect'")],
)
def test_what_goes_wrong_is_told(policy: Callable[[Services], Pavedpath], told: str) -> None:
    with pytest.raises(ViolationError, match=told):
        run(SMALL, 3, Deployment("broken", policy))


def test_who_does_not_heed_that_jobs_are_held_back_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def heedless(scene: Scene, event: JobEvent, delivery: Delivery | None = None) -> Decision:
        return NOTHING if event.action is Action.WAITING else events.decide(scene, event, delivery)

    monkeypatch.setattr(execution, "decide_event", heedless)
    told = first_violation(list(kind("people", 40))).what
    assert re.search(r"is held back and gets|was given up while GitHub held it back", told)


def test_an_orphan_is_told_when_its_bound_is_over() -> None:
    simulation = Simulation(SMALL, 1, PAVEDPATH)
    watch, engine = simulation.watch, simulation.world.engine
    machine = Machine("i-1", {"pavedpath:runner": "sim-1-1"}, "m7g.large", "us-east-1a", Market.SPOT, engine.now(), "")
    simulation.world.ec2.machines[machine.id] = machine
    simulation.world.machines.booting(machine)
    watch.look()
    engine.time += SMALL.faults_until + SMALL.fleet.orphan_minutes * 60 + 14 * 60
    watch.look()
    assert watch.broken is None
    engine.time += 120
    watch.look()
    assert watch.broken
    assert watch.broken[0].startswith("i-1 is an orphan")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (None, ("queued", 1), ""),
        (("queued", 1), ("intended", 2), ""),
        (("queued", 1), ("queued", 3), "lost"),
        (("completed", 4), ("queued", 5), "goes from completed to queued"),
        (("running", 4), ("queued", 5), "goes from running to queued"),
    ],
)
def test_writes_of_the_ledger(old: tuple[str, int] | None, new: tuple[str, int], told: str) -> None:
    watch = Watch(Simulation(SMALL, 1, PAVEDPATH).world)
    before = _item(*old) if old else None
    if before:
        watch.written("JOB#1", None if old and old[1] == 1 else _item("queued", old[1] - 1 if old else 0), before)
    watch.written("JOB#1", before, _item(*new))
    assert (watch.broken is None) == (told == "")
    assert told in (watch.broken or ("",))[0]


def _item(state: str, version: int) -> Mapping[str, Mapping[str, str]]:
    return {"pk": {"S": "JOB#1"}, "version": {"N": str(version)}, "body": {"S": f'{{"state": "{state}"}}'}}


def test_the_users_cancelling_and_githubs_time_limit_are_told_apart() -> None:
    patience = Habits(patience=30.0)
    lost = Simulation(World("late", fleet([pool(maximum=1)]), jobs=2, habits=patience, span=1.0), 1, PAVEDPATH)
    lost.run()
    assert lost.violation
    assert "time limit" in lost.violation[0]
    users = World("users", fleet([pool()]), jobs=6, cancelled=1.0, faults_until=60.0)
    assert run(users, 1, PAVEDPATH).lost == 0
