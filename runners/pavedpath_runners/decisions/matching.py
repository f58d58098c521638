"""Which pool takes a job, and which policy refuses it."""

from collections.abc import Sequence

from pavedpath_runners.configuration import Fleet, LabelMatch, Level, Pool
from pavedpath_runners.events import JobEvent


def pool_for(fleet: Fleet, labels: Sequence[str]) -> Pool | None:
    """Return the first pool that takes a job with these labels. GitHub compares labels without case.

    Several pools may fit a subset; the one with the fewest labels is the least special, and so takes it. Jobs that do
    not name `self-hosted` are GitHub's own runners' affair.
    """
    wanted = {label.lower() for label in labels}
    if "self-hosted" not in wanted:
        return None
    fitting = [pool for pool in fleet.pools if _fits(pool, wanted)]
    return min(fitting, key=lambda pool: len(set(pool.labels)), default=None)


def _fits(pool: Pool, wanted: set[str]) -> bool:
    offered = {label.lower() for label in pool.labels}
    return wanted == offered if pool.match is LabelMatch.EXACT else wanted <= offered


def refusal(fleet: Fleet, event: JobEvent) -> str:
    """Return the policy by which a new job is none of this fleet's, or nothing if it is.

    Whether its code is a fork's is not in the event; that is asked before a machine is.
    """
    owner, _, repository = event.facts.repository.partition("/")
    if owner.lower() != fleet.organization.lower() or event.organization.lower() != fleet.organization.lower():
        return "organization"
    if fleet.repositories and repository.lower() not in {each.lower() for each in fleet.repositories}:
        return "repository"
    if event.public:
        return "public"
    if pool_for(fleet, event.facts.labels) is None:
        return "labels"
    return ""


def scope(fleet: Fleet, repository: str) -> str:
    """Return what a job's runner is registered with: its repository, or nothing for the organisation."""
    return repository if fleet.level is Level.REPOSITORY else ""
