"""A runner fleet against the real engine and the real AWS and GitHub providers."""

import base64
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
from pavedpath import runner_fleet_layer
from pavedpath.runner_fleet_functions import sources
from pavedpath_runners.configuration import Fleet, LabelMatch, Level
from pavedpath_runners.machine import Machine, user_data

from tests.integration.conftest import ROOT, World
from tests.integration.lifecycle import Lifecycle

pytestmark = pytest.mark.integration

FUNCTIONS = ("webhook", "launch", "reconcile", "interruption")
SECRET = "a-secret-that-nobody-can-guess"


def program(**arguments: Any) -> str:
    given: dict[str, Any] = {
        "environment": "it",
        "organization": "acme",
        "pools": {"default": {}},
        "github_app": {"app_id": 1, "installation_id": 2},
        **arguments,
    }
    return f"""\
import pulumi
import pulumi_github as github
from pavedpath import RunnerFleet, Vpc, tag_everything
tag_everything({{"project": "fleet", "environment": "it", "owner": "tests"}})
zones = ["us-east-1a", "us-east-1b"]
net = Vpc("net", {{"cidr": "10.0.0.0/20", "zones": zones, "tiers": ["private"], "flow_log_days": 0}})
shop = github.Repository("shop", name="shop", visibility="private")
fleet = RunnerFleet("fleet", {{
    "vpc_id": net.vpc_id,
    "subnet_ids": net.private_subnet_ids,
    "repositories": {{"shop": shop.repo_id}},
    "webhook_secret": pulumi.Output.secret({SECRET!r}),
    **{given!r},
}})
for name in type(fleet).__annotations__:
    pulumi.export(name, getattr(fleet, name))
pulumi.export("subnets", net.private_subnet_ids)
pulumi.export("shop", shop.repo_id)
"""


def configuration(world: World) -> Fleet:
    value = world.aws("ssm").get_parameter(Name="/pavedpath/it/configuration")["Parameter"]["Value"]
    return Fleet.from_json(value)


def test_a_fleet_lives_and_dies(world: World) -> None:
    stack = Lifecycle.begin(world, "fleet")
    made = stack.up(program())["create"]
    assert {f"Function fleet-{each}" for each in FUNCTIONS} <= made
    assert stack.drift() == {}  # and nothing that the program would change
    assert SECRET not in stack.pulumi("stack", "export")
    outputs = stack.outputs()

    fleet = configuration(world)
    assert (fleet.name, fleet.organization, fleet.repositories) == ("it", "acme", ("shop",))
    (pool,) = fleet.pools
    assert pool.labels == ("self-hosted", "linux", "arm64", "it")
    assert pool.subnet_ids == tuple(outputs["subnets"])
    assert pool.launch_template_id == outputs["launch_template_ids"]["default"]
    check_functions(world, outputs)
    check_queues_and_table(world, outputs)
    check_launch_template(world, pool.launch_template_id)
    check_github(world, fleet, outputs)

    # Another pool and other limits: what is there stays, and the functions are told.
    pools = {"default": {"maximum": 3, "disk_gb": 50}, "big": {"labels": ["self-hosted", "big"], "match": "exact"}}
    changed = stack.up(program(pools=pools, log_days=90))
    assert "replace" not in changed
    assert "delete" not in changed
    assert changed["create"] == {"LaunchTemplate pavedpath-it-big"}
    default, big = configuration(world).pools
    assert (default.maximum, big.match, big.labels) == (3, LabelMatch.EXACT, ("self-hosted", "big"))
    stack.destroy()
    assert world.aws("lambda").list_functions()["Functions"] == []
    assert world.aws("dynamodb").list_tables()["TableNames"] == []


