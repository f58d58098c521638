"""Keys, sealed files and roles without stored credentials, against the real engine and the real sops."""

import base64
import json
import os
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from tests.integration.conftest import World
from tests.integration.lifecycle import Lifecycle

pytestmark = pytest.mark.integration

ALICE, BOB = "arn:aws:iam::123456789012:user/alice", "arn:aws:iam::123456789012:user/bob"
PASSWORD = "correct horse battery staple"
ISSUER = "token.actions.githubusercontent.com"


def key(sealed: str = "", **arguments: Any) -> str:
    """Return a program with a key, and with the value of a sealed file as an output if one is named."""
    given = {"alias": "pavedpath-it-sops", **arguments}
    reading = f"""
file = SopsFile.read(Path({sealed!r}))
assert not list(file.foreign_keys("123456789012", "us-east-1"))
pulumi.export("password", file.values(key.arn, key.alias_arn)["database"]["password"])
"""
    return f"""\
import pulumi
from pathlib import Path
from pavedpath import SopsFile, SopsKey
key = SopsKey("it", {given!r})
for name in ("arn", "alias", "alias_arn", "creation_rules"):
    pulumi.export(name, getattr(key, name))
{reading if sealed else ""}"""


def seal(stack: Lifecycle, path: str, values: Mapping[str, Any], *options: str) -> None:
    (stack.directory / path).write_text(yaml.safe_dump(dict(values)))
    done = subprocess.run(
        ["sops", "encrypt", "--in-place", *options, path],
        cwd=stack.directory,
        env={**os.environ, **stack.world.environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr


def policy_of(world: World, key_arn: str) -> dict[str, Any]:
    found = json.loads(world.aws("kms").get_key_policy(KeyId=key_arn, PolicyName="default")["Policy"])
    return {statement["Sid"]: statement for statement in found["Statement"]}


def test_a_key_seals_by_its_rule_and_its_file_is_read_as_a_secret(world: World) -> None:
    stack = Lifecycle.begin(world, "secrets")
    kms = world.aws("kms")
    assert stack.up(key()) == {"create": {"Key it", "Alias it"}}
    outputs = stack.outputs()
    assert kms.get_key_rotation_status(KeyId=outputs["arn"])["KeyRotationEnabled"] is True
    default = policy_of(world, outputs["arn"])

    seal(stack, "by-key.yaml", {"database": {"password": PASSWORD}}, "--kms", outputs["arn"])
    (stack.directory / ".sops.yaml").write_text(outputs["creation_rules"])
    seal(stack, "it.secrets.yaml", {"database": {"password": PASSWORD}})
    assert f"arn: {outputs['alias_arn']}" in (stack.directory / "it.secrets.yaml").read_text()
    for sealed in ("it.secrets.yaml", "by-key.yaml"):
        stack.up(key(sealed))
        assert stack.outputs()["password"] == PASSWORD
        assert PASSWORD not in stack.pulumi("stack", "export")
        assert PASSWORD not in stack.pulumi("stack", "output")

    # Principals come as one resource, change in place, and go back to AWS's default policy.
    assert stack.up(key(decrypters=[ALICE])) == {"create": {"KeyPolicy it"}}
    assert stack.drift() == {}
    statements = policy_of(world, outputs["arn"])
    assert statements["Decrypt"]["Principal"] == {"AWS": [ALICE]}
    assert "kms:Decrypt" not in statements["AdministerByIam"]["Action"]
    groups: dict[str, Any] = {"administrators": [ALICE], "encrypters": [ALICE, BOB], "decrypters": [BOB]}
    assert stack.up(key(**groups)) == {"update": {"KeyPolicy it"}}
    assert stack.drift() == {}
    assert set(policy_of(world, outputs["arn"])) == {"Administer", "Encrypt", "Decrypt", "RepairByRootUser"}
    assert stack.up(key(alias="another-alias")) == {
        "update": {"Key it"},  # its description, which names the alias
        "replace": {"Alias it"},
        "delete": {"KeyPolicy it"},
    }
    assert policy_of(world, outputs["arn"]) == default

    stack.destroy()
    assert kms.describe_key(KeyId=outputs["arn"])["KeyMetadata"]["KeyState"] == "PendingDeletion"


def test_a_file_that_cannot_be_opened_says_why(world: World) -> None:
    stack = Lifecycle.begin(world, "sealed")
    kms = world.aws("kms")
    stack.up(key(alias="sealed"))
    outputs = stack.outputs()
    (stack.directory / ".sops.yaml").write_text(outputs["creation_rules"])
    seal(stack, "it.secrets.yaml", {"database": {"password": PASSWORD}, "note": "x"})
    sealed = (stack.directory / "it.secrets.yaml").read_text()

    document = yaml.safe_load(sealed)
    del document["note"]
    (stack.directory / "it.secrets.yaml").write_text(yaml.safe_dump(document))
    assert "its MAC does not fit: the file was changed without sops" in stack.refused(
        key("it.secrets.yaml", alias="sealed")
    )

    other = kms.create_key()["KeyMetadata"]["Arn"]
    (stack.directory / "it.secrets.yaml").write_text(sealed.replace(outputs["alias_arn"], other))
    printed = " ".join(stack.refused(key("it.secrets.yaml", alias="sealed")).split())
    assert f"encrypted for {other}, but this stack's key is {outputs['arn']}" in printed

    # AWS answers so for a key that does not exist and for one that may not be used; the sandbox allows everything.
    document = yaml.safe_load(sealed)
    blob = base64.b64decode(document["sops"]["kms"][0]["enc"])
    document["sops"]["kms"][0]["enc"] = base64.b64encode(b"0" * 36 + blob[36:]).decode()
    (stack.directory / "it.secrets.yaml").write_text(yaml.safe_dump(document))
    printed = stack.refused(key("it.secrets.yaml", alias="sealed"))
    assert "KMS refuses this identity (kms:Decrypt)" in printed
    assert PASSWORD not in printed
    stack.destroy()


def role(existing_arn: str = "", **arguments: Any) -> str:
    given = {
        "organization": "acme",
        "organization_id": 7,
        "repository": "shop",
        "repository_id": 8,
        "environment": "dev",
        **arguments,
    }
    provider = {"existing_arn": existing_arn} if existing_arn else {}
    return f"""\
import pulumi
from pavedpath import DeployRole, GithubOidcProvider, SopsKey
provider = GithubOidcProvider("github", {provider!r})
role = DeployRole("deploy", {{"provider_arn": provider.arn, **{given!r}}})
key = SopsKey("deploy", {{"alias": "deploy", "decrypters": [role.arn]}})
pulumi.export("provider", provider.arn)
pulumi.export("role", role.arn)
pulumi.export("key", key.arn)
"""


def test_a_role_trusts_what_it_is_told_and_the_key_trusts_the_role(world: World) -> None:
    stack = Lifecycle.begin(world, "role")
    iam = world.aws("iam")
    assert stack.up(role()) == {
        "create": {
            "OpenIdConnectProvider github",
            "Role deploy",
            "Key deploy",
            "Alias deploy",
            "KeyPolicy deploy",
        }
    }
    assert stack.drift() == {}
    outputs = stack.outputs()
    name = outputs["role"].rpartition("/")[2]
    assert policy_of(world, outputs["key"])["Decrypt"]["Principal"] == {"AWS": [outputs["role"]]}

    boundary = iam.create_policy(
        PolicyName="limits",
        PolicyDocument=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::artifacts/*"}],
            }
        ),
    )["Policy"]["Arn"]
    statement = {"sid": "ReadArtifacts", "actions": ["s3:GetObject"], "resources": ["arn:aws:s3:::artifacts/*"]}
    wider: dict[str, Any] = {"branches": ["main"], "statements": [statement], "permissions_boundary_arn": boundary}
    assert stack.up(role(**wider)) == {"update": {"Role deploy"}, "create": {"RolePolicy deploy"}}
    assert stack.drift() == {}
    found = iam.get_role(RoleName=name)["Role"]
    assert found["PermissionsBoundary"]["PermissionsBoundaryArn"] == boundary
    (trust,) = found["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Condition"]["StringEquals"][f"{ISSUER}:sub"] == [
        "repo:acme/shop:environment:dev",
        "repo:acme/shop:ref:refs/heads/main",
        "repo:acme@7/shop@8:environment:dev",
        "repo:acme@7/shop@8:ref:refs/heads/main",
    ]

    assert stack.up(role()) == {"update": {"Role deploy"}, "delete": {"RolePolicy deploy"}}
    assert stack.drift() == {}
    arn = outputs["provider"]
    stack.up(role(existing_arn=arn))
    assert iam.list_open_id_connect_providers()["OpenIDConnectProviderList"] == []

    printed = stack.refused(role(environment="*", pull_requests=True, decrypt_key_arns=["arn:aws:kms:x"]))
    assert "give one name without wildcards" in printed
    assert "jobs of pull requests run code that nobody has reviewed" in printed
    stack.destroy()
    assert iam.list_roles()["Roles"] == []
