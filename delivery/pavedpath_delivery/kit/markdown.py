"""Text from outside in the summary of a job."""


def cell(text: str) -> str:
    """Return a text that stays in its cell of a table, or in its line, and is no markup. Pure."""
    line = " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|")
    return line.replace("<", "&lt;").replace("[", "\\[").replace("`", "'")
