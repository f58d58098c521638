import json
from collections.abc import Mapping
from typing import Any

import pavedpath
import pytest
from pavedpath import InvalidArgumentsError, RunnerFleet
from pavedpath_runners.configuration import DEFAULT_BUDGETS, Budget, Fleet, Level

from tests.components.test_contract import SMALLEST
from tests.mocks import SECRET, Graph, run

ARGUMENTS: Mapping[str, Any] = SMALLEST["RunnerFleet"] or {}
FUNCTION = "aws:lambda/function:Function"
ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
RULE = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
LAYER = "aws:lambda/layerVersion:LayerVersion"


def fleet(**changes: Any) -> Graph:
    given: Any = {**ARGUMENTS, **changes}
    return run(lambda: RunnerFleet("dev", given))


def refused(**changes: Any) -> list[str]:
    with pytest.raises(InvalidArgumentsError) as caught:
        fleet(**changes)
    return [problem.argument for problem in caught.value.problems]


def told(graph: Graph) -> Fleet:
    return Fleet.from_json(graph.one("aws:ssm/parameter:Parameter").inputs["insecureValue"])


def test_a_fleet_with_one_pool_is_small() -> None:
    assert len(fleet(layer="layer.zip").nodes) <= 60


class TestConfiguration:
    def test_tells_the_functions_what_was_asked_for_and_what_was_made(self) -> None:
        pools = {
            "default": {"maximum": 4, "warm": {"hot": 1, "days": [0]}, "hourly_usd": {"m7g.large": 0.08}},
            "x64": {"architecture": "x64", "instance_types": ["m7i.xlarge"], "spot": False, "match": "exact"},
        }
        found = told(fleet(pools=pools, subnet_ids=["subnet-1", "subnet-2"], zones=["us-east-1a", "us-east-1b"]))
        default, other = found.pools
        assert (default.maximum, default.warm.hot, default.warm.days) == (4, 1, (0,))
        assert default.labels == ("self-hosted", "linux", "arm64", "dev")
        assert default.instance_types[0] == "m7g.large"
        assert default.launch_template_id == "pavedpath-dev-default-id"
        assert (other.labels[2], other.instance_types, other.spot) == ("x64", ("m7i.xlarge",), False)
        assert found.zones == {"subnet-1": "us-east-1a", "subnet-2": "us-east-1b"}
        assert (found.repositories, found.app_id, found.installation_id) == (("shop",), 1, 2)

    def test_of_a_plan_without_groups_registers_with_each_repository(self) -> None:
        graph = fleet(level="repository", plan="free", repositories={"shop": 8, "orders": 9})
        assert graph.of_type("github:index/actionsRunnerGroup:ActionsRunnerGroup") == []
        assert graph.of_type("github:index/organizationWebhook:OrganizationWebhook") == []
        hooks = graph.of_type("github:index/repositoryWebhook:RepositoryWebhook")
        assert {hook.inputs["repository"] for hook in hooks} == {"shop", "orders"}
        found = told(graph)
        assert (found.level, set(found.repository_hooks)) == (Level.REPOSITORY, {"shop", "orders"})
        assert refused(plan="free") == ["level"]

    def test_tells_nothing_of_what_is_left_as_it_is(self) -> None:
        text = fleet().one("aws:ssm/parameter:Parameter").inputs["insecureValue"]
        limits = {
            "interruptions",
            "grace_seconds",
            "orphan_minutes",
            "record_days",
            "delivery_days",
            "attempts",
            "budgets",
        }
        assert limits & set(json.loads(text)) == set()

    def test_tells_the_limits_that_are_set_and_keeps_the_other_budgets(self) -> None:
        limits = {
            "attempts": 3,
            "interruptions": 9,
            "grace_seconds": 600,
            "orphan_minutes": 30,
            "record_days": 90,
            "delivery_days": 14,
        }
        found = told(fleet(**limits, budgets={"ec2": {"capacity": 200, "per_second": 20}, "jit": {"reserve": 1}}))
        assert {name: getattr(found, name) for name in limits} == limits
        assert found.budgets == {
            "github": DEFAULT_BUDGETS["github"],
            "jit": Budget(capacity=20, per_second=2, reserve=1),
            "ec2": Budget(capacity=200, per_second=20, reserve=20),
        }


