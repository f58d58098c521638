"""Pages that hold: every component has one, what they show runs, and what is generated is current."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import traceback
from pathlib import Path

import pytest
from pavedpath import package
from pulumi.runtime import set_config

from docs.reference.__main__ import page_of, pages, public_names, settle_links
from tests.mocks import run
from tests.unit.docs.blocks import Block, blocks

ROOT = Path(__file__).resolve().parents[3]
LIBRARY = ROOT / "components"
HOW_TO = ROOT / "docs" / "components"
COMPONENTS = sorted(component.__name__ for component in package.components())
PROGRAMS = [block for page in sorted(HOW_TO.glob("*.md")) for block in blocks(page)]


@pytest.mark.parametrize("component", COMPONENTS)
class TestEveryComponent:
    def test_has_a_page_that_shows_its_use(self, component: str) -> None:
        page = HOW_TO / page_of(component)
        assert page.exists(), f"write {page.relative_to(ROOT)}"
        assert any(f"{component}(" in block.text for block in blocks(page)), f"{page.name} shows no {component}(…)"

    def test_is_public_in_the_reference(self, component: str) -> None:
        names = [name for names in public_names().values() for name in names]
        assert {component, f"{component}Args"} <= set(names)


@pytest.mark.parametrize("block", PROGRAMS, ids=lambda block: f"{block.page.name}:{block.line}")
def test_a_program_of_a_page_runs(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Charts and values are there, encrypted files are not: nothing opens them without an engine, keys and sops.
    for directory in ("charts", "etc"):
        shutil.copytree(ROOT / directory, tmp_path / directory, ignore=shutil.ignore_patterns("*.secrets.yaml"))
    # What `python -m pavedpath.runner_fleet_layer` writes; it is only looked for.
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "runner-fleet-layer.zip").touch()
    monkeypatch.chdir(tmp_path)
    name = str(block.page.relative_to(ROOT))
    # Lines as the page counts them, so that a traceback points into it.
    code = compile("\n" * (block.line - 1) + block.text, name, "exec")

    def program() -> None:
        # What `pulumi config set --secret` keeps.
        set_config("pavedpath:webhook", "0123456789abcdef0123456789abcdef")
        exec(code, {"__name__": "__main__", "__file__": name})  # noqa: S102  # the page's own program is what is tested

    try:
        graph = run(program)
    except Exception as error:  # noqa: BLE001  # whatever a page's program raises is the page's mistake
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == name]
        where = f"{name}:{frames[-1].lineno if frames else block.line}"
        pytest.fail(f"{where}: {type(error).__name__}: {error}", pytrace=False)
    assert graph.nodes or capsys.readouterr().out, f"{name}:{block.line} neither creates nor prints anything"


def test_generated_pages_are_current() -> None:
    stale = [name for name, text in pages().items() if not _is(ROOT / "docs" / name, text)]
    left = {path.name for path in (ROOT / "docs/reference").glob("*.md")} - {Path(name).name for name in pages()}
    assert stale == [], "run .venv/bin/python -m docs.reference"
    assert left == set(), "run .venv/bin/python -m docs.reference"


def test_the_site_builds_and_no_link_leads_nowhere() -> None:
    command = [sys.executable, "-m", "docs.reference", "--build"]
    environment = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert "VpcArgs" in (ROOT / "site/reference/vpc/index.html").read_text()


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "index.html"
    page.write_text('<a href="gone/">x</a> <a href="https://example.com">y</a>')
    assert settle_links(page, tmp_path, "https://example.com/repository") == ["index.html: gone/"]


def _is(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


class TestChangelog:
    def test_its_newest_version_is_the_librarys(self) -> None:
        versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\]$", (LIBRARY / "CHANGELOG.md").read_text(), re.MULTILINE)
        assert versions[0] == tomllib.loads((LIBRARY / "pyproject.toml").read_text())["project"]["version"]
        assert versions == sorted(versions, key=lambda each: [int(part) for part in each.split(".")], reverse=True)

    def test_its_headings_are_those_of_keep_a_changelog(self) -> None:
        headings = set(re.findall(r"^### (.+)$", (LIBRARY / "CHANGELOG.md").read_text(), re.MULTILINE))
        assert headings <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}

    def test_every_component_is_in_it(self) -> None:
        text = (LIBRARY / "CHANGELOG.md").read_text()
        assert [name for name in COMPONENTS if f"`{name}`" not in text] == []

    def test_every_release_but_the_newest_has_a_fixture(self) -> None:
        versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\]$", (LIBRARY / "CHANGELOG.md").read_text(), re.MULTILINE)
        assert [
            each for each in versions[1:] if not (ROOT / "tests/upgrades" / each / "components.json").exists()
        ] == []
