"""The models of SQS, SSM, EC2 and GitHub: what is documented of them, and what complaints are about."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from pavedpath_runners.configuration import Market
from pavedpath_runners.simulator.ec2 import EC2, Drought
from pavedpath_runners.simulator.engine import Engine
from pavedpath_runners.simulator.github import Ears, GitHub, Habits, WorkflowJob
from pavedpath_runners.simulator.policy import Hook, Message
from pavedpath_runners.simulator.scenario import ZONES
from pavedpath_runners.simulator.sqs import SQS
from pavedpath_runners.simulator.ssm import SSM


def pass_time(engine: Engine, seconds: float) -> None:
    until = engine.time + seconds
    engine.at(until, lambda: None)
    while engine.time < until:
        engine.step()


# SQS


def fifo(receives: int = 3) -> tuple[Engine, SQS]:
    engine = Engine(1, 0.0)
    return engine, SQS(engine, fifo=True, visibility=30.0, receives=receives)


def send(queue: SQS, body: str, group: str = "a", key: str = "") -> None:
    queue.send_message(QueueUrl="", MessageBody=body, MessageGroupId=group, MessageDeduplicationId=key or body)


def bodies(messages: Any) -> list[str]:
    return [each.body for each in messages]


def test_a_group_is_in_order_and_one_at_a_time() -> None:
    _, queue = fifo()
    for body, group in (("1", "a"), ("2", "a"), ("3", "b")):
        send(queue, body, group)
    first = queue.receive(10)
    assert bodies(first) == ["1", "3"]
    assert queue.receive(10) == []
    queue.delete(first[0])
    assert bodies(queue.receive(10)) == ["2"]


def test_the_same_key_is_one_message_for_five_minutes_even_when_it_is_done() -> None:
    engine, queue = fifo()
    send(queue, "1", key="k")
    queue.delete(queue.receive(1)[0])
    pass_time(engine, 299)
    send(queue, "2", key="k")
    assert queue.receive(1) == []
    pass_time(engine, 2)
    send(queue, "3", key="k")
    assert bodies(queue.receive(1)) == ["3"]


def test_what_is_not_deleted_comes_again_and_then_is_dead() -> None:
    engine, queue = fifo(receives=2)
    send(queue, "1")
    assert queue.receive(1) == [Message("m-1", "1", 1, "m-1/1")]
    pass_time(engine, 31)
    late = queue.receive(1)
    assert late == [Message("m-1", "1", 2, "m-1/2")]
    queue.delete(Message("m-1", "1", 1, "m-1/1"))  # the handle of an earlier receive is worth nothing
    send(queue, "2")
    pass_time(engine, 31)
    assert queue.dead == ["1"]
    assert bodies(queue.receive(1)) == ["2"]


def hide(queue: SQS, message: Message, seconds: int) -> None:
    queue.change_message_visibility(QueueUrl="", ReceiptHandle=message.handle, VisibilityTimeout=seconds)


@pytest.mark.parametrize("seconds", [0, 5, 29, 90])
def test_a_message_is_visible_again_so_many_seconds_from_the_change_and_its_group_waits(seconds: int) -> None:
    engine, queue = fifo()
    send(queue, "1")
    send(queue, "2")
    (taken,) = queue.receive(10)
    pass_time(engine, 20)
    hide(queue, taken, seconds)
    if seconds:
        pass_time(engine, seconds - 0.1)
        assert queue.receive(10) == []
    pass_time(engine, 0.1)
    assert bodies(queue.receive(10)) == ["1"]


def test_a_change_holds_for_one_receive_and_the_last_one_counts() -> None:
    engine, queue = fifo()
    send(queue, "1")
    (taken,) = queue.receive(1)
    hide(queue, taken, 100)
    hide(queue, taken, 10)
    pass_time(engine, 10)
    (taken,) = queue.receive(1)
    pass_time(engine, 29)
    assert queue.receive(1) == []
    pass_time(engine, 1)
    assert bodies(queue.receive(1)) == ["1"]


def test_a_message_that_was_put_off_counts_its_receives_and_can_be_deleted_meanwhile() -> None:
    engine, queue = fifo(receives=2)
    send(queue, "1")
    for _ in range(2):
        hide(queue, queue.receive(1)[0], 0)
        pass_time(engine, 0.001)
    assert queue.dead == ["1"]
    send(queue, "2")
    (taken,) = queue.receive(1)
    hide(queue, taken, 60)
    pass_time(engine, 45)
    queue.delete(taken)
    pass_time(engine, 60)
    assert queue.receive(1) == []


def test_what_is_in_flight_no_more_or_too_long_cannot_be_put_off() -> None:
    engine, queue = fifo()
    send(queue, "1")
    (taken,) = queue.receive(1)
    pass_time(engine, 10)
    with pytest.raises(ClientError, match="beyond the limit"):
        hide(queue, taken, 43_195)
    with pytest.raises(ClientError, match="between 0 and 43200"):
        hide(queue, taken, -1)
    pass_time(engine, 21)
    with pytest.raises(ClientError, match="not available for visibility timeout change"):
        hide(queue, taken, 5)
    (again,) = queue.receive(1)
    with pytest.raises(ClientError, match="not available for visibility timeout change"):
        hide(queue, taken, 5)
    queue.delete(again)
    with pytest.raises(ClientError, match="not available for visibility timeout change"):
        hide(queue, again, 5)


def test_fifo_knows_no_delay_of_one_message() -> None:
    _, queue = fifo()
    with pytest.raises(ClientError, match="DelaySeconds"):
        queue.send_message(QueueUrl="", MessageBody="1", MessageGroupId="a", MessageDeduplicationId="1", DelaySeconds=5)


def test_a_standard_queue_delays_and_doubles() -> None:
    engine = Engine(1, 0.0)
    queue = SQS(engine, fifo=False, visibility=30.0, receives=0, delay=30.0, duplicates=1.0)
    queue.send_message(QueueUrl="", MessageBody="1")
    assert queue.receive(10) == []
    pass_time(engine, 51)
    assert bodies(queue.receive(10)) == ["1", "1"]


# SSM


def test_a_parameter_is_its_machines_alone_and_is_read_once() -> None:
    ssm = SSM(Engine(1, 0.0))
    ssm.put_parameter(Name="/x/i-1", Value="v", Tags=[{"Key": "pavedpath:instance", "Value": "arn:i-1"}])
    with pytest.raises(ClientError, match="ParameterAlreadyExists"):
        ssm.put_parameter(Name="/x/i-1", Value="v")
    with pytest.raises(ClientError, match="ValidationException"):
        ssm.put_parameter(Name="/x/i-1", Value="v", Overwrite=True, Tags=[{"Key": "a", "Value": "b"}])
    assert ssm.claim("i-1", "arn:i-2") is None
    assert ssm.claim("i-1", "arn:i-1") == "v"
    assert ssm.claim("i-1", "arn:i-1") is None
    with pytest.raises(ClientError, match="ParameterNotFound"):
        ssm.delete_parameter(Name="/x/i-1")


# EC2


def order(token: str, market: str = "spot", subnets: tuple[str, ...] = ("subnet-a", "subnet-b")) -> dict[str, Any]:
    return {
        "Type": "instant",
        "ClientToken": token,
        "LaunchTemplateConfigs": [{"Overrides": [{"InstanceType": "m7g.large", "SubnetId": each} for each in subnets]}],
        "TargetCapacitySpecification": {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": market},
        "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "fleet", "Value": "x"}]}],
    }


def shown(ec2: EC2, **request: Any) -> list[tuple[str, str]]:
    found = [each for held in ec2.describe_instances(**request)["Reservations"] for each in held["Instances"]]
    return [(each["InstanceId"], each["State"]["Name"]) for each in found]


def test_a_client_token_is_one_machine() -> None:
    ec2 = EC2(Engine(1, 0.0), ZONES, (), lag=0.0)
    first = ec2.create_fleet(**order("t"))
    assert ec2.create_fleet(**order("t")) == first
    assert len(ec2.machines) == 1
    with pytest.raises(ClientError, match="IdempotentParameterMismatch"):
        ec2.create_fleet(**order("t", subnets=("subnet-a",)))


def test_a_drought_leaves_other_zones_and_markets() -> None:
    engine = Engine(1, 0.0)
    ec2 = EC2(engine, ZONES, [Drought(0, 60, "m7g.large", "us-east-1a", Market.SPOT)], lag=0.0)
    dry = ec2.create_fleet(**order("1", subnets=("subnet-a",)))
    assert dry["Instances"] == []
    assert dry["Errors"]
    for number in range(5):
        made = ec2.create_fleet(**order(f"b{number}"))["Instances"][0]
        assert made["LaunchTemplateAndOverrides"]["Overrides"]["AvailabilityZone"] == "us-east-1b"
    assert ec2.create_fleet(**order("2", "on-demand", ("subnet-a",)))["Instances"]
    engine.time = 61.0
    assert ec2.create_fleet(**order("3", subnets=("subnet-a",)))["Instances"]


def test_reads_lag_and_come_in_pages_and_forget() -> None:
    engine = Engine(2, 0.0)
    ec2 = EC2(engine, ZONES, (), lag=10.0, page=2)
    for number in range(3):
        ec2.create_fleet(**order(str(number)))
    assert len(shown(ec2)) < 3
    pass_time(engine, 10)
    filters = [{"Name": "tag:fleet", "Values": ["x"]}]
    page = ec2.describe_instances(Filters=filters)
    assert len(page["Reservations"]) == 2
    assert len(ec2.describe_instances(Filters=filters, NextToken=page["NextToken"])["Reservations"]) == 1
    assert shown(ec2, Filters=[{"Name": "tag:fleet", "Values": ["y"]}]) == []
    first = shown(ec2)[0][0]
    ec2.terminate_instances(InstanceIds=[first])
    pass_time(engine, 10)
    assert shown(ec2, InstanceIds=[first]) == [(first, "terminated")]
    pass_time(engine, 3600)
    with pytest.raises(ClientError, match="NotFound"):
        ec2.describe_instances(InstanceIds=[first])


def test_filters_leave_what_passes_all_of_them_in_the_order_of_launch() -> None:
    ec2 = EC2(Engine(1, 0.0), ZONES, (), lag=0.0)
    for number in range(3):
        ec2.create_fleet(**order(str(number)))
    first, second, third = ec2.machines
    ec2.terminate_instances(InstanceIds=[second])

    def found(**filters: list[str]) -> list[str]:
        names = {"id": "instance-id", "state": "instance-state-name", "fleet": "tag:fleet"}
        wanted = [{"Name": names[name], "Values": values} for name, values in filters.items()]
        return [each for each, _ in shown(ec2, Filters=wanted)]

    assert found(id=[third, "i-unknown", first, third]) == [first, third]
    assert found(fleet=["x"], id=[third]) == [third]
    assert found(id=[third], fleet=["y"]) == []
    assert found(fleet=["y", "x"], state=["pending"]) == [first, third]
    with pytest.raises(ClientError, match="'tag-key' is invalid"):
        ec2.describe_instances(Filters=[{"Name": "tag-key", "Values": ["fleet"]}])


def test_a_client_token_is_known_for_a_day() -> None:
    engine = Engine(1, 0.0)
    ec2 = EC2(engine, ZONES, (), lag=0.0)
    first = ec2.create_fleet(**order("t"))
    pass_time(engine, 86_399)
    ec2.create_fleet(**order("other"))
    assert ec2.create_fleet(**order("t")) == first
    pass_time(engine, 2)
    ec2.create_fleet(**order("another"))
    assert ec2.create_fleet(**order("t")) != first


def test_one_unknown_machine_refuses_them_all() -> None:
    ec2 = EC2(Engine(1, 0.0), ZONES, (), lag=0.0)
    ec2.create_fleet(**order("t"))
    (machine,) = ec2.machines
    with pytest.raises(ClientError, match="NotFound"):
        ec2.terminate_instances(InstanceIds=[machine, "i-unknown"])
    assert ec2.machines[machine].live


def test_what_can_be_stopped_and_started() -> None:
    engine = Engine(1, 0.0)
    ec2 = EC2(engine, ZONES, (), lag=0.0)
    for token, market in (("1", "spot"), ("2", "on-demand")):
        ec2.create_fleet(**order(token, market))
    spot, other = ec2.machines.values()
    with pytest.raises(ClientError, match="IncorrectInstanceState"):
        ec2.stop_instances(InstanceIds=[other.id])
    for machine in (spot, other):
        ec2.change(machine, "running")
    with pytest.raises(ClientError, match="UnsupportedOperation"):
        ec2.stop_instances(InstanceIds=[spot.id])
    ec2.stop_instances(InstanceIds=[other.id])
    assert other.state == "stopping"
    pass_time(engine, 60)
    spent = other.ran(engine.time)
    pass_time(engine, 60)
    assert other.state == "stopped"
    assert other.ran(engine.time) == spent
    ec2.start_instances(InstanceIds=[other.id])
    assert other.state == "pending"


# GitHub


def _nothing(*_: object) -> None:
    """Nobody listens."""


class Stage:
    """GitHub alone, and all that it tells."""

    def __init__(self, habits: Habits | None = None, status: int = 200) -> None:
        self.engine = Engine(1, 1_790_000_000.0)
        self.github = GitHub(self.engine, "acme", b"secret", habits or Habits(shuffle=0.0))
        self.hooks: list[str] = []
        self.status = status
        self.github.on = Ears(_nothing, _nothing, _nothing, _nothing)
        self.github.send = self._sent

    def _sent(self, hook: Hook, done: Any) -> None:
        self.hooks.append(json.loads(hook.body)["action"])
        done(self.status)

    def queue(self, identity: int, labels: tuple[str, ...] = ("linux",), run: int = 1) -> WorkflowJob:
        job = WorkflowJob(identity, "acme/app", run, labels, 60.0)
        self.github.queue(job)
        return job

    def register(self, name: str, status: int = 201) -> Any:
        body = {"name": name, "labels": ["Linux", "arm64"]}
        answer = self.github.request("POST", "/orgs/acme/actions/runners/generate-jitconfig", body)
        assert answer.status == status, answer
        return answer.json

    def runners(self) -> list[Any]:
        return self.github.request("GET", "/orgs/acme/actions/runners?per_page=100").json["runners"]


def test_any_runner_that_fits_gets_any_job_that_fits() -> None:
    stage = Stage()
    other, job = stage.queue(1, ("windows",)), stage.queue(2)
    made = stage.register("for-another")
    stage.register("for-another", status=409)
    runner = stage.github.connect(made["encoded_jit_config"])
    assert runner
    assert stage.github.connect(made["encoded_jit_config"]) is None  # a configuration is good once
    pass_time(stage.engine, 10)
    assert (job.status, job.runner, other.status) == ("in_progress", "for-another", "queued")
    assert stage.github.request("DELETE", f"/orgs/acme/actions/runners/{runner.id}").status == 422
    stage.github.end(job, "success")
    assert stage.runners() == []
    pass_time(stage.engine, 10)
    assert sorted(stage.hooks) == ["completed", "in_progress", "queued", "queued"]


def test_a_busy_flag_that_is_stale_lets_a_busy_runner_be_removed() -> None:
    stage = Stage(Habits(stale=1.0))
    stage.queue(1)
    runner = stage.github.connect(stage.register("x")["encoded_jit_config"])
    assert runner
    pass_time(stage.engine, 10)
    assert runner.job is not None
    assert [each["busy"] for each in stage.runners()] == [False]
    looks: list[bool] = []
    for _ in range(240):
        pass_time(stage.engine, 5)
        looks.append(stage.runners()[0]["busy"])
    assert True in looks
    assert False in looks[looks.index(True) :]  # idle again in the listing, in the middle of the job
    stage = Stage(Habits(stale=1.0))
    stage.queue(1)
    runner = stage.github.connect(stage.register("x")["encoded_jit_config"])
    assert runner
    pass_time(stage.engine, 10)
    assert stage.github.request("DELETE", f"/orgs/acme/actions/runners/{runner.id}").status == 204


def test_deliveries_that_failed_are_listed_and_sent_again_and_some_were_never_made() -> None:
    stage = Stage(Habits(lost=1.0))
    stage.queue(1)
    pass_time(stage.engine, 10)
    assert stage.hooks == []
    (held,) = stage.github.request("GET", "/orgs/acme/hooks/7/deliveries?per_page=100").json
    assert (held["status_code"], held["action"], held["redelivery"]) == (0, "queued", False)
    stage.github.faulty = False
    stage.github.request("POST", f"/orgs/acme/hooks/7/deliveries/{held['id']}/attempts")
    pass_time(stage.engine, 10)
    assert stage.hooks == ["queued"]
    again, first = stage.github.request("GET", "/orgs/acme/hooks/7/deliveries").json
    assert (again["guid"], again["redelivery"], again["status_code"]) == (first["guid"], True, 200)
    never = Stage(Habits(unrecorded=1.0))
    never.queue(1)
    pass_time(never.engine, 10)
    assert never.github.request("GET", "/orgs/acme/hooks/7/deliveries").json == []


def test_deliveries_are_known_for_three_days_and_a_cursor_stays_good_meanwhile() -> None:
    stage = Stage(Habits(patience=1e9), status=500)
    path = "/orgs/acme/hooks/7/deliveries?per_page=3"

    def page(cursor: str = "") -> tuple[list[int], str]:
        answer = stage.github.request("GET", f"{path}&cursor={cursor}" if cursor else path)
        after = answer.headers.get("link", "").partition("cursor=")[2].partition("&")[0]
        return [each["id"] for each in answer.json], after

    for number in range(10):
        stage.queue(number)
        pass_time(stage.engine, 10)
    newest, cursor = page()
    older, _ = page(cursor)
    pass_time(stage.engine, 3 * 86400 - 3600)
    stage.queue(10)
    pass_time(stage.engine, 10)
    assert page(cursor)[0] == older
    pass_time(stage.engine, 7200)
    for number in range(11, 31):
        stage.queue(number)
        pass_time(stage.engine, 10)
    assert page(cursor)[0] == []
    known, cursor = page()
    while cursor:
        some, cursor = page(cursor)
        known += some
    assert len(known) == 21
    assert not set(known) & {*newest, *older}
    sent = stage.github.request("POST", f"/orgs/acme/hooks/7/deliveries/{newest[0]}/attempts")
    assert sent.status == 404


def test_rate_limits() -> None:
    stage = Stage(Habits(requests=2, registrations=1))
    assert stage.runners() == []
    stage.register("a")
    answer = stage.github.request("GET", "/orgs/acme/actions/runners")
    assert (answer.status, answer.headers["x-ratelimit-remaining"]) == (403, "0")
    pass_time(stage.engine, 3601)
    stage.register("b")
    body: dict[str, Any] = {"name": "c", "labels": []}
    answer = stage.github.request("POST", "/orgs/acme/actions/runners/generate-jitconfig", body)
    assert (answer.status, answer.headers["retry-after"]) == (403, "60")


def test_a_job_is_run_again_only_when_its_run_has_ended() -> None:
    stage = Stage()
    job, sibling = stage.queue(1), stage.queue(2)
    stage.github.reserve(100)
    stage.github.end(job, "failure")
    assert stage.github.request("POST", "/repos/acme/app/actions/jobs/1/rerun").status == 403
    stage.github.cancel(sibling)
    assert stage.github.request("POST", "/repos/acme/app/actions/jobs/1/rerun").status == 201
    pass_time(stage.engine, 5)
    assert stage.github.jobs[101].rerun_of == 1
    runs = stage.github.request("GET", "/repos/acme/app/actions/runs?status=in_progress").json
    assert runs["total_count"] == 1


def test_a_job_that_waits_for_too_long_is_cancelled() -> None:
    stage = Stage(Habits(patience=86400.0))
    job = stage.queue(1)
    pass_time(stage.engine, 86401)
    assert (job.conclusion, job.cancelled_by) == ("cancelled", "GitHub's time limit")


@pytest.mark.parametrize(
    ("queued_first", "told"), [(True, ["queued", "waiting", "queued"]), (False, ["waiting", "queued"])]
)
def test_a_job_that_is_held_back_gets_no_runner_until_it_is_let_through(queued_first: bool, told: list[str]) -> None:
    stage, states = Stage(), list[str]()
    stage.github.on = Ears(_nothing, _nothing, lambda job: states.append(job.status), _nothing)
    job = WorkflowJob(1, "acme/app", 1, ("linux",), 60.0)
    stage.github.connect(stage.register("idle")["encoded_jit_config"])
    stage.github.queue(job, 600.0, queued_first=queued_first)
    pass_time(stage.engine, 500)
    assert stage.github.request("GET", "/repos/acme/app/actions/jobs/1").json["status"] == "waiting"
    assert stage.github.request("GET", "/repos/acme/app/actions/runs?status=waiting").json["total_count"] == 1
    assert states == told[:-1]
    pass_time(stage.engine, 110)
    assert job.runner == "idle"
    assert states == [*told, "in_progress"]
    pass_time(stage.engine, 10)
    assert sorted(stage.hooks) == sorted(states)
    assert job.started_at - job.queued_at < 5, "its queue time begins when it is let through"


@pytest.mark.parametrize("after", [0.0, 60.0])
def test_a_job_that_is_cancelled_before_it_is_let_through_stays_so(after: float) -> None:
    stage = Stage()
    job = WorkflowJob(1, "acme/app", 1, ("linux",), 60.0)
    stage.github.queue(job, 600.0, queued_first=True)
    pass_time(stage.engine, after)
    stage.github.cancel(job)
    pass_time(stage.engine, 1200)
    assert (job.status, job.conclusion, job.runner) == ("completed", "cancelled", "")
    assert sorted(stage.hooks) == (["completed", "queued", "waiting"] if after else ["completed", "queued"])


def test_what_the_model_does_not_know_is_an_error() -> None:
    with pytest.raises(LookupError, match="no GET /zen"):
        Stage().github.request("GET", "/zen")
