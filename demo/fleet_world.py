"""What `make demo-fleet` reads and asks of the sandbox: its AWS, its GitHub, the fleet's ledger."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import boto3
import httpx
from pavedpath_runners.adapters.clock import SystemClock
from pavedpath_runners.adapters.dynamodb import TableLedger
from pavedpath_runners.configuration import Fleet
from pavedpath_runners.records import FINAL, Job, Runner

from demo.fleet_checks import Attempt, Facts, Machine, began
from demo.fleet_load import Kind, PlannedRun

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_ec2 import EC2Client
    from types_boto3_secretsmanager import SecretsManagerClient
    from types_boto3_sqs import SQSClient
    from types_boto3_ssm import SSMClient

ORGANIZATION = "acme"
_PAGE = 100


class SandboxRefusedError(Exception):
    """A server of the sandbox refused a request; the message is its own."""


@dataclass(frozen=True)
class Deployed:
    """What the program put out."""

    table: str
    queue: str
    """URL of the launch queue."""
    configuration: str
    """Name of the parameter with the fleet's configuration."""
    key_secret: str
    """Secret that wants the App's private key."""


class Aws:
    """The account that the fleet is in.

    Args:
        variables: the sandbox's, which say where AWS answers and whose account it is.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self._session = boto3.Session(
            aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
            region_name=variables["AWS_REGION"],
        )

    @property
    def _endpoint(self) -> str:
        return self._variables["AWS_ENDPOINT_URL"]

    def _client(self, service: str) -> Any:
        # boto3's overloads name services whose stubs are not installed.
        return cast(Any, self._session).client(service, endpoint_url=self._endpoint)

    @cached_property
    def dynamodb(self) -> "DynamoDBClient":
        """The ledger's service."""
        return self._client("dynamodb")

    @cached_property
    def ec2(self) -> "EC2Client":
        """The machines'."""
        return self._client("ec2")

    @cached_property
    def sqs(self) -> "SQSClient":
        """The queues'."""
        return self._client("sqs")

    @cached_property
    def _secrets(self) -> "SecretsManagerClient":
        return self._client("secretsmanager")

    @cached_property
    def _parameters(self) -> "SSMClient":
        return self._client("ssm")

    def fleet(self, parameter: str) -> Fleet:
        """The fleet's configuration."""
        return Fleet.from_json(self._parameters.get_parameter(Name=parameter)["Parameter"].get("Value", ""))

    def configure(self, parameter: str, fleet: Fleet) -> None:
        """Give the fleet another configuration, until its stack is deployed again."""
        self._parameters.put_parameter(Name=parameter, Value=fleet.to_json(), Type="String", Overwrite=True)

    def keep_secret(self, name: str, value: str) -> None:
        """Put a value into a secret that is there."""
        self._secrets.put_secret_value(SecretId=name, SecretString=value)

    def messages(self) -> Mapping[str, int]:
        """How many messages wait in each of the account's queues.

        Those in flight are left out: what a killed function had taken is hidden for minutes, and finds its job done.
        """
        return {url.rpartition("/")[2]: self.depth(url)[0] for url in self.sqs.list_queues().get("QueueUrls", [])}

    def depth(self, url: str) -> tuple[int, int]:
        """Messages that wait in a queue, and that are in flight."""
        names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        told = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(names))["Attributes"]
        return int(told[names[0]]), int(told[names[1]])

    def machines(self, fleet: str) -> Sequence[Machine]:
        """All machines of a fleet, those that have ended too."""
        pages = self.ec2.get_paginator("describe_instances").paginate(
            Filters=[{"Name": "tag:pavedpath:fleet", "Values": [fleet]}]
        )
        return [
            Machine(
                id=held["InstanceId"],
                runner=next((tag["Value"] for tag in held.get("Tags", []) if tag["Key"] == "pavedpath:runner"), ""),
                state=held["State"]["Name"],
                type=held["InstanceType"],
            )
            for page in pages
            for reservation in page["Reservations"]
            for held in cast("Sequence[dict[str, Any]]", reservation.get("Instances", []))
        ]

    def spot(self, instance_types: Iterable[str], *, available: bool) -> None:
        """Have spot machines of these types be lacking, or be there again."""
        for each in instance_types:
            wanted = {"instance_type": each, "zone": "*", "market": "spot", "available": available}
            answer = httpx.post(f"{self._endpoint}/_sandbox/capacity", json=wanted, timeout=30, trust_env=False)
            if answer.is_error:
                raise SandboxRefusedError(f"capacity of {each}: {answer.text[:300]}")


