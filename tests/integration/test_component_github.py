"""Repositories, environments and teams against the real engine, its GitHub provider and the sandbox's GitHub."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from pavedpath_sandbox.sandbox import Sandbox

from tests.integration.conftest import World, make_world
from tests.integration.lifecycle import Lifecycle

pytestmark = pytest.mark.integration

HEAD = """\
import pulumi
from pavedpath import Repository, RepositoryEnvironment, RunnerGroup, Team
"""
CHECKS = {"name": "shop", "checks": {"test": "make test"}}
FULL: dict[str, Any] = {
    **CHECKS,
    "topics": ["cloud", "shop"],
    "homepage": "https://shop.example",
    "merge_methods": ["squash", "rebase"],
    "discussions": True,
    "auto_merge": True,
    "is_template": True,
    "plan": "enterprise",
    "security": {"dependabot_updates": True, "secret_scanning": True, "push_protection": True},
    "protection": {
        "linear_history": True,
        "signed_commits": True,
        "code_owner_reviews": True,
        "last_push_approval": True,
        "required_checks": [{"context": "dco", "app_id": 1861}],
        "merge_queue": {"method": "rebase"},
    },
    "approval_branches": {"prod": 2},
    "protected_tags": ["v*"],
    "tag_creators": [{"kind": "repository_role", "role": "admin"}],
    "files": {"docs/a.md": "a", "docs/b.md": "b"},
    "code_owners": [{"pattern": "*", "owners": ["@acme/platform"]}],
    "updates": "dependabot",
    "ecosystems": ["pip"],
    "collaborators": {"eve": "triage"},
    "labels": [{"name": "bug", "color": "D73A4A"}, {"name": "toil", "color": "c5def5", "description": "By hand"}],
    "hooks": {"ci": {"url": "https://ci.example/hook", "secret": "hook-secret", "events": ["push", "workflow_job"]}},
    "actions": {"allowed": "selected", "patterns": ["astral-sh/setup-uv@*"]},
}


@pytest.fixture(scope="module")
def world(toolchain: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A GitHub on the plan Enterprise, which has everything."""
    plain = make_world(tmp_path_factory.mktemp("world") / "project")
    with Sandbox(plain.directory / ".sandbox", groups=("github",), plan="enterprise") as sandbox:
        yield World(plain.directory, sandbox)


