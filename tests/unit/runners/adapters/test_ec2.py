import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError
from pavedpath_runners.adapters.ec2 import FleetCompute, client_token, overrides
from pavedpath_runners.configuration import Fleet, Market, Pool
from pavedpath_runners.ports import NoCapacityError, Order, UnavailableError


class Cloud:
    """moto's EC2 with a subnet in two zones and a launch template."""

    def __init__(self, client: Any, pool: Pool, fleet: Fleet) -> None:
        self.client = client
        vpc = client.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        zones: dict[str, str] = {}
        for number, zone in enumerate(("eu-west-1a", "eu-west-1b")):
            made = client.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=zone)
            zones[made["Subnet"]["SubnetId"]] = zone
        template = client.create_launch_template(
            LaunchTemplateName="small", LaunchTemplateData={"ImageId": "ami-12c6146b", "InstanceType": "t3.micro"}
        )["LaunchTemplate"]["LaunchTemplateId"]
        self.pool = dataclasses.replace(pool, subnet_ids=tuple(zones), launch_template_id=template)
        self.fleet = dataclasses.replace(fleet, pools=(self.pool,), zones=zones)

    def order(self, runner: str = "dev-7-1", market: Market = Market.ON_DEMAND) -> Order:
        return Order(runner, self.pool, market)


@pytest.fixture
def cloud(aws: Any, pool: Pool, fleet: Fleet) -> Cloud:
    return Cloud(aws("ec2"), pool, fleet)


@pytest.mark.parametrize("market", list(Market))
def test_a_machine_is_launched_and_found_by_its_tags(cloud: Cloud, clock: Any, market: Market) -> None:
    compute = FleetCompute(cloud.client, cloud.fleet, clock)
    launched = compute.launch(cloud.order(market=market))
    assert (launched.runner, launched.market, launched.launched_at) == ("dev-7-1", market, clock.time)
    assert launched.type in cloud.pool.instance_types
    assert launched.zone in cloud.fleet.zones.values()
    [found] = compute.instances()
    assert (found.id, found.runner, found.state, found.market) == (launched.id, "dev-7-1", "running", market)
    assert FleetCompute(cloud.client, dataclasses.replace(cloud.fleet, name="prod")).instances() == []
    tags = cloud.client.describe_instances()["Reservations"][0]["Instances"][0]["Tags"]
    held = {each["Key"]: each["Value"] for each in tags}
    assert held["Name"] == "dev-7-1"
    assert held["pavedpath:pool"] == "small"


def test_machines_are_listed_over_all_pages(cloud: Cloud) -> None:
    compute = FleetCompute(Paging(cloud.client), cloud.fleet)  # pyright: ignore[reportArgumentType] - a double
    for number in range(3):
        compute.launch(cloud.order(f"dev-{number}-1"))
    assert {each.runner for each in compute.instances()} == {"dev-0-1", "dev-1-1", "dev-2-1"}


