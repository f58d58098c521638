"""GitHub repositories and the rules that protect them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NotRequired, TypedDict

import pulumi
import pulumi_github as github

from . import rulesets
from .component import Component
from .errors import Problem
from .managed_files import CodeOwner, CodeOwnerArgs, Ecosystem, Updates, check_files, rendered
from .names import ENVIRONMENT, REPOSITORY, TOPIC
from .plans import Feature, Plan, Visibility, Wanted, unavailable
from .repository_access import (
    Actions,
    ActionsArgs,
    AllowedActions,
    Hook,
    HookArgs,
    Label,
    LabelArgs,
    Permission,
    TeamAccess,
    TeamAccessArgs,
    check_access,
    check_labels,
)
from .required_checks import FOLDER as WORKFLOWS
from .required_checks import check_required
from .rulesets import (
    ADMINISTRATORS,
    BypassActor,
    BypassActorArgs,
    BypassMode,
    MergeMethod,
    Protection,
    ProtectionArgs,
    Ruleset,
    approval_branch,
)
from .shapes import read
from .workflows import GATE, ChecksWorkflow

_BRANCH = "main"
_MOST_TOPICS = 20
_STATUS = {True: "enabled", False: "disabled"}


class SecurityArgs(TypedDict):
    """Security features beyond vulnerability alerts, which are always on. What is left out is left as it is."""

    dependabot_updates: NotRequired[bool]
    """Whether Dependabot opens pull requests for vulnerable dependencies."""
    secret_scanning: NotRequired[bool]
    """Whether GitHub looks for secrets in what was pushed."""
    push_protection: NotRequired[bool]
    """Whether it refuses a push that holds one; needs secret_scanning."""


class RepositoryArgs(TypedDict):
    """Arguments of `Repository`."""

    name: str
    """Name of the repository in its organisation."""
    checks: NotRequired[Mapping[str, str]]
    """Shell command of each check by job id, for example {"test": "make test"}. Required unless `files` has a workflow
    with the required checks, as that of a delivery (`pavedpath.workflows.catalogue`) has."""
    required_checks: NotRequired[Sequence[str]]
    """Jobs of its workflows that every pull request needs. Default: gate."""
    description: NotRequired[str]
    """One line about the repository. Default: empty."""
    visibility: NotRequired[Visibility]
    """Default: private."""
    topics: NotRequired[Sequence[str]]
    """Topics. Default: none."""
    approvals: NotRequired[int]
    """Approving reviews that a pull request needs, 0 to 10. Default: 1."""
    plan: NotRequired[Plan]
    """The organisation's plan, to refuse what it has not. Default: not checked."""
    homepage: NotRequired[str]
    """Address of the project's own page. Default: none."""
    merge_methods: NotRequired[Sequence[MergeMethod]]
    """How pull requests into the default branch are merged. Default: squash."""
    issues: NotRequired[bool]
    """Default: true."""
    wiki: NotRequired[bool]
    """Default: false."""
    projects: NotRequired[bool]
    """Default: false."""
    discussions: NotRequired[bool]
    """Default: false."""
    auto_merge: NotRequired[bool]
    """Whether a pull request may be told to merge itself once it may be. Default: false."""
    is_template: NotRequired[bool]
    """Whether others may be made from it. Default: false."""
    archived: NotRequired[bool]
    """Whether it is read-only; in a step of its own, since nothing else of it can change then. Default: false."""
    archive_on_destroy: NotRequired[bool]
    """Whether destroying archives it and does not delete it. Default: false."""
    security: NotRequired[SecurityArgs]
    """Security features beyond vulnerability alerts. Default: left as they are."""
    protection: NotRequired[ProtectionArgs]
    """Rules on the default branch. Default: those of `ProtectionArgs`."""
    bypass: NotRequired[Sequence[BypassActorArgs]]
    """Exact actors that the rules on branches do not hold, among them whoever runs the deployment, which writes files.
    Default: owners of the organisation."""
    approval_branches: NotRequired[Mapping[str, int]]
    """Approvals, 1 to 10, of a pull request into deploy/<environment>, by environment. Default: no such branches."""
    protected_tags: NotRequired[Sequence[str]]
    """Patterns of tags, for example v*, that nobody moves or deletes. Default: none."""
    tag_creators: NotRequired[Sequence[BypassActorArgs]]
    """Exact actors that may create protected tags. Required with protected_tags."""
    files: NotRequired[Mapping[str, pulumi.Input[str]]]
    """Contents of further files on the default branch, by path. Default: none."""
    code_owners: NotRequired[Sequence[CodeOwnerArgs]]
    """Who owns which files, as .github/CODEOWNERS. Default: no such file."""
    updates: NotRequired[Updates]
    """Who keeps dependencies and the pins of actions fresh. Default: nobody."""
    ecosystems: NotRequired[Sequence[Ecosystem]]
    """What Dependabot updates besides actions. Default: nothing."""
    teams: NotRequired[Mapping[str, TeamAccessArgs]]
    """Teams and what they may do, by slug or by a name of your own. Default: none."""
    collaborators: NotRequired[Mapping[str, Permission]]
    """Users and what they may do, by login. Default: none."""
    labels: NotRequired[Sequence[LabelArgs]]
    """Labels, all of them: others are deleted. Default: those that GitHub gives a new repository."""
    hooks: NotRequired[Mapping[str, HookArgs]]
    """Webhooks, by a name of your own. Default: none."""
    actions: NotRequired[ActionsArgs]
    """Which actions its workflows may use. Default: all, pinned by commit."""


