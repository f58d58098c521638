import fnmatch
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pavedpath import Repository, rulesets
from pavedpath.rulesets import (
    ActorKind,
    BypassActor,
    BypassMode,
    BypassRole,
    MergeMethod,
    MergeQueue,
    Protection,
    RequiredCheck,
    Ruleset,
)
from pavedpath.workflows import GATE, ChecksWorkflow

IDS = st.integers(1, 10**9)
MODES = st.sampled_from(BypassMode)
ACTORS = st.one_of(
    st.builds(BypassActor, st.just(ActorKind.ORGANIZATION_ADMIN), mode=MODES),
    st.builds(BypassActor, st.sampled_from([ActorKind.TEAM, ActorKind.INTEGRATION]), id=IDS, mode=MODES),
    st.builds(BypassActor, st.just(ActorKind.REPOSITORY_ROLE), role=st.sampled_from(BypassRole), mode=MODES),
)
BYPASS = st.lists(ACTORS, max_size=4, unique=True)
CHECKS = st.lists(
    st.builds(RequiredCheck, st.text("abc-/ ", min_size=1, max_size=6), IDS), max_size=4, unique_by=lambda c: c.context
)
PROTECTION = st.builds(
    Protection,
    *[st.booleans()] * 7,
    required_checks=CHECKS,
    merge_queue=st.none()
    | st.builds(MergeQueue, st.sampled_from(MergeMethod), st.integers(1, 100), st.integers(1, 360)),
)
METHODS = st.lists(st.sampled_from(MergeMethod), min_size=1, unique=True)
ACTOR_TYPES = {"OrganizationAdmin", "Team", "Integration", "RepositoryRole"}


def assert_exact(rendered: dict[str, Any], named: list[BypassActor]) -> None:
    actors = rendered["bypass_actors"]
    assert len(actors) == len(named)
    for actor, meant in zip(actors, named, strict=True):
        assert actor["actor_type"].lower() == meant.kind.replace("_", "")
        assert isinstance(actor["actor_id"], int)
        assert actor["actor_id"] > 0
        assert meant.id in (None, actor["actor_id"])
        assert actor["bypass_mode"] == meant.mode


@given(st.integers(0, 10), PROTECTION, METHODS, BYPASS)
def test_whatever_is_asked_for_the_default_branch_is_protected(
    approvals: int, protection: Protection, methods: list[MergeMethod], bypass: list[BypassActor]
) -> None:
    assume(not list(protection.problems("p")))
    assume(not (protection.linear_history and methods == [MergeMethod.MERGE]))
    rendered = rulesets.default_branch(approvals, protection, methods, bypass).render()
    rules = rendered["rules"]
    assert rules["deletion"] is True
    assert rules["non_fast_forward"] is True
    assert rules["pull_request"]["required_approving_review_count"] == approvals
    assert rules["pull_request"]["allowed_merge_methods"]
    assert not (protection.linear_history and "merge" in rules["pull_request"]["allowed_merge_methods"])
    contexts = [check["context"] for check in rules["required_status_checks"]["required_checks"]]
    assert contexts == [GATE, *(check.context for check in protection.required_checks)]
    assert all(check["integration_id"] > 0 for check in rules["required_status_checks"]["required_checks"])
    # The gate is a job of the very workflow that the repository carries.
    assert f"\n  {GATE}:\n" in ChecksWorkflow({"test": "true"}).render()
    assert_exact(rendered, bypass)
    assert rendered["enforcement"] == "active"


@given(st.from_regex(r"[a-z]([a-z-]{0,10}[a-z])?", fullmatch=True), st.integers(1, 10), BYPASS)
def test_an_approval_branch_counts_its_approvals(environment: str, approvals: int, bypass: list[BypassActor]) -> None:
    rendered = rulesets.approval(environment, approvals, bypass).render()
    assert rendered["conditions"]["ref_name"]["includes"] == [f"refs/heads/deploy/{environment}"]
    pull = rendered["rules"]["pull_request"]
    assert pull["required_approving_review_count"] == approvals
    assert pull["require_last_push_approval"] is True
    assert pull["dismiss_stale_reviews_on_push"] is True
    assert pull["allowed_merge_methods"] == ["merge"]
    # Up to date can never be said of a branch that has merge commits of its own.
    assert rendered["rules"]["required_status_checks"]["strict_required_status_checks_policy"] is False
    assert_exact(rendered, bypass)


