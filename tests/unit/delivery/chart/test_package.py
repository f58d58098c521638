import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from pavedpath_delivery.chart.package import package
from pavedpath_delivery.kit.errors import DeliveryError, Exit

HELM = """#!{python}
import gzip, io, os, sys, tarfile, time
if os.environ.get("FAKE_SAYS"):
    sys.exit("Error: " + os.environ["FAKE_SAYS"])
with open(os.environ["FAKE_CALLS"], "a") as file:
    file.write(" ".join(sys.argv[1:3]) + "\\n")
if sys.argv[1] == "env":
    print(os.environ["FAKE_CALLS"] + ".yaml")
if sys.argv[1] == "dependency" and "HELM_REPOSITORY_CONFIG" in os.environ:
    with open(os.environ["HELM_REPOSITORY_CONFIG"]) as known, open(os.environ["FAKE_CALLS"] + ".known", "w") as file:
        file.write(known.read())
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


def test_helm_knows_the_repositories_of_the_dependencies_besides_its_own(chart: Path) -> None:
    with (chart / "Chart.yaml").open("a") as file:
        file.write("dependencies:\n")
        for place in ("https://one.example/", "https://two.example", "https://one.example", "oci://three.example/x"):
            file.write(f"- {{name: lib, version: 1.0.0, repository: '{place}'}}\n")
    packed(chart)
    known = chart.parent / "calls.known"
    assert [each["url"] for each in yaml.safe_load(known.read_text())["repositories"]] == [
        "https://one.example",
        "https://two.example",
    ]
    mine = {"name": "mine", "url": "https://one.example/", "username": "me", "password": "secret"}
    own = chart.parent / "calls.yaml"
    own.write_text(yaml.safe_dump({"repositories": [mine]}))
    packed(chart)
    first, second = yaml.safe_load(known.read_text())["repositories"]
    assert (first, second["url"]) == (mine, "https://two.example")
    own.write_text("secret: [")
    with pytest.raises(DeliveryError, match="cannot be read") as caught:
        packed(chart)
    assert "secret" not in str(caught.value)


def test_a_part_from_a_path_is_known_by_its_own_version(chart: Path) -> None:
    (chart.parent / "lib").mkdir()
    (chart.parent / "lib" / "Chart.yaml").write_text("name: lib\nversion: 1.2.3\n")
    with (chart / "Chart.yaml").open("a") as file:
        file.write("dependencies: [{name: lib, version: '>=1.0.0', repository: 'file://../lib'}]\n")
    (chart / "charts").mkdir()
    digests: set[str] = set()
    for second in (1, 2):  # Helm packs the part anew each time, with that time in it
        with tarfile.open(chart / "charts" / "lib-1.2.3.tgz", "w:gz") as part:
            member = tarfile.TarInfo("lib/Chart.yaml")
            member.mtime = second
            part.addfile(member)
        digests.add(packed(chart))
    assert len(digests) == 1


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
