import json
from io import StringIO
from pathlib import Path

import httpx
import pytest
from pavedpath_delivery.cli import app
from pavedpath_delivery.deploy import rollback
from pavedpath_delivery.deploy.flow import Outcome, State
from pavedpath_delivery.deploy.manifests import Change
from pavedpath_delivery.deploy.reports import DeployReport, HistoryReport, RollbackReport, columns
from pavedpath_delivery.kit.durations import seconds
from pavedpath_delivery.kit.errors import DeliveryError, Exit
from pavedpath_delivery.kit.kube import refusal
from rich.console import Console
from typer.testing import CliRunner

from tests.unit.delivery.deploy.world import revision

IMAGE = "r.example/shop/api@sha256:" + "e" * 64


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (State.DEPLOYED, Exit.OK),
        (State.UNCHANGED, Exit.OK),
        (State.PREVIEWED, Exit.OK),
        (State.ROLLED_BACK, Exit.ROLLED_BACK),
        (State.OVERTAKEN, Exit.FAILED),
        (State.BROKEN, Exit.BROKEN),
    ],
)
def test_the_state_is_the_exit_code_and_an_output(state: State, code: Exit) -> None:
    report = DeployReport("shop", "dev", "ns", Outcome(state, 3, 2, "why", [IMAGE], [], ["pod a: X"]))
    assert report.code is code
    assert report.outputs() == {"state": str(state), "revision": "3", "previous": "2"}
    assert report.document()["state"] == str(state)
    assert IMAGE in report.summary()
    assert "pod a: X" in report.summary()


def test_a_preview_shows_its_lines_as_they_are() -> None:
    change = Change("update", "Deployment shop", ("-  a: [b]", "+  a: [c]"))
    report = DeployReport("shop", "dev", "ns", Outcome(State.PREVIEWED, 1, 1, changes=[change]))
    out = StringIO()
    report.show(Console(file=out, width=40, soft_wrap=True))
    assert "    +  a: [c]\n" in out.getvalue()
    assert "```diff\nupdate Deployment shop\n-  a: [b]" in report.summary()


def test_a_rollback() -> None:
    done = rollback.Outcome(rollback.State.BROKEN, 4, 3, 2, "shop: 0 of 2 ready")
    report = RollbackReport("shop", "ns", done)
    assert report.code is Exit.BROKEN
    assert report.outputs() == {"state": "broken", "revision": "4", "target": "2"}
    passed = rollback.Outcome(rollback.State.PASSED_OVER, 4, 4, reason="4 runs")
    assert RollbackReport("shop", "ns", passed).code is Exit.OK


def test_a_history_is_read_from_the_top() -> None:
    out = StringIO()
    newest = revision(12, "deployed", description="Upgrade complete\nand more", chart="shop-1.0.0", app_version="1")
    HistoryReport("shop", "ns", [newest, revision(3, "failed")]).show(Console(file=out, width=40, soft_wrap=True))
    lines = out.getvalue().splitlines()
    assert lines[1].split() == ["12", "2026-01-01", "00:00:00", "deployed", "shop-1.0.0", "1", "Upgrade", "complete"]
    assert lines[2].strip() == "r.example/shop/api:v12"


def test_columns_are_aligned() -> None:
    assert columns([("a", "bb"), ("ccc", "d")]) == ["a    bb", "ccc  d"]


@pytest.mark.parametrize(("text", "value"), [("5m", 300), ("90s", 90), ("1h30m", 5400), ("300", 300), ("1.5s", 1.5)])
def test_durations(text: str, value: float) -> None:
    assert seconds(text, "--timeout") == value


@pytest.mark.parametrize("text", ["", "0", "0s", "5 minutes", "-1s", "m"])
def test_no_duration(text: str) -> None:
    with pytest.raises(DeliveryError, match="--timeout"):
        seconds(text, "--timeout")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["history"], "Give either APP and --namespace"),
        (["history", "shop", "--repository", "a/b"], "Give either"),
        (["drill", "shop", "--namespace", "ns"], "Give --kind"),
        (["drill", "shop", "--namespace", "ns", "--kind", "flood"], "broken-image, killed-pod, lost-node"),
        (["drill", "shop", "--namespace", "ns", "--kind", "lost-node", "--restore"], "or --restore alone"),
    ],
)
def test_what_cannot_be_meant_is_said(arguments: list[str], words: str) -> None:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == Exit.USAGE
    assert words in done.output


def test_a_cluster_that_does_not_answer_is_told_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = {"name": "k", "cluster": {"server": "http://127.0.0.1:1"}}
    context = {"name": "c", "context": {"cluster": "k", "user": "u"}}
    config = {"current-context": "c", "contexts": [context], "clusters": [cluster]}
    (tmp_path / "config").write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    done = CliRunner().invoke(app, ["history", "shop", "--namespace", "ns"])
    assert done.exit_code == Exit.FAILED
    assert "127.0.0.1 does not answer" in done.output
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (httpx.Response(403, json={"message": "pods is forbidden"}), "pods is forbidden"),
        (httpx.Response(502, text="<html>"), "502 Bad Gateway"),
        (httpx.Response(500, json={}), "500 Internal Server Error"),
    ],
)
def test_a_refusal_is_in_the_servers_words(answer: httpx.Response, said: str) -> None:
    assert refusal(answer) == said