@given(st.lists(st.sampled_from(["v*", "release-*", "model-v*"]), min_size=1, unique=True), BYPASS)
def test_nobody_moves_a_protected_tag(patterns: list[str], creators: list[BypassActor]) -> None:
    immutable, creation = (each.render() for each in rulesets.tags(patterns, creators))
    assert immutable["bypass_actors"] == []
    assert {"deletion", "update"} <= set(immutable["rules"])
    assert creation["rules"] == {"creation": True}
    assert_exact(creation, creators)
    for rendered in (immutable, creation):
        assert rendered["target"] == "tag"
        assert all(each.startswith("refs/tags/") for each in rendered["conditions"]["ref_name"]["includes"])


def test_the_ruleset_of_the_first_release_is_rendered_as_it_was() -> None:
    assert rulesets.default_branch(1, Protection(), [MergeMethod.SQUASH], [rulesets.ADMINISTRATORS]).render() == {
        "name": "default-branch",
        "target": "branch",
        "enforcement": "active",
        "conditions": {"ref_name": {"includes": ["~DEFAULT_BRANCH"], "excludes": []}},
        "rules": {
            "deletion": True,
            "non_fast_forward": True,
            "pull_request": {
                "required_approving_review_count": 1,
                "dismiss_stale_reviews_on_push": True,
                "required_review_thread_resolution": True,
                "allowed_merge_methods": ["squash"],
            },
            "required_status_checks": {
                "required_checks": [{"context": "gate", "integration_id": 15368}],
                "strict_required_status_checks_policy": True,
            },
        },
        "bypass_actors": [{"actor_id": 1, "actor_type": "OrganizationAdmin", "bypass_mode": "always"}],
    }


@pytest.mark.parametrize(
    ("actor", "argument"),
    [
        ({"kind": "team"}, "bypass[1].id"),
        ({"kind": "team", "id": 0}, "bypass[1].id"),
        ({"kind": "organization_admin", "id": 1}, "bypass[1].id"),
        ({"kind": "repository_role"}, "bypass[1].role"),
        ({"kind": "integration", "id": 4, "role": "admin"}, "bypass[1].role"),
        ({"kind": "*"}, "bypass[1].kind"),
        ({"kind": "team", "id": "*"}, "bypass[1].id"),
        ({"kind": "repository_role", "role": "read"}, "bypass[1].role"),
    ],
)
def test_a_bypass_names_exactly_one_actor(actor: dict[str, Any], argument: str) -> None:
    given_actors = [{"kind": "organization_admin"}, actor]
    problems = Repository.check({"name": "shop", "checks": {"test": "true"}, "bypass": given_actors})
    assert [problem.argument for problem in problems] == [argument]


@pytest.mark.parametrize("bypass", [[], [{"kind": "organization_admin", "mode": "pull_request"}]])
def test_a_ruleset_that_would_lock_the_deployment_out_is_refused(bypass: list[Any]) -> None:
    (problem,) = Repository.check({"name": "shop", "checks": {"test": "true"}, "bypass": bypass})
    assert problem.argument == "bypass"
    assert "managed files" in problem.why


def test_names_of_rulesets_and_their_refs_are_unique() -> None:
    made: list[Ruleset] = [
        rulesets.default_branch(1, Protection(), [MergeMethod.SQUASH], ()),
        rulesets.approval("prod", 2, ()),
        *rulesets.tags(["v*"], ()),
    ]
    assert len({each.name for each in made}) == len(made)
    assert not fnmatch.fnmatch("refs/heads/deploy/prod-eu", made[1].includes[0])
