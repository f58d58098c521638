"""Alerts on deployments that fail, from CloudWatch and from Prometheus."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as kubernetes

from .budget import EMAIL
from .component import Component
from .errors import Problem
from .iam import ResourceStatement, key_administration, resource_policy
from .names import NAMESPACE, NameRule
from .shapes import read

_ENVIRONMENT = NameRule(
    r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,39}[A-Za-z0-9])?",
    "it becomes part of names in AWS and in the cluster",
    "use up to 41 letters, digits, _ and -, not _ or - at an end",
)
_DEPLOYMENT = NameRule(
    # Source: Kubernetes, "Names", DNS subdomain; Container Insights cuts its pods' names to it.
    r"(?=.{1,253}$)[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*",
    "Kubernetes refuses this name",
    "use a-z, 0-9, - and .",
)
_CLUSTER = NameRule(
    r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}",  # AWS, API reference of EKS CreateCluster
    "EKS refuses this name",
    "give the cluster's name as `aws eks list-clusters` prints it",
)

RUNBOOK: Mapping[str, str] = {
    "DeploymentFailed": (
        "1. kubectl rollout status and describe of the deployment say why. 2. kubectl logs --previous of a pod that"
        " is not ready. 3. If the newest release is the cause: helm history, then roll back to the last revision that"
        " was deployed; an atomic release that failed has already rolled back, so look before rolling back twice."
    ),
    "DeploymentReplicasMismatch": (
        "1. kubectl describe of the newest replica set: quota, admission or scheduling refuses its pods."
        " 2. Free or add capacity, or raise the quota."
    ),
    "PodCrashLooping": (
        "1. kubectl logs --previous of the pod. 2. kubectl describe: out of memory (137), a failing probe, a missing"
        " Secret or ConfigMap. 3. Roll back if a release brought it."
    ),
    "ImageNotPulled": (
        "1. kubectl describe of the pod names the image. 2. Does the tag or digest exist, and may this account pull"
        " it? 3. Deploy an image that exists."
    ),
    "JobFailed": "1. kubectl logs of the job's pods. 2. Delete the failed job after looking: that ends the alert.",
    "DeploymentsNotObserved": (
        "Nobody would be told of a failed deployment now. 1. Does the agent (kube-state-metrics, CloudWatch agent) run?"
        " 2. Is it scraped, may it write?"
    ),
}
"""What to do about each alert: text of an alarm and annotation of a rule."""


class DeploymentTarget(TypedDict):
    """One deployment of the cluster."""

    namespace: str
    """Its namespace."""
    deployment: str
    """Its name."""


class DeploymentAlertsArgs(TypedDict):
    """Arguments of `DeploymentAlerts`."""

    environment: str
    """Name of the environment: part of the topic's and the alarms' names, label of the rules."""
    cluster: NotRequired[str]
    """Name of the EKS cluster, whose Container Insights the CloudWatch alarms read. Default: no topic, no alarms."""
    emails: NotRequired[Sequence[str]]
    """Addresses that the alarms write to; each must confirm once. Default: none."""
    https_endpoints: NotRequired[Mapping[str, pulumi.Input[str]]]
    """Addresses (https://…) that the alarms post to, by a name of yours, for example pagerduty; kept secret, since they
    hold a key as a rule. Default: none."""
    deployments: NotRequired[Sequence[DeploymentTarget]]
    """Deployments that get alarms of their own. Default: alarms over all deployments of the cluster."""
    rule_namespace: NotRequired[str]
    """Namespace that the PrometheusRule is made in; it and the operator's CRD must exist. Default: no rule."""
    rule_labels: NotRequired[Mapping[str, str]]
    """Labels of the PrometheusRule, by which the operator selects it, for example release: kube-prometheus-stack.
    Default: none."""
    namespaces: NotRequired[Sequence[str]]
    """Namespaces that the rules watch. Default: all."""
    after_minutes: NotRequired[int]
    """How long a deployment must have failed, 1 to 60 minutes. Default: 5."""
    runbook_url: NotRequired[str]
    """Page (https://…) with a section for each alert, named as it in lower case. Default: the rules carry text only."""


@dataclass(frozen=True)
class Target:
    """See `DeploymentTarget`."""

    namespace: str
    deployment: str


@dataclass(frozen=True)
class _DeploymentAlerts:
    environment: str
    cluster: str | None = None
    emails: Sequence[str] = ()
    https_endpoints: Mapping[str, pulumi.Input[str]] = field(default_factory=dict[str, pulumi.Input[str]])
    deployments: Sequence[Target] = ()
    rule_namespace: str | None = None
    rule_labels: Mapping[str, str] = field(default_factory=dict[str, str])
    namespaces: Sequence[str] = ()
    after_minutes: int = 5
    runbook_url: str | None = None

    def problems(self) -> Iterator[Problem]:
        yield from _ENVIRONMENT.check("environment", self.environment)
        if not 1 <= self.after_minutes <= 60:
            yield Problem("after_minutes", self.after_minutes, "it is not 1 to 60 minutes", "choose 5, for example")
        if self.runbook_url is not None and not self.runbook_url.startswith("https://"):
            yield Problem("runbook_url", self.runbook_url, "it is no https address", "give the page's full address")
        if self.cluster is None and self.rule_namespace is None:
            fix = "give cluster (CloudWatch), rule_namespace (Prometheus) or both"
            yield Problem("cluster", None, "nothing would alert", fix)
        yield from self._cloudwatch_problems()
        yield from self._rule_problems()

    def _cloudwatch_problems(self) -> Iterator[Problem]:
        if self.cluster is None:
            for argument in ("emails", "https_endpoints", "deployments"):
                if getattr(self, argument):
                    yield Problem(argument, None, "only the alarms use it", "give cluster too, or leave it out")
        else:
            yield from _CLUSTER.check("cluster", self.cluster)
            if not self.emails and not self.https_endpoints:
                yield Problem("emails", self.emails, "nobody would be told", "give emails or https_endpoints")
        for address in self.emails:
            if not EMAIL.fullmatch(address):
                yield Problem("emails", address, "it is no address", "write it as name@example.com")
        for name, endpoint in self.https_endpoints.items():
            if isinstance(endpoint, str) and not endpoint.startswith("https://"):
                # Not shown: it holds a key as a rule.
                yield Problem(f"https_endpoints.{name}", None, "it is no https address", "SNS posts to https://… only")
        for target in self.deployments:
            yield from NAMESPACE.check("deployments", target.namespace)
            yield from _DEPLOYMENT.check("deployments", target.deployment)

    def _rule_problems(self) -> Iterator[Problem]:
        if self.rule_namespace is None:
            for argument in ("rule_labels", "namespaces"):
                if getattr(self, argument):
                    yield Problem(argument, None, "only the rule uses it", "give rule_namespace too, or leave it out")
        for argument, names in (
            ("rule_namespace", [self.rule_namespace] if self.rule_namespace is not None else []),
            ("namespaces", self.namespaces),
        ):
            for name in names:
                yield from NAMESPACE.check(argument, name)


@dataclass(frozen=True)
class Alarm:
    """A CloudWatch alarm on a metric of Container Insights, which has a value a minute.

    Attributes:
        kind: which alert it is, a key of `RUNBOOK`.
        scope: the deployment as namespace and name; empty for the whole cluster.
        metric: name of the metric; it alarms as soon as one deployment or pod has more than 0.
        breaches: how many of the last `minutes` values make the alarm.
        watched: missing values are told of too, because the metric is always there while somebody measures.
    """

    kind: str
    scope: tuple[str, ...]
    metric: str
    dimensions: Mapping[str, str]
    minutes: int
    breaches: int
    watched: bool = False

    @property
    def suffix(self) -> str:
        """Tail of the alarm's name."""
        return "-".join((self.kind, *self.scope))


def alarms(cluster: str, deployments: Sequence[Target], minutes: int) -> list[Alarm]:
    """Return the alarms over a cluster, or over some deployments of it.

    Source of the metrics and their dimensions: AWS, "Amazon EKS and Kubernetes Container Insights with enhanced
    observability metrics"; `PodName` is the deployment's name there.
    """
    places: list[tuple[tuple[str, ...], dict[str, str]]] = [
        (
            (target.namespace, target.deployment),
            {"ClusterName": cluster, "Namespace": target.namespace, "PodName": target.deployment},
        )
        for target in deployments
    ] or [((), {"ClusterName": cluster})]
    most = -(-minutes * 3 // 5)  # a container that crashes in a loop runs in between
    waiting = "pod_container_status_waiting_reason_"
    made: list[Alarm] = []
    for scope, at in places:
        made += [
            Alarm("DeploymentFailed", scope, "status_replicas_unavailable", at, minutes, minutes, watched=True),
            Alarm("PodCrashLooping", scope, f"{waiting}crash_loop_back_off", at, minutes, most),
            Alarm("ImageNotPulled", scope, f"{waiting}image_pull_error", at, minutes, most),
        ]
    return made


@dataclass(frozen=True)
class _Rule:
    """One alert of Prometheus, a key of `RUNBOOK`; `hold` is how long its expression must be true."""

    alert: str
    severity: str
    expr: str
    hold: str
    summary: str

    def render(self, environment: str, runbook_url: str | None) -> dict[str, Any]:
        annotations = {"summary": f"{self.summary} in {environment}", "description": RUNBOOK[self.alert]}
        if runbook_url:
            annotations["runbook_url"] = f"{runbook_url}#{self.alert.lower()}"
        labels = {"severity": self.severity, "environment": environment}
        return {"alert": self.alert, "expr": self.expr, "for": self.hold, "labels": labels, "annotations": annotations}


def rule_groups(
    environment: str, namespaces: Sequence[str] = (), minutes: int = 5, runbook_url: str | None = None
) -> list[dict[str, Any]]:
    """Return the groups of a PrometheusRule over kube-state-metrics.

    Each rule drops the labels that change while a fault lasts (pod's uid, reason), so that `for` is not started anew.
    There is none on the state of a Helm release: no metric of kube-state-metrics has it, and an atomic release that
    failed is not left failed.
    Source of the metrics: kube-state-metrics, docs/metrics/workload (deployment, pod, job).
    """
    only = f',namespace=~"{"|".join(sorted(set(namespaces)))}"' if namespaces else ""
    rules = [*_deployment_rules(only, minutes), *_other_rules(only, minutes)]
    return [
        {
            "name": f"deployments-{environment}".lower(),
            "rules": [rule.render(environment, runbook_url) for rule in rules],
        }
    ]


def _deployment_rules(only: str, minutes: int) -> list[_Rule]:
    every = f"{{{only.removeprefix(',')}}}" if only else ""
    deployment = "{{ $labels.namespace }}/{{ $labels.deployment }}"
    return [
        _Rule(
            "DeploymentFailed",
            "critical",
            "max by (namespace, deployment)"
            f' (kube_deployment_status_condition{{condition="Progressing",status="false"{only}}}) > 0\n'
            f"or\nmax by (namespace, deployment) (kube_deployment_status_replicas_unavailable{every}) > 0",
            f"{minutes}m",
            f"Deployment {deployment} has not become available for {minutes} minutes",
        ),
        _Rule(
            "DeploymentReplicasMismatch",
            "warning",
            "(\n"
            f"  max by (namespace, deployment) (kube_deployment_spec_replicas{every})\n"
            f"  > max by (namespace, deployment) (kube_deployment_status_replicas_available{every})\n"
            ") and (\n"
            "  max by (namespace, deployment)"
            f" (changes(kube_deployment_status_replicas_updated{every}[10m])) == 0\n)",
            "15m",
            f"Deployment {deployment} has too few replicas and makes no progress",
        ),
    ]


def _other_rules(only: str, minutes: int) -> list[_Rule]:
    # Long enough to see a container that crashes in a loop, which runs in between; shorter than `for`, or one crash
    # would do.
    window = f"{max(1, minutes // 2)}m"

    def waiting(reasons: str) -> str:
        metric = f'kube_pod_container_status_waiting_reason{{reason=~"{reasons}"{only}}}'
        return f"max by (namespace, pod, container) (max_over_time({metric}[{window}])) > 0"

    wait, pod = f"{minutes}m", "{{ $labels.namespace }}/{{ $labels.pod }}"
    return [
        _Rule("PodCrashLooping", "critical", waiting("CrashLoopBackOff"), wait, f"Pod {pod} crashes again and again"),
        _Rule(
            "ImageNotPulled",
            "critical",
            waiting("ErrImagePull|ImagePullBackOff|InvalidImageName"),
            wait,
            f"The image of pod {pod} cannot be pulled",
        ),
        _Rule(
            "JobFailed",
            "warning",
            f'max by (namespace, job_name) (kube_job_failed{{condition="true"{only}}}) > 0',
            "0m",
            "Job {{ $labels.namespace }}/{{ $labels.job_name }} failed",
        ),
        _Rule(
            "DeploymentsNotObserved",
            "critical",
            "absent(kube_deployment_status_replicas_unavailable)",
            "15m",
            "No deployment is observed",
        ),
    ]


def _publishers(account: str, actions: Sequence[str], resource: str) -> ResourceStatement:
    # Source: AWS, "Configuring Amazon SNS encryption with KMS for AWS service subscriptions"; Budgets may publish too,
    # so that an environment has one topic.
    return ResourceStatement(
        "PublishByAlarmsAndBudgets",
        {"Service": ["budgets.amazonaws.com", "cloudwatch.amazonaws.com"]},
        actions,
        [resource],
        conditions={"StringEquals": {"aws:SourceAccount": account}},
    )


def key_policy(key_arn: str) -> str:
    """Render the policy of the key that encrypts the topic.

    The key that AWS manages (aws/sns) would not do: its policy cannot be changed, and alarms may not use it.
    Source: AWS re:Post, "How do I configure a CloudWatch alarm to use an encrypted SNS topic?".
    """
    account = key_arn.split(":")[4]
    use = _publishers(account, ["kms:Decrypt", "kms:GenerateDataKey*"], "*")
    return resource_policy([key_administration(account), use])


def topic_policy(topic_arn: str) -> str:
    """Render the policy of the topic: alarms and budgets of its own account publish to it."""
    return resource_policy([_publishers(topic_arn.split(":")[4], ["sns:Publish"], topic_arn)])


class DeploymentAlerts(Component):
    """Alerts on failing deployments, for people.

    Creates: with `cluster`, an SNS topic that is encrypted with a KMS key of its own (rotated; alarms and budgets of
    the account may publish), its subscriptions, and the CloudWatch alarms of `alarms`: a deployment that is not
    available, pods that crash in a loop, images that cannot be pulled. They need Container Insights with enhanced
    observability in the cluster. With `rule_namespace`, a PrometheusRule with the rules of `rule_groups`, which needs
    the Prometheus operator and kube-state-metrics; Alertmanager delivers those.

    Raises:
        InvalidArgumentsError: before any resource, with every offender.
    """

    topic_arn: pulumi.Output[str]
    """ARN of the topic; empty without `cluster`."""
    alarm_names: pulumi.Output[Sequence[str]]
    """Names of the CloudWatch alarms."""

    def __init__(self, name: str, args: DeploymentAlertsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        parsed = read(_DeploymentAlerts, args, "DeploymentAlerts", name)
        super().__init__(name, opts)
        self.topic_arn = pulumi.Output.from_input("")
        self.alarm_names = pulumi.Output.from_input(list[str]())
        if parsed.cluster is not None:
            self.topic_arn = self._topic(name, parsed)
            found = alarms(parsed.cluster, parsed.deployments, parsed.after_minutes)
            self.alarm_names = pulumi.Output.all(*[self._alarm(name, parsed.environment, each) for each in found])
        if parsed.rule_namespace is not None:
            self._rule(name, parsed)
        self.register_outputs({"topic_arn": self.topic_arn, "alarm_names": self.alarm_names})

    def _topic(self, name: str, parsed: _DeploymentAlerts) -> pulumi.Output[str]:
        physical = f"{parsed.environment}-deployment-alerts"
        description = f"Encrypts the alerts of {parsed.environment}"
        # Not its own name alone: a stack's keys are told apart by it, and the SOPS key may well have that one.
        own = f"{name}-alerts"
        key = aws.kms.Key(own, description=description, enable_key_rotation=True, opts=self.child())
        aws.kms.Alias(own, name=f"alias/{physical}", target_key_id=key.key_id, opts=self.child())
        policy = aws.kms.KeyPolicy(own, key_id=key.key_id, policy=key.arn.apply(key_policy), opts=self.child())
        topic = aws.sns.Topic(name, name=physical, kms_master_key_id=key.arn, opts=self.child(depends_on=[policy]))
        aws.sns.TopicPolicy(name, arn=topic.arn, policy=topic.arn.apply(topic_policy), opts=self.child())
        for address in dict.fromkeys(parsed.emails):
            aws.sns.TopicSubscription(
                f"{name}-{address}", topic=topic.arn, protocol="email", endpoint=address, opts=self.child()
            )
        for service, endpoint in parsed.https_endpoints.items():
            aws.sns.TopicSubscription(
                f"{name}-{service}",
                topic=topic.arn,
                protocol="https",
                endpoint=pulumi.Output.secret(endpoint),
                opts=self.child(),
            )
        return topic.arn

    def _alarm(self, name: str, environment: str, alarm: Alarm) -> pulumi.Output[str]:
        made = aws.cloudwatch.MetricAlarm(
            f"{name}-{alarm.suffix}",
            name=f"{environment}-{alarm.suffix}",
            alarm_description=RUNBOOK[alarm.kind],
            namespace="ContainerInsights",
            metric_name=alarm.metric,
            dimensions=alarm.dimensions,
            statistic="Maximum",
            comparison_operator="GreaterThanThreshold",
            threshold=0,
            period=60,
            evaluation_periods=alarm.minutes,
            datapoints_to_alarm=alarm.breaches,
            # A pod's metrics end with the pod, a deployment's only with the agent that measures.
            treat_missing_data="missing" if alarm.watched else "notBreaching",
            alarm_actions=[self.topic_arn],
            ok_actions=[self.topic_arn],
            insufficient_data_actions=[self.topic_arn] if alarm.watched else None,
            opts=self.child(),
        )
        return made.name

    def _rule(self, name: str, parsed: _DeploymentAlerts) -> None:
        kubernetes.apiextensions.CustomResource(
            name,
            api_version="monitoring.coreos.com/v1",
            kind="PrometheusRule",
            metadata={
                "name": f"deployments-{parsed.environment}".lower().replace("_", "-"),
                "namespace": parsed.rule_namespace,
                "labels": parsed.rule_labels or None,
            },
            spec={
                "groups": rule_groups(parsed.environment, parsed.namespaces, parsed.after_minutes, parsed.runbook_url)
            },
            opts=self.child(),
        )
