"""What one operation of the engine has done so far: a fold over its events. Pure; the clock is an argument."""

import re
from collections import Counter
from dataclasses import dataclass, field, replace

from pavedpath_delivery.kit.documents import Json
from pavedpath_delivery.stack.diff import ResourceChange, resource_changes
from pavedpath_delivery.stack.events import (
    PROVIDER_PREFIX,
    STACK_TYPE,
    Diagnostic,
    Event,
    PolicyViolation,
    Step,
    Summary,
    plain,
    resource_name,
    resource_type,
    short_type,
)

# What the engine says besides, or after, the message that names the cause.
_NOISE = re.compile(
    r"(update|preview|destroy|refresh) failed"
    r"|(an unhandled error occurred: )?program exited with non-zero exit code: -?\d+"
    r"|resource monitor shut down.*"
    r"|using pulumi-\S+ from \$PATH at .*",
    re.DOTALL | re.IGNORECASE,
)

_PROVIDER_LOG = re.compile(r"\s*(sdk-v2|pf)/\S+\.go:\d+: ")  # the Terraform bridge logs each error before it returns it
_ERROR_COUNT = re.compile(r"^\s*1 error occurred:\s*\* ")


@dataclass(frozen=True)
class InFlight:
    """A step that is under way.

    `since` is the clock's value at its begin, `status` the provider's latest word. A component is under way as long
    as its children are: it is no work of its own.
    """

    op: str
    urn: str
    since: float
    component: bool = False
    status: str = ""


@dataclass(frozen=True)
class Finished:
    """A step that ended, after so many seconds."""

    op: str
    urn: str
    seconds: float
    component: bool = False


