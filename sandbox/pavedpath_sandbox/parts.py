"""The parts of a sandbox: what each runs, when it is ready, and what it waits for. No processes here."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from . import environments
from .kubernetes import config
from .kubernetes.pki import Pki
from .layout import ClusterFiles, Layout, write_private
from .probe import Probe
from .state import DEFAULT_PLAN

GROUPS = ("aws", "github", "kubernetes", "registry", "charts", "functions")
REGION = config.REGION
ORGANIZATION = "acme"
PEOPLE = ("alice", "bob", "carol")
"""Members of the organisation, who write and review; the owner only runs the deployment."""
CHART_USER = "charts"
PASSPHRASE = "sandbox"  # noqa: S105  # of the secrets in a stack's state; public, see docs/sandbox.md
PORTS: Mapping[str, tuple[str, ...]] = {
    "aws": ("aws",),
    "github": ("github",),
    "kubernetes": ("etcd", "etcd-peer"),
    "registry": ("registry",),
    "charts": ("charts",),
    "functions": ("functions",),
}
SCHEDULE_VARIABLE = "SANDBOX_SCHEDULE_SECONDS"
"""Seconds that a minute of a schedule takes in the part `functions`, 60 by default."""
CLUSTER_PORTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok", "ingress", "ingress-logs")
"""What each environment's cluster needs besides."""
_PYTHON = "python"
# A garbage collector that runs more often: half the memory for a little CPU, which an idle control plane has.
_SMALL_HEAP = {"GOGC": "50"}


class MissingToolsError(Exception):
    """Programs that the sandbox needs are not there; the message names all of them."""

    def __init__(self, names: list[str], toolchain_bin: Path) -> None:
        """`names` are the programs that were found neither in `toolchain_bin` nor on PATH."""
        super().__init__(
            f"not found in {toolchain_bin} nor on PATH: {', '.join(names)}. `python -m toolchain ensure` gets them"
        )


@dataclass(frozen=True)
class Part:
    """One server process.

    `program` is a tool's name, or ``python`` for a module of ours. `inputs` are the files it reads at its start: when
    one changes, the part is restarted. `start_seconds` is how long it may take to become ready without a sign of
    progress.
    """

    name: str
    group: str
    program: str
    arguments: tuple[str, ...]
    probe: Probe
    address: str
    ports: tuple[str, ...]
    depends: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    inputs: tuple[Path, ...] = ()
    start_seconds: float = 60.0

    def digest(self, program: Path) -> str:
        """Name what would run: the command, its environment and the content of its inputs."""
        what = json.dumps([str(program), self.arguments, sorted(self.environment.items())])
        state = hashlib.sha256(what.encode())
        for path in self.inputs:
            state.update(path.read_bytes() if path.is_file() else b"")
        return state.hexdigest()


def locate(layout: Layout, parts: tuple[Part, ...]) -> dict[str, Path]:
    """Find every part's program.

    Raises:
        MissingToolsError: names all that are missing.
    """
    found = {
        each: Path(sys.executable) if each == _PYTHON else layout.tool(each) for each in {p.program for p in parts}
    }
    if missing := sorted(name for name, path in found.items() if path is None):
        raise MissingToolsError(missing, layout.toolchain_bin)
    return {name: path for name, path in found.items() if path is not None}


def describe(
    layout: Layout,
    groups: tuple[str, ...],
    ports: Mapping[str, int],
    plan: str = DEFAULT_PLAN,
    clusters: tuple[str, ...] = (environments.DEFAULT,),
) -> tuple[Part, ...]:
    """Describe the parts of `groups`; a part comes after those it depends on.

    `ports` holds all names of `port_names`; `plan` is what the sandbox's GitHub allows; `clusters` are the environments
    whose clusters run.
    """
    builders = {
        "aws": lambda: _aws(layout, ports),
        "github": lambda: _github(layout, ports, plan),
        "kubernetes": lambda: _kubernetes(layout, ports, clusters),
        "registry": lambda: _registry(layout, ports),
        "charts": lambda: _charts(layout, ports),
        "functions": lambda: _functions(layout, ports),
    }
    return tuple(part for group in GROUPS if group in groups for part in builders[group]())


def port_names(groups: tuple[str, ...], clusters: tuple[str, ...] = (environments.DEFAULT,)) -> list[str]:
    """The names of the ports that `groups` need."""
    names = [name for group in GROUPS if group in groups for name in PORTS[group]]
    if "kubernetes" in groups:
        names += [environments.qualified(name, each) for each in clusters for name in CLUSTER_PORTS]
    return names


