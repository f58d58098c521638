import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.actions.lockfile import Pin, parse, version_of
from pavedpath_delivery.actions.update import Updated, choose, update
from pavedpath_delivery.cli import app
from pavedpath_delivery.images.versions import Version
from pavedpath_delivery.kit.errors import DeliveryError, Exit
from pavedpath_delivery.kit.github import GitHub
from typer.testing import CliRunner

from tests.unit.delivery.virtual import VirtualClock

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WEEK = timedelta(days=7)


def sha(name: str) -> str:
    return name.encode().hex().ljust(40, "0")[:40]


def ago(days: float) -> str:
    return (NOW - timedelta(days=days)).isoformat().replace("+00:00", "Z")


@dataclass
class Hub:
    """GitHub with the releases of actions: by action and tag, its commit and its age in days."""

    releases: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict[str, dict[str, dict[str, Any]]])
    fails: str = ""

    def add(self, action: str, tag: str, days: float, *, annotated: bool = False, **more: Any) -> None:
        entry = {"tag_name": tag, "published_at": ago(days), "draft": False, "prerelease": False}
        times = {"commit": sha(action + tag), "committed": ago(days), "annotated": annotated, "tagged": ago(days)}
        self.releases.setdefault(action, {})[tag] = {**entry, **times, **more}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        match = re.fullmatch(r"/repos/([^/]+/[^/]+)/(.*)", request.url.path)
        assert match is not None
        action, rest = match[1], match[2]
        if action == self.fails:
            return httpx.Response(500, json={"message": "Server Error"})
        found = self._read(self.releases.get(action, {}), rest)
        return httpx.Response(404, json={"message": "Not Found"}) if found is None else httpx.Response(200, json=found)

    def _read(self, tags: dict[str, dict[str, Any]], rest: str) -> Any | None:
        if rest == "releases":
            return list(tags.values())
        if rest.startswith("git/ref/tags/"):
            entry = tags.get(rest.removeprefix("git/ref/tags/"))
            if entry is None:
                return None
            kind = "tag" if entry["annotated"] else "commit"
            return {"object": {"type": kind, "sha": f"t{entry['tag_name']}" if kind == "tag" else entry["commit"]}}
        if rest.startswith("git/tags/t"):
            entry = tags[rest.removeprefix("git/tags/t")]
            return {"tagger": {"date": entry["tagged"]}, "object": {"type": "commit", "sha": entry["commit"]}}
        by_commit = {entry["commit"]: entry for entry in tags.values()}
        return {"committer": {"date": by_commit[rest.removeprefix("git/commits/")]["committed"]}}


@pytest.fixture
def hub() -> Hub:
    made = Hub()
    made.add("actions/checkout", "v6.0.1", 100)
    made.add("docker/login-action", "v3.0.0", 100, annotated=True)
    return made


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "actions.lock.toml"
    text = "# Why these.\n\n"
    for action, tag in (("actions/checkout", "v6.0.1"), ("docker/login-action", "v3.0.0")):
        text += f'["{action}"]  # one\nversion = "{tag}"\ncommit = "{sha(action + tag)}"\ndate = "2025-12-02"\n\n'
    path.write_text(text)
    return path


def run(hub: Callable[[httpx.Request], httpx.Response], lock: Path, *add: str, check: bool = False) -> Updated:
    client = httpx.Client(base_url="https://api.github.com/", transport=httpx.MockTransport(hub))
    return update(GitHub(client, "acme"), lock, add, WEEK, VirtualClock(NOW), check=check)


def test_what_is_newest_stays_as_it_is(hub: Hub, lock: Path) -> None:
    before = lock.read_bytes()
    done = run(hub, lock)
    assert (done.code, done.written, lock.read_bytes()) == (Exit.OK, False, before)


def test_a_newer_release_is_pinned_by_its_commit(hub: Hub, lock: Path) -> None:
    hub.add("actions/checkout", "v6.1.0", 30)
    hub.add("docker/login-action", "v4.0.0", 30, annotated=True)
    before = lock.read_text()
    assert run(hub, lock, check=True).code is Exit.CHANGES
    assert lock.read_text() == before
    done = run(hub, lock)
    assert (done.code, done.outputs()) == (Exit.OK, {"newer": "2", "changed": "true"})
    pins = parse(lock.read_text(), "x")
    assert pins["actions/checkout"] == Pin("v6.1.0", sha("actions/checkoutv6.1.0"), "2026-01-01")
    assert pins["docker/login-action"].commit == sha("docker/login-actionv4.0.0")
    assert lock.read_text().startswith('# Why these.\n\n["actions/checkout"]  # one\n')
    assert [path.name for path in lock.parent.iterdir()] == [lock.name]
    assert run(hub, lock).written is False
    for part in ("| actions/checkout | v6.0.1 | v6.1.0 |", "docker/login-action"):
        assert part in done.summary()


@pytest.mark.parametrize(
    "more", [{"draft": True}, {"prerelease": True}, {"published_at": None}, {"tag_name": "v7.0.0-rc.1"}]
)
def test_what_is_no_release_is_passed_over(hub: Hub, lock: Path, more: dict[str, Any]) -> None:
    hub.add("actions/checkout", "v7.0.0", 30, **more)
    assert run(hub, lock, check=True).code is Exit.OK