@pytest.fixture(scope="module")
def team_plan(toolchain: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A GitHub on the plan Team."""
    plain = make_world(tmp_path_factory.mktemp("team") / "project")
    with Sandbox(plain.directory / ".sandbox", groups=("github",), plan="team") as sandbox:
        yield World(plain.directory, sandbox)


def program(body: str) -> str:
    return HEAD + body


def repository(**arguments: Any) -> str:
    teams = arguments.pop("with_team", False)
    body = 'team = Team("platform", {"name": "Platform", "members": ["ada"], "maintainers": ["acme-admin"]})\n'
    body += f"args = {arguments!r}\n"
    if teams:
        body += 'args["teams"] = {"platform": {"team": team.slug, "permission": "push"}}\n'
        body += 'args["bypass"] = [{"kind": "organization_admin"}, {"kind": "team", "id": team.team_id, '
        body += '"mode": "pull_request"}]\n'
    body += 'made = Repository("shop", args)\n'
    body += 'pulumi.export("id", made.repository_id)\n'
    return program(body)


def rules_of(world: World, name: str) -> dict[str, Any]:
    with world.github() as client:
        listed = client.get("/repos/acme/shop/rulesets").json()
        (identity,) = [each["id"] for each in listed if each["name"] == name]
        return client.get(f"/repos/acme/shop/rulesets/{identity}").json()


def test_a_repository_lives_and_dies(world: World) -> None:
    stack = Lifecycle.begin(world, "repository")
    stack.up(repository(**CHECKS))
    assert stack.drift() == {}

    made = stack.up(repository(**FULL, with_team=True))
    assert set(made) == {"create", "update"}
    assert made["update"] == {
        "Repository shop",
        "RepositoryRuleset shop",
        "RepositoryFile shop-checks",
        "ActionsRepositoryPermissions shop",
    }
    assert stack.drift() == {}
    assert made["create"] >= {
        "Branch shop-deploy/prod",
        "RepositoryRuleset shop-deploy/prod",
        "TeamRepository shop-platform",
    }

    main = {rule["type"]: rule.get("parameters") for rule in rules_of(world, "default-branch")["rules"]}
    assert {each["context"] for each in main["required_status_checks"]["required_status_checks"]} == {"gate", "dco"}
    assert set(main) >= {"merge_queue", "required_linear_history", "required_signatures"}
    assert main["pull_request"]["allowed_merge_methods"] == ["squash", "rebase"]
    guarded = {rule["type"]: rule.get("parameters") for rule in rules_of(world, "deploy/prod")["rules"]}
    assert guarded["pull_request"]["required_approving_review_count"] == 2
    assert [each["actor_type"] for each in rules_of(world, "default-branch")["bypass_actors"]] == [
        "OrganizationAdmin",
        "Team",
    ]
    assert rules_of(world, "tags-immutable")["bypass_actors"] == []

    with world.github() as client:
        shown = client.get("/repos/acme/shop/contents/.github/dependabot.yml").json()
        updates = yaml.safe_load(base64.b64decode(shown["content"]))["updates"]
        assert [each["package-ecosystem"] for each in updates] == ["github-actions", "pip"]
        (hook,) = client.get("/repos/acme/shop/hooks").json()
        assert hook["config"]["insecure_ssl"] == "0"
        branch = client.get("/repos/acme/shop/branches/deploy/prod")
        assert branch.status_code == 200
    assert "hook-secret" not in stack.pulumi("stack", "export")

    # All files change at once behind the rulesets, one after another.
    changed = {**FULL, "files": {"docs/a.md": "a2", "docs/b.md": "b2", "docs/c.md": "c"}}
    assert stack.up(repository(**changed, with_team=True)) == {
        "create": {"RepositoryFile shop-file-docs/c.md"},
        "update": {
            *(f"RepositoryFile shop-file-docs/{name}.md" for name in "ab"),
            "RepositoryFile shop-file-.github/dependabot.yml",  # it leaves alone what the stack writes
        },
    }
    assert stack.drift() == {}

    back = stack.up(repository(**CHECKS))
    assert set(back) == {"update", "delete"}
    assert stack.drift() == {}
    stack.destroy()
    with world.github() as client:
        assert client.get("/repos/acme/shop").status_code == 404


def test_teams_and_runner_groups_live_and_die(world: World) -> None:
    stack = Lifecycle.begin(world, "teams")
    body = """\
team = Team("a", {{"name": "Ops", "members": {members!r}, "maintainers": ["acme-admin"], "description": {text!r}}})
made = Repository("tools", {{"name": "tools", "checks": {{"test": "true"}}}})
group = RunnerGroup("dev", {{"name": {group!r}, "repository_ids": [made.repository_id]}})
pulumi.export("slug", team.slug)
pulumi.export("group", group.group_id)
"""
    stack.up(program(body.format(members=["ada", "bob"], text="one", group="dev")))
    assert stack.drift() == {}
    first = stack.outputs()
    assert first["slug"] == "ops"
    assert isinstance(first["group"], int)

    changed_text = program(body.format(members=["bob"], text="two", group="dev-runners"))
    assert stack.up(changed_text) == {"update": {"Team a", "TeamMembers a", "ActionsRunnerGroup dev"}}
    assert stack.drift() == {}
    assert stack.outputs() == first
    archived = changed_text.replace('"true"}}', '"true"}, "archived": True}', 1)
    assert stack.up(archived) == {"update": {"Repository tools"}}
    assert stack.drift() == {}
    assert stack.up(changed_text) == {"update": {"Repository tools"}}
    with world.github() as client:
        assert {each["login"] for each in client.get("/orgs/acme/teams/ops/members").json()} == {"acme-admin", "bob"}
    stack.destroy()


def environment(**arguments: Any) -> str:
    return program(f"""\
team = Team("releasers", {{"name": "Releasers", "members": ["ada"]}})
made = Repository("web", {{
    "name": "web", "checks": {{"test": "true"}}, "approval_branches": {{"prod": 2}},
    "teams": {{"releasers": {{"team": team.slug, "permission": "push"}}}},
}})
args = {arguments!r}
if args.pop("reviewed", False):
    args["reviewer_teams"] = [team.slug]
args |= {{"repository": made.repository_name, "environment": "prod"}}
RepositoryEnvironment("prod", args, pulumi.ResourceOptions(depends_on=[made]))
""")


def protection(world: World) -> dict[str, Any]:
    with world.github() as client:
        shown = client.get("/repos/acme/web/environments/prod").json()
        policies = client.get("/repos/acme/web/environments/prod/deployment-branch-policies").json()
        rules = {each["type"]: each for each in shown["protection_rules"]}
        return {**shown, "rules": rules, "from": {each["name"] for each in policies.get("branch_policies", [])}}


def test_an_environment_lives_and_dies(world: World) -> None:
    stack = Lifecycle.begin(world, "environment")
    stack.up(environment(variables={"REGION": "eu"}, secrets={"TOKEN": "env-secret"}))
    assert stack.drift() == {}
    assert protection(world)["from"] == {"main"}

    more = stack.up(
        environment(
            variables={"REGION": "us"},
            secrets={"TOKEN": "env-secret"},
            reviewed=True,
            wait_timer_minutes=5,
            tags=["v*"],
            plan="enterprise",
        )
    )
    assert more == {
        "create": {"RepositoryEnvironmentDeploymentPolicy prod-tag:v*"},
        "update": {"RepositoryEnvironment prod", "ActionsEnvironmentVariable prod-REGION"},
    }
    assert stack.drift() == {}
    shown = protection(world)
    assert shown["rules"]["wait_timer"]["wait_timer"] == 5
    assert shown["rules"]["required_reviewers"]["prevent_self_review"] is True
    assert shown["rules"]["required_reviewers"]["reviewers"][0]["reviewer"]["slug"] == "releasers"
    assert shown["from"] == {"main", "v*"}
    assert shown["can_admins_bypass"] is False

    dispatched = stack.up(environment(approval="dispatch", approvers=["Ada"]))
    assert dispatched["create"] == {"ActionsEnvironmentVariable prod-DEPLOY_APPROVERS"}
    assert dispatched["update"] == {"RepositoryEnvironment prod"}
    assert stack.drift() == {}
    assert set(protection(world)["rules"]) == {"branch_policy"}

    # GitHub drops the named branches itself, which the state learns by a refresh.
    assert "404 Not Found" in stack.refused(environment(protected_branches_only=True))
    stack.pulumi("refresh", "--yes")
    assert stack.drift() == {}
    assert protection(world)["deployment_branch_policy"] == {
        "protected_branches": True,
        "custom_branch_policies": False,
    }
    stack.destroy()


def test_what_the_plan_has_not_is_refused_before_the_first_resource_and_its_alternative_works(team_plan: World) -> None:
    stack = Lifecycle.begin(team_plan, "planned")
    said = stack.refused(environment(reviewed=True, wait_timer_minutes=5, plan="team"))
    assert "required reviewers of private repositories need GitHub Enterprise, and the plan is Team" in said
    assert "approval: branch" in said
    with team_plan.github() as client:
        assert client.get("/repos/acme/web/environments/prod").status_code == 404

    # What the sandbox's GitHub says without the check, which is what a user would see halfway through.
    assert "billing plan" in stack.refused(environment(wait_timer_minutes=5))

    stack.up(environment(approval="branch", plan="team"))
    assert stack.drift() == {}
    assert protection(team_plan)["from"] == {"deploy/prod"}
    stack.destroy()
