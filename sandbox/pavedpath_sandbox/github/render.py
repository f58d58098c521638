"""Records as GitHub shows them: users, organisations, repositories, and the addresses in them."""

import base64

from pavedpath_sandbox.github.call import Call, Urls
from pavedpath_sandbox.github.store import ROOT, Json, Record

NODE_PREFIXES = {
    "repository": "R",
    "organization": "O",
    "user": "U",
    "team": "T",
    "environment": "EN",
    "branch_policy": "DBP",
    "protection_rule": "GA",
    "ruleset": "RRS",
    "label": "LA",
    "run": "WFR",
    "job": "CR",
    "app": "A",
    "workflow": "W",
    "deployment": "DE",
    "deployment_status": "DES",
    "check": "CHR",
    "check_suite": "CS",
    "status": "SC",
    "pull": "PR",
    "review": "PRR",
    "comment": "IC",
    "release": "RE",
}

_USER_PATHS = (
    "followers following{/other_user} gists{/gist_id} starred{/owner}{/repo} subscriptions orgs repos "
    "events{/privacy} received_events"
)

_REPOSITORY_PATHS = {
    "archive_url": "{archive_format}{/ref}",
    "assignees_url": "assignees{/user}",
    "blobs_url": "git/blobs{/sha}",
    "branches_url": "branches{/branch}",
    "collaborators_url": "collaborators{/collaborator}",
    "comments_url": "comments{/number}",
    "commits_url": "commits{/sha}",
    "compare_url": "compare/{base}...{head}",
    "contents_url": "contents/{+path}",
    "contributors_url": "contributors",
    "deployments_url": "deployments",
    "downloads_url": "downloads",
    "events_url": "events",
    "forks_url": "forks",
    "git_commits_url": "git/commits{/sha}",
    "git_refs_url": "git/refs{/sha}",
    "git_tags_url": "git/tags{/sha}",
    "hooks_url": "hooks",
    "issue_comment_url": "issues/comments{/number}",
    "issue_events_url": "issues/events{/number}",
    "issues_url": "issues{/number}",
    "keys_url": "keys{/key_id}",
    "labels_url": "labels{/name}",
    "languages_url": "languages",
    "merges_url": "merges",
    "milestones_url": "milestones{/number}",
    "notifications_url": "notifications{?since,all,participating}",
    "pulls_url": "pulls{/number}",
    "releases_url": "releases{/id}",
    "stargazers_url": "stargazers",
    "statuses_url": "statuses/{sha}",
    "subscribers_url": "subscribers",
    "subscription_url": "subscription",
    "tags_url": "tags",
    "teams_url": "teams",
    "trees_url": "git/trees{/sha}",
}

_COUNTS = (
    *("forks", "forks_count", "network_count", "open_issues", "open_issues_count", "size"),
    *("stargazers_count", "subscribers_count", "watchers", "watchers_count"),
)

ROLES = ("pull", "triage", "push", "maintain", "admin")
READ_ROLES = {"pull": "read", "push": "write"}
"""The names that GitHub gives two of the roles where it speaks of role names."""

ACTIONS_APP = 15368
"""The id of GitHub Actions as an app on github.com; rulesets name it to say whose checks count."""
_GITHUB_ID = 9919
_ACTIONS_SINCE = "2018-07-30T09:30:17Z"

_UNSEEN = {"vulnerability_alerts", "automated_security_fixes"}
"""What is kept with a repository but asked for elsewhere."""


def node_id(kind: str, identity: int) -> str:
    """A global id in GitHub's format: the kind's prefix and a MessagePack array of zero and the id."""
    packed = b"\x92\x00\xce" + identity.to_bytes(4, "big")
    return f"{NODE_PREFIXES[kind]}_{base64.urlsafe_b64encode(packed).decode().rstrip('=')}"


def parse_node_id(text: str) -> tuple[str, int] | None:
    """Kind and id of a global id, None if it is not one."""
    prefix, _, encoded = text.partition("_")
    kind = next((kind for kind, known in NODE_PREFIXES.items() if known == prefix), None)
    try:
        packed = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return None
    if kind is None or len(packed) != 7 or not packed.startswith(b"\x92\x00\xce"):
        return None
    return kind, int.from_bytes(packed[3:], "big")


def account(urls: Urls, record: Record) -> Json:
    """A user or organisation as GitHub shows it inside other things (schema `simple-user`)."""
    login = record["login"]
    base = f"{urls.api}/users/{login}"
    links = {
        f"{'organizations' if name == 'orgs' else name}_url": f"{base}/{path}"
        for path in _USER_PATHS.split()
        for name in [path.partition("{")[0]]
    }
    return {
        "login": login,
        "id": record.id,
        "node_id": node_id(record.kind, record.id),
        "avatar_url": f"{urls.web}/avatars/u/{record.id}?v=4",
        "gravatar_id": "",
        "url": base,
        "html_url": f"{urls.web}/{login}",
        **links,
        "type": "Organization" if record.kind == "organization" else "User",
        "user_view_type": "public",
        "site_admin": False,
    }