@dataclass
class Run:
    """The operation `kind` (`up`, `check` before it, `preview`, `destroy`, `refresh`) on a stack.

    Args:
        stack: its name.
        kind: the operation.
        known: how many resources the stack had before; the engine does not say how many there will be.
        started: the clock's value, in seconds.
    """

    stack: str
    kind: str
    known: int = 0
    started: float = 0.0
    in_flight: dict[str, InFlight] = field(default_factory=dict[str, InFlight])
    seen: set[str] = field(default_factory=set[str])
    done: Counter[str] = field(default_factory=Counter[str])
    steps: dict[tuple[str, str], Step] = field(default_factory=dict[tuple[str, str], Step])
    failed: list[Step] = field(default_factory=list[Step])
    diagnostics: list[Diagnostic] = field(default_factory=list[Diagnostic])
    policies: list[PolicyViolation] = field(default_factory=list[PolicyViolation])
    summary: Summary | None = None
    outputs: dict[str, Json] = field(default_factory=dict[str, Json])
    exit_code: int = 0
    stderr: str = ""
    interrupted: bool = False

    def apply(self, event: Event, now: float) -> Finished | None:
        """Take an event in; return the step that it ended, for resources alone (not the stack, not providers)."""
        if event.diagnostic:
            self._diagnose(event.diagnostic)
        elif event.policy:
            self.policies.append(event.policy)
        elif event.summary:
            self.summary = event.summary
        elif event.started:
            self._start(event.started.metadata, now)
        elif event.finished:
            return self._finish(event.finished.metadata, now)
        elif event.failed:
            self.failed.append(event.failed.metadata)
            self.in_flight.pop(event.failed.metadata.urn, None)
        return None

    def _start(self, step: Step, now: float) -> None:
        if not is_resource(step.type):
            return
        self.seen.add(step.urn)
        self.steps[step.urn, step.op] = step
        self.in_flight[step.urn] = InFlight(step.op, step.urn, now, not step.custom)

    def _finish(self, step: Step, now: float) -> Finished | None:
        if step.type == STACK_TYPE and step.new:
            self.outputs = {key: plain(value) for key, value in step.new.outputs.items()}
        if not is_resource(step.type):
            return None
        begun = self.in_flight.pop(step.urn, None)
        if begun and begun.op == "refresh":  # what a refresh found is known only at its end
            self.steps[step.urn, step.op] = step
        if begun:
            self.done[step.op] += 1
        return Finished(step.op, step.urn, now - begun.since, begun.component) if begun else None

    def _diagnose(self, message: Diagnostic) -> None:
        text = message.message.rstrip("\n").removeprefix(f"{message.urn} verification warning: ")
        if message.ephemeral:
            if message.urn in self.in_flight and text:
                self.in_flight[message.urn] = replace(self.in_flight[message.urn], status=text)
            return
        self.diagnostics.append(message.model_copy(update={"message": text}))

    @property
    def ok(self) -> bool:
        """Whether the engine ended well."""
        return self.exit_code == 0 and not self.interrupted

    @property
    def total(self) -> int:
        """How many resources there are, as far as is known now."""
        return max(self.known, len(self.seen))

    @property
    def finished(self) -> int:
        """How many resources are done."""
        return len(self.seen) - len(self.in_flight)

    @property
    def changes(self) -> list[ResourceChange]:
        """What this operation changes, or (preview) would change."""
        return resource_changes(self.steps.values())

    @property
    def counts(self) -> dict[str, int]:
        """Resources by what happened to them: created, updated, replaced, deleted, unchanged."""
        words = {
            "created": "create",
            "updated": "update",
            "replaced": "replace",
            "deleted": "delete",
            "unchanged": "same",
        }
        return {word: self.done[op] for word, op in words.items() if self.done[op]}

    @property
    def program_output(self) -> str:
        """What the program wrote to stderr, verbatim."""
        return "\n".join(
            d.message for d in self.diagnostics if d.severity == "info#err" and not _NOISE.fullmatch(d.message)
        ).strip("\n")

    @property
    def warnings(self) -> list[Diagnostic]:
        """Warnings, each once."""
        return self._of("warning")

    @property
    def errors(self) -> list[Diagnostic]:
        """Errors, each once, without those that only repeat that something failed; never empty after a failure."""
        errors = _without_echoes(self._of("error"))
        if errors or self.ok or self.program_output or self.violations:
            return errors
        if self.interrupted:
            return []
        if self.exit_code < 0:
            text = f"the engine was killed by signal {-self.exit_code}; the next run goes on from here"
        else:
            said = [line for line in self.stderr.splitlines() if not _NOISE.fullmatch(line.removeprefix("warning: "))]
            text = "\n".join(said).strip() or f"the engine ended with code {self.exit_code} and said nothing"
        return [Diagnostic(message=text.removeprefix("error: "), severity="error")]

    def missed(self, stack: str) -> bool:
        """Whether it failed because another stack, which the program reads, is not in the backend."""
        if self.ok or self.interrupted:
            return False
        said = "\n".join([*(d.message for d in self.diagnostics), self.stderr])
        return re.search(rf"""unknown stack \\?["'](?:[^"'\s]*/)?{re.escape(stack)}\\?["']""", said) is not None

    @property
    def violations(self) -> list[PolicyViolation]:
        """Mandatory policies that were broken, each once."""
        return list(dict.fromkeys(policy for policy in self.policies if policy.level == "mandatory"))

    @property
    def blocked(self) -> bool:
        """Whether policies, and nothing else, ended it."""
        return bool(self.violations) and not (self.ok or self.errors or self.failed or self.program_output)

    def _of(self, severity: str) -> list[Diagnostic]:
        found = (d for d in self.diagnostics if d.severity == severity and not _NOISE.fullmatch(d.message.strip()))
        return list(dict.fromkeys(found))


def _without_echoes(errors: list[Diagnostic]) -> list[Diagnostic]:
    """Return the errors without the provider's log lines where the provider also gave the error itself."""
    told = {error.urn for error in errors if not _PROVIDER_LOG.match(error.message)}
    kept = [error for error in errors if error.urn not in told or not _PROVIDER_LOG.match(error.message)]
    return [error.model_copy(update={"message": _ERROR_COUNT.sub("", error.message)}) for error in kept]


def is_resource(token: str) -> bool:
    """Whether a type counts as a resource for people: not the stack itself and not a provider."""
    return token != STACK_TYPE and not token.startswith(PROVIDER_PREFIX)


def describe(urn: str) -> str:
    """Return a resource's type and name as people say them."""
    return f"{short_type(resource_type(urn))} {resource_name(urn)}"
