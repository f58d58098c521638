"""A project whose engine is a stand-in that replays what the real one said, and short ways to make states."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from pavedpath_delivery.kit.kube import KubernetesApi
from pavedpath_delivery.stack.engine import Engine
from pavedpath_delivery.stack.events import parse_event
from pavedpath_delivery.stack.flow import Flow
from pavedpath_delivery.stack.run import Run
from rich.console import Console

HERE = Path(__file__).parent
RECORDED = HERE / "recorded"


def replay(name: str, kind: str = "up", *, exit_code: int = 0, known: int = 0) -> Run:
    """Fold a recorded stream; the clock runs by a second for each event."""
    run = Run("dev", kind, known)
    for second, line in enumerate((RECORDED / f"{name}.jsonl").read_text().splitlines()):
        if event := parse_event(line):
            run.apply(event, float(second))
    run.exit_code = exit_code
    return run


def console(width: int = 80) -> tuple[Console, StringIO]:
    out = StringIO()
    return Console(file=out, width=width, highlight=False, color_system=None), out


def printed(thing: Any, width: int = 80) -> str:
    sink, out = console(width)
    sink.print(thing)
    return out.getvalue()


@dataclass
class Project:
    """A project, the scenario of its stand-in, and what was printed."""

    root: Path
    scenario: Path
    environ: dict[str, str]
    out: StringIO = field(default_factory=StringIO)

    def state(self, stack: str, export: Mapping[str, Any] | None = None) -> None:
        (self.scenario / "stacks" / f"{stack}.json").write_text(
            json.dumps(export or {"version": 3, "deployment": {"resources": []}})
        )

    def exported(self, stack: str) -> dict[str, Any]:
        return json.loads((self.scenario / "stacks" / f"{stack}.json").read_text())

    def stacks(self) -> list[str]:
        return sorted(path.stem for path in (self.scenario / "stacks").iterdir())

    def operation(
        self, operation: str, stack: str, recorded: str = "", *, code: int = 0, err: str = "", hang: str = ""
    ) -> None:
        base = self.scenario / f"{operation}.{stack}"
        if recorded:
            shutil.copy(RECORDED / f"{recorded}.jsonl", f"{base}.jsonl")
        Path(f"{base}.code").write_text(str(code))
        for suffix, text in (("err", err), ("hang", hang)):
            if text:
                Path(f"{base}.{suffix}").write_text(text)

    def lock(self, stack: str, **fields: Any) -> Path:
        folder = self.scenario / "backend" / ".pulumi" / "locks" / "organization" / "shop" / stack
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "1.json"
        path.write_text(json.dumps(fields))
        return path

    def calls(self) -> list[list[str]]:
        path = self.scenario / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def verbs(self) -> list[str]:
        """The calls without their flags."""
        return [" ".join(call[: 2 if call[0] == "stack" else 1]) for call in self.calls()]

    def engine(self) -> Engine:
        return Engine(self.root, self.environ)

    def flow(self) -> Flow:
        def connect() -> KubernetesApi:
            raise AssertionError("no release, no cluster")

        return Flow(self.engine(), Console(file=self.out, width=80, highlight=False), connect, clock=lambda: 0.0)


def urn(kind: str, name: str, stack: str = "dev") -> str:
    return f"urn:pulumi:{stack}::shop::{kind}::{name}"


def pending(
    kind: str, name: str, inputs: Mapping[str, Any], operation: str = "creating", **fields: Any
) -> dict[str, Any]:
    resource = {"urn": urn(kind, name), "custom": True, "type": kind, "inputs": dict(inputs), **fields}
    return {"resource": resource, "type": operation}


def export(resources: Sequence[Mapping[str, Any]] = (), operations: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    deployment = {"resources": [dict(r) for r in resources], "pending_operations": [dict(o) for o in operations]}
    return {"version": 3, "deployment": deployment}
