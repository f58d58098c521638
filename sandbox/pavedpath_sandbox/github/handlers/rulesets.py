"""Rulesets of repositories and of the organisation."""

import re
from collections.abc import Callable

from pavedpath_sandbox.github.call import Call, Reply, created, no_content, ok, page
from pavedpath_sandbox.github.errors import forbidden, not_found, unprocessable
from pavedpath_sandbox.github.protection import actor_of, rulesets_on
from pavedpath_sandbox.github.render import full_name, node_id
from pavedpath_sandbox.github.rules import bypass_mode
from pavedpath_sandbox.github.settings import Plan
from pavedpath_sandbox.github.store import Json, Record, as_list, as_object

Scope = Callable[[Call], Record]

_METADATA_RULES = {
    "commit_message_pattern",
    "commit_author_email_pattern",
    "committer_email_pattern",
    "branch_name_pattern",
    "tag_name_pattern",
}
_PUSH_RULES = {"file_path_restriction", "max_file_path_length", "file_extension_restriction", "max_file_size"}
_UPGRADE = "Upgrade to GitHub Team or make this repository public to enable this feature."


def of_repository(call: Call) -> Record:
    """The repository, if its plan has rulesets: private ones have them from Team on."""
    if call.private and not call.plan_allows(Plan.TEAM):
        raise forbidden(_UPGRADE)
    return call.repository


def of_organization(call: Call) -> Record:
    """The organisation, if its plan has rulesets: from Team on."""
    if not call.plan_allows(Plan.TEAM):
        raise forbidden("Upgrade to GitHub Team to enable this feature.")
    return call.organization


def _source(call: Call, record: Record) -> tuple[str, str, str]:
    """Kind, name and path of what a ruleset belongs to."""
    if repository := call.store.by_id("repository", record.parent):
        name = full_name(call, repository)
        return "Repository", name, f"repos/{name}"
    organization = call.need(call.store.by_id("organization", record.parent))
    return "Organization", organization["login"], f"orgs/{organization['login']}"


def _summary(call: Call, record: Record) -> Json:
    kind, name, path = _source(call, record)
    web = f"{name}/rules/{record.id}" if kind == "Repository" else f"organizations/{name}/settings/rules/{record.id}"
    return {
        "id": record.id,
        "name": record["name"],
        "target": record["target"],
        "source_type": kind,
        "source": name,
        "enforcement": record["enforcement"],
        "node_id": node_id("ruleset", record.id),
        "_links": {
            "self": {"href": f"{call.urls.api}/{path}/rulesets/{record.id}"},
            "html": {"href": f"{call.urls.web}/{web}"},
        },
        "created_at": record.created_at,
        "updated_at": record.updated_at,
    }


def _full(call: Call, record: Record) -> Json:
    shown = _summary(call, record) | {name: record[name] for name in ("bypass_actors", "conditions", "rules")}
    if repository := call.store.by_id("repository", record.parent):
        mode = bypass_mode(record.body, actor_of(call, repository))
        shown["current_user_can_bypass"] = {None: "never", "pull_request": "pull_requests_only"}.get(mode, mode)
    return shown


def _checked(call: Call, scope: Record, body: Json) -> Json:
    """The ruleset as it is kept; raises GitHubError 422 that names all that is wrong with it."""
    wrong: list[str] = []
    types = [rule["type"] for rule in body["rules"]]
    if body["enforcement"] == "evaluate" and not call.plan_allows(Plan.ENTERPRISE):
        wrong.append("Enforcement evaluate option is not supported on this plan, which needs to be GitHub Enterprise")
    if twice := sorted({kind for kind in types if types.count(kind) > 1}):
        wrong.append(f"Duplicate rules: {', '.join(twice)}")
    if not call.plan_allows(Plan.ENTERPRISE):
        wrong += [f"Invalid rule '{kind}': it needs GitHub Enterprise" for kind in types if kind in _METADATA_RULES]
    foreign = [kind for kind in types if (kind in _PUSH_RULES) != (body["target"] == "push")]
    wrong += [f"Invalid rule '{kind}': it does not fit target {body['target']}" for kind in foreign]
    if body["target"] == "push" and scope.kind == "repository" and scope["visibility"] == "public":
        wrong.append("Push rulesets are not available for public repositories")
    if body["target"] != "push":
        wrong += _wrong_refs(as_object(body["conditions"]).get("ref_name"), body["target"])
    wrong += _wrong_actors(call, body["bypass_actors"])
    wrong += [
        f"Invalid rule '{rule['type']}': pattern is not a regular expression"
        for rule in body["rules"]
        if as_object(rule.get("parameters")).get("operator") == "regex" and not _compiles(rule["parameters"]["pattern"])
    ]
    if wrong:
        raise unprocessable("Validation Failed", wrong)
    return {**body, "rules": [_with_defaults(rule) for rule in body["rules"]]}


