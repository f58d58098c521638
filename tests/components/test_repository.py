import itertools
import json
from typing import Any

import pulumi
import pytest
import yaml
from pavedpath import Approval, InvalidArgumentsError, Permission, Repository, RepositoryEnvironment, Team, Updates
from pavedpath.workflows import GATE
from pavedpath.workflows.catalogue import python_service
from pavedpath.workflows.service import Target

from tests.mocks import SECRET, run

RULESET = "github:index/repositoryRuleset:RepositoryRuleset"


def test_the_ruleset_comes_after_the_files_that_it_would_block() -> None:
    graph = run(lambda: Repository("shop", {"name": "shop", "checks": {"test": "make test"}}))
    file = graph.one("github:index/repositoryFile:RepositoryFile")
    assert file.urn in graph.one(RULESET).depends_on


def test_the_required_check_is_a_job_of_the_workflow_that_always_reports() -> None:
    graph = run(lambda: Repository("shop", {"name": "shop", "checks": {"lint": "make lint", "test": "make test"}}))
    required = graph.one(RULESET).inputs["rules"]["requiredStatusChecks"]
    workflow = yaml.safe_load(graph.one("github:index/repositoryFile:RepositoryFile").inputs["content"])
    assert [check["context"] for check in required["requiredChecks"]] == [GATE]
    assert workflow["jobs"][GATE]["if"] == "always()"
    assert workflow["jobs"][GATE]["needs"] == ["lint", "test"]
    assert required["strictRequiredStatusChecksPolicy"] is True


@pytest.mark.parametrize("name", ["a/b", "..", "x.git", "x.wiki", "", "n" * 101, "ü"])
def test_a_name_that_github_refuses(name: str) -> None:
    with pytest.raises(InvalidArgumentsError, match="GitHub refuses this name"):
        run(lambda: Repository("shop", {"name": name, "checks": {"test": "true"}}))


def test_every_bad_name_of_an_environment_is_reported() -> None:
    with pytest.raises(InvalidArgumentsError) as caught:
        run(
            lambda: RepositoryEnvironment(
                "shop",
                {
                    "repository": "shop",
                    "environment": "dev",
                    "variables": {"GITHUB_X": "1", "1ST": "2"},
                    "secrets": {"A-B": "3"},
                    "branches": [],
                    "wait_timer_minutes": 43_201,
                },
            )
        )
    assert [problem.argument for problem in caught.value.problems] == [
        "variables",
        "variables",
        "secrets",
        "branches",
        "wait_timer_minutes",
    ]


def test_policies_wait_for_their_environment() -> None:
    graph = run(
        lambda: RepositoryEnvironment("shop", {"repository": "shop", "environment": "dev", "branches": ["main", "r/*"]})
    )
    environment = graph.one("github:index/repositoryEnvironment:RepositoryEnvironment")
    policies = graph.of_type("github:index/repositoryEnvironmentDeploymentPolicy:RepositoryEnvironmentDeploymentPolicy")
    assert len(policies) == 2
    assert all(environment.urn in policy.depends_on for policy in policies)


FILE = "github:index/repositoryFile:RepositoryFile"
POLICY = "github:index/repositoryEnvironmentDeploymentPolicy:RepositoryEnvironmentDeploymentPolicy"
ENVIRONMENT = "github:index/repositoryEnvironment:RepositoryEnvironment"


def test_a_delivery_brings_its_own_required_check() -> None:
    service = python_service(
        "orders",
        images=["api"],
        chart="charts/orders",
        environments=[Target(environment="dev"), Target(environment="prod", approval=Approval.BRANCH)],
    )
    args: Any = {"name": "orders", "tag_creators": [{"kind": "organization_admin"}], **service.repository}
    graph = run(lambda: Repository("orders", args))
    written = {each.inputs["file"]: each.inputs["content"] for each in graph.of_type(FILE)}
    assert written == service.files
    for ruleset in (graph.one(RULESET, "orders"), graph.one(RULESET, "orders-deploy/prod")):
        required = ruleset.inputs["rules"]["requiredStatusChecks"]["requiredChecks"]
        assert [check["context"] for check in required] == [GATE]


def test_a_workflow_that_comes_later_is_not_read() -> None:
    def program() -> None:
        file = {".github/workflows/ci.yml": pulumi.Output.from_input("later")}
        Repository("shop", {"name": "shop", "files": file, "required_checks": ["tests"]})

    required = run(program).one(RULESET).inputs["rules"]["requiredStatusChecks"]
    assert [check["context"] for check in required["requiredChecks"]] == ["tests"]


def test_files_are_written_one_after_another_and_before_every_ruleset() -> None:
    graph = run(
        lambda: Repository(
            "shop",
            {
                "name": "shop",
                "checks": {"test": "true"},
                "files": {"a": "1", "b": pulumi.Output.from_input("2")},
                "updates": Updates.RENOVATE,
                "approval_branches": {"prod": 2},
            },
        )
    )
    files = graph.of_type(FILE)
    assert [each.inputs["file"] for each in files] == [".github/workflows/checks.yml", "renovate.json", "a", "b"]
    repository = graph.one("github:index/repository:Repository").urn
    for before, after in itertools.pairwise(files):
        assert set(after.depends_on) == {before.urn, repository}
    branch = graph.one("github:index/branch:Branch")
    assert files[-1].urn in branch.depends_on
    for ruleset in graph.of_type(RULESET):
        assert {each.urn for each in [*files, branch]} <= set(ruleset.depends_on)


