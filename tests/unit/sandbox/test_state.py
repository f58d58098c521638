import json
import multiprocessing
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_sandbox import state
from pavedpath_sandbox.layout import Layout
from pavedpath_sandbox.state import BusyError, ProcessRecord, State, StateError, locked

names = st.text(min_size=1, max_size=12)
records = st.builds(
    ProcessRecord,
    pid=st.integers(1, 2**22),
    created=st.floats(0, 4e9, allow_nan=False),
    digest=st.text(max_size=10),
)
states = st.builds(
    State,
    groups=st.lists(names, max_size=4).map(tuple),
    clusters=st.lists(names, max_size=2).map(tuple),
    ports=st.dictionaries(names, st.integers(1, 65535), max_size=4),
    processes=st.dictionaries(names, records, max_size=4),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "sandbox", tmp_path / "bin")


@given(states)
def test_a_state_is_read_as_it_was_written(written: State) -> None:
    assert State.from_json(written.to_json()) == written


def test_a_state_from_before_there_were_environments_has_devs_cluster() -> None:
    written = json.loads(State(groups=("kubernetes",)).to_json())
    del written["clusters"]
    assert State.from_json(json.dumps(written)).clusters == ("dev",)


@given(json_values)
def test_rubbish_is_a_state_error_and_nothing_else(value: object) -> None:
    content: dict[str, object] = {"version": 1, "groups": [], "ports": value, "processes": {}}
    for text in (json.dumps(value), json.dumps(content), json.dumps({**content, "ports": {}, "processes": value})):
        with suppress(StateError):  # any other exception fails the test
            assert isinstance(State.from_json(text), State)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"version": 2}, "version is 2"),
        ({"groups": "aws"}, "groups"),
        ({"clusters": "prod"}, "clusters"),
        ({"plan": "gratis"}, "plan is 'gratis'"),
        ({"ports": {"aws": 0}}, "ports.aws is 0"),
        ({"ports": {"aws": True}}, "ports.aws"),
        ({"processes": {"aws": {"pid": -1, "created": 1, "digest": ""}}}, "processes.aws"),
        ({"processes": {"aws": None}}, "processes.aws"),
    ],
)
def test_the_error_names_what_is_wrong(change: dict[str, Any], named: str) -> None:
    content: dict[str, object] = {"version": 1, "groups": [], "ports": {}, "processes": {}, **change}
    with pytest.raises(StateError, match=named):
        State.from_json(json.dumps(content))


def test_a_file_that_cannot_be_used_says_what_to_do(layout: Layout) -> None:
    assert state.load(layout) is None
    layout.root.mkdir()
    for rubbish in (b"", b"{", b"\xff\xfe", b"[]"):
        layout.state_file.write_bytes(rubbish)
        with pytest.raises(StateError, match="pavedpath-sandbox up"):
            state.load(layout)


def test_the_file_is_private_and_whole(layout: Layout) -> None:
    written = State(("aws",), {"aws": 20000}, {"aws": ProcessRecord(1, 2.5, "d")})
    state.save(layout, written)
    assert state.load(layout) == written
    assert stat.S_IMODE(layout.state_file.stat().st_mode) == 0o600
    assert [path.name for path in layout.root.iterdir()] == ["state.json"]


def _hold(layout: Layout, ready: Any) -> None:
    with locked(layout):
        ready.set()
        time.sleep(600)


def test_the_lock_keeps_others_out_until_its_holder_dies(layout: Layout) -> None:
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    holder = context.Process(target=_hold, args=(layout, ready))
    holder.start()
    try:
        assert ready.wait(120)
        with pytest.raises(BusyError, match=f"process {holder.pid} "), locked(layout, wait_seconds=0.2):
            pass
    finally:
        holder.kill()
        holder.join()
    with locked(layout, wait_seconds=60):
        pass


def test_a_deleted_lock_file_locks_nobody_out_and_lets_nobody_in(layout: Layout) -> None:
    with locked(layout):
        layout.lock_file.unlink()  # as `reset` does
        with locked(layout, wait_seconds=0.2):
            assert layout.lock_file.exists()
            with pytest.raises(BusyError), locked(layout, wait_seconds=0.1):
                pass
