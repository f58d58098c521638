"""A model of EC2 at the level of boto3's low-level client."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pavedpath_runners.configuration import Market

from .dynamodb import AwsRefusals, client_error
from .engine import Engine

_LATENCY = 0.3
_SHOWN = (300.0, 3600.0)
"""Seconds for which EC2 still shows a terminated machine, least and most: it promises no time."""
_KNOWN = 86400.0
"""Seconds for which a client token is known."""
_NO_MACHINE = ("InsufficientInstanceCapacity", "UnfulfillableCapacity", "MaxSpotInstanceCountExceeded")
_REASONS: Mapping[str, str] = {
    "EC2": "Server.SpotInstanceTermination",
    "itself": "Client.InstanceInitiatedShutdown",
}
"""EC2's reason for the end of a machine, by who ended it."""
LIVE = ("pending", "running", "stopping", "stopped")


@dataclass(frozen=True)
class Drought:
    """A time without machines of a kind; empty fields: of every kind."""

    start: float
    end: float
    type: str = ""
    zone: str = ""
    market: Market | None = None

    def covers(self, at: float, kind: str, zone: str, market: Market) -> bool:
        """Whether there is no such machine then."""
        return (
            self.start <= at < self.end
            and self.type in ("", kind)
            and self.zone in ("", zone)
            and self.market in (None, market)
        )


@dataclass(eq=False, slots=True)
class Machine:
    """One instance."""

    id: str
    tags: Mapping[str, str]
    type: str
    zone: str
    market: Market
    launched_at: float
    token: str
    state: str = "pending"
    shown: str = "pending"
    """State that DescribeInstances shows."""
    visible_at: float = 0.0
    """From when on DescribeInstances shows it at all."""
    ended_at: float = 0.0
    started_at: float = 0.0
    """When its state became pending or running; it costs from then on."""
    seconds: float = 0.0
    """Seconds that it ran until it was last stopped or ended."""
    ended_by: str = ""
    """Who ended it: us, itself, EC2."""
    behind: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    shape: dict[str, Any] | None = None
    """What DescribeInstances last showed."""

    @property
    def runner(self) -> str:
        """Name of the runner that the control plane gave it."""
        return self.tags.get("pavedpath:runner", "")

    @property
    def live(self) -> bool:
        """Whether it has not ended."""
        return self.state in LIVE

    def ran(self, now: float) -> float:
        """Seconds for which it has cost."""
        return self.seconds + (now - self.started_at if self.state in ("pending", "running") else 0.0)


@dataclass(frozen=True)
class Listeners:
    """Who hears what happens to machines."""

    launched: Callable[[Machine], None]
    booting: Callable[[Machine], None]
    """It was launched, or started again."""
    asked: Callable[[Machine, str], None]
    """The control plane asks for its end or for its sleep; it still runs."""
    halted: Callable[[Machine], None]
    """It does not run any more."""


