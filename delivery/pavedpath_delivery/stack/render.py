"""Everything that `pavedpath stack` prints: progress, results, changes, errors and the summary."""

import textwrap
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from pavedpath_delivery.kit.documents import Json
from pavedpath_delivery.stack.diff import PropertyChange, ResourceChange
from pavedpath_delivery.stack.events import PolicyViolation, resource_name
from pavedpath_delivery.stack.layers import Layer, as_text, fit
from pavedpath_delivery.stack.run import Finished, InFlight, Run, describe

SCREEN_LINES, SCREEN_COLUMNS = 24, 80
_LINES_OF_A_VALUE = 2
_SHOWN_IN_FLIGHT = 6
_HEARTBEAT_S = 20.0
_LONGEST_VALUE = 60
_DOING = {
    "create": "creating",
    "create-replacement": "creating anew",
    "update": "updating",
    "delete": "deleting",
    "delete-replaced": "deleting the old",
    "replace": "replacing",
    "refresh": "reading",
    "read": "reading",
    "same": "checking",
    "import": "importing",
}
_DONE = {
    "create": "created",
    "create-replacement": "created anew",
    "update": "updated",
    "delete": "deleted",
    "delete-replaced": "deleted the old",
    "import": "imported",
}
_SIGNS = {"create": ("+", "green"), "delete": ("-", "red"), "update": ("~", "yellow"), "replace": ("±", "magenta")}
_KIND_SIGNS = {"add": "+", "delete": "-", "update": "~"}
_TITLES = {
    "up": "Bringing up",
    "check": "Checking",
    "preview": "Previewing",
    "destroy": "Taking down",
    "refresh": "Reading",
}


def seconds(value: float) -> str:
    """Return a duration as `45 s` or `3 min 05 s`."""
    whole = int(value)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"


class _LiveView:
    def __init__(self, run: Run, clock: Callable[[], float]) -> None:
        self._run, self._clock = run, clock
        self._spinner = Spinner("dots")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        now = self._clock()
        yield from Group(*progress_lines(self._run, now, self._spinner)).renderables


def progress_lines(run: Run, now: float, spinner: Spinner | None = None) -> list[Table | Text]:
    """Return the lines of a live display: the whole, then what is being done now, the oldest first. Pure."""
    head = Table.grid(padding=(0, 1))
    title = f"{_TITLES[run.kind]} [bold]{escape(run.stack)}[/bold]"
    count = f"{run.finished}/{run.total} resources"
    bar = ProgressBar(total=max(run.total, 1), completed=run.finished, width=20)
    head.add_row(spinner or "", title, bar, count, seconds(now - run.started))
    oldest = working(run)
    lines: list[Table | Text] = [head, *(_in_flight_line(step, now) for step in oldest[:_SHOWN_IN_FLIGHT])]
    if len(oldest) > _SHOWN_IN_FLIGHT:
        lines.append(Text(f"    and {len(oldest) - _SHOWN_IN_FLIGHT} more", style="dim"))
    return lines


def working(run: Run) -> list[InFlight]:
    """Return what is being worked on, the oldest first."""
    return sorted((step for step in list(run.in_flight.values()) if not step.component), key=lambda step: step.since)


def _in_flight_line(step: InFlight, now: float) -> Text:
    line = Text(f"    {_DOING.get(step.op, step.op)} {describe(step.urn)}  {seconds(now - step.since)}", no_wrap=True)
    if step.status:
        line.append(f"  {' '.join(step.status.split())}", style="dim")
    line.overflow = "ellipsis"
    return line


