"""What is looked up instead of searched for is what moto's own way finds."""

import random
from collections.abc import Callable
from typing import Any, cast

import pytest
from moto.core.serialize import AttributePickerContext, XFormedAttributePicker
from moto.core.utils import get_service_model
from moto.dynamodb.models.table import Table
from moto.ec2.models.tags import TagBackend
from pavedpath_sandbox.aws import completions, shortcuts
from pavedpath_sandbox.aws.determinism import MotoChangedError

TABLE: dict[str, Any] = {
    "TableName": "ledger",
    "BillingMode": "PAY_PER_REQUEST",
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
}


@pytest.fixture(autouse=True)
def _installed() -> None:
    completions.install()


def table(aws: Any, projection: str = "ALL", kind: str = "N") -> Any:
    """A table of 60 items, half of them in an index by what they are and their time; some at the same time."""
    client = aws.client("dynamodb")
    index = {
        "IndexName": "open",
        "KeySchema": [{"AttributeName": "open", "KeyType": "HASH"}, {"AttributeName": "at", "KeyType": "RANGE"}],
        "Projection": {"ProjectionType": projection},
    }
    types = [("pk", "S"), ("open", "S"), ("at", kind)]
    definitions = [{"AttributeName": name, "AttributeType": each} for name, each in types]
    client.create_table(**TABLE, AttributeDefinitions=definitions, GlobalSecondaryIndexes=[index])
    dice = random.Random(1)  # noqa: S311 - no secret
    for number in dice.sample(range(60), 60):
        item: dict[str, Any] = {"pk": {"S": f"item-{number}"}, "body": {"S": "x" * number}}
        if number % 2:
            time = str(dice.choice([0.5, 9, 10, 10.0, 100.25]))
            item |= {"open": {"S": "JOB" if number % 3 else "RUNNER"}, "at": {kind: time}}
        client.put_item(TableName="ledger", Item=item)
    return client


def ask(client: Any, kind: str = "JOB", **more: Any) -> list[Any]:
    names = {"KeyConditionExpression": "#open = :kind", "ExpressionAttributeNames": {"#open": "open"}}
    values = {"ExpressionAttributeValues": {":kind": {"S": kind}}}
    found: list[Any] = []
    answer: dict[str, Any] = {}
    while not answer or "LastEvaluatedKey" in answer:
        start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]} if answer else {}
        query = {**names, **values, **more, **start}
        answer = client.query(TableName="ledger", IndexName="open", **query)
        found += answer["Items"]
        assert answer["Count"] == len(answer["Items"])
    return found


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], tuple[Any, Any]]:
    """Do something with the shortcut, and in moto's own way."""

    def both(act: Callable[[], Any]) -> tuple[Any, Any]:
        mine = act()
        with monkeypatch.context() as patched:
            patched.setattr(Table, "query", cast("Any", Table.query).__wrapped__)
            return mine, act()

    return both


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"ScanIndexForward": False},
        {"Limit": 4},
        {"Limit": 5, "ScanIndexForward": False},
        {"Limit": 20},
        {"ProjectionExpression": "pk"},
        {"FilterExpression": "size(body) > :least", "values": {":least": {"N": "20"}}},
        {"KeyConditionExpression": "#open = :kind AND #at > :since", "values": {":since": {"N": "9"}}},
    ],
    ids=["all", "backwards", "pages", "pages backwards", "a page that is full", "projected", "filtered", "a range"],
)
@pytest.mark.parametrize("kind", ["JOB", "RUNNER", "none"])
def test_a_query_finds_what_moto_finds_in_its_order(aws: Any, ways: Any, kind: str, more: dict[str, Any]) -> None:
    client = table(aws)
    more = dict(more)
    values = {":kind": {"S": kind}, **more.pop("values", {})}
    names = {"#open": "open", **({"#at": "at"} if "#at" in more.get("KeyConditionExpression", "") else {})}
    given = {**more, "ExpressionAttributeValues": values, "ExpressionAttributeNames": names}
    mine, own = ways(lambda: ask(client, kind, **given))
    assert mine == own
    assert bool(mine) == (kind != "none")


