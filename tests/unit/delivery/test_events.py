from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.stack.events import LATER, SECRET, parse_event, plain, resource_name, resource_type, short_type

SECRET_VALUE = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "v1:abc"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(max_size=5), children),
)


def test_debug_messages_are_dropped_for_the_sdk_logs_secrets_in_them() -> None:
    line = '{"sequence":1,"diagnosticEvent":{"message":"props=hunter2","severity":"debug"}}'
    assert parse_event(line) is None


def test_what_is_no_event_is_ignored() -> None:
    assert parse_event("warning: something on stdout") is None
    assert parse_event("") is None


def test_unknown_fields_and_events_are_no_error() -> None:
    event = parse_event('{"sequence":1,"novelEvent":{"x":1},"diagnosticEvent":{"message":"m","severity":"info","y":2}}')
    assert event is not None
    assert event.diagnostic is not None
    assert event.diagnostic.message == "m"


def test_secrets_and_unknown_values_are_words() -> None:
    value = {"a": [SECRET_VALUE, {"b": SECRET_VALUE}], "c": "04da6b54-80e4-46f7-96ec-b56ff0331ba9"}
    assert plain(value) == {"a": [SECRET, {"b": SECRET}], "c": LATER}


@given(JSON)
def test_plain_json_stays_as_it_is(value: object) -> None:
    assert plain(value) == value


def test_names_in_a_urn() -> None:
    urn = "urn:pulumi:dev::shop::pavedpath:index:Vpc$aws:ec2/subnet:Subnet::net::a"
    assert resource_name(urn) == "net::a"
    assert resource_type(urn) == "aws:ec2/subnet:Subnet"


def test_types_as_people_say_them() -> None:
    assert short_type("aws:ec2/vpc:Vpc") == "aws:ec2:Vpc"
    assert short_type("github:index/repository:Repository") == "github:Repository"
    assert short_type("kubernetes:helm.sh/v3:Release") == "kubernetes:Release"
    assert short_type("pavedpath:index:Vpc") == "pavedpath:Vpc"