def prepare(
    layout: Layout,
    groups: tuple[str, ...],
    ports: Mapping[str, int],
    clusters: tuple[str, ...] = (environments.DEFAULT,),
) -> None:
    """Write the files that the parts read. Secrets are made once and kept; the rest follows from `ports`."""
    # A known one, as its KMS keys are: with it the salt that stands in each stack's committed file fits every sandbox.
    write_private(layout.passphrase, PASSPHRASE)
    (layout.root / "pulumi").mkdir(parents=True, exist_ok=True)
    if "github" in groups:
        _once(layout.github_token)
        tokens = [f"{_once(layout.person_token(login))} {login}\n" for login in PEOPLE]
        write_private(layout.github_tokens, "".join([f"{_once(layout.github_token)}\n", *tokens]))
        _make_app_key(layout.app_key)
    if "registry" in groups:
        secret = _once(layout.root / "registry" / "secret")
        write_private(_registry_config(layout), registry_config(ports["registry"], layout.root / "registry", secret))
    if "charts" in groups and not layout.chart_users.is_file():
        write_private(layout.chart_users, f"{CHART_USER}:{secrets.token_hex(20)}\n")
    if "kubernetes" in groups:
        for environment in clusters:
            _Cluster(environment, layout.cluster(environment), ports).prepare()


def _once(path: Path) -> str:
    if not path.is_file():
        write_private(path, secrets.token_hex(20))
    return path.read_text(encoding="utf-8")


def _make_app_key(path: Path) -> None:
    if path.is_file():
        return
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key, pem = rsa.generate_private_key(public_exponent=65537, key_size=2048), serialization.Encoding.PEM
    # The private one last: where it is, both are.
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    write_private(path.with_suffix(".pub"), public.decode())
    form, plain = serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    write_private(path, key.private_bytes(pem, form, plain).decode())


def _sources(package: str) -> tuple[Path, ...]:
    """The modules of a server of ours: after an update, the old code must not go on serving."""
    return tuple(sorted((Path(__file__).parent / package).rglob("*.py")))


def _version_file(distribution: str) -> tuple[Path, ...]:
    spec = importlib.util.find_spec(distribution)  # finds it without importing it
    return () if spec is None or spec.origin is None else (Path(spec.origin),)


def _aws(layout: Layout, ports: Mapping[str, int]) -> tuple[Part, ...]:
    port = ports["aws"]
    journal = layout.root / "aws" / "journal.jsonl"
    return (
        Part(
            name="aws",
            group="aws",
            program=_PYTHON,
            arguments=(
                *("-m", "pavedpath_sandbox.aws", "--port", str(port), "--journal", str(journal)),
                *(("--functions", _address(ports, "functions")) if "functions" in ports else ()),
            ),
            # moto's order of sets must not depend on the process, or a replay would draw ids in another order.
            environment={"PYTHONHASHSEED": "0"},
            inputs=(*_sources("aws"), *_version_file("moto")),
            probe=Probe(port, "/_sandbox/health"),
            address=f"http://127.0.0.1:{port}",
            ports=("aws",),
        ),
    )


def _address(ports: Mapping[str, int], name: str) -> str:
    return f"http://127.0.0.1:{ports[name]}"


def _functions(layout: Layout, ports: Mapping[str, int]) -> tuple[Part, ...]:
    port = ports["functions"]
    return (
        Part(
            name="functions",
            group="functions",
            program=_PYTHON,
            arguments=(
                *("-m", "pavedpath_sandbox.functions", "--port", str(port), "--aws", _address(ports, "aws")),
                *("--work", str(layout.root / "functions"), "--minute", os.environ.get(SCHEDULE_VARIABLE) or "60"),
                *(("--github", _address(ports, "github")) if "github" in ports else ()),
            ),
            inputs=_sources("functions"),
            # Its Python starts while AWS does; it is ready when it knows what is deployed.
            probe=Probe(port, "/_sandbox/health"),
            address=f"http://127.0.0.1:{port}",
            ports=("functions",),
        ),
    )


