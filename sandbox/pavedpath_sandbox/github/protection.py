"""Which rulesets are in force on a ref, and who somebody is to them."""

from pavedpath_sandbox.github.access import is_owner, role_on, teams_of
from pavedpath_sandbox.github.call import Call
from pavedpath_sandbox.github.rules import Actor, Target, applies, bypass_mode
from pavedpath_sandbox.github.store import Json, Record


def actor_of(call: Call, record: Record) -> Actor:
    """The user as rulesets see one."""
    organization, user = call.need(call.store.by_id("organization", record.parent)), call.actor
    return Actor(
        user=user.id,
        owner=is_owner(call.store, user, organization),
        role=role_on(call.store, user, record, organization),
        teams=frozenset(team.id for team in teams_of(call.store, user, organization)),
        integration=user.get("app"),
    )


def rulesets_on(call: Call, record: Record, ref: str) -> list[Record]:
    """The repository's and organisation's rulesets in force on a ref."""
    target = Target(record.id, record["name"], ref, record["default_branch"])
    every = call.store.children("ruleset", record.parent) + call.store.children("ruleset", record.id)
    return [one for one in every if applies(one.body, target)]


def is_protected(call: Call, record: Record, branch: str) -> bool:
    """Whether any ruleset is in force on a branch."""
    return bool(rulesets_on(call, record, f"refs/heads/{branch}"))


def binding_rules(call: Call, record: Record, ref: str, *, pull: bool = False) -> list[Json]:
    """The rules on a ref that the user cannot bypass; more can be bypassed through a pull request (`pull`)."""
    actor = actor_of(call, record)
    modes = {"always", "exempt", "pull_request"} if pull else {"always", "exempt"}
    return [
        rule
        for ruleset in rulesets_on(call, record, ref)
        if bypass_mode(ruleset.body, actor) not in modes
        for rule in ruleset["rules"]
    ]
