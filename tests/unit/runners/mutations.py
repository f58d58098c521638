"""The guards of the control plane, each with the edit that takes it away and the test that must notice.

The texts are as short as they can be and still occur once in their file, so that other edits there leave them alone.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """One guard that is taken out, as a careless edit would."""

    guard: str
    file: str
    """Path in the package."""
    text: str
    """Occurs once in that file."""
    instead: str
    test: str
    """Module and function below this folder: passes with the guard, fails without it. It takes no arguments."""


_GUARDS = "test_guards.test_guard_"
_RECEIVER = "test_receiver.test_"
_DECISIONS = "test_decisions.test_"
_ONCE = '{"TableName": self._table, "Item": item, "ConditionExpression": "attribute_not_exists(pk)"}'

MUTATIONS = (
    # who sent it
    Mutation(
        "signature",
        "receiver.py",
        "return any(fits)",
        "return True",
        _RECEIVER + "a_wrong_signature_in_any_form_is_refused",
    ),
    Mutation(
        "signature first",
        "receiver.py",
        "    unproven = _unproven(",
        "    json.loads(request.body)\n    unproven = _unproven(",
        _RECEIVER + "a_forged_body_is_not_even_parsed",
    ),
    Mutation("empty secret", "receiver.py", "if secret\n", "if True\n", _RECEIVER + "an_empty_secret_proves_nothing"),
    # deliveries
    Mutation(
        "dedup",
        "decisions/events.py",
        "draft.once(delivery)",
        "pass",
        _GUARDS + "dedup_a_delivery_counts_once",
    ),
    Mutation(
        "dedup in the table",
        "adapters/dynamodb.py",
        f"return {_ONCE}",
        'return {"TableName": self._table, "Item": item}',
        _GUARDS + "dedup_the_table_takes_a_delivery_once",
    ),
    Mutation(
        "known jobs",
        "decisions/events.py",
        "job = known or _new(scene, event, named)",
        "job = replace(_new(scene, event, named), version=known.version if known else 0)",
        _GUARDS + "dedup_a_job_told_twice_is_launched_once",
    ),
    Mutation(
        "rank",
        "decisions/events.py",
        "            return replace(job, started_at=started, **place)",
        "            job = replace(job, state=JobState.QUEUED)",
        "test_decisions_events.test_all_orders_of_the_same_news_end_in_the_same_state",
    ),
    # intents, leases, counts
    Mutation(
        "intent",
        "decisions/launching.py",
        "return _decided(draft, Taken(runner.name, runner.changed_at))",
        "return Decision(effects=(Launch(_order(view.scene, runner, pool)),))",
        _GUARDS + "intent_is_written_before_the_request",
    ),
    Mutation(
        "one name",
        "decisions/launching.py",
        "return Order(runner.name,",
        "return Order(f'{runner.name}-{scene.now:.0f}',",
        _GUARDS + "intent_a_machine_whose_launch_was_forgotten_is_asked_for_by_the_same_order",
    ),
    Mutation(
        "client token",
        "adapters/ec2.py",
        'f"{fleet}\\n{order.runner}\\n{order.market}".encode()',
        '__import__("os").urandom(16)',
        _GUARDS + "token_a_request_that_is_repeated_after_a_crash_is_one_machine",
    ),
    Mutation(
        "client token's age",
        "decisions/launching.py",
        " or scene.now - runner.asked_at > TOKEN",
        "",
        _GUARDS + "token_an_old_order_is_looked_for_and_not_repeated",
    ),
    Mutation(
        "launched once",
        "decisions/launching.py",
        " or not job.queues",
        "",
        _GUARDS + "conditional_write_of_two_who_intend_one_launches",
    ),
    Mutation(
        "held back",
        "decisions/events.py",
        "return _held(draft, job)",
        "return job",
        _GUARDS + "held_back_nobody_launches_for_what_may_not_run",
    ),
    Mutation(
        "lease",
        "decisions/launching.py",
        "now - runner.changed_at > LEASE",
        "True",
        _GUARDS + "lease_nobody_works_at_what_another_works_at",
    ),
    Mutation(
        "lease's end",
        "decisions/launching.py",
        "now - runner.changed_at > LEASE",
        "False",
        _GUARDS + "lease_ends_with_its_holder",
    ),
    Mutation(
        "lost lease",
        "decisions/launching.py",
        "if runner.changed_at != lease:",
        "if runner.state is RunnerState.GONE:",
        _GUARDS + "lease_who_lost_his_leaves_it",
    ),
    Mutation(
        "another's lease",
        "decisions/launching.py",
        " or runner.changed_at != lease or",
        " or",
        _GUARDS + "lease_only_its_holder_gives_it_back",
    ),
    Mutation(
        "maximum",
        "decisions/launching.py",
        "Count(pool.name, 1, pool.maximum)",
        "Count(pool.name, 1, 10**6)",
        _GUARDS + "maximum_holds_though_two_saw_the_same_room",
    ),
    Mutation(
        "maximum in the table",
        "adapters/dynamodb.py",
        "str(change.maximum - change.by + 1)",
        "str(10**6)",
        _GUARDS + "maximum_the_table_counts_no_further",
    ),
    Mutation(
        "turn",
        "decisions/launching.py",
        "if not view.turn:",
        "if False:",
        _GUARDS + "turn_a_newcomer_does_not_take_the_room_of_an_older_job",
    ),
    # conditional writes
    Mutation(
        "conditional write",
        "adapters/dynamodb.py",
        '"version = :version"',
        '"version = :version OR attribute_exists(pk)"',
        _GUARDS + "conditional_write_what_has_changed_since_it_was_read_is_not_overwritten",
    ),
    Mutation(
        "conditional creation",
        "adapters/dynamodb.py",
        f"written: _Item = {_ONCE}",
        'written: _Item = {"TableName": self._table, "Item": item}',
        _GUARDS + "conditional_write_nothing_is_made_twice",
    ),
    Mutation(
        "conflict",
        "execution.py",
        "            except ConflictError:\n                continue\n",
        "            except ConflictError:\n                pass\n",
        _GUARDS + "conditional_write_news_that_meets_another_write_is_not_lost",
    ),
    # removal
    Mutation(
        "grace window",
        "decisions/idling.py",
        "max(scene.fleet.grace_seconds, pool.idle_minutes * 60)",
        "pool.idle_minutes * 60",
        _GUARDS + "grace_window_one_look_removes_nothing",
    ),
    Mutation(
        "grace window, end to end",
        "decisions/idling.py",
        "return scene.now - runner.idle_since >=",
        "return True or",
        _GUARDS + "grace_window_late_news_saves_a_busy_runner",
    ),
    Mutation(
        "every look",
        "decisions/idling.py",
        "if registration.busy:",
        "if False:",
        _GUARDS + "grace_window_a_look_that_saw_it_busy_starts_it_anew",
    ),
    Mutation(
        "jobs that count on it",
        "decisions/idling.py",
        "job.runner == runner.name and job.open",
        "False",
        _GUARDS + "busy_a_machine_that_a_job_counts_on_stays",
    ),
    Mutation(
        "busy is evidence",
        "decisions/idling.py",
        "case Seen() | Removed():",
        "case Seen() | Removed() | Occupied():",
        _GUARDS + "busy_what_github_refuses_to_remove_stays",
    ),
    Mutation(
        "deregistered first",
        "decisions/idling.py",
        "Deregister(runner.registration, runner.scope)",
        "Terminate((runner.instance_id,))",
        _GUARDS + "busy_a_machine_loses_its_registration_before_its_life",
    ),
    Mutation(
        "drained",
        "decisions/idling.py",
        "Withdraw(runner.instance_id)",
        "Terminate((runner.instance_id,))",
        _GUARDS + "busy_a_removed_machine_gets_time_before_it_is_terminated",
    ),
    Mutation(
        "event evidence",
        "decisions/idling.py",
        "if runner is None or runner.state is not RunnerState.REGISTERED:",
        "if runner is None:",
        _GUARDS + "busy_news_between_the_look_and_the_write_saves_it",
    ),
    Mutation(
        "a drained machine's job",
        "decisions/idling.py",
        "step(runner, RunnerState.DRAINING",
        "step(release(draft, runner, lost=False, why=''), RunnerState.DRAINING",
        _DECISIONS + "a_job_keeps_a_machine_that_was_removed_until_github_is_asked_for_it_once_more",
    ),
    Mutation(
        "asked when it drains",
        "decisions/reconciling.py",
        "idling.let_go(scene, runner) if checked else",
        "idling.let_go(scene, runner) if True else",
        _DECISIONS + "a_job_whose_machine_drains_waits_for_another_when_github_says_that_it_does_not_run",
    ),
    Mutation(
        "asked before it is given up",
        "decisions/reconciling.py",
        "_given_up(scene, runner):\n        return _doubt(runner, job, checked)",
        "_given_up(scene, runner):\n        return discard(scene, runner.name, '')",
        _DECISIONS + "before_a_machine_without_a_registration_is_given_up_github_is_asked_for_it",
    ),
    Mutation(
        "given up by one alone",
        "decisions/reconciling.py",
        "not why or not lease_is_over(runner, scene.now)",
        "not why",
        _DECISIONS + "a_machine_that_another_has_taken_on_meanwhile_is_not_given_up",
    ),
    Mutation(
        "the record's own machine",
        "control.py",
        " or runner.instance_id != instance.id",
        "",
        "test_control.test_the_end_of_a_machine_that_is_not_the_records_frees_nothing",
    ),
    # what never arrived
    Mutation(
        "cursor",
        "reconciler.py",
        "cursor.at if cursor.version else now - FIRST_LOOK",
        "now - FIRST_LOOK",
        _GUARDS + "cursor_deliveries_that_failed_while_nothing_ran_are_sent_again",
    ),
    Mutation(
        "cursor's write",
        "reconciler.py",
        "self._advance(replace(cursor, at=max(since, reached)))",
        "pass",
        _GUARDS + "cursor_deliveries_that_failed_while_nothing_ran_are_sent_again",
    ),
    Mutation(
        "cursor moves last",
        "reconciler.py",
        "            self._send_again(due)\n",
        "            self._advance(replace(cursor, at=now))\n            self._send_again(due)\n",
        _GUARDS + "cursor_a_crash_between_two_redeliveries_forgets_none",
    ),
    Mutation(
        "cursor's position",
        "reconciler.py",
        'position=json.dumps(position) if position else ""',
        'position=""',
        "test_control.test_a_long_list_of_failed_deliveries_is_worked_off_over_several_passes",
    ),
    Mutation(
        "cursor's end of attempts",
        "decisions/reconciling.py",
        "ATTEMPTS = 8",
        "ATTEMPTS = 800",
        "test_control.test_a_delivery_that_always_fails_is_given_up",
    ),
    # jobs, and what no record claims
    Mutation(
        "late news",
        "decisions/reconciling.py",
        "        return Decision(effects=(Check(job.id),))\n    draft = Draft(scene)\n",
        "        pass\n    draft = Draft(scene)\n",
        _GUARDS + "late_news_a_job_that_may_have_run_is_asked_for_before_it_is_launched_again",
    ),
    Mutation(
        "re-run once",
        "decisions/reconciling.py",
        "draft.put(replace(job, rerun=True, rerun_wanted=False))",
        "pass",
        _GUARDS + "rerun_is_asked_for_once_though_the_process_dies",
    ),
    Mutation(
        "taken away unannounced",
        "reconciler.py",
        "sight.instance.reclaimed",
        "False",
        _GUARDS + "rerun_a_machine_that_was_taken_away_without_notice_is_seen",
    ),
    Mutation(
        "throttled re-run",
        "execution.py",
        "except (RunActiveError, ThrottledError):",
        "except RunActiveError:",
        "test_control.test_a_rerun_that_github_has_no_time_for_is_asked_for_again",
    ),
    Mutation(
        "sweeps' bound",
        "decisions/reconciling.py",
        "new[: ASKED - min(places, len(old))]",
        "new",
        _DECISIONS + "some_runs_are_asked_for_new_ones_and_known_ones",
    ),
    Mutation(
        "outages",
        "functions/launch.py",
        "receives >= PATIENCE",
        "False",
        "functions.test_launch.test_an_outage_leaves_no_dead_letters",
    ),
    Mutation(
        "forks",
        "decisions/launching.py",
        "if job.own is False and",
        "if job.own is None and",
        _GUARDS + "forks_a_forks_job_is_given_up_before_anything_is_bought",
    ),
    Mutation(
        "foreign registrations",
        "decisions/reconciling.py",
        "return runner is not None and not runner.live and",
        "return (runner is None or not runner.live) and",
        _GUARDS + "ghosts_registrations_that_the_ledger_does_not_know_are_left_alone",
    ),
    Mutation(
        "orphans' age",
        "decisions/reconciling.py",
        "now - instance.launched_at > fleet.orphan_minutes * 60",
        "True",
        _GUARDS + "orphans_are_given_the_time_that_a_record_may_take",
    ),
    Mutation(
        "warm cursor",
        "decisions/warm.py",
        "Put(moved), Put(runner)",
        "Put(replace(runner, name=f'{runner.name}-{id(runner)}'))",
        _GUARDS + "warm_two_reconcilers_at_once_fill_the_pool_once",
    ),
)
