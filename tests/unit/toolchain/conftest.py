"""A vendor on loopback that can misbehave like the real ones, and small packages and recipes to get from it."""

import hashlib
import io
import os
import tarfile
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from toolchain.manifest import Build, Download, Kind, Package, Platform
from toolchain.store import Store

HERE = Platform("linux", "amd64")


@dataclass
class Vendor:
    """`files` are served with Range; `cut` closes a path's connection after so many bytes, once per entry."""

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])
    redirects: dict[str, str] = field(default_factory=dict[str, str])
    cut: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    failing: dict[str, int] = field(default_factory=dict[str, int])
    ranges: bool = True
    asked: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def offer(self, path: str, content: bytes) -> None:
        self.files[path] = content
        self.files[path + ".sha256"] = hashlib.sha256(content).hexdigest().encode()


def handler(vendor: Vendor) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            vendor.asked.append((self.path, self.headers.get("Range", "")))
            if self.path in vendor.redirects:
                self.send_response(302)
                self.send_header("Location", vendor.redirects[self.path])
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif vendor.failing.get(self.path, 0) > 0:
                vendor.failing[self.path] -= 1
                self.send_error(503)
            elif self.path in vendor.files:
                self.body(vendor.files[self.path])
            else:
                self.send_error(404)

        def body(self, content: bytes) -> None:
            start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
            if not vendor.ranges:
                start = 0
            if start >= len(content) and start:
                self.send_error(416)
                return
            partial = vendor.ranges and "Range" in self.headers
            self.send_response(206 if partial else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            cuts = vendor.cut.get(self.path)
            if cuts:
                self.wfile.write(content[start : start + cuts.pop(0)])
                self.close_connection = True
            else:
                self.wfile.write(content[start:])

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            pass

    return Handler


@pytest.fixture
def vendor() -> Generator[Vendor]:
    vendor = Vendor()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(vendor))
    vendor.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield vendor
    server.shutdown()
    server.server_close()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache", HERE)


def tarball(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def package(
    name: str = "thing",
    *,
    files: tuple[str, ...] = (),
    download: Download | None = None,
    build: Build | None = None,
    kind: Kind = Kind.TOOL,
    version: str = "1.2.3",
    optional: bool = False,
) -> Package:
    return Package(name, kind, version, files or (name,), ("--version",), optional, download, build)


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Put a script first on PATH."""
    directory = tmp_path / "path"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}/usr/bin{os.pathsep}/bin")

    def add(name: str, script: str) -> Path:
        path = directory / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    return add


FAKE_GO = r"""
case "$1" in
env) echo go1.26.8; echo local ;;
list) [ "$2" = -m ] && echo "$PWD" || printf 'a\nb\n' ;;
build)
  while [ $# -gt 1 ]; do [ "$1" = -o ] && out=$2; shift; done
  echo a >&2; echo half > "$out"
  ${FAKE_GO_SLOW:+sleep $FAKE_GO_SLOW}
  [ -n "$FAKE_GO_FAILS" ] && { echo "main.go:1: no such thing" >&2; exit 1; }
  echo "binary $$" > "$out"; echo b >&2 ;;
esac
"""