class EC2:
    """Machines of one region; `zones` by subnet. Reads lag by up to `lag` seconds."""

    def __init__(
        self, engine: Engine, zones: Mapping[str, str], droughts: Sequence[Drought], lag: float, page: int = 1000
    ) -> None:
        self._engine = engine
        self._zones = zones
        self._droughts = droughts
        self._lag = lag
        self._page = page
        self._tokens: dict[str, tuple[float, bytes, dict[str, Any]]] = {}
        """By token: when it was used, with which content, and the answer."""
        self._fleets = 0
        self._refusals = AwsRefusals("RequestLimitExceeded")
        self.machines: dict[str, Machine] = {}
        """All that DescribeInstances may still show."""
        self.launches = 0
        self.on: Listeners | None = None

    def create_fleet(self, **request: Any) -> dict[str, Any]:
        """CreateFleet of type instant; the same token is answered as the first time."""
        return self._call("CreateFleet", 3 * _LATENCY, lambda: self._create(request))

    def describe_instances(self, **request: Any) -> dict[str, Any]:
        """DescribeInstances with filters, in pages."""
        return self._call("DescribeInstances", _LATENCY, lambda: self._describe(request))

    def terminate_instances(self, **request: Any) -> dict[str, Any]:
        """TerminateInstances; one unknown id refuses all."""
        return self._call("TerminateInstances", _LATENCY, lambda: self._end(request["InstanceIds"], "terminate"))

    def stop_instances(self, **request: Any) -> dict[str, Any]:
        """StopInstances."""
        return self._call("StopInstances", _LATENCY, lambda: self._end(request["InstanceIds"], "stop"))

    def start_instances(self, **request: Any) -> dict[str, Any]:
        """StartInstances."""
        return self._call("StartInstances", _LATENCY, lambda: self._start(request["InstanceIds"]))

    def create_tags(self, **request: Any) -> dict[str, Any]:
        """CreateTags of instances."""
        return self._call("CreateTags", _LATENCY, lambda: self._tag(request))

    def _call(self, operation: str, latency: float, effect: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        return self._engine.call("ec2", operation, latency, effect, self._refusals)

    def _create(self, request: Mapping[str, Any]) -> dict[str, Any]:
        token = request.get("ClientToken", "")
        content = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).digest()
        if token in self._tokens:
            _, before, answer = self._tokens[token]
            if before != content:
                raise client_error("CreateFleet", "IdempotentParameterMismatch", "other parameters, same client token")
            return answer
        target = request["TargetCapacitySpecification"]
        market = Market.SPOT if target["DefaultTargetCapacityType"] == "spot" else Market.ON_DEMAND
        offers = [each for config in request["LaunchTemplateConfigs"] for each in config["Overrides"]]
        self._fleets += 1
        answer: dict[str, Any] = {"FleetId": f"fleet-{self._fleets}", "Errors": [], "Instances": []}
        fitting = [each for each in offers if self._has(each, market)]
        if market is Market.ON_DEMAND:
            fitting.sort(key=lambda each: each.get("Priority", 0.0))
        for number in range(target["TotalTargetCapacity"] if fitting else 0):
            offer = fitting[0] if market is Market.ON_DEMAND else self._engine.random.choice(fitting)
            answer["Instances"].append(self._launch(offer, market, request, token, number))
        for offer in offers if not fitting else ():
            answer["Errors"].append(self._error(offer, market))
        if token:
            self._remember(token, content, answer)
        return answer

    def _remember(self, token: str, content: bytes, answer: dict[str, Any]) -> None:
        self._tokens[token] = (self._engine.time, content, answer)
        while self._tokens:
            oldest = next(iter(self._tokens))
            if self._tokens[oldest][0] + _KNOWN > self._engine.time:
                return
            del self._tokens[oldest]

    def _zone(self, offer: Mapping[str, Any]) -> str:
        return self._zones[offer["SubnetId"]]

    def _has(self, offer: Mapping[str, Any], market: Market) -> bool:
        at, kind, zone = self._engine.time, offer["InstanceType"], self._zone(offer)
        return not any(each.covers(at, kind, zone, market) for each in self._droughts)

    def _error(self, offer: Mapping[str, Any], market: Market) -> dict[str, Any]:
        return {
            "LaunchTemplateAndOverrides": {"Overrides": offer},
            "Lifecycle": market.value,
            "ErrorCode": self._engine.random.choice(_NO_MACHINE),
            "ErrorMessage": "there is none now",
        }

    def _launch(
        self, offer: Mapping[str, Any], market: Market, request: Mapping[str, Any], token: str, number: int
    ) -> dict[str, Any]:
        tags = {
            tag["Key"]: tag["Value"]
            for each in request.get("TagSpecifications", ())
            if each["ResourceType"] == "instance"
            for tag in each["Tags"]
        }
        # A policy that asks for several machines at once tells, for those who watch, which jobs they are for.
        jobs = tags.pop("simulator:jobs", "").split()
        if number < len(jobs):
            tags["simulator:job"] = jobs[number]
        now = self._engine.time
        self.launches += 1
        machine = Machine(
            id=f"i-{self.launches:017x}",
            tags=tags,
            type=offer["InstanceType"],
            zone=self._zone(offer),
            market=market,
            launched_at=now,
            token=token,
            visible_at=now + self._engine.random.random() * self._lag,
            started_at=now,
        )
        self.machines[machine.id] = machine
        if self.on:
            self.on.launched(machine)
            self.on.booting(machine)
        return {
            "InstanceIds": [machine.id],
            "InstanceType": machine.type,
            "Lifecycle": market.value,
            "LaunchTemplateAndOverrides": {"Overrides": {**offer, "AvailabilityZone": machine.zone}},
        }

    def change(self, machine: Machine, state: str, who: str = "") -> None:
        """Change a machine's state; DescribeInstances shows it later."""
        now = self._engine.time
        if not machine.live or machine.state == state:
            return
        machine.seconds = machine.ran(now)
        machine.state, machine.started_at = state, now
        machine.behind.append((now + self._engine.random.random() * self._lag, state))
        self._engine.say("ec2", f"{machine.id} {state}", machine=machine.id, detail=who and f"by {who}")
        if state == "terminated":
            machine.ended_at, machine.ended_by = now, who
            self._engine.after(self._engine.random.uniform(*_SHOWN), self._forget, machine)
        if self.on and state in ("terminated", "stopping"):
            self.on.halted(machine)

    def _forget(self, machine: Machine) -> None:
        del self.machines[machine.id]

    def _state(self, machine: Machine) -> str:
        while machine.behind and machine.behind[0][0] <= self._engine.time:
            machine.shown = machine.behind.pop(0)[1]
        return machine.shown

    def _describe(self, request: Mapping[str, Any]) -> dict[str, Any]:
        now = self._engine.time
        filters = {each["Name"]: each["Values"] for each in request.get("Filters", ())}
        ids = request.get("InstanceIds")
        some = self._found("DescribeInstances", ids) if ids else self._filtered(filters)
        found = [each for each in some if each.visible_at <= now]
        start = int(request.get("NextToken", 0))
        end = start + min(self._page, request.get("MaxResults", self._page))
        answer: dict[str, Any] = {"Reservations": [{"Instances": [self._shape(each)]} for each in found[start:end]]}
        if end < len(found):
            answer["NextToken"] = str(end)
        return answer

    def _filtered(self, filters: Mapping[str, Sequence[str]]) -> Iterable[Machine]:
        """Machines that pass all filters, in the order of their launch."""
        found: Iterable[Machine] = self.machines.values()
        if "instance-id" in filters:
            found = [self.machines[each] for each in sorted(set(filters["instance-id"])) if each in self.machines]
        for name, values in filters.items():
            if name.startswith("tag:"):
                key = name.removeprefix("tag:")
                found = [each for each in found if each.tags.get(key) in values]
            elif name == "instance-state-name":
                found = [each for each in found if self._state(each) in values]
            elif name != "instance-id":
                raise client_error("DescribeInstances", "InvalidParameterValue", f"The filter '{name}' is invalid")
        return found

    def _shape(self, machine: Machine) -> dict[str, Any]:
        state = self._state(machine)
        if machine.shape is None or machine.shape["State"]["Name"] != state:
            machine.shape = self._described(machine, state)
        return machine.shape

    @staticmethod
    def _described(machine: Machine, state: str) -> dict[str, Any]:
        shape: dict[str, Any] = {
            "InstanceId": machine.id,
            "InstanceType": machine.type,
            "State": {"Name": state},
            "Placement": {"AvailabilityZone": machine.zone},
            "LaunchTime": datetime.fromtimestamp(machine.launched_at, UTC),
            "Tags": [{"Key": key, "Value": value} for key, value in machine.tags.items()],
        }
        if machine.market is Market.SPOT:
            shape["InstanceLifecycle"] = "spot"
        if state == "terminated":
            shape["StateReason"] = {"Code": _REASONS.get(machine.ended_by, "Client.UserInitiatedShutdown")}
        return shape

    def _found(self, operation: str, ids: Sequence[str]) -> list[Machine]:
        missing = [each for each in ids if each not in self.machines]
        if missing:
            message = f"The instance IDs '{', '.join(missing)}' do not exist"
            raise client_error(operation, "InvalidInstanceID.NotFound", message)
        return [self.machines[each] for each in ids]

    def _end(self, ids: Sequence[str], how: str) -> dict[str, Any]:
        operation = "TerminateInstances" if how == "terminate" else "StopInstances"
        found = self._found(operation, ids)
        if how == "stop" and any(each.state not in ("running", "stopping", "stopped") for each in found):
            raise client_error(operation, "IncorrectInstanceState", "The instance is not in a state to be stopped")
        if how == "stop" and any(each.market is Market.SPOT for each in found):
            raise client_error(operation, "UnsupportedOperation", "a one-time spot instance cannot be stopped")
        for machine in found:
            if machine.live:
                if self.on:
                    self.on.asked(machine, how)
                if how == "terminate":
                    self.change(machine, "terminated", self._engine.actor)
                elif machine.state == "running":
                    self.change(machine, "stopping", self._engine.actor)
                    self._engine.after(self._engine.random.uniform(5, 40), self.change, machine, "stopped")
        return {}

    def _start(self, ids: Sequence[str]) -> dict[str, Any]:
        for machine in self._found("StartInstances", ids):
            if machine.state in ("running", "pending"):
                continue
            if machine.state != "stopped":
                raise client_error("StartInstances", "IncorrectInstanceState", "it is not stopped")
            kind = self._engine.time, machine.type, machine.zone, machine.market
            if any(each.covers(*kind) for each in self._droughts):
                raise client_error("StartInstances", "InsufficientInstanceCapacity", "there is none now")
            self.change(machine, "pending")
            if self.on:
                self.on.booting(machine)
        return {}

    def _tag(self, request: Mapping[str, Any]) -> dict[str, Any]:
        for machine in self._found("CreateTags", request["Resources"]):
            machine.shape = None
            machine.tags = {**machine.tags, **{each["Key"]: each["Value"] for each in request["Tags"]}}
        return {}
