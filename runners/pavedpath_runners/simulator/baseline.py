"""What terraform-aws-github-runner does (v7), written anew from its documentation, on the simulator's world.

It is the most used fleet of its kind, and so what another is to be measured with. Its ephemeral mode is taken, which
its documentation suggests, since the simulated machines take one job each, too. Where each rule is from:

| rule | source |
|---|---|
| the webhook looks at `queued` alone, whose labels fit a pool; an SQS message each | docs/index.md, "Webhook" |
| standard queue, `delay_webhook_event` 30 s, kept for a day, no dead-letter queue | root module's inputs |
| batches of 10, `scale_up_reserved_concurrent_executions` 1, time-out and visibility 30 s | inputs |
| a job that is not queued any more is passed over (`enable_job_queued_check`); off if ephemeral | inputs |
| one CreateFleet for all that fits under `runners_maximum_count`, no client token | docs/index.md |
| at the maximum, as many messages as did not fit are retried: the first, whichever those are | executed |
| spot; on-demand only after `enable_on_demand_failover_for_errors` | inputs |
| some errors retry messages, any other drops the batch | its issues 2926 and 4409 |
| JIT configuration named after the instance, into SSM; without one the instance is ended | executed |
| every 5 minutes: what has lived 5 minutes and is not `busy` is ended | inputs; its issues 5085 and 5228 |
| what GitHub does not know after `runner_boot_time_in_minutes` 5 is ended at the next look | docs/index.md |
| `job_retry`, off: 300 s after a launch, if the job is still queued, once more | docs/configuration.md |
| a webhook that does not arrive is not asked for; an interruption is logged at the most | docs/configuration.md |

"Executed": found by running the module's own code. What is kinder here than there: one time-out for all functions,
and the marks of orphans are kept in the function's memory.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pavedpath_runners.configuration import Pool
from pavedpath_runners.decisions.matching import pool_for
from pavedpath_runners.receiver import is_signed, job_facts

from .policy import Deployment, Hook, Message, Services

_ENVIRONMENT = "ghr:environment"
_POOL = "ghr:runner_config"
_REGISTRATION = "ghr:github_runner_id"
_SCALE_ERRORS = frozenset(
    {
        "UnfulfillableCapacity",
        "MaxSpotInstanceCountExceeded",
        "TargetCapacityLimitExceededException",
        "RequestLimitExceeded",
        "ResourceLimitExceeded",
        "MaxSpotFleetRequestCountExceeded",
        "InsufficientInstanceCapacity",
        "InsufficientCapacityOnHost",
    }
)
"""`scale_errors`: errors after which CreateFleet is tried again."""
_LONGEST_DELAY = 900.0
"""Seconds that SQS delays a message at the most."""


@dataclass(frozen=True)
class Inputs:
    """The module's inputs that matter here, with its defaults for ephemeral runners. `runners_maximum_count`, the types
    and the subnets are the simulated fleet's."""

    delay_webhook_event: float = 30.0
    enable_job_queued_check: bool = False
    enable_on_demand_failover_for_errors: Sequence[str] = ()
    minimum_running_time_in_minutes: float = 5.0
    runner_boot_time_in_minutes: float = 5.0
    scale_down_seconds: float = 300.0
    """`scale_down_schedule_expression`, cron(*/5 * * * ? *)."""
    job_retry: bool = False
    job_retry_delay_in_seconds: float = 300.0
    job_retry_delay_backoff: float = 2.0
    job_retry_max_attempts: int = 1
    redrive_max_receive_count: int = 0
    """`redrive_build_queue`; 0: there is no dead-letter queue."""
    lambda_event_source_mapping_batch_size: int = 10
    scale_up_reserved_concurrent_executions: int = 1
    runners_scale_up_lambda_timeout: float = 30.0


DEFAULTS = Inputs()
ADVISED = Inputs(
    delay_webhook_event=0.0,
    enable_job_queued_check=True,
    enable_on_demand_failover_for_errors=("InsufficientInstanceCapacity", "UnfulfillableCapacity"),
    minimum_running_time_in_minutes=15.0,
    runner_boot_time_in_minutes=15.0,
    job_retry=True,
    redrive_max_receive_count=100,
)
"""What its documentation advises for ephemeral runners, with every option on that guards jobs: no delay, the check that
the job is still queued, times above the slowest boot, on-demand for want of spot, job retry, a dead-letter queue."""


