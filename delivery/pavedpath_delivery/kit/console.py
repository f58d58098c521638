"""The console that every command prints to: no text that it is given can command a terminal or a job."""

from collections.abc import Iterable

from rich import console as rich
from rich.segment import Segment

from pavedpath_delivery.kit.plain import lines


class Console(rich.Console):
    """Prints for people. Rooms still pass what should stay in its line through `plain`.

    Args:
        stderr: whether it prints there and not to stdout.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        # Without emoji `:on:` in the name of a package stays what it is.
        super().__init__(stderr=stderr, highlight=False, soft_wrap=True, emoji=False)

    def render(self, renderable: rich.RenderableType, options: rich.ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield what is written; the terminal's own codes are not text and stay."""
        line = ""
        for each in super().render(renderable, options):
            if each.control:
                yield each
                continue
            text = lines(each.text)
            if text and lines(line + text) != line + text:  # two pieces that are a command only together
                text = f"\\x{ord(text[0]):02x}{text[1:]}"
            line = (line + text).rpartition("\n")[2]
            yield Segment(text, each.style)
