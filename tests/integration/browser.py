"""A headless Chromium that tests look at pages with, over the DevTools protocol on two pipes.

Source: Chrome DevTools Protocol; `--remote-debugging-pipe` reads commands from descriptor 3 and answers on 4.
"""

import base64
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--hide-scrollbars", "--disable-component-update", "--remote-debugging-pipe"),
)


class Browser:
    """One page of a browser; `said` are its errors: of scripts, of the security policy, of what was not found."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands = commands
        self._answers = answers
        self._rest = b""
        self._number = 0
        self._session = ""
        self._seen: list[dict[str, Any]] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = str(self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
        for domain in ("Page", "Log", "Runtime", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return dict(answer["result"])

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            new = os.read(self._answers, 1 << 16)
            assert new, "the browser is gone"
            self._rest += new
        text, _, self._rest = self._rest.partition(b"\0")
        message = dict(json.loads(text))
        if "method" in message:
            self._seen.append(message)
        return message

    def open(self, url: str, *, width: int, height: int = 900, scheme: str = "light", media: str = "screen") -> None:
        """Load a page in a window of that size and colour scheme; `print` for a sheet of that width."""
        self._seen = []
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.ask(
            "Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": scheme}]
        )
        self.ask("Page.navigate", url=url)
        while not any(each["method"] == "Page.loadEventFired" for each in self._seen):
            self._read()

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        found = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    @property
    def said(self) -> list[str]:
        self.ask("Runtime.evaluate", expression="1")  # whatever was said before stands before its answer
        errors = [each["params"]["entry"] for each in self._seen if each["method"] == "Log.entryAdded"]
        thrown = [each["params"] for each in self._seen if each["method"] == "Runtime.exceptionThrown"]
        written = [each["params"] for each in self._seen if each["method"] == "Runtime.consoleAPICalled"]
        return [str(each) for each in (*errors, *thrown, *written)]

    @property
    def requested(self) -> list[str]:
        """The addresses that the page asked for, itself first."""
        sent = (each for each in self._seen if each["method"] == "Network.requestWillBeSent")
        return [str(each["params"]["request"]["url"]) for each in sent]

    def screenshot(self, path: Path) -> None:
        """Save the whole page as PNG."""
        shot = self.ask("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def browser(profile: Path) -> Generator[Browser]:
    """Start Chromium; without it a test fails where CI asks for it, and is skipped elsewhere."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        missing = "no Chromium on PATH. Fix: apt-get install chromium"
        if os.environ.get("CI") or os.environ.get("PAVEDPATH_REQUIRE_TOOLCHAIN"):
            pytest.fail(missing)
        pytest.skip(missing)
    read, commands = os.pipe()
    answers, write = os.pipe()
    process = subprocess.Popen(
        ["bash", "-c", f'exec "$@" 3<&{read} 4>&{write}', "bash", program, *_FLAGS, f"--user-data-dir={profile}"],
        pass_fds=(read, write),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(read)
    os.close(write)
    try:
        yield Browser(commands, answers)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(commands)
        os.close(answers)
