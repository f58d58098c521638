import base64
import gzip
import json
import stat
import tarfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.kit.documents import Properties
from pavedpath_delivery.kit.errors import DeliveryError, Exit
from pavedpath_delivery.smoke.bundle import Bundle
from pavedpath_delivery.smoke.diagnose import Diagnosis, diagnose

from tests.unit.delivery.smoke.objects import pod, waiting, workload
from tests.unit.delivery.support import console

PASSWORD, CHART_PASSWORD = "correct-horse", "from-the-sops-file"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def record(number: int, status: str) -> dict[str, Any]:
    release = {
        "version": number,
        "info": {"status": status, "last_deployed": "2026-01-01T10:00:00.123456789Z", "description": "Upgrade failed"},
        "chart": {"metadata": {"name": "web", "version": "1.0.0"}},
        "config": {"secrets": {"DSN": CHART_PASSWORD}, "replicas": number},
        "manifest": "",
    }
    content = base64.b64encode(gzip.compress(json.dumps(release).encode())).decode()
    metadata = {"labels": {"owner": "helm", "name": "shop"}, "name": f"sh.helm.release.v1.shop.v{number}"}
    return {"type": "helm.sh/release.v1", "metadata": metadata, "data": {"release": b64(content)}}


class Fake:
    """A cluster; `forbidden` names last parts of paths that answer 403."""

    def __init__(self, lists: Mapping[str, list[dict[str, Any]]], forbidden: tuple[str, ...] = ()) -> None:
        self.lists, self.forbidden = lists, forbidden
        self.logs: dict[str, str] = {}

    def _check(self, last: str, status: int = 403) -> None:
        if last in self.forbidden:
            request = httpx.Request("GET", "http://k")
            raise httpx.HTTPStatusError("no", request=request, response=httpx.Response(status, request=request))

    def items(self, path: str, params: Mapping[str, str] | None = None) -> list[Mapping[str, Any]]:
        last = path.rpartition("/")[2]
        self._check(last)
        return list(self.lists.get(last, []))

    def text(self, path: str, params: Mapping[str, str] | None = None) -> str | None:
        self._check("log")
        return self.logs.get("previous" if (params or {}).get("previous") else "current")


def crashing() -> Fake:
    event = {
        "type": "Warning",
        "reason": "BackOff",
        "message": f"Back-off | with {PASSWORD}",
        "involvedObject": {"kind": "Pod", "name": "shop-1"},
        "lastTimestamp": "2026-01-01T10:00:00Z",
    }
    last = {"terminated": {"exitCode": 1, "reason": "Error"}}
    fake = Fake(
        {
            "deployments": [workload(status={"updatedReplicas": 1})],
            "pods": [pod("shop-1", waiting("CrashLoopBackOff", last, 2)), pod("alien", waiting("X"), app="alien")],
            "events": [event],
            "secrets": [
                {"data": {"password": b64(PASSWORD), "user": b64("shop")}},
                record(1, "superseded"),
                record(2, "failed"),
            ],
            "nodes": [{"metadata": {"name": "node-a"}}],
        }
    )
    fake.logs = {"current": f"start {PASSWORD}\n", "previous": f"dsn {CHART_PASSWORD}\n"}
    return fake


def run(fake: Fake, out: Path, limit: int = 1_000_000) -> Diagnosis:
    return diagnose(fake, "shop", "ns", out, NOW, limit=limit, log_lines=100)


def content(found: Diagnosis) -> dict[str, str]:
    with tarfile.open(found.archive) as archive:
        files = {member.name: archive.extractfile(member) for member in archive}
        return {name.partition("/")[2]: file.read().decode() for name, file in files.items() if file}


