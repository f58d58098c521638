import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pavedpath
import pytest
from pavedpath import InvalidArgumentsError, RunnerFleet
from pavedpath.runner_fleet_arguments import MOST_POOLS, RunnerFleetInput, configuration
from pavedpath.runner_fleet_machine import INSTANCE_TYPES, processor
from pavedpath.shapes import read
from pavedpath_runners import Architecture
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


@pytest.fixture
def layer(tmp_path: Path) -> str:
    archive = tmp_path / "layer.zip"
    archive.touch()
    return str(archive)


def test_a_fleet_with_one_pool_is_small(layer: str) -> None:
    assert len(fleet(layer=layer).nodes) <= 60


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

    def test_have_no_layer_one_that_is_made_or_one_that_is_there(self, layer: str) -> None:
        assert "layers" not in fleet().one(FUNCTION, "dev-launch").inputs
        made = fleet(layer=layer)
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


def pool(**arguments: Any) -> dict[str, Any]:
    return {"pools": {"a": arguments}}


def labels(*names: str) -> dict[str, Any]:
    return pool(labels=["self-hosted", *names])


def by_repository(**arguments: Any) -> dict[str, Any]:
    return {"level": "repository", **pool(**arguments)}


def priced(number: int) -> dict[str, Any]:
    """A pool of its own labels, with a price of each default type."""
    prices = dict.fromkeys(INSTANCE_TYPES[Architecture.ARM64], 0.0816)
    return {"labels": ["self-hosted", "linux", "arm64", "dev", f"pool-{number}"], "hourly_usd": prices}


