"""Deployment environments: reviewers, wait timers, and which branches and tags may deploy."""

from urllib.parse import quote

from pavedpath_sandbox.github.access import role_on
from pavedpath_sandbox.github.call import Call, Reply, no_content, ok, page
from pavedpath_sandbox.github.errors import not_found, unprocessable
from pavedpath_sandbox.github.handlers.teams import team_simple
from pavedpath_sandbox.github.render import account, full_name, node_id, repository_url
from pavedpath_sandbox.github.settings import Plan
from pavedpath_sandbox.github.store import Json, Record, as_list, as_object

_MOST_REVIEWERS = 6
_LONGEST_WAIT = 43_200


def environment_of(call: Call) -> Record:
    """The environment that the path names; 404 until it exists."""
    return call.child("environment", call.repository, call.path["environment_name"].lower())


def _needs_plan(call: Call, plan: Plan, rule: str) -> None:
    if call.private and not call.plan_allows(plan):
        raise unprocessable(
            "Failed to create the environment protection rule. "
            f"Please ensure the billing plan supports the {rule} protection rule."
        )


def _reviewers(call: Call, repository: Record, wanted: list[Json]) -> list[Json]:
    if len(wanted) > _MOST_REVIEWERS:
        raise unprocessable(f"Reviewers: at most {_MOST_REVIEWERS} users and teams, {len(wanted)} given.")
    wrong = [one for one in wanted if not _may_review(call, repository, one)]
    if wrong:
        names = ", ".join(f"{one.get('type')} {one.get('id')}" for one in wrong)
        raise unprocessable(f"Reviewers must exist and have at least read access to the repository: {names}.")
    return [{"type": one["type"], "id": one["id"]} for one in wanted]


def _may_review(call: Call, repository: Record, reviewer: Json) -> bool:
    organization, identity = call.organization, reviewer.get("id", -1)
    if reviewer.get("type") == "Team":
        team = call.store.by_id("team", identity, organization.id)
        granted = team is not None and call.store.find("team_repository", team.id, str(repository.id)) is not None
        return granted or (team is not None and repository["visibility"] == "public")
    user = call.store.by_id("user", identity)
    return user is not None and role_on(call.store, user, repository, organization) is not None


def _protection_rules(call: Call, record: Record) -> list[Json]:
    identities = {one.key: one.id for one in call.store.children("protection_rule", record.id)}

    def rule(kind: str) -> Json:
        return {"id": identities[kind], "node_id": node_id("protection_rule", identities[kind]), "type": kind}

    rules: list[Json] = []
    if "wait_timer" in identities:
        rules.append(rule("wait_timer") | {"wait_timer": record["wait_timer"]})
    if "required_reviewers" in identities:
        shown = [{"type": one["type"], "reviewer": reviewer_view(call, one)} for one in record["reviewers"]]
        reviewers = [one for one in shown if one["reviewer"]]
        own = record["prevent_self_review"]
        rules.append(rule("required_reviewers") | {"prevent_self_review": own, "reviewers": reviewers})
    if "branch_policy" in identities:
        rules.append(rule("branch_policy"))
    return rules


def reviewer_view(call: Call, reviewer: Json) -> Json | None:
    """A user or team that reviews, None if it is gone."""
    if reviewer["type"] == "Team":
        team = call.store.by_id("team", reviewer["id"])
        return team_simple(call, team) | {"parent": None} if team else None
    user = call.store.by_id("user", reviewer["id"])
    return account(call.urls, user) if user else None


def environment(call: Call, repository: Record, record: Record) -> Json:
    """An environment as GitHub shows it."""
    name, web = quote(record["name"], safe=""), f"{call.urls.web}/{full_name(call, repository)}"
    return {
        "id": record.id,
        "node_id": node_id("environment", record.id),
        "name": record["name"],
        "url": f"{repository_url(call, repository)}/environments/{name}",
        "html_url": f"{web}/deployments/activity_log?environments_filter={name}",
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "can_admins_bypass": record["can_admins_bypass"],
        "protection_rules": _protection_rules(call, record),
        "deployment_branch_policy": record["deployment_branch_policy"],
    }


def environment_named(call: Call, repository: Record, name: str) -> Record:
    """The environment of that name; as on GitHub, a job that names one that is not there makes it, unprotected."""
    body: Json = {
        "name": name,
        "wait_timer": 0,
        "reviewers": [],
        "prevent_self_review": False,
        "can_admins_bypass": True,
        "deployment_branch_policy": None,
    }
    held = call.store.find("environment", repository.id, name.lower())
    return held or call.store.insert("environment", repository.id, name.lower(), body)


