"""Runs the pods whose images are in the sandbox's registry, and says in their status how they are.

kwok plays all others: its stages leave out pods with an image of that registry.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import logging
import os
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

import httpx

from pavedpath_sandbox import registry
from pavedpath_sandbox.documents import Json, Properties, fields, objects
from pavedpath_sandbox.registry import ImageError

from . import probes, status
from .cluster import Cluster
from .process import Command, ConfigError, Host, command, sources, variables
from .status import ContainerState, timestamp
from .unpack import Image, Store

_LOG = logging.getLogger(__name__)
_NODE = "127.0.0.1"
_BROKEN = "broken"
_FIRST_BACKOFF, _LONGEST_BACKOFF = 1.0, 30.0
_PULL_BACKOFF = 3.0
_GRACE_SECONDS = 5.0
_DRAIN_SECONDS = 0.5
"""What a pod that is gone may still take for requests that were under way."""


def runs_here(pod: Properties, address: str) -> bool:
    """Whether a pod has an image of the registry at `address`, and is so ours and not kwok's."""
    spec = fields(pod.get("spec"))
    images = [str(each.get("image")) for key in ("containers", "initContainers") for each in objects(spec.get(key))]
    return any(name is not None and name.on(address) for name in map(registry.parse, images))


class Kubelet:
    """All pods of the cluster that run here.

    Args:
        cluster: the API.
        store: the registry's images; None without a registry, when no pod runs here.
        logs: holds a file for each container.
        host: this machine.
    """

    def __init__(self, cluster: Cluster, store: Store | None, address: str, logs: Path, host: Host) -> None:
        self._cluster, self._store, self._address, self._logs, self._host = cluster, store, address, logs, host
        self._pods: dict[str, PodRun] = {}
        self._addresses: set[str] = set()
        self.synchronised = asyncio.Event()

    async def run(self) -> None:
        """Follow the cluster's pods until cancelled; then end all processes."""
        shutil.rmtree(self._logs, ignore_errors=True)
        try:
            async for change in self._cluster.watch("/api/v1/pods"):
                if isinstance(change, list):
                    alive = {str(fields(each.get("metadata")).get("uid")) for each in change}
                    for uid in set(self._pods) - alive:
                        self._forget(uid)
                    self._addresses |= {str(fields(each.get("status")).get("podIP")) for each in change}
                    for pod in change:
                        self._see(pod)
                    self.synchronised.set()
                elif change[0] == "DELETED":
                    self._forget(str(fields(change[1].get("metadata")).get("uid")))
                else:
                    self._see(change[1])
        finally:
            await asyncio.gather(*(each.stop() for each in self._pods.values()), return_exceptions=True)

    def find(self, namespace: str, pod: str) -> PodRun | None:
        """The run of a pod, None if it does not run here."""
        return next((each for each in self._pods.values() if (each.namespace, each.name) == (namespace, pod)), None)

    def _see(self, pod: Properties) -> None:
        uid = str(fields(pod.get("metadata")).get("uid"))
        known = self._pods.get(uid)
        if known is not None:
            known.pod = pod
            return
        over = fields(pod.get("status")).get("phase") in {"Succeeded", "Failed"}
        scheduled = fields(pod.get("spec")).get("nodeName")
        leaving = fields(pod.get("metadata")).get("deletionTimestamp")
        if self._store is None or over or not scheduled or leaving or not runs_here(pod, self._address):
            return
        run = PodRun(pod, self._cluster, self._store, self._address, self._logs, self._host, self._address_for(pod))
        self._pods[uid] = run
        run.begin()

    def _address_for(self, pod: Properties) -> str:
        known = fields(pod.get("status")).get("podIP")
        candidates = (f"10.245.{high}.{low}" for high in range(256) for low in range(1, 255))
        chosen = str(known or next(each for each in candidates if each not in self._addresses))
        self._addresses.add(chosen)
        return chosen

    def _forget(self, uid: str) -> None:
        run = self._pods.pop(uid, None)
        if run is not None:
            self._addresses.discard(run.address)
            run.leave()


