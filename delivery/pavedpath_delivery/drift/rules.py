"""What a repository's settings must be: rules over its documents. Pure.

Sources: GitHub, "Security hardening for GitHub Actions", "About rulesets", "Managing environments for deployment",
"REST API" for the documents.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from pavedpath_delivery.drift import workflows
from pavedpath_delivery.drift.hub import Snapshot, Unread
from pavedpath_delivery.drift.model import Audit, Finding, Note, Severity, Unchecked
from pavedpath_delivery.kit.documents import Json, Properties, fields, objects

HIGH, MEDIUM, LOW = Severity.HIGH, Severity.MEDIUM, Severity.LOW
_LONG_WAIT_MINUTES = 60
_HARDENING = "GitHub, Security hardening for GitHub Actions"
_RULESETS = "GitHub, About rulesets"
_ENVIRONMENTS = "GitHub, Managing environments for deployment"
_EVERY_BRANCH = re.compile(r"[*/]+")


@dataclass(frozen=True)
class Policy:
    """What is held against a repository.

    Attributes:
        approvals: that a pull request needs, at least.
        guarded: environments whose deployments someone must approve.
        secret_age: how old a secret may be.
        branch_age: how long a branch `deploy/*` may stand behind the default branch.
    """

    approvals: int = 1
    guarded: tuple[str, ...] = ("prod",)
    secret_age: timedelta = timedelta(days=90)
    branch_age: timedelta = timedelta(days=30)


@dataclass
class _Looked:
    """One repository under audit; what it is asked for and does not have is noted as not checked."""

    name: str
    documents: Snapshot
    policy: Policy
    now: datetime
    unchecked: set[Unchecked] = field(default_factory=set[Unchecked])

    def known(self, document: str) -> Json | None:
        found = self.documents.get(document, Unread("it was not asked for"))
        if isinstance(found, Unread):
            self.unchecked.add(Unchecked(f"{self.name}: {document}", found.reason))
            return None
        return found

    def listed(self, document: str) -> list[Properties]:
        return objects(self.known(document))

    def at(self, part: str) -> str:
        return f"{self.name}: {part}"

    @property
    def branch(self) -> str:
        return str(fields(self.documents["repository"]).get("default_branch", "main"))

    @property
    def path(self) -> str:
        return f"/repos/{self.name}"


def audit(name: str, documents: Snapshot, policy: Policy, now: datetime) -> Audit:
    """Return how a repository's settings differ from the policy."""
    repository = documents["repository"]
    if isinstance(repository, Unread):
        return Audit(unchecked=(Unchecked(name, repository.reason, whole=True),))
    looked = _Looked(name, documents, policy, now)
    found = [finding for rule in _RULES for finding in rule(looked)]
    notes = tuple(_bypasses(looked))
    return Audit(tuple(found), tuple(looked.unchecked), notes)  # complete only when everything was asked for


def unmanaged(organization: str, repositories: list[Properties], managed: frozenset[str]) -> list[Finding]:
    """Return the repositories of an organisation that no stack manages; archived ones are let be."""
    names = sorted(str(each["name"]) for each in repositories if not each.get("archived"))
    return [
        Finding(
            "unmanaged-repository",
            f"{organization}/{name}",
            "no stack manages it",
            "every repository is declared",
            "what nobody declared, nobody reviews",
            f"add {name} to `repositories` of the shared stack and import it, or archive it: PATCH"
            f" /repos/{organization}/{name}",
            LOW,
        )
        for name in names
        if name not in managed
    ]


def _of_type(rules: list[Properties], kind: str) -> list[Properties]:
    return [fields(each.get("parameters")) for each in rules if each.get("type") == kind]


def _approvals(rules: list[Properties]) -> int | None:
    """Return how many approvals a branch's rules ask for; None where no pull request is needed."""
    found = _of_type(rules, "pull_request")
    return max((int(each.get("required_approving_review_count", 0)) for each in found), default=None)