@dataclass(frozen=True)
class _Security:
    dependabot_updates: bool | None = None
    secret_scanning: bool | None = None
    push_protection: bool | None = None


@dataclass(frozen=True)
class _Repository:
    name: str
    checks: Mapping[str, str] | None = None
    required_checks: Sequence[str] = (GATE,)
    description: str = ""
    visibility: Visibility = Visibility.PRIVATE
    topics: Sequence[str] = ()
    approvals: int = 1
    plan: Plan | None = None
    homepage: str | None = None
    merge_methods: Sequence[MergeMethod] = (MergeMethod.SQUASH,)
    issues: bool = True
    wiki: bool = False
    projects: bool = False
    discussions: bool = False
    auto_merge: bool = False
    is_template: bool = False
    archived: bool = False
    archive_on_destroy: bool = False
    security: _Security = field(default_factory=_Security)
    protection: Protection = field(default_factory=Protection)
    bypass: Sequence[BypassActor] = (ADMINISTRATORS,)
    approval_branches: Mapping[str, int] = field(default_factory=dict[str, int])
    protected_tags: Sequence[str] = ()
    tag_creators: Sequence[BypassActor] = ()
    files: Mapping[str, pulumi.Input[str]] = field(default_factory=dict[str, pulumi.Input[str]])
    code_owners: Sequence[CodeOwner] = ()
    updates: Updates = Updates.NONE
    ecosystems: Sequence[Ecosystem] = ()
    teams: Mapping[str, TeamAccess] = field(default_factory=dict[str, TeamAccess])
    collaborators: Mapping[str, Permission] = field(default_factory=dict[str, Permission])
    labels: Sequence[Label] = ()
    hooks: Mapping[str, Hook] = field(default_factory=dict[str, Hook])
    actions: Actions = field(default_factory=Actions)

    @property
    def workflow(self) -> ChecksWorkflow | None:
        if self.checks is None:
            return None
        return ChecksWorkflow(
            self.checks,
            _BRANCH,
            merge_queue=self.protection.merge_queue is not None,
            approval_branches=[approval_branch(environment) for environment in self.approval_branches],
        )

    @property
    def own_files(self) -> Mapping[str, str]:
        checks = [self.workflow.path] if self.workflow else []
        return rendered(self.code_owners, self.updates, self.ecosystems, [*checks, *self.files])

    @property
    def default_ruleset(self) -> Ruleset:
        return rulesets.default_branch(
            self.approvals, self.protection, self.merge_methods, self.bypass, self.required_checks
        )

    @property
    def rulesets(self) -> list[Ruleset]:
        """All but the default branch's."""
        made = [
            rulesets.approval(each, count, self.bypass, self.required_checks)
            for each, count in self.approval_branches.items()
        ]
        return made + (rulesets.tags(self.protected_tags, self.tag_creators) if self.protected_tags else [])

    def problems(self) -> Iterator[Problem]:
        yield from REPOSITORY.check("name", self.name)
        yield from rulesets.check_approvals("approvals", self.approvals)
        yield from self._checks()
        yield from self._settings()
        yield from self._rules()
        yield from check_files(self.files, [*([self.workflow.path] if self.workflow else []), *self.own_files])
        for index, owner in enumerate(self.code_owners):
            yield from owner.problems(f"code_owners[{index}]")
        if self.ecosystems and self.updates is not Updates.DEPENDABOT:
            yield Problem("ecosystems", [*map(str, self.ecosystems)], "only Dependabot is told them", "leave them out")
        yield from check_access(self.teams, self.collaborators)
        yield from check_labels(self.labels)
        for key, hook in self.hooks.items():
            yield from hook.problems(f"hooks.{key}")
        yield from self.actions.problems("actions")
        yield from unavailable(self.plan, self.visibility, *self._wanted())

    def _checks(self) -> Iterator[Problem]:
        texts = {path: content for path, content in self.files.items() if isinstance(content, str)}
        if self.workflow:
            found = list(self.workflow.problems())
            yield from found
            if found:
                return
            texts[self.workflow.path] = self.workflow.render()
        elif any(path.startswith(WORKFLOWS) for path in self.files.keys() - texts.keys()):
            return  # a text that comes later cannot be read here
        if not self.required_checks:
            yield Problem("required_checks", [], "nothing would be checked", "name a job, or leave it out for gate")
        for index, context in enumerate(self.required_checks):
            if context in self.required_checks[:index]:
                yield Problem("required_checks", context, "it stands there twice", "name it once")
        branches = [_BRANCH, *map(approval_branch, self.approval_branches)]
        queue = self.protection.merge_queue is not None
        yield from check_required(self.required_checks, texts, branches, merge_queue=queue)

    def _settings(self) -> Iterator[Problem]:
        if not self.description.isprintable() or len(self.description) > 350:  # GitHub, "About repositories"
            yield Problem("description", self.description, "GitHub takes one line of 350 characters", "shorten it")
        for topic in self.topics:
            yield from TOPIC.check("topics", topic)
        if len(self.topics) > _MOST_TOPICS or len(set(self.topics)) < len(self.topics):
            yield Problem("topics", len(self.topics), "GitHub keeps up to 20, each once", "leave some out")
        if not self.merge_methods or len(set(self.merge_methods)) < len(self.merge_methods):
            yield Problem("merge_methods", [*self.merge_methods], "nothing could be merged so", "name each method once")
        if self.homepage is not None and not self.homepage.startswith(("https://", "http://")):
            yield Problem("homepage", self.homepage, "it is no address of a page", "give one with https://")
        if self.security.push_protection and not self.security.secret_scanning:
            yield Problem("security.push_protection", True, "it needs secret_scanning", "turn both on")

    def _rules(self) -> Iterator[Problem]:
        protection = self.protection
        yield from protection.problems("protection")
        if protection.linear_history and set(self.merge_methods) == {MergeMethod.MERGE}:
            yield Problem("merge_methods", ["merge"], "linear_history refuses merge commits", "allow squash or rebase")
        for argument in ("last_push_approval", "code_owner_reviews"):
            if getattr(protection, argument) and not self.approvals:
                yield Problem(f"protection.{argument}", True, "there are no approvals to count", "raise approvals")
        queue = protection.merge_queue
        if queue and queue.method not in self.merge_methods:
            yield Problem(
                "protection.merge_queue.method", str(queue.method), "the repository does not merge so", "use another"
            )
        yield from rulesets.check_bypass("bypass", self.bypass, deploys=True)
        yield from rulesets.check_bypass("tag_creators", self.tag_creators)
        for index, actor in enumerate(self.tag_creators):
            if actor.mode is not BypassMode.ALWAYS:
                why = "tags come without a pull request"
                yield Problem(f"tag_creators[{index}].mode", str(actor.mode), why, "use always")
        yield from rulesets.check_patterns("protected_tags", self.protected_tags)
        if bool(self.protected_tags) != bool(self.tag_creators):
            yield Problem("tag_creators", None, "protected tags and their creators go together", "give both or neither")
        for environment, count in self.approval_branches.items():
            yield from ENVIRONMENT.check("approval_branches", environment)
            yield from rulesets.check_approvals(f"approval_branches.{environment}", count, least=1)

    def _wanted(self) -> Iterator[Wanted]:
        if self.visibility is Visibility.INTERNAL:
            yield Wanted("visibility", str(self.visibility), Feature.INTERNAL_REPOSITORY)
        yield Wanted("visibility", str(self.visibility), Feature.RULESETS)
        features = (
            ("protection.merge_queue", self.protection.merge_queue is not None, Feature.MERGE_QUEUE),
            ("protection.code_owner_reviews", self.protection.code_owner_reviews, Feature.CODE_OWNERS),
            ("auto_merge", self.auto_merge, Feature.AUTO_MERGE),
            ("wiki", self.wiki, Feature.WIKI),
            ("security.secret_scanning", bool(self.security.secret_scanning), Feature.SECRET_SCANNING),
        )
        yield from (Wanted(argument, True, feature) for argument, wanted, feature in features if wanted)


