"""A sandbox as one object: what the command line and tests use."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import psutil

from . import environments, parts, ports, probe, state, supervisor
from .environment import variables
from .kubernetes import crds, nodes
from .layout import Layout
from .parts import GROUPS, Part
from .state import State, StateError
from .supervisor import Hooks, Result, Supervisor

# What `reset` deletes, by name: the directory is the user's choice and may hold other things.
_OWNED = (
    "aws",
    "github",
    "kubernetes",
    "registry",
    "charts",
    "functions",
    "logs",
    "machines",
    "pulumi",
    "pulumi-passphrase",
    "state.json",
    "lock",
)


class SandboxError(Exception):
    """A command failed; the message names every part that did, why, and what to do."""


@dataclass(frozen=True)
class PartStatus:
    """How a part is: ``healthy``, ``unhealthy`` or ``stopped``. Memory in bytes (RSS), uptime in seconds."""

    part: str
    state: str
    address: str
    pid: int | None = None
    memory: int | None = None
    uptime: float | None = None
    note: str = ""


class Sandbox:
    """A local cloud in a directory of its own. As a context manager it is up inside, and gone after.

    >>> with Sandbox(groups=("aws",)) as sandbox:  # doctest: +SKIP
    ...     run(["aws", "sts", "get-caller-identity"], env=os.environ | sandbox.environment())

    Several run at once: each has its own directory and ports.
    """

    def __init__(
        self,
        directory: Path | None = None,
        groups: tuple[str, ...] = GROUPS,
        *,
        keep: bool = False,
        layout: Layout | None = None,
        plan: str | None = None,
        clusters: tuple[str, ...] = (environments.DEFAULT,),
    ) -> None:
        """`directory` defaults to a temporary one; `keep` leaves parts and state when the context ends.

        `plan` is GitHub's: free, team or enterprise; by default what it was, at first team. `clusters` are the
        environments, dev and prod, whose Kubernetes runs; every environment has its AWS account without more.

        Raises:
            ValueError: `groups` or `clusters` names one that does not exist, or `plan` is none of GitHub's.
        """
        environments.check(clusters)
        if plan is not None and plan not in state.PLANS:
            raise ValueError(f"no such plan of GitHub's: {plan}; there are {', '.join(state.PLANS)}")
        if unknown := sorted(set(groups) - set(GROUPS)):
            raise ValueError(f"no such part of a sandbox: {', '.join(unknown)}; there are {', '.join(GROUPS)}")
        # Functions are deployed in AWS.
        self.groups = (*groups, "aws") if "functions" in groups and "aws" not in groups else groups
        self.clusters = clusters
        self.plan = plan
        self._keep = keep
        self.layout = layout or Layout.find(directory or Path(tempfile.mkdtemp(prefix="pavedpath-sandbox-")))

    def __enter__(self) -> Self:
        try:
            self.up()
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        if not self._keep:
            self.reset()

    def up(
        self, notify: Callable[[Result], None] = lambda _: None, say: Callable[[str], None] = lambda _: None
    ) -> list[Result]:
        """Make every part run and be ready, starting, repairing or leaving each as it is found.

        `notify` hears of each part when it is done, `say` of what else the user should know.

        Raises:
            SandboxError: parts that failed, all in one message.
            MissingToolsError, BusyError, NoPortError: see there.
        """
        with state.locked(self.layout):
            remembered = self._load_or_move_aside(say)
            groups = tuple(group for group in GROUPS if group in {*self.groups, *remembered.groups})
            clusters = tuple(each for each in environments.NAMES if each in {*self.clusters, *remembered.clusters})
            remembered.groups, remembered.clusters = groups, clusters
            remembered.plan = self.plan or remembered.plan
            self._settle_ports(remembered, say)
            described = self._describe(remembered)
            programs = parts.locate(self.layout, described)
            parts.prepare(self.layout, groups, remembered.ports, clusters)
            state.save(self.layout, remembered)
            chief = Supervisor(self.layout, remembered, notify)
            hooks: dict[str, Hooks] = {}
            for each in clusters:
                hooks |= self._cluster_hooks(each, remembered, chief)
            results = chief.bring_up(described, programs, hooks)
        if failed := [result.problem for result in results if result.outcome == "failed"]:
            raise SandboxError("\n".join(failed))
        return results

    def down(self, say: Callable[[str], None] = lambda _: None) -> None:
        """Stop every part; the state stays."""
        if not self.layout.root.exists():
            return
        with state.locked(self.layout):
            self._stop(say)

    def reset(self, say: Callable[[str], None] = lambda _: None) -> None:
        """Stop every part and delete all state."""
        if not self.layout.root.exists():
            return
        with state.locked(self.layout):
            self._stop(say)
            for name in _OWNED:
                path = self.layout.root / name
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
            for pattern in ("state.json.damaged*", ".*.[0-9]*"):  # the latter a kill in the middle of a write left
                for path in self.layout.root.glob(pattern):
                    path.unlink()
        with contextlib.suppress(OSError):  # someone else's files are in it: they stay
            self.layout.root.rmdir()

    def status(self) -> list[PartStatus]:
        """How every part is. Empty if the sandbox was never started.

        Raises:
            StateError: the state file cannot be read.
        """
        remembered = state.load(self.layout)
        if remembered is None:
            return []
        described = self._describe(remembered)
        running = self._running(remembered)
        with ThreadPoolExecutor(max_workers=max(1, len(described))) as pool:
            return list(pool.map(_judge, described, [running.get(part.name) for part in described]))

    def environment(self, environment: str = environments.DEFAULT) -> dict[str, str]:
        """The variables that point tools at this sandbox, at the account and the cluster of `environment`.

        Raises:
            SandboxError: there is no such environment, or it was never started.
            StateError: the state file cannot be read.
        """
        try:
            environments.check((environment,))
        except ValueError as error:
            raise SandboxError(str(error)) from error
        remembered = self._remembered()
        if "kubernetes" in remembered.groups and environment not in remembered.clusters:
            # Without it, the variables of another environment that the shell may have would lead to its cluster.
            raise SandboxError(
                f"the cluster of {environment} was never started: `pavedpath-sandbox up --environment {environment}`"
            )
        return variables(self.layout, remembered.ports, environment=environment)

    def _describe(self, remembered: State) -> tuple[Part, ...]:
        return parts.describe(self.layout, remembered.groups, remembered.ports, remembered.plan, remembered.clusters)

    def stopped(self) -> list[str]:
        """The parts whose process is gone, without asking any of them whether it is ready."""
        remembered = self._remembered()
        described = self._describe(remembered)
        running = self._running(remembered)
        return [part.name for part in described if part.name not in running]

    def _running(self, remembered: State) -> dict[str, psutil.Process]:
        found = {name: supervisor.find(self.layout, name, each) for name, each in remembered.processes.items()}
        return {name: process for name, process in found.items() if process is not None}

    def _remembered(self) -> State:
        remembered = state.load(self.layout)
        if remembered is None:
            raise SandboxError(f"there is no sandbox in {self.layout.root}: `pavedpath-sandbox up` starts one")
        return remembered

    def _load_or_move_aside(self, say: Callable[[str], None]) -> State:
        try:
            remembered = state.load(self.layout) or State()
        except StateError as error:
            say(str(error))
            self.layout.state_file.replace(self.layout.state_file.with_name(f"state.json.damaged-{time.time_ns()}"))
            remembered = State()
        if lost := supervisor.strays(self.layout, (process.pid for process in self._running(remembered).values())):
            say(f"ending {len(lost)} processes that an interrupted command left behind")
            supervisor.end(lost)
        return remembered

    def _settle_ports(self, remembered: State, say: Callable[[str], None]) -> None:
        running = self._running(remembered)
        names = parts.port_names(remembered.groups, remembered.clusters)
        held = {name for name in names if _owner(name) in running and name in remembered.ports}
        chosen = ports.choose([name for name in names if name not in held], remembered.ports)
        for name, port in chosen.items():
            before = remembered.ports.get(name)
            if before is not None and before != port:
                say(f"{name}: port {before} is taken by {ports.holder(before)}, {port} is used from now on")
        remembered.ports |= chosen

    def _cluster_hooks(self, name: str, remembered: State, chief: Supervisor) -> dict[str, Hooks]:
        files = self.layout.cluster(name)

        def api() -> nodes.Api:
            port = remembered.ports[environments.qualified("kube-apiserver", name)]
            return nodes.Api(port, files.pki / "ca.crt", files.token.read_text(encoding="utf-8").strip())

        def nodes_ready() -> None:
            nodes.ensure(api(), cancelled=chief.cancelled)

        def resources_defined() -> None:
            crds.ensure(api(), self.layout.crds, cancelled=chief.cancelled)

        return {
            environments.qualified("kwok", name): Hooks(lambda: nodes.release(api()), nodes_ready),
            # Needs the API server alone, but others wait for that one; nothing waits for the scheduler.
            environments.qualified("kube-scheduler", name): Hooks(once_ready=resources_defined),
        }

    def _stop(self, say: Callable[[str], None]) -> None:
        try:
            remembered = state.load(self.layout) or State()
        except StateError as error:
            say(str(error))
            remembered = State()
        running = self._running(remembered)
        # Those that write to a part end before it does.
        servers = {environments.qualified("kube-apiserver", each) for each in environments.NAMES}
        for later in ({*servers, "etcd"}, {"etcd"}, set[str]()):
            supervisor.end([process for name, process in running.items() if name not in later])
            running = {name: process for name, process in running.items() if name in later}
        supervisor.end(supervisor.strays(self.layout, ()))
        remembered.processes = {}
        if self.layout.state_file.exists():
            state.save(self.layout, remembered)


def _owner(port: str) -> str:
    return "etcd" if port == "etcd-peer" else port.replace("ingress-logs", "ingress")


def _judge(part: Part, process: psutil.Process | None) -> PartStatus:
    try:
        if process is None:
            raise psutil.NoSuchProcess(0)
        memory, uptime = process.memory_info().rss, time.time() - process.create_time()
    except psutil.Error:
        return PartStatus(part.name, "stopped", part.address)
    problem = probe.ask(part.probe)
    note = problem or (_replay_note(part) if part.name == "aws" else "")
    return PartStatus(part.name, "unhealthy" if problem else "healthy", part.address, process.pid, memory, uptime, note)


def _replay_note(part: Part) -> str:
    replay = cast("dict[str, object]", probe.details(part.probe).get("replay") or {})
    problems = cast("list[str]", replay.get("problems") or [])
    if not problems:
        return ""
    return f"{len(problems)} requests did not come back as they were: {'; '.join(problems[:3])}"
