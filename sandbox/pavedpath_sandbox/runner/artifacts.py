"""What `actions/upload-artifact` and `download-artifact` do, in a folder of the run."""

import fnmatch
import os
import shutil
import sys
from pathlib import Path


def upload(store: Path, name: str, patterns: list[str], missing: str) -> int:
    """Copy what the patterns name; return the exit status."""
    if (store / name).exists():
        sys.stderr.write(f"an artifact {name} exists already\n")
        return 1
    found = [
        path for pattern in patterns for path in sorted(Path().glob(pattern.removeprefix("./").rstrip("/") or "."))
    ]
    if not found:
        sys.stderr.write(f"no files for the artifact {name}: {', '.join(patterns)}\n")
        return 1 if missing == "error" else 0
    for path in found:
        target = store / name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, target)
        else:
            shutil.copy2(path, target)
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
        sys.exit(upload(folder, os.environ["NAME"], given, os.environ["MISSING"]))
    to = Path(os.environ["TARGET"])
    sys.exit(download(folder, os.environ["NAME"], os.environ["PATTERN"], to, merge=os.environ["MERGE"] == "true"))
