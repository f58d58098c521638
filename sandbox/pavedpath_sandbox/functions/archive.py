"""Unpacks deployed archives."""

from __future__ import annotations

import io
import logging
import os
import shutil
import zipfile
from pathlib import Path, PurePosixPath

LOG = logging.getLogger("pavedpath_sandbox.functions")
_COMPILED = (".so", ".pyd", ".dylib")


class ArchiveError(Exception):
    """The archive cannot be used; the message says why."""


def unpack(content: bytes, directory: Path) -> Path:
    """Unpack an archive into a directory, whole or not at all; one that is there is left alone.

    A package with compiled files in it is left out: they are for Lambda's machines, and this machine's own packages
    stand in for it.

    Raises:
        ArchiveError: it is no archive, or has a file that would lie outside.
    """
    if directory.is_dir():
        return directory
    temporary = directory.with_name(f".{directory.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            names = [each for each in file.namelist() if not each.endswith("/")]
            if wrong := [each for each in names if each.startswith("/") or ".." in PurePosixPath(each).parts]:
                raise ArchiveError(f"files of the archive lie outside of it: {', '.join(wrong)}")
            left_out = compiled_packages(names)
            if left_out:
                LOG.info("this machine's packages stand in for %s", ", ".join(sorted(left_out)))
            file.extractall(temporary, [each for each in names if _top(each) not in left_out])
        temporary.rename(directory)
    except zipfile.BadZipFile as error:
        raise ArchiveError(f"the function's code is no zip archive: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return directory


def compiled_packages(names: list[str]) -> set[str]:
    """The top-level names of an archive that have compiled files below them."""
    return {_top(each) for each in names if PurePosixPath(each).suffix in _COMPILED}


def _top(name: str) -> str:
    return PurePosixPath(name).parts[0]
