"""The checkout as a whole: documents that name what exists, arrows, nothing of one machine."""

import json
import re
import subprocess
import tempfile
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
class TestDocuments:
    def test_links_lead_somewhere(self, document: Path) -> None:
        targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text())
        missing = [target for target in targets if not (document.parent / target).exists()]
        assert missing == []

    def test_make_targets_exist(self, document: Path) -> None:
        targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        code = re.findall(r"`make ([a-z-]+)`|^(?:\$ )?make ([a-z-]+)$", document.read_text(), re.MULTILINE)
        assert {name for pair in code for name in pair if name} <= targets


def test_the_coverage_page_names_tests_that_exist() -> None:
    names = re.findall(r"(tests/[\w/]+\.py)((?:::\w+)*)", (ROOT / "docs" / "coverage.md").read_text())
    assert names
    for path, parts in names:
        text = (ROOT / path).read_text()
        for part in parts.split("::")[1:]:
            assert re.search(rf"(def|class) {part}\b", text), f"{path} has no {part}"


def test_the_arrows_between_the_rooms_hold() -> None:
    done = subprocess.run([ROOT / ".venv/bin/lint-imports"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_sdks_are_the_versions_of_the_pinned_providers() -> None:
    pinned = dict(re.findall(r"^([\w-]+)==([\d.]+)$", (ROOT / "requirements.in").read_text(), re.MULTILINE))
    packages = tomllib.loads((ROOT / "toolchain" / "toolchain.toml").read_text())["package"]
    assert pinned == {
        "pulumi": packages["pulumi"]["version"],
        **{f"pulumi-{name}": packages[name]["version"] for name in ("aws", "github", "kubernetes")},
    }


def test_every_package_is_locked_with_hashes_and_no_registry_is_named() -> None:
    text = (ROOT / "requirements.lock").read_text()
    packages = re.findall(r"^[\w.-]+(?:\[[\w,-]+\])?==", text, re.MULTILINE)
    assert len(packages) > 50
    assert len(re.findall(r"--hash=sha256:", text)) >= len(packages)
    assert "http" not in re.sub(r"(?m)^\s*#.*$|^(?:httpcore|httpx|httptools)\S*.*$", "", text)


def test_nothing_names_one_machine() -> None:
    """Absolute paths of a home or a work directory would only hold where they were written."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    # A clone in the directory for temporary files, or in the root, is beside nothing of this machine's.
    beside = ROOT if ROOT.parent in (Path(tempfile.gettempdir()), Path("/")) else ROOT.parent
    places = {beside, Path.home()} - {Path("/")}
    home = re.compile("|".join(re.escape(f"{place}/") for place in places))
    named = [
        name
        for name in listed.split("\0")
        if name and not name.endswith(".sum") and home.search((ROOT / name).read_text(errors="replace"))
    ]
    assert named == []


def test_the_readme_names_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text()
    assert "$ make up\n" in readme
    assert "$ make test\n" in readme
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_renovate_finds_every_action_that_the_library_pins() -> None:
    """A pin that no pattern finds would stay as it is for ever in each managed repository."""
    (manager,) = json.loads((ROOT / "renovate.json").read_text())["customManagers"]
    files = re.compile(manager["managerFilePatterns"][0].strip("/"))
    pattern = re.compile(manager["matchStrings"][0].replace("(?<", "(?P<"))
    pins: list[str] = []
    for path in sorted([*(ROOT / "components").rglob("*.py"), *(ROOT / "components").rglob("*.lock.toml")]):
        text = path.read_text()
        locked: dict[str, dict[str, str]] = tomllib.loads(text) if path.suffix == ".toml" else {}
        found = [f"{action}@{each['commit']}" for action, each in locked.items() if "commit" in each]
        found += re.findall(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", text)
        assert not found or files.search(path.relative_to(ROOT).as_posix())
        assert [f"{each['depName']}@{each['currentDigest']}" for each in pattern.finditer(text)] == found
        pins += found
    assert pins
