"""The fleet's machines on EC2."""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

from pavedpath_runners.configuration import Fleet, Market
from pavedpath_runners.ports import Clock, Instance, NoCapacityError, Order, Telemetry, UnavailableError

from .aws import OUTAGES, THROTTLES, calling, code_of
from .clock import SystemClock

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client

FLEET_TAG, RUNNER_TAG, POOL_TAG = "pavedpath:fleet", "pavedpath:runner", "pavedpath:pool"
NO_CAPACITY = frozenset(
    {
        "InstanceLimitExceeded",
        "InsufficientAddressCapacity",
        "InsufficientCapacity",
        "InsufficientFreeAddressesInSubnet",
        "InsufficientHostCapacity",
        "InsufficientInstanceCapacity",
        "MaxFleetCountExceeded",
        "MaxSpotInstanceCountExceeded",
        "SpotMaxPriceTooLow",
        "UnfulfillableCapacity",
        "Unsupported",  # the type is not offered in that zone
        "VcpuLimitExceeded",
    }
)
"""Codes with which EC2 says that there is no machine now, or that the account may have no more (EC2, "Error codes")."""
NO_SPOT_ROLE = "AuthFailure.ServiceLinkedRoleCreationNotPermitted"
"""Code with which EC2 says that the account has not the role AWSServiceRoleForEC2Spot, which the console makes at the
first spot request and an API call does not (EC2, "Service-linked role for Spot Instance requests")."""
_MEND_SPOT = "aws iam create-service-linked-role --aws-service-name spot.amazonaws.com"
_GONE = frozenset({"InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed"})
_BATCH = 100


