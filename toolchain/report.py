"""What the user sees while the toolchain is made: a line per package, progress in between, the table at the end."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TextIO

QUIET_SECONDS = 20.0
"""How long a log that is no terminal stays silent before it is told how far a build is."""


@dataclass
class Reporter:
    """Plain lines; on a terminal the last one is rewritten in place while work goes on."""

    out: TextIO = field(default_factory=lambda: sys.stdout)
    total: int = 0
    _number: int = 0
    _subject: str = ""
    _began: float = 0.0
    _told: float = 0.0
    _shown: str = ""

    @property
    def terminal(self) -> bool:
        """Whether lines can be rewritten."""
        return self.out.isatty()

    def say(self, text: str) -> None:
        """A line that stays."""
        self._clear()
        print(text, file=self.out, flush=True)

    def begin(self, subject: str) -> None:
        """Turn to the next package."""
        self._number += 1
        self._subject = f"[{self._number:>2}/{self.total}] {subject}"
        self._began = self._told = time.monotonic()

    def progress(self, text: str) -> None:
        """How far the present package is; at most five times a second on a terminal, seldom in a log."""
        now = time.monotonic()
        if now - self._told < (0.2 if self.terminal else QUIET_SECONDS):
            return
        self._told = now
        line = f"{self._subject}: {text}, {elapsed(now - self._began)}"
        if self.terminal:
            self._clear()
            self._shown = line
            self.out.write(line)
            self.out.flush()
        else:
            self.say(line)

    def end(self, text: str) -> None:
        """What became of the present package."""
        spent = time.monotonic() - self._began
        self.say(f"{self._subject}: {text}" + (f", {elapsed(spent)}" if spent >= 1 else ""))

    def _clear(self) -> None:
        if self._shown:
            self.out.write("\r\x1b[K")
            self._shown = ""


def elapsed(seconds: float) -> str:
    """Like "8s" or "2m05s"."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


def size(count: float) -> str:
    """Like "12 MB", in decimal units as vendors state them."""
    return f"{count / 1e6:.0f} MB"


def table(rows: Sequence[Sequence[str]], header: Sequence[str]) -> str:
    """Columns aligned by their widest cell."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (header, *rows)
    ]
    return "\n".join(lines)
