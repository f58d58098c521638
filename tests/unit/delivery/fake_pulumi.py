#!/usr/bin/env python3
"""Stands in for the `pulumi` CLI: answers from a scenario folder and writes down how it was called.

The folder (FAKE_PULUMI) holds `stacks/<name>.json`, the state of each stack, and for an operation on a stack
`<operation>.<stack>.jsonl` (events), `.code` (exit code), `.err` (stderr), `.hang` (waits for SIGINT) and
`.plugin` (starts one in a group of its own, and writes its process id there).
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

ROOT = Path(os.environ["FAKE_PULUMI"])
EMPTY = '{"version": 3, "deployment": {"resources": []}}'


def answer(args: list[str]) -> int:
    match args:
        case ["stack", "export", "--stack", name, *_]:
            return show(name)
        case ["stack", "init", name, *_]:
            config = Path(f"Pulumi.{name}.yaml")
            if config.exists() and "another-passphrase" in config.read_text():
                sys.stderr.write("error: could not create secrets manager for new stack: incorrect passphrase\n")
                return 1
            (ROOT / "stacks" / f"{name}.json").write_text(EMPTY)
        case ["stack", "rm", name, *_]:
            (ROOT / "stacks" / f"{name}.json").unlink()
        case ["stack", "import", "--stack", name, *_]:
            (ROOT / "stacks" / f"{name}.json").write_text(sys.stdin.read())
        case ["stack", "output", "--json", "--stack", name, *_]:
            sys.stdout.write((ROOT / f"outputs.{name}.json").read_text())
        case ["stack", "ls", *_]:
            sys.stdout.write(json.dumps([{"name": path.stem} for path in (ROOT / "stacks").iterdir()]))
        case ["whoami", *_] if (ROOT / "whoami.json").exists():
            sys.stdout.write((ROOT / "whoami.json").read_text())
        case ["cancel", *_]:
            for lock in (ROOT / "backend").rglob("locks/**/*.json"):
                lock.unlink()
        case [("up" | "preview" | "destroy" | "refresh") as operation, *rest]:
            return operate(operation, rest[rest.index("--stack") + 1])
        case _:
            sys.stderr.write(f"error: the stand-in knows no {args}\n")
            return 2
    return 0


def show(name: str) -> int:
    state = ROOT / "stacks" / f"{name}.json"
    if not state.exists():
        sys.stderr.write(f"error: no stack named '{name}' found\n")
        return 6
    sys.stdout.write(state.read_text())
    return 0


def operate(operation: str, name: str) -> int:
    def part(suffix: str) -> Path:
        return ROOT / f"{operation}.{name}.{suffix}"

    signals: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        signals.append(number)
        (ROOT / "signals").write_text(" ".join(map(str, signals)))

    signal.signal(signal.SIGINT, note)
    if part("plugin").exists():
        sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
        part("plugin").write_text(str(subprocess.Popen(sleep, process_group=0).pid))
    if part("jsonl").exists():
        sys.stdout.write(part("jsonl").read_text())
        sys.stdout.flush()
    while part("hang").exists() and not (signals and part("hang").read_text() == "once"):
        time.sleep(0.02)
    if part("err").exists():
        sys.stderr.write(part("err").read_text())
    return int(part("code").read_text()) if part("code").exists() else 0


with (ROOT / "calls").open("a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\n")
sys.exit(answer(sys.argv[1:]))
