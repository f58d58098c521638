from typing import Any

import pytest
from botocore.exceptions import ClientError
from pavedpath_runners.adapters.sqs import JobQueue, job_of
from pavedpath_runners.adapters.ssm import ParameterHandover
from pavedpath_runners.configuration import Fleet
from pavedpath_runners.ports import UnavailableError

NAME = "/pavedpath/dev/jit/i-1"


@pytest.fixture
def ssm(aws: Any) -> Any:
    return aws("ssm")


@pytest.fixture
def handover(ssm: Any, fleet: Fleet) -> ParameterHandover:
    return ParameterHandover(ssm, fleet, "eu-west-1", "123456789012")


def test_a_configuration_is_laid_down_for_one_instance(ssm: Any, handover: ParameterHandover) -> None:
    handover.put("i-1", "dev-7-1", "configuration")
    held = ssm.get_parameter(Name=NAME, WithDecryption=True)["Parameter"]
    assert (held["Type"], held["Value"]) == ("SecureString", "configuration")
    [tag] = ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=NAME)["TagList"]
    assert tag == {"Key": "pavedpath:instance", "Value": "arn:aws:ec2:eu-west-1:123456789012:instance/i-1"}


def test_a_newer_one_takes_its_place_and_keeps_the_tag(ssm: Any, handover: ParameterHandover) -> None:
    handover.put("i-1", "dev-7-1", "older")
    tags = ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=NAME)["TagList"]
    handover.put("i-1", "dev-7-2", "newer")
    held = ssm.get_parameter(Name=NAME, WithDecryption=True)["Parameter"]
    assert (held["Type"], held["Value"]) == ("SecureString", "newer")
    assert ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=NAME)["TagList"] == tags


def test_a_long_one_is_taken_too(ssm: Any, handover: ParameterHandover) -> None:
    handover.put("i-1", "dev-7-1", "x" * 6000)
    assert len(ssm.get_parameter(Name=NAME, WithDecryption=True)["Parameter"]["Value"]) == 6000


def test_taking_it_back_twice_does_no_harm(ssm: Any, handover: ParameterHandover) -> None:
    handover.put("i-1", "dev-7-1", "configuration")
    handover.remove("i-1")
    handover.remove("i-1")
    with pytest.raises(ssm.exceptions.ParameterNotFound):
        ssm.get_parameter(Name=NAME)


class Refusing:
    """A client whose calls are all refused."""

    def __init__(self, code: str) -> None:
        self._code = code

    def __getattr__(self, name: str) -> Any:
        def call(**_: Any) -> None:
            raise ClientError({"Error": {"Code": self._code, "Message": "no"}}, name)

        return call


@pytest.mark.parametrize(("code", "told"), [("TooManyUpdates", UnavailableError), ("AccessDenied", ClientError)])
def test_refusals_are_told(fleet: Fleet, code: str, told: type[Exception]) -> None:
    client: Any = Refusing(code)
    handover, queue = ParameterHandover(client, fleet, "eu-west-1", "1"), JobQueue(client, "https://queue")
    for act in (
        lambda: handover.put("i-1", "dev-7-1", "secret"),
        lambda: handover.remove("i-1"),
        lambda: queue.send(7, "k"),
        lambda: queue.postpone("receipt", 5.0),
    ):
        with pytest.raises(told) as caught:
            act()
        assert "secret" not in str(caught.value)


def test_messages_come_once_for_a_key_and_do_not_hold_each_other_back(aws: Any) -> None:
    client = aws("sqs")
    url = client.create_queue(QueueName="jobs.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    queue = JobQueue(client, url)
    for job, key in ((7, "a"), (7, "a"), (8, "b"), (8, "c")):
        queue.send(job, key)
    # One of them is in flight, and nobody deletes it.
    messages = [
        client.receive_message(QueueUrl=url, AttributeNames=["All"], MaxNumberOfMessages=1)["Messages"][0]
        for _ in range(3)
    ]
    groups = [(each["Attributes"]["MessageGroupId"], job_of(each["Body"])) for each in messages]
    assert sorted(groups) == [("a", 7), ("b", 8), ("c", 8)]


def test_a_message_comes_again_when_it_is_put_off_to(aws: Any) -> None:
    client = aws("sqs")
    url = client.create_queue(QueueName="again.fifo", Attributes={"FifoQueue": "true", "VisibilityTimeout": "3600"})
    queue = JobQueue(client, url["QueueUrl"])
    queue.send(7, "a")

    def receive() -> list[Any]:
        return client.receive_message(QueueUrl=url["QueueUrl"]).get("Messages", [])

    [message] = receive()
    assert receive() == []
    queue.postpone(message["ReceiptHandle"], 0.0)
    [again] = receive()
    assert job_of(again["Body"]) == 7


@pytest.mark.parametrize("code", ["InvalidParameterValue", "AWS.SimpleQueueService.MessageNotInflight"])
def test_a_message_that_came_again_meanwhile_cannot_be_put_off_and_need_not(code: str) -> None:
    """The client may have waited long for an answer, and asked twice."""
    client: Any = Refusing(code)
    JobQueue(client, "https://queue").postpone("receipt", 5.0)


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"job": "7"}', '{"job": true}', "7"])
def test_other_messages_are_refused(body: str) -> None:
    with pytest.raises(ValueError, match="not a message of the launch queue"):
        job_of(body)
