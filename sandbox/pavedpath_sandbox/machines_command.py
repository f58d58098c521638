"""`pavedpath-sandbox machines`: the machines of one environment of a running sandbox."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import TextIO, cast

import httpx
from botocore.exceptions import BotoCoreError, ClientError

from .account import clients
from .machines import Json, Options, Player, Seen
from .sandbox import Sandbox, SandboxError

_POLL_SECONDS = 0.25
_LOOK_SECONDS = 1.0
_RETRY_SECONDS = 1.0


class SandboxCloud:
    """EC2, Systems Manager and EventBridge of the sandbox, for one account."""

    def __init__(self, variables: dict[str, str], tag: str, fleet_tag: str) -> None:
        """`variables` are those of an environment of the sandbox."""
        self._tag, self._fleet_tag, self._endpoint = tag, fleet_tag, variables["AWS_ENDPOINT_URL"]
        self._ec2, self._ssm, self._events = clients(variables, "ec2", "ssm", "events")

    def running(self) -> list[Seen]:
        """The running machines with the tag."""
        filters = [
            {"Name": "tag-key", "Values": [self._tag]},
            {"Name": "instance-state-name", "Values": ["pending", "running"]},
        ]
        found: list[Seen] = []
        for page in self._ec2.get_paginator("describe_instances").paginate(Filters=filters):
            for each in (one for reservation in page["Reservations"] for one in reservation["Instances"]):
                tags = {tag["Key"]: tag["Value"] for tag in each["Tags"]}
                spot = each.get("InstanceLifecycle") == "spot"
                found.append(Seen(each["InstanceId"], tags[self._tag], tags.get(self._fleet_tag, ""), spot))
        return found

    def take(self, parameter: str) -> str | None:
        """Read a parameter and delete it, as user data does; None if it is not there."""
        try:
            value = str(self._ssm.get_parameter(Name=parameter, WithDecryption=True)["Parameter"]["Value"])
            self._ssm.delete_parameter(Name=parameter)
        except ClientError as error:
            if cast("Json", error.response)["Error"]["Code"] == "ParameterNotFound":
                return None
            raise
        return value

    def announce(self, instance: str) -> None:
        """EC2's event two minutes before it takes a spot machine away."""
        detail = {"instance-id": instance, "instance-action": "terminate"}
        kind = "EC2 Spot Instance Interruption Warning"
        event = {"Source": "aws.ec2", "DetailType": kind, "Detail": json.dumps(detail)}
        self._events.put_events(Entries=[event])

    def terminate(self, instance: str) -> None:
        """End a machine: its shutdown behaviour is to terminate."""
        self._ec2.terminate_instances(InstanceIds=[instance])

    def reclaim(self, instance: str) -> None:
        """Take a spot machine away: EC2 says afterwards that it did."""
        address = f"{self._endpoint}/_sandbox/reclaim"
        httpx.post(address, json={"instance": instance}, timeout=30, trust_env=False).raise_for_status()


class SandboxForge:
    """GitHub of the sandbox, with its owner's token."""

    def __init__(self, variables: dict[str, str]) -> None:
        """`variables` are those of any environment of the sandbox."""
        self._client = httpx.Client(
            base_url=variables["GITHUB_BASE_URL"],
            headers={"Authorization": f"Bearer {variables['GITHUB_TOKEN']}"},
            trust_env=False,
            timeout=30,
        )

    def connect(self, registration: int) -> tuple[bool, int, bool, int]:
        """Come online and ask for a job."""
        answer = self._client.post(f"/_sandbox/runners/{registration}/connect", json={})
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return False, 0, False, 1
        answer.raise_for_status()
        given = cast("Json", answer.json())
        job = given["job"] or {"id": 0, "run_attempt": 1}
        return True, int(job["id"]), bool(given["fork"]), int(job["run_attempt"])

    def finish(self, job: int, conclusion: str) -> None:
        """End a job; one that was cancelled meanwhile has ended."""
        answer = self._client.post(f"/_sandbox/jobs/{job}", json={"conclusion": conclusion})
        if answer.status_code not in {HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND}:
            answer.raise_for_status()


def run(
    sandbox: Sandbox,
    environment: str,
    options: Options,
    tag: str,
    fleet_tag: str,
    out: TextIO,
    until_idle: float | None,
    wait: Callable[[float], None] = time.sleep,
) -> Counter[str]:
    """Play until interrupted, or until no machine has been there for `until_idle` seconds.

    Writes one JSON line to `out` for all that a machine does; returns how often each of it happened.

    Raises:
        SandboxError: the sandbox has no AWS or no GitHub.
    """
    variables = sandbox.environment(environment)
    if missing := [name for name in ("AWS_ENDPOINT_URL", "GITHUB_BASE_URL") if name not in variables]:
        raise SandboxError(f"machines need AWS and GitHub: {', '.join(missing)} missing; `pavedpath-sandbox up`")
    counts: Counter[str] = Counter()

    def tell(event: Json) -> None:
        counts[str(event["event"])] += 1
        out.write(json.dumps({"at": round(time.time(), 3), **event}) + "\n")
        out.flush()

    file = sandbox.layout.root / "machines" / f"{environment}.json"
    cloud, forge = SandboxCloud(variables, tag, fleet_tag), SandboxForge(variables)
    player = Player(cloud, forge, options, tell, file, _LOOK_SECONDS)
    quiet, problem = time.monotonic(), ""
    while until_idle is None or time.monotonic() - quiet < until_idle:
        try:
            player.step(time.time())
            problem = ""
        except (BotoCoreError, ClientError, httpx.HTTPError) as error:  # a part of the sandbox is being started again
            if str(error) != problem:
                problem = str(error)
                tell({"event": "sandbox does not answer", "why": problem})
            wait(_RETRY_SECONDS)
        if player.machines:
            quiet = time.monotonic()
        wait(_POLL_SECONDS)
    return counts


def open_log(path: Path | None, otherwise: TextIO) -> TextIO:
    """Where the lines go: a file, to whose end they are added, or the given stream."""
    return otherwise if path is None else path.open("a", encoding="utf-8")
