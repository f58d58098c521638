"""What holds for every component, found by discovery."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, cast

import pavedpath
import pulumi
import pytest
from pavedpath import InvalidArgumentsError, tag_everything
from pavedpath.component import Component

from tests.mocks import SECRET, Graph, run

COMPONENTS = {
    name: value
    for name in dir(pavedpath)
    if inspect.isclass(value := getattr(pavedpath, name)) and issubclass(value, Component)
}

SMALLEST: dict[str, Mapping[str, Any] | None] = {
    "Vpc": {"cidr": "10.0.0.0/16", "zones": ["us-east-1a"], "nat": pavedpath.NatMode.ONE},
    "SopsKey": {"alias": "pavedpath-test-sops"},
    "ImageRegistry": {"repositories": ["shop/api"]},
    "ChartRegistry": {"charts": ["web-service"]},
    "ChartMuseum": {
        "bucket": "acme-charts",
        "region": "us-east-1",
        "namespace": "charts",
        "password": "a-long-enough-password",
        "cluster_provider_arn": "arn:aws:iam::123456789012:oidc-provider/oidc.eks.us-east-1.amazonaws.com/id/0AB",
    },
    "DeploymentAlerts": {"environment": "test", "cluster": "pavedpath-test", "emails": ["ops@example.com"]},
    "Budget": {"monthly_usd": 250, "emails": ["ops@example.com"]},
    "GithubOidcProvider": None,
    "DeployRole": {
        "provider_arn": "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com",
        "organization": "acme",
        "organization_id": 7,
        "repository": "shop",
        "repository_id": 8,
        "environment": "dev",
    },
    "Repository": {"name": "shop", "checks": {"test": "make test"}},
    "RepositoryEnvironment": {
        "repository": "shop",
        "environment": "dev",
        "variables": {"REGION": "us-east-1"},
        "secrets": {"TOKEN": "plain-secret"},
    },
    "Team": {"name": "platform", "members": ["ada"]},
    "RunnerFleet": {
        "environment": "dev",
        "organization": "acme",
        "vpc_id": "vpc-1",
        "subnet_ids": ["subnet-1"],
        "repositories": {"shop": 8},
        "pools": {"default": {}},
        "github_app": {"app_id": 1, "installation_id": 2},
        "webhook_secret": "a-secret-that-is-long-enough",
    },
    "RunnerGroup": {"name": "dev", "repository_ids": [8]},
    "Namespace": {"name": "shop", "server": "https://127.0.0.1:6443"},
    "HelmApplication": {"release": "shop", "chart": "charts/web-service", "namespace": "shop"},
    "ExternalSecrets": {
        "namespace": "shop",
        "secrets": {"shop": {"DATABASE_URL": {"key": "dev/shop/database", "property": "url"}}},
        "aws": {
            "region": "us-east-1",
            "cluster_provider_arn": "arn:aws:iam::123456789012:oidc-provider/oidc.eks.us-east-1.amazonaws.com/id/0AB",
            "secret_arns": ["arn:aws:secretsmanager:us-east-1:123456789012:secret:dev/shop/database-AbCdEf"],
        },
    },
    "RotatingSecret": {"name": "dev/shop/database"},
}


# What each component has whose loss would lose data; all else can be made again from the program.
HOLDS_DATA: dict[str, set[str]] = {
    "ChartMuseum": {"aws:s3/bucket:Bucket"},
    "ChartRegistry": {"aws:ecr/repository:Repository"},
    "ImageRegistry": {"aws:ecr/repository:Repository"},
    "Namespace": {"kubernetes:core/v1:Namespace"},
    "Repository": {"github:index/repository:Repository"},
    "RotatingSecret": {"aws:secretsmanager/secret:Secret"},
    "RunnerFleet": {
        "aws:cloudwatch/logGroup:LogGroup",
        "aws:dynamodb/table:Table",
        "aws:secretsmanager/secret:Secret",
    },
    "SopsKey": {"aws:kms/key:Key", "aws:kms/alias:Alias"},
    "Vpc": {"aws:cloudwatch/logGroup:LogGroup"},
}


def build(
    name: str,
    args: Mapping[str, Any] | None,
    *,
    tags: Mapping[str, str] | None = None,
    opts: pulumi.ResourceOptions | None = None,
) -> Graph:
    def program() -> None:
        if tags:
            tag_everything(tags)
        make = cast(Callable[..., object], COMPONENTS[name])
        make("it", args, opts=opts) if args is not None else make("it", opts=opts)

    return run(program)


def test_every_component_has_a_smallest_use() -> None:
    assert set(SMALLEST) == set(COMPONENTS)


@pytest.mark.parametrize("name", sorted(COMPONENTS))
class TestEveryComponent:
    def test_parents_every_child_to_itself(self, name: str) -> None:
        graph = build(name, SMALLEST[name])
        top = f"pavedpath:index:{name}"
        component = graph.one(top, "it")
        children = [node for node in graph.nodes.values() if node is not component]
        assert children
        # A component inside it has children of its own.
        inner = {node.urn for node in children if not node.custom and node.parent == component.urn}
        assert {node.parent for node in children} == {component.urn} | inner

    def test_registers_no_urn_twice(self, name: str) -> None:
        assert build(name, SMALLEST[name]).repeated == []

    def test_registers_the_outputs_that_it_declares(self, name: str) -> None:
        graph = build(name, SMALLEST[name])
        declared = {
            attribute
            for attribute, hint in COMPONENTS[name].__annotations__.items()
            if "Output" in str(hint) and not attribute.startswith("_")
        }
        registered = graph.outputs[graph.one(f"pavedpath:index:{name}", "it").urn]
        assert set(registered) == declared
        assert all(value is not None for value in registered.values())

    def test_tags_what_takes_tags(self, name: str) -> None:
        graph = build(name, SMALLEST[name], tags={"project": "p", "environment": "e", "owner": "o"})
        untagged = {
            node.type_ for node in graph.nodes.values() if node.type_.startswith("aws:") and "tags" not in node.inputs
        }
        # These types take no tags at all; another one that lost its tags would show here.
        assert untagged <= {
            "aws:cloudwatch/eventTarget:EventTarget",
            "aws:ec2/route:Route",
            "aws:ec2/routeTableAssociation:RouteTableAssociation",
            "aws:ecr/lifecyclePolicy:LifecyclePolicy",
            "aws:iam/rolePolicy:RolePolicy",
            "aws:kms/alias:Alias",
            "aws:kms/keyPolicy:KeyPolicy",
            "aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig",
            "aws:lambda/functionUrl:FunctionUrl",
            "aws:lambda/permission:Permission",
            "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
            "aws:s3/bucketOwnershipControls:BucketOwnershipControls",
            "aws:s3/bucketPolicy:BucketPolicy",
            "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
            "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
            "aws:s3/bucketVersioning:BucketVersioning",
            "aws:scheduler/schedule:Schedule",
            "aws:secretsmanager/secretPolicy:SecretPolicy",
            "aws:secretsmanager/secretVersion:SecretVersion",
            "aws:sns/topicPolicy:TopicPolicy",
            "aws:sns/topicSubscription:TopicSubscription",
            "aws:sqs/queuePolicy:QueuePolicy",
        }
        for node in graph.nodes.values():
            if "tags" in node.inputs:
                assert node.inputs["tags"] == {"Name": node.name, "project": "p", "environment": "e", "owner": "o"}

    def test_protects_and_retains_what_holds_data_and_nothing_else(self, name: str) -> None:
        graph = build(name, SMALLEST[name], opts=pulumi.ResourceOptions(protect=True, retain_on_delete=True))
        held = HOLDS_DATA.get(name, set())
        assert held <= {node.type_ for node in graph.nodes.values()}
        for node in graph.nodes.values():
            if node.custom:
                assert (node.type_, node.protect, node.retain) == (node.type_, node.type_ in held, node.type_ in held)

    def test_says_what_it_creates(self, name: str) -> None:
        assert "Creates: " in (COMPONENTS[name].__doc__ or "")


@pytest.mark.parametrize("name", sorted(name for name, args in SMALLEST.items() if args is not None))
class TestEveryArgument:
    def test_unknown_one_is_rejected_by_name(self, name: str) -> None:
        with pytest.raises(InvalidArgumentsError, match=r"unheard_of: there is no such argument.*it takes: "):
            build(name, {**(SMALLEST[name] or {}), "unheard_of": 1})

    def test_every_missing_one_is_named(self, name: str) -> None:
        required = COMPONENTS[name].__init__.__annotations__["args"].__required_keys__
        with pytest.raises(InvalidArgumentsError) as caught:
            build(name, {})
        assert {problem.argument for problem in caught.value.problems} == set(required)


HIDDEN = "https://recognisable.example/secret-of-many-characters"

# Each argument that takes a secret, given one in the clear, which the component must hide by itself.
TAKES_SECRETS: dict[str, Mapping[str, Any]] = {
    "ChartMuseum": {"password": HIDDEN},
    "DeploymentAlerts": {"https_endpoints": {"pager": HIDDEN}},
    "Repository": {
        "hooks": {"ci": {"url": "https://ci.example", "secret": HIDDEN, "events": ["push"]}},
    },
    "RepositoryEnvironment": {"secrets": {"TOKEN": HIDDEN}},
    "RotatingSecret": {"initial_value": HIDDEN},
    "RunnerFleet": {"webhook_secret": HIDDEN},
}


@pytest.mark.parametrize("name", sorted(TAKES_SECRETS))
def test_a_secret_given_in_the_clear_is_marked_wherever_it_goes(name: str) -> None:
    graph = build(name, {**(SMALLEST[name] or {}), **TAKES_SECRETS[name]})
    shown = repr(graph)
    assert SECRET in shown
    assert HIDDEN not in shown


def test_secret_values_of_a_release_stay_marked() -> None:
    def program() -> None:
        secret = {"token": pulumi.Output.secret(HIDDEN), "list": [{"deep": pulumi.Output.secret(HIDDEN)}]}
        given: Any = {**(SMALLEST["HelmApplication"] or {}), "values": {"plain": 1}, "secret_values": secret}
        pavedpath.HelmApplication("it", given)

    graph = run(program)
    assert graph.one("kubernetes:helm.sh/v3:Release").inputs["values"] == SECRET
    assert HIDDEN not in repr(graph)


def test_the_deployers_kubeconfig_is_marked_secret() -> None:
    graph = build("Namespace", SMALLEST["Namespace"])
    assert graph.outputs[graph.one("pavedpath:index:Namespace").urn]["kubeconfig"] == SECRET


def test_the_value_of_a_mistyped_argument_is_not_shown() -> None:
    with pytest.raises(InvalidArgumentsError, match="did you mean 'secrets'") as caught:
        build("RepositoryEnvironment", {"repository": "r", "environment": "e", "secretz": {"TOKEN": "plain-secret"}})
    assert "plain-secret" not in str(caught.value)


def test_nearest_name_is_offered() -> None:
    with pytest.raises(InvalidArgumentsError, match="did you mean 'zones'"):
        build("Vpc", {"cidr": "10.0.0.0/16", "zone": ["us-east-1a"]})
