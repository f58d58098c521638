"""Breaking any one guard makes its named test fail: each guard is taken away in a copy of the package, and its test is
run on that copy."""

import importlib
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pavedpath_runners
import pytest

ROOT = Path(__file__).parents[3]
PASSED, FAILED, BROKEN = 0, 1, 2
PACKAGE = Path(pavedpath_runners.__file__).parent
GUARDS = "test_control_guards.test_guard_"


@dataclass(frozen=True)
class Mutation:
    """What is broken: text of a file that occurs once, and what stands there instead."""

    guard: str
    file: str
    text: str
    instead: str
    test: str


MUTATIONS = (
    Mutation(
        "dedup",
        "decisions/events.py",
        "    if delivery is not None:\n        draft.once(delivery)\n",
        "",
        GUARDS + "dedup_a_delivery_counts_once",
    ),
    Mutation(
        "rank",
        "decisions/events.py",
        "        if job.state is JobState.COMPLETED:\n            return replace(job, started_at=started, **place)\n",
        "        if job.state is JobState.COMPLETED:\n            job = replace(job, state=JobState.QUEUED)\n",
        "test_decisions_events.test_all_orders_of_the_same_news_end_in_the_same_state",
    ),
    Mutation(
        "intent",
        "decisions/launching.py",
        "    return Order(runner.name, pool,",
        "    return Order(f'{runner.name}-{scene.now:.0f}', pool,",
        GUARDS + "intent_a_machine_whose_launch_was_forgotten_is_asked_for_by_the_same_order",
    ),
    Mutation(
        "intent first",
        "decisions/launching.py",
        "    give(draft, runner, replace(job, attempt=attempt))\n",
        "    give(draft, runner, replace(job, attempt=attempt))\n    draft.put(job)\n",
        GUARDS + "intent_is_written_before_the_request",
    ),
    Mutation(
        "client token's age",
        "decisions/launching.py",
        "if unwanted or scene.now - runner.asked_at > TOKEN",
        "if unwanted",
        GUARDS + "token_an_old_order_is_looked_for_and_not_repeated",
    ),
    Mutation(
        "grace window",
        "decisions/idling.py",
        "max(scene.fleet.grace_seconds, pool.idle_minutes * 60)",
        "pool.idle_minutes * 60",
        GUARDS + "grace_window_one_look_removes_nothing",
    ),
    Mutation(
        "every look",
        "decisions/idling.py",
        "    if registration.busy:\n        return _note(scene, replace(runner, idle_since=0.0))\n",
        "",
        GUARDS + "grace_window_a_look_that_saw_it_busy_starts_it_anew",
    ),
    Mutation(
        "grace window, end to end",
        "decisions/idling.py",
        "    return scene.now - runner.idle_since >= max(scene.fleet.grace_seconds, pool.idle_minutes * 60)",
        "    return True",
        GUARDS + "grace_window_late_news_saves_a_busy_runner",
    ),
    Mutation(
        "busy is evidence",
        "decisions/idling.py",
        "        case Occupied():\n            return _evidence(scene, runner)",
        "        case Occupied():\n            return _drained(scene, runner)",
        GUARDS + "busy_what_github_refuses_to_remove_stays",
    ),
    Mutation(
        "deregistered before terminated",
        "decisions/idling.py",
        "    draft.effects.append(Withdraw(runner.instance_id))\n",
        "    draft.effects.append(Terminate((runner.instance_id,)))\n",
        GUARDS + "busy_a_removed_machine_gets_time_before_it_is_terminated",
    ),
    Mutation(
        "event evidence",
        "decisions/idling.py",
        "    if runner is None or runner.state is not RunnerState.REGISTERED:",
        "    if runner is None:",
        GUARDS + "busy_news_between_the_look_and_the_write_saves_it",
    ),
    Mutation(
        "conditional write",
        "execution.py",
        "            except ConflictError:\n                continue\n",
        "            except ConflictError:\n                pass\n",
        GUARDS + "conditional_write_news_that_meets_another_write_is_not_lost",
    ),
    Mutation(
        "lease",
        "decisions/launching.py",
        "    return now - runner.changed_at > LEASE",
        "    return True",
        GUARDS + "lease_nobody_works_at_what_another_works_at",
    ),
    Mutation(
        "lost lease",
        "decisions/launching.py",
        "    if runner.changed_at != lease:",
        "    if runner.state is RunnerState.GONE:",
        GUARDS + "lease_who_lost_his_leaves_it",
    ),
    Mutation(
        "maximum",
        "decisions/launching.py",
        "    draft.also(Count(pool.name, 1, pool.maximum))",
        "    draft.also(Count(pool.name, 1, 99))",
        GUARDS + "maximum_holds_though_two_saw_the_same_room",
    ),
    Mutation(
        "cursor",
        "reconciler.py",
        "since = cursor.at if cursor.version else now - FIRST_LOOK",
        "since = now - FIRST_LOOK",
        GUARDS + "cursor_deliveries_that_failed_while_nothing_ran_are_sent_again",
    ),
    Mutation(
        "late news",
        "decisions/reconciling.py",
        "    if job is not None and runner.registration and not checked:",
        "    if job is not None and runner.registration and not runner:",
        GUARDS + "late_news_a_job_that_may_have_run_is_asked_for_before_it_is_launched_again",
    ),
    Mutation(
        "turn",
        "decisions/launching.py",
        "    if not view.turn:",
        "    if not view:",
        GUARDS + "turn_a_newcomer_does_not_take_the_room_of_an_older_job",
    ),
    Mutation(
        "re-run once",
        "decisions/reconciling.py",
        "    draft.put(replace(job, rerun=True, rerun_wanted=False))\n",
        "",
        GUARDS + "rerun_is_asked_for_once_though_the_process_dies",
    ),
    Mutation(
        "forks",
        "decisions/launching.py",
        "    if job.own is False and not scene.fleet.allow_forks:",
        "    if job.own is False and scene.fleet.allow_forks:",
        GUARDS + "forks_a_forks_job_is_given_up_before_anything_is_bought",
    ),
    Mutation(
        "foreign registrations",
        "decisions/reconciling.py",
        "    return runner is not None and not runner.live and",
        "    return (runner is None or not runner.live) and",
        GUARDS + "ghosts_registrations_that_the_ledger_does_not_know_are_left_alone",
    ),
    Mutation(
        "orphans' age",
        "decisions/reconciling.py",
        "    old = now - instance.launched_at > fleet.orphan_minutes * 60",
        "    old = True",
        GUARDS + "orphans_are_given_the_time_that_a_record_may_take",
    ),
    Mutation(
        "warm cursor",
        "decisions/warm.py",
        "Count(pool.name, 1, pool.maximum), Put(moved), Put(runner)",
        "Count(pool.name, 1, pool.maximum), Put(replace(runner, name=f'{runner.name}-{id(runner)}'))",
        GUARDS + "warm_two_reconcilers_at_once_fill_the_pool_once",
    ),
)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda each: each.guard.replace(" ", "-"))
def test_without_a_guard_its_test_fails(mutation: Mutation, tmp_path: Path) -> None:
    copy = tmp_path / "pavedpath_runners"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "simulator"))
    file = copy / mutation.file
    text = file.read_text()
    assert text.count(mutation.text) == 1, f"{mutation.file} has changed; this check has to change with it"
    file.write_text(text.replace(mutation.text, mutation.instead))
    assert verdict(mutation.test, tmp_path) == FAILED


def verdict(test: str, place: Path) -> int:
    """Run one test in a child process, on the package in `place`. A process of its own, but no new interpreter: what
    takes long is to import pytest and Hypothesis."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = BROKEN
    try:
        status = _judged(test, place)
    finally:
        os._exit(status)


def _judged(test: str, place: Path) -> int:
    for name in list(sys.modules):
        if name.startswith(("pavedpath_runners", "tests.unit.runners")):
            del sys.modules[name]
    sys.dont_write_bytecode = True
    sys.path[:0] = [str(place), str(ROOT)]
    importlib.invalidate_caches()
    module, _, function = test.partition(".")
    run = getattr(importlib.import_module(f"tests.unit.runners.{module}"), function)
    assert str(place) in str(sys.modules["pavedpath_runners.control"].__file__)
    try:
        run()
    except AssertionError:
        return FAILED
    return PASSED
