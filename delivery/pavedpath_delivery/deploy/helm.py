"""Helm 3 and Helm 4 behind one interface. Where the two differ is said in the pure functions at the top.

Sources: `cmd/helm` of Helm 3.18, `pkg/cmd` of Helm 4.1.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pavedpath_delivery.kit import programs
from pavedpath_delivery.kit.documents import Properties, fields
from pavedpath_delivery.kit.errors import DeliveryError, Exit
from pavedpath_delivery.kit.kube import kubeconfig_path

_VERSION = re.compile(r"v(\d+)\.(\d+)\.(\d+)")
_SUPPORTED = (3, 4)
_CONFLICT = re.compile(r'conflicts? with "(?P<manager>[^"]+)"(?P<rest>(?:(?!conflicts? with ").)*)', re.DOTALL)
_FIELD = re.compile(r"(?:: |^- )(\.[^\s:]+)", re.MULTILINE)
_QUICK_S = 120.0
"""Seconds for what only renders, reads or fetches."""


class HelmError(DeliveryError):
    """Helm refused; the message has its own reason, without secrets."""


@dataclass(frozen=True)
class Inputs:
    """What a release is rendered from.

    Args:
        chart: folder or archive of the chart.
        files: values files without secrets, each laid over the one before.
        document: more values, a JSON document that may hold secrets: it reaches Helm by its standard input alone.
        settings: `KEY=VALUE` as of `--set`, laid over everything.
    """

    chart: str
    files: Sequence[Path] = ()
    document: str = ""
    settings: Sequence[str] = ()

    def arguments(self) -> list[str]:
        """Return the flags; the document is named `-`."""
        files = [*map(str, self.files), *(["-"] if self.document else [])]
        return [*_each("--values", files), *_each("--set", self.settings)]


def _each(flag: str, values: Sequence[str]) -> list[str]:
    return [part for value in values for part in (flag, value)]


def major_version(text: str) -> int:
    """Return the major version out of what `helm version` prints. Pure.

    Raises:
        DeliveryError: it is none that this knows.
    """
    found = _VERSION.search(text)
    if found is None or int(found[1]) not in _SUPPORTED:
        said = found[0] if found else text.strip()[:80]
        raise DeliveryError(f"helm is {said or 'of no known version'}. Fix: install Helm 3 or Helm 4.", Exit.USAGE)
    return int(found[1])


def upgrade_arguments(
    major: int,
    release: str,
    inputs: Inputs,
    *,
    timeout_s: float,
    history: int,
    create_namespace: bool = False,
    description: str = "",
    take_back: bool = False,
) -> list[str]:
    """Return the arguments of an upgrade that Helm itself rolls back when it fails (installs, if there is none). Pure.

    Values of an earlier revision are never kept: without --reset-values Helm keeps all of them where none are given.
    """
    # Helm 4 deprecates --atomic for --rollback-on-failure; both wait for the workloads by themselves.
    atomic = "--atomic" if major == 3 else "--rollback-on-failure"
    more = ["--create-namespace"] if create_namespace else []
    more += ["--description", description] if description else []
    more += _take_back(major) if take_back else []
    return [
        *("upgrade", release, inputs.chart, "--install", atomic, "--reset-values"),
        *("--timeout", _duration(timeout_s), "--history-max", str(history), "--output", "json"),
        *more,
        *inputs.arguments(),
    ]


def rollback_arguments(
    major: int, release: str, revision: int, *, timeout_s: float, history: int, take_back: bool = False
) -> list[str]:
    """Return the arguments of a rollback that waits for the workloads. Pure."""
    # Helm 4 has strategies to wait with; its default waits for hooks alone.
    wait = "--wait" if major == 3 else "--wait=watcher"
    return [
        *("rollback", release, str(revision), wait),
        *("--timeout", _duration(timeout_s), "--history-max", str(history)),
        *(_take_back(major) if take_back else []),
    ]


def _take_back(major: int) -> list[str]:
    """Return the flags that take fields from whoever changed them; Helm 3 does so by itself."""
    # Helm refuses the second where it does not apply on the server's side, its own rollback of an upgrade included.
    return ["--server-side=true", "--force-conflicts"] if major > 3 else []


@dataclass(frozen=True)
class Conflict:
    """Fields of an object that are another manager's; Kubernetes refused to apply the object as a whole."""

    manager: str
    paths: Sequence[str]

    def __str__(self) -> str:
        return f'{", ".join(self.paths)} is now owned by "{self.manager}"'


