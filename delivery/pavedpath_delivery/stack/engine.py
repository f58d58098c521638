"""Runs the `pulumi` CLI: short commands whose answer is wanted, and operations whose events are followed."""

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, cast

import yaml

from pavedpath_delivery.kit.documents import Json
from pavedpath_delivery.stack.errors import Exit, StackCommandError
from pavedpath_delivery.stack.events import Event, parse_event
from pavedpath_delivery.stack.lock import refused_for_lock
from pavedpath_delivery.stack.run import Run

_STOP_S = 30.0  # for steps under way to end, once the engine was asked to stop
# pkg/cmd/pulumi/cmd/exit_codes.go of pulumi
_STACK_NOT_FOUND = 6
_NO_PULUMI = (
    "The program `pulumi` cannot be started ({reason}).\n"
    "Install the pinned toolchain with `make toolchain` and put it on PATH: for the sandbox with\n"
    '  eval "$(pavedpath-sandbox env)"'
)


class StackNotFoundError(StackCommandError):
    """The backend has no such stack."""


@dataclass(frozen=True)
class Engine:
    """The CLI, run in the project that `root` holds.

    Args:
        root: the folder of Pulumi.yaml.
        environ: the environment; it decides on backend, accounts and clusters.
    """

    root: Path
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)

    def _command(self, args: Sequence[str]) -> list[str]:
        return ["pulumi", *args, "--non-interactive", "--color", "never"]

    def _environment(self) -> dict[str, str]:
        return {**self.environ, "PULUMI_SKIP_UPDATE_CHECK": "true", "PULUMI_ENABLE_STREAMING_JSON_PREVIEW": "true"}

    def _start(self, args: Sequence[str], *, own_session: bool, stdin: int) -> "subprocess.Popen[str]":
        try:
            return subprocess.Popen(
                self._command(args),
                cwd=self.root,
                env=self._environment(),
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=own_session,
            )
        except OSError as error:
            raise StackCommandError(_NO_PULUMI.format(reason=error.strerror), Exit.USAGE) from error

    def call(self, *args: str, stack: str = "", stdin: str | None = None) -> str:
        """Run a short command and return its stdout.

        Args:
            args: the command and its arguments.
            stack: the stack that it works on, if any.
            stdin: what it reads.

        Raises:
            StackNotFoundError: the stack is not in the backend.
            StackCommandError: somebody holds the stack; or any other failure, with the CLI's own words.
        """
        pipe = subprocess.DEVNULL if stdin is None else subprocess.PIPE
        with self._start(args, own_session=False, stdin=pipe) as process:
            out, err = process.communicate(stdin)
        if process.returncode == 0:
            return out
        if stack and (locked := refused_for_lock(stack, err)):
            raise locked
        kind = StackNotFoundError if process.returncode == _STACK_NOT_FOUND else StackCommandError
        raise kind(f"`pulumi {' '.join(args)}` failed:\n{(err or out).strip()}")

    def stream(self, args: Sequence[str], run: Run, on_event: Callable[[Event], None]) -> None:
        """Run an operation, give each event to `on_event`, and set the run's exit code, stderr and interruption.

        The first SIGINT, SIGTERM or SIGHUP asks the engine to stop after the steps under way; a second one kills it
        with everything it started (the next run repairs what that leaves). The engine is in a session of its own:
        from a terminal's Ctrl-C it would otherwise hear twice, and twice means "at once" to it.
        """
        process = self._start([*args, "--json"], own_session=True, stdin=subprocess.DEVNULL)
        words: list[str] = []
        reader = threading.Thread(target=_collect, args=(process, words), daemon=True)
        reader.start()
        with _forwarded_signals(process, run):
            assert process.stdout is not None  # noqa: S101  it is a pipe, see _start
            for line in process.stdout:
                if event := parse_event(line):
                    on_event(event)
            run.exit_code = process.wait()
        reader.join(timeout=5)
        run.stderr = "".join(words)
        if not run.ok and (locked := refused_for_lock(run.stack, run.stderr)):
            raise locked

    # What is asked of the backend.

    def project(self) -> str:
        """Return the project's name."""
        return str(self._project_file().get("name", ""))

    def backend_url(self) -> str:
        """Return the backend's address, chosen as the CLI chooses it."""
        backend = self._project_file().get("backend")
        if url := self.environ.get("PULUMI_BACKEND_URL"):
            return url
        if isinstance(backend, Mapping) and (url := cast(Mapping[str, Any], backend).get("url")):
            return str(url)
        return str(json.loads(self.call("whoami", "--json"))["url"])

    def _project_file(self) -> Mapping[str, Any]:
        return cast(Mapping[str, Any], yaml.safe_load((self.root / "Pulumi.yaml").read_text()) or {})

    def export(self, stack: str) -> Json:
        """Return the stack's state; its secrets stay encrypted.

        Raises:
            StackNotFoundError: the stack is not in the backend.
        """
        return json.loads(self.call("stack", "export", "--stack", stack, stack=stack))

    def outputs(self, stack: str) -> dict[str, Json]:
        """Return the stack's outputs with secrets as `[secret]`."""
        return json.loads(self.call("stack", "output", "--json", "--stack", stack, stack=stack))

    def create(self, stack: str) -> None:
        """Create the stack in the backend.

        A committed salt of another passphrase makes way for one of this passphrase, unless it encrypts a secret. Where
        the stack's file names a key, it is the provider: without being told, the CLI would put a passphrase in its
        place. A backend on this machine (the sandbox) keeps its passphrase: the key is another account's there.
        """
        document: object = yaml.safe_load(path.read_text()) if (path := self.config_file(stack)).exists() else {}
        named = str(cast(Mapping[str, Any], document).get("secretsprovider", "")) if document else ""
        keyed = "://" in named and not self.backend_url().startswith("file://")
        create = ("stack", "init", stack, "--no-select", *(("--secrets-provider", named) if keyed else ()))
        try:
            self.call(*create, stack=stack)
        except StackCommandError as error:
            if "incorrect passphrase" not in str(error) or not drop_unused_salt(self.config_file(stack)):
                raise
            self.call(*create, stack=stack)

    def remove(self, stack: str) -> None:
        """Remove an empty stack from the backend; its configuration file stays."""
        self.call("stack", "rm", stack, "--yes", "--preserve-config", "--remove-backups", stack=stack)

    def load(self, stack: str, export: Json) -> None:
        """Put a state, of the form that `export` gives, in the place of the stack's own."""
        self.call("stack", "import", "--stack", stack, stack=stack, stdin=json.dumps(export))

    def cancel(self, stack: str) -> None:
        """Remove all locks of the stack, whoever holds them."""
        self.call("cancel", stack, "--yes", stack=stack)

    def policy_pack(self) -> Path | None:
        """Return the project's policy pack: the directory `policy` beside Pulumi.yaml, if it holds one."""
        pack = self.root / "policy"
        return pack if (pack / "PulumiPolicy.yaml").is_file() else None

    def config_file(self, stack: str) -> Path:
        """Return where the stack's configuration is."""
        return self.root / f"Pulumi.{stack}.yaml"


