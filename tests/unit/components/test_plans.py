from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath import Repository, RepositoryEnvironment
from pavedpath.plans import REQUIREMENTS, Approval, Feature, Plan, Visibility, Wanted, unavailable

SHOP: dict[str, Any] = {"name": "shop", "checks": {"test": "true"}}
PROD: dict[str, Any] = {"repository": "shop", "environment": "prod"}


def test_every_feature_has_its_row_with_a_source_and_an_alternative() -> None:
    assert set(REQUIREMENTS) == set(Feature)
    assert all(row.source and row.alternative for row in REQUIREMENTS.values())


@given(st.sampled_from(Plan), st.sampled_from(Visibility), st.sampled_from(Feature))
def test_a_larger_plan_never_has_less(plan: Plan, visibility: Visibility, feature: Feature) -> None:
    order = list(Plan)
    wanted = Wanted("it", True, feature)
    if not list(unavailable(plan, visibility, wanted)):
        for larger in order[order.index(plan) :]:
            assert not list(unavailable(larger, visibility, wanted))


@given(st.sampled_from(Visibility), st.lists(st.sampled_from(Feature), max_size=5))
def test_without_a_plan_nothing_is_checked(visibility: Visibility, features: list[Feature]) -> None:
    assert not list(unavailable(None, visibility, *(Wanted("it", True, each) for each in features)))


@pytest.mark.parametrize(
    ("plan", "more", "argument", "needs"),
    [
        ("free", {}, "visibility", "GitHub Team"),
        ("team", {"visibility": "internal"}, "visibility", "GitHub Enterprise"),
        ("team", {"protection": {"merge_queue": {}}}, "protection.merge_queue", "GitHub Enterprise"),
        ("free", {"visibility": "public"}, None, ""),
        ("free", {"visibility": "public", "security": {"secret_scanning": True}}, None, ""),
        ("team", {"security": {"secret_scanning": True}}, None, ""),
        ("enterprise", {"visibility": "internal", "protection": {"merge_queue": {}}}, None, ""),
    ],
)
def test_repositories(plan: str, more: dict[str, Any], argument: str | None, needs: str) -> None:
    problems = Repository.check({**SHOP, "plan": plan, **more})
    assert [problem.argument for problem in problems] == ([argument] if argument else [])
    assert all(needs in problem.why and plan.title() in problem.why for problem in problems)
    assert all("without a larger plan" in problem.fix for problem in problems)


@pytest.mark.parametrize(
    ("plan", "more", "arguments"),
    [
        ("team", {"reviewer_teams": ["ops"]}, ["approval"]),
        ("team", {"wait_timer_minutes": 5}, ["wait_timer_minutes"]),
        ("team", {"wait_timer_minutes": 5, "reviewer_users": ["ada"]}, ["approval", "wait_timer_minutes"]),
        ("team", {"wait_timer_minutes": 5, "reviewer_users": ["ada"], "visibility": "public"}, []),
        ("enterprise", {"wait_timer_minutes": 5, "reviewer_users": ["ada"]}, []),
        ("free", {}, ["environment"]),
        ("free", {"visibility": "public", "reviewer_users": ["ada"]}, []),
        ("team", {"approval": "branch"}, []),
        ("team", {"approval": "dispatch", "approvers": ["ada"]}, []),
    ],
)
def test_environments(plan: str, more: dict[str, Any], arguments: list[str]) -> None:
    assert [each.argument for each in RepositoryEnvironment.check({**PROD, "plan": plan, **more})] == arguments


def test_what_must_be_bought_besides_the_plan_is_named() -> None:
    (problem,) = unavailable(Plan.FREE, Visibility.PRIVATE, Wanted("it", True, Feature.SECRET_SCANNING))
    assert "GitHub Secret Protection" in problem.why
    assert "trufflehog" in problem.fix


def test_every_approval_but_reviewers_works_on_team() -> None:
    more: dict[Approval, dict[str, Any]] = {
        Approval.NONE: {},
        Approval.BRANCH: {},
        Approval.DISPATCH: {"approvers": ["ada"]},
        Approval.REVIEWERS: {"reviewer_teams": ["ops"]},
    }
    refused = {
        approval
        for approval in Approval
        if RepositoryEnvironment.check({**PROD, "plan": "team", "approval": approval, **more[approval]})
    }
    assert refused == {Approval.REVIEWERS}