class TestMachines:
    def test_give_nothing_away(self) -> None:
        template = fleet().one(TEMPLATE).inputs
        assert template["metadataOptions"]["httpTokens"] == "required"
        assert template["metadataOptions"]["httpPutResponseHopLimit"] == 1
        assert template["networkInterfaces"][0]["associatePublicIpAddress"] == "false"
        assert template["blockDeviceMappings"][0]["ebs"]["encrypted"] == "true"
        assert template["instanceInitiatedShutdownBehavior"] == "terminate"

    def test_take_no_connection_and_reach_the_internet_by_https_alone(self) -> None:
        graph = fleet()
        assert graph.of_type("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule") == []
        (way,) = graph.of_type(RULE)
        assert (way.inputs["cidrIpv4"], way.inputs["fromPort"], way.inputs["toPort"]) == ("0.0.0.0/0", 443, 443)

    def test_reach_what_is_listed_and_nothing_else(self) -> None:
        ways = fleet(egress_cidrs=["10.0.0.0/8", "2600::/16"], egress_prefix_list_ids=["pl-63a5400a"]).of_type(RULE)
        assert {
            way.inputs.get("cidrIpv4") or way.inputs.get("cidrIpv6") or way.inputs["prefixListId"] for way in ways
        } == {
            "10.0.0.0/8",
            "2600::/16",
            "pl-63a5400a",
        }
        (only,) = fleet(egress_prefix_list_ids=["pl-63a5400a"]).of_type(RULE)
        assert only.inputs["prefixListId"] == "pl-63a5400a"

    def test_may_take_their_own_configuration_and_nothing_else(self) -> None:
        policy = json.loads(fleet().one("aws:iam/rolePolicy:RolePolicy", "dev-machine").inputs["policy"])
        (statement,) = policy["Statement"]
        assert statement["Condition"] == {
            "StringEquals": {"aws:ResourceTag/pavedpath:instance": "${ec2:SourceInstanceARN}"}
        }

    def test_carry_the_tags_that_are_given(self) -> None:
        specifications = fleet(tags={"owner": "platform"}).one(TEMPLATE).inputs["tagSpecifications"]
        tags = {each["resourceType"]: each["tags"] for each in specifications}
        assert tags["instance"] == {"owner": "platform"}
        assert tags["volume"] == {"owner": "platform", "pavedpath:fleet": "dev", "Name": "pavedpath-dev-default"}


class TestFunctions:
    def test_run_one_after_another_where_two_would_be_too_many(self) -> None:
        graph = fleet()
        concurrency = {each.name: each.inputs["reservedConcurrentExecutions"] for each in graph.of_type(FUNCTION)}
        assert concurrency == {"dev-webhook": -1, "dev-launch": -1, "dev-reconcile": 1, "dev-interruption": -1}

    def test_have_their_rights_and_their_log_before_they_are_called(self) -> None:
        graph = fleet()
        for function in graph.of_type(FUNCTION):
            before = {urn.split("::")[-2].split("$")[-1] for urn in function.depends_on}
            assert {"aws:iam/rolePolicy:RolePolicy", "aws:cloudwatch/logGroup:LogGroup"} <= before

    def test_are_not_seen_twice_by_a_message_while_they_run(self) -> None:
        graph = fleet()
        seconds = graph.one(FUNCTION, "dev-launch").inputs["timeout"]
        queue = graph.one("aws:sqs/queue:Queue", "dev-launch").inputs
        assert queue["visibilityTimeoutSeconds"] >= 6 * seconds
        assert json.loads(queue["redrivePolicy"])["deadLetterTargetArn"].endswith("dev-launch-dead")

    def test_have_no_layer_one_that_is_made_or_one_that_is_there(self) -> None:
        assert "layers" not in fleet().one(FUNCTION, "dev-launch").inputs
        made = fleet(layer="build/layer.zip")
        assert made.one(LAYER).inputs["compatibleArchitectures"] == ["arm64"]
        assert made.one(FUNCTION, "dev-launch").inputs["layers"] == [made_arn(made)]
        arn = "arn:aws:lambda:us-east-1:123456789012:layer:cryptography:3"
        there = fleet(layer=arn)
        assert there.of_type(LAYER) == []
        assert there.one(FUNCTION, "dev-launch").inputs["layers"] == [arn]


def made_arn(graph: Graph) -> str:
    return f"arn:aws:lambda:us-east-1:123456789012:{graph.one(LAYER).name}"


class TestSecrets:
    def test_the_webhooks_goes_to_aws_and_github_and_stays_secret(self) -> None:
        graph = fleet()
        assert graph.one("aws:secretsmanager/secretVersion:SecretVersion").inputs["secretString"] == SECRET
        hook = graph.one("github:index/organizationWebhook:OrganizationWebhook").inputs["configuration"]
        assert hook == SECRET or hook["secret"] == SECRET
        assert ARGUMENTS["webhook_secret"] not in repr(graph)

    def test_the_apps_key_is_left_to_people(self) -> None:
        graph = fleet()
        secrets = {each.name for each in graph.of_type("aws:secretsmanager/secret:Secret")}
        versions = {each.name for each in graph.of_type("aws:secretsmanager/secretVersion:SecretVersion")}
        assert secrets - versions == {"dev-app-key"}

    def test_a_key_of_ones_own_is_used_for_them_and_for_the_ledger(self) -> None:
        key = "arn:aws:kms:us-east-1:123456789012:key/1"
        graph = fleet(kms_key_arn=key)
        assert {each.inputs["kmsKeyId"] for each in graph.of_type("aws:secretsmanager/secret:Secret")} == {key}
        assert graph.one("aws:dynamodb/table:Table").inputs["serverSideEncryption"]["kmsKeyArn"] == key
        assert key in graph.one("aws:iam/rolePolicy:RolePolicy", "dev-webhook").inputs["policy"]


