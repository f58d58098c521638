"""What the commands of `pavedpath rotate` do, and how they show it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pavedpath_delivery.kit.errors import DeliveryError, Exit
from pavedpath_delivery.rotate import sealed, sidecar
from pavedpath_delivery.rotate.policy import Due, Secret
from pavedpath_delivery.rotate.reseal import Rotated
from pavedpath_delivery.rotate.staged import Outcome, Stages, Step

if TYPE_CHECKING:
    from rich.console import Console

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Plan:
    """The report of `rotate plan`: all secrets, those that are due first."""

    secrets: Sequence[Due]
    check: bool = False
    """Whether a secret that is due is a failure."""

    @property
    def due(self) -> Sequence[Due]:
        """The secrets that must get a new value."""
        return [each for each in self.secrets if each.due]

    @property
    def code(self) -> Exit:
        """The exit code."""
        return Exit.FAILED if self.check and self.due else Exit.OK

    def document(self) -> Mapping[str, Any]:
        """Return the whole plan."""
        return {"due": len(self.due), "secrets": [_row(each) for each in self.secrets]}

    def show(self, console: "Console") -> None:
        """Print it for people."""
        for each in self.secrets:
            sign = "due" if each.due else "ok "
            console.print(f"{sign}  {each.secret.id}  {_age(each)}{_note(each)}", markup=False)
        console.print(f"{len(self.due)} of {len(self.secrets)} secrets are due.")

    def summary(self) -> str:
        """Return the plan as a table in Markdown."""
        lines = [f"### Secrets: {len(self.due)} of {len(self.secrets)} due", "", "| | Secret | Age |", "|---|---|---|"]
        lines += [
            f"| {'due' if each.due else 'ok'} | {each.secret.id} | {_age(each)}{_note(each)} |" for each in self.secrets
        ]
        return "\n".join(lines) + "\n"

    def outputs(self) -> Mapping[str, str]:
        """Return the output `due`: how many."""
        return {"due": str(len(self.due))}


def _age(each: Due) -> str:
    if each.age is None:
        return "of unknown age"
    most = "" if each.secret.exact else "at least "
    return f"{most}{each.age // _DAY} of {each.limit // _DAY} days"


def _note(each: Due) -> str:
    return f" ({each.secret.note})" if each.secret.note else ""


def _row(each: Due) -> dict[str, Any]:
    return {
        "id": each.secret.id,
        "due": each.due,
        "since": each.secret.since.isoformat() if each.secret.since else None,
        "exact": each.secret.exact,
        "age_days": None if each.age is None else each.age // _DAY,
        "max_age_days": each.limit // _DAY,
        "note": each.secret.note or None,
    }


def files(places: Iterable[Path]) -> list[Path]:
    """Return the SOPS files among files and folders.

    Raises:
        DeliveryError: a place that is not there, or a folder without any; names all of them.
    """
    found: list[Path] = []
    problems: list[str] = []
    for place in places:
        inside = sorted([*place.rglob("*.secrets.yaml"), *place.rglob("*.secrets.yml")]) if place.is_dir() else [place]
        found += inside
        if not inside:
            problems.append(f"{place} holds no *.secrets.yaml")
        elif not place.exists():
            problems.append(f"{place} is not there")
    if problems:
        raise DeliveryError(f"Nothing to look at: {'; '.join(problems)}.", Exit.USAGE)
    return list(dict.fromkeys(found))


def in_file(path: Path) -> Iterator[Secret]:
    """Yield the secrets of a SOPS file with their ages; nothing is opened."""
    found, noted = sealed.read(path), sidecar.read(path)
    for name in found.names:
        since = noted.rotated.get(name)
        yield Secret(f"{path.as_posix()}#{name}", since or found.changed, exact=since is not None)


def in_aws(client: Any, name: str) -> Secret:
    """Return a secret of Secrets Manager with the age of its current version; its value is not read."""
    versions = list(_versions(client, name))
    stages = {str(each["VersionId"]): each.get("VersionStages", []) for each in versions}
    created = {str(each["VersionId"]): each["CreatedDate"] for each in versions}
    found = Stages.of(stages)
    note = "an interrupted rotation waits: pavedpath rotate aws" if found.step is Step.RESUME else ""
    return Secret(f"aws:{name}", created.get(found.current), note=note)


def _versions(client: Any, name: str) -> Iterator[Mapping[str, Any]]:
    more: dict[str, str] = {}
    while True:
        page = client.list_secret_version_ids(SecretId=name, **more)
        yield from page["Versions"]
        if not page.get("NextToken"):
            return
        more = {"NextToken": page["NextToken"]}


@dataclass(frozen=True)
class Resealed:
    """The report of `rotate sops`."""

    done: Rotated
    dry_run: bool = False

    @property
    def code(self) -> Exit:
        """The exit code."""
        return Exit.OK

    def document(self) -> Mapping[str, Any]:
        """Return what was changed; no values."""
        return {
            "file": str(self.done.file),
            "secrets": list(self.done.names),
            "data_key": self.done.data_key,
            "dry_run": self.dry_run,
        }

    def show(self, console: "Console") -> None:
        """Print it for people."""
        verb = "would be new" if self.dry_run else "new"
        for name in self.done.names:
            console.print(f"{verb}: {self.done.file}#{name}", markup=False)
        if self.done.data_key:
            console.print(f"{verb}: the data key of {self.done.file}", markup=False)
        if not self.dry_run:
            console.print(f"Next: commit {self.done.file} and {sidecar.path_of(self.done.file)}", markup=False)

    def summary(self) -> str:
        """Return what was changed as Markdown."""
        changed = [*self.done.names, *(["the data key"] if self.done.data_key else [])]
        return "" if self.dry_run else f"New in `{self.done.file}`: {', '.join(changed)}\n"

    def outputs(self) -> Mapping[str, str]:
        """Return the output `rotated`: a name a line."""
        return {"rotated": "" if self.dry_run else "\n".join(self.done.names)}


@dataclass(frozen=True)
class Staged:
    """The report of `rotate aws`."""

    secret: str
    outcome: Outcome

    @property
    def code(self) -> Exit:
        """The exit code."""
        return Exit.OK

    def document(self) -> Mapping[str, Any]:
        """Return what was done."""
        return {"secret": self.secret, "outcome": str(self.outcome)}

    def show(self, console: "Console") -> None:
        """Print it for people."""
        console.print(f"{self.secret}: {self.outcome}", markup=False)

    def summary(self) -> str:
        """Return what was done as Markdown."""
        return f"Secret `{self.secret}`: {self.outcome}\n"

    def outputs(self) -> Mapping[str, str]:
        """Return the output `outcome`."""
        return {"outcome": str(self.outcome)}


def in_plain_words(error: Any, secret: str) -> DeliveryError:
    """Return AWS's refusal as an error of the command, without what was sent."""
    from botocore.exceptions import ClientError

    if not isinstance(error, ClientError):
        fix = "set AWS_REGION and the credentials of the environment's role, and see that AWS can be reached."
        return DeliveryError(f"{secret}: AWS cannot be asked ({type(error).__name__}). Fix: {fix}")
    code = str(error.response.get("Error", {}).get("Code", "no reason"))
    fixes = {
        "ResourceNotFoundException": "is it the name of a secret of this account and region?",
        "AccessDeniedException": "use the environment's role, or ask for access.",
    }
    return DeliveryError(
        f"{secret}: AWS refuses {error.operation_name} ({code}). Fix: {fixes.get(code, 'run it again.')}"
    )