def _branch(looked: _Looked) -> Iterator[Finding]:
    rules = looked.known("rules")
    if rules is None:
        return
    rules = objects(rules)
    where, api = looked.at(f"branch {looked.branch}"), f"POST {looked.path}/rulesets"
    wanted, count = looked.policy.approvals, _approvals(rules)
    if count is None:
        yield Finding(
            *("pull-request", where, "anyone with write access may push to it", "changes come by pull request"),
            *(_RULESETS, f"declare the repository in the shared stack, or {api}", HIGH),
        )
    elif count < wanted:
        yield Finding(
            *("approvals", where, f"{count} approvals are required", f"at least {wanted}", _RULESETS),
            *(f"`approvals: {wanted}` of the repository, or PUT {looked.path}/rulesets/ID", HIGH),
        )
    for kind, found, severity in (
        ("non_fast_forward", "its history may be rewritten", HIGH),
        ("deletion", "it may be deleted", MEDIUM),
    ):
        if not any(each.get("type") == kind for each in rules):
            rule = "force-push" if kind == "non_fast_forward" else "branch-deletion"
            fix = f"a ruleset with the rule `{kind}`: {api}"
            yield Finding(rule, where, found, "that is blocked", _RULESETS, fix, severity)
    yield from _checks(looked, where, rules)


def _checks(looked: _Looked, where: str, rules: list[Properties]) -> Iterator[Finding]:
    asked = _of_type(rules, "required_status_checks")
    checks = [check for each in asked for check in objects(each.get("required_status_checks"))]
    if not checks:
        yield Finding(
            *("required-check", where, "no check is required", "at least one, bound to its app", _RULESETS),
            *(f"`checks` of the repository, or POST {looked.path}/rulesets", HIGH),
        )
    for check in checks:
        if not check.get("integration_id"):
            name = check.get("context")
            yield Finding(
                *("check-app", where, f"any app may report the check {name}", "it is bound to one app"),
                "anyone who may write commit statuses can report a check that is bound to none",
                *(f"`integration_id` of {name}: PUT {looked.path}/rulesets/ID", MEDIUM),
            )


def _bypasses(looked: _Looked) -> Iterator[Note]:
    for ruleset in looked.listed("rulesets"):
        name = f"{looked.name}: ruleset {ruleset.get('name')}"
        if "bypass_actors" not in ruleset:
            looked.unchecked.add(Unchecked(name, "its bypass actors are shown to administrators alone"))
        for actor in objects(ruleset.get("bypass_actors")):
            number = f" {actor['actor_id']}" if actor.get("actor_id") else ""
            yield Note(name, f"{actor.get('actor_type')}{number} may bypass it ({actor.get('bypass_mode')})")


def _rules_of(environment: Properties, kind: str) -> list[Properties]:
    return [each for each in objects(environment.get("protection_rules")) if each.get("type") == kind]


def _environments(looked: _Looked) -> Iterator[Finding]:
    environments = looked.listed("environments")
    reviewed = {str(each["name"]).lower() for each in environments if _reviewers(each)}
    for each in environments:
        name = str(each["name"])
        where, path = looked.at(f"environment {name}"), f"{looked.path}/environments/{name}"
        yield from _open_to_all(looked, each, where, path)
        if name.lower() in looked.policy.guarded and not _approved(looked, each, reviewed):
            yield Finding(
                *("environment-approval", where, "nobody needs to approve a deployment"),
                "reviewers, or only branches whose pull requests need approval",
                *(_ENVIRONMENTS, f"`approval` of the deployment to {name}, or PUT {path}", HIGH),
            )
        for rule in _rules_of(each, "required_reviewers"):
            if rule.get("reviewers") and not rule.get("prevent_self_review"):
                found = "who starts a deployment may approve it"
                fix = f"`prevent_self_review`: PUT {path}"
                yield Finding("self-review", where, found, "somebody else does", _ENVIRONMENTS, fix, MEDIUM)
        for rule in _rules_of(each, "wait_timer"):
            if (minutes := int(rule.get("wait_timer", 0))) > _LONG_WAIT_MINUTES:
                yield Finding(
                    *("wait-timer", where, f"every deployment waits {minutes} minutes"),
                    f"at most {_LONG_WAIT_MINUTES}: the timer counts minutes, not seconds",
                    *(_ENVIRONMENTS, f"`wait_timer`: PUT {path}", LOW),
                )