def test_a_bundle_says_what_is_wrong_and_no_secret(tmp_path: Path) -> None:
    found = run(crashing(), tmp_path / "out")
    files = content(found)
    whole = "\n".join(files.values()) + json.dumps(found.document()) + found.summary()
    for secret in (PASSWORD, CHART_PASSWORD, b64(PASSWORD), b64(CHART_PASSWORD)):
        assert secret not in whole
    assert found.findings == [
        "deployment shop: 1 of 3 pods are of the new version",
        "pod shop-1: CrashLoopBackOff: container web ended with status 1, 2 restarts",
        "helm revision 2 is failed: Upgrade failed",
    ]
    assert files["logs/shop-1.web.previous.log"] == "dsn (secret)\n"
    assert "alien" not in files["pods.yaml"]
    assert "replicas: 2" in files["values.2.yaml"]
    assert "secrets.yaml" not in files
    assert "| 2 | 2026-01-01 10:00:00 | failed | web-1.0.0 | Upgrade failed |" in files["index.md"]
    assert "Back-off \\| with (secret)" in files["index.md"]
    assert "## Last lines of shop-1.web\n\n    dsn (secret)\n" in files["index.md"]
    # The release's own name is in its secret as a user, and still readable.
    assert files["index.md"].startswith("# shop in ns\n")
    assert found.code is Exit.OK
    assert stat.S_IMODE(found.archive.stat().st_mode) == 0o600
    sink, out = console(200)
    found.show(sink)
    assert "CrashLoopBackOff" in out.getvalue()


def test_what_is_forbidden_is_listed_and_names_still_hide(tmp_path: Path) -> None:
    fake = crashing()
    fake.forbidden = ("secrets", "nodes", "log", "resourcequotas")
    fake.lists["pods"][0]["spec"]["containers"][0]["env"] = [{"name": "DB_PASSWORD", "value": PASSWORD}]
    fake.lists["events"][0]["message"] = f"password={PASSWORD}"
    found = run(fake, tmp_path)
    files = content(found)
    assert PASSWORD not in "\n".join(files.values())
    assert {"secrets", "nodes", "resourcequotas", "shop-1.web.log"} <= set(found.found.forbidden)
    assert "could not be read" in files["index.md"]


def test_logs_that_are_not_there_are_noted(tmp_path: Path) -> None:
    fake = crashing()
    fake.logs = {}
    found = run(fake, tmp_path)
    assert found.found.missing == ["shop-1.web.log (empty)", "shop-1.web.previous.log (empty)"]


def test_it_can_be_run_again_over_what_is_there(tmp_path: Path) -> None:
    first = run(crashing(), tmp_path)
    assert content(run(crashing(), tmp_path)) == content(first)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["diagnosis-shop.tar.gz", "index.md"]


def test_nothing_found_is_a_mistake_and_says_what_may_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match="may not read pods, secrets") as caught:
        run(Fake({}, forbidden=("pods", "secrets")), tmp_path)
    assert caught.value.code is Exit.USAGE
    assert list(tmp_path.iterdir()) == []


def test_a_cluster_that_does_not_answer_is_no_missing_release(tmp_path: Path) -> None:
    class Silent(Fake):
        def items(self, path: str, params: Mapping[str, str] | None = None) -> list[Properties]:
            raise httpx.ConnectError("no answer from k.test:443 (refused). Fix: check")

    with pytest.raises(DeliveryError, match=r"could be read: no answer from k\.test:443") as caught:
        run(Silent({}), tmp_path)
    assert caught.value.code is Exit.FAILED


def test_what_has_no_room_is_said(tmp_path: Path) -> None:
    found = run(crashing(), tmp_path, limit=600)
    assert found.bundle.left_out
    assert sum(map(len, found.bundle.files.values())) <= 600
    assert f"No room for: {', '.join(found.bundle.left_out)}." in content(found)["index.md"]


@given(st.lists(st.text(max_size=40), max_size=8), st.integers(1, 80), st.integers(1, 40))
def test_a_bundle_keeps_its_limit_and_whole_lines(texts: list[str], limit: int, largest: int) -> None:
    bundle = Bundle(limit, largest)
    for number, text in enumerate(texts):
        bundle.add(str(number), text)
        kept = bundle.files.get(str(number))
        if kept is not None:
            assert text.encode().endswith(kept)
            before = text.encode()[: len(text.encode()) - len(kept)]
            assert not before or before.endswith(b"\n") or b"\n" not in text.encode()[-largest:]
    assert sum(map(len, bundle.files.values())) <= limit
    assert {*bundle.files, *bundle.left_out} == {str(n) for n in range(len(texts))}
