"""What an `up` that was killed leaves, and the next one finishing it."""

import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration.conftest import World

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _small_and_gone(world: World) -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]  # pytest finds it
    world.without_runners("dev")
    yield
    world.stack("down", "--yes", "dev", "shared")


def engine_of(process: Any) -> psutil.Process:
    # Before it the command repairs and previews with the policies, which takes a busy machine long.
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.Error):  # a short command of before that ends while it is looked at
                if child.name() == "pulumi" and "up" in child.cmdline():
                    return child
        time.sleep(0.05)
    raise AssertionError("the engine never started")


def resources(world: World, stack: str) -> int:
    path = world.directory / ".sandbox/pulumi/.pulumi/stacks/pavedpath" / f"{stack}.json"
    try:
        return len(json.loads(path.read_text())["checkpoint"]["latest"].get("resources") or [])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def wait_for(world: World, stack: str, count: int) -> None:
    deadline = time.monotonic() + 240
    while resources(world, stack) < count:
        assert time.monotonic() < deadline, f"{stack} never had {count} resources"
        time.sleep(0.02)


def orphans(world: World) -> dict[str, int]:
    """Count what carries the stack's tags, however often it was made."""
    ec2 = world.aws("ec2")
    mine = [{"Name": "tag:project", "Values": ["pavedpath"]}]
    keys = world.aws("kms")
    live = [
        key
        for key in keys.list_keys()["Keys"]
        if keys.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"] == "Enabled"
    ]
    return {
        "vpcs": len(ec2.describe_vpcs(Filters=mine)["Vpcs"]),
        "subnets": len(ec2.describe_subnets(Filters=mine)["Subnets"]),
        "addresses": len(ec2.describe_addresses(Filters=mine)["Addresses"]),
        "keys": len(live),
    }


@pytest.mark.parametrize("reached", [8, 25, 45])
def test_kill_9_of_the_engine_in_the_middle(world: World, reached: int) -> None:
    world.stack("up", "shared")
    command = (str(Path(sys.executable).parent / "pavedpath"), "stack", "up", "dev")
    with world.popen(*command) as process:
        engine = engine_of(process)
        wait_for(world, "dev", reached)
        engine.send_signal(signal.SIGKILL)
        printed, _ = process.communicate(timeout=400)
    assert process.returncode != 0, printed
    world.stack("up", "shared", "dev")
    assert world.preview("shared", "dev") == {"shared": [], "dev": []}
    assert orphans(world) == {"vpcs": 1, "subnets": 9, "addresses": 1, "keys": 2}


def test_kill_9_of_the_engine_while_it_talks_to_github(world: World) -> None:
    with world.popen(str(Path(sys.executable).parent / "pavedpath"), "stack", "up", "shared") as process:
        engine = engine_of(process)
        wait_for(world, "shared", 4)
        engine.send_signal(signal.SIGKILL)
        printed, _ = process.communicate(timeout=400)
    assert process.returncode != 0, printed
    world.stack("up", "shared", "dev")
    assert world.preview("shared", "dev") == {"shared": [], "dev": []}


def test_ctrl_c_stops_in_order_and_the_next_up_finishes(world: World) -> None:
    world.stack("up", "shared")
    with world.popen(str(Path(sys.executable).parent / "pavedpath"), "stack", "up", "dev") as process:
        engine_of(process)
        wait_for(world, "dev", 12)
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=400)
    assert process.returncode == 130, printed
    world.stack("up", "dev")
    assert world.preview("dev") == {"dev": []}
    assert orphans(world) == {"vpcs": 1, "subnets": 9, "addresses": 1, "keys": 2}