def _reviewers(environment: Properties) -> bool:
    return any(rule.get("reviewers") for rule in _rules_of(environment, "required_reviewers"))


def _open_to_all(looked: _Looked, environment: Properties, where: str, path: str) -> Iterator[Finding]:
    policy, open_by = fields(environment.get("deployment_branch_policy")), ""
    if not policy:
        open_by = "every branch and tag may deploy"
    elif policy.get("custom_branch_policies"):
        patterns = [str(each.get("name")) for each in looked.listed(f"policies/{environment['name']}")]
        wide = [each for each in patterns if _EVERY_BRANCH.fullmatch(each)]
        open_by = f"every branch may deploy, by the pattern {wide[0]}" if wide else ""
    if open_by:
        fix = f"`branches` of the deployment, or PUT {path} with `deployment_branch_policy`"
        yield Finding("environment-open", where, open_by, "only named branches may", _ENVIRONMENTS, fix, HIGH)


def _approved(looked: _Looked, environment: Properties, reviewed: set[str]) -> bool:
    name = str(environment["name"])
    if _reviewers(environment) or not reviewed.isdisjoint({f"{name}_approve".lower(), f"{name}-approve".lower()}):
        return True
    if not fields(environment.get("deployment_branch_policy")).get("custom_branch_policies"):
        return False
    policies = looked.known(f"policies/{name}")
    if policies is None:
        return True  # it is told as not checked
    listed = objects(policies)
    branches = [str(each.get("name")) for each in listed if each.get("type", "branch") == "branch"]
    if len(branches) < len(listed) or looked.branch in branches:
        return False
    return all(_guards(looked, branch) for branch in branches)


def _guards(looked: _Looked, branch: str) -> bool:
    if f"rules/{branch}" not in looked.documents:  # a pattern: whoever can make a branch can make one that fits
        return False
    rules = looked.known(f"rules/{branch}")
    return rules is None or (_approvals(objects(rules)) or 0) >= 1


def _secrets(looked: _Looked) -> Iterator[Finding]:
    environments = [str(each["name"]) for each in looked.listed("environments")]
    names = {
        "": "secrets",
        "organization": "organization secrets",
        **{each: f"secrets/{each}" for each in environments},
    }
    held: dict[str, set[str]] = {}
    complete = True
    uses = _uses(looked)
    used = {each.name for use in uses or () for each in use.references}
    opaque = uses is None or any(each.opaque for each in uses)
    if uses is not None and opaque:
        told = "workflows hand on secrets without naming them, so which are unused cannot be said"
        looked.unchecked.add(Unchecked(looked.at("unused secrets"), told))
    for scope, document in names.items():
        listed = looked.known(document)
        complete &= listed is not None
        held[scope.lower()] = {str(each["name"]).upper() for each in objects(listed)}
        for each in objects(listed):
            yield from _secret(looked, scope, each, unused=not opaque and str(each["name"]).upper() not in used)
    complete &= not isinstance(looked.documents["environments"], Unread)
    if not complete:
        told = "not all secrets could be listed, so which are missing cannot be said"
        looked.unchecked.add(Unchecked(looked.at("missing secrets"), told))
        return
    for reference in sorted({each for use in uses or () for each in use.references}):
        yield from _missing(looked, reference, held)


