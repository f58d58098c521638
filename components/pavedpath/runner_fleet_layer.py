"""Write the layer of a runner fleet's functions: cryptography, which AWS's runtime has not, for their processor.

    python -m pavedpath.runner_fleet_layer build/runner-fleet-layer.zip

The wheels are those of `runner_fleet_layer.lock.toml`, held to its checksums, from whatever index uv or pip is set up
for; the same lock makes the same bytes on every machine.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path

_LOCK = "runner_fleet_layer.lock.toml"
_PYTHON = "3.13"
# What an installer writes about itself and about this machine; a command's first line names an interpreter here.
_OF_THE_INSTALLER = {
    "bin",
    "__pycache__",
    "INSTALLER",
    "RECORD",
    "REQUESTED",
    "direct_url.json",
    "uv_cache.json",
    ".lock",
}
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a ZIP archive can say


class LayerError(Exception):
    """The layer could not be built; its text says why and what to do."""


def requirements() -> str:
    """Return the lock as pip and uv read it."""
    lock = tomllib.loads(files("pavedpath").joinpath(_LOCK).read_text("utf-8"))
    return "".join(f"{name}=={wheel['version']} --hash=sha256:{wheel['sha256']}\n" for name, wheel in lock.items())


def installer(requirements_file: Path, target: Path, uv: str | None) -> list[str]:
    """Return the command that unpacks the wheels for the functions' machines, by uv if it is there, or by pip."""
    common = ["--target", str(target), "--no-deps", "--require-hashes", "--only-binary", ":all:"]
    common += ["--python-version", _PYTHON, "-r", str(requirements_file)]
    if uv is not None:
        return [uv, "pip", "install", "--quiet", "--python-platform", "aarch64-manylinux_2_34", *common]
    platforms = ["manylinux_2_34_aarch64", "manylinux2014_aarch64"]
    tags = [f"--platform={each}" for each in platforms] + ["--implementation=cp", "--abi=cp313", "--abi=abi3"]
    return [sys.executable, "-m", "pip", "install", "--quiet", *tags, "--abi=none", *common]


def build(destination: Path, uv: str | None = None) -> None:
    """Download the wheels, and write the layer's archive.

    Raises:
        LayerError: neither uv nor pip could get what the lock names.
    """
    with tempfile.TemporaryDirectory() as scratch:
        listed, target = Path(scratch, "requirements.txt"), Path(scratch, "python")
        listed.write_text(requirements())
        command = installer(listed, target, uv)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LayerError(
                f"the layer's wheels could not be had: {done.stderr.strip()[-500:]}. Fix: let uv or pip reach an index"
                f" that has them, or change the versions and checksums in {_LOCK} of the library"
            )
        destination.parent.mkdir(parents=True, exist_ok=True)
        write_archive(destination, target)


def write_archive(destination: Path, directory: Path) -> None:
    """Pack a directory under its own name so that the same files make the same bytes.

    It is not compressed: libraries that do that differ in what they make.
    """
    with zipfile.ZipFile(destination, "w", zipfile.ZIP_STORED) as archive:
        for path in _members(directory):
            entry = zipfile.ZipInfo(f"{directory.name}/{path.relative_to(directory).as_posix()}", _EPOCH)
            entry.create_system = 3  # Unix, whose modes follow
            entry.external_attr = 0o644 << 16  # an extension module is mapped, not executed
            archive.writestr(entry, path.read_bytes())


def _members(directory: Path) -> Iterator[Path]:
    for path in sorted(directory.rglob("*"), key=lambda each: each.as_posix()):
        if path.is_file() and not _OF_THE_INSTALLER & set(path.relative_to(directory).parts):
            yield path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its status is 1 if the layer could not be built."""
    parser = argparse.ArgumentParser(
        prog="python -m pavedpath.runner_fleet_layer", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("file", type=Path, help="where to write it, for example build/runner-fleet-layer.zip")
    given = parser.parse_args(arguments)
    try:
        build(given.file, shutil.which("uv"))
    except LayerError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
