"""What each command of `pavedpath stack` does, in order."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pavedpath_delivery.kit.documents import Json
from pavedpath_delivery.kit.kube import KubernetesApi
from pavedpath_delivery.stack import render
from pavedpath_delivery.stack.engine import Engine, StackNotFoundError
from pavedpath_delivery.stack.errors import Exit, StackCommandError
from pavedpath_delivery.stack.events import Event
from pavedpath_delivery.stack.layers import Layer, layers
from pavedpath_delivery.stack.pods import PodWatcher
from pavedpath_delivery.stack.repair import plan
from pavedpath_delivery.stack.repair.run import Overrides, Repairer
from pavedpath_delivery.stack.run import Run, describe

if TYPE_CHECKING:
    from rich.console import Console

_YES = ("--yes", "--skip-preview")


@dataclass(frozen=True)
class Opened:
    """A stack that can be worked on: how many resources it has, and whether it was created for this."""

    resources: int
    new: bool = False


@dataclass(frozen=True)
class Flow:
    """The commands over one project.

    Args:
        engine: the CLI in the project.
        console: where everything but data goes.
        connect: opens the cluster whose pods are watched.
        clock: gives seconds.
    """

    engine: Engine
    console: "Console"
    connect: Callable[[], KubernetesApi]
    clock: Callable[[], float] = time.monotonic

    def up(self, stacks: Sequence[str], next_commands: Sequence[str], whole: str) -> Exit:
        """Create or update stacks in this order, then show what exists.

        With a policy pack each stack is previewed first: the update itself would find a violation only when it comes to
        that resource, and one over the whole stack at its very end.
        """
        found: list[Layer] = []
        for position, stack in enumerate(stacks):
            known = self._open(stack).resources
            if self.engine.policy_pack():
                check = self._operate(stack, "check", ["preview"], known)
                if not check.ok:
                    return self._conclude(check, stacks[position + 1 :])
            watcher = PodWatcher(self.connect)
            run = self._operate(stack, "up", ["up", *_YES], known, watcher)
            watcher.close()
            if code := self._conclude(run, stacks[position + 1 :], watcher.report()):
                return code
            found += layers(stack, run.outputs)
        self.console.print()
        self.console.print(render.summary(found, next_commands, len(stacks) + 1, whole=whole))
        return Exit.OK

    def _open(self, stack: str) -> Opened:
        """Repair the stack, or create it; say which, and how many resources it has."""
        try:
            return Opened(plan.resource_count(self._repairer().repair(stack)))
        except StackNotFoundError:
            self.engine.create(stack)
            return Opened(0, new=True)

    def preview(self, stacks: Sequence[str], *, expect_no_changes: bool, as_json: bool) -> Exit:
        """Show which resources and which of their properties an `up` would change; repairs first.

        A stack that does not exist is created for its preview and removed again. One that reads it is not previewed.
        """
        documents: list[Json] = []
        changed: list[str] = []
        new: list[str] = []
        for position, stack in enumerate(stacks):
            run, created = self._preview(stack)
            missing = next((name for name in new if run.missed(name)), None)
            new += [stack] if created else []
            if missing:
                reason = f"{missing} does not exist yet: pavedpath stack up {missing}"
                documents.append({"stack": stack, "not_previewed": reason})
                self._say(f"{stack}: not previewed, since {reason}")
                continue
            if not run.ok:
                return self._conclude(run, stacks[position + 1 :])
            changed += [stack] if run.changes else []
            documents.append(render.changes_json(stack, run))
            self._warn(run)
            if not as_json:
                self.console.print(render.change_list(stack, run.changes))
        if as_json:
            _print_json({"stacks": documents})
        if expect_no_changes and changed:
            self._say(f"Changes were found where none were expected: {', '.join(changed)}")
            return Exit.CHANGES
        return Exit.OK

    def _preview(self, stack: str) -> tuple[Run, bool]:
        """Return the preview, and whether the stack is new."""
        known = self._open(stack)
        try:
            return self._operate(stack, "preview", ["preview"], known.resources), known.new
        finally:
            if known.new:
                self.engine.remove(stack)

    def down(self, stacks: Sequence[str], confirm: Callable[[str], bool]) -> Exit:
        """Destroy stacks in this order and remove them from the backend."""
        known: dict[str, int] = {}
        guarded: list[str] = []
        for stack in stacks:
            try:
                export = self._repairer().repair(stack)
            except StackNotFoundError:
                self._say(f"{stack}: already gone")
                continue
            known[stack] = plan.resource_count(export)
            guarded += _protected_lines(stack, plan.protected(export))
        if guarded:
            raise StackCommandError("Nothing was destroyed, for these resources are protected:\n" + "\n".join(guarded))
        if not known:
            return Exit.OK
        said = ", ".join(f"{stack} ({count} resources)" for stack, count in known.items())
        if not confirm(f"Destroy {said}?"):
            self._say("Nothing was destroyed.")
            return Exit.OK
        order = list(known)
        for position, stack in enumerate(order):
            run = self._operate(stack, "destroy", ["destroy", *_YES], known[stack])
            if code := self._conclude(run, order[position + 1 :]):
                return code
            self.engine.remove(stack)
        return Exit.OK

    def refresh(self, stacks: Sequence[str], *, preview_only: bool, as_json: bool) -> Exit:
        """Repair, read what is there and show how it differs from the state; take that in, unless `preview_only`."""
        documents: list[Json] = []
        for position, stack in enumerate(stacks):
            run = self.compare(stack) if preview_only else self._refresh(stack, _YES, self._repaired(stack))
            if not run.ok:
                return self._conclude(run, stacks[position + 1 :])
            documents.append(render.changes_json(stack, run))
            if not as_json:
                self.console.print(render.change_list(stack, run.changes, render.DRIFT))
        if as_json:
            _print_json({"stacks": documents})
        return Exit.OK

    def compare(self, stack: str) -> Run:
        """Repair, and read how what is there differs from the state, which stays as it is."""
        return self._refresh(stack, ["--preview-only"], self._repaired(stack))

    def _repaired(self, stack: str) -> int:
        return plan.resource_count(self._repairer().repair(stack))

    def summary(self, stacks: Sequence[str], next_commands: Sequence[str], whole: str, *, everything: bool) -> Exit:
        """Show what exists, by layer."""
        found = [layer for stack in stacks for layer in layers(stack, self.engine.outputs(stack))]
        self.console.print(render.summary(found, next_commands, everything=everything, whole=whole))
        return Exit.OK

    def repair(self, stacks: Sequence[str], overrides: Overrides) -> Exit:
        """Settle what an interrupted run left."""
        for stack in stacks:
            self._repairer().repair(stack, overrides)
            self._say(f"{stack}: in order")
        return Exit.OK

    def _repairer(self) -> Repairer:
        return Repairer(self.engine, self._say, lambda stack, args: self._refresh(stack, [*_YES, *args], 0))

    def _refresh(self, stack: str, args: Sequence[str], known: int) -> Run:
        return self._operate(stack, "refresh", ["refresh", *args], known)

    def _operate(
        self,
        stack: str,
        kind: str,
        args: Sequence[str],
        known: int,
        watcher: Callable[[Event], None] | None = None,
    ) -> Run:
        run = Run(stack, kind, known, self.clock())
        with render.Progress(self.console, run, self.clock) as progress:

            def take(event: Event) -> None:
                if watcher:
                    watcher(event)
                if finished := run.apply(event, self.clock()):
                    progress.finished(finished)

            self.engine.stream([*args, *self._policy_arguments(args[0]), "--stack", stack], run, take)
        return run

    def _policy_arguments(self, operation: str) -> Sequence[str]:
        """Return what makes the engine apply the project's policy pack, for the operations that can."""
        pack = self.engine.policy_pack()
        return ["--policy-pack", str(pack)] if pack and operation in ("up", "preview") else []

    def _conclude(self, run: Run, untried: Sequence[str], reports: Mapping[str, Sequence[str]] | None = None) -> Exit:
        """Print how an operation ended; return a code other than OK if the command ends with it."""
        self._warn(run)
        if run.ok:
            self.console.print(render.result(run))
            return Exit.OK
        self.console.print(render.failure(run, reports))
        self.console.print(render.result(run))
        if untried:
            self._say(f"not tried: {', '.join(untried)}")
        if run.interrupted:
            return Exit.INTERRUPTED
        return Exit.POLICY if run.blocked else Exit.FAILED

    def _warn(self, run: Run) -> None:
        for warning in render.warnings(run):
            self.console.print(warning)

    def _say(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


def _protected_lines(stack: str, urns: Sequence[str]) -> list[str]:
    return [
        f"  {stack}: {describe(urn)}\n"
        f"    remove `protect` from it in the program and run `pavedpath stack up {stack}`, or\n"
        f"    pulumi state unprotect --yes --stack {stack} '{urn}'"
        for urn in urns
    ]


def _print_json(document: Json) -> None:
    print(json.dumps(document, indent=2))  # noqa: T201  stdout carries the data, everything else goes to stderr