class Repository(Component):
    """A repository whose default branch takes reviewed and checked pull requests only.

    Creates: the repository (branch deleted on merge); vulnerability alerts; read-only default token of its workflows;
    actions allowed only when pinned by commit; the checks workflow, if there are `checks`, and the other files, one
    after another; and, after the files, a ruleset on the default branch: pull request with `approvals` approvals (stale
    ones dismissed), the required checks passed and up to date with the branch, no deletion, no force push. As asked
    for: approval branches `deploy/<environment>` and a ruleset for each; rulesets of protected tags; Dependabot's
    security updates; teams, collaborators, labels and webhooks. Organisation administrators may bypass the rulesets on
    branches, unless `bypass` names others, since the next change of a file is written by whoever runs the deployment.

    The default branch is `main`, as in an organisation that has not chosen another name for new repositories.

    Raises:
        InvalidArgumentsError: before any resource, with every offender.
    """

    repository_name: pulumi.Output[str]
    """Name of the repository."""
    repository_id: pulumi.Output[int]
    """Numeric id of the repository."""
    url: pulumi.Output[str]
    """Address of the repository's page."""
    ruleset: pulumi.Output[str]
    """Name of the ruleset on the default branch."""

    def __init__(self, name: str, args: RepositoryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        parsed = read(_Repository, args, "Repository", name)
        super().__init__(name, opts)
        self._name = name
        repository = self._repository(parsed)
        self._features(repository, parsed)
        files = self._files(repository, parsed)
        ruleset = self._rulesets(repository, parsed, files)
        self._access(repository, parsed)
        self.repository_name = repository.name
        self.repository_id = repository.repo_id
        self.url = repository.html_url
        self.ruleset = ruleset.name
        self.register_outputs(
            {
                "repository_name": self.repository_name,
                "repository_id": self.repository_id,
                "url": self.url,
                "ruleset": self.ruleset,
            }
        )

    def _repository(self, parsed: _Repository) -> github.Repository:
        methods = parsed.merge_methods
        return github.Repository(
            self._name,
            name=parsed.name,
            description=parsed.description,
            visibility=str(parsed.visibility),
            topics=list(parsed.topics),
            auto_init=True,
            has_issues=parsed.issues,
            has_projects=parsed.projects,
            has_wiki=parsed.wiki,
            # What is off by default is left out then: a state of an earlier release does not hold it.
            has_discussions=parsed.discussions or None,
            homepage_url=parsed.homepage,
            is_template=parsed.is_template or None,
            archived=parsed.archived or None,
            archive_on_destroy=parsed.archive_on_destroy or None,
            allow_auto_merge=parsed.auto_merge or None,
            # An approval branch keeps the default branch's commits, which only a merge commit does.
            allow_merge_commit=MergeMethod.MERGE in methods or bool(parsed.approval_branches),
            allow_rebase_merge=MergeMethod.REBASE in methods,
            allow_squash_merge=MergeMethod.SQUASH in methods,
            allow_update_branch=True,
            delete_branch_on_merge=True,
            security_and_analysis=_scanning(parsed.security),
            opts=self.keeper(),
        )

    def _features(self, repository: github.Repository, parsed: _Repository) -> None:
        alerts = github.RepositoryVulnerabilityAlerts(
            self._name, repository=repository.name, enabled=True, opts=self.child()
        )
        if parsed.security.dependabot_updates is not None:
            github.RepositoryDependabotSecurityUpdates(
                self._name,
                repository=repository.name,
                enabled=parsed.security.dependabot_updates,
                opts=self.child(depends_on=[alerts]),  # GitHub refuses updates without alerts
            )
        github.WorkflowRepositoryPermissions(
            self._name,
            repository=repository.name,
            default_workflow_permissions="read",
            can_approve_pull_request_reviews=False,
            opts=self.child(),
        )
        actions = parsed.actions
        github.ActionsRepositoryPermissions(
            self._name,
            repository=repository.name,
            allowed_actions=str(actions.allowed),
            allowed_actions_config={
                "github_owned_allowed": actions.github_owned,
                "patterns_alloweds": list(actions.patterns),
                "verified_allowed": actions.verified,
            }
            if actions.allowed is AllowedActions.SELECTED
            else None,
            sha_pinning_required=True,
            opts=self.child(),
        )

    def _files(self, repository: github.Repository, parsed: _Repository) -> list[pulumi.Resource]:
        contents: dict[str, pulumi.Input[str]] = {**parsed.own_files, **parsed.files}
        written: list[pulumi.Resource] = []
        workflow = parsed.workflow
        wanted = [("checks", workflow.path, workflow.render(), "Write the checks workflow")] if workflow else []
        for logical, path, content, message in [
            *wanted,
            *((f"file-{path}", path, content, f"Write {path}") for path, content in contents.items()),
        ]:
            file = github.RepositoryFile(
                f"{self._name}-{logical}",
                repository=repository.name,
                branch=_BRANCH,
                file=path,
                content=content,
                commit_message=message,
                overwrite_on_create=True,
                # One after another: GitHub refuses a commit whose parent is no longer the branch's newest.
                opts=self.child(depends_on=written[-1:]),
            )
            written.append(file)
        return written

    def _rulesets(
        self, repository: github.Repository, parsed: _Repository, files: list[pulumi.Resource]
    ) -> github.RepositoryRuleset:
        branches = [
            github.Branch(
                f"{self._name}-{approval_branch(environment)}",
                repository=repository.name,
                branch=approval_branch(environment),
                source_branch=_BRANCH,
                opts=self.child(depends_on=files[-1:]),
            )
            for environment in parsed.approval_branches
        ]
        main = parsed.default_ruleset
        # A ruleset that came first would refuse the files and the branches.
        before = [*files, *branches]
        for each in parsed.rulesets:
            self._ruleset(f"{self._name}-{each.name}", repository, each, before)
        return self._ruleset(self._name, repository, main, before)

    def _ruleset(
        self, logical: str, repository: github.Repository, ruleset: Ruleset, before: Sequence[pulumi.Resource]
    ) -> github.RepositoryRuleset:
        return github.RepositoryRuleset(
            logical, repository=repository.name, **ruleset.render(), opts=self.child(depends_on=before)
        )

    def _access(self, repository: github.Repository, parsed: _Repository) -> None:
        for key, access in parsed.teams.items():
            github.TeamRepository(
                f"{self._name}-{key}",
                repository=repository.name,
                team_id=key if access.team is None else access.team,
                permission=str(access.permission),
                opts=self.child(),
            )
        for login, permission in parsed.collaborators.items():
            github.RepositoryCollaborator(
                f"{self._name}-{login}",
                repository=repository.name,
                username=login,
                permission=str(permission),
                opts=self.child(),
            )
        if parsed.labels:
            # All at once, since GitHub gives a new repository labels, which one by one could not be made again.
            github.IssueLabels(
                self._name,
                repository=repository.name,
                labels=[
                    {"name": label.name, "color": label.color.lower(), "description": label.description}
                    for label in parsed.labels
                ],
                opts=self.child(),
            )
        for key, hook in parsed.hooks.items():
            github.RepositoryWebhook(
                f"{self._name}-{key}",
                repository=repository.name,
                configuration={
                    "url": hook.url,
                    "content_type": "json",
                    "insecure_ssl": False,
                    "secret": pulumi.Output.secret(hook.secret),
                },
                events=sorted(hook.events),
                active=True,
                opts=self.child(),
            )


def _scanning(security: _Security) -> github.RepositorySecurityAndAnalysisArgsDict | None:
    wanted: github.RepositorySecurityAndAnalysisArgsDict = {}
    if security.secret_scanning is not None:
        wanted["secret_scanning"] = {"status": _STATUS[security.secret_scanning]}
    if security.push_protection is not None:
        wanted["secret_scanning_push_protection"] = {"status": _STATUS[security.push_protection]}
    return wanted or None