def _wrong_refs(condition: Json | None, target: str) -> list[str]:
    if condition is None:
        return ["Conditions must have a ref_name"]
    prefix = "refs/heads/" if target == "branch" else "refs/tags/"
    patterns = [*condition.get("include", []), *condition.get("exclude", [])]
    return [
        f"Invalid target pattern: '{pattern}'"
        for pattern in patterns
        if pattern not in {"~ALL", "~DEFAULT_BRANCH"} and not pattern.startswith(prefix)
    ]


def _wrong_actors(call: Call, actors: list[Json]) -> list[str]:
    kinds = {"Team": "team", "User": "user", "Integration": "app"}
    return [
        f"Actor {actor['actor_type']} integration must be part of the ruleset source or owner organization"
        for actor in actors
        if actor["actor_type"] in kinds
        and call.store.by_id(kinds[actor["actor_type"]], actor.get("actor_id") or -1) is None
    ]


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def _with_defaults(rule: Json) -> Json:
    """The rule with the parameters that GitHub adds where they are left out."""
    if rule["type"] == "pull_request":
        defaults: Json = {"allowed_merge_methods": ["merge", "squash", "rebase"], "required_reviewers": []}
    elif rule["type"] == "required_status_checks":
        defaults = {"do_not_enforce_on_create": False}
    else:
        return rule
    return rule | {"parameters": defaults | as_object(rule.get("parameters"))}


def _ruleset(body: Json, before: Json) -> Json:
    fields = ("name", "target", "enforcement", "bypass_actors", "conditions", "rules")
    merged = before | {name: body[name] for name in fields if name in body}
    actors = [{"actor_id": None, "bypass_mode": "always", **actor} for actor in as_list(merged["bypass_actors"])]
    for actor in actors:
        if actor["actor_type"] == "OrganizationAdmin":
            actor["actor_id"] = 1  # whatever is sent, GitHub keeps 1
    return merged | {"bypass_actors": actors, "rules": as_list(merged["rules"])}


_EMPTY: Json = {"target": "branch", "bypass_actors": [], "conditions": None, "rules": []}


def listing(call: Call, scope: Scope) -> Reply:
    """The rulesets; of a repository also those that it has from the organisation (`includes_parents`)."""
    owner = scope(call)
    found = call.store.children("ruleset", owner.id)
    if owner.kind == "repository" and call.query.get("includes_parents", True):
        found = call.store.children("ruleset", owner.parent) + found
    targets = (call.query.get("targets") or "").split(",")
    shown = [one for one in found if targets == [""] or one["target"] in targets]
    return page(call, [_summary(call, one) for one in shown])


def create(call: Call, scope: Scope) -> Reply:
    """Make a ruleset."""
    owner = scope(call)
    body = _checked(call, owner, _ruleset(call.body, _EMPTY))
    _unique(call, owner, body["name"], None)
    record = call.store.insert("ruleset", owner.id, body["name"], body)
    return created(_full(call, record))


def _unique(call: Call, owner: Record, name: str, own: Record | None) -> None:
    held = call.store.find("ruleset", owner.id, name)
    if held and (own is None or held.id != own.id):
        raise unprocessable("Validation Failed", ["Name must be unique"])


def _named(call: Call, scope: Scope, *, write: bool = False) -> Record:
    owner, identity = scope(call), call.number("ruleset_id")
    found = call.store.by_id("ruleset", identity, owner.id)
    if found is None and owner.kind == "repository" and not write:
        found = call.store.by_id("ruleset", identity, owner.parent)
    if found is None:
        raise not_found()
    return found


def get(call: Call, scope: Scope) -> Reply:
    """A ruleset."""
    return ok(_full(call, _named(call, scope)))


def update(call: Call, scope: Scope) -> Reply:
    """Change a ruleset; what is left out stays."""
    record = _named(call, scope, write=True)
    body = _checked(call, scope(call), _ruleset(call.body, record.body))
    _unique(call, scope(call), body["name"], record)
    return ok(_full(call, call.store.update(record, body, key=body["name"])))


def delete(call: Call, scope: Scope) -> Reply:
    """Delete a ruleset."""
    call.store.delete(_named(call, scope, write=True))
    return no_content()


def branch_rules(call: Call) -> Reply:
    """The rules in force on a branch, with where each comes from."""
    shown: list[Json] = []
    for record in rulesets_on(call, of_repository(call), f"refs/heads/{call.path['branch']}"):
        kind, name, _ = _source(call, record)
        source = {"ruleset_source_type": kind, "ruleset_source": name, "ruleset_id": record.id}
        shown += [rule | source for rule in record["rules"]]
    return page(call, shown)
