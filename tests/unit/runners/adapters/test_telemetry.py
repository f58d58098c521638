import base64
import io
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_runners.adapters.telemetry import NAMESPACE, EmbeddedMetrics, Redaction


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def redaction() -> Redaction:
    return Redaction()


@pytest.fixture
def telemetry(stream: io.StringIO, clock: Any, redaction: Redaction) -> EmbeddedMetrics:
    return EmbeddedMetrics(stream, clock, "dev", redaction)


def lines(stream: io.StringIO) -> list[Any]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_metric_is_in_cloudwatchs_embedded_format(telemetry: EmbeddedMetrics, stream: io.StringIO) -> None:
    telemetry.count("Launches", pool="small", market="spot")
    telemetry.seconds("QueueTime", 12.5)
    counted, measured = lines(stream)
    assert counted == {
        "_aws": {
            "Timestamp": 1_790_000_000_000,
            "CloudWatchMetrics": [
                {
                    "Namespace": NAMESPACE,
                    "Dimensions": [["fleet"], ["fleet", "market", "pool"]],
                    "Metrics": [{"Name": "Launches", "Unit": "Count"}],
                }
            ],
        },
        "Launches": 1.0,
        "at": 1_790_000_000.0,
        "fleet": "dev",
        "market": "spot",
        "pool": "small",
    }
    [directive] = measured["_aws"]["CloudWatchMetrics"]
    assert (measured["QueueTime"], directive["Metrics"][0]["Unit"], directive["Dimensions"]) == (
        12.5,
        "Seconds",
        [["fleet"]],
    )


def test_a_line_says_what_happened_to_what(telemetry: EmbeddedMetrics, stream: io.StringIO) -> None:
    telemetry.say("launched", job=7, runner="dev-7-1", kinds=("a", None), error=ValueError("zwölf\nLines"))
    assert lines(stream) == [
        {
            "event": "launched",
            "at": 1_790_000_000.0,
            "fleet": "dev",
            "job": 7,
            "runner": "dev-7-1",
            "kinds": ["a", None],
            "error": "zwölf\nLines",
        }
    ]


def test_given_fields_cannot_pass_for_our_own(telemetry: EmbeddedMetrics, stream: io.StringIO) -> None:
    telemetry.say("launched", fleet="prod", at=0, _aws={})
    [line] = lines(stream)
    assert (line["fleet"], line["at"], line["event"]) == ("dev", 1_790_000_000.0, "launched")


PEM = (
    rsa.generate_private_key(public_exponent=65537, key_size=2048)
    .private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    .decode()
)
CONFIGURATION = base64.b64encode(json.dumps({".runner": "e30=", ".credentials": "e30="}).encode()).decode()
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiI0MiIsImlhdCI6MX0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "secret",
    [
        f"ghs_{'a1' * 18}",
        f"ghs_{'1' * 8}_{JWT}",
        f"ghp_{'b' * 36}",
        f"github_pat_{'c' * 60}",
        JWT,
        CONFIGURATION,
        PEM,
        PEM[:900],
    ],
    ids=["installation", "installation-jwt", "classic", "fine-grained", "jwt", "jit", "pem", "half-a-pem"],
)
@pytest.mark.parametrize("place", ["text", "list", "object", "exception", "key"])
def test_what_has_the_form_of_a_secret_is_never_written(
    telemetry: EmbeddedMetrics, stream: io.StringIO, secret: str, place: str
) -> None:
    told = f"answer {secret} came"
    held: dict[str, object] = {
        "text": told,
        "list": [[told]],
        "object": {"a": {"b": told}},
        "exception": ValueError(told),
    }
    fields = {told: 1} if place == "key" else {"why": held[place]}
    telemetry.say("failed", **fields)
    telemetry.count("Failures", why=told)
    for part in secret.splitlines():
        assert part not in stream.getvalue()
    assert lines(stream)[1]["why"].startswith("answer [redacted]")


@pytest.mark.parametrize(
    "name", ["secret", "webhook_secret", "Authorization", "jitConfig", "configuration", "token", "private_key"]
)
def test_a_field_that_is_called_like_a_secret_is_hidden(
    telemetry: EmbeddedMetrics, stream: io.StringIO, name: str
) -> None:
    telemetry.say("x", **{name: "hunter2"}, outer={name: ["hunter2"]})
    assert "hunter2" not in stream.getvalue()


def apart_from(mask: str, text: str) -> bool:
    """Whether a text is no part of the mask, holds none, and cannot come to be again where a mask meets other text."""
    ends = (text.endswith(mask[:size]) or text.startswith(mask[-size:]) for size in range(1, len(mask) + 1))
    return text not in mask and mask not in text and not any(ends)


@given(
    secret=st.text(min_size=8, max_size=40).filter(lambda each: not each.isspace() and apart_from("[redacted]", each)),
    before=st.text(max_size=20),
    after=st.text(max_size=20),
)
def test_what_it_was_told_is_never_written(secret: str, before: str, after: str) -> None:
    redaction = Redaction()
    redaction.learn(secret)
    assert secret not in redaction.text(f"{before}{secret}{after}")


@pytest.mark.parametrize("order", [("hunter2-", "hunter2-long"), ("hunter2-long", "hunter2-")], ids=["up", "down"])
def test_of_a_secret_that_holds_another_nothing_is_left(order: tuple[str, str]) -> None:
    redaction = Redaction()
    for each in order:
        redaction.learn(each)
    # Many, so that no order of a set hides it by chance.
    for number in range(50):
        redaction.learn(f"secret-{number:02}")
        redaction.learn(f"secret-{number:02}-and-more")
    assert redaction.text("it is hunter2-long") == "it is [redacted]"
    assert "and-more" not in redaction.text(" ".join(f"secret-{number:02}-and-more" for number in range(50)))


def test_each_line_of_a_key_is_a_secret(telemetry: EmbeddedMetrics, stream: io.StringIO, redaction: Redaction) -> None:
    redaction.learn("first-line-of-it\nsecond-line-of-it\n")
    telemetry.say("failed", why="a second-line-of-it b", whole="first-line-of-it\nsecond-line-of-it\n")
    assert "line-of-it" not in stream.getvalue()


def test_names_and_ids_stay_as_they_are(telemetry: EmbeddedMetrics, stream: io.StringIO) -> None:
    fields = {"runner": "dev-9007199254740993-1", "instance": "i-0123456789abcdef0", "repository": "acme/ghs-tools"}
    telemetry.say("launched", **fields)
    assert lines(stream)[0].items() >= fields.items()
