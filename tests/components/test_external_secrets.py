"""ExternalSecrets: each provider's store, the role's narrow policy, and what is refused first."""

import json
from pathlib import Path
from typing import Any, cast

import jsonschema_rs
import pytest
import yaml
from pavedpath import ExternalSecrets, InvalidArgumentsError
from pavedpath.external_secrets import reader_policy

from tests.mocks import Graph, run

ROOT = Path(__file__).resolve().parents[2]
ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:dev/shop-AbCdEf"
PROVIDER = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.us-east-1.amazonaws.com/id/0123ABCD"
KEY = "arn:aws:kms:us-east-1:123456789012:key/0123-abc"
AWS: dict[str, Any] = {"region": "us-east-1", "cluster_provider_arn": PROVIDER, "secret_arns": [ARN]}
VAULT = {"server": "https://vault.example.com", "role": "shop"}
GOOGLE = {"project": "shop", "service_account_email": "shop@shop.iam.gserviceaccount.com"}
STORE, SECRET = "kubernetes:external-secrets.io/v1:SecretStore", "kubernetes:external-secrets.io/v1:ExternalSecret"


def build(**arguments: Any) -> Graph:
    secrets = {"shop": {"URL": {"key": "dev/shop", "property": "url"}, "ALL": {"key": "dev/shop"}}}
    given: Any = {"namespace": "shop", "secrets": secrets, **arguments}
    return run(lambda: ExternalSecrets("it", given))


def problems(**arguments: Any) -> set[str]:
    with pytest.raises(InvalidArgumentsError) as caught:
        build(**arguments)
    return {problem.argument for problem in caught.value.problems}


@pytest.mark.parametrize("provider", [{"aws": AWS}, {"vault": VAULT}, {"google": GOOGLE}])
def test_every_resource_fits_the_operators_own_definition(provider: dict[str, Any]) -> None:
    crds = ROOT / ".toolchain/crds"
    if not crds.exists():
        pytest.skip("no definitions. Fix: make toolchain")
    graph = build(**provider)
    for kind, plural in ((STORE, "secretstores"), (SECRET, "externalsecrets")):
        text = (crds / f"external-secrets.io_{plural}.yaml").read_text()
        versions = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))["spec"]["versions"]  # noqa: S506  # both are safe loaders
        schema = next(each for each in versions if each["name"] == "v1")["schema"]["openAPIV3Schema"]
        spec = graph.one(kind).inputs["spec"]
        assert list(jsonschema_rs.validator_for(schema["properties"]["spec"]).iter_errors(spec)) == []
        _nothing_unknown(spec, schema["properties"]["spec"])


def _nothing_unknown(value: Any, schema: Any) -> None:
    """The API server drops what a definition does not name, without a word."""
    if isinstance(value, dict) and "properties" in schema:
        for key, item in cast(dict[str, Any], value).items():
            _nothing_unknown(item, schema["properties"][key])
    elif isinstance(value, list):
        for item in cast(list[Any], value):
            _nothing_unknown(item, schema["items"])


def test_a_secret_belongs_to_its_external_secret_and_names_each_value() -> None:
    spec = build(aws=AWS, refresh_minutes=5).one(SECRET).inputs["spec"]
    assert spec["refreshInterval"] == "5m"
    assert spec["target"] == {"name": "shop", "creationPolicy": "Owner", "deletionPolicy": "Retain"}
    assert spec["data"] == [
        {"secretKey": "ALL", "remoteRef": {"key": "dev/shop"}},
        {"secretKey": "URL", "remoteRef": {"key": "dev/shop", "property": "url"}},
    ]


def test_the_role_is_for_one_service_account_and_reads_these_secrets_alone() -> None:
    graph = build(aws={**AWS, "key_arns": [KEY]})
    (trust,) = json.loads(graph.one("aws:iam/role:Role").inputs["assumeRolePolicy"])["Statement"]
    assert trust["Condition"]["StringEquals"] == {
        "oidc.eks.us-east-1.amazonaws.com/id/0123ABCD:aud": "sts.amazonaws.com",
        "oidc.eks.us-east-1.amazonaws.com/id/0123ABCD:sub": "system:serviceaccount:shop:external-secrets",
    }
    read, opened = json.loads(graph.one("aws:iam/rolePolicy:RolePolicy").inputs["policy"])["Statement"]
    assert (read["Resource"], opened["Resource"]) == ([ARN], [KEY])
    assert opened["Condition"] == {"StringEquals": {"kms:ViaService": "secretsmanager.us-east-1.amazonaws.com"}}
    assert "OpenSecrets" not in reader_policy("us-east-1", [ARN], [])


def test_a_role_that_exists_is_used_as_it_is() -> None:
    role = "arn:aws:iam::123456789012:role/reader"
    graph = build(aws={"region": "us-east-1", "role_arn": role})
    assert graph.of_type("aws:iam/role:Role") == []
    account = graph.one("kubernetes:core/v1:ServiceAccount")
    assert account.inputs["metadata"]["annotations"] == {"eks.amazonaws.com/role-arn": role}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({}, {"aws"}),
        ({"aws": AWS, "vault": VAULT}, {"aws"}),
        ({"aws": {"region": "us-east-1"}}, {"aws.cluster_provider_arn"}),
        ({"aws": {"region": "us-east-1", "role_arn": "reader"}}, {"aws.role_arn"}),
        ({"aws": {**AWS, "cluster_provider_arn": PROVIDER + "*"}}, {"aws.cluster_provider_arn"}),
        ({"aws": {"region": "moon", "cluster_provider_arn": PROVIDER}}, {"aws.region", "aws.secret_arns"}),
        ({"aws": {**AWS, "secret_arns": [ARN + "*"]}}, {"aws.secret_arns[0]"}),
        ({"aws": {**AWS, "secret_arns": "all"}}, {"aws.secret_arns"}),
        ({"aws": {**AWS, "secret": 1}}, {"aws.secret"}),
        ({"vault": {"server": "http://vault.example.com", "role": "shop"}}, {"vault.server"}),
        ({"google": {"project": "shop", "service_account_email": "me@example.com"}}, {"google.service_account_email"}),
        ({"aws": AWS, "secrets": {}, "refresh_minutes": 0}, {"secrets", "refresh_minutes"}),
        (
            {"aws": AWS, "secrets": {"Shop": {"A B": {"key": "x"}}, "b": {}}},
            {"secrets.Shop", "secrets.Shop.A B", "secrets.b"},
        ),
        ({"aws": AWS, "secrets": {"shop": {"A": {"keys": "x"}}}}, {"secrets.shop.A.keys", "secrets.shop.A.key"}),
    ],
)
def test_every_mistake_is_named_by_its_path(arguments: dict[str, Any], named: set[str]) -> None:
    assert problems(**arguments) == named
