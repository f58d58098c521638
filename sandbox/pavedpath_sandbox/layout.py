"""Where a sandbox keeps what: its own state directory, and the toolchain it takes its programs from."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from . import environments

DIRECTORY_VARIABLE = "PAVEDPATH_SANDBOX_DIR"
TOOLCHAIN_VARIABLE = "PAVEDPATH_TOOLCHAIN_BIN"

# Programs whose name differs between where they come from.
_OTHER_NAMES = {"registry": ("docker-registry",)}


@dataclass(frozen=True)
class ClusterFiles:
    """Certificates and configuration of one cluster, in `directory`."""

    directory: Path

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig (0600)."""
        return self.directory / "kubeconfig"

    @property
    def token(self) -> Path:
        """The administrator's token (0600)."""
        return self.directory / "token"

    @property
    def token_file(self) -> Path:
        """The API server's list of tokens (0600)."""
        return self.directory / "tokens.csv"

    @property
    def stages(self) -> Path:
        """kwok's configuration."""
        return self.directory / "stages.yaml"

    @property
    def pod_logs(self) -> Path:
        """The logs of the containers that run."""
        return self.directory / "pod-logs"

    @property
    def pki(self) -> Path:
        """The directory of the certificates."""
        return self.directory / "pki"


@dataclass(frozen=True)
class Layout:
    """The directories of one sandbox. `root` holds all its state, `toolchain_bin` its programs."""

    root: Path
    toolchain_bin: Path

    @staticmethod
    def find(directory: Path | None = None, environment: Mapping[str, str] = os.environ) -> Layout:
        """Choose the directories: the argument, the variables, then ``.sandbox`` and ``.toolchain`` of the project.

        The project is the nearest directory upwards that holds a ``Pulumi.yaml``, else the working directory.
        """
        project = project_root(Path.cwd())
        chosen = directory or Path(environment.get(DIRECTORY_VARIABLE) or project / ".sandbox")
        tools = Path(environment.get(TOOLCHAIN_VARIABLE) or project / ".toolchain" / "bin")
        return Layout(chosen.resolve(), tools.absolute())

    @property
    def state_file(self) -> Path:
        """Ports and processes, JSON."""
        return self.root / "state.json"

    @property
    def lock_file(self) -> Path:
        """Held by the command that is changing the sandbox."""
        return self.root / "lock"

    @property
    def etcd(self) -> Path:
        """The data of all clusters."""
        return self.root / "kubernetes" / "etcd"

    @property
    def images(self) -> Path:
        """The registry's images, unpacked, for all clusters."""
        return self.root / "kubernetes" / "images"

    def cluster(self, environment: str = environments.DEFAULT) -> ClusterFiles:
        """The files of an environment's cluster."""
        own = "" if environment == environments.DEFAULT else environment
        return ClusterFiles(self.root / "kubernetes" / own)

    @property
    def github_token(self) -> Path:
        """The GitHub API's token (0600)."""
        return self.root / "github" / "token"

    def person_token(self, login: str) -> Path:
        """The token of one member of the organisation (0600)."""
        return self.root / "github" / "people" / login

    @property
    def github_tokens(self) -> Path:
        """The tokens of the owner and of all members, as the server reads them (0600)."""
        return self.root / "github" / "tokens"

    @property
    def app_key(self) -> Path:
        """The private key of the GitHub App `pavedpath-runners`, PEM (0600); its public one is beside it, `.pub`."""
        return self.root / "github" / "apps" / "pavedpath-runners.pem"

    @property
    def chart_users(self) -> Path:
        """Who may use the chart repository: `USER:PASSWORD` (0600)."""
        return self.root / "charts" / "users"

    @property
    def passphrase(self) -> Path:
        """The passphrase of Pulumi's secrets (0600)."""
        return self.root / "pulumi-passphrase"

    @property
    def pulumi_home(self) -> Path:
        """The engine's home with its provider plugins, beside the toolchain's programs."""
        return self.toolchain_bin.parent / "pulumi-home"

    @property
    def crds(self) -> Path:
        """The toolchain's definitions of custom resources; it may have none."""
        return self.toolchain_bin.parent / "crds"

    def log_file(self, part: str) -> Path:
        """Both output streams of a part since it was last started."""
        return self.root / "logs" / f"{part}.log"

    def tool(self, name: str) -> Path | None:
        """Find a program: the toolchain's, else one on PATH."""
        for candidate in (name, *_OTHER_NAMES.get(name, ())):
            own = self.toolchain_bin / candidate
            if own.is_file() and os.access(own, os.X_OK):
                return own
            if found := shutil.which(candidate):
                return Path(found)
        return None


def project_root(start: Path) -> Path:
    """The nearest directory from `start` upwards with a ``Pulumi.yaml``, else `start`."""
    for directory in (start, *start.parents):
        if (directory / "Pulumi.yaml").is_file():
            return directory
    return start


def write_private(path: Path, content: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(content)
    temporary.replace(path)