@pytest.mark.parametrize("updates", [Updates.RENOVATE, Updates.DEPENDABOT])
def test_updates_leave_alone_what_the_next_deployment_would_overwrite(updates: Updates) -> None:
    files = {"Makefile": "x", ".github/workflows/deploy.yml": "y"}
    args: Any = {"name": "shop", "checks": {"test": "true"}, "files": files, "updates": updates}
    written = {
        each.inputs["file"]: each.inputs["content"] for each in run(lambda: Repository("shop", args)).of_type(FILE)
    }
    managed = [".github/workflows/checks.yml", "Makefile", ".github/workflows/deploy.yml"]
    if updates is Updates.RENOVATE:
        last = json.loads(written["renovate.json"])["packageRules"][-1]
        assert last == {"matchFileNames": managed, "enabled": False}
    else:
        for each in yaml.safe_load(written[".github/dependabot.yml"])["updates"]:
            assert each["exclude-paths"] == managed


def test_an_approval_branch_gets_the_only_merge_that_keeps_its_commits() -> None:
    graph = run(
        lambda: Repository("shop", {"name": "shop", "checks": {"test": "true"}, "approval_branches": {"prod": 2}})
    )
    assert graph.one("github:index/repository:Repository").inputs["allowMergeCommit"] is True
    assert graph.one(RULESET, "shop").inputs["rules"]["pullRequest"]["allowedMergeMethods"] == ["squash"]
    guarded = graph.one(RULESET, "shop-deploy/prod").inputs["rules"]["pullRequest"]
    assert (guarded["requiredApprovingReviewCount"], guarded["allowedMergeMethods"]) == (2, ["merge"])


def test_secrets_of_hooks_are_marked_and_tls_is_verified() -> None:
    graph = run(
        lambda: Repository(
            "shop",
            {
                "name": "shop",
                "checks": {"test": "true"},
                "hooks": {"ci": {"url": "https://ci.example", "secret": "plain", "events": ["push"]}},
            },
        )
    )
    hook = graph.one("github:index/repositoryWebhook:RepositoryWebhook").inputs["configuration"]
    # The provider's SDK makes the whole block secret, or the one value in it.
    assert hook == SECRET or (hook["secret"] == SECRET and hook["insecureSsl"] is False)


def test_a_team_made_in_the_same_program_is_waited_for() -> None:
    def program() -> None:
        team = Team("ops", {"name": "Ops"})
        Repository(
            "shop",
            {
                "name": "shop",
                "checks": {"test": "true"},
                "teams": {"ops": {"team": team.slug, "permission": Permission.PUSH}},
            },
        )

    graph = run(program)
    access = graph.one("github:index/teamRepository:TeamRepository")
    assert access.inputs["permission"] == "push"
    assert graph.one("github:index/team:Team").urn in access.depends_on


NOTHING: set[Any] = set()


@pytest.mark.parametrize(
    ("more", "patterns", "variables"),
    [
        ({}, {("branch", "main")}, NOTHING),
        (
            {"branches": ["main", "r/*"], "tags": ["v*"]},
            {("branch", "main"), ("branch", "r/*"), ("tag", "v*")},
            NOTHING,
        ),
        ({"branches": [], "tags": ["v*"]}, {("tag", "v*")}, NOTHING),
        ({"approval": Approval.BRANCH}, {("branch", "deploy/prod")}, NOTHING),
        (
            {"approval": Approval.DISPATCH, "approvers": ["Bob", "ada"]},
            {("branch", "main")},
            {("DEPLOY_APPROVERS", "ada bob")},
        ),
        ({"protected_branches_only": True}, NOTHING, NOTHING),
    ],
)
def test_what_may_deploy(more: Any, patterns: set[Any], variables: set[Any]) -> None:
    args: Any = {"repository": "shop", "environment": "prod", **more}
    graph = run(lambda: RepositoryEnvironment("it", args))
    found = [each.inputs for each in graph.of_type(POLICY)]
    assert {
        ("branch", e["branchPattern"]) if "branchPattern" in e else ("tag", e["tagPattern"]) for e in found
    } == patterns
    held = [each.inputs for each in graph.of_type("github:index/actionsEnvironmentVariable:ActionsEnvironmentVariable")]
    assert {(each["variableName"], each["value"]) for each in held} == variables
    custom = graph.one(ENVIRONMENT).inputs["deploymentBranchPolicy"]
    assert custom["customBranchPolicies"] is not custom["protectedBranches"]


def test_reviewers_by_number_and_by_name() -> None:
    answers = {"github:index/getTeam:getTeam": {"id": "70"}, "github:index/getUser:getUser": {"id": "80"}}
    args: Any = {
        "repository": "shop",
        "environment": "prod",
        "reviewer_teams": ["ops", "71"],
        "reviewer_users": ["ada", "81"],
    }
    graph = run(lambda: RepositoryEnvironment("it", args), answers=answers)
    environment = graph.one(ENVIRONMENT).inputs
    assert environment["reviewers"] == [{"teams": [70, 71], "users": [80, 81]}]
    assert environment["preventSelfReview"] is True
    assert environment["canAdminsBypass"] is False
