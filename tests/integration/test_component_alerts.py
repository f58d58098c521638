"""Alerts and budgets against the real engine; the rules against Prometheus's own program."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from pavedpath.alerts import RUNBOOK, rule_groups

from tests.integration.conftest import World
from tests.integration.lifecycle import Lifecycle

pytestmark = pytest.mark.integration

# What the Prometheus operator's chart brings, as far as this test needs it.
RULE_KIND: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "prometheusrules.monitoring.coreos.com"},
    "spec": {
        "group": "monitoring.coreos.com",
        "names": {"kind": "PrometheusRule", "plural": "prometheusrules", "singular": "prometheusrule"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                    }
                },
            }
        ],
    },
}
ALARMS = {"DeploymentFailed", "PodCrashLooping", "ImageNotPulled"}


def alerts(**arguments: Any) -> str:
    return f"""\
import pulumi
from pavedpath import DeploymentAlerts
alerts = DeploymentAlerts("alerts", {{"environment": "dev", **{arguments!r}}})
pulumi.export("topic", alerts.topic_arn)
pulumi.export("alarms", alerts.alarm_names)
"""


CLOUDWATCH: dict[str, Any] = {
    "cluster": "pavedpath-dev",
    "emails": ["ops@example.com"],
    "https_endpoints": {"pager": "https://events.example.com/integration/very-secret-key/enqueue"},
}


def test_alarms_live_and_die(world: World) -> None:
    stack = Lifecycle.begin(world, "alarms")
    made = stack.up(alerts(**CLOUDWATCH))
    assert made == {
        "create": {
            *{f"MetricAlarm alerts-{kind}" for kind in ALARMS},
            *{f"{kind} alerts-alerts" for kind in ("Key", "Alias", "KeyPolicy")},
            *{f"{kind} alerts" for kind in ("Topic", "TopicPolicy")},
            "TopicSubscription alerts-ops@example.com",
            "TopicSubscription alerts-pager",
        }
    }
    assert stack.drift() == {}
    topic = stack.outputs()["topic"]
    attributes = world.aws("sns").get_topic_attributes(TopicArn=topic)["Attributes"]
    assert "key/" in attributes["KmsMasterKeyId"]
    assert "cloudwatch.amazonaws.com" in attributes["Policy"]
    found = world.aws("cloudwatch").describe_alarms()["MetricAlarms"]
    assert {alarm["AlarmName"] for alarm in found} == {f"dev-{kind}" for kind in ALARMS}
    assert {action for alarm in found for action in alarm["AlarmActions"]} == {topic}
    assert "very-secret-key" not in stack.pulumi("stack", "export")

    changed = stack.up(alerts(**CLOUDWATCH, after_minutes=10))
    assert changed == {"update": {f"MetricAlarm alerts-{kind}" for kind in ALARMS}}
    assert stack.drift() == {}

    one = {"namespace": "shop", "deployment": "api"}
    changed = stack.up(alerts(**CLOUDWATCH, after_minutes=10, deployments=[one]))
    assert changed == {
        "create": {f"MetricAlarm alerts-{kind}-shop-api" for kind in ALARMS},
        "delete": {f"MetricAlarm alerts-{kind}" for kind in ALARMS},
    }
    stack.destroy()
    assert world.aws("cloudwatch").describe_alarms()["MetricAlarms"] == []
    assert world.aws("sns").list_topics()["Topics"] == []


def test_a_rule_lives_and_dies(world: World) -> None:
    with world.kubernetes() as cluster:
        made = cluster.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", json=RULE_KIND)
        assert made.status_code in (201, 409), made.text
        stack = Lifecycle.begin(world, "rules")
        rule: dict[str, Any] = {"rule_namespace": "default", "rule_labels": {"release": "prometheus"}}
        assert stack.up(alerts(**rule)) == {"create": {"PrometheusRule alerts"}}
        assert stack.drift() == {}
        assert stack.outputs() == {"topic": "", "alarms": []}
        path = "/apis/monitoring.coreos.com/v1/namespaces/default/prometheusrules/deployments-dev"
        there = cluster.get(path).json()
        assert there["metadata"]["labels"]["release"] == "prometheus"
        assert there["spec"]["groups"][0]["rules"][0]["alert"] == "DeploymentFailed"
        assert stack.up(alerts(**rule, namespaces=["shop"])) == {"update": {"PrometheusRule alerts"}}
        assert 'namespace=~"shop"' in cluster.get(path).json()["spec"]["groups"][0]["rules"][0]["expr"]
        assert stack.drift() == {}
        stack.destroy()
        assert cluster.get(path).status_code == 404


def test_a_budget_lives_and_dies(world: World) -> None:
    stack = Lifecycle.begin(world, "budget")
    program = """\
