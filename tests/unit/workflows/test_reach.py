"""Which trigger on which ref reaches which job, environment, runner and secret."""

import pytest
from hypothesis import HealthCheck, given, settings
from pavedpath.workflows import APPROVERS
from pavedpath.workflows.expressions import IS_DEFAULT_BRANCH, Expression, event_is, result_of, secret
from pavedpath.workflows.model import (
    Dispatch,
    EnvironmentFacts,
    Job,
    PullRequest,
    Push,
    Run,
    Surroundings,
    WorkflowRun,
)
from pavedpath.workflows.reach import Reach, approval_of, covers, events, reachability, table

from tests.unit.workflows.examples import Repository, repository, workflow
from tests.unit.workflows.strategies import repositories

STEP = Run(run="x")


def reached(found: Repository, job: str) -> list[str]:
    return [str(each.event) for each in reachability(found.workflows, found.surroundings) if each.job == job]


def one(condition: str | None, *on: object, **jobs: Job) -> Repository:
    job = Job(steps=[STEP], condition=Expression(condition) if condition else None)
    return Repository((workflow("a.yml", list(on), {**jobs, "job": job}),), Surroundings())


def test_a_deployment_is_reached_by_what_is_merged_and_by_tags() -> None:
    found = [each for each in reachability(repository().workflows, repository().surroundings) if each.environment]
    assert [(str(each.event), each.job, each.environment, each.secrets, each.runner) for each in found] == [
        ("push on branch main", "deploy", "dev", ("KUBECONFIG",), "self-hosted, linux, arm64, dev"),
        ("push on tag v*.*.*", "deploy", "dev", ("KUBECONFIG",), "self-hosted, linux, arm64, dev"),
    ]


def test_a_condition_decides_by_event_and_ref() -> None:
    on = [PullRequest(), Push(branches=["main", "develop"])]
    assert reached(one("github.event_name == 'push'", *on), "job") == ["push on branch main", "push on branch develop"]
    assert reached(one(IS_DEFAULT_BRANCH.text, *on), "job") == ["push on branch main"]
    assert reached(one("github.base_ref != ''", *on), "job") == [
        "pull_request into ** from this repository",
        "pull_request into ** from a fork",
    ]
    assert reached(one("github.ref_type == 'tag'", *on), "job") == []


def test_what_cannot_be_known_counts_as_reached() -> None:
    assert len(reached(one("vars.X == 'y' && github.actor == 'z'", Push(branches=["main"])), "job")) == 1


def test_a_push_without_filters_is_of_any_branch_and_tag() -> None:
    assert reached(one(None, Push()), "job") == [
        "push on branch main",
        "push on branch any other",
        "push on tag any other",
    ]
    assert reached(one("github.ref == 'refs/heads/next'", Push()), "job") == ["push on branch next"]
    assert reached(one("github.ref == 'refs/tags/next'", Push()), "job") == ["push on tag next"]


def test_a_job_is_not_reached_if_one_that_it_needs_is_not() -> None:
    never = Job(steps=[STEP], condition=event_is("schedule"))
    needing = Job(steps=[STEP], needs=["never"])
    always = Job(steps=[STEP], needs=["never"], condition=Expression("always()"))
    skipped = Job(
        steps=[STEP], needs=["never"], condition=Expression("always()") & result_of("never").equals("success")
    )
    found = one(None, Push(branches=["main"]), never=never, needing=needing, always=always, skipped=skipped)
    assert [each.job for each in reachability(found.workflows, found.surroundings)] == ["always", "job"]


def test_needs_in_a_circle_have_an_end() -> None:
    circle = Job(steps=[STEP], needs=["job", "circle"])
    assert reached(one(None, Push(branches=["main"]), circle=circle), "circle")


def test_a_run_by_hand_goes_as_far_as_the_policy() -> None:
    found = repository().with_workflow("deploy.yml", on=[Dispatch()])
    assert reached(found, "deploy") == ["workflow_dispatch on branch main", "workflow_dispatch on tag v*"]


def test_a_run_after_another_is_on_the_default_branch() -> None:
    assert reached(one(None, WorkflowRun(workflows=["x"])), "job") == ["workflow_run on branch main"]


def test_secrets_are_those_of_the_steps_that_may_run() -> None:
    pushed = Run(run="x", env={"A": secret("A")}, condition=event_is("push"))
    job = Job(steps=[pushed, Run(run="x", env={"B": secret("B"), "T": secret("GITHUB_TOKEN")})])
    found = reachability([workflow("a.yml", [PullRequest(), Push(branches=["main"])], {"job": job})], Surroundings())
    assert [each.secrets for each in found] == [("B",), ("B",), ("A", "B")]


def test_approvals_are_read_from_the_environment() -> None:
    assert approval_of(EnvironmentFacts()) == ""
    assert approval_of(EnvironmentFacts(reviewed=True)) == "reviewers"
    assert approval_of(EnvironmentFacts(branches=["deploy/prod"])) == "pull request into deploy/prod"
    by_hand = approval_of(EnvironmentFacts(branches=["deploy/prod"]), "workflow_dispatch")
    assert by_hand == "none: any writer, on deploy/prod only"
    assert approval_of(EnvironmentFacts(branches=["main", "deploy/prod"])) == ""
    assert approval_of(EnvironmentFacts(variables=[APPROVERS])) == "started by an approver"


def test_the_table_has_what_reaches_an_environment_or_a_secret() -> None:
    text = table(reachability(repository().workflows, repository().surroundings))
    assert text.split("\n") == [
        "| workflow | started by | job | environment | runner | secrets | approval |",
        "|---|---|---|---|---|---|---|",
        "| deploy.yml | push on branch main | deploy | dev | self-hosted, linux, arm64, dev | KUBECONFIG |  |",
        "| deploy.yml | push on tag v*.*.* | deploy | dev | self-hosted, linux, arm64, dev | KUBECONFIG |  |",
        "",
    ]


@given(repositories())
@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
def test_no_fork_ever_reaches_anything_in_a_right_repository(found: Repository) -> None:
    reaches = reachability(found.workflows, found.surroundings)
    assert [each for each in reaches if each.event.fork and (each.environment or each.secrets)] == []
    assert {each.environment for each in reaches} >= set(found.surroundings.environments)
    assert all(isinstance(each, Reach) for each in reaches)
    assert all(events(workflow, found.surroundings) for workflow in found.workflows)


@pytest.mark.parametrize(
    ("policy", "pattern", "covered"),
    [
        ("main", "main", True),
        ("v*", "v*.*.*", True),
        ("v*", "v[0-9]+.[0-9]+", True),
        ("v*.*", "v*", False),
        ("v?", "v*", False),
        ("v?*", "v*", False),
        ("v?", "v?", True),
        # A star stops at a slash: such a tag or branch would be outside of the policy.
        ("v*", "v**", False),
        ("v*", "v/1", False),
        ("release/*", "release/**", False),
        ("release/**/*", "release/**", True),
        ("release/*", "release/*", True),
        ("**", "anything/at/all", True),
        ("[", "x", False),
        ("refs/pull/*/merge", "refs/pull/1/merge", True),
    ],
)
def test_a_policy_covers_a_pattern_only_if_it_takes_all_of_it(policy: str, pattern: str, covered: bool) -> None:
    assert covers(policy, pattern) is covered


def test_a_tag_beside_the_protected_ones_is_found() -> None:
    slashes = repository().with_workflow("deploy.yml", on=[Push(branches=["main"], tags=["v**"])])
    found = slashes.with_environment("dev", tags=["v**"]).problems()
    assert [each for each in found if "whoever may write to the repository can make such a tag" in each]