def listing(call: Call) -> Reply:
    """The repository's environments."""
    repository = call.repository
    found = call.store.children("environment", repository.id)
    return page(call, [environment(call, repository, one) for one in found], "environments")


def get(call: Call) -> Reply:
    """An environment."""
    return ok(environment(call, call.repository, environment_of(call)))


def put(call: Call) -> Reply:
    """Make or change an environment; what is left out or null is removed."""
    repository, name = call.repository, call.path["environment_name"]
    if len(name) > 255 or not name.strip():
        raise unprocessable("Environment name must have between 1 and 255 characters.")
    if call.private and not call.plan_allows(Plan.TEAM):
        raise not_found()  # on Free, private repositories have no environments at all
    policy: Json | None = call.body.get("deployment_branch_policy")
    if policy and policy["protected_branches"] == policy["custom_branch_policies"]:
        raise unprocessable("The protected_branches and custom_branch_policies fields cannot have the same value.")
    body: Json = {
        "name": name,
        "wait_timer": call.body.get("wait_timer") or 0,
        "reviewers": _reviewers(call, repository, as_list(call.body.get("reviewers"))),
        "prevent_self_review": bool(call.body.get("prevent_self_review")),
        "can_admins_bypass": call.body.get("can_admins_bypass", True),
        "deployment_branch_policy": policy,
    }
    if not 0 <= body["wait_timer"] <= _LONGEST_WAIT:
        raise unprocessable(f"wait_timer must be between 0 and {_LONGEST_WAIT} minutes.")
    if body["wait_timer"]:
        _needs_plan(call, Plan.ENTERPRISE, "wait timer")
    if body["reviewers"]:
        _needs_plan(call, Plan.ENTERPRISE, "required reviewers")
    if policy:
        _needs_plan(call, Plan.TEAM, "branch policy")
    held = call.store.find("environment", repository.id, name.lower())
    record = call.store.put("environment", repository.id, name.lower(), body | {"name": held["name"] if held else name})
    _keep_rules(call, record)
    return ok(environment(call, repository, record))


def _keep_rules(call: Call, record: Record) -> None:
    """Give each protection rule an id that lasts as long as the rule does."""
    wanted = {
        "wait_timer": bool(record["wait_timer"]),
        "required_reviewers": bool(record["reviewers"]),
        "branch_policy": record["deployment_branch_policy"] is not None,
    }
    for kind, on in wanted.items():
        held = call.store.find("protection_rule", record.id, kind)
        if on and held is None:
            call.store.insert("protection_rule", record.id, kind, {})
        elif held and not on:
            call.store.delete(held)
    if not as_object(record["deployment_branch_policy"]).get("custom_branch_policies"):
        for policy in call.store.children("branch_policy", record.id):
            call.store.delete(policy)


def delete(call: Call) -> Reply:
    """Delete an environment with its secrets, variables and policies."""
    call.store.delete(environment_of(call))
    return no_content()


def _policy(record: Record) -> Json:
    return {"id": record.id, "node_id": node_id("branch_policy", record.id), **record.body}


def _with_custom_policies(call: Call) -> Record:
    record = environment_of(call)
    if not as_object(record["deployment_branch_policy"]).get("custom_branch_policies"):
        raise not_found()
    return record


def list_policies(call: Call) -> Reply:
    """The name patterns that may deploy."""
    found = call.store.children("branch_policy", environment_of(call).id)
    return page(call, [_policy(one) for one in found], "branch_policies")


def create_policy(call: Call) -> Reply:
    """Add a pattern of branches or tags; 303 if it is there already."""
    record, name = _with_custom_policies(call), call.body["name"]
    kind = call.body.get("type", "branch")
    if not name.strip():
        raise unprocessable("Invalid name: a pattern must not be empty.")
    if call.store.find("branch_policy", record.id, f"{kind}:{name}"):
        return Reply(303)
    return ok(_policy(call.store.insert("branch_policy", record.id, f"{kind}:{name}", {"name": name, "type": kind})))


def _named_policy(call: Call) -> Record:
    return call.need(call.store.by_id("branch_policy", call.number("branch_policy_id"), environment_of(call).id))


def get_policy(call: Call) -> Reply:
    """A pattern."""
    return ok(_policy(_named_policy(call)))


def update_policy(call: Call) -> Reply:
    """Change a pattern; its kind stays."""
    record, name = _named_policy(call), call.body["name"]
    key = f"{record['type']}:{name}"
    held = call.store.find("branch_policy", record.parent, key)
    if held and held.id != record.id:
        raise unprocessable("Name has already been taken")
    return ok(_policy(call.store.update(record, {"name": name}, key=key)))


def delete_policy(call: Call) -> Reply:
    """Delete a pattern."""
    call.store.delete(_named_policy(call))
    return no_content()
