"""Arguments of repositories, environments, teams and runner groups, good and bad, without Pulumi's engine."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pavedpath import (
    InvalidArgumentsError,
    Repository,
    RepositoryArgs,
    RepositoryEnvironment,
    RepositoryEnvironmentArgs,
    RunnerGroup,
    Team,
    managed_files,
)
from pavedpath.managed_files import CodeOwner, Ecosystem

SHOP: dict[str, Any] = {"name": "shop", "checks": {"test": "true"}}
PROD: dict[str, Any] = {"repository": "shop", "environment": "prod"}
REVIEWERS = {"reviewer_users": ["ada"]}

RUBBISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=5) | st.sampled_from(["kind", "id", "url", "team", "name", "prod"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)
CASES: list[tuple[Callable[..., object], list[str]]] = [
    (Repository, list(RepositoryArgs.__annotations__)),
    (RepositoryEnvironment, list(RepositoryEnvironmentArgs.__annotations__)),
    (Team, ["name", "description", "privacy", "members", "maintainers", "parent_id"]),
    (RunnerGroup, ["name", "repository_ids", "workflows", "plan"]),
]


@given(st.data())
def test_rubbish_is_refused_with_words_and_never_a_traceback(data: st.DataObject) -> None:
    component, names = data.draw(st.sampled_from(CASES))
    args = data.draw(st.dictionaries(st.sampled_from(names), RUBBISH, max_size=5))
    args["unheard_of"] = data.draw(RUBBISH)  # so that nothing is ever made
    with pytest.raises(InvalidArgumentsError) as caught:
        component("it", args)
    assert all(problem.why and problem.fix for problem in caught.value.problems)


@given(st.data())
def test_one_rubbish_argument_among_good_ones_is_never_a_traceback(data: st.DataObject) -> None:
    check, good, hints = data.draw(
        st.sampled_from(
            [
                (Repository.check, SHOP, RepositoryArgs.__annotations__),
                (RepositoryEnvironment.check, PROD, RepositoryEnvironmentArgs.__annotations__),
            ]
        )
    )
    name = data.draw(st.sampled_from(sorted(hints)))
    for problem in check({**good, name: data.draw(RUBBISH)}):
        assert str(problem)


@pytest.mark.parametrize(
    ("more", "argument"),
    [
        ({"topics": ["Cloud"]}, "topics"),
        ({"topics": ["-a"]}, "topics"),
        ({"topics": [f"t{n}" for n in range(21)]}, "topics"),
        ({"homepage": "shop.example"}, "homepage"),
        ({"merge_methods": []}, "merge_methods"),
        ({"merge_methods": ["fast"]}, "merge_methods[0]"),
        ({"merge_methods": ["merge"], "protection": {"linear_history": True}}, "merge_methods"),
        ({"protection": {"merge_queue": {"method": "rebase"}}}, "protection.merge_queue.method"),
        ({"protection": {"merge_queue": {"entries": 0}}}, "protection.merge_queue.entries"),
        (
            {"protection": {"required_checks": [{"context": "gate", "app_id": 1}]}},
            "protection.required_checks[0].context",
        ),
        ({"protection": {"required_checks": [{"context": "dco"}]}}, "protection.required_checks[0].app_id"),
        ({"protection": {"linear": True}}, "protection.linear"),
        ({"protection": {"last_push_approval": True}, "approvals": 0}, "protection.last_push_approval"),
        ({"security": {"push_protection": True}}, "security.push_protection"),
        ({"approvals": 11}, "approvals"),
        ({"approvals": True}, "approvals"),
        ({"approval_branches": {"prod": 0}}, "approval_branches.prod"),
        ({"approval_branches": {"prod/eu": 2}}, "approval_branches"),
        ({"approval_branches": {"prod": 1}, "checks": {"promotion": "true"}}, "checks"),
        ({"protected_tags": ["v*"]}, "tag_creators"),
        ({"tag_creators": [{"kind": "organization_admin"}]}, "tag_creators"),
        (
            {"protected_tags": ["refs/tags/v*"], "tag_creators": [{"kind": "organization_admin"}]},
            "protected_tags",
        ),
        (
            {"protected_tags": ["v*"], "tag_creators": [{"kind": "organization_admin", "mode": "pull_request"}]},
            "tag_creators[0].mode",
        ),
        ({"files": {".github/workflows/checks.yml": ""}}, "files"),
        ({"files": {".github/Workflows/Checks.yml": ""}}, "files"),
        ({"files": {"renovate.json": "{}"}, "updates": "renovate"}, "files"),
        ({"files": {"../a": ""}}, "files"),
        ({"files": {"/a": ""}}, "files"),
        ({"files": {"a": 1}}, "files.a"),
        ({"ecosystems": ["pip"]}, "ecosystems"),
        ({"code_owners": [{"pattern": "*", "owners": ["platform"]}]}, "code_owners[0].owners"),
        ({"code_owners": [{"pattern": "!a", "owners": ["@ada"]}]}, "code_owners[0].pattern"),
        ({"teams": {"Platform Team": {"permission": "push"}}}, "teams"),
        ({"teams": {"platform": {"permission": "owner"}}}, "teams.platform.permission"),
        ({"collaborators": {"@ada": "push"}}, "collaborators"),
        ({"collaborators": {"ada": "push", "Ada": "pull"}}, "collaborators"),
        ({"labels": [{"name": "bug", "color": "#d73a4a"}]}, "labels[0].color"),
        ({"labels": [{"name": "a", "color": "d73a4a"}, {"name": "A", "color": "d73a4a"}]}, "labels[1].name"),
        ({"hooks": {"ci": {"url": "http://ci", "secret": "s", "events": ["push"]}}}, "hooks.ci.url"),
        ({"hooks": {"ci": {"url": "https://ci", "secret": "", "events": ["push"]}}}, "hooks.ci.secret"),
        ({"hooks": {"ci": {"url": "https://ci", "secret": "s", "events": ["pushes"]}}}, "hooks.ci.events"),
        ({"hooks": {"ci": {"url": "https://ci", "secret": "s", "events": []}}}, "hooks.ci.events"),
        (
            {"hooks": {"ci": {"url": "https://ci", "secret": "s", "events": ["push"], "insecure_ssl": True}}},
            "hooks.ci.insecure_ssl",
        ),
        ({"actions": {"allowed": "local_only"}}, "actions.allowed"),
        ({"actions": {"allowed": "all", "patterns": ["a/b"]}}, "actions.patterns"),
        ({"actions": {"allowed": "selected", "patterns": ["*"]}}, "actions.patterns"),
        ({"actions": {"allowed": "selected", "github_owned": False}}, "actions.github_owned"),
    ],
)
def test_bad_arguments_of_a_repository(more: dict[str, Any], argument: str) -> None:
    assert [problem.argument for problem in Repository.check({**SHOP, **more})] == [argument]


@pytest.mark.parametrize(
    ("more", "argument"),
    [
        ({"protected_branches_only": True, "branches": ["main"]}, "branches"),
        ({"protected_branches_only": True, "tags": ["v*"]}, "tags"),
        ({"branches": ["main", "main"]}, "branches"),
        ({"branches": ["refs/heads/main"]}, "branches"),
        ({"tags": ["v *"]}, "tags"),
        ({"reviewer_users": [f"u{n}" for n in range(7)]}, "reviewer_teams"),
        ({"reviewer_teams": ["Ops Team"]}, "reviewer_teams"),
        ({"reviewer_users": ["ada", "Ada"]}, "reviewer_users"),
        ({"prevent_self_review": True}, "prevent_self_review"),
        ({"approval": "reviewers"}, "approval"),
        ({"approval": "branch", **REVIEWERS}, "approval"),
        ({"approval": "branch", "branches": ["main"]}, "branches"),
        ({"approval": "branch", "tags": ["v*"]}, "tags"),
        ({"approval": "branch", "protected_branches_only": True}, "protected_branches_only"),
        ({"approval": "branch", "environment": "prod/eu"}, "environment"),
        ({"approval": "dispatch"}, "approvers"),
        ({"approvers": ["ada"]}, "approvers"),
        ({"approval": "dispatch", "approvers": ["ada"], "branches": ["main", "dev"]}, "branches"),
        ({"approval": "dispatch", "approvers": ["ada"], "branches": ["*"]}, "branches"),
        ({"approval": "dispatch", "approvers": ["ada"], "tags": ["v*"]}, "tags"),
        (
            {"approval": "dispatch", "approvers": ["ada"], "variables": {"DEPLOY_APPROVERS": "eve"}},
            "variables",
        ),
        ({"approval": "two"}, "approval"),
        ({"environment": ""}, "environment"),
    ],
)
def test_bad_arguments_of_an_environment(more: dict[str, Any], argument: str) -> None:
    assert [problem.argument for problem in RepositoryEnvironment.check({**PROD, **more})] == [argument]


@pytest.mark.parametrize(
    ("args", "argument"),
    [
        ({"name": "…"}, "name"),
        ({"name": "Ops", "members": ["ada", "Ada"]}, "members"),
        ({"name": "Ops", "members": ["ada"], "maintainers": ["ada"]}, "members"),
        ({"name": "Ops", "members": ["a b"]}, "members"),
        ({"name": "Ops", "privacy": "secret", "parent_id": "7"}, "privacy"),
        ({"name": "Ops", "privacy": "open"}, "privacy"),
    ],
)
def test_bad_arguments_of_a_team(args: Any, argument: str) -> None:
    with pytest.raises(InvalidArgumentsError) as caught:
        Team("it", args)
    assert [problem.argument for problem in caught.value.problems] == [argument]


@pytest.mark.parametrize(
    ("args", "argument"),
    [
        ({"name": "Default", "repository_ids": []}, "name"),
        ({"name": "dev", "repository_ids": [0]}, "repository_ids"),
        ({"name": "dev", "repository_ids": [], "workflows": ["acme/shop/.github/workflows/*@main"]}, "workflows"),
        ({"name": "dev", "repository_ids": [], "workflows": ["acme/shop/.github/workflows/a.yml"]}, "workflows"),
        ({"name": "dev", "repository_ids": [], "plan": "free"}, "name"),
    ],
)
def test_bad_arguments_of_a_runner_group(args: Any, argument: str) -> None:
    with pytest.raises(InvalidArgumentsError) as caught:
        RunnerGroup("it", args)
    assert [problem.argument for problem in caught.value.problems] == [argument]


CI = """\
on:
  pull_request:
