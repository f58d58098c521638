"""What `actions/upload-artifact` and `download-artifact` do, in a folder of the run.

Source: their documentation; paths in an artifact are below the first wildcard, or the directory that all paths share.
"""

import fnmatch
import glob
import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path


def _files(pattern: str) -> set[Path]:
    """Return the files that a pattern names, directories with all that they hold."""
    found = [Path(each) for each in glob.glob(pattern, recursive=True, include_hidden=True)]
    return {path for each in found for path in ([each, *each.rglob("*")]) if path.is_file()}


def _literal(pattern: str) -> Path:
    """Return the part of a pattern before its first wildcard; of a file its directory."""
    parts = Path(pattern).parts
    wild = next((number for number, part in enumerate(parts) if re.search(r"[*?\[]", part)), len(parts))
    path = Path(*parts[:wild])
    return path.parent if path.is_file() else path


def upload(store: Path, name: str, patterns: Sequence[str], missing: str, *, hidden: bool = False) -> int:
    """Copy what the patterns name, without what those that begin with ! do; return the exit status."""
    if (store / name).exists():
        sys.stderr.write(f"an artifact {name} exists already\n")
        return 1
    wanted = [str(Path.cwd() / each) for each in patterns if not each.startswith("!")]
    unwanted = [str(Path.cwd() / each[1:]) for each in patterns if each.startswith("!")]
    root = Path(os.path.commonpath([_literal(each) for each in wanted])) if wanted else Path.cwd()
    found = {path for each in wanted for path in _files(each)} - {path for each in unwanted for path in _files(each)}
    inside = {path.relative_to(root) for path in found}
    taken = sorted(path for path in inside if hidden or not any(part.startswith(".") for part in path.parts))
    if not taken:
        sys.stderr.write(f"no files for the artifact {name}: {', '.join(patterns)}\n")
        return 1 if missing == "error" else 0
    for path in taken:
        (store / name / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / path, store / name / path)
    return 0


def download(store: Path, name: str, pattern: str, target: Path, *, merge: bool) -> int:
    """Copy one artifact, or all that a pattern names; return the exit status."""
    names = [name] if name else sorted(fnmatch.filter([each.name for each in store.iterdir()], pattern or "*"))
    for each in names:
        if not (store / each).is_dir():
            sys.stderr.write(f"there is no artifact {each}\n")
            return 1
        shutil.copytree(store / each, target if name or merge else target / each, dirs_exist_ok=True)
    return 0


if __name__ == "__main__":
    folder = Path(os.environ["SANDBOX_ARTIFACTS"])
    if sys.argv[1] == "upload":
        given = [line.strip() for line in os.environ["FILES"].splitlines() if line.strip()]
        all_of_them = os.environ["HIDDEN"] == "true"
        sys.exit(upload(folder, os.environ["NAME"], given, os.environ["MISSING"], hidden=all_of_them))
    to = Path(os.environ["TARGET"])
    sys.exit(download(folder, os.environ["NAME"], os.environ["PATTERN"], to, merge=os.environ["MERGE"] == "true"))
