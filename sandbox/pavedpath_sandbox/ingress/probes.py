"""The kubelet's probes: what one asks, and what follows from its answers.

Source: Kubernetes, "Configure Liveness, Readiness and Startup Probes".
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from pavedpath_sandbox.documents import Properties, fields, objects, texts

_EAGER_SECONDS = 0.5


@dataclass(frozen=True)
class Probe:
    """A probe's settings, seconds."""

    spec: Properties
    delay: float
    period: float
    timeout: float
    failures: int
    successes: int

    @classmethod
    def of(cls, container: Properties, kind: str) -> Probe | None:
        """A container's ``startupProbe``, ``readinessProbe`` or ``livenessProbe``, None if it has none."""
        spec = fields(container.get(kind))
        if not spec:
            return None
        return cls(
            spec,
            float(spec.get("initialDelaySeconds") or 0),
            float(spec.get("periodSeconds") or 10),
            float(spec.get("timeoutSeconds") or 1),
            int(spec.get("failureThreshold") or 3),
            int(spec.get("successThreshold") or 1),
        )

    def pause(self, good: bool) -> float:
        """Seconds to the next try: one that has not succeeded yet is asked more often than the kubelet would."""
        return self.period if good else min(self.period, _EAGER_SECONDS)


@dataclass
class Verdict:
    """Folds a probe's answers; `good` changes only after as many answers as its thresholds say. Pure."""

    probe: Probe
    good: bool = False
    _streak: int = 0

    def take(self, answer: bool) -> bool:
        """Take in an answer; return whether the verdict was confirmed against `good`, so that it changed."""
        self._streak = 0 if answer == self.good else self._streak + 1
        if self._streak < (self.probe.successes if answer else self.probe.failures):
            return False
        self.good, self._streak = answer, 0
        return True


Port = Callable[[object], int | None]
"""Where a named or numbered port of the container listens on this machine."""


async def ask(probe: Probe, port: Port, execute: Callable[[list[str]], tuple[list[str], dict[str, str], str]]) -> str:
    """Ask once; return what is wrong, empty if nothing is. `execute` says how a command runs in the container."""
    spec = probe.spec
    try:
        async with asyncio.timeout(probe.timeout):
            if http := fields(spec.get("httpGet")):
                return await _http(http, port)
            if tcp := fields(spec.get("tcpSocket")):
                return await _tcp(port(tcp.get("port")))
            if run := fields(spec.get("exec")):
                return await _exec(*execute(texts(run.get("command"))))
    except TimeoutError:
        return f"no answer within {probe.timeout:g} s"
    except (httpx.HTTPError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    return f"the sandbox does not know a probe of kind {', '.join(spec)}"


async def _http(http: Properties, port: Port) -> str:
    number = port(http.get("port"))
    headers = {str(each["name"]): str(each["value"]) for each in objects(http.get("httpHeaders"))}
    async with httpx.AsyncClient(trust_env=False, timeout=60, verify=False) as client:  # noqa: S501  # as the kubelet, which does not verify either
        scheme = str(http.get("scheme") or "HTTP").lower()
        path = "/" + str(http.get("path") or "/").lstrip("/")
        response = await client.get(f"{scheme}://127.0.0.1:{number}{path}", headers=headers)
    good = 200 <= response.status_code < 400
    return "" if good else f"HTTP probe failed with statuscode: {response.status_code}"


async def _tcp(number: int | None) -> str:
    _, writer = await asyncio.open_connection("127.0.0.1", number)
    writer.close()
    return ""


async def _exec(argv: list[str], environment: dict[str, str], directory: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *argv,
        env=environment,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        code = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
    return "" if code == 0 else f"the command ended with status {code}"