jobs:
  test: {runs-on: ubuntu-latest, steps: [{run: "true"}]}
  gate: {needs: [test], if: always(), runs-on: ubuntu-latest, steps: [{run: "true"}]}
"""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (CI, ""),
        (CI.replace("on:", "'on':"), ""),
        (CI.replace("\n  pull_request:", " [push, pull_request]"), ""),
        (CI.replace("  gate:", "  all: {name: gate, if: always(), needs: [test]}\n  other:"), ""),
        (CI.replace("pull_request:", "pull_request: {branches: [main, deploy/prod]}"), ""),
        (CI.replace("pull_request:", "push:"), "does not run on pull requests"),
        (CI.replace("pull_request:", "pull_request: {paths: [src/**]}"), "skips pull requests by paths"),
        (CI.replace("pull_request:", "pull_request: {branches: [main]}"), "into deploy/prod"),
        (CI.replace("pull_request:", "pull_request: {types: [opened]}"), "at each change"),
        (CI.replace("if: always(), ", ""), "counts as passed"),
        (CI.replace("if: always()", "if: success()"), "counts as passed"),
        (
            CI.replace("if: always()", "if: github.actor != 'x'").replace("needs: [test], ", ""),
            "its condition skips it",
        ),
        (CI.replace("if: always()", "if: always(), strategy: {matrix: {a: [1]}}"), "reports under other names"),
        (CI.replace('steps: [{run: "true"}]}\n', "uses: ./.github/workflows/x.yml}\n"), "reports under other names"),
        (CI.replace("gate", "all"), "there are 0"),
        (CI.replace("test:", "test: {name: gate}\n  build:"), "there are 2"),
        ("jobs: [", "it is no YAML"),
        ("- 1", "there are 0"),
    ],
)
def test_the_required_check_is_a_job_that_reports_on_every_pull_request(text: str, why: str) -> None:
    args: dict[str, Any] = {"name": "shop", "approval_branches": {"prod": 2}}
    found = Repository.check({**args, "files": {".github/workflows/ci.yml": text}})
    assert any(why in problem.why for problem in found) if why else found == []


@pytest.mark.parametrize(
    ("more", "arguments"),
    [
        ({}, ["required_checks"]),
        ({"files": {"docs/ci.yml": CI}}, ["required_checks"]),
        ({"files": {".github/workflows/ci.yml": CI}, "checks": {"test": "true"}}, ["required_checks"]),
        ({"files": {".github/workflows/ci.yml": CI}, "required_checks": ["test"]}, []),
        ({"files": {".github/workflows/ci.yml": CI}, "required_checks": ["test", "test"]}, ["required_checks"]),
        ({"checks": {"test": "true"}, "required_checks": []}, ["required_checks"]),
        ({"files": {".github/workflows/ci.yml": CI}, "protection": {"merge_queue": {}}}, ["required_checks"]),
        ({"files": {".github/workflows/checks.yml": CI}}, []),
    ],
)
def test_which_jobs_may_be_required(more: dict[str, Any], arguments: list[str]) -> None:
    assert [problem.argument for problem in Repository.check({"name": "shop", **more})] == arguments


def test_no_secret_is_shown() -> None:
    hook = {"url": "http://ci/token-in-address", "secret": ["hook-secret"], "events": ["push"]}
    said = "\n".join(map(str, Repository.check({**SHOP, "hooks": {"ci": hook}})))
    said += "\n".join(map(str, RepositoryEnvironment.check({**PROD, "secrets": {"TOKEN": {"value": "env-secret"}}})))
    assert "hooks.ci.secret" in said
    assert "hook-secret" not in said
    assert "token-in-address" not in said
    assert "env-secret" not in said


def test_dependabot_keeps_the_pins_of_actions_fresh() -> None:
    config = yaml.safe_load(managed_files.dependabot([Ecosystem.PIP]))
    assert config["version"] == 2
    assert [each["package-ecosystem"] for each in config["updates"]] == ["github-actions", "pip"]
    assert all(each["schedule"] == {"interval": "weekly"} and each["groups"] for each in config["updates"])


def test_renovate_pins_actions_by_digest() -> None:
    config = json.loads(managed_files.renovate())
    assert "helpers:pinGitHubActionDigests" in config["extends"]
    assert config["packageRules"][0]["matchManagers"] == ["github-actions"]


def test_dependabot_gets_no_references_between_parts() -> None:
    text = managed_files.dependabot([Ecosystem.PIP, Ecosystem.DOCKER], ["a", "b"])
    assert "&" not in text
    assert "*id" not in text


def test_code_owners_keep_their_order_since_the_last_one_decides() -> None:
    text = managed_files.code_owners(
        [CodeOwner("*", ["@acme/all"]), CodeOwner("/infra/", ["@ada", "ops@acme.example"])]
    )
    assert text.splitlines()[1:] == ["* @acme/all", "/infra/ @ada ops@acme.example"]