def test_a_fleet_of_a_plan_without_groups_registers_with_its_repositories(world: World) -> None:
    stack = Lifecycle.begin(world, "fleet-free")
    made = stack.up(program(level="repository", plan="free"))["create"]
    assert "RepositoryWebhook fleet-shop" in made
    assert not made & {"OrganizationWebhook fleet", "ActionsRunnerGroup fleet"}
    told = configuration(world)
    assert (told.level, told.hook_id, list(told.repository_hooks)) == (Level.REPOSITORY, 0, ["shop"])
    with world.github() as github:
        (hook,) = github.get("/repos/acme/shop/hooks").json()
        assert hook["id"] == told.repository_hooks["shop"]
    stack.destroy()


def check_functions(world: World, outputs: dict[str, Any]) -> None:
    client = world.aws("lambda")
    assert outputs["function_names"] == {each: f"pavedpath-it-fleet-{each}" for each in FUNCTIONS}
    for name in FUNCTIONS:
        found = client.get_function(FunctionName=outputs["function_names"][name])
        settings = found["Configuration"]
        assert settings["Handler"] == f"pavedpath_runners.functions.{name}.handler"
        assert (settings["Runtime"], settings["Architectures"]) == ("python3.13", ["arm64"])
        variables = settings["Environment"]["Variables"]
        assert variables["PAVEDPATH_FLEET_PARAMETER"] == outputs["configuration_parameter"]
        assert variables["PAVEDPATH_TABLE"] == outputs["table_name"]
        assert variables["PAVEDPATH_QUEUE_URL"] == outputs["queue_url"]
        secrets = world.aws("secretsmanager")
        assert secrets.get_secret_value(SecretId=variables["PAVEDPATH_WEBHOOK_SECRET"])["SecretString"] == SECRET
        with pytest.raises(secrets.exceptions.ResourceNotFoundException):
            secrets.get_secret_value(SecretId=variables["PAVEDPATH_APP_KEY_SECRET"])
    (mapping,) = client.list_event_source_mappings()["EventSourceMappings"]
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["EventSourceArn"].endswith(":pavedpath-it-launch.fifo")
    reconcile = client.get_function_concurrency(FunctionName=outputs["function_names"]["reconcile"])
    assert reconcile["ReservedConcurrentExecutions"] == 1
    schedule = world.aws("scheduler").get_schedule(Name="pavedpath-it-fleet")
    assert (schedule["ScheduleExpression"], schedule["State"]) == ("rate(1 minute)", "ENABLED")
    rules = world.aws("events").list_rules()["Rules"]
    assert {rule["Name"] for rule in rules} == {"pavedpath-it-fleet-interruption", "pavedpath-it-fleet-state"}


def check_queues_and_table(world: World, outputs: dict[str, Any]) -> None:
    sqs = world.aws("sqs")
    attributes = sqs.get_queue_attributes(QueueUrl=outputs["queue_url"], AttributeNames=["All"])["Attributes"]
    assert (attributes["FifoQueue"], attributes["VisibilityTimeout"]) == ("true", "360")
    redrive = json.loads(attributes["RedrivePolicy"])
    assert redrive["deadLetterTargetArn"].endswith(":pavedpath-it-launch-dead.fifo")
    assert '"aws:SecureTransport"' in attributes["Policy"]
    dynamodb = world.aws("dynamodb")
    table = dynamodb.describe_table(TableName=outputs["table_name"])["Table"]
    (index,) = table["GlobalSecondaryIndexes"]
    assert [each["AttributeName"] for each in index["KeySchema"]] == ["open", "at"]
    ttl = dynamodb.describe_time_to_live(TableName=outputs["table_name"])["TimeToLiveDescription"]
    assert ttl["AttributeName"] == "expires"
    alarms = {each["AlarmName"] for each in world.aws("cloudwatch").describe_alarms()["MetricAlarms"]}
    kinds = {
        "LostJobs",
        "OldestWaitingJob",
        "QueueTime",
        "DeadLetters",
        "FailedCalls",
        "LaunchQueueAge",
        "FunctionErrors",
    }
    assert alarms == {f"pavedpath-it-fleet-{kind}" for kind in kinds}


