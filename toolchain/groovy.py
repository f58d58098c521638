"""The Groovy compiler of the version that Jenkins runs pipelines with, by which tests parse Jenkinsfiles.

`python -m toolchain.groovy` gets it through Maven, from wherever Maven is configured to ask, and checks its content.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

VERSION = "2.4.21"
SHA256 = "de65260cf2070442e99882f2f3d72e7531725c1e6a257446cc0cea525c607bd0"
JAR = Path(__file__).resolve().parents[1] / ".toolchain" / "groovy" / f"groovy-all-{VERSION}.jar"

_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"


def main() -> int:
    """Get the jar if it is not there; returns the exit code."""
    if JAR.exists() and _is(JAR):
        return 0
    maven = shutil.which("mvn")
    if not maven:
        print("no Maven on PATH. Fix: install maven, which brings a Java runtime", file=sys.stderr)  # noqa: T201  # a command
        return 1
    JAR.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=JAR.parent) as folder:
        artifact = f"-Dartifact=org.codehaus.groovy:groovy-all:{VERSION}"
        done = subprocess.run(
            [maven, "--batch-mode", "--quiet", _COPY, artifact, f"-DoutputDirectory={folder}"], check=False, cwd=folder
        )
        if done.returncode:
            return done.returncode
        found = Path(folder) / JAR.name
        if not _is(found):
            print(f"{JAR.name} has another SHA-256 than {SHA256}: thrown away", file=sys.stderr)  # noqa: T201  # a command
            return 1
        found.replace(JAR)
    return 0


def _is(path: Path) -> bool:
    return hashlib.sha256(path.read_bytes()).hexdigest() == SHA256


if __name__ == "__main__":
    sys.exit(main())
