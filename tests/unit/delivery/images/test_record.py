from pathlib import Path

import pytest
from pavedpath_delivery.cli import app
from typer.testing import CliRunner

IMAGE = f"127.0.0.1:1/acme/orders/api@sha256:{'ab' * 32}"


@pytest.mark.parametrize("content", [b"", b" \n"])
def test_an_empty_report_is_evidence_of_nothing(tmp_path: Path, content: bytes) -> None:
    report = tmp_path / "junit.xml"
    report.write_bytes(content)
    done = CliRunner().invoke(app, ["image", "record", IMAGE, "--kind", "tested", "--report", str(report)])
    assert done.exit_code == 2
    assert f"{report} is empty" in done.output
    assert "Fix: run the test or the scan again" in done.output
