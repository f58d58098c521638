"""The policy pack in the real engine: what it stops, and when."""

import re
import shutil
from datetime import UTC, datetime, timedelta

import pytest

from tests.integration.conftest import ROOT, World
from tests.integration.lifecycle import Lifecycle

pytestmark = pytest.mark.integration

HEAD = """\
import json
import pulumi
import pulumi_aws as aws

TAGS = {"owner": "platform", "environment": "it", "project": "shop"}
"""
GROUP = """
aws.ec2.SecurityGroup(
    "web",
    name="web",
    tags=TAGS,
    ingress=[{"protocol": "tcp", "from_port": 22, "to_port": 22, "cidr_blocks": ["0.0.0.0/0"]}],
)
"""
CLOSED = GROUP.replace("0.0.0.0/0", "10.0.0.0/8")
ROLE = """
role = aws.iam.Role(
    "deploy",
    name="deploy",
    tags=TAGS,
    assume_role_policy=json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}},
        }
    ),
)
"""
# Known only when the topic exists: a preview cannot see what it allows.
LATE = """
topic = aws.sns.Topic("news", name="news", kms_master_key_id="alias/aws/sns", tags=TAGS)
aws.iam.RolePolicy(
    "deploy",
    name="deploy",
    role=role.name,
    policy=topic.arn.apply(
        lambda arn: json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Action": ["s3:*"], "Resource": ["*", arn]}],
            }
        )
    ),
)
"""
BUCKET = """
aws.s3.Bucket("logs", bucket="logs-of-it", acl="public-read", tags={"owner": "platform"})
"""


class Guarded(Lifecycle):
    """A project with the pack beside its Pulumi.yaml, worked on with `pavedpath stack`."""

    def write(self, *parts: str) -> None:
        (self.directory / "__main__.py").write_text("".join((HEAD, *parts)))

    def stack(self, *arguments: str, expect: int = 0) -> str:
        return self.world.stack(*arguments, "--cwd", str(self.directory), expect=expect)

    def types(self) -> set[str]:
        """The types of what the stack has."""
        exported: dict[str, dict[str, list[dict[str, str]]]] = self.world.json(
            "pulumi", "stack", "export", "-s", "it", "-C", str(self.directory)
        )
        return {each["type"] for each in exported["deployment"].get("resources") or []}


@pytest.fixture(scope="module")
def guarded(world: World) -> Guarded:
    made = Guarded.begin(world, "guarded")
    shutil.copytree(ROOT / "policy", made.directory / "policy", ignore=shutil.ignore_patterns("__pycache__"))
    assert isinstance(made, Guarded)
    return made


def groups(world: World) -> list[str]:
    found = world.aws("ec2").describe_security_groups()["SecurityGroups"]
    return [each["GroupName"] for each in found if each["GroupName"] == "web"]


def test_a_preview_with_an_open_security_group_is_stopped_with_rule_resource_and_fix(guarded: Guarded) -> None:
    guarded.write(GROUP)
    printed = guarded.stack("preview", "it", expect=5)
    assert (
        "policy: no-open-ingress  No security group lets the whole internet in.\n"
        "  aws:ec2:SecurityGroup web\n"
        "    port 22 is open to 0.0.0.0/0\n"
        "    Fix: name the networks or the security group that connect, or put a load balancer"
    ) in printed
    assert printed.count("no-open-ingress") == 1
    assert "nothing was changed" in printed
    assert not re.search(r"error: preview failed|Traceback", printed)


def test_up_stops_before_anything_is_created_and_tells_all_rules_at_once(guarded: Guarded, world: World) -> None:
    guarded.write(GROUP, BUCKET, ROLE)
    printed = guarded.stack("up", "it", expect=5)
    for rule in ("no-open-ingress", "no-public-bucket", "bucket-public-access-block", "required-tags"):
        assert printed.count(f"policy: {rule}  ") == 1, printed
    assert "it has no tag environment, project" in printed
    assert "created aws" not in printed
    assert groups(world) == []
    assert world.aws("s3").list_buckets()["Buckets"] == []
    assert guarded.types() <= {"pulumi:pulumi:Stack", "pulumi:providers:aws"}


def test_by_hand_the_engine_stops_too(guarded: Guarded, world: World) -> None:
    guarded.write(GROUP)
    for command in (["preview"], ["up", "--yes"]):
        printed = guarded.pulumi(*command, "--policy-pack", "policy", expect=1)
        assert "no-open-ingress" in printed
        assert "port 22 is open to 0.0.0.0/0" in printed
        assert "[mandatory]" in printed
    assert groups(world) == []


def test_what_only_the_update_can_know_is_stopped_at_its_resource(guarded: Guarded, world: World) -> None:
    guarded.write(CLOSED, ROLE, LATE)
    assert "RolePolicy deploy  create" in guarded.stack("preview", "it")
    printed = guarded.stack("up", "it", expect=5)
    assert "statement number 1 allows s3:* on every resource" in printed
    assert world.aws("iam").list_role_policies(RoleName="deploy")["PolicyNames"] == []
    assert "aws:iam/rolePolicy:RolePolicy" not in guarded.types()


def test_an_exemption_lets_one_resource_through(guarded: Guarded, world: World) -> None:
    guarded.write(GROUP, ROLE)
    exemption = guarded.directory / "policy" / "exemptions.toml"
    text = """\
[[exemption]]
rule = "no-open-ingress"
urn = "urn:pulumi:it::guarded::aws:ec2/securityGroup:SecurityGroup::web"
reason = "public by purpose"
until = {until}
"""
    exemption.write_text(text.format(until="2020-01-31"))
    assert "port 22 is open to 0.0.0.0/0 (its exemption ended on 2020-01-31)" in guarded.stack(
        "preview", "it", expect=5
    )
    exemption.write_text(text.format(until=(datetime.now(UTC) + timedelta(days=1)).date().isoformat()))
    guarded.stack("up", "it")
    assert groups(world) == ["web"]
    exemption.write_text("[[exemption]]\n")
    assert "exemptions.toml: exemption 1: rule must be a text" in guarded.stack("preview", "it", expect=1)
    exemption.unlink()


def test_what_keeps_the_rules_goes_through_and_changes_nothing_twice(guarded: Guarded, world: World) -> None:
    guarded.write(CLOSED, ROLE)
    printed = guarded.stack("up", "it")
    assert "Checking it" in printed
    assert "policy" not in printed
    assert "no changes" in guarded.stack("preview", "it", "--expect-no-changes")
    guarded.stack("down", "--yes", "it")
    assert groups(world) == []


def test_the_stacks_of_the_project_keep_the_rules(world: World) -> None:
    assert (world.directory / "policy" / "PulumiPolicy.yaml").is_file()
    assert "Checking shared" in world.stack("up", "shared")
    assert "resources would change" in world.stack("preview", "dev")
