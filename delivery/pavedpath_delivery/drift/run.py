"""What `pavedpath drift` looks at, and how it shows what it found."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pavedpath_delivery.drift import hub, releases, rules, stacks
from pavedpath_delivery.drift.model import Accepted, Audit, Drift, Exceptions, Finding, Unchecked
from pavedpath_delivery.kit import written
from pavedpath_delivery.kit.documents import objects
from pavedpath_delivery.kit.errors import DeliveryError, Exit
from pavedpath_delivery.kit.markdown import cell
from pavedpath_delivery.kit.plain import plain
from pavedpath_delivery.scan.exceptions import DEFAULT_DAYS, FIX, usable

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from pavedpath_delivery.deploy.releases import Cluster
    from pavedpath_delivery.stack.flow import Flow


@dataclass(frozen=True)
class Asked:
    """What to look at.

    Attributes:
        stacks: names of stacks.
        repositories: OWNER/REPOSITORY each.
        releases: NAMESPACE/NAME of Helm releases each.
        organization: whose repositories must all be managed by `stacks`; empty for none.
    """

    stacks: Sequence[str] = ()
    repositories: Sequence[str] = ()
    releases: Sequence[str] = ()
    organization: str = ""


@dataclass(frozen=True)
class Sources:
    """Where to look, opened when it is needed."""

    flow: "Callable[[], Flow]"
    github: "Callable[[], hub.Api]"
    cluster: "Callable[[], Cluster]"


def check(asked: Asked) -> None:
    """Refuse what cannot be looked at.

    Raises:
        DeliveryError: every offender.
    """
    problems: list[str] = []
    if not (asked.stacks or asked.repositories or asked.releases or asked.organization):
        problems.append("nothing to look at: give STACK..., --repository, --release or --organization")
    if asked.organization and not asked.stacks:
        problems.append("--organization compares with what stacks manage: name them")
    problems += [f"{each} is not OWNER/REPO" for each in asked.repositories if not _is_pair(each)]
    problems += [f"{each} is not NAMESPACE/NAME" for each in asked.releases if not _is_pair(each)]
    if problems:
        raise DeliveryError(f"Cannot look for drift: {'; '.join(problems)}.", Exit.USAGE)


def _is_pair(text: str) -> bool:
    return text.count("/") == 1 and all(text.split("/"))


def exceptions(path: Path | None, now: datetime) -> tuple[Accepted, ...]:
    """Return the exceptions of a file; none without one.

    Raises:
        DeliveryError: it cannot be read, or cannot be used; every offender with its reason.
    """
    if path is None:
        return ()
    found = written.load(path, Exceptions, "file of exceptions", FIX).exceptions
    return usable(found, path, now.date(), DEFAULT_DAYS)


def look(asked: Asked, sources: Sources, policy: rules.Policy, now: datetime) -> Iterator[Audit]:
    """Yield what each stack, repository and release shows."""
    if asked.stacks:
        flow = sources.flow()
        yield from (stacks.audit(flow, each) for each in dict.fromkeys(asked.stacks))
    if asked.repositories:
        api = sources.github()
        for name in dict.fromkeys(asked.repositories):
            yield rules.audit(name, hub.snapshot(api, name), policy, now)
    if asked.organization:
        yield _organization(asked, sources)
    if asked.releases:
        try:
            cluster = sources.cluster()
        except DeliveryError as error:
            yield Audit(unchecked=tuple(Unchecked(f"release {each}", str(error), True) for each in asked.releases))
            return
        for each in dict.fromkeys(asked.releases):
            namespace, _, name = each.partition("/")
            yield releases.audit(cluster, namespace, name)


def _organization(asked: Asked, sources: Sources) -> Audit:
    where, flow = f"organisation {asked.organization}", sources.flow()
    try:
        managed = {name for each in asked.stacks for name in stacks.repositories(flow.engine.export(each))}
    except DeliveryError as error:
        return Audit(unchecked=(Unchecked(where, str(error), whole=True),))
    listed = hub.ask(sources.github(), f"orgs/{asked.organization}/repos", "[]")
    if isinstance(listed, hub.Unread):
        return Audit(unchecked=(Unchecked(where, listed.reason, whole=True),))
    return Audit(tuple(rules.unmanaged(asked.organization, objects(listed), frozenset(managed))))


@dataclass(frozen=True)
class DriftReport:
    """What was found; the report of the command."""

    drift: Drift

    @property
    def code(self) -> Exit:
        """The exit code: something differs, or something could not be looked at at all."""
        if self.drift.findings:
            return Exit.CHANGES
        return Exit.FAILED if any(each.whole for each in self.drift.unchecked) else Exit.OK

    def document(self) -> Mapping[str, Any]:
        """Return the whole result."""
        return document(self.drift)

    def show(self, console: "Console") -> None:
        """Print it for people."""
        for line in lines(self.drift):
            console.print(plain(line), markup=False)

    def summary(self) -> str:
        """Return the differences as a table in Markdown."""
        found = self.drift
        text = [f"### Drift: {headline(found)}", ""]
        if found.findings:
            text += ["| Severity | Where | Is | Should be | Fix |", "|---|---|---|---|---|"]
            for each in found.findings:
                cells = (each.severity, each.where, each.found, each.wanted, each.fix)
                text.append(f"| {' | '.join(map(cell, cells))} |")
        text += ["", *(f"- not checked: {cell(each.where)}: {cell(each.reason)}" for each in found.unchecked)]
        return "\n".join(text).rstrip() + "\n"

    def outputs(self) -> Mapping[str, str]:
        """Return how much was found."""
        found = self.drift
        return {"differences": str(len(found.findings)), "unchecked": str(len(found.unchecked))}


def document(found: Drift) -> dict[str, Any]:
    """Return what was found as a JSON document."""
    return {
        "differences": [asdict(each) for each in found.findings],
        "accepted": [
            {**asdict(each), "reason": by.reason, "expires": by.expires.isoformat()} for each, by in found.accepted
        ],
        "expired": [each.model_dump(mode="json") for each in found.expired],
        "unused": [each.model_dump(mode="json") for each in found.unused],
        "unchecked": [asdict(each) for each in found.unchecked],
        "notes": [asdict(each) for each in found.notes],
    }


def headline(found: Drift) -> str:
    """Return how much was found, in words."""
    counts = [(len(found.findings), "differences"), (len(found.accepted), "accepted")]
    counts += [(len(found.unchecked), "not checked")]
    return ", ".join(
        f"{count} {word if count != 1 else word.replace('differences', 'difference')}" for count, word in counts
    )


def lines(found: Drift) -> list[str]:
    """Return what was found for a terminal."""
    text: list[str] = []
    for each in found.findings:
        text += _told(each)
    text += [f"accepted until {by.expires}: {each.where}: {each.found} ({by.reason})" for each, by in found.accepted]
    text += [f"expired {each.expires}: exception for {each}" for each in found.expired]
    text += [f"unused: exception for {each}" for each in found.unused]
    text += [f"not checked: {each.where}: {' '.join(each.reason.split())}" for each in found.unchecked]
    text += [f"note: {each.where}: {each.text}" for each in found.notes]
    return [*text, headline(found)]


def _told(each: Finding) -> list[str]:
    return [
        f"{each.severity:<6} {each.where}  [{each.rule}]",
        f"       {each.found}; should be: {each.wanted}",
        f"       why: {each.why}",
        f"       fix: {each.fix}",
    ]