def _secret(looked: _Looked, scope: str, secret: Properties, *, unused: bool) -> Iterator[Finding]:
    name = str(secret["name"])
    of = "" if not scope else " of the organisation" if scope == "organization" else f" of environment {scope}"
    where = looked.at(f"secret {name}{of}")
    owner = f"/orgs/{looked.name.partition('/')[0]}" if scope == "organization" else looked.path
    path = f"{looked.path}/environments/{scope}/secrets/{name}" if " env" in of else f"{owner}/actions/secrets/{name}"
    days, limit = (looked.now - _time(secret["updated_at"])).days, looked.policy.secret_age.days
    if days > limit:
        fix = f"`pavedpath rotate`, or PUT {path}"
        yield Finding("secret-age", where, f"{days} days old", f"at most {limit}", _HARDENING, fix, MEDIUM)
    if unused and scope != "organization":  # other repositories may use those of the organisation
        found, wanted = "no workflow of the default branch names it", "only secrets that are used"
        yield Finding("secret-unused", where, found, wanted, _HARDENING, f"DELETE {path}", LOW)


def _missing(looked: _Looked, reference: workflows.Reference, held: Mapping[str, set[str]]) -> Iterator[Finding]:
    everywhere = held[""] | held["organization"]
    if reference.environment == "*":
        everywhere = everywhere.union(*held.values())
    elif reference.environment:
        everywhere = everywhere | held.get(reference.environment, set())
    if reference.name not in everywhere:
        at = f" for environment {reference.environment}" if reference.environment not in ("", "*") else ""
        yield Finding(
            *(
                "secret-missing",
                looked.at(reference.file),
                f"it names the secret {reference.name}, which is not there{at}",
            ),
            *("every secret that is named exists", "GitHub gives an empty text for a secret that is not there"),
            *(f"PUT {looked.path}/actions/secrets/{reference.name}, or take the name out of {reference.file}", HIGH),
        )


def _uses(looked: _Looked) -> list[workflows.Uses] | None:
    """Return what the workflows refer to; None where that is not known."""
    texts = looked.known("workflows")
    if texts is None:
        return None
    found: list[workflows.Uses] = []
    broken = False
    for path, text in sorted(fields(texts).items()):
        try:
            found.append(workflows.read(path, str(text)))
        except ValueError as error:
            looked.unchecked.add(Unchecked(looked.at(path), str(error)))
            broken = True
    return None if broken else found


def _pins(looked: _Looked) -> Iterator[Finding]:
    for path, text in sorted(fields(looked.known("workflows")).items()):
        try:
            unpinned = workflows.read(path, str(text)).unpinned
        except ValueError as error:
            looked.unchecked.add(Unchecked(looked.at(path), str(error)))
            continue
        for each in unpinned:
            fix = f"write the commit's hash behind the @ in {path} (`pavedpath actions update`)"
            wanted = "a full commit hash"
            yield Finding("action-unpinned", looked.at(path), f"uses {each}", wanted, _HARDENING, fix, MEDIUM)


def _actions(looked: _Looked) -> Iterator[Finding]:
    settings = fields(looked.known("actions"))
    if settings.get("enabled"):
        where, fix = looked.at("actions"), f"PUT {looked.path}/actions/permissions"
        # An action that is pinned by its commit was chosen in a review, and cannot become another one.
        if settings.get("allowed_actions") == "all" and not settings.get("sha_pinning_required"):
            wanted = "those of the organisation and a list, or any by a commit's hash alone (`sha_pinning_required`)"
            yield Finding("actions-allowed", where, "any action may run", wanted, _HARDENING, fix, MEDIUM)
        if settings.get("sha_pinning_required") is False:
            found = "actions may be named by a tag or branch"
            fix = f"{fix} with `sha_pinning_required`"
            yield Finding("actions-pinning", where, found, "by a commit's hash alone", _HARDENING, fix, MEDIUM)
    token = fields(looked.known("token"))
    where, fix = looked.at("workflow token"), f"PUT {looked.path}/actions/permissions/workflow"
    if token.get("default_workflow_permissions", "read") != "read":
        wanted = "reads alone; jobs ask for more by `permissions`"
        yield Finding("workflow-token", where, "it may write by default", wanted, _HARDENING, fix, HIGH)
    if token.get("can_approve_pull_request_reviews"):
        found = "it may approve pull requests"
        yield Finding("workflow-approves", where, found, "it may not", _HARDENING, fix, MEDIUM)


