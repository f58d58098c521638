"""What the commands of this room show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pavedpath_delivery.kit.errors import Exit
from pavedpath_delivery.kit.markdown import cell
from pavedpath_delivery.kit.plain import plain
from pavedpath_delivery.smoke.probe import Outcome

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class SmokeReport:
    """The result of a smoke test of `target`."""

    target: str
    outcomes: Sequence[Outcome]
    seconds: float

    @property
    def code(self) -> Exit:
        """Red if one endpoint is."""
        return Exit.OK if all(each.ok for each in self.outcomes) else Exit.FAILED

    def document(self) -> Mapping[str, Any]:
        """Return all outcomes."""
        return {
            "target": self.target,
            "ok": self.code is Exit.OK,
            "seconds": round(self.seconds, 3),
            "endpoints": [each.document() for each in self.outcomes],
        }

    def show(self, console: "Console") -> None:
        """Print a line for each endpoint."""
        width = max(len(each.endpoint.title) for each in self.outcomes)
        for each in self.outcomes:
            tries = f"{each.attempts} attempt{'' if each.attempts == 1 else 's'}"
            timing = "" if each.latency_ms is None else f"  {each.latency_ms} ms"
            status = "   " if each.status is None else str(each.status)
            sign = "✓" if each.ok else "✗"
            console.print(plain(f"{sign} {each.endpoint.title:<{width}}  {status}{timing}  {tries}"), markup=False)
            for problem in each.problems:
                console.print(plain(f"    {problem}"), markup=False)
        bad = sum(not each.ok for each in self.outcomes)
        verdict = (
            f"{bad} of {len(self.outcomes)} endpoints failed" if bad else f"{len(self.outcomes)} endpoints are good"
        )
        console.print(f"{self.target}: {verdict}, {self.seconds:.1f} s", markup=False)

    def summary(self) -> str:
        """Return a table."""
        rows = [
            f"| {'✓' if each.ok else '✗'} | `{each.endpoint.title}` | {each.status or ''} | "
            f"{'' if each.latency_ms is None else f'{each.latency_ms} ms'} | {each.attempts} | "
            f"{cell('; '.join(each.problems))} |"
            for each in self.outcomes
        ]
        head = [f"### Smoke test of {self.target}", "", "| | endpoint | status | latency | attempts | |"]
        return "\n".join([*head, "|---|---|---|---|---|---|", *rows, ""])

    def outputs(self) -> Mapping[str, str]:
        """Return whether it passed."""
        return {"ok": "true" if self.code is Exit.OK else "false"}
