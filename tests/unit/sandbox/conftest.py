"""An AWS server in this process, and clients for it."""

import json
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any, cast

import boto3
import pytest
from botocore.config import Config
from moto.core.base_backend import BackendDict
from pavedpath_sandbox.aws.server import JournalledApplication, build, listen

Client = Callable[..., Any]


class Aws:
    """A running server. `client` makes a boto3 client of a service."""

    def __init__(self, application: JournalledApplication, port: int) -> None:
        self.application = application
        self.port = port

    def client(self, service: str, region: str = "us-east-1", key: str = "test") -> Any:
        # boto3's stubs know the services that are installed only; the rest would be "partially unknown" in every test.
        make = cast("Any", boto3).client
        return make(
            service,
            region_name=region,
            endpoint_url=f"http://127.0.0.1:{self.port}",
            aws_access_key_id=key,
            aws_secret_access_key="test",
            config=Config(retries={"max_attempts": 1}),
        )

    def get(self, path: str) -> bytes:
        """GET one of the sandbox's own endpoints; raises `urllib.error.HTTPError`."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=120) as answer:
            return answer.read()

    def control(self, path: str, **body: Any) -> Any:
        """POST to one of the sandbox's own endpoints; raises `urllib.error.HTTPError`."""
        address = f"http://127.0.0.1:{self.port}{path}"
        with urllib.request.urlopen(urllib.request.Request(address, json.dumps(body).encode()), timeout=120) as answer:
            return json.load(answer)


@contextmanager
def serve(journal: Path | None, replay: bool = True, functions: str = "") -> Generator[Aws]:
    """A server with moto's memory as after a start of its process: empty but for what the journal brings back."""
    cast("Any", BackendDict).reset()
    application = build(journal, functions)
    server = listen(application)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        if replay:
            application.replay()
        yield Aws(application, server.port)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        application.close()


@pytest.fixture
def aws() -> Generator[Aws]:
    with serve(None) as server:
        yield server


@pytest.fixture
def start_aws() -> Callable[..., Any]:
    """Start a server on a journal: ``with start_aws(path) as aws``; `replay=False` leaves the replay to the test."""
    return serve