def drop_unused_salt(path: Path) -> bool:
    """Remove the encryption salt from a stack's configuration if nothing in the file is encrypted with it.

    Returns:
        whether it was removed.
    """
    text = path.read_text() if path.exists() else ""
    cleaned = without_unused_salt(text)
    if cleaned == text:
        return False
    path.write_text(cleaned)
    return True


def without_unused_salt(text: str) -> str:
    """Return the text of a stack's configuration without the salt if nothing in it is encrypted. Pure."""
    if re.search(r"^\s*-?\s*[\"']?secure[\"']?\s*:", text, re.MULTILINE):
        return text
    return re.sub(r"^encryptionsalt:.*(\n|\Z)", "", text, flags=re.MULTILINE)


def find_root(start: Path) -> Path:
    """Return the project's root: the closest folder, from `start` upwards, that holds Pulumi.yaml."""
    for folder in (start, *start.parents):
        if (folder / "Pulumi.yaml").is_file():
            return folder
    raise StackCommandError(
        f"No Pulumi.yaml in {start} or above it: run this in a project, or name one with --cwd.", Exit.USAGE
    )


def check_stacks(names: Sequence[str], root: Path) -> None:
    """Refuse names that are no stacks of the project, all at once.

    A project that keeps a `Pulumi.<stack>.yaml` for its stacks keeps one for each: a name without one is a mistake,
    and `up` would otherwise create a stack of that name.
    """
    known = sorted(path.name.removeprefix("Pulumi.").removesuffix(".yaml") for path in root.glob("Pulumi.*.yaml"))
    problems: list[str] = []
    for name in dict.fromkeys(names):
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", name):
            problems.append(f"{name!r}: not a stack's name (letters, digits, `_`, `.`, `-`; at most 100)")
        elif known and name not in known:
            problems.append(f"{name}: no Pulumi.{name}.yaml in the project; its stacks are {', '.join(known)}")
        elif fault := _yaml_fault(root / f"Pulumi.{name}.yaml"):
            problems.append(fault)
        if names.count(name) > 1:
            problems.append(f"{name}: named {names.count(name)} times")
    if problems:
        raise StackCommandError("\n".join(problems), Exit.USAGE)


def _yaml_fault(path: Path) -> str:
    """Say where a configuration file is not YAML; the engine names neither the file nor the right line."""
    try:
        yaml.safe_load(path.read_text() if path.exists() else "")
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        return f"{path.name}: not YAML at line {line} ({error.problem}). Correct its syntax."
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        return f"{path.name}: not YAML ({type(error).__name__}). Correct its syntax."
    return ""


def _collect(process: "subprocess.Popen[str]", words: list[str]) -> None:
    assert process.stderr is not None  # noqa: S101  it is a pipe, see Engine._start
    words.extend(process.stderr)


@contextmanager
def _forwarded_signals(process: "subprocess.Popen[str]", run: Run) -> Generator[None]:
    def forward(_signal: int, _frame: FrameType | None) -> None:
        if run.interrupted:
            _kill(process.pid)
        else:
            run.interrupted = True
            process.send_signal(signal.SIGINT)

    if threading.current_thread() is not threading.main_thread():  # only there can Python handle signals
        yield
        return
    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _end(process)


def _end(process: "subprocess.Popen[str]") -> None:
    """Leave no engine behind when following it failed."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + _STOP_S
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        if process.poll() is None:
            _kill(process.pid)


def _kill(pid: int) -> None:
    """Kill the engine, its group, and its plugins, which have groups of their own."""
    import psutil

    children: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):  # looked up first: nothing leads from a dead engine to what it started
        children = psutil.Process(pid).children(recursive=True)
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.kill()