class Paging:
    """A client that shows one reservation a page."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.create_fleet = client.create_fleet

    def describe_instances(self, **request: Any) -> Mapping[str, Any]:
        every = self._client.describe_instances(Filters=request["Filters"])["Reservations"]
        at = int(request.get("NextToken", 0))
        return {"Reservations": every[at : at + 1], **({"NextToken": str(at + 1)} if at + 1 < len(every) else {})}


def test_unknown_machines_do_not_keep_the_others_alive(cloud: Cloud) -> None:
    compute = FleetCompute(cloud.client, cloud.fleet)
    ids = [compute.launch(cloud.order(f"dev-{number}-1")).id for number in range(2)]
    compute.terminate([ids[0], "i-0123456789abcdef0", ids[1]])
    assert {each.state for each in compute.instances()} == {"terminated"}
    compute.terminate(["i-0123456789abcdef0"])
    compute.terminate([])


def test_machines_sleep_and_wake(cloud: Cloud) -> None:
    compute = FleetCompute(cloud.client, cloud.fleet)
    launched = compute.launch(cloud.order())
    compute.stop(launched.id)
    assert compute.instances()[0].state == "stopped"
    compute.start(launched.id)
    assert compute.instances()[0].state == "running"
    compute.stop("i-0123456789abcdef0")
    with pytest.raises(NoCapacityError, match="NotFound"):
        compute.start("i-0123456789abcdef0")


class Stub:
    """An EC2 whose CreateFleet answers as it is told."""

    def __init__(self, answer: Mapping[str, Any] | Exception, instances: Sequence[Mapping[str, Any]] = ()) -> None:
        self.answer, self.instances, self.requests = answer, instances, list[Mapping[str, Any]]()

    def create_fleet(self, **request: Any) -> Mapping[str, Any]:
        self.requests.append(request)
        return self._told()

    def start_instances(self, **_: Any) -> Mapping[str, Any]:
        return self._told()

    def stop_instances(self, **_: Any) -> Mapping[str, Any]:
        return self._told()

    def describe_instances(self, **request: Any) -> Mapping[str, Any]:
        return {"Reservations": [{"Instances": list(self.instances)}]}

    def _told(self) -> Mapping[str, Any]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def refused(code: str, status: int = 400) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "CreateFleet")


def errors(*codes: str) -> Mapping[str, Any]:
    return {"Instances": [], "Errors": [{"ErrorCode": code, "ErrorMessage": "why"} for code in codes]}


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (errors("InsufficientInstanceCapacity", "UnfulfillableCapacity"), NoCapacityError),
        (errors("InvalidParameter", "VcpuLimitExceeded"), NoCapacityError),
        (errors("RequestLimitExceeded"), NoCapacityError),
        (errors(), UnavailableError),
        (errors("InvalidLaunchTemplateId.NotFound"), RuntimeError),
        (refused("MaxSpotInstanceCountExceeded"), NoCapacityError),
        (refused("RequestLimitExceeded", 503), UnavailableError),
        (refused("InternalError", 500), UnavailableError),
        (ConnectTimeoutError(endpoint_url="https://there"), UnavailableError),
        (refused("UnauthorizedOperation", 403), ClientError),
    ],
    ids=[
        "capacity", "limit-among-others", "throttle-within", "no-reason", "misconfigured",
        "limit", "throttled", "outage", "time-out", "forbidden",
    ],
)  # fmt: skip
def test_answers_without_a_machine(
    fleet: Fleet, pool: Pool, answer: Mapping[str, Any] | Exception, told: type[Exception]
) -> None:
    client: Any = Stub(answer)
    with pytest.raises(told) as caught:
        FleetCompute(client, fleet).launch(Order("dev-7-1", pool, Market.SPOT))
    assert caught.type is told


class Told:
    """A log in memory."""

    def __init__(self) -> None:
        self.lines: list[Mapping[str, object]] = []

    def count(self, metric: str, value: float = 1.0, **dimensions: str) -> None:
        raise AssertionError(metric)

    seconds = count

    def say(self, event: str, **fields: object) -> None:
        self.lines.append({"event": event, **fields})


LINKED = "AuthFailure.ServiceLinkedRoleCreationNotPermitted"


@pytest.mark.parametrize("answer", [errors(LINKED), refused(LINKED, 403)], ids=["within", "whole"])
def test_an_account_that_never_had_spot_gets_on_demand_and_is_told_why(
    fleet: Fleet, pool: Pool, clock: Any, answer: Mapping[str, Any] | Exception
) -> None:
    client: Any = Stub(answer)
    told = Told()
    compute = FleetCompute(client, fleet, clock, told)
    with pytest.raises(NoCapacityError, match=LINKED):
        compute.launch(Order("dev-7-1", pool, Market.SPOT))
    assert told.lines == [
        {
            "event": "spot cannot be bought",
            "pool": pool.name,
            "why": "the account has no role AWSServiceRoleForEC2Spot",
            "fix": "aws iam create-service-linked-role --aws-service-name spot.amazonaws.com",
        }
    ]
    # On demand it cannot mean spot's role, and to wait would not help.
    with pytest.raises((RuntimeError, ClientError), match=LINKED):
        compute.launch(Order("dev-7-1", pool, Market.ON_DEMAND))
    assert len(told.lines) == 1


def test_a_machine_beside_errors_is_a_machine(fleet: Fleet, pool: Pool, clock: Any) -> None:
    override = {"InstanceType": "c7g.large", "SubnetId": "subnet-b"}
    machine = {"InstanceIds": ["i-1"], "LaunchTemplateAndOverrides": {"Overrides": override}}
    client: Any = Stub({"Instances": [{"InstanceIds": []}, machine], "Errors": errors("Unsupported")["Errors"]})
    launched = FleetCompute(client, fleet, clock).launch(Order("dev-7-1", pool, Market.SPOT))
    assert (launched.id, launched.type, launched.zone) == ("i-1", "c7g.large", "eu-west-1b")


def test_the_same_order_has_the_same_token_and_no_other(fleet: Fleet, pool: Pool) -> None:
    client: Any = Stub(errors("InsufficientInstanceCapacity"))
    compute = FleetCompute(client, fleet)
    orders = [
        Order("dev-7-1", pool, Market.SPOT),
        Order("dev-7-1", pool, Market.SPOT),
        Order("dev-7-1", pool, Market.ON_DEMAND),
        Order("dev-7-2", pool, Market.SPOT),
    ]
    for order in orders:
        with pytest.raises(NoCapacityError):
            compute.launch(order)
    same, again, *others = (each["ClientToken"] for each in client.requests)
    assert client.requests[0] == client.requests[1]
    assert same == again
    assert len({same, *others, client_token("prod", orders[0])}) == 4
    assert len(same) == 64


def test_markets_compete_as_each_should(fleet: Fleet, pool: Pool) -> None:
    client: Any = Stub(errors("InsufficientInstanceCapacity"))
    for market in Market:
        with pytest.raises(NoCapacityError):
            FleetCompute(client, fleet).launch(Order("dev-7-1", pool, market))
    spot, on_demand = client.requests
    assert spot["SpotOptions"] == {"AllocationStrategy": "price-capacity-optimized"}
    assert spot["TargetCapacitySpecification"] == {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "spot"}
    assert on_demand["OnDemandOptions"] == {"AllocationStrategy": "prioritized"}
    [config] = on_demand["LaunchTemplateConfigs"]
    assert {each["InstanceType"]: each["Priority"] for each in config["Overrides"]} == {
        "c7g.large": 0.0,
        "m7g.large": 1.0,
    }
    assert not any("Priority" in each for each in spot["LaunchTemplateConfigs"][0]["Overrides"])


EVERY = [(kind, subnet) for kind in ("c7g.large", "m7g.large") for subnet in ("subnet-a", "subnet-b")]


@pytest.mark.parametrize(
    ("avoid", "left"),
    [
        ((), EVERY),
        ((("c7g.large", "eu-west-1a"),), EVERY[1:]),
        ((("c7g.large", "eu-west-1c"),), EVERY),
        (tuple((kind, zone) for kind in ("c7g.large", "m7g.large") for zone in ("eu-west-1a", "eu-west-1b")), EVERY),
    ],
    ids=["none", "one", "elsewhere", "all"],
)
def test_what_was_interrupted_is_avoided_while_others_are_left(
    fleet: Fleet, pool: Pool, avoid: Sequence[tuple[str, str]], left: Sequence[tuple[str, str]]
) -> None:
    asked = overrides(Order("dev-7-1", pool, Market.SPOT, avoid), fleet.zones)
    assert [(each["InstanceType"], each["SubnetId"]) for each in asked] == left


def machine(cloud: Cloud, clock: Any) -> Mapping[str, Any]:
    FleetCompute(cloud.client, cloud.fleet, clock).launch(cloud.order())
    return cloud.client.describe_instances()["Reservations"][0]["Instances"][0]


def test_an_order_that_was_sent_with_other_parameters_is_found_by_its_tag(cloud: Cloud, clock: Any) -> None:
    held = machine(cloud, clock)
    client: Any = Stub(refused("IdempotentParameterMismatch"), [held])
    assert FleetCompute(client, cloud.fleet).launch(cloud.order()).id == held["InstanceId"]


@pytest.mark.parametrize("market", [Market.SPOT, Market.ON_DEMAND])
def test_an_order_whose_machine_is_not_shown_is_unknown(cloud: Cloud, clock: Any, market: Market) -> None:
    ended = dict(machine(cloud, clock)) | {"State": {"Name": "terminated"}}
    client: Any = Stub(refused("IdempotentParameterMismatch"), [ended] if market is Market.ON_DEMAND else [])
    with pytest.raises(UnavailableError, match="dev-7-1"):
        FleetCompute(client, cloud.fleet).launch(cloud.order(market=market))


@pytest.mark.parametrize(
    ("act", "code", "told"),
    [
        (FleetCompute.start, "InsufficientInstanceCapacity", NoCapacityError),
        (FleetCompute.start, "IncorrectInstanceState", NoCapacityError),
        (FleetCompute.start, "RequestLimitExceeded", UnavailableError),
        (FleetCompute.start, "UnauthorizedOperation", ClientError),
        (FleetCompute.stop, "IncorrectInstanceState", UnavailableError),
        (FleetCompute.stop, "UnauthorizedOperation", ClientError),
    ],
)
def test_why_a_machine_does_not_start_or_stop(
    fleet: Fleet, act: Callable[[FleetCompute, str], None], code: str, told: type[Exception]
) -> None:
    client: Any = Stub(refused(code))
    with pytest.raises(told):
        act(FleetCompute(client, fleet), "i-1")


def test_one_machine_can_be_asked_for(cloud: Cloud, clock: Any) -> None:
    compute = FleetCompute(cloud.client, cloud.fleet, clock)
    first, second = (compute.launch(cloud.order(f"dev-{number}-1")) for number in range(2))
    assert [each.id for each in compute.instances(second.id)] == [second.id]
    assert compute.instances("i-0123456789abcdef0") == []
    assert {each.id for each in compute.instances()} == {first.id, second.id}