class GitHub:
    """The sandbox's GitHub, as the organisation's owner.

    Args:
        variables: the sandbox's.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        headers = {"Authorization": f"Bearer {variables['GITHUB_TOKEN']}"}
        root = variables["GITHUB_BASE_URL"]
        self._client = httpx.Client(base_url=root, headers=headers, timeout=60, trust_env=False)

    def begin(self, planned: PlannedRun, labels: Mapping[str, Sequence[str]]) -> int:
        """Start a workflow run, of a fork's pull request if it is to be one; return its id."""
        jobs = [{"name": f"{pool}-{number}", "labels": labels[pool]} for number, pool in enumerate(planned.pools)]
        fork = {"fork": f"mallory/{planned.repository}", "event": "pull_request"}
        body = {"repository": planned.repository, "jobs": jobs, **(fork if planned.kind is Kind.FORK else {})}
        return int(self._ask("POST", "/_sandbox/runs", body)["id"])

    def attempts(self, repository: str, run: int) -> Sequence[Attempt]:
        """The jobs of a run, those of earlier attempts too."""
        found = self._ask("GET", f"{self._run(repository, run)}/jobs?filter=all&per_page={_PAGE}")["jobs"]
        return [_attempt(each) for each in found]

    def cancel(self, repository: str, run: int) -> None:
        """Cancel a run; one that has ended stays as it is."""
        self._ask("POST", f"{self._run(repository, run)}/cancel", accepted=(409,))

    def registrations(self) -> Sequence[str]:
        """Names of all runners of the organisation."""
        found = self._ask("GET", f"/orgs/{ORGANIZATION}/actions/runners?per_page={_PAGE}")["runners"]
        return [str(each["name"]) for each in found]

    def faults(self, **settings: int) -> Mapping[str, Any]:
        """Set what goes wrong with webhooks; return the settings and what was sent so far."""
        return cast("Mapping[str, Any]", self._ask("POST", "/_sandbox/hooks/faults", settings))

    @staticmethod
    def _run(repository: str, run: int) -> str:
        return f"/repos/{ORGANIZATION}/{repository}/actions/runs/{run}"

    def _ask(self, method: str, path: str, body: object = None, accepted: Sequence[int] = ()) -> Any:
        answer = self._client.request(method, path, json=body)
        if answer.is_error and answer.status_code not in accepted:
            raise SandboxRefusedError(f"GitHub {method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer.json() if answer.content else None


def _attempt(held: Mapping[str, Any]) -> Attempt:
    return Attempt(
        id=int(held["id"]),
        run=int(held["run_id"]),
        name=str(held["name"]),
        status=str(held["status"]),
        conclusion=str(held["conclusion"] or ""),
        runner=str(held["runner_name"] or ""),
        queued_at=datetime.fromisoformat(held["created_at"]).timestamp(),
        started_at=datetime.fromisoformat(held["started_at"]).timestamp(),
    )


@dataclass
class Watch:
    """The ledger as it changes. What has ended is read once."""

    ledger: TableLedger
    open: Mapping[int, Job] = field(default_factory=dict[int, Job])
    ended: dict[int, Job] = field(default_factory=dict[int, Job])
    runners: Sequence[Runner] = ()
    """Those that live."""
    expected: set[int] = field(default_factory=set[int])
    """Jobs that GitHub queued."""
    names: set[str] = field(default_factory=set[str])
    """All runners that were seen."""

    @classmethod
    def of(cls, aws: Aws, table: str) -> "Watch":
        """Watch a ledger."""
        return cls(TableLedger(aws.dynamodb, table, SystemClock()))

    def look(self) -> None:
        """Read what has changed."""
        self.open = {each.id: each for each in self.ledger.open_jobs()}
        self.runners = self.ledger.live_runners()
        self.names |= {each.name for each in self.runners}
        for identity in self.open.keys() & self.ended.keys():  # refused, and then given to a machine by GitHub
            del self.ended[identity]
        self.expected |= self.open.keys()  # those that GitHub was asked to run again
        for identity in self.expected - self.open.keys() - self.ended.keys():
            job = self.ledger.job(identity)
            if job and job.state in FINAL:
                self.ended[identity] = job

    @property
    def unheard(self) -> int:
        """How many jobs the ledger does not know yet."""
        return len(self.expected - self.open.keys() - self.ended.keys())

    @property
    def settled(self) -> bool:
        """Whether all jobs have ended, and no machine lives."""
        return not self.open and not self.runners and not self.unheard


def gather(
    aws: Aws, github: GitHub, deployed: Deployed, fleet: Fleet, runs: Mapping[int, PlannedRun], machines_log: Path
) -> Facts:
    """Read all that was recorded."""
    ledger = TableLedger(aws.dynamodb, deployed.table, SystemClock())
    keys = list(_keys(aws, deployed.table))
    jobs = [ledger.job(int(key.removeprefix("JOB#"))) for key in keys if key.startswith("JOB#")]
    runners = [ledger.runner(key.removeprefix("RUNNER#")) for key in keys if key.startswith("RUNNER#")]
    return Facts(
        runs={run: planned.kind for run, planned in runs.items()},
        attempts=[each for run, planned in runs.items() for each in github.attempts(planned.repository, run)],
        jobs={each.id: each for each in jobs if each},
        runners=[each for each in runners if each],
        counts={each.name: ledger.count(each.name).live for each in fleet.pools},
        machines=aws.machines(fleet.name),
        began=began(machines_log.read_text().splitlines()),
        registrations=github.registrations(),
        messages=aws.messages(),
        prices={kind: price for pool in fleet.pools for kind, price in pool.hourly_usd.items()},
    )


def _keys(aws: Aws, table: str) -> Iterator[str]:
    for page in aws.dynamodb.get_paginator("scan").paginate(TableName=table, ProjectionExpression="pk"):
        for item in page["Items"]:
            yield item["pk"].get("S", "")


def program_outputs(text: str) -> Deployed:
    """Read what `pulumi stack output --json` printed."""
    held = json.loads(text)
    return Deployed(
        table=held["ledger"],
        queue=held["launch queue"],
        configuration=held["configuration"],
        key_secret=held["app key secret"],
    )
