"""Brings a stack into a state in which the engine can work on it again."""

import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC

from pavedpath_delivery.kit.documents import Json
from pavedpath_delivery.kit.kube import KubernetesApi
from pavedpath_delivery.stack.engine import Engine
from pavedpath_delivery.stack.errors import Exit, StackCommandError
from pavedpath_delivery.stack.events import RELEASE_TYPE
from pavedpath_delivery.stack.leftovers import remove_leftovers
from pavedpath_delivery.stack.lock import Holder, Lock, judge, locked_error, process_started, read_locks
from pavedpath_delivery.stack.repair import plan, reality_aws, reality_github, reality_kubernetes
from pavedpath_delivery.stack.repair.orphans import end_orphans
from pavedpath_delivery.stack.run import Run, describe

_LOOKS: Mapping[str, Callable[[plan.PendingOperation, frozenset[str]], plan.Reality]] = {
    "aws": reality_aws.look,
    "github": reality_github.look,
    "kubernetes": reality_kubernetes.look,
}


@dataclass(frozen=True)
class Overrides:
    """What a person knows: the ids of resources that exist, and the URNs of those that do not."""

    exists: Mapping[str, str] = field(default_factory=dict[str, str])
    absent: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Repairer:
    """Repairs stacks of one project.

    Args:
        engine: the CLI in the project.
        say: prints a line.
        refresh: runs `pulumi refresh` with these arguments and shows it.
    """

    engine: Engine
    say: Callable[[str], None]
    refresh: Callable[[str, Sequence[str]], Run]

    def repair(self, stack: str, overrides: Overrides | None = None) -> Json:
        """Free the stack's lock if its holder is dead, settle its pending operations, and return its state.

        Args:
            stack: its name.
            overrides: given if a person asked for the repair, and so says that no other engine is at work.

        Raises:
            StackNotFoundError: the backend has no such stack.
            StackCommandError: a live process holds the lock, or only a person can tell what became of a resource.
        """
        locks = self._dead_locks(stack)
        self._free(stack, locks or [])
        export = self.engine.export(stack)
        operations = plan.pending_operations(export)
        if operations and locks is None and overrides is None:
            raise StackCommandError(
                f"{stack}: {len(operations)} operation(s) are pending, and this backend does not show whether another "
                f"engine is at work on them.\nIf none is: pavedpath stack repair {stack}",
                Exit.LOCKED,
            )
        if operations:
            self._dead_locks(stack)  # whoever began since holds a lock by now, and the operations may be theirs
        if locks or operations:
            for process in end_orphans(self.engine.environ.get("PULUMI_BACKEND_URL")):
                self.say(f"{stack}: ended process {process.pid}, which a killed engine had left behind")
        rechecked = self._settle(stack, export, operations, overrides or Overrides()) if operations else ()
        # Also what an earlier repair entered and was killed before it read it.
        targets = [*rechecked, *plan.unread(self.engine.export(stack) if operations else export)]
        if not targets:
            return export
        run = self.refresh(stack, [argument for urn in dict.fromkeys(targets) for argument in ("--target", urn)])
        if not run.ok:
            raise StackCommandError(f"{stack}: the resources of the interrupted operations could not be read")
        return self.engine.export(stack)

    def _dead_locks(self, stack: str) -> list[Lock] | None:
        """Return the stack's locks, whose holders are all dead; None for a backend that does not show them.

        Raises:
            StackCommandError: a holder lives, or may.
        """
        locks = read_locks(self.engine.backend_url(), self.engine.project(), stack, self.engine.root)
        if locks is None:
            return None
        held = [(lock, judge(lock, socket.gethostname(), process_started)) for lock in locks]
        alive = [(lock, holder) for lock, holder in held if holder is not Holder.DEAD]
        if alive:
            raise locked_error(stack, alive)
        return locks

    def _free(self, stack: str, dead: Iterable[Lock]) -> None:
        """Remove these locks and, as far as the store allows, no other: another run may have taken one by now."""
        dead = list(dead)
        if dead:  # while the stack is still locked, so that nobody writes what looks half written
            remove_leftovers(self.engine.backend_url(), self.engine.project(), stack, self.engine.root)
        for lock in dead:
            if lock.path:
                lock.path.unlink(missing_ok=True)
            elif self._dead_locks(stack):
                self.engine.cancel(stack)  # removes all there are
            since = f"{lock.timestamp.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
            self.say(f"{stack}: removed the lock of process {lock.pid} from {since}; the process is dead")

    def _settle(
        self, stack: str, export: Json, operations: list[plan.PendingOperation], overrides: Overrides
    ) -> list[str]:
        """Do what is decided about each operation; return the URNs that must be read anew."""
        self.say(f"{stack}: {len(operations)} operation(s) were interrupted; looking at what became of them")
        actions = plan.decide(operations, self._reality(operations, plan.known_ids(export), overrides))
        asked = [action for action in actions if action.verb == "ask"]
        if asked:
            raise unclear_error(stack, asked)
        self._unblock_releases(operations)
        self.engine.load(stack, plan.edit(export, actions))
        for action in actions:
            self.say(f"{stack}: {_DONE[action.verb]} {describe(action.urn)}{_id(action)}: {action.why}")
        return plan.rechecked(export, actions)

    def _reality(
        self, operations: Iterable[plan.PendingOperation], known: frozenset[str], overrides: Overrides
    ) -> dict[str, plan.Reality]:
        reality: dict[str, plan.Reality] = {}
        for operation in filter(plan.needs_look, operations):
            if operation.urn in overrides.exists:
                reality[operation.urn] = plan.Exists(overrides.exists[operation.urn])
            elif operation.urn in overrides.absent:
                reality[operation.urn] = plan.Absent()
            else:
                look = _LOOKS.get(operation.type.partition(":")[0], _nobody)
                reality[operation.urn] = look(operation, known)
        return reality

    def _unblock_releases(self, operations: Iterable[plan.PendingOperation]) -> None:
        import httpx

        # The record of a release that was being removed is what the next removal finds the chart's objects by.
        releases = [o for o in operations if o.type == RELEASE_TYPE and o.kind != "deleting"]
        if not releases:
            return
        api = KubernetesApi.from_environment(self.engine.environ)
        with suppress(httpx.HTTPError):  # the release's own operation then says what is wrong with the cluster
            for operation in releases:
                for secret in reality_kubernetes.unblock_release(api, operation):
                    self.say(f"removed Helm's unfinished record {secret}, which blocks the release")


_DONE = {"adopt": "took up", "clear": "dropped", "recheck": "reads anew", "redo": "marked"}


def _id(action: plan.Action) -> str:
    return f" ({action.id})" if action.id else ""


def _nobody(operation: plan.PendingOperation, _known: frozenset[str]) -> plan.Reality:
    return plan.Unclear(f"no way is known to find a {operation.type}")


def unclear_error(stack: str, asked: Iterable[plan.Action]) -> StackCommandError:
    """Return the error that names every resource of which only a person can tell whether it exists."""
    lines = [f"{stack}: of these interrupted creations it cannot be told whether they happened:"]
    for action in asked:
        lines += [
            f"  {describe(action.urn)}: {action.why}",
            f"    if it exists: pavedpath stack repair {stack} --exists '{action.urn}=ID'",
            f"    if it does not: pavedpath stack repair {stack} --absent '{action.urn}'",
        ]
    lines.append("Look at the account, then run repair once with an option for each of them.")
    return StackCommandError("\n".join(lines))
