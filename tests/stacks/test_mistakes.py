"""What the components would refuse is in the list of the settings' mistakes, all of it, before the first resource."""

from typing import Any

import pytest

from tests.stacks.programs import config_of, deploy, refused


def stated(stack: str, key: str) -> dict[str, Any]:
    return config_of(stack)[f"pavedpath:{key}"]


def test_all_of_an_environments_mistakes_stand_in_one_list(monkeypatch: pytest.MonkeyPatch) -> None:
    deployment = {"approval": "reviewers", "reviewer_teams": ["platform"], "pushes": ["storefront/web"]}
    application = {**stated("dev", "applications")["storefront"], "quota": {"cpu": "two", "memory": "4Gi", "pods": 9}}
    message = refused(
        lambda: deploy(
            "dev",
            monkeypatch,
            network={**stated("dev", "network"), "interface_endpoints": ["ecr.apo"], "addresses": {"private": 60_000}},
            secrets={"decrypters": ["arn:aws:iam::123456789012:root", "*"]},
            images={"repositories": ["storefront/api"], "pull_accounts": ["1234"]},
            deployments={"storefront": deployment},
            applications={"storefront": application},
            watch={"emails": ["nobody"], "monthly_usd": 200},
        )
    )
    for part in (
        "pavedpath:network.interface_endpoints",
        "ecr.api",
        "pavedpath:network.cidr",
        "pavedpath:secrets.decrypters",
        "pavedpath:images.pull_accounts",
        "pavedpath:deployments.storefront.pushes = storefront/web: no registry here keeps it",
        "pavedpath:deployments.storefront.approval",
        "Enterprise",
        "approval: branch",
        "pavedpath:applications.storefront.quota.cpu",
        "pavedpath:watch.emails",
    ):
        assert part in message, message
    assert all("Fix: " in line for line in message.splitlines()[1:])


def test_all_of_the_shared_stacks_mistakes_stand_in_one_list(monkeypatch: pytest.MonkeyPatch) -> None:
    storefront = stated("shared", "repositories")["storefront"]
    message = refused(
        lambda: deploy(
            "shared",
            monkeypatch,
            teams={"platform": {"members": ["not a login"]}},
            repositories={
                "storefront": {**storefront, "approvals": 11, "topics": ["Bad Topic"], "teams": {"shop": "push"}},
                "inner": {"visibility": "internal", "checks": {"gate": "make test"}},
            },
        )
    )
    for part in (
        "pavedpath:teams.platform.members",
        "pavedpath:repositories.storefront.approvals = 11",
        "pavedpath:repositories.storefront.topics",
        "pavedpath:repositories.storefront.teams.shop: there is no such team",
        "pavedpath:repositories.inner.checks",
        "pavedpath:repositories.inner.visibility",
    ):
        assert part in message, message


def test_an_approval_branch_that_nothing_deploys_from_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    orders = stated("shared", "repositories")["orders"]
    repositories = {"orders": {**orders, "approval_branches": {"prod": 2, "dev": 1}}}
    message = refused(lambda: deploy("shared", monkeypatch, repositories=repositories))
    assert "pavedpath:repositories.orders.approval_branches.dev: nothing deploys from deploy/dev" in message
    assert "approval_branches.prod" not in message


def test_what_a_services_delivery_needs_is_made_though_the_settings_do_not_repeat_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    orders = stated("shared", "repositories")["orders"]
    bare = {key: value for key, value in orders.items() if key not in ("approval_branches", "protected_tags")}
    graph = deploy("shared", monkeypatch, repositories={"orders": bare})
    rulesets = {node.name: node for node in graph.of_type("github:index/repositoryRuleset:RepositoryRuleset")}
    assert "orders-deploy/prod" in rulesets
    # release.yml starts at these tags: whoever makes one releases.
    assert rulesets["orders-tags-creation"].inputs["conditions"]["refName"]["includes"] == ["refs/tags/v*.*.*"]
    # The stack prod reads here whether its deployments are guarded.
    (told,) = [each["github"] for each in graph.outputs.values() if "github" in each]
    assert told["approval_branches"] == {"orders": ["prod"]}


def test_the_names_of_images_are_in_lower_case_whatever_the_organisation_is_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = {**config_of("shared"), "github:owner": "Acme"}
    graph = deploy("shared", monkeypatch, config=config, organization="Acme")
    name = "orders-file-.github/workflows/deploy.yml"
    text = graph.one("github:index/repositoryFile:RepositoryFile", name).inputs["content"]
    assert "/acme/orders/api" in text
    assert "repository_owner" not in text


def test_the_app_that_deploys_may_write_what_the_rulesets_protect(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = deploy("shared", monkeypatch, deploying_app=4711)
    rulesets = {node.name: node for node in graph.of_type("github:index/repositoryRuleset:RepositoryRuleset")}
    assert {actor["actorType"] for actor in rulesets["storefront"].inputs["bypassActors"]} == {
        "OrganizationAdmin",
        "Integration",
    }


def test_a_role_pushes_only_what_its_repository_owns(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = deploy(
        "dev", monkeypatch, deployments={**stated("dev", "deployments"), "storefront": {"pushes": ["web-service"]}}
    )
    policy = str(graph.one("aws:iam/rolePolicy:RolePolicy", "dev-storefront").inputs["policy"])
    assert "charts/web-service" in policy
    assert "storefront/api" not in policy


def test_an_account_that_has_the_provider_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    arn = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
    graph = deploy("dev", monkeypatch, github_oidc_provider=arn)
    assert graph.of_type("aws:iam/openIdConnectProvider:OpenIdConnectProvider") == []


def test_a_mistake_of_shape_hides_none_of_another_part(monkeypatch: pytest.MonkeyPatch) -> None:
    message = refused(
        lambda: deploy(
            "dev",
            monkeypatch,
            network={**stated("dev", "network"), "zones": ["nowhere"]},
            deployments={"storefront": {"pushes": ["storefront/web"]}},
            applications={"nowhere": {"repository": "storefront", "chart": "charts/none"}},
            watch={"emails": ["nobody"], "monthly_usd": 200},
        )
    )
    for part in (
        "pavedpath:network.zones",
        "pavedpath:deployments.storefront.pushes",
        "pavedpath:applications.nowhere.chart",
        "pavedpath:watch.emails",
    ):
        assert part in message, message
    lines = message.splitlines()
    assert len(lines) == len(set(lines))