def test_a_release_of_the_last_days_waits_and_the_one_before_is_taken(hub: Hub, lock: Path) -> None:
    hub.add("actions/checkout", "v6.1.0", 8)
    hub.add("actions/checkout", "v6.2.0", 6.9)
    finding = run(hub, lock).findings[0]
    assert finding.newest is not None
    assert (finding.newest.version, finding.held_back) == ("v6.1.0", "v6.2.0")


@pytest.mark.parametrize("young", [{"committed": ago(1)}, {"annotated": True, "tagged": ago(1)}])
def test_an_old_release_whose_tag_was_made_again_is_as_young_as_that(
    hub: Hub, lock: Path, young: dict[str, Any]
) -> None:
    hub.add("actions/checkout", "v6.1.0", 300, **young)
    finding = run(hub, lock).findings[0]
    assert (finding.newest, finding.held_back) == (None, "v6.1.0")


@pytest.mark.parametrize("annotated", [False, True])
def test_a_locked_tag_that_moved_is_an_alarm_and_nothing_is_written(hub: Hub, lock: Path, annotated: bool) -> None:
    hub.add("actions/checkout", "v6.0.1", 100, annotated=annotated, commit="e" * 40)
    hub.add("docker/login-action", "v4.0.0", 30)
    before = lock.read_bytes()
    for check in (True, False):
        with pytest.raises(
            DeliveryError, match=f"actions/checkout: v6.0.1 was {'[0-9a-f]' * 40} and is {'e' * 40}"
        ) as got:
            run(hub, lock, check=check)
        assert got.value.code is Exit.POLICY
    assert lock.read_bytes() == before


def test_a_locked_tag_that_is_gone_is_one_too(hub: Hub, lock: Path) -> None:
    del hub.releases["actions/checkout"]["v6.0.1"]
    del hub.releases["docker/login-action"]["v3.0.0"]
    with pytest.raises(DeliveryError, match=r"(?s)checkout: v6.0.1.* is gone now.*login-action: v3.0.0") as caught:
        run(hub, lock)
    assert caught.value.code is Exit.POLICY


def test_a_failure_names_its_action_and_writes_nothing(hub: Hub, lock: Path) -> None:
    hub.add("actions/checkout", "v7.0.0", 30)
    hub.fails = "docker/login-action"
    before = lock.read_bytes()
    with pytest.raises(DeliveryError, match=r"docker/login-action: GitHub refused GET .*500") as caught:
        run(hub, lock)
    assert caught.value.code is Exit.FAILED
    assert lock.read_bytes() == before


def test_an_action_can_be_added(hub: Hub, lock: Path) -> None:
    hub.add("azure/setup-helm", "v4.0.0", 30)
    hub.add("azure/setup-helm", "v4", 30)
    run(hub, lock, "azure/setup-helm", "actions/checkout")
    assert parse(lock.read_text(), "x")["azure/setup-helm"].version == "v4.0.0"
    hub.add("new/one", "v1.0.0", 1)
    with pytest.raises(DeliveryError, match=r"(?s)new/one: .*only v1\.0\.0, which is too young.*no/thing: .*none"):
        run(hub, lock, "new/one", "no/thing")
    with pytest.raises(DeliveryError, match="OWNER/NAME"):
        run(hub, lock, "checkout")


ages = st.dictionaries(
    st.from_regex(r"v?[1-3](\.[0-2](\.[0-2](-rc\.1)?)?)?|main", fullmatch=True), st.integers(0, 14), max_size=8
)


@given(ages, st.sampled_from([None, Version((2, 0, 0))]))
def test_what_is_taken_is_above_old_enough_and_the_newest_of_those(
    days: dict[str, int], locked: Version | None
) -> None:
    tags = {tag: NOW - timedelta(days=age) for tag, age in days.items()}
    taken, young = choose(tags, locked, NOW, WEEK)

    def fits(tag: str) -> bool:
        version = version_of(tag)
        return version is not None and not version.prerelease and (locked is None or version > locked)

    assert set(taken) == {tag for tag in tags if fits(tag) and days[tag] >= 7}
    order = [version_of(tag) or Version((0, 0, 0)) for tag in taken]
    assert order == sorted(order, reverse=True)
    if young:
        assert fits(young)
        assert days[young] < 7
        assert all((version_of(young) or Version((0, 0, 0))) >= each for each in order)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["actions", "update", "--lock", str(tmp_path / "gone.toml"), "--output", "json"])
    assert done.exit_code == 2
    assert "gone.toml cannot be read" in done.stderr


def test_the_result_is_json(hub: Hub, lock: Path) -> None:
    hub.add("actions/checkout", "v6.1.0", 30)
    found = json.loads(json.dumps(run(hub, lock, check=True).document()))
    assert found["written"] is False
    assert found["actions"][0]["newest"] == {"version": "v6.1.0", "commit": sha("actions/checkoutv6.1.0")}
    assert found["actions"][1]["newest"] is None
