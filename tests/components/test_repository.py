import pytest
import yaml
from pavedpath import InvalidArgumentsError, Repository, RepositoryEnvironment
from pavedpath.workflows import GATE

from tests.mocks import run

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
