"""What evidence there is; apart from the rest, so that the command line can name it without loading that."""

from enum import StrEnum


class Kind(StrEnum):
    """What was done to an image, and went well."""

    TESTED = "tested"
    SCANNED = "scanned"