def conflicts(reason: str) -> list[Conflict]:
    """Return the conflicts that Helm 4 failed of, each manager's once; none if it failed of something else. Pure.

    Source: `getConflictMessage` of Kubernetes, `apimachinery/pkg/util/managedfields/internal`.
    """
    found: dict[str, list[str]] = {}
    for each in _CONFLICT.finditer(reason):
        paths = found.setdefault(each["manager"], [])
        paths += [path for path in _FIELD.findall(each["rest"]) if path not in paths]
    return [Conflict(manager, paths) for manager, paths in found.items()]


def uninstall_arguments(major: int, release: str, *, timeout_s: float) -> list[str]:
    """Return the arguments of the removal of a release, its records and its objects. Pure."""
    wait = "--wait" if major == 3 else "--wait=watcher"
    return ["uninstall", release, wait, "--timeout", _duration(timeout_s)]


def _duration(seconds: float) -> str:
    return f"{seconds:g}s"


class Operation:
    """An upgrade or rollback at work: Helm itself undoes it when it is asked to stop."""

    def __init__(self, running: programs.Running, hide: Callable[[str], str]) -> None:
        self._running = running
        self._hide = hide

    def wait(self, seconds: float) -> "str | None":
        """Wait a while. Returns None while it is at work, then the reason why it failed; empty when it did not."""
        done = self._running.wait(seconds)
        return None if done is None else _reason(done, self._hide)

    def stop(self) -> None:
        """Ask it to stop: Helm cancels what it waits for, and rolls back."""
        self._running.interrupt()

    def end(self) -> None:
        """End it at once: the release stays pending, and whoever comes next reverts it."""
        self._running.end(patience=0.1)


