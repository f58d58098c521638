import fnmatch
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_sandbox.github.rules import (
    Actor,
    Check,
    Merge,
    NewCommit,
    Target,
    Update,
    applies,
    bypass_mode,
    glob_matches,
    violations,
)

MAIN = Target(1, "app", "refs/heads/main", "main")
MOVED = Update(created=False, deleted=False, forced=False, commits=(), ref="refs/heads/main")


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("refs/heads/main", "refs/heads/main", True),
        ("refs/heads/*", "refs/heads/main", True),
        ("refs/heads/*", "refs/heads/a/b", False),
        ("refs/heads/**/*", "refs/heads/a/b", True),
        ("refs/heads/**/*", "refs/heads/a", True),
        ("refs/heads/release-?", "refs/heads/release-1", True),
        ("refs/heads/v[0-9].x", "refs/heads/v1.x", True),
        ("refs/heads/v[!0-9]", "refs/heads/v1", False),
        ("refs/heads/a.b", "refs/heads/aXb", False),
    ],
)
def test_patterns(pattern: str, text: str, matches: bool) -> None:
    assert glob_matches(pattern, text) is matches


@given(st.text("ab*?", max_size=8), st.text("ab", max_size=8))
def test_without_slashes_patterns_are_those_of_fnmatch(pattern: str, text: str) -> None:
    assert glob_matches(pattern, text) == fnmatch.fnmatchcase(text, pattern)


def ruleset(**more: Any) -> dict[str, Any]:
    return {
        "target": "branch",
        "enforcement": "active",
        "bypass_actors": [],
        "conditions": {"ref_name": {"include": ["~DEFAULT_BRANCH"], "exclude": []}},
        **more,
    }


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, True),
        ({"enforcement": "disabled"}, False),
        ({"enforcement": "evaluate"}, False),
        ({"target": "tag"}, False),
        ({"conditions": {"ref_name": {"include": ["~ALL"], "exclude": ["refs/heads/main"]}}}, False),
        ({"conditions": {"ref_name": {"include": ["~ALL"]}, "repository_name": {"include": ["A*"]}}}, True),
        ({"conditions": {"ref_name": {"include": ["~ALL"]}, "repository_name": {"include": ["b*"]}}}, False),
        ({"conditions": {"ref_name": {"include": ["~ALL"]}, "repository_id": {"repository_ids": [1]}}}, True),
        ({"conditions": {"ref_name": {"include": ["~ALL"]}, "repository_id": {"repository_ids": [2]}}}, False),
    ],
)
def test_where_a_ruleset_is_in_force(more: dict[str, Any], expected: bool) -> None:
    assert applies(ruleset(**more), MAIN) is expected


@pytest.mark.parametrize(
    ("entry", "mode"),
    [
        ({"actor_type": "OrganizationAdmin", "actor_id": 1}, None),
        ({"actor_type": "Team", "actor_id": 7, "bypass_mode": "pull_request"}, "pull_request"),
        ({"actor_type": "User", "actor_id": 3, "bypass_mode": "exempt"}, "exempt"),
        ({"actor_type": "RepositoryRole", "actor_id": 4}, "always"),
        ({"actor_type": "RepositoryRole", "actor_id": 5}, None),
        ({"actor_type": "Integration", "actor_id": 9}, None),
    ],
)
def test_who_bypasses(entry: dict[str, Any], mode: str | None) -> None:
    actor = Actor(user=3, owner=False, role="push", teams=frozenset({7}))
    assert bypass_mode(ruleset(bypass_actors=[entry]), actor) == mode


def commit(**more: Any) -> NewCommit:
    plain = NewCommit(message="m", author_email="a@x", committer_email="c@x", merge=False, signed=True)
    return replace(plain, **more)


@pytest.mark.parametrize(
    ("rule", "update", "blocked"),
    [
        ({"type": "creation"}, {"created": True}, True),
        ({"type": "update"}, {}, True),
        ({"type": "update"}, {"created": True}, False),
        ({"type": "deletion"}, {"deleted": True}, True),
        ({"type": "deletion"}, {}, False),
        ({"type": "non_fast_forward"}, {"forced": True}, True),
        ({"type": "non_fast_forward"}, {}, False),
        ({"type": "pull_request"}, {}, True),
        ({"type": "pull_request"}, {"created": True}, False),
        ({"type": "required_linear_history"}, {"commits": (commit(merge=True),)}, True),
        ({"type": "required_signatures"}, {"commits": (commit(signed=False),)}, True),
        (
            {"type": "commit_message_pattern", "parameters": {"operator": "starts_with", "pattern": "OPS-"}},
            {"commits": (commit(message="OPS-1"),)},
            False,
        ),
        (
            {"type": "commit_message_pattern", "parameters": {"operator": "regex", "pattern": "^fix", "negate": True}},
            {"commits": (commit(message="fix"),)},
            True,
        ),
        (
            {"type": "branch_name_pattern", "parameters": {"operator": "ends_with", "pattern": "-ok"}},
            {"created": True},
            True,
        ),
        ({"type": "merge_queue"}, {}, True),
    ],
)
def test_what_a_rule_blocks(rule: dict[str, Any], update: dict[str, Any], blocked: bool) -> None:
    assert bool(violations([rule], replace(MOVED, **update))) is blocked


@given(st.lists(st.text(min_size=1, max_size=5), max_size=4), st.booleans(), st.booleans())
def test_required_checks_are_counted(checks: list[str], created: bool, excused: bool) -> None:
    contexts = [{"context": one} for one in checks]
    parameters = {"required_status_checks": contexts, "do_not_enforce_on_create": excused}
    change = Update(created=created, deleted=False, forced=False, commits=(), ref="refs/heads/main")
    found = violations([{"type": "required_status_checks", "parameters": parameters}], change)
    assert bool(found) == (bool(checks) and not (created and excused))
    if len(checks) > 1 and found:
        assert found == [f"{len(checks)} of {len(checks)} required status checks are expected."]


CHECKS = st.builds(
    Check, st.sampled_from("ab"), st.sampled_from(["success", "pending", "failure"]), st.sampled_from([None, 1, 2])
)


@given(st.lists(CHECKS), st.sampled_from([None, 1, 2]))
def test_a_required_check_counts_only_from_its_app(checks: list[Check], app: int | None) -> None:
    wanted = {"context": "a"} | ({} if app is None else {"integration_id": app})
    rule = {"type": "required_status_checks", "parameters": {"required_status_checks": [wanted]}}
    counted = [one.state for one in checks if one.context == "a" and app in (None, one.app)]
    allowed = bool(counted) and set(counted) == {"success"}
    assert (violations([rule], replace(MOVED, checks=tuple(checks))) == []) is allowed


@given(st.integers(0, 6), st.integers(0, 6), st.booleans())
def test_approvals_are_enough_or_they_are_not(given_: int, needed: int, changes: bool) -> None:
    rule = {"type": "pull_request", "parameters": {"required_approving_review_count": needed}}
    merge = Merge("merge", given_, changes, unowned=("x",), last_push_approved=False, behind=True)
    assert (violations([rule], replace(MOVED, merge=merge)) == []) is (given_ >= needed and not changes)
