"""Functions in processes of their own: kept, refused, timed out, killed."""

import io
import json
import threading
import time
import zipfile
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from pavedpath_sandbox.functions.archive import ArchiveError, compiled_packages, unpack
from pavedpath_sandbox.functions.host import Host, LogBook
from pavedpath_sandbox.functions.model import Function

from tests.unit.sandbox.functions.deployed import FUNCTION

CODE = """
import os, time
from pathlib import Path
from typing import cast

def handler(event, context):
    what = event.get("what")
    print("asked for", what)
    if what == "wait":
        Path(event["here"]).touch()
        while not Path(event["until"]).exists():
            time.sleep(0.01)
    if what == "hang":
        time.sleep(600)
    if what == "die":
        os._exit(7)
    if what == "raise":
        raise LookupError("no such thing")
    if what == "odd":
        return object()
    return {"pid": os.getpid(), "own": os.environ.get("OWN"), "key": os.environ["AWS_ACCESS_KEY_ID"]}
"""


def archive(**files: str) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as file:
        for name, text in files.items():
            file.writestr(name.replace("__", "/").replace("_py", ".py"), text)
    return written.getvalue()


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def host(tmp_path: Path, lines: list[str]) -> Generator[Host]:
    def code(function: Function) -> Path:
        text = CODE if function.code == FUNCTION.code else "def handler(event, context):\n    return 'new'\n"
        return unpack(archive(app_py=text), tmp_path / function.code)

    made = Host(code, {"PATH": "/usr/bin:/bin"}, lambda _function, _stream, line: lines.append(line))
    made.deploy({FUNCTION.arn: FUNCTION})
    yield made
    made.end()


def ask(host: Host, what: str = "", function: Function = FUNCTION, **more: str) -> tuple[str, object]:
    outcome = host.invoke(function, json.dumps({"what": what, **more}), wait=False)
    return "throttled" if outcome.throttled else outcome.error, json.loads(outcome.content)


def pid(host: Host, function: Function = FUNCTION) -> int:
    error, answer = ask(host, function=function)
    assert not error
    return int(cast("dict[str, int]", answer)["pid"])


def test_a_process_is_kept_with_the_functions_variables(host: Host, lines: list[str]) -> None:
    assert pid(host) == pid(host)
    own = replace(FUNCTION, environment={"OWN": "value"})
    host.deploy({own.arn: own})
    error, answer = ask(host, function=own)
    assert (error, isinstance(answer, dict) and answer["own"]) == ("", "value")
    assert isinstance(answer, dict)
    assert answer["key"] == FUNCTION.account
    deadline = time.monotonic() + 120
    while len(lines) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert lines == ["asked for "] * 3


def test_errors_leave_the_process_and_deaths_and_time_outs_end_it(host: Host) -> None:
    first = pid(host)
    error, told = ask(host, "raise")
    assert isinstance(told, dict)
    assert (error, told["errorType"], told["errorMessage"]) == ("Unhandled", "LookupError", "no such thing")
    assert "in handler" in told["stackTrace"][0]
    assert ask(host, "odd")[0] == "Unhandled"
    assert pid(host) == first
    error, told = ask(host, "die")
    assert isinstance(told, dict)
    assert (error, told["errorType"]) == ("Unhandled", "Runtime.ExitError")
    assert "exit status 7" in told["errorMessage"]
    second = pid(host)
    assert second != first
    short = replace(FUNCTION, timeout=0.3)
    host.deploy({short.arn: short})
    error, told = ask(host, "hang", short)
    assert isinstance(told, dict)
    assert (error, told["errorType"]) == ("Unhandled", "Sandbox.Timedout")
    assert "Task timed out after 0.30 seconds" in told["errorMessage"]


def test_a_handler_that_cannot_be_imported(host: Host) -> None:
    wrong = replace(FUNCTION, handler="app.nothing")
    host.deploy({wrong.arn: wrong})
    error, told = ask(host, function=wrong)
    assert isinstance(told, dict)
    assert (error, told["errorType"]) == ("Unhandled", "AttributeError")


def test_reserved_concurrency_refuses_and_who_waits_gets_its_turn(host: Host, tmp_path: Path) -> None:
    one = replace(FUNCTION, reserved=1)
    host.deploy({one.arn: one})
    here, until = tmp_path / "here", tmp_path / "until"
    answers: list[tuple[str, object]] = []
    long = threading.Thread(target=lambda: answers.append(ask(host, "wait", one, here=str(here), until=str(until))))
    long.start()
    _wait_for(here.exists)
    assert ask(host, function=one)[0] == "throttled"
    waiting = threading.Thread(target=lambda: answers.append(("waited", host.invoke(one, "{}", wait=True).error)))
    waiting.start()
    until.touch()
    long.join(120)
    waiting.join(120)
    assert sorted(each[0] for each in answers) == ["", "waited"]
    none = replace(FUNCTION, reserved=0)
    host.deploy({none.arn: none})
    assert ask(host, function=none)[0] == "throttled"


def test_new_code_ends_the_processes_of_the_old(host: Host) -> None:
    old = pid(host)
    new = replace(FUNCTION, code="1" * 64)
    host.deploy({new.arn: new})
    assert ask(host, function=new) == ("", "new")
    _wait_for(lambda: not Path(f"/proc/{old}").exists())
    assert host.function(f"{new.arn}:$LATEST") == new
    assert host.function("arn:aws:lambda:us-east-1:1:function:other") is None


def _wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_lines_are_written_in_batches_by_stream() -> None:
    written: list[tuple[str, list[str]]] = []
    book = LogBook(lambda _function, stream, lines: written.append((stream, [text for _, text in lines])))
    for stream, line in (("s", "1"), ("t", "2"), ("s", "3")):
        book.hear(FUNCTION, stream, line)
    book.flush()
    book.flush()
    assert written == [("s", ["1", "3"]), ("t", ["2"])]


def test_packages_for_other_machines_are_left_out(tmp_path: Path) -> None:
    names = ["app.py", "pure/a.py", "cryptography/__init__.py", "cryptography/x/_rust.abi3.so", "single.pyd"]
    assert compiled_packages(names) == {"cryptography", "single.pyd"}
    content = archive(app_py="", pure__a_py="", mixed__b_py="", **{"mixed__c.so": "x"})
    made = unpack(content, tmp_path / "code")
    assert {str(each.relative_to(made)) for each in made.rglob("*") if each.is_file()} == {"app.py", "pure/a.py"}
    assert unpack(b"not looked at", tmp_path / "code") == made


@pytest.mark.parametrize("content", [b"no archive", archive(**{"..__x": "out"})], ids=["no archive", "outside"])
def test_an_archive_that_cannot_be_used_leaves_nothing(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ArchiveError):
        unpack(content, tmp_path / "code")
    assert list(tmp_path.iterdir()) == []
