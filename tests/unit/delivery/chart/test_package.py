import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from pavedpath_delivery.chart.package import package
from pavedpath_delivery.kit.errors import DeliveryError, Exit

HELM = """#!{python}
import gzip, io, os, sys, tarfile, time
if os.environ.get("FAKE_SAYS"):
    sys.exit("Error: " + os.environ["FAKE_SAYS"])
with open(os.environ["FAKE_CALLS"], "a") as file:
    file.write(" ".join(sys.argv[1:3]) + "\\n")
if sys.argv[1] == "package":
    with tarfile.open(sys.argv[4] + "/web-0.1.0.tgz", "w:gz") as archive:
        archive.add(sys.argv[2], "web")
"""


@pytest.fixture
def chart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "bin" / "helm"
    program.parent.mkdir()
    program.write_text(HELM.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("FAKE_CALLS", str(tmp_path / "calls"))
    folder = tmp_path / "web"
    folder.mkdir()
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: web\nversion: 0.1.0\n")
    return folder


def packed(chart: Path, environ: Mapping[str, str] | None = None) -> str:
    return package(chart, chart.parent / "out", environ or {}).archive.digest


def test_the_archive_is_written_whole_and_named_by_its_content(chart: Path) -> None:
    done = package(chart, chart.parent / "a" / "b", {})
    assert done.path == chart.parent / "a" / "b" / "web-0.1.0.tgz"
    assert [path.name for path in done.path.parent.iterdir()] == ["web-0.1.0.tgz"]
    assert done.outputs() == {
        "package": str(done.path),
        "name": "web",
        "version": "0.1.0",
        "digest": done.archive.digest,
    }


def test_source_date_epoch_is_the_only_time(chart: Path) -> None:
    (chart / "Chart.yaml").touch()
    first = packed(chart)
    assert packed(chart, {"SOURCE_DATE_EPOCH": "0"}) == first
    assert packed(chart, {"SOURCE_DATE_EPOCH": "1700000000"}) != first
    with pytest.raises(DeliveryError, match="seconds since 1970") as caught:
        packed(chart, {"SOURCE_DATE_EPOCH": "yesterday"})
    assert caught.value.code is Exit.USAGE


def test_dependencies_are_fetched_first_where_there_are_any(chart: Path) -> None:
    packed(chart)
    with (chart / "Chart.yaml").open("a") as file:
        file.write("dependencies: [{name: lib, version: 1.0.0, repository: oci://example.com/charts}]\n")
    packed(chart)
    verbs = [line.split()[0] for line in (chart.parent / "calls").read_text().splitlines()]
    assert verbs == ["package", "dependency", "package"]


def test_helms_reason_is_told(chart: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_SAYS", "validation: chart.metadata.version is required")
    with pytest.raises(DeliveryError, match=r"helm cannot pack .*web: validation: chart\.metadata"):
        packed(chart)


def test_what_is_no_chart_and_where_nothing_can_be_written(chart: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeliveryError, match="is no chart"):
        packed(chart.parent)
    with pytest.raises(DeliveryError, match="cannot be written"):
        package(chart, chart / "Chart.yaml", {})
    (chart / "Chart.yaml").write_text("a: [")
    with pytest.raises(DeliveryError, match="is no chart"):
        packed(chart)
    (chart / "Chart.yaml").write_text("name: web\nversion: 1\n")
    with pytest.raises(DeliveryError, match="no semantic version"):
        packed(chart)


def test_without_helm(chart: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(DeliveryError, match="helm is not on PATH; it is needed to pack charts"):
        packed(chart)
