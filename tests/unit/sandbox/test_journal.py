import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_sandbox.aws.journal import Entry, Journal, JournalError, parse

texts = st.dictionaries(st.text(max_size=20), st.text(max_size=40), max_size=4)
entries = st.builds(
    Entry,
    seed=st.integers(0, 2**64 - 1),
    environ=texts,
    body=st.binary(max_size=200) | st.text(max_size=100).map(str.encode),
    status=st.integers(200, 599),
    preserved=texts,
)


@given(entries)
def test_an_entry_is_read_as_it_was_written(entry: Entry) -> None:
    line = entry.to_line()
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert Entry.from_line(line) == entry


@given(st.lists(entries, max_size=5), st.data())
def test_a_journal_cut_anywhere_loses_only_what_was_cut(written: list[Entry], data: st.DataObject) -> None:
    lines = [entry.to_line() for entry in written]
    whole = b"".join(lines)
    cut = data.draw(st.integers(0, len(whole)))
    complete = next(n for n in range(len(lines), -1, -1) if len(b"".join(lines[:n])) <= cut)
    contents = parse(whole[:cut])
    assert contents.entries == tuple(written[:complete])
    assert contents.damaged_lines == ()
    assert contents.torn == (len(b"".join(lines[:complete])) < cut)


@given(st.binary(max_size=300))
def test_rubbish_is_counted_and_never_fatal(data: bytes) -> None:
    contents = parse(data)
    assert len(contents.entries) + len(contents.damaged_lines) == data.count(b"\n")


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    entry = Entry(1, {"PATH_INFO": "/"}, b"x", 200)
    contents = parse(entry.to_line() + b'{"seed": 1}\n' + entry.to_line())
    assert contents.entries == (entry, entry)
    assert contents.damaged_lines == (2,)


def test_writing_goes_on_after_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "aws" / "journal.jsonl"
    first, second = Entry(1, {"A": "b"}, b"one", 200), Entry(2, {}, b"\xff", 404)
    path.parent.mkdir()
    path.write_bytes(first.to_line() + b'{"seed":2,"stat')
    journal = Journal(path)
    assert journal.load().entries == (first,)
    journal.append(second)
    journal.close()
    assert parse(path.read_bytes()).entries == (first, second)


def test_the_file_is_its_owners_only(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.touch(mode=0o644)
    Journal(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_two_servers_cannot_write_one_journal(tmp_path: Path) -> None:
    holder = Journal(tmp_path / "journal.jsonl")
    with pytest.raises(JournalError, match="in use"):
        Journal(tmp_path / "journal.jsonl")
    holder.close()
    Journal(tmp_path / "journal.jsonl").close()
