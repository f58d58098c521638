"""The small parts of the kit: durations, addresses, what a job is told, GitHub's reasons."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.kit.actions import Actions
from pavedpath_delivery.kit.addresses import is_loopback
from pavedpath_delivery.kit.durations import retry_after, seconds
from pavedpath_delivery.kit.errors import DeliveryError
from pavedpath_delivery.kit.github import GitHub

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(("text", "wanted"), [("90s", 90), ("5m", 300), ("1h30m", 5400), ("300", 300), ("0.5s", 0.5)])
def test_a_duration(text: str, wanted: float) -> None:
    assert seconds(text, "--timeout") == wanted


@pytest.mark.parametrize("text", ["", "0", "0s", "5 m", "-1s", "m", "1d"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(DeliveryError, match="--timeout"):
        seconds(text, "--timeout")


@given(st.text(max_size=30) | st.integers(0, 10**6).map(str))
def test_whatever_a_header_says_is_a_wait(value: str) -> None:
    assert retry_after(value, NOW) >= 0


def test_retry_after() -> None:
    assert retry_after(" 7 ", NOW) == 7
    assert retry_after("7\x1f", NOW) == 7
    assert retry_after("Thu, 01 Jan 2026 00:01:00 GMT", NOW) == 60
    assert retry_after("Thu, 01 Jan 2026 00:01:00 GMT", NOW + timedelta(hours=1)) == 0
    for nothing in ("", "soon", "-5", "1e3", "\u0661", "0 0", "Thu, 01 Jan 99999999999999999999 00:00:00 GMT"):
        assert retry_after(nothing, NOW) == 0


def test_which_hosts_are_this_machine() -> None:
    assert all(map(is_loopback, ["localhost", "127.0.0.1", "127.8.8.8", "::1", "[::1]"]))
    assert not any(map(is_loopback, ["", "example.com", "127.0.0.1.example.com", "x.localhost", "10.0.0.1", "::2"]))


def test_outputs_cannot_assign_others(tmp_path: Path) -> None:
    file = tmp_path / "outputs"
    job = Actions({"GITHUB_OUTPUT": str(file)}, io.StringIO())
    job.set_outputs({"one": "1", "many": "a\nother=x\nEOF\nb"})
    first, opening, *rest = file.read_text().splitlines()
    end = opening.removeprefix("many<<")
    assert (first, rest) == ("one=1", ["a", "other=x", "EOF", "b", end])
    assert end not in "a other=x EOF b"


def test_annotations_stay_on_their_line() -> None:
    stream = io.StringIO()
    Actions({"GITHUB_ACTIONS": "true"}, stream).error("a\n::add-mask::b %", "x,y: z")
    assert stream.getvalue() == "::error title=x%2Cy%3A z::a%0A::add-mask::b %25\n"
    stream = io.StringIO()
    Actions({}, stream).error("elsewhere")
    assert not stream.getvalue()


def test_the_page_of_a_run() -> None:
    environ = {"GITHUB_SERVER_URL": "https://github.example", "GITHUB_REPOSITORY": "a/b", "GITHUB_RUN_ID": "7"}
    assert Actions(environ, io.StringIO()).run_url == "https://github.example/a/b/actions/runs/7"
    assert not Actions({**environ, "GITHUB_RUN_ID": ""}, io.StringIO()).run_url


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"message": "no", "errors": [{"message": "a"}, "b"]}, "no; a; b"),
        ({"message": "no", "errors": "all of it"}, "no"),
        (["no object"], "Unprocessable Entity"),
    ],
)
def test_githubs_reason_is_told(answer: Any, said: str) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(422, json=answer))
    with (
        httpx.Client(base_url="https://api.example/", transport=transport) as client,
        pytest.raises(DeliveryError, match=rf"GitHub refused POST x \(422\): {said}$"),
    ):
        GitHub(client, "acme").send("POST", "x")
