"""The exit codes of `pavedpath` and the errors that carry them."""

from collections.abc import Callable
from enum import IntEnum


class Exit(IntEnum):
    """Exit codes, the same for every command; documented in docs/commands/index.md."""

    OK = 0
    FAILED = 1
    """It did not work, or what was looked at is not as it must be (a red gate, a failing smoke test)."""
    USAGE = 2
    """What was given cannot be used: arguments, files, settings, a missing program."""
    LOCKED = 3
    """Someone else is at it."""
    CHANGES = 4
    """Something differs: a preview's changes, drift."""
    POLICY = 5
    """Refused by a rule, before anything was changed."""
    ROLLED_BACK = 6
    """A deployment failed, and what ran before runs again."""
    BROKEN = 7
    """A deployment failed, and what ran before does not run: a person must look."""
    INTERRUPTED = 130


class DeliveryError(Exception):
    """An error that is told to the user as it stands, without a traceback.

    Args:
        message: cause and remedy, complete sentences; every offender in one message.
        code: the exit code of the command.
    """

    def __init__(self, message: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.code = code


def together(*checks: Callable[[], object]) -> None:
    """Make checks that each raise what is wrong, and raise all of it at once.

    Raises:
        DeliveryError: every message, a line or more each; the code is that of the first.
    """
    found: list[DeliveryError] = []
    for check in checks:
        try:
            check()
        except DeliveryError as error:
            found.append(error)
    if found:
        raise DeliveryError("\n".join(map(str, found)), found[0].code)