def deployment(name: str, inputs: Inputs) -> Deployment:
    """Return how the module is deployed."""
    return Deployment(
        name=name,
        build=lambda services: Module(services, inputs),
        fifo=False,
        delay_seconds=inputs.delay_webhook_event,
        batch=inputs.lambda_event_source_mapping_batch_size,
        concurrency=inputs.scale_up_reserved_concurrent_executions,
        visibility_seconds=inputs.runners_scale_up_lambda_timeout,
        receives=inputs.redrive_max_receive_count,
        tick_seconds=inputs.scale_down_seconds,
        timeout_seconds=inputs.runners_scale_up_lambda_timeout,
        strict=False,
    )


class _GitHubError(Exception):
    """GitHub answered with an error. The module's client does not try again."""


class _ScaleError(Exception):
    """CreateFleet launched too few; so many messages are to be retried."""

    def __init__(self, failed: int) -> None:
        super().__init__(f"{failed} not launched")
        self.failed = failed


@dataclass(frozen=True)
class _Request:
    """One message: a job to scale up for, or, with `check`, one to look after."""

    message: str
    job: int
    repository: str
    pool: str
    retries: int
    check: bool


class Module:
    """Its functions, in one execution environment (see `policy.Policy`)."""

    def __init__(self, services: Services, inputs: Inputs) -> None:
        self._services, self._inputs = services, inputs
        self._orphans: set[str] = set()

    # The webhook.

    def webhook(self, hook: Hook) -> int:
        """Answer a webhook: what is queued, and fits, becomes a message."""
        if not is_signed(hook.body, hook.headers.get("x-hub-signature-256", ""), [self._services.secret]):
            return 401
        payload = json.loads(hook.body)
        if hook.headers.get("x-github-event") != "workflow_job" or payload["action"] != "queued":
            return 202
        facts = job_facts(payload["workflow_job"], payload["repository"]["full_name"])
        pool = pool_for(self._services.fleet, facts.labels)
        if pool is None:
            return 202
        self._send(_Request("", facts.id, facts.repository, pool.name, -1, check=False))
        return 201

    def _send(self, request: _Request, delay: float | None = None) -> None:
        body = {
            "id": request.job,
            "repository": request.repository,
            "pool": request.pool,
            "retryCounter": request.retries,
            "check": request.check,
        }
        later = {} if delay is None else {"DelaySeconds": delay}
        self._services.sqs.send_message(QueueUrl=self._services.queue_url, MessageBody=json.dumps(body), **later)

    # Scale-up, and the look after it.

    def messages(self, batch: Sequence[Message]) -> Sequence[str]:
        """Launch for a batch; the ids of the messages that are to be retried."""
        requests = [_request(each) for each in batch]
        for request in requests:
            if request.check:
                self._look_after(request)
        rejected: list[str] = []
        for pool in self._services.fleet.pools:
            wanted = [each for each in requests if each.pool == pool.name and not each.check]
            # The module has a queue and a function for each pool; what befalls one does not touch the others.
            rejected += self._scale_up(pool, sorted(wanted, key=lambda each: each.retries))
        return rejected

    def _look_after(self, request: _Request) -> None:
        try:
            if self._is_queued(request):
                self._send(_Request("", request.job, request.repository, request.pool, request.retries, check=False))
        except Exception as error:  # noqa: BLE001 - the function logs whatever went wrong, and goes on
            self._services.telemetry.say("job retry failed", job=request.job, error=str(error))

    def _scale_up(self, pool: Pool, requests: list[_Request]) -> Sequence[str]:
        try:
            return self._launch_for(pool, requests)
        except _ScaleError as error:
            return [each.message for each in requests[: error.failed]]
        except Exception as error:  # noqa: BLE001 - the function drops the batch, whatever went wrong
            self._services.telemetry.say("batch ignored", size=len(requests), error=str(error))
            return []

    def _launch_for(self, pool: Pool, requests: list[_Request]) -> Sequence[str]:
        queued = [each for each in requests if not self._inputs.enable_job_queued_check or self._is_queued(each)]
        if not queued:
            return []
        fitting = max(0, min(len(queued), pool.maximum - len(self._instances(pool))))
        missing = len(queued) - fitting
        # The first of the batch, though not all of the batch was queued: some of those that were may be acknowledged.
        rejected = {each.message for each in requests[:missing]}
        left = requests[missing:]
        if fitting:
            launched = self._create_runners(pool, fitting, queued)
            rejected |= {each.message for each in left[: fitting - launched]}
        for each in queued:
            if each.message not in rejected:
                self._retry_later(each)
        return sorted(rejected)

    def _is_queued(self, request: _Request) -> bool:
        answer = self._github("GET", f"/repos/{request.repository}/actions/jobs/{request.job}")
        return answer["status"] == "queued"

    def _retry_later(self, request: _Request) -> None:
        count = request.retries + 1
        if self._inputs.job_retry and count < self._inputs.job_retry_max_attempts:
            delay = self._inputs.job_retry_delay_in_seconds * self._inputs.job_retry_delay_backoff**count
            again = _Request("", request.job, request.repository, request.pool, count, check=True)
            self._send(again, min(_LONGEST_DELAY, delay))

    # Machines.

    def _create_runners(self, pool: Pool, count: int, queued: Sequence[_Request]) -> int:
        # Any machine is as good as another; that the surplus is the last ones' is no worse than that it is the first's.
        jobs = [each.job for each in queued[-count:]]
        launched = self._create_fleet(pool, jobs, spot=pool.spot)
        failed = [each for each in launched if not self._configure(pool, each)]
        for each in failed:
            self._terminate(each)
        return len(launched) - len(failed)

    def _create_fleet(self, pool: Pool, jobs: Sequence[int], spot: bool) -> Sequence[str]:
        count = len(jobs)
        overrides = [
            {"InstanceType": kind, "SubnetId": subnet} for kind in pool.instance_types for subnet in pool.subnet_ids
        ]
        tags = {
            _ENVIRONMENT: self._services.fleet.name,
            _POOL: pool.name,
            # For those who watch the simulation; the module has no such tags.
            "pavedpath:pool": pool.name,
            "simulator:jobs": " ".join(str(each) for each in jobs),
        }
        answer = self._services.ec2.create_fleet(
            Type="instant",
            LaunchTemplateConfigs=[
                {
                    "LaunchTemplateSpecification": {"LaunchTemplateId": pool.launch_template_id, "Version": "$Default"},
                    "Overrides": overrides,
                }
            ],
            TargetCapacitySpecification={
                "TotalTargetCapacity": count,
                "DefaultTargetCapacityType": "spot" if spot else "on-demand",
            },
            TagSpecifications=[
                {"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
            ],
        )
        launched = [identity for each in answer["Instances"] for identity in each["InstanceIds"]]
        if len(launched) == count:
            return launched
        errors = [each["ErrorCode"] for each in answer["Errors"]]
        if spot and set(errors) & set(self._inputs.enable_on_demand_failover_for_errors):
            return [*launched, *self._create_fleet(pool, jobs[len(launched) :], spot=False)]
        failed = sum(each in _SCALE_ERRORS for each in errors)
        raise _ScaleError(failed) if failed else RuntimeError("create fleet failed")

    def _configure(self, pool: Pool, instance: str) -> bool:
        try:
            made = self._github(
                "POST",
                f"/orgs/{self._services.fleet.organization}/actions/runners/generate-jitconfig",
                {"name": instance, "runner_group_id": 1, "labels": list(pool.labels)},
            )
            self._tag(instance, str(made["runner"]["id"]))
            self._services.ssm.put_parameter(
                Name=f"/github-action-runners/{self._services.fleet.name}/runners/tokens/{instance}",
                Value=made["encoded_jit_config"],
                Type="SecureString",
                Tags=[{"Key": "InstanceId", "Value": instance}],
            )
        except Exception as error:  # noqa: BLE001 - the function logs whatever went wrong, and goes on
            self._services.telemetry.say("no configuration", instance=instance, error=str(error))
            return False
        return True

    def _tag(self, instance: str, registration: str) -> None:
        try:
            self._services.ec2.create_tags(Resources=[instance], Tags=[{"Key": _REGISTRATION, "Value": registration}])
        except Exception as error:  # noqa: BLE001 - the same
            self._services.telemetry.say("not tagged", instance=instance, error=str(error))

    def _instances(self, pool: Pool | None = None) -> Sequence[Mapping[str, Any]]:
        filters = [
            {"Name": "instance-state-name", "Values": ["running", "pending"]},
            {"Name": f"tag:{_ENVIRONMENT}", "Values": [self._services.fleet.name]},
        ]
        if pool:
            filters.append({"Name": f"tag:{_POOL}", "Values": [pool.name]})
        found: list[Mapping[str, Any]] = []
        more: dict[str, Any] = {}
        while True:
            answer = self._services.ec2.describe_instances(Filters=filters, **more)
            found += [each for reservation in answer["Reservations"] for each in reservation["Instances"]]
            if not answer.get("NextToken"):
                return found
            more = {"NextToken": answer["NextToken"]}

    def _terminate(self, instance: str) -> None:
        try:
            self._services.ec2.terminate_instances(InstanceIds=[instance])
        except Exception as error:  # noqa: BLE001 - the same
            self._services.telemetry.say("not ended", instance=instance, error=str(error))

    # Scale-down.

    def tick(self) -> None:
        """Scale down: orphans that were marked at the last look, then whoever has had time enough and is not busy."""
        instances = self._instances()
        for each in instances:
            if each["InstanceId"] in self._orphans and self._is_orphan(each):
                self._terminate(each["InstanceId"])
        left = [each for each in instances if each["InstanceId"] not in self._orphans]
        self._orphans.clear()
        if not left:
            return
        registered = {each["name"]: each["id"] for each in self._registrations()}
        for each in left:
            name, age = each["InstanceId"], self._services.clock.now() - each["LaunchTime"].timestamp()
            if name in registered and age > 60 * self._inputs.minimum_running_time_in_minutes:
                self._remove(name, registered[name])
            elif name not in registered and age > 60 * self._inputs.runner_boot_time_in_minutes:
                self._orphans.add(name)

    def _is_orphan(self, instance: Mapping[str, Any]) -> bool:
        """The last look before the end: a machine whose runner GitHub knows after all stays, unless it is lost."""
        tags = {each["Key"]: each["Value"] for each in instance["Tags"]}
        if _REGISTRATION not in tags:
            return True
        try:
            runner = self._github("GET", self._runners(f"/{tags[_REGISTRATION]}"), missing=None)
        except Exception as error:  # noqa: BLE001 - the function logs whatever went wrong, and goes on
            self._services.telemetry.say("orphan not judged", instance=instance["InstanceId"], error=str(error))
            return False
        return runner is None or (runner["status"] == "offline" and runner["busy"])

    def _remove(self, instance: str, registration: int) -> None:
        """Ask whether it is busy; if it is not, remove its registration, then the machine."""
        path = self._runners(f"/{registration}")
        try:
            if self._github("GET", path)["busy"]:
                return
            self._github("DELETE", path)
        except Exception as error:  # noqa: BLE001 - the function logs whatever went wrong, and goes on
            self._services.telemetry.say("not removed", instance=instance, error=str(error))
            return
        self._terminate(instance)

    def _registrations(self) -> Sequence[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        page = 1
        while True:
            some = self._github("GET", self._runners(f"?per_page=100&page={page}"))["runners"]
            found += some
            if len(some) < 100:
                return found
            page += 1

    def interruption(self, event: Mapping[str, Any]) -> None:
        """Nothing: the termination watcher, which is off, writes a log and a metric."""

    # GitHub.

    def _runners(self, rest: str) -> str:
        return f"/orgs/{self._services.fleet.organization}/actions/runners{rest}"

    def _github(self, method: str, path: str, body: Any = None, missing: Any = _GitHubError) -> Any:
        answer = self._services.github.request(method, path, body)
        if answer.status == 404 and missing is not _GitHubError:
            return missing
        if answer.status >= 400:
            raise _GitHubError(f"{method} {path}: {answer.status}")
        return answer.json


def _request(message: Message) -> _Request:
    held = cast(dict[str, Any], json.loads(message.body))
    return _Request(message.id, held["id"], held["repository"], held["pool"], held["retryCounter"], check=held["check"])