def _access(looked: _Looked) -> Iterator[Finding]:
    for each in looked.listed("outside"):
        login, role = str(each.get("login")), str(each.get("role_name", "unknown"))
        yield Finding(
            *("outside-collaborator", looked.at(f"collaborator {login}"), f"from outside, with the role {role}"),
            *("members of the organisation, by their teams", "a team's membership ends with the employment"),
            f"DELETE {looked.path}/collaborators/{login}, or make a member of a team",
            LOW if role == "read" else MEDIUM,
        )
    for each in looked.listed("keys"):
        if not each.get("read_only"):
            where, fix = looked.at(f"deploy key {each.get('title')}"), f"DELETE {looked.path}/keys/{each.get('id')}"
            found = "it may push, for ever and without a person"
            yield Finding("deploy-key-writes", where, found, "it reads alone", _HARDENING, fix, HIGH)
    if looked.known("alerts") is False:
        fix = f"PUT {looked.path}/vulnerability-alerts"
        where = looked.at("vulnerability alerts")
        yield Finding("vulnerability-alerts", where, "off", "on", "GitHub, About Dependabot alerts", fix, MEDIUM)


def _hooks(looked: _Looked) -> Iterator[Finding]:
    for each in looked.listed("hooks"):
        config = fields(each.get("config"))
        url = urlsplit(str(config.get("url", "")))
        # The path of an address may be its secret.
        where = looked.at(f"webhook {each.get('id')} to {url.hostname}")
        why, fix = "GitHub, Best practices for using webhooks", f"PATCH {looked.path}/hooks/{each.get('id')}/config"
        if not config.get("secret"):
            found = "its deliveries are not signed"
            yield Finding("webhook-secret", where, found, "they are signed with a secret", why, fix, MEDIUM)
        if url.scheme != "https":
            yield Finding("webhook-http", where, f"it is sent by {url.scheme}", "by https", why, fix, HIGH)
        elif str(config.get("insecure_ssl", "0")) == "1":
            found = "the receiver's certificate is not verified"
            yield Finding("webhook-tls", where, found, "it is", why, fix, HIGH)


def _stale(looked: _Looked) -> Iterator[Finding]:
    environments = looked.known("environments")
    policies = [
        looked.known(f"policies/{each['name']}")
        for each in objects(environments)
        if fields(each.get("deployment_branch_policy")).get("custom_branch_policies")
    ]
    complete = environments is not None and None not in policies
    patterns = [str(each.get("name")) for listed in policies for each in objects(listed)]
    for each in looked.listed("deploy branches"):
        name = str(each["name"])
        days, behind = (looked.now - _time(each["date"])).days, int(each.get("behind", 0))
        why, found = "who approves into a branch expects that it deploys", ""
        if complete and not any(fnmatchcase(name, pattern) for pattern in patterns):
            found = "no environment deploys from it"
        elif behind and days > looked.policy.branch_age.days:
            found = f"{days} days old and {behind} commits behind {looked.branch}"
        if found:
            wanted = "it deploys, and what is merged reaches it"
            fix = f"merge {looked.branch} into it, or DELETE {looked.path}/git/refs/heads/{name}"
            yield Finding("stale-branch", looked.at(f"branch {name}"), found, wanted, why, fix, LOW)


def _time(text: Json) -> datetime:
    return datetime.fromisoformat(str(text))


_RULES = (_branch, _environments, _secrets, _pins, _actions, _access, _hooks, _stale)
