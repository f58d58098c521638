"""A repository at GitHub, as far as a release needs it."""

from pavedpath_delivery.images.versions import Version
from pavedpath_delivery.kit.documents import Json, Properties, fields, objects
from pavedpath_delivery.kit.errors import DeliveryError, Exit
from pavedpath_delivery.kit.github import GitHub, told
from pavedpath_delivery.release.notes import Commit
from pavedpath_delivery.release.rules import Tag


class Hub:
    """A repository.

    Args:
        api: GitHub's.
        repository: OWNER/NAME.
    """

    def __init__(self, api: GitHub, repository: str) -> None:
        self._api = api
        self.repository = repository
        self._path = f"repos/{repository}"

    def default_branch(self) -> str:
        """Return its name.

        Raises:
            DeliveryError: there is no such repository, or the token does not see it.
        """
        found = fields(self._get(""))
        if not found:
            raise DeliveryError(
                f"GitHub has no repository {self.repository}, or the token does not see it. Fix: check --repository"
                " and the token's access.",
                Exit.USAGE,
            )
        return str(found["default_branch"])

    def commit(self, name: str) -> str:
        """Return the whole hash of a commit.

        Raises:
            DeliveryError: GitHub does not have it.
        """
        with told():
            answer = self._api.get(f"{self._path}/commits/{name}", per_page="1")
        if answer is None:
            raise DeliveryError(f"GitHub does not have the commit {name}. Fix: push it.", Exit.USAGE)
        return str(answer["sha"])

    def is_on(self, commit: str, branch: str) -> bool:
        """Return whether a branch contains a commit."""
        with told():
            answer = fields(self._api.get(f"{self._path}/compare/{branch}...{commit}", per_page="1"))
        return answer.get("status") in {"identical", "behind"}

    def versions(self) -> list[Version]:
        """Return the versions that have a tag."""
        with told():
            refs = self._api.every(f"{self._path}/git/matching-refs/tags/v")
        names = [str(ref["ref"]).removeprefix("refs/tags/") for ref in refs]
        return [version for name in names if (version := Version.parse(name))]

    def tag(self, name: str) -> Tag | None:
        """Return a tag and the commit that it means."""
        target = fields(fields(self._get(f"/git/ref/tags/{name}")).get("object"))
        if not target:
            return None
        annotated = target["type"] == "tag"
        while target["type"] == "tag":
            target = fields(fields(self._get(f"/git/tags/{target['sha']}")).get("object"))
        return Tag(str(target["sha"]), annotated)

    def commits(self, base: str, commit: str) -> list[Commit]:
        """Return what a commit has that a tag has not, oldest first; everything without a tag."""
        with told():
            if base:
                found = self._api.every(f"{self._path}/compare/{base}...{commit}", "commits")
            else:
                found = [*self._api.stream(f"{self._path}/commits", sha=commit)][::-1]
        return [_commit(each) for each in found]

    def make_tag(self, name: str, commit: str, message: str) -> None:
        """Make an annotated tag.

        Raises:
            DeliveryError: GitHub refuses it, also where it is there already.
        """
        body = {"tag": name, "message": message, "object": commit, "type": "commit"}
        made = fields(self._send("git/tags", body))
        self._send("git/refs", {"ref": f"refs/tags/{name}", "sha": made["sha"]})

    def release(self, tag: str) -> str | None:
        """Return the address of a tag's release; None without one, or with a draft alone."""
        found = fields(self._get(f"/releases/tags/{tag}"))
        return str(found["html_url"]) if found else None

    def make_release(self, tag: str, notes: str, *, prerelease: bool, latest: bool) -> str:
        """Make the release of a tag that is there, and return its address."""
        body = {"tag_name": tag, "name": tag, "body": notes, "prerelease": prerelease}
        return str(fields(self._send("releases", {**body, "make_latest": str(latest).lower()}))["html_url"])

    def _get(self, path: str) -> Json | None:
        with told():
            return self._api.get(f"{self._path}{path}")

    def _send(self, path: str, body: Properties) -> Json | None:
        with told():
            return self._api.send("POST", f"{self._path}/{path}", body)


def _commit(document: Properties) -> Commit:
    parents = objects(document.get("parents"))
    return Commit(str(document["sha"]), str(fields(document["commit"])["message"]), len(parents))
