import json
from collections.abc import Mapping
from typing import Any

import pytest
from pavedpath import ChartMuseum, ChartRegistry, ImageRegistry, InvalidArgumentsError

from tests.mocks import SECRET, run

REPOSITORY = "aws:ecr/repository:Repository"
POLICY = "aws:ecr/repositoryPolicy:RepositoryPolicy"
REPLICATION = "aws:ecr/replicationConfiguration:ReplicationConfiguration"
RELEASE = "kubernetes:helm.sh/v3:Release"
PROVIDER = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.us-east-1.amazonaws.com/id/0123ABCD"
MUSEUM: dict[str, Any] = {
    "bucket": "acme-charts",
    "region": "us-east-1",
    "namespace": "charts",
    "password": "a-long-enough-password",
    "role_arn": "arn:aws:iam::123456789012:role/charts",
}


def refused(component: type, arguments: Mapping[str, Any]) -> list[str]:
    with pytest.raises(InvalidArgumentsError) as caught:
        run(lambda: component("it", arguments))
    assert MUSEUM["password"] not in str(caught.value)
    return [problem.argument for problem in caught.value.problems]


def test_by_default_nobody_else_pulls_and_nothing_is_copied() -> None:
    graph = run(lambda: ImageRegistry("images", {"repositories": ["shop/api"]}))
    assert graph.of_type(POLICY) == graph.of_type(REPLICATION) == []
    repository = graph.one(REPOSITORY)
    assert repository.inputs["imageTagMutability"] == "IMMUTABLE"
    assert "forceDelete" not in repository.inputs


def test_replication_copies_these_repositories_only() -> None:
    graph = run(
        lambda: ImageRegistry(
            "images", {"repositories": ["shop/b", "shop/a"], "replicate_to": ["eu-west-1", "eu-west-1", "eu-north-1"]}
        )
    )
    (rule,) = graph.one(REPLICATION).inputs["replicationConfiguration"]["rules"]
    assert [each["filter"] for each in rule["repositoryFilters"]] == ["shop/a", "shop/b"]
    assert [each["region"] for each in rule["destinations"]] == ["eu-north-1", "eu-west-1"]


def test_two_registries_that_replicate_collide() -> None:
    def program() -> None:
        for name in ("one", "two"):
            ImageRegistry(name, {"repositories": [f"{name}/api"], "replicate_to": ["eu-west-1"]})

    assert [urn.split("::")[-1] for urn in run(program).repeated] == ["replication"]


def test_every_bad_argument_of_a_registry_is_named() -> None:
    given = {
        "repositories": ["Shop/Api", "shop/web", "shop/web"],
        "keep_images": 0,
        "keep_untagged_days": 0,
        "pull_accounts": ["1234"],
        "pull_organization_id": "acme",
        "force_delete": True,
        "replicate_to": ["europe"],
    }
    assert refused(ImageRegistry, given) == [
        "repositories",
        "repositories",
        "keep_images",
        "keep_untagged_days",
        "pull_accounts",
        "pull_organization_id",
        "replicate_to",
    ]
    assert refused(ImageRegistry, {"repositories": []}) == ["repositories"]


def test_more_than_a_rule_of_replication_holds() -> None:
    given = {"repositories": [f"shop/{number}" for number in range(101)], "replicate_to": ["eu-west-1"]}
    assert refused(ImageRegistry, given) == ["replicate_to"]


def test_a_chart_has_a_repository_below_the_prefix() -> None:
    seen: dict[str, Any] = {}

    def program() -> None:
        registry = ChartRegistry("charts", {"charts": ["web-service"], "prefix": "helm/stable"})
        registry.url.apply(lambda url: seen.update(url=url))
        for key, value in registry.workflow_variables().items():
            value.apply(lambda known, key=key: seen.update({key: known}))

    graph = run(program)
    assert graph.one(REPOSITORY).inputs["name"] == "helm/stable/web-service"
    assert seen["url"] == seen["CHART_REGISTRY_URL"] == "oci://123456789012.dkr.ecr.us-east-1.amazonaws.com/helm/stable"
    assert seen["CHART_REGISTRY_KIND"] == "ecr"


def test_bad_charts_are_named_as_they_were_given() -> None:
    with pytest.raises(InvalidArgumentsError, match=r"charts = 'Web': ECR refuses this name"):
        run(lambda: ChartRegistry("charts", {"charts": ["Web", "api"]}))
    assert refused(ChartRegistry, {"charts": []}) == ["charts"]