import pulumi
from pavedpath import Budget
Budget("dev", {"monthly_usd": %d, "emails": ["ops@example.com"], "environment": "dev"})
"""
    assert stack.up(program % 250) == {"create": {"Budget dev"}}
    assert stack.drift() == {}
    assert stack.up(program % 300) == {"update": {"Budget dev"}}
    stack.destroy()


@pytest.fixture
def promtool(tmp_path: Path) -> "Promtool":
    program = shutil.which("promtool")
    if program is None:
        missing = "no promtool on PATH. Fix: apt-get install prometheus"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return Promtool(program, tmp_path)


class Promtool:
    """Prometheus's own checks of the rules."""

    def __init__(self, program: str, directory: Path) -> None:
        self.program = program
        self.directory = directory

    def run(self, action: str, name: str, document: dict[str, Any]) -> str:
        path = self.directory / f"{name}.yaml"
        path.write_text(yaml.safe_dump(document))
        done = subprocess.run(
            [self.program, action, "rules", str(path)], capture_output=True, text=True, check=False, timeout=400
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def firing(
        self, alert: str, series: dict[str, str], expected: dict[str, list[dict[str, str]]], **rules: Any
    ) -> None:
        """Hold that the alert fires with these labels at these times, given samples that are a minute apart."""
        groups = rule_groups("dev", **rules)
        annotations = next(rule["annotations"] for rule in groups[0]["rules"] if rule["alert"] == alert)
        labels = {
            "severity": next(rule["labels"]["severity"] for rule in groups[0]["rules"] if rule["alert"] == alert),
            "environment": "dev",
        }

        def filled(text: str, own: dict[str, str]) -> str:
            for key, value in own.items():
                text = text.replace(f"{{{{ $labels.{key} }}}}", value)
            return text

        self.run("check", "rules", {"groups": groups})
        checks = [
            {
                "eval_time": time,
                "alertname": alert,
                "exp_alerts": [
                    {
                        "exp_labels": {**labels, **own},
                        "exp_annotations": {key: filled(text, own) for key, text in annotations.items()},
                    }
                    for own in alerts
                ],
            }
            for time, alerts in expected.items()
        ]
        test = {
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "alert_rule_test": checks,
        }
        self.run("test", "test", {"rule_files": ["rules.yaml"], "evaluation_interval": "30s", "tests": [test]})


API = {"namespace": "shop", "deployment": "api"}
AT_API = 'namespace="shop",deployment="api"'
AT_POD = 'namespace="shop",pod="api-1",container="api",uid="u"'
POD = {"namespace": "shop", "pod": "api-1", "container": "api"}


class TestRules:
    def test_are_promql(self, promtool: Promtool) -> None:
        checked = promtool.run("check", "all", {"groups": rule_groups("dev", ["a-b", "c"], 60, "https://wiki.example")})
        assert f"{len(RUNBOOK)} rules found" in checked

    def test_a_deployment_has_failed_after_five_minutes_and_not_before(self, promtool: Promtool) -> None:
        # Unavailable from minute 2 to minute 11; another deployment is always well.
        promtool.firing(
            "DeploymentFailed",
            {
                f"kube_deployment_status_replicas_unavailable{{{AT_API}}}": "0x1 1x9 0x9",
                'kube_deployment_status_replicas_unavailable{namespace="shop",deployment="web"}': "0x20",
            },
            {"6m30s": [], "7m": [API], "11m": [API], "12m": []},
        )

    def test_a_short_rollout_is_no_failure(self, promtool: Promtool) -> None:
        series = {f"kube_deployment_status_replicas_unavailable{{{AT_API}}}": "1x4 0x0 1x4 0x9"}
        promtool.firing("DeploymentFailed", series, {f"{minute}m": [] for minute in range(16)})

    def test_a_rollout_that_gave_up_has_failed_even_if_all_old_pods_serve(self, promtool: Promtool) -> None:
        condition = f'kube_deployment_status_condition{{{AT_API},condition="Progressing"'
        promtool.firing(
            "DeploymentFailed",
            {
                # Its reason changes on the way, which must not start the five minutes anew.
                f'{condition},status="false",reason="ProgressDeadlineExceeded"}}': "1x3 stale",
                f'{condition},status="false",reason="ReplicaSetCreateError"}}': "_x3 1x20",
                f'{condition},status="true"}}': "0x20",
                f"kube_deployment_status_replicas_unavailable{{{AT_API}}}": "0x20",
            },
            {"4m": [], "5m": [API]},
        )

    def test_the_time_can_be_chosen(self, promtool: Promtool) -> None:
        series = {f"kube_deployment_status_replicas_unavailable{{{AT_API}}}": "1x30"}
        promtool.firing("DeploymentFailed", series, {"9m": [], "10m": [API]}, minutes=10)

    def test_other_namespaces_can_be_left_out(self, promtool: Promtool) -> None:
        series = {
            f"kube_deployment_status_replicas_unavailable{{{AT_API}}}": "1x30",
            'kube_deployment_status_replicas_unavailable{namespace="shopping",deployment="api"}': "1x30",
        }
        promtool.firing("DeploymentFailed", series, {"10m": [API]}, namespaces=["shop", "web"])

    def test_too_few_replicas_without_progress(self, promtool: Promtool) -> None:
        series = {
            f"kube_deployment_spec_replicas{{{AT_API}}}": "3x60",
            f"kube_deployment_status_replicas_available{{{AT_API}}}": "2x60",
            # Pods are still being updated until minute 5.
            f"kube_deployment_status_replicas_updated{{{AT_API}}}": "0+1x5 5x60",
        }
        promtool.firing("DeploymentReplicasMismatch", series, {"20m": [], "31m": [API]})

    def test_a_crash_loop_is_seen_through_its_short_runs_and_one_crash_is_none(self, promtool: Promtool) -> None:
        metric = f'kube_pod_container_status_waiting_reason{{{AT_POD},reason="CrashLoopBackOff"}}'
        promtool.firing("PodCrashLooping", {metric: "1x1 _ 1x1 _ 1x1 _ 1x9"}, {"4m": [], "6m": [POD]})
        promtool.firing("PodCrashLooping", {metric: "1x0 _x20"}, {f"{minute}m": [] for minute in range(12)})

    def test_an_image_that_is_not_there(self, promtool: Promtool) -> None:
        metric = f"kube_pod_container_status_waiting_reason{{{AT_POD},reason="
        series = {f'{metric}"ErrImagePull"}}': "1x1 _x1 1x1 _x9", f'{metric}"ImagePullBackOff"}}': "_x1 1x1 _x1 1x9"}
        promtool.firing("ImageNotPulled", series, {"4m": [], "6m": [POD]})

    def test_a_failed_job_at_once(self, promtool: Promtool) -> None:
        job = 'namespace="shop",job_name="migrate"'
        series = {
            f'kube_job_failed{{{job},condition="true",reason="BackoffLimitExceeded"}}': "0 1x9",
            f'kube_job_failed{{{job},condition="false"}}': "1 0x9",
        }
        promtool.firing("JobFailed", series, {"0m": [], "1m": [{"namespace": "shop", "job_name": "migrate"}]})

    def test_nobody_watches(self, promtool: Promtool) -> None:
        series = {f"kube_deployment_status_replicas_unavailable{{{AT_API}}}": "0x9 stale"}
        promtool.firing("DeploymentsNotObserved", series, {"20m": [], "26m": [{}]})
