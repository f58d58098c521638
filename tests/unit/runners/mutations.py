"""The control plane with one guard taken out, as a careless edit would, and the test that must notice.

Each mutation changes one function in memory, for as long as its test runs.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from pavedpath_runners import receiver
from pavedpath_runners.adapters import ec2
from pavedpath_runners.adapters.dynamodb import TableLedger
from pavedpath_runners.configuration import Fleet
from pavedpath_runners.decisions import idling, launching, reconciling
from pavedpath_runners.decisions.model import Decision, Deregister, Scene, Terminate
from pavedpath_runners.decisions.moves import Draft
from pavedpath_runners.ports import Order, Registration
from pavedpath_runners.receiver import Control, Request, Response
from pavedpath_runners.records import Change, Count, Cursor, Put, Record, Runner, RunnerState

from tests.unit.runners import test_guards, test_receiver
from tests.unit.runners.fakes import MemoryLedger
from tests.unit.runners.ledger_model import LedgerModel

Patch = pytest.MonkeyPatch


@dataclass(frozen=True)
class Mutation:
    """One guard that is taken out."""

    guard: str
    apply: Callable[[Patch], None]
    noticed_by: Callable[[], None]
    """The test that passes with the guard and fails without it."""


def _yes(*_: object) -> bool:
    return True


def _nothing(*_: object) -> None:
    return None


def _first_cursor(_: object, name: str) -> Cursor:
    return Cursor(name)


def _unsigned(patch: Patch) -> None:
    patch.setattr(receiver, "is_signed", _yes)


def _signed_last(patch: Patch) -> None:
    """The body is read first, and only then is it asked who sent it."""
    whole = receiver.receive

    def receive(request: Request, secrets: Any, fleet: Fleet, control: Control, now: float) -> Response:
        receiver.json.loads(request.body)  # pyright: ignore[reportPrivateImportUsage]  # as a line there would
        return whole(request, secrets, fleet, control, now)

    patch.setattr(test_receiver, "receive", receive)


def _any_delivery(patch: Patch) -> None:
    patch.setattr(Draft, "once", _nothing)


def _conditions(patch: Patch, method: str, *values: str) -> None:
    """Have a write of the table come without its condition, and the values that only the condition names."""
    made: Callable[[TableLedger, Any], dict[str, Any]] = getattr(TableLedger, method)

    def without(self: TableLedger, change: Any) -> dict[str, Any]:
        written = made(self, change)
        del written["ConditionExpression"]
        named = written.get("ExpressionAttributeValues", {})
        for value in values:
            named.pop(value, None)
        if not named:
            written.pop("ExpressionAttributeValues", None)
        return written

    patch.setattr(TableLedger, method, without)


def _write_behind(patch: Patch) -> None:
    """The intent is kept in memory, and written with the next step: a cache that saves one write a launch."""
    commit, runner = MemoryLedger.commit, MemoryLedger.runner
    held: list[Change] = []

    def late(self: MemoryLedger, *changes: Change) -> None:
        if any(isinstance(each, Put) and _is_intent(each.record) for each in changes):
            held.extend(changes)
            return
        commit(self, *changes)

    def cached(self: MemoryLedger, name: str) -> Runner | None:
        for each in held:
            if isinstance(each, Put) and isinstance(each.record, Runner) and each.record.name == name:
                return each.record
        return runner(self, name)

    patch.setattr(MemoryLedger, "commit", late)
    patch.setattr(MemoryLedger, "runner", cached)


def _is_intent(record: Record) -> bool:
    return isinstance(record, Runner) and record.state is RunnerState.INTENDED


def _no_lease(patch: Patch) -> None:
    for module in (launching, reconciling):
        patch.setattr(module, "lease_is_over", _yes)


def _another_token(patch: Patch) -> None:
    tokens = itertools.count()

    def client_token(fleet: str, order: Order) -> str:
        return f"{fleet}-{order.runner}-{next(tokens)}"

    patch.setattr(ec2, "client_token", client_token)


def _no_maximum(patch: Patch) -> None:
    """The maximum is looked at when a launch is decided, and not when it is written."""

    def count(pool: str, by: int, _: int) -> Count:
        return Count(pool, by, 10**6)

    patch.setattr(launching, "Count", count)


def _idle_at_once(patch: Patch) -> None:
    def may_go(scene: Scene, runner: Runner) -> bool:
        return runner.state is RunnerState.REGISTERED and runner.running is None and bool(runner.idle_since)

    patch.setattr(idling, "may_go", may_go)


def _terminated_at_once(patch: Patch) -> None:
    saw = idling.saw

    def at_once(scene: Scene, runner: Runner, registration: Registration | None, keep: bool) -> Decision:
        decision = saw(scene, runner, registration, keep)
        if any(isinstance(each, Deregister) for each in decision.effects):
            return Decision(effects=(Terminate((runner.instance_id,)),))
        return decision

    patch.setattr(idling, "saw", at_once)


def _volatile_cursor(patch: Patch) -> None:
    patch.setattr(LedgerModel, "cursor", _first_cursor)


MUTATIONS = (
    Mutation("signature", _unsigned, test_receiver.test_a_wrong_signature_in_any_form_is_refused),
    Mutation(
        "signature first",
        _signed_last,
        test_receiver.test_a_forged_body_is_not_even_parsed,
    ),
    Mutation("replay store", _any_delivery, test_guards.test_a_repeated_delivery_writes_nothing),
    Mutation(
        "replay store's condition",
        lambda patch: _conditions(patch, "_once"),
        test_guards.test_the_table_takes_a_delivery_once,
    ),
    Mutation("intent", _write_behind, test_guards.test_an_intent_is_written_before_a_machine_is_asked_for),
    Mutation("lease", _no_lease, test_guards.test_nobody_works_at_a_machine_while_another_may),
    Mutation("client token", _another_token, test_guards.test_a_launch_that_is_repeated_after_a_crash_is_one_machine),
    Mutation(
        "pool's maximum",
        _no_maximum,
        test_guards.test_a_pool_never_has_more_machines_than_its_maximum,
    ),
    Mutation(
        "pool's maximum in the table",
        lambda patch: _conditions(patch, "_count", ":maximum"),
        test_guards.test_the_table_counts_no_further_than_the_maximum,
    ),
    Mutation(
        "conditional write",
        lambda patch: _conditions(patch, "_put", ":version"),
        test_guards.test_what_has_changed_since_it_was_read_is_not_overwritten,
    ),
    Mutation(
        "grace window",
        _idle_at_once,
        test_guards.test_a_machine_stays_until_every_look_over_the_grace_window_saw_it_idle,
    ),
    Mutation("two phases", _terminated_at_once, test_guards.test_a_machine_loses_its_registration_before_its_life),
    Mutation("cursor", _volatile_cursor, test_guards.test_a_webhook_that_failed_while_nobody_looked_is_sent_again),
)
