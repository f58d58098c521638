"""Self-hosted runners inside an environment's network: machines that live for one job, and what launches them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_github as github
from pavedpath_runners.configuration import Level
from pavedpath_runners.machine import Machine

from .component import Component
from .runner_fleet_alarms import RUNBOOK, FleetAlarm, fleet_alarms
from .runner_fleet_arguments import LAYER_ARN, RunnerFleetArgs, configuration
from .runner_fleet_arguments import RunnerFleetInput as _RunnerFleet
from .runner_fleet_functions import ARCHITECTURE, RUNTIME, SIZES, code
from .runner_fleet_machine import launch_template
from .runner_fleet_policies import (
    SCHEDULE_GROUP,
    FleetArns,
    Function,
    assumed_by,
    function_policy,
    machine_policy,
    queue_policy,
    schedule_policy,
    schedule_trust,
)
from .runner_group import RunnerGroup, numeric_id
from .secret import access_policy
from .shapes import read


@dataclass(frozen=True)
class _Queues:
    launch: aws.sqs.Queue
    dead: aws.sqs.Queue
    failures: aws.sqs.Queue


@dataclass(frozen=True)
class _Secrets:
    webhook: aws.secretsmanager.Secret
    app_key: aws.secretsmanager.Secret


class RunnerFleet(Component):
    """Self-hosted runners in a VPC: each machine runs one job and ends; none waits unless it is told to.

    Creates: the ledger (a DynamoDB table), the launch queue with its dead queue and a queue for failed calls, four
    functions with their roles, log groups, triggers and the webhook's URL; a launch template for each pool, their
    security group (no way in, port 443 out), role and instance profile; two secrets (the webhook's, and an empty one
    for the App's private key, which is put there by hand), the configuration as a parameter, and alarms; on GitHub the
    webhook and, at the level of the organisation, the runner group.

    Raises:
        InvalidArgumentsError: before any resource, with every offender.
    """

    webhook_url: pulumi.Output[str]
    """Address that GitHub sends to; only what is signed is read."""
    table_name: pulumi.Output[str]
    """Name of the ledger."""
    queue_url: pulumi.Output[str]
    """Address of the launch queue."""
    function_names: pulumi.Output[Mapping[str, str]]
    """Names of the functions webhook, launch, reconcile and interruption."""
    configuration_parameter: pulumi.Output[str]
    """Name of the parameter with the fleet's configuration."""
    app_key_secret: pulumi.Output[str]
    """Name of the secret that the App's private key (PEM) is put into by hand; until then nothing is launched."""
    runner_group_name: pulumi.Output[str]
    """Name of the runner group; empty at the level of repositories."""
    labels: pulumi.Output[Mapping[str, Sequence[str]]]
    """Labels of each pool: what a job's `runs-on` names."""
    launch_template_ids: pulumi.Output[Mapping[str, str]]
    """Id of each pool's launch template."""

    def __init__(self, name: str, args: RunnerFleetArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        parsed = read(_RunnerFleet, args, "RunnerFleet", name)
        super().__init__(name, opts)
        self._name, self._args = name, parsed
        self._physical = f"pavedpath-{parsed.environment}-fleet"
        prefix = f"pavedpath-{parsed.environment}"
        self._queue_names = {
            "launch": f"{prefix}-launch.fifo",
            "dead": f"{prefix}-launch-dead.fifo",
            "failures": f"{prefix}-failures",
        }
        self._parameter = f"/pavedpath/{parsed.environment}/configuration"
        table, queues, secrets = self._table(), self._queues(), self._secrets()
        machine_role, profile, group = self._machine_parts()
        templates = {pool: self._template(pool, group, profile) for pool in parsed.pools}
        logs = {function: self._log_group(function) for function in Function}
        arns = self._arns(table, queues, secrets, machine_role, profile, group, templates, logs)
        aws.iam.RolePolicy(
            f"{name}-machine", role=machine_role.id, policy=arns.apply(machine_policy), opts=self.child()
        )
        functions = self._functions(arns, table, queues, secrets, logs)
        url = self._triggers(functions, queues)
        hooks = self._webhooks(url)
        runner_group = self._runner_group()
        self._configuration(templates, hooks, runner_group)
        self._alarms()

        self.webhook_url = url
        self.table_name = table.name
        self.queue_url = queues.launch.url
        self.function_names = pulumi.Output.all(**{each.value: made.name for each, made in functions.items()})
        self.configuration_parameter = pulumi.Output.from_input(self._parameter)
        self.app_key_secret = secrets.app_key.name
        self.runner_group_name = runner_group.group_name if runner_group else pulumi.Output.from_input("")
        self.labels = pulumi.Output.from_input(
            {pool: list(each.named(parsed.environment)) for pool, each in parsed.pools.items()}
        )
        self.launch_template_ids = pulumi.Output.all(**{pool: each.id for pool, each in templates.items()})
        self.register_outputs({each: getattr(self, each) for each in type(self).__annotations__})

    def _table(self) -> aws.dynamodb.Table:
        key = self._args.kms_key_arn
        return aws.dynamodb.Table(
            self._name,
            name=self._physical,
            billing_mode="PAY_PER_REQUEST",
            hash_key="pk",
            attributes=[{"name": "pk", "type": "S"}, {"name": "open", "type": "S"}, {"name": "at", "type": "N"}],
            global_secondary_indexes=[
                {
                    "name": "open",
                    "key_schemas": [
                        {"attribute_name": "open", "key_type": "HASH"},
                        {"attribute_name": "at", "key_type": "RANGE"},
                    ],
                    "projection_type": "ALL",
                }
            ],
            ttl={"attribute_name": "expires", "enabled": True},
            point_in_time_recovery={"enabled": True},
            server_side_encryption={"enabled": True, "kms_key_arn": key} if key is not None else None,
            opts=self.keeper(),
        )

    def _queues(self) -> _Queues:
        fifo: dict[str, Any] = {
            "fifo_queue": True,
            # Each message is a group of its own (pavedpath_runners.adapters.sqs): none waits for another.
            "deduplication_scope": "messageGroup",
            "fifo_throughput_limit": "perMessageGroupId",
        }
        dead = self._queue("launch-dead", self._queue_names["dead"], message_retention_seconds=1209600, **fifo)
        redrive = dead.arn.apply(
            lambda arn: json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 5}, separators=(",", ":"))
        )
        # Source: AWS, "Using Lambda with Amazon SQS": six times the function's time-out.
        hidden = 6 * SIZES[Function.LAUNCH].seconds
        launch = self._queue(
            "launch", self._queue_names["launch"], visibility_timeout_seconds=hidden, redrive_policy=redrive, **fifo
        )
        return _Queues(
            launch, dead, self._queue("failures", self._queue_names["failures"], message_retention_seconds=1209600)
        )

    def _queue(self, suffix: str, physical: str, **options: Any) -> aws.sqs.Queue:
        own = f"{self._name}-{suffix}"
        queue = aws.sqs.Queue(own, name=physical, sqs_managed_sse_enabled=True, opts=self.child(), **options)
        aws.sqs.QueuePolicy(own, queue_url=queue.url, policy=queue.arn.apply(queue_policy), opts=self.child())
        return queue

    def _secrets(self) -> _Secrets:
        webhook = self._secret("webhook", "What GitHub signs the fleet's webhooks with")
        aws.secretsmanager.SecretVersion(
            f"{self._name}-webhook",
            secret_id=webhook.id,
            secret_string=pulumi.Output.secret(self._args.webhook_secret),
            opts=self.child(),
        )
        return _Secrets(webhook, self._secret("app-key", "Private key (PEM) of the fleet's GitHub App"))

    def _secret(self, suffix: str, description: str) -> aws.secretsmanager.Secret:
        own = f"{self._name}-{suffix}"
        secret = aws.secretsmanager.Secret(
            own,
            # A deleted secret keeps its name for a month, and another fleet of that name must not wait for it.
            name_prefix=f"pavedpath/{self._args.environment}/fleet/{suffix}-",
            description=description,
            kms_key_id=self._args.kms_key_arn,
            opts=self.keeper(),
        )
        aws.secretsmanager.SecretPolicy(
            own,
            secret_arn=secret.arn,
            policy=secret.arn.apply(access_policy),
            block_public_policy=True,
            opts=self.child(),
        )
        return secret

    def _machine_parts(self) -> tuple[aws.iam.Role, aws.iam.InstanceProfile, aws.ec2.SecurityGroup]:
        own = f"{self._name}-machine"
        role = aws.iam.Role(
            own,
            assume_role_policy=assumed_by("ec2.amazonaws.com"),
            description=f"Machines of the runner fleet {self._args.environment}",
            opts=self.child(),
        )
        profile = aws.iam.InstanceProfile(own, role=role.name, opts=self.child())
        # No rule of its own: a group that states none lets nothing in or out.
        group = aws.ec2.SecurityGroup(
            own,
            vpc_id=self._args.vpc_id,
            description=f"Runners of {self._args.environment}: nothing in, HTTPS out",
            opts=self.child(),
        )
        for where in (*self._args.egress, *self._args.egress_prefix_list_ids):
            listed = where.startswith("pl-")
            aws.vpc.SecurityGroupEgressRule(
                f"{self._name}-{where}",
                security_group_id=group.id,
                ip_protocol="tcp",
                from_port=443,
                to_port=443,
                cidr_ipv4=None if listed or ":" in where else where,
                cidr_ipv6=where if ":" in where else None,
                prefix_list_id=where if listed else None,
                opts=self.child(),
            )
        return role, profile, group

    def _template(
        self, pool: str, group: aws.ec2.SecurityGroup, profile: aws.iam.InstanceProfile
    ) -> aws.ec2.LaunchTemplate:
        stated = self._args.pools[pool]
        machine = Machine(
            self._args.environment,
            stated.architecture,
            stated.boot_minutes,
            stated.lifetime_minutes,
            stated.packages,
            self._args.runner,
            allow_forks=self._args.allow_forks,
        )
        disk = (stated.disk_device, stated.disk_gb)
        name = f"pavedpath-{self._args.environment}-{pool}"
        return launch_template(self, name, machine, stated.image, disk, group.id, profile.arn, self._args.tags)

    def _log_group(self, function: Function) -> aws.cloudwatch.LogGroup:
        return aws.cloudwatch.LogGroup(
            f"{self._name}-{function}",
            name=f"/aws/lambda/{self._physical}-{function}",
            retention_in_days=self._args.log_days,
            opts=self.keeper(),
        )

    def _arns(
        self,
        table: aws.dynamodb.Table,
        queues: _Queues,
        secrets: _Secrets,
        machine_role: aws.iam.Role,
        profile: aws.iam.InstanceProfile,
        group: aws.ec2.SecurityGroup,
        templates: Mapping[str, aws.ec2.LaunchTemplate],
        logs: Mapping[Function, aws.cloudwatch.LogGroup],
    ) -> pulumi.Output[FleetArns]:
        known: pulumi.Output[dict[str, Any]] = pulumi.Output.all(
            table=table.arn,
            queue=queues.launch.arn,
            failures=queues.failures.arn,
            webhook_secret=secrets.webhook.arn,
            app_key=secrets.app_key.arn,
            machine_role=machine_role.arn,
            instance_profile=profile.arn,
            security_group=group.id,
            subnets=self._args.subnet_ids,
            launch_templates=pulumi.Output.all(*[each.arn for each in templates.values()]),
            logs=pulumi.Output.all(**{function.value: each.arn for function, each in logs.items()}),
            kms_key=self._args.kms_key_arn,
        )
        images = sorted({pool.image for pool in self._args.pools.values()})

        def complete(given: dict[str, Any]) -> FleetArns:
            _, partition, _, region, account, _ = given["queue"].split(":", 5)
            configuration = f"arn:{partition}:ssm:{region}:{account}:parameter{self._parameter}"
            by_function = {Function(each): arn for each, arn in given.pop("logs").items()}
            return FleetArns(
                fleet=self._args.environment,
                configuration=configuration,
                image_parameters=images,
                logs=by_function,
                **given,
            )

        return known.apply(complete)

    def _functions(
        self,
        arns: pulumi.Output[FleetArns],
        table: aws.dynamodb.Table,
        queues: _Queues,
        secrets: _Secrets,
        logs: Mapping[Function, aws.cloudwatch.LogGroup],
    ) -> dict[Function, aws.lambda_.Function]:
        variables = {
            "PAVEDPATH_FLEET_PARAMETER": self._parameter,
            "PAVEDPATH_TABLE": table.name,
            "PAVEDPATH_QUEUE_URL": queues.launch.url,
            "PAVEDPATH_WEBHOOK_SECRET": secrets.webhook.arn,
            "PAVEDPATH_APP_KEY_SECRET": secrets.app_key.arn,
        }
        layers, archive = self._layers(), code()
        made: dict[Function, aws.lambda_.Function] = {}
        for function, size in SIZES.items():
            own = f"{self._name}-{function}"
            role = aws.iam.Role(
                own,
                assume_role_policy=assumed_by("lambda.amazonaws.com"),
                description=f"Function {function} of the runner fleet {self._args.environment}",
                opts=self.child(),
            )
            document = arns.apply(lambda known, function=function: function_policy(function, known))
            policy = aws.iam.RolePolicy(own, role=role.id, policy=document, opts=self.child())
            made[function] = aws.lambda_.Function(
                own,
                name=f"{self._physical}-{function}",
                runtime=RUNTIME,
                architectures=[ARCHITECTURE],
                handler=f"pavedpath_runners.functions.{function}.handler",
                code=archive,
                layers=layers,
                role=role.arn,
                timeout=size.seconds,
                memory_size=size.megabytes,
                reserved_concurrent_executions=size.concurrency,
                environment={"variables": variables},
                # Called before, it would make a log group of its own, and lack its rights.
                opts=self.child(depends_on=[policy, logs[function]]),
            )
        return made

    def _layers(self) -> list[pulumi.Input[str]] | None:
        layer = self._args.layer
        if layer is None:
            return None
        if LAYER_ARN.fullmatch(layer):
            return [layer]
        made = aws.lambda_.LayerVersion(
            self._name,
            layer_name=f"{self._physical}-dependencies",
            code=pulumi.FileArchive(layer),
            compatible_architectures=[ARCHITECTURE],
            compatible_runtimes=[RUNTIME],
            opts=self.child(),
        )
        return [made.arn]

    def _triggers(self, functions: Mapping[Function, aws.lambda_.Function], queues: _Queues) -> pulumi.Output[str]:
        aws.lambda_.EventSourceMapping(
            f"{self._name}-launch",
            event_source_arn=queues.launch.arn,
            function_name=functions[Function.LAUNCH].arn,
            # One job a call: no job waits for the machine of another.
            batch_size=1,
            function_response_types=["ReportBatchItemFailures"],
            scaling_config={"maximum_concurrency": self._args.launch_concurrency},
            opts=self.child(),
        )
        self._schedule(functions[Function.RECONCILE])
        self._events(functions[Function.INTERRUPTION])
        # The next round makes up for one that failed; an interruption is told once.
        for function, tries, seconds in ((Function.RECONCILE, 0, 60), (Function.INTERRUPTION, 2, 3600)):
            aws.lambda_.FunctionEventInvokeConfig(
                f"{self._name}-{function}",
                function_name=functions[function].name,
                maximum_retry_attempts=tries,
                maximum_event_age_in_seconds=seconds,
                destination_config={"on_failure": {"destination": queues.failures.arn}},
                opts=self.child(),
            )
        # GitHub cannot sign as an identity of AWS: the signature of the body is what lets a request in. The provider
        # adds the function's own policy.
        url = aws.lambda_.FunctionUrl(
            f"{self._name}-webhook",
            function_name=functions[Function.WEBHOOK].name,
            authorization_type="NONE",
            opts=self.child(),
        )
        return url.function_url

    def _schedule(self, function: aws.lambda_.Function) -> None:
        own = f"{self._name}-schedule"
        role = aws.iam.Role(
            own,
            assume_role_policy=function.arn.apply(schedule_trust),
            description=f"Schedule of the runner fleet {self._args.environment}",
            opts=self.child(),
        )
        policy = aws.iam.RolePolicy(own, role=role.id, policy=function.arn.apply(schedule_policy), opts=self.child())
        aws.scheduler.Schedule(
            self._name,
            name=self._physical,
            group_name=SCHEDULE_GROUP,
            schedule_expression="rate(1 minute)",
            flexible_time_window={"mode": "OFF"},
            target={
                "arn": function.arn,
                "role_arn": role.arn,
                "retry_policy": {"maximum_retry_attempts": 0, "maximum_event_age_in_seconds": 60},
            },
            opts=self.child(depends_on=[policy]),
        )

    def _events(self, function: aws.lambda_.Function) -> None:
        patterns: dict[str, dict[str, Any]] = {
            "interruption": {"source": ["aws.ec2"], "detail-type": ["EC2 Spot Instance Interruption Warning"]},
            "state": {
                "source": ["aws.ec2"],
                "detail-type": ["EC2 Instance State-change Notification"],
                "detail": {"state": ["shutting-down", "terminated"]},
            },
        }
        for suffix, pattern in patterns.items():
            own = f"{self._name}-{suffix}"
            rule = aws.cloudwatch.EventRule(
                own, name=f"{self._physical}-{suffix}", event_pattern=json.dumps(pattern), opts=self.child()
            )
            allowed = aws.lambda_.Permission(
                own,
                action="lambda:InvokeFunction",
                function=function.name,
                principal="events.amazonaws.com",
                source_arn=rule.arn,
                opts=self.child(),
            )
            aws.cloudwatch.EventTarget(own, rule=rule.name, arn=function.arn, opts=self.child(depends_on=[allowed]))

    def _webhooks(self, url: pulumi.Output[str]) -> dict[str, pulumi.Output[int]]:
        """Return the ids of the webhooks by repository; the organisation's stands under the empty name."""
        configuration: Any = {
            "url": url,
            "content_type": "json",
            "secret": pulumi.Output.secret(self._args.webhook_secret),
            "insecure_ssl": False,
        }
        if self._args.level is Level.ORGANIZATION:
            hook = github.OrganizationWebhook(
                self._name, events=["workflow_job"], configuration=configuration, opts=self.child()
            )
            return {"": hook.id.apply(numeric_id)}
        return {
            repository: github.RepositoryWebhook(
                f"{self._name}-{repository}",
                repository=repository,
                events=["workflow_job"],
                configuration=configuration,
                opts=self.child(),
            ).id.apply(numeric_id)
            for repository in self._args.repositories
        }

    def _runner_group(self) -> RunnerGroup | None:
        if self._args.level is not Level.ORGANIZATION:
            return None
        name = f"{self._args.environment}-fleet"
        identities = list(self._args.repositories.values())
        return RunnerGroup(self._name, {"name": name, "repository_ids": identities}, opts=self.child())

    def _configuration(
        self,
        templates: Mapping[str, aws.ec2.LaunchTemplate],
        hooks: Mapping[str, pulumi.Output[int]],
        runner_group: RunnerGroup | None,
    ) -> None:
        known: pulumi.Output[dict[str, Any]] = pulumi.Output.all(
            subnets=self._args.subnet_ids,
            templates=pulumi.Output.all(**{pool: each.id for pool, each in templates.items()}),
            hooks=pulumi.Output.all(*hooks.values()),
            group=runner_group.group_id if runner_group else 1,
        )

        def written(given: dict[str, Any]) -> str:
            found = dict(zip(hooks, given["hooks"], strict=True))
            return configuration(self._args, given["subnets"], given["templates"], found, given["group"]).to_json()

        aws.ssm.Parameter(
            self._name,
            name=self._parameter,
            description=f"Configuration of the runner fleet {self._args.environment}",
            type="String",
            tier="Intelligent-Tiering",  # 4 KB, or 8 for a price
            insecure_value=known.apply(written),  # nothing secret is in it, and a preview shows what changes
            opts=self.child(),
        )

    def _alarms(self) -> None:
        functions = [f"{self._physical}-{each}" for each in Function]
        waiting = self._args.waiting_minutes * 60
        for alarm in fleet_alarms(
            self._args.environment, self._queue_names, functions, waiting, self._args.target_seconds
        ):
            self._alarm(alarm)

    def _alarm(self, alarm: FleetAlarm) -> None:
        added = _added(alarm) if alarm.sum_over else None
        percentile = alarm.statistic.startswith("p")
        told = [self._args.alarm_topic_arn] if self._args.alarm_topic_arn is not None else None
        aws.cloudwatch.MetricAlarm(
            f"{self._name}-{alarm.kind}",
            name=f"{self._physical}-{alarm.kind}",
            alarm_description=RUNBOOK[alarm.kind],
            metric_queries=added,
            namespace=None if added else alarm.namespace,
            metric_name=None if added else alarm.metric,
            dimensions=None if added else alarm.dimensions,
            period=None if added else alarm.period,
            statistic=None if added or percentile else alarm.statistic,
            extended_statistic=alarm.statistic if percentile else None,
            comparison_operator="GreaterThanThreshold",
            threshold=alarm.above,
            evaluation_periods=alarm.steps,
            datapoints_to_alarm=alarm.breaches,
            treat_missing_data="breaching" if alarm.silence_alarms else "notBreaching",
            alarm_actions=told,
            ok_actions=told,
            opts=self.child(),
        )


def _added(alarm: FleetAlarm) -> list[Any]:
    """The queries of an alarm on the sum of one metric of several things."""
    total: dict[str, Any] = {
        "id": "total",
        "expression": "SUM(METRICS())",
        "label": alarm.kind,
        "return_data": True,
    }
    parts: list[dict[str, Any]] = [
        {
            "id": f"m{index}",
            "metric": {
                "namespace": alarm.namespace,
                "metric_name": alarm.metric,
                "dimensions": dimensions,
                "period": alarm.period,
                "stat": alarm.statistic,
            },
        }
        for index, dimensions in enumerate(alarm.sum_over)
    ]
    return [total, *parts]