class PodRun:
    """One pod: its containers, one after the other and side by side."""

    def __init__(
        self, pod: Properties, cluster: Cluster, store: Store, registry_: str, logs: Path, host: Host, address: str
    ) -> None:
        self.pod = pod
        metadata = fields(pod.get("metadata"))
        self.namespace, self.name = str(metadata.get("namespace")), str(metadata.get("name"))
        self.address = address
        self._cluster, self._store, self._registry, self._host = cluster, store, registry_, host
        self._logs = logs / f"{self.namespace}_{self.name}_{metadata.get('uid')}"
        self._states = status.containers(pod)
        self._runs = [_ContainerRun(self, each) for each in self._states]
        self._started = str(fields(pod.get("status")).get("startTime") or timestamp())
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._leaving: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Start, in the background."""
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(self._report_end)

    def _report_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            _LOG.error("pod %s/%s", self.namespace, self.name, exc_info=error)

    def leave(self) -> None:
        """The pod is gone: end its processes in the background, and delete its logs."""
        self._leaving = asyncio.create_task(self._drain())
        self._leaving.add_done_callback(lambda _: shutil.rmtree(self._logs, ignore_errors=True))

    async def _drain(self) -> None:
        await asyncio.sleep(_DRAIN_SECONDS)
        await self.stop()

    async def stop(self) -> None:
        """End its processes."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def port(self, number: int) -> int | None:
        """The port on this machine of the container that listens on `number` in the pod; None if none runs."""
        running = [each for each in self._runs if each.ports]
        for each in running:
            if number in each.ports:
                return each.ports[number]
        # An image listens where it likes, declared or not: without a declaration on the first port of a lone container.
        return next(iter(running[0].ports.values())) if len(running) == 1 else None

    def reason(self) -> str:
        """Why the pod is not ready, empty if it is."""
        for each in self._states:
            waiting = fields(each.state.get(status.WAITING))
            if waiting:
                return ": ".join(filter(None, (f"container {each.name}: {waiting['reason']}", waiting.get("message"))))
        unready = [run for run in self._runs if run.state.keeps_running and not run.state.ready]
        return f"container {unready[0].state.name}: {unready[0].problem or 'not ready yet'}" if unready else ""

    def log(self, container: str, previous: bool) -> Path | None:
        """The log of a container; None if there is no such container, or none that ran before."""
        name = container or self._runs[-1].state.name
        if name not in {each.name for each in self._states}:
            return None
        path = self._logs / f"{name}.{'previous.' if previous else ''}log"
        return path if path.exists() else None

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            reporting = group.create_task(self._report())
            self.changed()
            main: list[asyncio.Task[int]] = []
            sidecars: list[asyncio.Task[int]] = []
            for run in self._runs:
                if run.state.keeps_running:
                    task = group.create_task(run.until_over())
                    (sidecars if run.state.init else main).append(task)
                elif await run.until_over() != 0:
                    break
            if main:
                await asyncio.wait(main)
            for task in (*sidecars, reporting):
                task.cancel()
        await self._write()

    def changed(self) -> None:
        """A container's state changed: the pod's status is written soon."""
        self._changed.set()

    async def _report(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._write()

    async def _write(self) -> None:
        before = fields(self.pod.get("status"))
        document = status.document(self._states, (_NODE, self.address), self._started, before, timestamp())
        path = f"/api/v1/namespaces/{self.namespace}/pods/{self.name}/status"
        uid = fields(self.pod.get("metadata")).get("uid")
        try:
            await self._cluster.patch(path, {"metadata": {"uid": uid}, "status": document})
        except httpx.HTTPError as error:
            # Gone and made anew under the same name, which is a conflict; or the API server is away: it asks again.
            _LOG.info("status of %s/%s: %s", self.namespace, self.name, error)
            if not isinstance(error, httpx.HTTPStatusError):
                await asyncio.sleep(1)
                self.changed()

    async def tell(self, reason: str, message: str, kind: str = "Warning") -> None:
        """Write an event of the pod."""
        now = timestamp()
        about = fields(self.pod.get("metadata"))
        event = {
            "metadata": {"generateName": f"{self.name}.", "namespace": self.namespace},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": self.name,
                "namespace": self.namespace,
                "uid": about.get("uid"),
            },
            "reason": reason,
            "message": message,
            "type": kind,
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "source": {"component": "kubelet", "host": fields(self.pod.get("spec")).get("nodeName")},
        }
        with contextlib.suppress(httpx.HTTPError):  # the namespace may be on its way out
            await self._cluster.create(f"/api/v1/namespaces/{self.namespace}/events", event)

    async def image(self, text: str) -> Image | None:
        """Return an unpacked image, None for one that is not of the sandbox's registry and is only played.

        Raises:
            ImageError: it is not there or cannot be unpacked.
        """
        reference = registry.parse(text)
        if reference is None or not reference.on(self._registry):
            return None
        if _BROKEN in text:
            raise ImageError(f"{text}: its name or tag contains {_BROKEN!r}, which the sandbox never finds")
        return await asyncio.to_thread(self._store.get, reference)

    async def command(self, container: Properties, image: Image, ours: Mapping[str, str]) -> Command:
        """Put together what a container runs, with the values that it names; `ours` are variables that win over all."""
        values = {source: await self._values(*source) for source in sources(container)}
        status_ = {**fields(self.pod.get("status")), "podIP": self.address, "hostIP": _NODE}
        given = variables(container, {**self.pod, "status": status_}, values)
        return command(container, image, {**given, **ours}, self._host)

    async def _values(self, kind: str, name: str) -> Mapping[str, str] | None:
        found = await self._cluster.get(f"/api/v1/namespaces/{self.namespace}/{kind}/{name}")
        if found is None:
            return None
        data = {str(key): str(value) for key, value in fields(found.get("data")).items()}
        if kind == "configmaps":
            return data
        return {key: base64.b64decode(value).decode("utf-8", "replace") for key, value in data.items()}

    def open_log(self, container: str) -> int:
        """Open the log of a container's next process; that of the one before is kept."""
        self._logs.mkdir(parents=True, exist_ok=True)
        path = self._logs / f"{container}.log"
        if path.exists():
            path.replace(self._logs / f"{container}.previous.log")
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)


