import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws
from pavedpath_delivery.stack.aws import client
from pavedpath_delivery.stack.errors import Exit, StackCommandError
from pavedpath_delivery.stack.lock import (
    Holder,
    Lock,
    judge,
    locked_error,
    locks_in_message,
    process_started,
    read_locks,
    refused_for_lock,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
REFUSED = (
    "error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end or delete the "
    "lock file with `pulumi cancel`.\n  file:///b/.pulumi/locks/organization/shop/dev/1.json: created by ann@build7 "
    "(pid 4242) at 2026-03-01T12:00:00Z\n"
)


def lock(hostname: str = "here", pid: int = 7) -> Lock:
    return Lock(pid=pid, username="ann", hostname=hostname, timestamp=NOW)


@given(st.one_of(st.none(), st.integers(-100_000, 100_000)), st.sampled_from(["here", "there"]))
def test_only_a_process_that_is_as_old_as_the_lock_holds_it(offset: int | None, hostname: str) -> None:
    started = None if offset is None else NOW + timedelta(seconds=offset)
    holder = judge(lock(hostname), "here", lambda _pid: started)
    if hostname != "here":
        assert holder is Holder.ELSEWHERE
    elif offset is None or offset > 2:
        assert holder is Holder.DEAD
    else:
        assert holder is Holder.ALIVE


def test_this_process_lives_and_a_finished_one_does_not() -> None:
    started = process_started(os.getpid())
    assert started is not None
    assert started < datetime.now(tz=UTC)
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    assert process_started(child.pid) is None


def test_a_dead_child_that_nobody_waited_for_does_not_live() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.read()
    deadline = datetime.now(tz=UTC) + timedelta(seconds=120)
    while process_started(child.pid) is not None and datetime.now(tz=UTC) < deadline:
        pass
    assert process_started(child.pid) is None
    child.wait()
    child.stdout.close()


def test_locks_of_a_file_backend_with_the_engines_timestamps(tmp_path: Path) -> None:
    folder = tmp_path / "b" / ".pulumi" / "locks" / "organization" / "shop" / "dev"
    folder.mkdir(parents=True)
    text = '{"pid":5380,"username":"root","hostname":"vm","timestamp":"2026-03-01T09:32:14.648547225Z"}'
    (folder / "924091df.json").write_text(text)
    for url in (f"file://{tmp_path}/b", "file://./b", f"file://{tmp_path}/b?no_tmp_dir=true"):
        (found,) = read_locks(url, "shop", "dev", tmp_path) or []
        assert (found.pid, found.timestamp.second) == (5380, 14)
        assert found.path is not None
        assert found.path.samefile(folder / "924091df.json")
    assert read_locks(f"file://{tmp_path}/b", "shop", "prod", tmp_path) == []
    assert read_locks("https://api.pulumi.com", "shop", "dev", tmp_path) is None


def test_a_lock_file_does_not_decide_which_file_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / ".pulumi" / "locks" / "organization" / "shop" / "dev"
    folder.mkdir(parents=True)
    (folder / "1.json").write_text(lock().model_copy(update={"path": tmp_path / "precious"}).model_dump_json())
    assert [found.path for found in read_locks(f"file://{tmp_path}", "shop", "dev", tmp_path) or []] == [
        folder / "1.json"
    ]


def test_a_broken_lock_file_is_named(tmp_path: Path) -> None:
    folder = tmp_path / ".pulumi" / "locks" / "organization" / "shop" / "dev"
    folder.mkdir(parents=True)
    (folder / "1.json").write_text("{}")
    with pytest.raises(StackCommandError, match=r"pulumi cancel --yes dev") as error:
        read_locks(f"file://{tmp_path}", "shop", "dev", tmp_path)
    assert error.value.code is Exit.LOCKED


@mock_aws
def test_locks_of_an_s3_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    s3 = client("s3", "us-east-1")
    s3.create_bucket(Bucket="state")
    key = "team/.pulumi/locks/organization/shop/dev/1.json"
    s3.put_object(Bucket="state", Key=key, Body=lock().model_dump_json().encode())
    url = "s3://state/team?region=us-east-1&s3ForcePathStyle=true"
    assert read_locks(url, "shop", "dev", tmp_path) == [lock()]
    assert read_locks(url, "shop", "prod", tmp_path) == []


S3_URL = "s3://state/team?region=us-east-1&s3ForcePathStyle=true"
REFUSED_IN_S3 = (
    "error: the stack is currently locked by 2 lock(s). Either wait for the other process(es) to end or delete the "
    "lock file with `pulumi cancel`.\n"
    "  s3://state/team/.pulumi/locks/organization/shop/dev/1.json?region=us-east-1&s3ForcePathStyle=true: "
    "created by ann@build7 (pid 4242) at 2026-03-01T12:00:00Z\n"
    "  s3://state/team/.pulumi/locks/organization/shop/dev/2.json?region=us-east-1&s3ForcePathStyle=true: "
    "created by bob@build8 (pid 17) at 2026-03-01T12:00:01+01:00\n"
)


def test_the_engines_refusal_of_an_s3_stack_names_every_holder() -> None:
    error = refused_for_lock("dev", REFUSED_IN_S3)
    assert error is not None
    assert "ann@build7, process 4242, since 2026-03-01 12:00:00 UTC" in str(error)
    assert "bob@build8, process 17, since 2026-03-01 11:00:01 UTC" in str(error)


@given(st.lists(st.sampled_from(Holder), min_size=1, max_size=3))
def test_a_live_lock_is_never_to_be_cancelled(holders: list[Holder]) -> None:
    text = str(locked_error("dev", [(lock(), holder) for holder in holders]))
    assert ("pulumi cancel" in text) is (Holder.ALIVE not in holders)
    assert ("Wait for it" in text) is (set(holders) != {Holder.DEAD})
    assert ("Only if you know" in text) is (Holder.ELSEWHERE in holders and Holder.ALIVE not in holders)


@mock_aws
def test_a_bucket_that_is_not_there_is_said_with_its_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with pytest.raises(StackCommandError, match=r"does not exist[\s\S]*Fix: pavedpath state bootstrap"):
        read_locks(S3_URL, "shop", "dev", tmp_path)


def test_the_engines_refusal_names_who_holds_the_stack() -> None:
    assert [found.pid for found in locks_in_message(REFUSED)] == [4242]
    error = refused_for_lock("dev", REFUSED)
    assert error is not None
    assert error.code is Exit.LOCKED
    assert "ann@build7, process 4242, since 2026-03-01 12:00:00 UTC" in str(error)
    assert "pulumi cancel --yes dev" in str(error)


def test_other_messages_are_no_refusal() -> None:
    assert refused_for_lock("dev", "error: created by x@y (pid 1) at noon") is None
    assert refused_for_lock("dev", "[409] Conflict: Another update is currently in progress.") is not None
