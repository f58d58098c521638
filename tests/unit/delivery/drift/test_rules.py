"""Settings on GitHub against the policy."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.drift.hub import Unread
from pavedpath_delivery.drift.model import Severity, Unchecked
from pavedpath_delivery.drift.rules import Policy, audit, unmanaged

from tests.unit.delivery.drift.repository import NAME, NOW, documents, environment, rules, secret

Change = Callable[[dict[str, Any]], Any]


def changed(change: Change) -> dict[str, Any]:
    known = copy.deepcopy(documents())
    change(known)
    return known


def uses(text: str) -> Change:
    return lambda d: d["workflows"].update({".github/workflows/more.yml": text})


def protect(number: int, **rule: Any) -> Change:
    return lambda d: d["environments"][number]["protection_rules"].append(rule)


STEP = "jobs: {a: {steps: [{run: x, env: {A: '${{ %s }}'}}]}}"


def test_what_is_as_it_should_be_has_no_findings() -> None:
    found = audit(NAME, documents(), Policy(), NOW)
    assert found.findings == ()
    assert found.unchecked == ()


CASES: list[tuple[str, str, Change]] = [
    ("pull-request", "branch main", lambda d: d["rules"].pop(0)),
    ("approvals", "branch main", lambda d: d.update(rules=rules(0))),
    ("required-check", "branch main", lambda d: d["rules"].pop(1)),
    ("check-app", "branch main", lambda d: d["rules"][1]["parameters"]["required_status_checks"][0].clear()),
    ("force-push", "branch main", lambda d: d["rules"].pop(2)),
    ("branch-deletion", "branch main", lambda d: d["rules"].pop(3)),
    ("environment-open", "environment dev", lambda d: d["environments"][0].update(deployment_branch_policy=None)),
    ("environment-open", "environment dev", lambda d: d["policies/dev"][0].update(name="**/*")),
    (
        "environment-approval",
        "environment prod",
        lambda d: (d["policies/prod"][0].update(name="main"), d.update({"deploy branches": []})),
    ),
    (
        "environment-approval",
        "environment prod",
        lambda d: d["policies/prod"].append({"name": "v*", "type": "tag"}),
    ),
    ("environment-approval", "environment prod", lambda d: d.update({"rules/deploy/prod": rules(0)})),
    ("environment-approval", "environment prod", lambda d: d["policies/prod"].append({"name": "release/*"})),
    ("self-review", "environment dev", protect(0, type="required_reviewers", reviewers=[{"type": "User"}])),
    ("wait-timer", "environment dev", protect(0, type="wait_timer", wait_timer=300)),
    ("secret-age", "secret TOKEN", lambda d: d["secrets"][0].update(updated_at="2026-01-01T00:00:00Z")),
    ("secret-unused", "secret OLD of environment dev", lambda d: d["secrets/dev"].append(secret("OLD"))),
    ("secret-missing", ".github/workflows/more.yml", uses(STEP % "secrets.NOPE")),
    ("secret-missing", ".github/workflows/more.yml", uses(STEP % "secrets.KUBECONFIG")),  # prod's alone
    ("action-unpinned", ".github/workflows/more.yml", uses("jobs: {a: {steps: [{uses: a/b@v4}]}}")),
    ("action-unpinned", ".github/workflows/more.yml", uses("jobs: {a: {uses: a/b/.github/workflows/c.yml@main}}")),
    ("actions-allowed", "actions", lambda d: d["actions"].update(allowed_actions="all", sha_pinning_required=None)),
    ("actions-pinning", "actions", lambda d: d["actions"].update(sha_pinning_required=False)),
    ("workflow-token", "workflow token", lambda d: d["token"].update(default_workflow_permissions="write")),
    ("workflow-approves", "workflow token", lambda d: d["token"].update(can_approve_pull_request_reviews=True)),
    ("outside-collaborator", "collaborator eve", lambda d: d["outside"].append({"login": "eve", "role_name": "x"})),
    ("deploy-key-writes", "deploy key mirror", lambda d: d["keys"][0].update(read_only=False)),
    ("webhook-secret", "webhook 2 to hooks.test", lambda d: d["hooks"][0]["config"].pop("secret")),
    (
        "webhook-http",
        "webhook 2 to hooks.test",
        lambda d: d["hooks"][0]["config"].update(url="http://hooks.test/y"),
    ),
    ("webhook-tls", "webhook 2 to hooks.test", lambda d: d["hooks"][0]["config"].update(insecure_ssl="1")),
    ("vulnerability-alerts", "vulnerability alerts", lambda d: d.update(alerts=False)),
    ("stale-branch", "branch deploy/qa", lambda d: d["deploy branches"][0].update(name="deploy/qa")),
    (
        "stale-branch",
        "branch deploy/prod",
        lambda d: d["deploy branches"][0].update(date="2026-01-01T00:00:00Z"),
    ),
]


@pytest.mark.parametrize(("rule", "where", "change"), CASES)
def test_one_wrong_setting_is_one_finding(rule: str, where: str, change: Change) -> None:
    found = audit(NAME, changed(change), Policy(), NOW).findings
    assert [(each.rule, each.where) for each in found] == [(rule, f"{NAME}: {where}")]
    assert all((each.found, each.wanted, each.why, each.fix) for each in found)


def test_any_action_may_run_where_it_must_be_pinned() -> None:
    as_generated = changed(lambda d: d["actions"].update(allowed_actions="all", sha_pinning_required=True))
    assert audit(NAME, as_generated, Policy(), NOW).findings == ()
    neither = changed(lambda d: d["actions"].update(allowed_actions="all", sha_pinning_required=False))
    assert [each.rule for each in audit(NAME, neither, Policy(), NOW).findings] == [
        "actions-allowed",
        "actions-pinning",
    ]


REVIEWED: list[Change] = [
    protect(1, type="required_reviewers", reviewers=[{"type": "User"}], prevent_self_review=True),
    lambda d: (
        d["environments"].append(
            environment(
                "prod_approve",
                protection_rules=[
                    {"type": "required_reviewers", "reviewers": [{"type": "User"}], "prevent_self_review": True}
                ],
            )
        )
        or d.update({"policies/prod_approve": [], "secrets/prod_approve": []})
    ),
]


@pytest.mark.parametrize("change", REVIEWED)
def test_reviewers_stand_in_for_the_approval_branch(change: Change) -> None:
    def both(d: dict[str, Any]) -> None:
        change(d)
        d["policies/prod"][0]["name"] = "main"
        d["deploy branches"] = []

    assert audit(NAME, changed(both), Policy(), NOW).findings == ()


@given(st.sets(st.sampled_from(sorted(documents())), min_size=1))
def test_what_cannot_be_read_is_told_and_never_taken_for_wrong_or_right(unread: set[str]) -> None:
    known = {name: Unread("403: Forbidden") if name in unread else found for name, found in documents().items()}
    found = audit(NAME, known, Policy(), NOW)
    assert found.findings == ()
    if "repository" in unread:
        assert found.unchecked == (Unchecked(NAME, "403: Forbidden", whole=True),)
    else:
        told = {each.where.removeprefix(f"{NAME}: ") for each in found.unchecked}
        # What is only asked for because of another document goes with that one.
        implied = {"rules/main"}
        if "policies/prod" in unread:
            implied.add("rules/deploy/prod")
        if "environments" in unread:
            implied |= {each for each in unread if "/" in each}
        assert unread - implied <= told


def test_secrets_that_are_handed_on_without_a_name_make_unused_ones_unknown() -> None:
    for text in ("jobs: {a: {uses: ./x.yml, secrets: inherit}}", STEP % "toJSON(secrets)"):
        known = changed(lambda d, text=text: (uses(text)(d), d["secrets"].append(secret("OLD"))))
        found = audit(NAME, known, Policy(), NOW)
        assert found.findings == ()
        assert [each.where for each in found.unchecked] == [f"{NAME}: unused secrets"]


def test_a_broken_workflow_is_not_checked_and_proves_no_secret_unused() -> None:
    found = audit(NAME, changed(lambda d: (uses("a: [")(d), d["secrets"].append(secret("OLD")))), Policy(), NOW)
    assert found.findings == ()
    assert [each.where for each in found.unchecked] == [f"{NAME}: .github/workflows/more.yml"]


def test_who_may_bypass_is_listed() -> None:
    actor = {"actor_id": 5, "actor_type": "Team", "bypass_mode": "always"}
    found = audit(NAME, changed(lambda d: d["rulesets"][0].update(bypass_actors=[actor])), Policy(), NOW)
    assert [each.text for each in found.notes] == ["Team 5 may bypass it (always)"]
    hidden = audit(NAME, changed(lambda d: d["rulesets"][0].pop("bypass_actors")), Policy(), NOW)
    assert [each.where for each in hidden.unchecked] == [f"{NAME}: ruleset main"]


def test_the_path_of_a_webhook_is_never_told() -> None:
    url = "http://hooks.test/services/T0/SECRET"
    found = audit(NAME, changed(lambda d: d["hooks"][0]["config"].update(url=url)), Policy(), NOW).findings
    assert found
    assert "SECRET" not in repr(found)


def test_the_policy_decides() -> None:
    known = documents()
    strict = replace(Policy(), approvals=2, guarded=("dev",))
    rules_found = {each.rule for each in audit(NAME, known, strict, NOW).findings}
    assert rules_found == {"approvals", "environment-approval"}


def test_repositories_that_no_stack_manages_are_named() -> None:
    listed: list[Mapping[str, Any]] = [{"name": name} for name in ("b", "a", "managed")]
    listed.append({"name": "old", "archived": True})
    found = unmanaged("acme", listed, frozenset({"managed"}))
    assert [each.where for each in found] == ["acme/a", "acme/b"]
    assert {each.severity for each in found} == {Severity.LOW}