class FleetCompute:
    """`ports.Compute` on EC2's CreateFleet: only there do one request's types, zones and markets compete.

    Args:
        client: boto3's EC2 client.
        fleet: whose machines they are; all have its name in the tag `pavedpath:fleet`, which is set by the launch
            itself, so that no role needs to tag machines that exist.
        clock: dates machines whose launch EC2 has just confirmed.
        telemetry: is told what keeps a fleet working but wants to be mended.
    """

    def __init__(
        self, client: "EC2Client", fleet: Fleet, clock: Clock | None = None, telemetry: Telemetry | None = None
    ) -> None:
        self._client, self._fleet, self._clock = client, fleet, clock or SystemClock()
        self._telemetry = telemetry

    def launch(self, order: Order) -> Instance:
        """Ask for one machine; see `ports.Compute.launch`.

        Raises:
            NoCapacityError: EC2 launched none, since it has none, or since the account cannot buy spot.
            UnavailableError: whether it launched one is unknown. The same order again finds out.
            RuntimeError: EC2 launched none, and never will: the launch template or a permission is wrong.
        """
        try:
            with calling("EC2 CreateFleet"):
                answer = self._client.create_fleet(**self._request(order))
        except ClientError as error:
            code = code_of(error)
            if code == "IdempotentParameterMismatch":
                return self._launched_before(order, "EC2 CreateFleet was asked before, with other parameters")
            if code in NO_CAPACITY or self._lacks_spot(order, {code}):
                raise NoCapacityError(code) from error
            raise
        launched = cast("list[dict[str, Any]]", answer.get("Instances", []))
        for each in launched:
            if each.get("InstanceIds"):
                return self._launched(order, each)
        errors = cast("list[dict[str, Any]]", answer.get("Errors", []))
        if errors:
            raise self._refusal(order, errors)
        # Neither a machine nor a reason: what came of it is not known.
        return self._launched_before(order, "EC2 CreateFleet answers neither machines nor errors")

    def instances(self, identity: str = "") -> Sequence[Instance]:
        """All machines with the fleet's tag that EC2 still shows, or one of them."""
        # A filter, unlike InstanceIds, takes an id that is not there for no error.
        return self._described({FLEET_TAG: self._fleet.name}, identity)

    def terminate(self, instance_ids: Sequence[str]) -> None:
        """End machines; those that are gone do no harm."""
        for start in range(0, len(instance_ids), _BATCH):
            some = list(instance_ids[start : start + _BATCH])
            # One unknown id makes EC2 refuse them all.
            if not self._ended(some) and len(some) > 1:
                for each in some:
                    self._ended([each])

    def start(self, instance_id: str) -> None:
        """Wake a stopped machine. One that is gone, or is not asleep yet, is no capacity either."""
        try:
            with calling("EC2 StartInstances"):
                self._client.start_instances(InstanceIds=[instance_id])
        except ClientError as error:
            if code_of(error) in NO_CAPACITY | _GONE | {"IncorrectInstanceState"}:
                raise NoCapacityError(code_of(error)) from error
            raise

    def stop(self, instance_id: str) -> None:
        """Put a machine to sleep; one that is gone does no harm, one that still boots is stopped later."""
        try:
            with calling("EC2 StopInstances"):
                self._client.stop_instances(InstanceIds=[instance_id])
        except ClientError as error:
            if code_of(error) == "IncorrectInstanceState":
                raise UnavailableError(f"EC2 StopInstances: {instance_id} cannot be stopped yet") from error
            if code_of(error) not in _GONE:
                raise

    def _request(self, order: Order) -> dict[str, Any]:
        spot = order.market is Market.SPOT
        tags = {
            "Name": order.runner,
            FLEET_TAG: self._fleet.name,
            RUNNER_TAG: order.runner,
            POOL_TAG: order.pool.name,
        }
        return {
            "Type": "instant",
            "ClientToken": client_token(self._fleet.name, order),
            "LaunchTemplateConfigs": [
                {
                    "LaunchTemplateSpecification": {
                        "LaunchTemplateId": order.pool.launch_template_id,
                        "Version": "$Latest",
                    },
                    "Overrides": overrides(order, self._fleet.zones),
                }
            ],
            "TargetCapacitySpecification": {
                "TotalTargetCapacity": 1,
                "DefaultTargetCapacityType": "spot" if spot else "on-demand",
            },
            **(
                {"SpotOptions": {"AllocationStrategy": "price-capacity-optimized"}}
                if spot
                else {"OnDemandOptions": {"AllocationStrategy": "prioritized"}}
            ),
            "TagSpecifications": [
                {"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
            ],
        }

    def _launched(self, order: Order, held: Mapping[str, Any]) -> Instance:
        override = cast("dict[str, Any]", held.get("LaunchTemplateAndOverrides", {}).get("Overrides", {}))
        zone = str(override.get("AvailabilityZone") or self._fleet.zones.get(str(override.get("SubnetId")), ""))
        return Instance(
            id=held["InstanceIds"][0],
            runner=order.runner,
            state="pending",
            type=str(held.get("InstanceType") or override.get("InstanceType", "")),
            zone=zone,
            launched_at=self._clock.now(),
            market=order.market,
        )

    def _launched_before(self, order: Order, why: str) -> Instance:
        """The machine of an order whose answer says nothing of it: its first request had other parameters (what to
        avoid changes, and so does the configuration), or EC2 told of neither a machine nor a reason."""
        tags = {FLEET_TAG: self._fleet.name, RUNNER_TAG: order.runner}
        for each in self._described(tags):
            if each.market is order.market and each.state in ("pending", "running"):
                return each
        # EC2 may not show it yet; if there was none, the next attempt has another name, and so another token.
        raise UnavailableError(f"{why}, and shows no machine for {order.runner}")

    def _refusal(self, order: Order, errors: Iterable[Mapping[str, Any]]) -> Exception:
        """What an answer without a machine means. EC2 has answered: it launched none, so even a throttle within is
        final, and the same token would only bring the same answer again."""
        codes = {str(each.get("ErrorCode", "")): str(each.get("ErrorMessage", "")) for each in errors}
        if self._lacks_spot(order, codes) or set(codes) & (NO_CAPACITY | THROTTLES | OUTAGES):
            return NoCapacityError(", ".join(sorted(codes)))
        told = "; ".join(f"{code}: {message}" for code, message in sorted(codes.items()))
        return RuntimeError(f"EC2 launches no machine of the pool {order.pool.name}: {told}")

    def _lacks_spot(self, order: Order, codes: Collection[str]) -> bool:
        """Whether the account cannot buy spot; it is told, since the fleet goes on with what costs more."""
        if order.market is not Market.SPOT or NO_SPOT_ROLE not in codes:
            return False
        if self._telemetry:
            why = "the account has no role AWSServiceRoleForEC2Spot"
            self._telemetry.say("spot cannot be bought", pool=order.pool.name, why=why, fix=_MEND_SPOT)
        return True

    def _described(self, tags: Mapping[str, str], identity: str = "") -> Sequence[Instance]:
        wanted = {f"tag:{key}": value for key, value in tags.items()} | ({"instance-id": identity} if identity else {})
        filters = [{"Name": name, "Values": [value]} for name, value in wanted.items()]
        found: list[Instance] = []
        more: dict[str, Any] = {}
        while True:
            with calling("EC2 DescribeInstances"):
                answer = self._client.describe_instances(Filters=cast(Any, filters), MaxResults=1000, **more)
            for reservation in answer["Reservations"]:
                found += [_instance(cast("dict[str, Any]", each)) for each in reservation.get("Instances", [])]
            if not answer.get("NextToken"):
                return found
            more = {"NextToken": answer.get("NextToken")}

    def _ended(self, instance_ids: list[str]) -> bool:
        try:
            with calling("EC2 TerminateInstances"):
                self._client.terminate_instances(InstanceIds=instance_ids)
        except ClientError as error:
            if code_of(error) in _GONE:
                return False
            raise
        return True


def client_token(fleet: str, order: Order) -> str:
    """The token that makes an order one machine, however often it is sent: 64 characters, EC2's limit."""
    return hashlib.sha256(f"{fleet}\n{order.runner}\n{order.market}".encode()).hexdigest()


def overrides(order: Order, zones: Mapping[str, str]) -> list[dict[str, Any]]:
    """The kinds of machine that an order allows: types x subnets, without those to be avoided if others are left.

    The zone is redundant beside the subnet, but EC2 repeats it in its answer.
    """
    pool = order.pool
    every = [
        (rank, kind, subnet, zones.get(subnet, ""))
        for rank, kind in enumerate(pool.instance_types)
        for subnet in pool.subnet_ids
    ]
    avoided = set(order.avoid)
    left = [each for each in every if (each[1], each[3]) not in avoided] or every
    return [
        {
            "InstanceType": kind,
            "SubnetId": subnet,
            **({"AvailabilityZone": zone} if zone else {}),
            # On-demand takes the lowest number first; price-capacity-optimized spot knows no priorities.
            **({} if order.market is Market.SPOT else {"Priority": float(rank)}),
        }
        for rank, kind, subnet, zone in left
    ]


def _instance(held: Mapping[str, Any]) -> Instance:
    tags = {each["Key"]: each["Value"] for each in held.get("Tags", [])}
    return Instance(
        id=held["InstanceId"],
        runner=tags.get(RUNNER_TAG, ""),
        state=held["State"]["Name"],
        type=held.get("InstanceType", ""),
        zone=held.get("Placement", {}).get("AvailabilityZone", ""),
        launched_at=cast(datetime, held["LaunchTime"]).timestamp(),
        market=Market.SPOT if held.get("InstanceLifecycle") == "spot" else Market.ON_DEMAND,
        reclaimed=held.get("StateReason", {}).get("Code") == "Server.SpotInstanceTermination",
    )