def organization_simple(urls: Urls, record: Record) -> Json:
    """Schema `organization-simple`."""
    login = record["login"]
    base = f"{urls.api}/orgs/{login}"
    return {
        "login": login,
        "id": record.id,
        "node_id": node_id("organization", record.id),
        "url": base,
        "repos_url": f"{base}/repos",
        "events_url": f"{base}/events",
        "hooks_url": f"{base}/hooks",
        "issues_url": f"{base}/issues",
        "members_url": f"{base}/members{{/member}}",
        "public_members_url": f"{base}/public_members{{/member}}",
        "avatar_url": f"{urls.web}/avatars/u/{record.id}?v=4",
        "description": record["description"],
    }


def owner_of(call: Call, repository: Record) -> Record:
    """The organisation that owns a repository."""
    return call.need(call.store.by_id("organization", repository.parent))


def full_name(call: Call, repository: Record) -> str:
    """`owner/name`."""
    return f"{owner_of(call, repository)['login']}/{repository['name']}"


def actions_app(call: Call) -> Json:
    """GitHub Actions as the app that it is; on github.com its id is 15368."""
    github = Record(_GITHUB_ID, "organization", ROOT, "github", {"login": "github"}, _ACTIONS_SINCE, _ACTIONS_SINCE)
    return {
        "id": ACTIONS_APP,
        "slug": "github-actions",
        "node_id": node_id("app", ACTIONS_APP),
        "owner": account(call.urls, github),
        "name": "GitHub Actions",
        "description": "Automate your workflow from idea to production",
        "external_url": f"{call.urls.web}/features/actions",
        "html_url": f"{call.urls.web}/apps/github-actions",
        "created_at": _ACTIONS_SINCE,
        "updated_at": _ACTIONS_SINCE,
        "permissions": {"actions": "write", "checks": "write", "deployments": "write", "statuses": "write"},
        "events": [],
    }


def app_view(call: Call, identity: int | None) -> Json | None:
    """Schema `integration` of the app of that id, None without one."""
    if identity == ACTIONS_APP:
        return actions_app(call)
    app = call.store.by_id("app", identity) if identity is not None else None
    if app is None:
        return None
    return {
        "id": app.id,
        "slug": app["name"],
        "node_id": node_id("app", app.id),
        "owner": account(call.urls, organization_of(call)),
        "name": app["name"],
        "description": None,
        "external_url": call.urls.web,
        "html_url": f"{call.urls.web}/apps/{app['name']}",
        "created_at": app.created_at,
        "updated_at": app.updated_at,
        "permissions": app["permissions"],
        "events": [],
    }


def person(call: Call, identity: int | None) -> Json | None:
    """The account of that id, None if it is gone."""
    user = call.store.by_id("user", identity) if identity is not None else None
    return account(call.urls, user) if user else None


def repository_url(call: Call, repository: Record) -> str:
    """The repository's address in the API."""
    return f"{call.urls.api}/repos/{full_name(call, repository)}"


def repository(call: Call, record: Record, role: str | None = "admin") -> Json:
    """A repository in full (schemas `full-repository`, `repository`, `minimal-repository`)."""
    owner = owner_of(call, record)
    name = f"{owner['login']}/{record['name']}"
    base, host = f"{call.urls.api}/repos/{name}", call.urls.web.partition("://")[2]
    state = {key: value for key, value in record.body.items() if key not in _UNSEEN}
    held = ROLES[: ROLES.index(role) + 1] if role else ()
    return {
        "id": record.id,
        "node_id": node_id("repository", record.id),
        "full_name": name,
        "private": record["visibility"] != "public",
        "owner": account(call.urls, owner),
        "html_url": f"{call.urls.web}/{name}",
        "fork": False,
        "url": base,
        **{key: f"{base}/{path}" for key, path in _REPOSITORY_PATHS.items()},
        "git_url": f"git://{host}/{name}.git",
        "ssh_url": f"git@{host.partition(':')[0]}:{name}.git",
        "clone_url": f"{call.urls.web}/{name}.git",
        "svn_url": f"{call.urls.web}/{name}",
        "mirror_url": None,
        "language": None,
        "license": None,
        "disabled": False,
        **dict.fromkeys(_COUNTS, 0),
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "permissions": {one: one in held for one in ROLES},
        **state,
    }


def repository_full(call: Call, record: Record, role: str | None) -> Json:
    """What GET, POST and PATCH of a repository answer, which also names the organisation."""
    return repository(call, record, role) | {"organization": account(call.urls, owner_of(call, record))}


def organization_of(call: Call) -> Record:
    """The one organisation of this server."""
    return call.need(call.store.find("organization", ROOT, call.settings.organization.lower()))
