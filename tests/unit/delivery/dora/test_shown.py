"""What `pavedpath dora` shows: plots, the table of a job, CSV, JSON."""

import csv
import io
import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.cli import app
from pavedpath_delivery.dora.core import Distribution, Figures, Window, measure
from pavedpath_delivery.dora.plots import plots
from pavedpath_delivery.dora.run import Measured, markdown, weeks_csv
from pavedpath_delivery.dora.wording import duration
from pavedpath_delivery.kit import github
from pavedpath_delivery.kit.errors import Exit
from typer.testing import CliRunner

from tests.unit.delivery.dora.generator import START, Plan

NAMES = ("deployment-frequency", "lead-time", "change-failure-rate", "time-to-restore")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def found() -> Figures:
    plan = Plan(seed=7).fill(1200)
    return measure(plan.records, Window(START, plan.window.until))


def _root(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314  what was drawn here


@pytest.mark.parametrize("name", NAMES)
def test_a_plot_has_a_bar_a_week_whose_height_is_its_value(found: Figures, name: str) -> None:
    root = _root(plots(found)[name])
    bars = root.findall(f"{SVG}rect")
    values = {
        "deployment-frequency": [float(week.successes) for week in found.weeks],
        "lead-time": [week.lead_time.median for week in found.weeks],
        "change-failure-rate": [week.failures / week.deployments if week.deployments else None for week in found.weeks],
        "time-to-restore": [week.restore.median for week in found.weeks],
    }[name]
    known = [value for value in values if value is not None]
    assert len(bars) == len(known) > 3
    heights = [float(bar.attrib["height"]) for bar in bars]
    scale = max(heights) / max(known)
    assert heights == pytest.approx([value * scale for value in known], abs=0.2)
    assert max(heights) <= 165  # within the axes


@pytest.mark.parametrize("name", NAMES)
def test_a_plot_can_be_read_without_seeing_it(found: Figures, name: str) -> None:
    root = _root(plots(found)[name])
    title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None
    assert description is not None
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-labelledby"].split() == [title.attrib["id"], description.attrib["id"]]
    assert "at most" in (description.text or "")
    for bar in root.findall(f"{SVG}rect"):
        tooltip = bar.find(f"{SVG}title")
        assert tooltip is not None
        assert tooltip.text


def test_a_misspelled_environment_is_told(tmp_path: Path) -> None:
    file = tmp_path / "records.jsonl"
    record = {"type": "deployment", "id": "1", "application": "a|b", "commit": "c", "outcome": "success"}
    lines = [{**record, "environment": name, "finished": "2026-03-02T09:00:00Z"} for name in ("prod", "dev")]
    file.write_text("\n".join(map(json.dumps, lines)))
    arguments = ["dora", "--records", str(file), "--since", "2026-03-01", "--until", "2026-03-08", "--environment"]
    summary = tmp_path / "summary"
    done = CliRunner().invoke(app, [*arguments, "prodd"], env={"GITHUB_STEP_SUMMARY": str(summary)})
    assert done.exit_code == Exit.OK
    assert "  No record is of prodd; there are records of dev, prod.\n" in done.stdout
    assert "No record is of prodd; there are records of dev, prod.\n" in summary.read_text()
    found = json.loads(CliRunner().invoke(app, [*arguments, "prodd", "--output", "json"]).stdout)
    assert found["others"] == ["dev", "prod"]
    assert "No record" not in CliRunner().invoke(app, [*arguments, "prod"]).stdout


def test_four_plots_can_stand_in_one_page(found: Figures) -> None:
    ids = [each.attrib["id"] for text in plots(found).values() for each in _root(text).iter() if "id" in each.attrib]
    assert len(ids) == len(set(ids)) == 8


@given(st.lists(st.one_of(st.none(), st.floats(0, 1e12)), max_size=60))
def test_any_values_fit_between_the_axes(medians: list[float | None]) -> None:
    begin = datetime(2026, 1, 5, tzinfo=UTC)
    empty = measure([], Window(begin, begin + timedelta(days=7))).weeks[0]
    weeks = tuple(
        replace(empty, begins=begin + timedelta(weeks=n), lead_time=Distribution(1, value, value))
        for n, value in enumerate(medians)
    )
    base = measure([], Window(begin, begin + timedelta(days=7)))
    root = _root(plots(replace(base, weeks=weeks))["lead-time"])
    bars = root.findall(f"{SVG}rect")
    assert len(bars) == len([value for value in medians if value is not None])
    for bar in bars:
        assert float(bar.attrib["y"]) >= 39.9
        assert float(bar.attrib["height"]) >= 0


def test_a_share_ends_at_a_hundred_per_cent_also_without_a_failure(found: Figures) -> None:
    weeks = [replace(week, failures=0) for week in found.weeks]
    root = _root(plots(replace(found, weeks=weeks))["change-failure-rate"])
    axis = [each.text or "" for each in root.iter(f"{SVG}text")]
    shares = [float(text.rstrip("%")) for text in axis if text.endswith("%")]
    assert max(shares) == 100


def test_the_table_of_a_job(found: Figures) -> None:
    text = markdown(found, "prod", {"shop": found, "billing": found})
    assert f"| {found.per_day:.2f} a day |" in text
    assert f"{found.failures} of {found.deployments} deployments" in text
    assert text.count("| shop |") == 1
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in tables[:6]} == {5}


