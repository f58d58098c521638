"""Encrypts a YAML file with SOPS for a KMS key as every sandbox makes it, without touching a running sandbox."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

from . import environments
from .layout import Layout
from .parts import REGION


class SealError(Exception):
    """The file was not encrypted; the message says why. The output file is as it was."""


def seal(plain: Path, out: Path, key_description: str, layout: Layout, environment: str = environments.DEFAULT) -> str:
    """Encrypt all values of the YAML file `plain` into `out`; return the key's ARN.

    The key is the first one with `key_description` in the environment's account: its id and material follow from that
    alone, so the file opens in any sandbox whose stack has made that key. It is made in an AWS of its own that ends
    with this call. sops reads the plain file itself; its content is on no command line.

    Raises:
        SealError: there is no sops, or it refused the file.
    """
    sops = layout.tool("sops")
    if sops is None:
        raise SealError(f"sops was found neither in {layout.toolchain_bin} nor on PATH: `python -m toolchain ensure`")
    from .aws.determinism import create_key
    from .aws.server import build, listen

    application = build(None)
    application.replay()
    server = listen(application)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        arn = create_key(environments.ACCOUNTS[environment], REGION, key_description)
        encrypted = _run_sops(sops, plain, arn, server.port, environments.ACCOUNTS[environment])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    _replace(out, encrypted)
    return arn


def _run_sops(sops: Path, plain: Path, arn: str, port: int, account: str) -> bytes:
    variables = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": account,
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        # A profile or SOPS setting of the user's must not add a key of theirs.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "HOME": os.environ.get("HOME", "/"),
        "PATH": os.environ.get("PATH", os.defpath),
    }
    command = [str(sops), "--config", os.devnull, "encrypt", "--kms", arn, "--input-type", "yaml"]
    command += ["--output-type", "yaml", str(plain)]
    done = subprocess.run(command, capture_output=True, env=variables, timeout=60, check=False)
    if done.returncode != 0:
        raise SealError(
            f"sops refused {plain} (status {done.returncode}): {done.stderr.decode(errors='replace').strip()}"
        )
    return done.stdout


def _replace(out: Path, content: bytes) -> None:
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
