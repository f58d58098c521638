"""A bundle of files with a limit, and its archive."""

import io
import tarfile
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Bundle:
    """Files by name, in the order in which they matter: what comes when the limit is reached is left out.

    Args:
        limit: bytes of all files together.
        largest: bytes of one file; of a longer one the end is kept, where a log says what happened.
    """

    limit: int
    largest: int
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])
    left_out: list[str] = field(default_factory=list[str])
    cut: list[str] = field(default_factory=list[str])

    def add(self, name: str, text: str) -> None:
        """Take a file in, or note that there was no room."""
        content = text.encode()
        if len(content) > self.largest:
            # From a line's beginning: half a line could be half of what is hidden whole.
            tail = content[-self.largest :]
            content = tail[tail.find(b"\n") + 1 :]
            self.cut.append(name)
        if sum(map(len, self.files.values())) + len(content) > self.limit:
            self.left_out.append(name)
        else:
            self.files[name] = content

    def write(self, folder: Path, name: str, index: str) -> Path:
        """Write `index.md` and `name.tar.gz`, which holds it too, readable by their owner; return the archive."""
        folder.mkdir(parents=True, exist_ok=True)
        files = {"index.md": index.encode(), **self.files}
        archive = folder / f"{name}.tar.gz"
        scratch = folder / f".{archive.name}.part"
        with tarfile.open(scratch, "w:gz") as tar:
            for each, content in files.items():
                info = tarfile.TarInfo(f"{name}/{each}")
                info.size, info.mode = len(content), 0o600
                tar.addfile(info, io.BytesIO(content))
        scratch.chmod(0o600)
        scratch.replace(archive)
        (folder / "index.md").write_bytes(files["index.md"])
        return archive