@pytest.mark.parametrize(("projection", "kind"), [("KEYS_ONLY", "N"), ("ALL", "S")])
def test_other_indexes_are_read_as_moto_reads_them(aws: Any, ways: Any, projection: str, kind: str) -> None:
    client = table(aws, projection, kind)
    mine, own = ways(lambda: ask(client))
    assert mine == own
    assert mine


def test_more_than_a_page_comes_in_pages(aws: Any, ways: Any) -> None:
    client = table(aws)
    for number in range(5):
        item = {"pk": {"S": f"long-{number}"}, "open": {"S": "JOB"}, "at": {"N": "1"}, "body": {"S": "x" * 300_000}}
        client.put_item(TableName="ledger", Item=item)
    mine, own = ways(lambda: ask(client))
    assert mine == own
    assert len(mine) == 25


def test_the_shortcut_is_taken(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client = table(aws)

    def never(*_: object) -> None:
        pytest.fail("moto sorted the table")

    monkeypatch.setattr(Table, "sorted_items", never)
    assert len(ask(client)) == len(ask(client, Limit=3)) == 20


def test_what_was_answered_does_not_change_the_table(aws: Any) -> None:
    client = table(aws)
    before = ask(client)
    client.update_item(
        TableName="ledger",
        Key={"pk": before[0]["pk"]},
        UpdateExpression="SET body = :new",
        ExpressionAttributeValues={":new": {"S": "new"}},
    )
    after = ask(client)
    assert after[0] == {**before[0], "body": {"S": "new"}}
    assert after[1:] == before[1:]


@pytest.mark.parametrize(
    "filters",
    [
        {"resource-id": ["i-1"]},
        {"resource-id": ["i-unknown"]},
        {"resource-id": ["i-*"]},
        {"resource-id": ["i-1", "vpc-2"]},
        {"resource-id": ["i-1"], "key": ["owner"]},
        {"resource-type": ["vpc"]},
        None,
    ],
    ids=["one", "unknown", "a pattern", "two", "one and a key", "a kind", "all"],
)
def test_the_tags_are_those_that_moto_finds(filters: Any) -> None:
    backend = TagBackend()
    backend.create_tags(["i-1", "i-10", "vpc-2"], {"owner": "platform", "Name": "a"})
    own = cast("Any", TagBackend.describe_tags).__wrapped__(backend, filters)
    assert backend.describe_tags(filters) == own
    assert "i-unknown" not in backend.tags


def test_an_object_has_its_members_under_the_same_names() -> None:
    """All of a description of instances, asked for twice: the second time it is remembered."""
    model = get_service_model("ec2").operation_model("DescribeInstances")
    picker = XFormedAttributePicker()

    class Instance:
        pass

    shapes = [("Reservations", model.output_shape.members["Reservations"])]
    shapes += list(shapes[0][1].member.members["Instances"].member.members.items())
    for key, shape in shapes:
        shape.parent = model.output_shape
        things: tuple[object, ...] = ({}, Instance())
        for thing in things:
            context = AttributePickerContext(thing, key, shape)
            own = list(cast("Any", XFormedAttributePicker.get_possible_keys).__wrapped__(picker, context))
            for _ in range(2):
                assert list(picker.get_possible_keys(context)) == list(dict.fromkeys(own))


def test_a_moto_that_has_changed_is_told() -> None:
    with pytest.raises(MotoChangedError, match=r"TagBackend.describe_tags takes self, filters"):
        shortcuts.replace(TagBackend, "describe_tags", ["self"], shortcuts.tags)
    with pytest.raises(MotoChangedError, match=r"TagBackend.no is gone"):
        shortcuts.replace(TagBackend, "no", ["self"], shortcuts.tags)