def test_outputs_are_plain_numbers_and_empty_without_a_figure(found: Figures) -> None:
    outputs = Measured("prod", found).outputs()
    assert float(outputs["lead-time"]) == pytest.approx(found.lead_time.median)
    nothing = measure([], found.window)
    assert Measured("prod", nothing).outputs()["time-to-restore"] == ""


def test_weeks_as_csv(found: Figures) -> None:
    rows = list(csv.DictReader(io.StringIO(weeks_csv(found))))
    assert len(rows) == len(found.weeks)
    assert sum(int(row["successes"]) for row in rows) == found.successes


@pytest.mark.parametrize(
    ("seconds", "said"), [(None, "none"), (0, "0 s"), (59, "59 s"), (90, "1.5 min"), (5400, "1.5 h"), (172800, "2.0 d")]
)
def test_durations_in_words(seconds: float | None, said: str) -> None:
    assert duration(seconds) == said


def _file(folder: Path) -> Path:
    file = folder / "records.jsonl"
    lines = [
        {"type": "deployment", "id": str(n), "application": "shop", "environment": "prod", "commit": f"c{n}",
         "finished": f"2026-03-0{n}T12:00:00Z", "outcome": "failure" if n == 3 else "success",
         "changes": [{"commit": f"c{n}", "committed": f"2026-03-0{n}T11:00:00Z"}]}
        for n in range(1, 6)
    ]  # fmt: skip
    file.write_text("\n".join(map(json.dumps, lines)))
    return file


def test_the_command_from_a_file_to_plots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "outputs"))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    options = ["--since", "2026-03-01", "--until", "2026-03-11", "--plots", str(tmp_path / "plots")]
    options += ["--csv", str(tmp_path / "weeks.csv"), "--output", "json"]
    done = CliRunner().invoke(app, ["dora", "--records", str(_file(tmp_path)), *options])
    assert done.exit_code == Exit.OK, done.output
    document = json.loads(done.stdout)
    assert document["per_day"] == 0.4
    assert document["change_failure_rate"] == 0.2
    assert document["lead_time"]["median"] == 3600
    assert document["restore"]["median"] == 86400
    assert document["bands"]["change_failure_rate"] == "low"
    assert sorted(path.stem for path in (tmp_path / "plots").iterdir()) == sorted(NAMES)
    assert "deployment-frequency=0.4\n" in (tmp_path / "outputs").read_text()
    assert "### Delivery of prod" in (tmp_path / "summary").read_text()
    assert len((tmp_path / "weeks.csv").read_text().splitlines()) == 4


def test_what_cannot_be_measured_is_refused_at_once(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["dora", "--repository", "shop", "--release", "a/b/c"])
    assert done.exit_code == Exit.USAGE
    assert "shop is not OWNER/REPO; a/b/c is not NAMESPACE/NAME" in done.output
    done = CliRunner().invoke(app, ["dora"])
    assert done.exit_code == Exit.USAGE
    records = ["--records", str(_file(tmp_path))]
    done = CliRunner().invoke(app, ["dora", *records, "--since", "2026-03-11", "--until", "2026-03-01"])
    assert done.exit_code == Exit.USAGE
    (tmp_path / "taken").write_text("")
    done = CliRunner().invoke(app, ["dora", *records, "--plots", str(tmp_path / "taken" / "plots")])
    assert done.exit_code == Exit.USAGE


@pytest.mark.parametrize(
    ("status", "said", "code"),
    [
        (404, "GitHub has no acme/shop, acme/till, or the token does not see it", Exit.USAGE),
        (401, "GitHub refused GET /repos/acme/shop (401): Bad credentials", Exit.FAILED),
    ],
)
def test_a_repository_that_is_not_seen_is_no_figure(
    monkeypatch: pytest.MonkeyPatch, status: int, said: str, code: Exit
) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(status, json={"message": "Bad credentials"}))
    client = httpx.Client(base_url="https://api.example/", transport=transport)

    def connect(_: object) -> github.GitHub:
        return github.GitHub(client, "acme")

    monkeypatch.setattr(github, "connect", connect)
    done = CliRunner().invoke(app, ["dora", "--repository", "acme/shop", "--repository", "acme/till"])
    assert done.exit_code == code
    assert said in done.output
