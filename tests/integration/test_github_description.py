"""The committed part of GitHub's description against the package that it was cut from."""

import json
import subprocess
import tarfile
from pathlib import Path

import pytest
from pavedpath_sandbox.github.describe import trim
from pavedpath_sandbox.github.description import PATH_OF_DESCRIPTION
from pavedpath_sandbox.github.routes import HANDLERS


@pytest.mark.integration
def test_cutting_the_package_again_gives_the_same_bytes(tmp_path: Path) -> None:
    committed = PATH_OF_DESCRIPTION.read_bytes()
    source = json.loads(committed)["x-source"]
    subprocess.run(["npm", "pack", source["package"]], cwd=tmp_path, check=True, capture_output=True, timeout=300)
    [archive] = tmp_path.glob("*.tgz")
    with tarfile.open(archive) as package:
        member = package.extractfile(f"package/{source['file']}")
        assert member is not None
        full = member.read()
    assert trim(full, HANDLERS.keys()) == committed