def _github(layout: Layout, ports: Mapping[str, int], plan: str) -> tuple[Part, ...]:
    port = ports["github"]
    state = layout.root / "github" / "state.sqlite"
    return (
        Part(
            name="github",
            group="github",
            program=_PYTHON,
            arguments=(
                *("-m", "pavedpath_sandbox.github", "--port", str(port), "--state", str(state)),
                *("--token-file", str(layout.github_tokens), "--organization", ORGANIZATION, "--plan", plan),
                *("--runner-app-key", str(layout.app_key.with_suffix(".pub")), "--strict"),
            ),
            inputs=(layout.github_tokens, layout.app_key.with_suffix(".pub"), *_sources("github")),
            probe=Probe(port, "/_sandbox/health"),
            address=f"http://127.0.0.1:{port}",
            ports=("github",),
        ),
    )


def _registry_config(layout: Layout) -> Path:
    return layout.root / "registry" / "config.json"


def registry_config(port: int, directory: Path, secret: str) -> str:
    """The configuration of distribution's registry, as JSON, which is YAML too."""
    content = {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(directory / "data")},
            "delete": {"enabled": True},
            "cache": {"blobdescriptor": "inmemory"},
            "maintenance": {"uploadpurging": {"enabled": False}},
        },
        "http": {"addr": f"127.0.0.1:{port}", "secret": secret},
    }
    return json.dumps(content, indent=2) + "\n"


def _registry(layout: Layout, ports: Mapping[str, int]) -> tuple[Part, ...]:
    port = ports["registry"]
    return (
        Part(
            name="registry",
            group="registry",
            program="registry",
            arguments=("serve", str(_registry_config(layout))),
            environment={**_SMALL_HEAP, "OTEL_TRACES_EXPORTER": "none"},
            inputs=(_registry_config(layout),),
            probe=Probe(port, "/v2/"),
            address=f"http://127.0.0.1:{port}",
            ports=("registry",),
        ),
    )


def _charts(layout: Layout, ports: Mapping[str, int]) -> tuple[Part, ...]:
    port = ports["charts"]
    return (
        Part(
            name="charts",
            group="charts",
            program=_PYTHON,
            arguments=(
                *("-m", "pavedpath_sandbox.charts", "--port", str(port)),
                *("--storage", str(layout.root / "charts" / "data"), "--user-file", str(layout.chart_users)),
            ),
            inputs=(layout.chart_users, *_sources("charts")),
            probe=Probe(port, "/health"),
            address=f"http://127.0.0.1:{port}",
            ports=("charts",),
        ),
    )


@dataclass(frozen=True)
class _Cluster:
    """One environment's control plane. All of them keep their objects in one etcd, each below a prefix of its own."""

    environment: str
    files: ClusterFiles
    ports: Mapping[str, int]

    @property
    def pki(self) -> Pki:
        return Pki(self.files.pki)

    def name(self, part: str) -> str:
        return environments.qualified(part, self.environment)

    def port(self, part: str) -> int:
        return self.ports[self.name(part)]

    def prepare(self) -> None:
        self.pki.ensure()
        token, ca = config.ensure_token(self.files.token), self.pki.ca.read_bytes()
        name = environments.cluster_name(self.environment)
        write_private(self.files.token_file, config.token_file(token))
        write_private(self.files.kubeconfig, config.kubeconfig(name, self.port("kube-apiserver"), ca, token))
        write_private(self.files.stages, config.stages(self.ports.get("registry")))

    def parts(self, images: Path) -> tuple[Part, ...]:
        return (
            _apiserver(self),
            _component(self, "kube-controller-manager", _controller_arguments(self.pki)),
            _component(self, "kube-scheduler", ()),
            _kwok(self),
            _ingress(self, images),
        )


def _kubernetes(layout: Layout, ports: Mapping[str, int], clusters: tuple[str, ...]) -> tuple[Part, ...]:
    each = (_Cluster(environment, layout.cluster(environment), ports).parts(layout.images) for environment in clusters)
    return (_etcd(layout, ports), *(part for parts in each for part in parts))


def _etcd(layout: Layout, ports: Mapping[str, int]) -> Part:
    client, peer = (f"http://127.0.0.1:{ports[name]}" for name in ("etcd", "etcd-peer"))
    return Part(
        name="etcd",
        group="kubernetes",
        program="etcd",
        arguments=(
            f"--data-dir={layout.etcd}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",  # survives the death of the process, not of the machine: enough for a sandbox
            "--log-level=warn",
            "--auto-compaction-mode=periodic",
            "--auto-compaction-retention=10m",
            "--snapshot-count=2000",
        ),
        environment=_SMALL_HEAP,
        probe=Probe(ports["etcd"], "/readyz"),
        address=client,
        ports=("etcd", "etcd-peer"),
    )