def check_launch_template(world: World, identity: str) -> None:
    ec2 = world.aws("ec2")
    found = ec2.describe_launch_template_versions(LaunchTemplateId=identity, Versions=["$Default"])
    data = found["LaunchTemplateVersions"][0]["LaunchTemplateData"]
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert data["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    assert data["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert data["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] is True
    assert data["ImageId"].startswith("resolve:ssm:/aws/service/ami-amazon-linux-latest/")
    assert base64.b64decode(data["UserData"]).decode() == user_data(Machine("it"))
    (interface,) = data["NetworkInterfaces"]
    assert interface["AssociatePublicIpAddress"] is False
    (group,) = ec2.describe_security_groups(GroupIds=interface["Groups"])["SecurityGroups"]
    assert group["IpPermissions"] == []
    assert [(each["FromPort"], each["ToPort"]) for each in group["IpPermissionsEgress"]] == [(443, 443)]


def check_github(world: World, fleet: Fleet, outputs: dict[str, Any]) -> None:
    with world.github() as github:
        hook = github.get(f"/orgs/acme/hooks/{fleet.hook_id}").json()
        assert (hook["events"], hook["config"]["url"]) == (["workflow_job"], outputs["webhook_url"])
        assert (hook["config"]["content_type"], str(hook["config"]["insecure_ssl"])) == ("json", "0")
        group = f"/orgs/acme/actions/runner-groups/{fleet.runner_group_id}"
        assert github.get(group).json()["allows_public_repositories"] is False
        allowed = github.get(f"{group}/repositories").json()["repositories"]
        assert [each["id"] for each in allowed] == [outputs["shop"]]


def test_the_archive_is_the_same_wherever_its_files_lie(world: World, tmp_path: Path) -> None:
    stack = Lifecycle.begin(world, "archive")
    copies: dict[str, str] = {}
    for name, path in reversed(sources().items()):
        copy = tmp_path / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
        copy.chmod(0o600)
        copies[name] = str(copy)
    stack.up(f"""\
import pulumi
import pulumi_aws as aws
from pavedpath.runner_fleet_functions import code
from pavedpath.runner_fleet_policies import assumed_by
role = aws.iam.Role("role", assume_role_policy=assumed_by("lambda.amazonaws.com"))
copies = pulumi.AssetArchive({{name: pulumi.FileAsset(path) for name, path in {copies!r}.items()}})
for name, archive in (("one", code()), ("two", copies)):
    aws.lambda_.Function(name, name=name, runtime="python3.13", handler="x.y", role=role.arn, code=archive)
""")
    client = world.aws("lambda")
    one, two = (client.get_function(FunctionName=name)["Configuration"] for name in ("one", "two"))
    assert (one["CodeSha256"], one["CodeSize"]) == (two["CodeSha256"], two["CodeSize"])
    stack.destroy()


def test_the_layer_is_for_the_functions_machines_and_the_same_every_time(tmp_path: Path) -> None:
    uv = shutil.which("uv") or str(ROOT / ".toolchain/uv/bin/uv")
    for name in ("one.zip", "two.zip"):
        runner_fleet_layer.build(tmp_path / name, uv)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        native = [name for name in archive.namelist() if name.endswith(".so")]
        assert {name.split("/")[1].partition(".")[0] for name in native} == {"_cffi_backend", "cryptography"}
        # Source: ELF-64, e_machine: 183 is AArch64.
        assert {archive.read(name)[18] for name in native} == {183}


def test_mistakes_are_refused_before_the_first_resource(world: World) -> None:
    stack = Lifecycle.begin(world, "fleet-mistakes")
    given = {
        "environment": "it",
        "organization": "acme",
        "vpc_id": "vpc-1",
        "subnet_ids": ["subnet-1"],
        "repositories": {"shop": 1},
        "pools": {"default": {"spot": False, "on_demand": False}},
        "github_app": {"app_id": 1, "installation_id": 2},
        "webhook_secret": "too-short",
    }
    printed = stack.refused(f"from pavedpath import RunnerFleet\nRunnerFleet('fleet', {given!r})\n")
    assert "RunnerFleet 'fleet': 2 problems in its arguments" in printed
    assert "too-short" not in printed
