"""What a step tells GitHub Actions: outputs, summary, masks and annotations. Elsewhere each of them does nothing.

Source: GitHub, "Workflow commands for GitHub Actions".
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from pavedpath_delivery.kit.errors import DeliveryError
from pavedpath_delivery.kit.plain import visible


@dataclass(frozen=True)
class Actions:
    """The job that the command runs in, from its environment variables."""

    environ: Mapping[str, str]
    stream: TextIO

    @classmethod
    def current(cls) -> "Actions":
        """Return the job of this process."""
        # Workflow commands may stand on either stream; stdout is the result's.
        return cls(os.environ, sys.stderr)

    @property
    def running(self) -> bool:
        """Whether this is a job of GitHub Actions."""
        return self.environ.get("GITHUB_ACTIONS") == "true"

    @property
    def run_url(self) -> str:
        """The page of the run that this job belongs to; empty outside of one."""
        names = ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")
        server, repository, run = (self.environ.get(name, "") for name in names)
        return f"{server}/{repository}/actions/runs/{run}" if server and repository and run else ""

    def set_outputs(self, outputs: Mapping[str, str]) -> None:
        """Set outputs of the step; a value may have many lines.

        Raises:
            DeliveryError: the file that GITHUB_OUTPUT names cannot be written.
        """
        self._append("GITHUB_OUTPUT", "".join(_assignment(name, value) for name, value in outputs.items()))

    def add_summary(self, markdown: str) -> None:
        """Add to the summary of the job.

        Raises:
            DeliveryError: the file that GITHUB_STEP_SUMMARY names cannot be written.
        """
        markdown = visible(markdown)
        self._append("GITHUB_STEP_SUMMARY", markdown if markdown.endswith("\n") or not markdown else f"{markdown}\n")

    def mask(self, secret: str) -> None:
        """Have a value hidden in the log from here on."""
        for line in filter(None, secret.splitlines()):
            self._command("add-mask", line)

    def error(self, message: str, title: str = "") -> None:
        """Show an error at the job."""
        self._command("error", visible(message), f" title={_property(title)}" if title else "")

    def warning(self, message: str, title: str = "") -> None:
        """Show a warning at the job, which stays green."""
        self._command("warning", visible(message), f" title={_property(title)}" if title else "")

    def _append(self, variable: str, text: str) -> None:
        path = self.environ.get(variable)
        if path and text:
            try:
                with Path(path).open("a", encoding="utf-8") as file:
                    file.write(text)
            except OSError as error:
                reason = f"which cannot be written ({error.strerror}). Fix: unset it outside of a job."
                raise DeliveryError(f"{variable} names {path}, {reason}") from error

    def _command(self, name: str, text: str, properties: str = "") -> None:
        if self.running:
            self.stream.write(f"::{name}{properties}::{_data(text)}\n")
            self.stream.flush()


def _assignment(name: str, value: str) -> str:
    if "\n" not in value and "\r" not in value:
        return f"{name}={value}\n"
    import secrets  # it brings a library of ciphers with it, which `--help` does not need

    # A delimiter that nobody can guess: a value cannot end itself and assign something else.
    end = f"end-{secrets.token_hex(16)}"
    return f"{name}<<{end}\n{value}\n{end}\n"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(visible(text)).replace(":", "%3A").replace(",", "%2C")
