"""A repository's settings as GitHub tells them, each document beside what could not be read."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias
from urllib.parse import quote

from pavedpath_delivery.kit.documents import Json, Properties, fields, objects

_PAGE = 100
_NOT_SEEN = "404: not there, or the token may not see it"


class Api(Protocol):
    """What is asked of GitHub; `kit.github.GitHub` is one."""

    def get(self, path: str, **params: str) -> Json | None:
        """Return the document at a path, None where there is none."""
        ...


@dataclass(frozen=True)
class Unread:
    """Why a document could not be read."""

    reason: str


Snapshot: TypeAlias = Mapping[str, Json | Unread]
"""Documents by name. `repository`, `rules`, `rulesets`, `environments`, `policies/ENVIRONMENT`, `secrets/ENVIRONMENT`,
`secrets`, `organization secrets`, `actions`, `token`, `workflows` (path -> text), `outside`, `keys`, `hooks`, `alerts`
(a truth), `deploy branches`, `rules/BRANCH`."""


def ask(api: Api, path: str, key: str = "", **params: str) -> Json | Unread:
    """Return a document; with `key` (`[]` for the answer itself) the items of all pages of a list."""
    import httpx

    try:
        if not key:
            found = api.get(path, **params)
            return Unread(_NOT_SEEN) if found is None else found
        items: list[Properties] = []
        page = 1
        while True:
            document = api.get(path, per_page=str(_PAGE), page=str(page), **params)
            if document is None:
                return Unread(_NOT_SEEN)
            new = objects(document if key == "[]" else fields(document).get(key))
            items += new
            if len(new) < _PAGE:
                return items
            page += 1
    except httpx.HTTPStatusError as error:
        return Unread(f"{error.response.status_code}: {error.response.reason_phrase}")
    except httpx.HTTPError as error:
        return Unread(f"GitHub cannot be reached: {error or type(error).__name__}")


def snapshot(api: Api, name: str) -> Snapshot:
    """Read a repository; without it there is `repository` alone."""
    root = f"repos/{name}"
    repository = ask(api, root)
    found: dict[str, Json | Unread] = {"repository": repository}
    if isinstance(repository, Unread):
        return found
    branch = str(fields(repository).get("default_branch", ""))
    found |= {
        "rules": ask(api, f"{root}/rules/branches/{quote(branch, safe='')}", "[]"),
        "rulesets": _rulesets(api, root),
        "secrets": ask(api, f"{root}/actions/secrets", "secrets"),
        "organization secrets": ask(api, f"{root}/actions/organization-secrets", "secrets"),
        "actions": ask(api, f"{root}/actions/permissions"),
        "token": ask(api, f"{root}/actions/permissions/workflow"),
        "workflows": _workflows(api, root, branch),
        "outside": ask(api, f"{root}/collaborators", "[]", affiliation="outside"),
        "keys": ask(api, f"{root}/keys", "[]"),
        "hooks": ask(api, f"{root}/hooks", "[]"),
        "alerts": _alerts(api, root, fields(repository)),
        "deploy branches": _deploy_branches(api, root, branch),
    }
    return found | _environments(api, root)


def _rulesets(api: Api, root: str) -> Json | Unread:
    listed = ask(api, f"{root}/rulesets", "[]", includes_parents="true")
    if isinstance(listed, Unread):
        return listed
    read = [ask(api, f"{root}/rulesets/{each['id']}", includes_parents="true") for each in objects(listed)]
    return next((each for each in read if isinstance(each, Unread)), read)


def _workflows(api: Api, root: str, branch: str) -> Json | Unread:
    # Only the folder above tells an absent folder from one that may not be read.
    for folder, inside in (("", ".github"), (".github", "workflows")):
        listed = ask(api, f"{root}/contents/{folder}".rstrip("/"), "", ref=branch)
        if isinstance(listed, Unread):
            return listed
        if inside not in {str(each.get("name")) for each in objects(listed)}:
            return {}
    listed = ask(api, f"{root}/contents/.github/workflows", "", ref=branch)
    if isinstance(listed, Unread):
        return listed
    texts: dict[str, str] = {}
    for each in objects(listed):
        path = str(each.get("path"))
        if each.get("type") != "file" or not path.endswith((".yml", ".yaml")):
            continue
        document = ask(api, f"{root}/contents/{quote(path)}", "", ref=branch)
        if isinstance(document, Unread):
            return document
        texts[path] = base64.b64decode(str(fields(document).get("content", ""))).decode(errors="replace")
    return texts


def _alerts(api: Api, root: str, repository: Properties) -> Json | Unread:
    answer = ask(api, f"{root}/vulnerability-alerts")
    if not isinstance(answer, Unread):
        return True
    # 404 says "off" to administrators, and "none of your business" to everybody else.
    administrator = fields(repository.get("permissions")).get("admin") is True
    return False if answer.reason == _NOT_SEEN and administrator else answer


def _deploy_branches(api: Api, root: str, branch: str) -> Json | Unread:
    refs = ask(api, f"{root}/git/matching-refs/heads/deploy/", "[]")
    if isinstance(refs, Unread):
        return refs
    found: list[Properties] = []
    for each in objects(refs):
        name = str(each.get("ref", "")).removeprefix("refs/heads/")
        commit = ask(api, f"{root}/commits/{fields(each.get('object')).get('sha')}")
        between = ask(api, f"{root}/compare/{quote(name, safe='')}...{quote(branch, safe='')}")
        for answer in (commit, between):
            if isinstance(answer, Unread):
                return answer
        date = fields(fields(fields(commit).get("commit")).get("committer")).get("date")
        found.append({"name": name, "date": date, "behind": fields(between).get("ahead_by", 0)})
    return found


def _environments(api: Api, root: str) -> dict[str, Json | Unread]:
    listed = ask(api, f"{root}/environments", "environments")
    found: dict[str, Json | Unread] = {"environments": listed}
    if isinstance(listed, Unread):
        return found
    for each in objects(listed):
        name = str(each["name"])
        at = f"{root}/environments/{quote(name, safe='')}"
        found[f"secrets/{name}"] = ask(api, f"{at}/secrets", "secrets")
        if not fields(each.get("deployment_branch_policy")).get("custom_branch_policies"):
            continue
        policies = ask(api, f"{at}/deployment-branch-policies", "branch_policies")
        found[f"policies/{name}"] = policies
        for policy in [] if isinstance(policies, Unread) else objects(policies):
            branch = str(policy.get("name", ""))
            if policy.get("type", "branch") == "branch" and not set(branch) & set("*?["):
                found[f"rules/{branch}"] = ask(api, f"{root}/rules/branches/{quote(branch, safe='')}", "[]")
    return found