class TestChartMuseum:
    def test_the_password_is_in_the_secret_alone(self) -> None:
        graph = run(lambda: ChartMuseum("charts", MUSEUM))  # pyright: ignore[reportArgumentType]  # a plain mapping
        assert graph.one("kubernetes:core/v1:Secret").inputs["stringData"] == SECRET
        assert MUSEUM["password"] not in str(graph)
        values = graph.one(RELEASE).inputs["values"]
        assert values["env"]["open"]["AUTH_ANONYMOUS_GET"] is False
        assert values["env"]["open"]["ALLOW_OVERWRITE"] is False
        assert graph.outputs[graph.one("pavedpath:index:ChartMuseum").urn]["secrets"] == SECRET

    def test_the_bucket_is_closed(self) -> None:
        graph = run(lambda: ChartMuseum("charts", MUSEUM))  # pyright: ignore[reportArgumentType]  # a plain mapping
        block = graph.one("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock").inputs
        assert [block[key] for key in block if key != "bucket"] == [True] * 4
        assert graph.one("aws:s3/bucket:Bucket").inputs["forceDestroy"] is False
        versioning = graph.one("aws:s3/bucketVersioning:BucketVersioning")
        assert versioning.inputs["versioningConfiguration"] == {"status": "Enabled"}

    def test_pods_get_a_role_of_their_own_or_one_that_exists(self) -> None:
        mine = run(lambda: ChartMuseum("charts", MUSEUM))  # pyright: ignore[reportArgumentType]  # a plain mapping
        account = mine.one(RELEASE).inputs["values"]["serviceAccount"]
        assert account["annotations"] == {"eks.amazonaws.com/role-arn": MUSEUM["role_arn"]}
        assert mine.of_type("aws:iam/role:Role") == []
        own = {**{key: value for key, value in MUSEUM.items() if key != "role_arn"}, "cluster_provider_arn": PROVIDER}
        made = run(lambda: ChartMuseum("charts", own))  # pyright: ignore[reportArgumentType]  # a plain mapping
        (trust,) = json.loads(made.one("aws:iam/role:Role").inputs["assumeRolePolicy"])["Statement"]
        issuer = PROVIDER.partition("/")[2]
        assert trust["Principal"] == {"Federated": [PROVIDER]}
        assert trust["Condition"] == {
            "StringEquals": {
                f"{issuer}:aud": "sts.amazonaws.com",
                f"{issuer}:sub": "system:serviceaccount:charts:chartmuseum",
            }
        }
        release = made.one(RELEASE)
        account = release.inputs["values"]["serviceAccount"]
        assert account["annotations"]["eks.amazonaws.com/role-arn"] == "arn:aws:iam:us-east-1:123456789012:charts"
        assert made.one("aws:iam/rolePolicy:RolePolicy").urn in release.depends_on

    def test_an_ingress_needs_tls(self) -> None:
        served = {**MUSEUM, "host": "charts.example.com", "ingress_class": "nginx"}
        graph = run(lambda: ChartMuseum("charts", served))  # pyright: ignore[reportArgumentType]  # a plain mapping
        ingress = graph.one(RELEASE).inputs["values"]["ingress"]
        assert ingress["hosts"] == [
            {"name": "charts.example.com", "path": "/", "tls": True, "tlsSecret": "chartmuseum-tls"}
        ]
        variables = graph.outputs[graph.one("pavedpath:index:ChartMuseum").urn]["variables"]
        assert variables == {"CHART_REGISTRY_KIND": "chartmuseum", "CHART_REGISTRY_URL": "https://charts.example.com"}

    def test_every_bad_argument_is_named(self) -> None:
        given = {
            **MUSEUM,
            "bucket": "Acme.Charts",
            "region": "here",
            "release": "Charts",
            "namespace": "Charts",
            "password": "short",
            "username": "a:b",
            "cluster_provider_arn": "pavedpath-dev",
            "tls_secret": "tls",
            "chart_version": "^3.0.0",
            "timeout_seconds": 0,
        }
        assert refused(ChartMuseum, given) == [
            "bucket",
            "region",
            "release",
            "namespace",
            "password",
            "username",
            "cluster_provider_arn",
            "cluster_provider_arn",
            "tls_secret",
            "chart_version",
            "timeout_seconds",
        ]
        assert refused(ChartMuseum, {**MUSEUM, "host": "https://charts.example.com"}) == ["host"]
        assert refused(ChartMuseum, {**MUSEUM, "role_arn": "charts"}) == ["role_arn"]
