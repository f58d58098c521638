"""The code that pages show."""

from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt


@dataclass(frozen=True)
class Block:
    """A fenced block: its text, and the line of its first line of code, counted from 1."""

    page: Path
    line: int
    text: str


def blocks(page: Path, language: str = "python") -> list[Block]:
    """Return a page's blocks of one language, in order."""
    tokens = MarkdownIt().parse(page.read_text())
    fences = [token for token in tokens if token.type == "fence" and token.info.split()[:1] == [language]]
    return [Block(page, (token.map or [0])[0] + 2, token.content) for token in fences]