class TestAlarms:
    def test_tell_the_topic_and_say_what_to_do(self) -> None:
        topic = "arn:aws:sns:us-east-1:123456789012:dev"
        for alarm in fleet(alarm_topic_arn=topic).of_type(ALARM):
            assert (alarm.inputs["alarmActions"], alarm.inputs["okActions"]) == ([topic], [topic])
            assert len(alarm.inputs["alarmDescription"]) > 40

    def test_silence_of_the_reconciler_is_told(self) -> None:
        missing = {each.name: each.inputs["treatMissingData"] for each in fleet().of_type(ALARM)}
        assert missing.pop("dev-OldestWaitingJob") == "breaching"
        assert set(missing.values()) == {"notBreaching"}

    def test_watch_all_functions_as_one(self) -> None:
        queries = fleet().one(ALARM, "dev-FunctionErrors").inputs["metricQueries"]
        watched = [each["metric"]["dimensions"]["FunctionName"] for each in queries if "metric" in each]
        assert watched == [f"pavedpath-dev-fleet-{each}" for each in ("webhook", "launch", "reconcile", "interruption")]


def test_every_bad_argument_is_named() -> None:
    assert refused(
        environment="dev-",
        organization="ac me",
        subnet_ids=[],
        zones=["us-east-1a"],
        egress_cidrs=["everywhere"],
        egress_prefix_list_ids=["pl"],
        tags={"pavedpath:fleet": "prod"},
        pools={
            "Default": {"instance_types": ["large"], "spot": False, "on_demand": False, "maximum": 0},
            "b": {"labels": ["gpu"], "image_parameter": "runner", "warm": {"days": [7], "from_hour": 25}},
        },
        repositories={"a b": 8},
        github_app={"app_id": 0, "installation_id": 2},
        webhook_secret="short",
        api_url="http://github.example",
        attempts=0,
        launch_concurrency=1,
        interruptions=0,
        grace_seconds=30,
        orphan_minutes=0,
        record_days=1,
        delivery_days=1,
        budgets={"s3": {}, "ec2": {"capacity": 30}, "github": {"capacity": 1, "per_second": 0, "reserve": -1}},
        runner={"version": "v2", "sha256": {"x64": "0" * 63}},
    ) == [
        "environment",
        "organization",
        "subnet_ids",
        "zones",
        "egress_cidrs",
        "egress_prefix_list_ids",
        "tags",
        "pools",
        "pools.Default.instance_types",
        "pools.Default.on_demand",
        "pools.Default.maximum",
        "pools.b.image_parameter",
        "pools.b.labels",
        "pools.b.warm.from_hour",
        "pools.b.warm.days",
        "repositories",
        "github_app.app_id",
        "webhook_secret",
        "api_url",
        "attempts",
        "launch_concurrency",
        "interruptions",
        "grace_seconds",
        "orphan_minutes",
        "record_days",
        "delivery_days",
        "budgets",
        "budgets.ec2.reserve",
        "budgets.github.capacity",
        "budgets.github.per_second",
        "budgets.github.reserve",
        "runner",
        "runner",
        "runner.sha256",
    ]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"pools": {}}, ["pools"]),
        ({"pools": {f"p{number}": {"labels": ["self-hosted", f"l{number}"]} for number in range(21)}}, ["pools"]),
        ({"pools": {"a": {}, "b": {}}}, ["pools.b.labels"]),
        (
            {"pools": {"a": {"labels": ["self-hosted", "Big"]}, "b": {"labels": ["big", "self-hosted"]}}},
            ["pools.b.labels"],
        ),
        ({"pools": {"a": {"maximum": 3, "warm": {"hot": 2, "stopped": 2}}}}, ["pools.a.warm.stopped"]),
        ({"pools": {"a": {"on_demand": False, "warm": {"stopped": 1}}}}, ["pools.a.warm.stopped"]),
        ({"pools": {"a": {"diskgb": 1}}}, ["pools.a.diskgb"]),
        ({"environment": "linux"}, ["environment"]),
        ({"repositories": {}}, ["repositories"]),
        ({"egress_cidrs": []}, ["egress_cidrs"]),
        ({"budgets": {"ec2": {"capcity": 9}}}, ["budgets.ec2.capcity"]),
        ({"budgets": {"ec2": {"per_second": float("nan")}}}, ["budgets.ec2.per_second"]),
    ],
    ids=[
        "none",
        "too-many",
        "same",
        "same-but-case",
        "over-maximum",
        "spot-alone",
        "misspelt",
        "reserved",
        "nobody",
        "cut-off",
        "misspelt-budget",
        "no-number",
    ],
)
def test_what_could_not_work_is_refused(changes: dict[str, Any], named: list[str]) -> None:
    assert refused(**changes) == named


def test_the_webhooks_secret_is_not_shown_when_it_is_refused() -> None:
    problems = pavedpath.RunnerFleet.check({**ARGUMENTS, "webhook_secret": "recognisable"})
    assert [problem.argument for problem in problems] == ["webhook_secret"]
    assert "recognisable" not in str(problems)
