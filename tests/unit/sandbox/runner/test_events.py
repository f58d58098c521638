"""Which workflows an event starts, as GitHub's documentation has it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_sandbox.runner.events import Event, chosen, read, starts


def push(ref: str = "refs/heads/main", *paths: str) -> Event:
    return Event("push", "acme/orders", ref, "0" * 40, "alice", paths=paths)


def pull_request(base: str = "main", *paths: str) -> Event:
    return Event("pull_request", "acme/orders", "refs/pull/1/merge", "0" * 40, "alice", paths=paths, base=base)


@pytest.mark.parametrize(
    ("on", "event", "expected"),
    [
        ("on: push", push(), True),
        ("on: [push, pull_request]", pull_request(), True),
        ("on: {push: }", push("refs/tags/v1"), True),
        ("on: {push: {branches: [main]}}", push(), True),
        ("on: {push: {branches: [main]}}", push("refs/heads/other"), False),
        ("on: {push: {branches: [main]}}", push("refs/tags/main"), False),
        ("on: {push: {tags: ['v*']}}", push("refs/tags/v1.2.3"), True),
        ("on: {push: {tags: ['v*']}}", push(), False),
        ("on: {push: {branches: ['**', '!release/**']}}", push("refs/heads/release/1"), False),
        ("on: {push: {branches-ignore: [main]}}", push(), False),
        ("on: {push: {paths: ['charts/**']}}", push("refs/heads/main", "charts/a/b.yaml", "x"), True),
        ("on: {push: {paths: ['charts/**']}}", push("refs/heads/main", "x"), False),
        ("on: {push: {paths-ignore: ['docs/**']}}", push("refs/heads/main", "docs/a"), False),
        ("on: {push: {paths-ignore: ['docs/**']}}", push("refs/heads/main", "docs/a", "b"), True),
        ("on: {push: {tags: ['v*'], paths: [a]}}", push("refs/tags/v1"), True),
        ("on: {pull_request: {branches: [deploy/prod]}}", pull_request("deploy/prod"), True),
        ("on: {pull_request: {branches: [deploy/prod]}}", pull_request(), False),
        ("on: {workflow_dispatch: }", push(), False),
        ("{}", push(), False),
    ],
)
def test_what_starts(on: str, event: Event, expected: bool) -> None:
    assert starts(read(on), event) is expected


def test_a_run_by_hand_starts_what_may_be_started_by_hand() -> None:
    event = Event("workflow_dispatch", "acme/orders", "refs/heads/main", "0" * 40, "alice", inputs={"debug": "true"})
    assert starts(read("on: {workflow_dispatch: {inputs: {debug: {type: boolean}}}}"), event)
    assert event.payload("http://host")["inputs"] == {"debug": "true"}


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join))
def test_patterns(name: str) -> None:
    assert chosen([name], name)
    assert chosen(["**"], name)
    assert chosen(["*"], name) is ("/" not in name)
    assert not chosen([name, f"!{name}"], name)
    assert chosen([f"!{name}", name], name)


def test_a_pull_request_names_both_its_ends() -> None:
    event = Event(
        "pull_request",
        "acme/orders",
        "refs/pull/7/merge",
        "1" * 40,
        "alice",
        before="2" * 40,
        base="main",
        head="work",
        number=7,
    )
    shown = event.payload("http://host/")["pull_request"]
    assert (shown["head"]["ref"], shown["head"]["sha"], shown["base"]["ref"], shown["number"]) == (
        "work",
        "1" * 40,
        "main",
        7,
    )
