"""What a notification says: snapshots, and that Slack takes it whatever stands in it."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.notify.messages import Event, Notice, slack, slack_problems, webhook
from syrupy.assertion import SnapshotAssertion

NOTICE = Notice(
    Event.FAILED,
    "orders",
    "prod",
    "v1.4.0",
    datetime(2026, 3, 2, 9, 30, tzinfo=UTC),
    "https://github.com/acme/orders/actions/runs/1",
    "api: 2 of 3 replicas did not start.",
)


@pytest.mark.parametrize("event", Event)
def test_what_slack_gets(event: Event, snapshot: SnapshotAssertion) -> None:
    assert slack(replace(NOTICE, event=event)) == snapshot


def test_what_a_program_gets(snapshot: SnapshotAssertion) -> None:
    assert webhook(replace(NOTICE, url="")) == snapshot


def test_without_text_and_page_there_are_no_blocks_for_them() -> None:
    assert [block["type"] for block in slack(replace(NOTICE, url="", text=""))["blocks"]] == [
        "header",
        "section",
        "context",
    ]


_TEXT = st.text(min_size=1, max_size=6000) | st.sampled_from(["&" * 5000, "<!channel>" * 900, "a" * 9000])


@given(_TEXT, _TEXT, _TEXT, _TEXT, st.sampled_from(Event))
def test_slack_takes_any_words_and_none_of_them_calls_anyone(
    application: str, environment: str, version: str, text: str, event: Event
) -> None:
    message = slack(
        replace(NOTICE, application=application, environment=environment, version=version, text=text, event=event)
    )
    assert list(slack_problems(message)) == []
    fields = message["blocks"][1]["fields"]
    for words in [*(each["text"] for each in fields), message["blocks"][2]["text"]["text"], message["text"]]:
        assert "<" not in words
        assert ">" not in words
        assert words.count("&") == sum(words.count(entity) for entity in ("&amp;", "&lt;", "&gt;"))


def test_a_page_cannot_end_the_link_that_it_stands_in() -> None:
    message = slack(replace(NOTICE, url="https://x.test/?a=1&b=<c>|d"))
    assert message["blocks"][3]["text"]["text"] == "<https://x.test/?a=1&amp;b=%3Cc%3E%7Cd|Open>"


def _section(**parts: Any) -> dict[str, Any]:
    return {"type": "section", **parts}


@pytest.mark.parametrize(
    ("blocks", "problem"),
    [
        ([], "0 blocks"),
        ([_section(text={"text": "x"})] * 51, "51 blocks"),
        ([{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}], "151 characters"),
        ([{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}], "plain_text"),
        ([_section(text={"text": "x" * 3001})], "3001 characters"),
        ([_section(text={"text": ""})], "0 characters"),
        ([_section()], "neither text nor fields"),
        ([_section(fields=[{"text": "x"}] * 11)], "11 items"),
        ([_section(fields=[{"text": "x" * 2001}])], "2001 characters"),
        ([{"type": "context", "elements": [{"text": "x"}] * 11}], "11 items"),
        ([{"type": "actions"}], "no block that is used here"),
    ],
)
def test_what_slack_refuses_is_known_before(blocks: list[Any], problem: str) -> None:
    assert problem in "; ".join(slack_problems({"text": "x", "blocks": blocks}))
