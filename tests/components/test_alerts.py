from collections.abc import Mapping
from typing import Any

import pytest
from pavedpath import Budget, DeploymentAlerts, InvalidArgumentsError

from tests.mocks import SECRET, run

ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
SUBSCRIPTION = "aws:sns/topicSubscription:TopicSubscription"
RULE = "kubernetes:monitoring.coreos.com/v1:PrometheusRule"
BUDGET = "aws:budgets/budget:Budget"
ALERTS: dict[str, Any] = {"environment": "dev", "cluster": "pavedpath-dev", "emails": ["ops@example.com"]}


def refused(component: type, arguments: Mapping[str, Any]) -> list[str]:
    with pytest.raises(InvalidArgumentsError) as caught:
        run(lambda: component("it", arguments))
    return [problem.argument for problem in caught.value.problems]


def test_each_half_stands_alone() -> None:
    cloudwatch = run(lambda: DeploymentAlerts("dev", ALERTS))  # pyright: ignore[reportArgumentType]  # a plain mapping
    assert len(cloudwatch.of_type(ALARM)) == 3
    assert cloudwatch.of_type(RULE) == []
    prometheus = run(lambda: DeploymentAlerts("dev", {"environment": "dev", "rule_namespace": "monitoring"}))
    assert [node.type_ for node in prometheus.nodes.values() if node.custom] == [RULE]


def test_the_topic_waits_for_the_policy_that_lets_alarms_use_its_key() -> None:
    graph = run(lambda: DeploymentAlerts("dev", ALERTS))  # pyright: ignore[reportArgumentType]  # a plain mapping
    policy = graph.one("aws:kms/keyPolicy:KeyPolicy")
    assert '"aws:SourceAccount": "123456789012"' in policy.inputs["policy"]
    assert policy.urn in graph.one("aws:sns/topic:Topic").depends_on


def test_silence_of_the_agent_is_told_and_the_end_of_a_pod_is_not() -> None:
    graph = run(lambda: DeploymentAlerts("dev", ALERTS))  # pyright: ignore[reportArgumentType]  # a plain mapping
    missing = {alarm.name: alarm.inputs["treatMissingData"] for alarm in graph.of_type(ALARM)}
    assert missing == {
        "dev-DeploymentFailed": "missing",
        "dev-PodCrashLooping": "notBreaching",
        "dev-ImageNotPulled": "notBreaching",
    }
    told = [alarm.name for alarm in graph.of_type(ALARM) if alarm.inputs.get("insufficientDataActions")]
    assert told == ["dev-DeploymentFailed"]


def test_an_endpoint_is_secret() -> None:
    given = {**ALERTS, "https_endpoints": {"pager": "https://pager.example/key"}}
    graph = run(lambda: DeploymentAlerts("dev", given))  # pyright: ignore[reportArgumentType]  # a plain mapping
    assert graph.one(SUBSCRIPTION, "dev-pager").inputs["endpoint"] == SECRET
    assert "pager.example" not in str(graph)


def test_every_bad_argument_of_alerts_is_named() -> None:
    given = {
        "environment": "dev-",
        "cluster": "-x",
        "emails": ["ops"],
        "https_endpoints": {"pager": "http://pager.example/key"},
        "deployments": [{"namespace": "Shop", "deployment": "api/web"}],
        "rule_namespace": "Monitoring",
        "namespaces": ["a|b"],
        "after_minutes": 0,
        "runbook_url": "wiki",
    }
    assert refused(DeploymentAlerts, given) == [
        "environment",
        "after_minutes",
        "runbook_url",
        "cluster",
        "emails",
        "https_endpoints.pager",
        "deployments",
        "deployments",
        "rule_namespace",
        "namespaces",
    ]


def test_a_misspelt_part_of_a_target_is_named_by_its_place() -> None:
    given = {**ALERTS, "deployments": [{"namespace": "shop", "name": "api"}]}
    assert refused(DeploymentAlerts, given) == ["deployments[0].name", "deployments[0].deployment"]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"environment": "dev"}, ["cluster"]),
        ({"environment": "dev", "cluster": "c"}, ["emails"]),
        ({"environment": "dev", "rule_namespace": "m", "emails": ["a@b.c"]}, ["emails"]),
        ({**ALERTS, "namespaces": ["shop"]}, ["namespaces"]),
    ],
)
def test_what_would_tell_nobody_is_refused(given: dict[str, Any], named: list[str]) -> None:
    assert refused(DeploymentAlerts, given) == named


def test_a_budget_tells_at_each_share() -> None:
    graph = run(lambda: Budget("dev", {"monthly_usd": 250, "emails": ["ops@example.com"], "environment": "dev"}))
    budget = graph.one(BUDGET).inputs
    assert budget["limitAmount"] == "250.00"
    assert budget["costFilters"] == [{"name": "TagKeyValue", "values": ["user:environment$dev"]}]
    told = [(each["notificationType"], each["threshold"]) for each in budget["notifications"]]
    assert told == [("ACTUAL", 80.0), ("ACTUAL", 100.0), ("FORECASTED", 100.0)]


def test_a_budget_of_the_account_tells_a_topic() -> None:
    graph = run(lambda: Budget("all", {"monthly_usd": 1000, "topic_arn": "arn:aws:sns:us-east-1:123456789012:t"}))
    budget = graph.one(BUDGET).inputs
    assert "costFilters" not in budget
    assert {tuple(each["subscriberSnsTopicArns"]) for each in budget["notifications"]} == {
        ("arn:aws:sns:us-east-1:123456789012:t",)
    }


def test_every_bad_argument_of_a_budget_is_named() -> None:
    given = {
        "monthly_usd": float("nan"),
        "emails": ["ops", *[f"a{number}@b.c" for number in range(10)]],
        "environment": " ",
        "actual_percent": [0],
        "forecast_percent": [1001],
    }
    assert refused(Budget, given) == [
        "monthly_usd",
        "emails",
        "emails",
        "environment",
        "actual_percent",
        "forecast_percent",
    ]
    assert refused(Budget, {"monthly_usd": 1, "actual_percent": [], "forecast_percent": []}) == [
        "emails",
        "actual_percent",
    ]