NAN, INFINITE = float("nan"), float("inf")
# By name: what is given, and for each argument that is refused a part of its line.
MISTAKES: Mapping[str, tuple[dict[str, Any], dict[str, str]]] = {
    "no-pool": ({"pools": {}}, {"pools": "name at least one"}),
    "too-many-pools": (
        {"pools": {f"p{number}": {"labels": ["self-hosted", f"l{number}"]} for number in range(21)}},
        {"pools": "make a second fleet"},
    ),
    "same-labels": ({"pools": {"a": {}, "b": {}}}, {"pools.b.labels": "those of pool a"}),
    "same-labels-but-case": (
        {"pools": {"a": {"labels": ["self-hosted", "Big"]}, "b": {"labels": ["big", "self-hosted"]}}},
        {"pools.b.labels": "those of pool a"},
    ),
    "no-labels": (pool(labels=[]), {"pools.a.labels": "leave it out for the default"}),
    "empty-label": (labels(""), {"pools.a.labels": "blank"}),
    "blank-label": (labels(" "), {"pools.a.labels": "blank"}),
    "padded-label": (labels("big "), {"pools.a.labels": "without a space at an end"}),
    "two-labels-in-one": (labels("big,gpu"), {"pools.a.labels": "comma"}),
    "long-label": (labels("l" * 257), {"pools.a.labels": "256"}),
    "label-twice": (labels("big", "Big"), {"pools.a.labels": "more than once"}),
    "x64-type-for-arm64": (pool(instance_types=["m7g.large", "m7i.large"]), {"pools.a.instance_types": "m7i.large"}),
    "arm64-type-for-x64": (
        pool(architecture="x64", instance_types=["c7gd.large"]),
        {"pools.a.instance_types": "set architecture: arm64"},
    ),
    "no-types": (pool(instance_types=[]), {"pools.a.instance_types": "leave it out for the default"}),
    "over-maximum": (pool(maximum=3, warm={"hot": 2, "stopped": 2}), {"pools.a.warm.stopped": "maximum of 3"}),
    "stopped-spot": (pool(on_demand=False, warm={"stopped": 1}), {"pools.a.warm.stopped": "allow on_demand"}),
    "hot-spot-by-repository": (
        by_repository(on_demand=False, warm={"hot": 1, "stopped": 1}),
        {
            "pools.a.warm.stopped": "does not stop a spot machine",
            "pools.a.warm.hot": "at the level of repositories hot ones are stopped, too",
        },
    ),
    "no-time-to-sleep": (pool(boot_minutes=4, warm={"stopped": 1}), {"pools.a.boot_minutes": "give 5 or more"}),
    "no-time-to-sleep-by-repository": (
        by_repository(boot_minutes=2, warm={"hot": 1}),
        {"pools.a.boot_minutes": "give 5 or more"},
    ),
    "life-before-boot": (
        pool(lifetime_minutes=59, boot_minutes=30),
        {"pools.a.lifetime_minutes": "raise it to 60 or more"},
    ),
    "many-pools-with-prices": (
        {
            "pools": {f"pool-{number}": priced(number) for number in range(MOST_POOLS)},
            "subnet_ids": ["subnet-1", "subnet-2", "subnet-3"],
        },
        {"pools": "which holds 8,192 bytes"},
    ),
    "many-repositories": (
        {"repositories": {f"repository-{number:09}": number for number in range(1, 351)}},
        {"repositories": "make a second fleet"},
    ),
    "idle-beyond-life": (pool(idle_minutes=721), {"pools.a.idle_minutes": "lifetime_minutes are 720"}),
    "negative-price": (pool(hourly_usd={"m7g.large": -0.1}), {"pools.a.hourly_usd.m7g.large": "no price"}),
    "no-price": (pool(hourly_usd={"m7g.large": NAN}), {"pools.a.hourly_usd.m7g.large": "no price"}),
    "infinite-price": (pool(hourly_usd={"m7g.large": INFINITE}), {"pools.a.hourly_usd.m7g.large": "no price"}),
    "price-of-another": (
        pool(instance_types=["m7g.large"], hourly_usd={"m6g.large": 0.1}),
        {"pools.a.hourly_usd.m6g.large": "no such machines"},
    ),
    "shell-in-package": (pool(packages=["git; reboot"]), {"pools.a.packages": "no package's name"}),
    "option-as-package": (pool(packages=["--nogpgcheck"]), {"pools.a.packages": "not - in front"}),
    "empty-package": (pool(packages=[""]), {"pools.a.packages": "no package's name"}),
    "device": (pool(disk_device="xvda"), {"pools.a.disk_device": "/dev/xvda"}),
    "empty-image": (pool(image_parameter=""), {"pools.a.image_parameter": "no full name"}),
    "misspelt": (pool(diskgb=1), {"pools.a.diskgb": "did you mean 'disk_gb'?"}),
    "reserved": (
        {"environment": "linux", "pools": {"a": {}, "b": {"disk_device": "sda"}}},
        {"pools.b.disk_device": "no device", "environment": "choose another name"},
    ),
    "a-vpc": ({"vpc": "vpc-1"}, {"vpc": "did you mean 'vpc_id'?"}),
    "vpcs-name": ({"vpc_id": "main"}, {"vpc_id": "Vpc.vpc_id"}),
    "subnets-name": ({"subnet_ids": ["private-a"]}, {"subnet_ids": "Vpc.private_subnet_ids"}),
    "nobody": ({"repositories": {}}, {"repositories": "no job could run"}),
    "negative-repository": ({"repositories": {"shop": -4}}, {"repositories.shop": "numeric id"}),
    "cut-off": ({"egress_cidrs": []}, {"egress_cidrs": "no machine could reach GitHub"}),
    "short-secret": ({"webhook_secret": "s3cret"}, {"webhook_secret": "fewer than 20"}),
    "one-character": ({"webhook_secret": "x" * 32}, {"webhook_secret": "one character"}),
    "no-layer": ({"layer": "build/none.zip"}, {"layer": "make runner-layer"}),
    "empty-layer": ({"layer": ""}, {"layer": "no such file"}),
    "layer-without-version": (
        {"layer": "arn:aws:lambda:us-east-1:123456789012:layer:cryptography"},
        {"layer": "with its version"},
    ),
    "log-days": ({"log_days": 31}, {"log_days": "30, 60"}),
    "misspelt-budget": ({"budgets": {"ec2": {"capcity": 9}}}, {"budgets.ec2.capcity": "did you mean 'capacity'?"}),
    "no-rate": ({"budgets": {"ec2": {"per_second": NAN}}}, {"budgets.ec2.per_second": "above 0"}),
    "no-capacity": ({"budgets": {"github": {"capacity": NAN}}}, {"budgets.github.capacity": "10 or more"}),
    "no-end": ({"budgets": {"github": {"capacity": INFINITE}}}, {"budgets.github.capacity": "10 or more"}),
    "no-reserve": ({"budgets": {"github": {"reserve": NAN}}}, {"budgets.github.reserve": "from 0 to 700"}),
    "default-reserve": (
        {"budgets": {"github": {"capacity": 300}}},
        {"budgets.github.reserve": "= 200: it is the default, and not 0 to half of capacity (300)"},
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_what_could_not_work_is_refused(name: str) -> None:
    changes, expected = MISTAKES[name]
    with pytest.raises(InvalidArgumentsError) as caught:
        fleet(**changes)
    found = {problem.argument: str(problem) for problem in caught.value.problems}
    assert list(found) == list(expected)
    for argument, part in expected.items():
        assert part in found[argument]
        assert "\n" not in found[argument]


def test_what_is_at_the_edge_is_taken() -> None:
    edges: dict[str, Any] = {
        "labels": ["Self-Hosted", "l" * 256, "a b"],
        "lifetime_minutes": 10,
        "boot_minutes": 5,
        "idle_minutes": 10,
        "warm": {"hot": 1, "stopped": 1},
        "packages": ["gcc-c++", "perl-5:4", "@development", "libstdc++.x86_64", "a~b"],
        "disk_device": "/dev/sda1",
        "instance_types": ["p6-b200.48xlarge", "m7g.large"],
        "hourly_usd": {"m7g.large": 0},
    }
    # Webhooks may be remembered for longer than jobs: one of an older job is refused.
    given = {**ARGUMENTS, "pools": {"a": edges}, "log_days": 0, "record_days": 7, "delivery_days": 90}
    assert RunnerFleet.check(given) == []


@pytest.mark.parametrize("arguments", [pool(warm={"hot": 1}), by_repository()], ids=["awake", "none"])
def test_machines_that_never_sleep_may_boot_fast_and_be_of_spot_alone(arguments: dict[str, Any]) -> None:
    arguments["pools"]["a"] |= {"boot_minutes": 2, "on_demand": False}
    assert RunnerFleet.check({**ARGUMENTS, **arguments}) == []


@pytest.mark.parametrize(("level", "others"), [(Level.ORGANIZATION, 79), (Level.REPOSITORY, 37)], ids=str)
def test_a_configuration_is_taken_up_to_the_last_byte_that_its_parameter_holds(level: Level, others: int) -> None:
    given: dict[str, Any] = {**ARGUMENTS, "level": level, "zones": ["us-east-1a"]}
    names = [f"{number:095}" for number in range(others)]
    taken = [each for each in range(1, 101) if not RunnerFleet.check(with_repositories(given, *names, "x" * each))]
    assert taken == list(range(1, max(taken) + 1))
    stated = read(RunnerFleetInput, with_repositories(given, *names, "x" * max(taken)), "RunnerFleet", "dev")
    hooks = dict.fromkeys(stated.repositories if level is Level.REPOSITORY else [""], 678901234)
    # Ids as AWS and GitHub give them.
    told = configuration(stated, ["subnet-0a1b2c3d4e5f60718"], {"default": "lt-0a1b2c3d4e5f60718"}, hooks, 42)
    # A name stands there once, and once more where it has a webhook.
    assert 8192 - len(told.to_json()) in ((0, 1) if level is Level.REPOSITORY else (0,))
    (problem,) = RunnerFleet.check(with_repositories(given, *names, "x" * (max(taken) + 1)))
    assert problem.argument == "repositories"
    assert "8,193" in problem.why or "8,194" in problem.why


def with_repositories(given: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {**given, "repositories": dict.fromkeys(names, 8)}


@pytest.mark.parametrize(
    ("families", "expected"),
    [
        ("a1 c6gn c7gd g5g hpc7g i8ge im4gn is4gen m7g m8gb t4g x2gd", "arm64"),
        ("c5 g4ad g4dn g5 g6 gr6 hpc7a i3en inf2 m5zn m7a m7i m7i-flex p5 r7iz t3 t3a x2iedn z1d", "x64"),
        ("mac1 mac2 mac2-m2 p6-b200 p6e-gb200 trn2 u-6tb1 u7i-12tb quantum", None),
    ],
    ids=["arm64", "x64", "unsaid"],
)
def test_the_name_of_a_type_says_its_processor(families: str, expected: str | None) -> None:
    assert {processor(f"{each}.large") for each in families.split()} == {expected}


def test_the_default_types_are_of_their_architecture() -> None:
    for architecture, types in INSTANCE_TYPES.items():
        assert {processor(each) for each in types} == {architecture}


def test_the_webhooks_secret_is_not_shown_when_it_is_refused() -> None:
    problems = pavedpath.RunnerFleet.check({**ARGUMENTS, "webhook_secret": "recognisable"})
    assert [problem.argument for problem in problems] == ["webhook_secret"]
    assert "recognisable" not in str(problems)
