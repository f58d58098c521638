"""People who work on a repository of the sandbox's GitHub: they commit, propose, review and merge."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx


class RefusedError(Exception):
    """GitHub refused what a person asked for; the message is GitHub's."""


@dataclass(frozen=True)
class Person:
    """One member of the organisation.

    Attributes:
        login: who it is.
        repository: OWNER/NAME of the repository that they work on.
        client: an HTTP client of the server that authenticates as them.
    """

    login: str
    repository: str
    client: httpx.Client

    @classmethod
    def at(cls, root: str, login: str, token: str, repository: str) -> "Person":
        """Open the server at `root` as somebody."""
        headers = {"Authorization": f"Bearer {token}"}
        return cls(login, repository, httpx.Client(base_url=root, headers=headers, timeout=60, trust_env=False))

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Call the API below the repository; return the answer's document.

        Raises:
            RefusedError: with GitHub's own reason.
        """
        response = self.client.request(method, f"/repos/{self.repository}/{path}", json=body)
        if response.is_error:
            document = response.json()
            reasons = "; ".join([str(document.get("message")), *map(str, document.get("errors", []))])
            raise RefusedError(" ".join(reasons.split()))
        return response.json() if response.content else None

    def head(self, branch: str) -> str:
        """Return the commit that a branch points to."""
        return str(self.ask("GET", f"git/ref/heads/{branch}")["object"]["sha"])

    def commit(self, branch: str, message: str, files: Mapping[str, bytes | None], base: str = "main") -> str:
        """Commit files (None deletes one) to a new branch from `base`; return the commit."""
        parent = self.head(base)
        tree = [
            {"path": path, "mode": "100644", "type": "blob", "sha": self._blob(text)} for path, text in files.items()
        ]
        below = self.ask("GET", f"git/commits/{parent}")["tree"]["sha"]
        made = self.ask("POST", "git/trees", {"base_tree": below, "tree": tree})
        commit = self.ask("POST", "git/commits", {"message": message, "tree": made["sha"], "parents": [parent]})
        self.ask("POST", "git/refs", {"ref": f"refs/heads/{branch}", "sha": commit["sha"]})
        return str(commit["sha"])

    def _blob(self, content: bytes | None) -> str | None:
        if content is None:
            return None
        body = {"content": base64.b64encode(content).decode(), "encoding": "base64"}
        return str(self.ask("POST", "git/blobs", body)["sha"])

    def propose(self, title: str, head: str, base: str = "main") -> int:
        """Open a pull request; return its number."""
        return int(self.ask("POST", "pulls", {"title": title, "head": head, "base": base})["number"])

    def approve(self, number: int) -> None:
        """Approve a pull request."""
        self.ask("POST", f"pulls/{number}/reviews", {"event": "APPROVE"})

    def merge(self, number: int, method: str = "squash") -> str:
        """Merge a pull request; return the commit."""
        return str(self.ask("PUT", f"pulls/{number}/merge", {"merge_method": method})["sha"])

    def changed(self, number: int) -> Sequence[str]:
        """Return the paths that a pull request changes."""
        return [str(each["filename"]) for each in self.ask("GET", f"pulls/{number}/files?per_page=100")]
