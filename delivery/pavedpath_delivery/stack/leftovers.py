"""Files that a killed engine leaves half written in a `file://` backend, and that keep the next one from reading it.

The state itself is safe: it is written under another name and renamed. What it has beside it, its attributes, is not:
a kill between creating that file and filling it makes every later read end with "failed to load checkpoint: EOF".
Source: gocloud.dev, blob/fileblob (writerWithSidecar.Close, setAttrs, createTemp), which the engine writes with.
"""

import json
from pathlib import Path
from urllib.parse import urlsplit


def remove_leftovers(backend_url: str, project: str, stack: str, root: Path) -> list[Path]:
    """Remove a stack's unreadable attribute files and unfinished copies; nothing may be running on the stack.

    Args:
        backend_url: the backend; anything but `file://…` has no such files.
        project: the project's name.
        stack: the stack's name.
        root: where a relative `file://` path starts.

    Returns:
        What was removed. Without its attributes a file is read with the defaults, which is all the engine needs.
    """
    url = urlsplit(backend_url)
    if url.scheme != "file":
        return []
    base = root / Path(url.netloc + url.path).expanduser() / ".pulumi"
    stacks, history = base / "stacks" / project, base / "history" / project / stack
    names = [*stacks.glob(f"{stack}.json*"), *history.glob("*")]
    found = [path for path in names if path.suffix == ".tmp" or (path.suffix == ".attrs" and not _readable(path))]
    for path in found:
        path.unlink(missing_ok=True)
    return sorted(found)


def _readable(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return True