class Helm:
    """Helm against one cluster.

    Args:
        program: path of the program.
        major: its major version, 3 or 4.
        environ: its environment variables; KUBECONFIG names the cluster.
        hide: takes the secrets out of what Helm says, before anyone sees it.
    """

    def __init__(
        self, program: str, major: int, environ: Mapping[str, str], hide: Callable[[str], str] = lambda text: text
    ) -> None:
        self.major = major
        self._program = program
        # HELM_DEBUG would print all values; the other is what `releases` reads.
        self._environ = {**environ, "HELM_DEBUG": "false", "HELM_DRIVER": "secret"}
        self._hide = hide

    @classmethod
    def find(cls, environ: Mapping[str, str], name: str = "helm") -> "Helm":
        """Find the program and its version.

        Raises:
            DeliveryError: there is no Helm, it is of another version, or it keeps its records where none are looked
                for.
        """
        driver = environ.get("HELM_DRIVER", "")
        if driver not in ("", "secret", "secrets"):
            why = "only those in secrets are read here"
            raise DeliveryError(f"HELM_DRIVER is {driver}: {why}. Fix: unset HELM_DRIVER.", Exit.USAGE)
        program = programs.find(name, "deploy charts")
        done = programs.call([program, "version", "--short"], environ=environ, timeout=_QUICK_S)
        return cls(program, major_version(done.stdout), environ)

    def hiding(self, hide: Callable[[str], str]) -> "Helm":
        """Return the same Helm, whose words are looked through by `hide`."""
        return Helm(self._program, self.major, self._environ, hide)

    def fetch(self, chart: str, version: str, folder: Path, *, plain_http: bool = False) -> str:
        """Return the path of a chart: itself, or an archive in `folder` if it is oci://….

        Raises:
            HelmError: it cannot be had.
        """
        if not chart.startswith("oci://"):
            if not Path(chart).exists():
                raise HelmError("there is no such folder or archive. Fix: correct it, or give oci://….", Exit.USAGE)
            return chart
        more = (["--version", version] if version else []) + (["--plain-http"] if plain_http else [])
        self._read("pull", chart, "--destination", str(folder), *more)
        return str(next(folder.glob("*.tgz")))

    def chart(self, path: str) -> Properties:
        """Return the content of a chart's Chart.yaml.

        Raises:
            HelmError: there is no chart.
        """
        import yaml

        return fields(yaml.safe_load(self._read("show", "chart", path)))

    def default_values(self, path: str) -> Properties:
        """Return the content of a chart's values.yaml.

        Raises:
            HelmError: there is no chart.
        """
        import yaml

        return fields(yaml.safe_load(self._read("show", "values", path)))

    def lint(self, inputs: Inputs, namespace: str) -> str:
        """Return what is wrong with a chart and its values, the chart's schema included; empty if nothing is."""
        done = self._call(["lint", inputs.chart, "--quiet", *self._in(namespace), *inputs.arguments()], inputs.document)
        return "" if done.code == 0 else self._hide("\n".join(_findings(done.stdout)) or _reason(done, self._hide))

    def preview(self, release: str, inputs: Inputs, namespace: str) -> str:
        """Return the manifest that an upgrade would apply, rendered against the cluster; secrets are in it.

        Raises:
            HelmError: it would be refused.
        """
        arguments = [*("upgrade", release, inputs.chart, "--install", "--reset-values", "--dry-run=server")]
        arguments += ["--output", "json", *self._in(namespace), *inputs.arguments()]
        done = self._call(arguments, inputs.document)
        if done.code:
            raise HelmError(f"helm would refuse the release {release}: {_reason(done, self._hide)}", Exit.USAGE)
        return str(fields(json.loads(done.stdout[done.stdout.index("{") :])).get("manifest", ""))

    def render(self, release: str, inputs: Inputs, namespace: str, *, hooks: bool = True) -> str:
        """Return the manifest as far as it can be rendered without the cluster; secrets are in it.

        Raises:
            HelmError: it cannot be rendered.
        """
        more = [] if hooks else ["--no-hooks"]
        arguments = ["template", release, inputs.chart, "--is-upgrade", *more, *self._in(namespace)]
        return self._read(*arguments, *inputs.arguments(), document=inputs.document)

    def upgrade(
        self,
        release: str,
        inputs: Inputs,
        namespace: str,
        *,
        timeout_s: float,
        history: int,
        create_namespace: bool = False,
        description: str = "",
        take_back: bool = False,
    ) -> Operation:
        """Begin an upgrade that Helm itself rolls back when it fails.

        `take_back` makes fields that others changed the release's again; only for one applied on the server's side.
        """
        arguments = upgrade_arguments(
            self.major,
            release,
            inputs,
            timeout_s=timeout_s,
            history=history,
            create_namespace=create_namespace,
            description=description,
            take_back=take_back,
        )
        argv = [self._program, *arguments, *self._in(namespace)]
        return Operation(programs.Running(argv, stdin=inputs.document, environ=self._environ), self._hide)

    def rollback(
        self, release: str, namespace: str, revision: int, *, timeout_s: float, history: int, take_back: bool = False
    ) -> Operation:
        """Begin a rollback; `take_back` as of an upgrade."""
        arguments = rollback_arguments(
            self.major, release, revision, timeout_s=timeout_s, history=history, take_back=take_back
        )
        argv = [self._program, *arguments, *self._in(namespace)]
        return Operation(programs.Running(argv, environ=self._environ), self._hide)

    def uninstall(self, release: str, namespace: str, *, timeout_s: float) -> None:
        """Remove a release.

        Raises:
            HelmError: it cannot be removed.
        """
        arguments = [*uninstall_arguments(self.major, release, timeout_s=timeout_s), *self._in(namespace)]
        done = self._call(arguments, timeout=timeout_s + _QUICK_S)
        if done.code:
            raise HelmError(f"helm uninstall {release}: {_reason(done, self._hide)}")

    def _in(self, namespace: str) -> list[str]:
        return ["--namespace", namespace, "--kubeconfig", str(kubeconfig_path(self._environ))]

    def _call(self, arguments: Sequence[str], document: str = "", timeout: float = _QUICK_S) -> programs.Done:
        return programs.call(
            [self._program, *arguments], stdin=document or None, environ=self._environ, timeout=timeout
        )

    def _read(self, *arguments: str, document: str = "") -> str:
        done = self._call(arguments, document)
        if done.code:
            raise HelmError(f"helm {arguments[0]} {arguments[1]}: {_reason(done, self._hide)}", Exit.USAGE)
        return done.stdout


def _findings(lint: str) -> list[str]:
    """Return the lines of `helm lint` that name an error, and those that go on below one."""
    lines = [line.rstrip() for line in lint.splitlines()]
    kept = [line for line in lines if line and not line.startswith(("==>", "[INFO]", "[WARNING]", "Error:"))]
    return [line.removeprefix("[ERROR] ") for line in kept if "chart(s) linted" not in line]


def _reason(done: programs.Done, hide: Callable[[str], str]) -> str:
    """Return why Helm failed: its last error, without the warnings before it; empty if it did not."""
    if done.code == 0:
        return ""
    text = done.stderr.strip() or done.stdout.strip()
    at = text.rfind("Error: ")
    said = text[at + len("Error: ") :] if at >= 0 else text
    return hide(said) or f"it ended with {done.code}"
