"""Repairs as a whole, against the stand-in."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import gethostname
from typing import Any

import pytest
from pavedpath_delivery.kit.kube import KubernetesApi
from pavedpath_delivery.stack.errors import Exit, StackCommandError
from pavedpath_delivery.stack.events import RELEASE_TYPE
from pavedpath_delivery.stack.lock import Lock, read_locks
from pavedpath_delivery.stack.repair import reality_aws, reality_github, reality_kubernetes
from pavedpath_delivery.stack.repair import run as repair_run
from pavedpath_delivery.stack.repair.plan import PendingOperation
from pavedpath_delivery.stack.repair.run import Repairer
from pavedpath_delivery.stack.run import Run

from tests.unit.delivery.support import Project, export, pending

GRAPHS = Path(__file__).parents[2] / "stacks" / "__snapshots__" / "test_graph"
VPC = "aws:ec2/vpc:Vpc"


def repairer(project: Project) -> Repairer:
    return Repairer(project.engine(), lambda _text: None, lambda stack, _args: Run(stack, "refresh"))


def lock(pid: int) -> dict[str, Any]:
    later = (datetime.now(tz=UTC) + timedelta(seconds=1)).isoformat()
    return {"pid": pid, "username": "ann", "hostname": gethostname(), "timestamp": later}


@pytest.fixture
def dead() -> dict[str, Any]:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    return lock(child.pid)


def afterwards(monkeypatch: pytest.MonkeyPatch, then: Callable[[], object]) -> None:
    """Do something once, right after the locks were read for the first time."""
    waiting = [then]

    def read(*args: Any) -> list[Lock] | None:
        found = read_locks(*args)
        if waiting:
            waiting.pop()()
        return found

    monkeypatch.setattr(repair_run, "read_locks", read)


def test_the_lock_of_a_run_that_began_meanwhile_stays(
    project: Project, monkeypatch: pytest.MonkeyPatch, dead: dict[str, Any]
) -> None:
    project.state("dev")
    old = project.lock("dev", **dead)
    new = old.with_name("2.json")
    afterwards(monkeypatch, lambda: (old.unlink(), new.write_text(Lock(**lock(os.getpid())).model_dump_json())))
    repairer(project).repair("dev")
    assert [*old.parent.iterdir()] == [new]


def test_the_operations_of_a_run_that_began_meanwhile_stay(
    project: Project, monkeypatch: pytest.MonkeyPatch, dead: dict[str, Any]
) -> None:
    state = export(operations=[pending(VPC, "main", {}, "updating")])
    project.state("dev", state)
    old = project.lock("dev", **dead)
    afterwards(monkeypatch, lambda: old.with_name("2.json").write_text(Lock(**lock(os.getpid())).model_dump_json()))
    with pytest.raises(StackCommandError) as error:
        repairer(project).repair("dev")
    assert error.value.code is Exit.LOCKED
    assert project.exported("dev") == state


@pytest.mark.parametrize(("later", "cancelled"), [("dead", True), ("alive", False), ("gone", False)])
def test_other_stores_are_asked_again_right_before_all_locks_are_removed(
    project: Project, monkeypatch: pytest.MonkeyPatch, dead: dict[str, Any], later: str, cancelled: bool
) -> None:
    project.state("dev")
    second = {"dead": [Lock(**dead)], "alive": [Lock(**lock(os.getpid()))], "gone": list[Lock]()}[later]
    answers = iter([[Lock(**dead)], second])

    def read(*_args: object) -> list[Lock]:
        return next(answers)

    monkeypatch.setattr(repair_run, "read_locks", read)
    if later == "alive":
        with pytest.raises(StackCommandError, match=f"process {os.getpid()}"):
            repairer(project).repair("dev")
    else:
        repairer(project).repair("dev")
    assert ("cancel" in project.verbs()) is cancelled


@pytest.mark.parametrize(("kind", "unblocked"), [("updating", True), ("deleting", False)])
def test_the_record_of_a_release_that_was_being_removed_stays(
    project: Project, monkeypatch: pytest.MonkeyPatch, kind: str, unblocked: bool
) -> None:
    seen: list[str] = []

    def unblock(_api: object, operation: PendingOperation) -> list[str]:
        seen.append(operation.kind)
        return []

    def connect(_environ: object) -> None:
        return None

    monkeypatch.setattr(reality_kubernetes, "unblock_release", unblock)
    monkeypatch.setattr(KubernetesApi, "from_environment", connect)
    project.state("dev", export(operations=[pending(RELEASE_TYPE, "api", {"name": "api"}, kind)]))
    repairer(project).repair("dev")
    assert bool(seen) is unblocked


def test_every_type_that_the_stacks_make_can_be_looked_for() -> None:
    texts = [path.read_text() for path in GRAPHS.glob("*.txt")]
    types = {
        kind for text in texts for kind in re.findall(r"^ +((?:aws|github|kubernetes):\S+:\w+)  ", text, re.MULTILINE)
    }
    assert {kind.partition(":")[0] for kind in types} == {"aws", "github", "kubernetes"}
    found = {*reality_aws.FINDERS, *reality_github.FINDERS}
    # In a cluster, discovery finds any kind.
    assert {kind for kind in types if not kind.startswith("kubernetes:")} - found == set()