class Progress(AbstractContextManager["Progress"]):
    """Shows a run while it goes on: live in a terminal, otherwise a line a finished step and a sign of life.

    Args:
        console: where to.
        run: what to show.
        clock: gives seconds.
    """

    def __init__(self, console: Console, run: Run, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._run, self._clock = console, run, clock
        self._live = (
            Live(_LiveView(run, clock), console=console, refresh_per_second=8, transient=True)
            if console.is_terminal
            else None
        )
        self._stop = threading.Event()
        self._beat = threading.Thread(target=self._beats, daemon=True)

    def __enter__(self) -> "Progress":
        if self._live:
            self._live.start()
        else:
            self._console.print(f"{_TITLES[self._run.kind]} {self._run.stack}", markup=False, highlight=False)
            self._beat.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._live:
            self._live.stop()

    def finished(self, step: Finished) -> None:
        """Tell that a step ended; in a terminal the live display does that."""
        if self._live is None and step.op in _DONE and self._run.kind in ("up", "destroy") and not step.component:
            text = f"{self._run.stack}: {_DONE[step.op]} {describe(step.urn)} ({seconds(step.seconds)})"
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _beats(self) -> None:
        while not self._stop.wait(_HEARTBEAT_S):
            now = self._clock()
            doing = "".join(f", {_in_flight_line(step, now).plain.strip()}" for step in working(self._run)[:1])
            text = f"{self._run.stack}: {self._run.finished}/{self._run.total} resources{doing}"
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def result(run: Run) -> Text:
    """Return the line that says what an operation did."""
    counts = run.counts
    took = seconds(run.summary.seconds if run.summary else 0)
    said = ", ".join(f"{count} {word}" for word, count in counts.items()) or "no resources"
    if run.kind == "up" and not set(counts) - {"unchanged"} and run.ok:
        said = f"nothing changed ({counts.get('unchanged', 0)} resources)"
    if run.kind in ("check", "preview") and not run.ok:
        said = "nothing was changed"
    mark, style = ("✓", "green") if run.ok else ("✗", "red")
    return Text.assemble((f"{mark} ", style), (run.stack, "bold"), f"  {said}, {took}")


def failure(run: Run, reports: Mapping[str, Sequence[str]] | None = None) -> Group:
    """Return what went wrong: first the program's own words, verbatim; then each error with its resource.

    Args:
        run: the operation that failed.
        reports: more lines on a resource, by its URN.
    """
    reports = reports or {}
    parts: list[Text] = []
    if run.program_output:
        parts.append(Text(run.program_output))
    told: set[str] = set()
    for error in run.errors:
        told.add(error.urn)
        parts.append(_error(error.urn, error.message, reports.get(error.urn, ())))
    for urn, lines in reports.items():
        if urn not in told:
            parts.append(_error(urn, "", lines))
    parts += violations(run.violations)
    if run.interrupted:
        parts.append(Text(f"{run.stack}: interrupted; the next run goes on from here", style="yellow"))
    return Group(*parts)


def violations(found: Sequence[PolicyViolation]) -> list[Text]:
    """Return the violations rule by rule; the first line of their messages is what the rule says."""
    parts: list[Text] = []
    rules = dict.fromkeys((each.policy, each.message.strip().split("\n", 1)[0]) for each in found)
    for policy, said in rules:
        text = Text("policy: ", style="bold red").append(policy, style="bold")
        text.append(f"  {said}", style="not bold default")
        for each in found:
            first, *rest = each.message.strip().split("\n")
            if (each.policy, first) == (policy, said):
                text.append(f"\n  {describe(each.urn) if each.urn else 'the stack'}", style="bold default")
                text.append("".join(f"\n    {line}" for line in rest), style="not bold default")
        parts.append(text)
    return parts


def _error(urn: str, message: str, more: Iterable[str]) -> Text:
    text = Text("error: ", style="bold red")
    text.append(describe(urn) if urn and "pulumi:pulumi:Stack" not in urn else "", style="bold")
    body = [line for line in (message.strip("\n"), *more) if line]
    lines = "\n".join(body).split("\n")
    if text.plain == "error: ":
        return text.append("\n".join(lines), style="not bold default")
    return text.append("".join(f"\n  {line}" for line in lines), style="not bold default")


def warnings(run: Run) -> list[Text]:
    """Return the warnings, each once, with their resources."""
    found: list[Text] = []
    for warning in run.warnings:
        about = f"{describe(warning.urn)}: " if warning.urn else ""
        found.append(Text(f"warning: {about}{warning.message.strip()}", style="yellow"))
    return found


@dataclass(frozen=True)
class Wording:
    """How a list of changes speaks of them: `none` if there are none, `one` and `some` after their number."""

    none: str
    one: str
    some: str
    operations: Mapping[str, str]


PREVIEW = Wording("no changes", "resource would change", "resources would change", {})
DRIFT = Wording(
    "no drift: everything is as the state says",
    "resource differs from the state",
    "resources differ from the state",
    {"update": "was changed", "delete": "is gone"},
)


def change_list(stack: str, changes: Sequence[ResourceChange], wording: Wording = PREVIEW) -> Group:
    """Return which resources change and, where one is updated or replaced, which of its properties."""
    if not changes:
        return Group(Text.assemble((stack, "bold"), f"  {wording.none}"))
    lines = [Text.assemble((stack, "bold"), f"  {len(changes)} {wording.one if len(changes) == 1 else wording.some}")]
    for change in changes:
        sign, style = _SIGNS.get(change.operation, ("~", "yellow"))
        said = wording.operations.get(change.operation, change.operation)
        lines.append(Text.assemble(f"  {sign} ", describe(change.urn), f"  {said}", style=style))
        lines.extend(Text(f"      {property_line(item)}") for item in change.properties)
    return Group(*lines)


def property_line(change: PropertyChange) -> str:
    """Return one property's change on one line."""
    old, new = _value(change.old), _value(change.new)
    said = {"add": new, "delete": old}.get(change.kind, f"{old} → {new}")
    forced = "  (forces a new resource)" if change.replaces else ""
    return f"{_KIND_SIGNS.get(change.kind, '~')} {change.path}: {said}{forced}"


def _value(value: Json) -> str:
    text = f'"{value}"' if isinstance(value, str) and value != "[secret]" else as_text(value)
    text = text.replace("\n", "\\n")
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"


def changes_json(stack: str, run: Run) -> dict[str, Json]:
    """Return the changes of a preview or refresh as JSON; docs/stack-command.md describes it."""
    return {
        "stack": stack,
        "counts": run.counts,
        "changes": [
            {
                "urn": change.urn,
                "type": change.type,
                "name": resource_name(change.urn),
                "operation": change.operation,
                "properties": [
                    {"path": p.path, "kind": p.kind, "old": p.old, "new": p.new, "replaces": p.replaces}
                    for p in change.properties
                ],
            }
            for change in run.changes
        ],
    }


def summary(
    found: Sequence[Layer],
    next_commands: Sequence[str],
    used_lines: int = 0,
    *,
    everything: bool = False,
    whole: str = "pavedpath stack summary --all",
) -> Group:
    """Return what exists now, by layer, and the commands to try next, within one screen of 80x24.

    Args:
        found: the layers.
        next_commands: shown below.
        used_lines: lines of the screen that are taken by what was printed before.
        everything: leave nothing out, however long it gets.
        whole: the command that shows everything.
    """
    stacks = len({layer.stack for layer in found})
    name_width = max((len(layer.name) for layer in found), default=0)
    label_width = max((len(label) for layer in found for label, _ in layer.entries), default=0)
    value_width = max(SCREEN_COLUMNS - name_width - label_width - len("  ") * 3, 20)

    def wrapped(value: str) -> list[str]:
        lines = textwrap.wrap(value, value_width, break_on_hyphens=False) or ["-"]
        return lines if everything or len(lines) <= _LINES_OF_A_VALUE else _cut(lines)

    # Taken too: a line for each stack, "and … more", "Next:", and the prompt that follows.
    height = SCREEN_LINES - used_lines - stacks - len(next_commands) - 3
    shown, left_out = (found, 0) if everything else fit(found, height, lambda value: len(wrapped(value)))
    parts: list[Text] = []
    for index, layer in enumerate(shown):
        if index == 0 or shown[index - 1].stack != layer.stack:
            parts.append(Text(layer.stack, style="bold"))
        name = layer.name
        for label, value in layer.entries or (("", ""),):
            for line in wrapped(value):
                text = Text(f"  {name:<{name_width}}", style="cyan")
                parts.append(text.append(f"  {label:<{label_width}}  {line}", style="not bold default"))
                name = label = ""  # noqa: PLW2901  both stand only before the first line
    if left_out:
        parts.append(Text(f"  and {left_out} more: {whole}", style="dim"))
    if next_commands:
        parts.append(Text("Next:", style="bold"))
        parts.extend(Text(f"  {command}") for command in next_commands)
    for part in parts:
        part.no_wrap = True
    return Group(*parts)


def _cut(lines: list[str]) -> list[str]:
    kept = lines[:_LINES_OF_A_VALUE]
    return [*kept[:-1], f"{kept[-1][:-1]}…"]