def _apiserver(cluster: _Cluster) -> Part:
    pki, name, tokens = cluster.pki, cluster.name("kube-apiserver"), cluster.files.token_file
    port = cluster.ports[name]
    return Part(
        name=name,
        group="kubernetes",
        program="kube-apiserver",
        arguments=(
            f"--etcd-servers=http://127.0.0.1:{cluster.ports['etcd']}",
            f"--etcd-prefix=/{cluster.name('registry')}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={port}",
            "--kubelet-preferred-address-types=InternalIP",
            # The reconciler refuses to publish a loopback address, and says so every ten seconds.
            "--endpoint-reconciler-type=none",
            f"--tls-cert-file={pki.certificate}",
            f"--tls-private-key-file={pki.key}",
            f"--token-auth-file={tokens}",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={pki.accounts_public}",
            f"--service-account-signing-key-file={pki.accounts_key}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--enable-priority-and-fairness=false",
            "--profiling=false",
        ),
        environment=_SMALL_HEAP,
        inputs=(tokens, pki.certificate, pki.accounts_public),
        probe=Probe(port, "/readyz", pki.ca),
        address=f"https://127.0.0.1:{port}",
        ports=(name,),
        depends=("etcd",),
    )


def _controller_arguments(pki: Pki) -> tuple[str, ...]:
    return (
        f"--service-account-private-key-file={pki.accounts_key}",
        f"--root-ca-file={pki.ca}",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
    )


def _component(cluster: _Cluster, program: str, more: tuple[str, ...]) -> Part:
    pki, name = cluster.pki, cluster.name(program)
    port = cluster.ports[name]
    return Part(
        name=name,
        group="kubernetes",
        program=program,
        arguments=(
            f"--kubeconfig={cluster.files.kubeconfig}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            f"--tls-cert-file={pki.certificate}",
            f"--tls-private-key-file={pki.key}",
            "--authentication-skip-lookup",
            "--profiling=false",
            *more,
        ),
        environment=_SMALL_HEAP,
        inputs=(cluster.files.kubeconfig, pki.certificate, pki.accounts_key),
        probe=Probe(port, "/healthz", pki.ca),
        address=f"https://127.0.0.1:{port}",
        ports=(name,),
        depends=(cluster.name("kube-apiserver"),),
    )


def _kwok(cluster: _Cluster) -> Part:
    stages, name = cluster.files.stages, cluster.name("kwok")
    port = cluster.ports[name]
    return Part(
        name=name,
        group="kubernetes",
        program="kwok",
        arguments=(
            f"--config={stages}",
            f"--kubeconfig={cluster.files.kubeconfig}",
            "--manage-all-nodes=true",
            "--cidr=10.244.0.1/16",
            "--node-ip=127.0.0.1",
            f"--server-address=127.0.0.1:{port}",
            "--node-lease-duration-seconds=40",
            "--v=WARN",
        ),
        environment=_SMALL_HEAP,
        inputs=(stages, cluster.files.kubeconfig),
        probe=Probe(port, "/healthz"),
        address=f"http://127.0.0.1:{port}",
        ports=(name,),
        depends=(cluster.name("kube-apiserver"),),
    )


def _ingress(cluster: _Cluster, images: Path) -> Part:
    pki, files, name = cluster.pki, cluster.files, cluster.name("ingress")
    logs = cluster.name("ingress-logs")
    port, registry = cluster.ports[name], cluster.ports.get("registry")
    return Part(
        name=name,
        group="kubernetes",
        program=_PYTHON,
        arguments=(
            *("-m", "pavedpath_sandbox.ingress", "--port", str(port), "--logs-port", str(cluster.ports[logs])),
            *("--certificate", str(pki.certificate), "--key", str(pki.key), "--kubeconfig", str(files.kubeconfig)),
            *("--images", str(images), "--logs", str(files.pod_logs)),
            *(("--registry", f"127.0.0.1:{registry}") if registry else ()),
        ),
        inputs=(files.kubeconfig, pki.certificate, *_sources("ingress")),
        # Its Python starts while the API server does; it is ready when it knows the cluster's pods.
        probe=Probe(port, "/_sandbox/health"),
        address=f"http://127.0.0.1:{port}",
        ports=(name, logs),
    )
