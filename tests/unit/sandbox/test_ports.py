import os
import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_sandbox import ports
from pavedpath_sandbox.ports import NoPortError, becomes_free, choose, holder, is_free

some_ports = st.integers(20000, 20040)


@given(
    names=st.lists(st.sampled_from("abcdefg"), unique=True),
    remembered=st.dictionaries(st.sampled_from("abcdefgxyz"), some_ports, max_size=8),
    taken=st.sets(some_ports, max_size=20),
    start=st.integers(0, 20000),
)
def test_ports_are_kept_when_free_and_never_shared(
    names: list[str], remembered: dict[str, int], taken: set[int], start: int
) -> None:
    chosen = choose(names, remembered, lambda port: port not in taken, lambda port: port not in taken, start)
    assert list(chosen) == names
    assert len(set(chosen.values())) == len(names)
    for name, port in chosen.items():
        assert port not in taken
        others = {each for other, each in remembered.items() if other != name}
        if port != remembered.get(name):
            assert port not in others  # the port of a part that runs, or of one that is only stopped
        known = remembered.get(name)
        if known is not None and known not in taken and known not in others:
            assert port == known


def test_no_port_left() -> None:
    with pytest.raises(NoPortError, match="aws"):
        choose(["aws"], {}, lambda _: False)


def test_a_taken_port_is_seen_and_its_holder_named() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        assert not is_free(port)
        assert f"pid {os.getpid()}" in holder(port)
    assert is_free(port)
    assert holder(port) == "another process"


def test_a_port_that_a_killed_server_still_holds_is_waited_for() -> None:
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen()
    port = server.getsockname()[1]
    threading.Timer(0.3, server.close).start()
    assert choose(["a"], {"a": port}, comes_back=lambda known: becomes_free(known, 120)) == {"a": port}


def test_ports_lie_below_those_of_outgoing_connections() -> None:
    assert all(port < 32768 for port in choose(map(str, range(50)), {}).values())
    assert len(ports.choose(["a"], {}, start=0)) == 1
