"""The exit codes of `pavedpath stack` and the errors that carry them."""

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes; documented in docs/stack-command.md."""

    OK = 0
    FAILED = 1
    USAGE = 2
    LOCKED = 3
    CHANGES = 4
    POLICY = 5
    INTERRUPTED = 130


class StackCommandError(Exception):
    """An error that is told to the user as it stands, without a traceback.

    Args:
        message: cause and remedy, complete sentences.
        code: the exit code of the command.
    """

    def __init__(self, message: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.code = code