class _ContainerRun:
    """One container: image, process, probes, restarts."""

    def __init__(self, pod: PodRun, state: ContainerState) -> None:
        self._pod, self.state = pod, state
        self.ports: dict[int, int] = {}
        self.problem = ""
        self._command: Command | None = None

    async def until_over(self) -> int:
        """Run it for as long as its restart policy says; return its last exit status."""
        image = await self._pull()
        if image is None:
            return await self._play()
        self.state.image_id = f"{registry.parse(str(self.state.spec['image']))}@{image.digest}"
        backoff = (min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2**n) for n in itertools.count())
        while True:
            code = await self._once(image)
            if not status.restarts_after(self.state.restart, code):
                return code
            self.state.last = self.state.state
            seconds = next(backoff)
            where = f"{self.state.name} in pod {self._pod.name}_{self._pod.namespace}"
            self.state.waits("CrashLoopBackOff", f"back-off {seconds:g}s restarting failed container={where}")
            self._pod.changed()
            await self._pod.tell("BackOff", f"Back-off restarting failed container {where}")
            await asyncio.sleep(seconds)
            self.state.restarts += 1

    async def _pull(self) -> Image | None:
        name = str(self.state.spec.get("image"))
        told = False
        while True:
            try:
                return await self._pod.image(name)
            except ImageError as error:
                self.state.waits("ImagePullBackOff", f'Back-off pulling image "{name}": {error}')
                self._pod.changed()
                if not told:
                    await self._pod.tell("Failed", f'Failed to pull image "{name}": {error}')
                    told = True
                await asyncio.sleep(_PULL_BACKOFF)

    async def _play(self) -> int:
        """A container with another registry's image runs nothing, as under kwok."""
        self.state.runs(timestamp())
        if not self.state.keeps_running:
            self.state.ended(0, timestamp())
            self._pod.changed()
            return 0
        self.state.ready = self.state.started = True
        self._pod.changed()
        return await asyncio.get_running_loop().create_future()

    async def _once(self, image: Image) -> int:
        process = await self._start(image)
        probing = asyncio.create_task(self._probe(process))
        try:
            code = await process.wait()
        finally:
            probing.cancel()
            self.ports = {}
            await _end(process)
        self.state.ended(code, timestamp())
        self.problem = ""
        self._pod.changed()
        return code

    async def _start(self, image: Image) -> asyncio.subprocess.Process:
        while True:
            try:
                ports = _free_ports(self.state.spec)
                ours = {"PORT": str(next(iter(ports.values())))}
                ours |= {f"PORT_{number}": str(port) for number, port in ports.items()}
                self._command = await self._pod.command(self.state.spec, image, ours)
                process = await self._spawn(self._command)
            except (ConfigError, OSError, httpx.HTTPError) as error:
                reason = "RunContainerError" if isinstance(error, OSError) else "CreateContainerConfigError"
                self.state.waits(reason, str(error))
                self._pod.changed()
                await self._pod.tell("Failed", f"Error: {error}")
                await asyncio.sleep(_PULL_BACKOFF)
                continue
            self.ports = ports
            self.state.runs(timestamp())
            self._pod.changed()
            return process

    async def _spawn(self, made: Command) -> asyncio.subprocess.Process:
        log = self._pod.open_log(self.state.name)
        try:
            return await asyncio.create_subprocess_exec(
                *made.argv,
                env=made.environment,
                cwd=made.directory,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # so that its children end with it
            )
        finally:
            os.close(log)

    async def _probe(self, process: asyncio.subprocess.Process) -> None:
        startup = probes.Probe.of(self.state.spec, "startupProbe")
        if startup is not None:
            verdict = probes.Verdict(startup)
            await self._follow(startup, verdict, process, lethal=True, until_good=True)
        self.state.started = True
        each = [self._readiness(), self._liveness(process)]
        await asyncio.gather(*each)

    async def _readiness(self) -> None:
        probe = probes.Probe.of(self.state.spec, "readinessProbe")
        if probe is None:
            self._ready(True)
            return
        await self._follow(probe, probes.Verdict(probe), None)

    async def _liveness(self, process: asyncio.subprocess.Process) -> None:
        probe = probes.Probe.of(self.state.spec, "livenessProbe")
        if probe is not None:
            await self._follow(probe, probes.Verdict(probe, good=True), process, lethal=True)

    async def _follow(
        self,
        probe: probes.Probe,
        verdict: probes.Verdict,
        process: asyncio.subprocess.Process | None,
        *,
        lethal: bool = False,
        until_good: bool = False,
    ) -> None:
        """Ask again and again; a `lethal` probe that fails ends the process, another one decides readiness."""
        await asyncio.sleep(probe.delay)
        failures = 0
        while True:
            problem = await probes.ask(probe, self._port, self._execute)
            if problem and problem != self.problem:
                await self._pod.tell("Unhealthy", f"{'Liveness' if lethal else 'Readiness'} probe failed: {problem}")
            self.problem = problem
            changed = verdict.take(not problem)
            if until_good and verdict.good:
                return
            failures = failures + 1 if problem else 0
            if not lethal:
                if changed:
                    self._ready(verdict.good)
            elif process is not None and (changed or until_good) and failures >= probe.failures:
                await self._pod.tell("Killing", f"Container {self.state.name} failed its probe, will be restarted")
                await _end(process)
                return
            await asyncio.sleep(probe.pause(good=(verdict.good and not problem) or lethal))

    def _ready(self, value: bool) -> None:
        if self.state.ready != value:
            self.state.ready = value
            self._pod.changed()

    def _port(self, wanted: object) -> int | None:
        declared = objects(self.state.spec.get("ports"))
        number: Json = next((each.get("containerPort") for each in declared if each.get("name") == wanted), wanted)
        return self.ports.get(int(number)) if str(number).isdigit() and int(number) in self.ports else self._first()

    def _first(self) -> int | None:
        return next(iter(self.ports.values()), None)

    def _execute(self, argv: list[str]) -> tuple[list[str], dict[str, str], str]:
        made = self._command
        if made is None:
            raise OSError("the container does not run")
        return argv, made.environment, str(made.directory)


def _free_ports(container: Properties) -> dict[int, int]:
    """A free port on this machine for each that a container declares; one in any case. TCP only."""
    import socket

    numbers = [int(each["containerPort"]) for each in objects(container.get("ports"))] or [0]
    sockets = [socket.socket() for _ in numbers]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return {number: each.getsockname()[1] for number, each in zip(numbers, sockets, strict=True)}
    finally:
        for each in sockets:
            each.close()


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a process and its children: TERM, some seconds, KILL."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        async with asyncio.timeout(_GRACE_SECONDS):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
