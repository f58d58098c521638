"""The real GitHub provider against the sandbox's GitHub in strict mode: made, unchanged when read again, gone."""

import json
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import pulumi
import pulumi_github as gh

provider = gh.Provider("sandbox", write_delay_ms=1, parallel_requests=True)
opts = pulumi.ResourceOptions(provider=provider)


def after(*resources):
    return pulumi.ResourceOptions(provider=provider, depends_on=list(resources))


app = gh.Repository("app", name="app", visibility="private", auto_init=True, topics=["a"], opts=opts)
name = app.name
file = gh.RepositoryFile("f", repository=name, branch="main", file="a/b c.txt", content="on: push\\n", opts=opts)
gh.RepositoryRuleset(
    "ruleset",
    repository=name,
    name="main",
    target="branch",
    enforcement="active",
    conditions={"ref_name": {"includes": ["~DEFAULT_BRANCH"], "excludes": []}},
    rules={
        "deletion": True,
        "pull_request": {"required_approving_review_count": 1},
        "required_status_checks": {"required_checks": [{"context": "gate"}]},
    },
    opts=after(file),
)
policy = {"protected_branches": False, "custom_branch_policies": True}
env = gh.RepositoryEnvironment("e", repository=name, environment="eu/dev", deployment_branch_policy=policy, opts=opts)
for kind in ("branch", "tag"):
    pattern = {f"{kind}_pattern": "release/*"}
    gh.RepositoryEnvironmentDeploymentPolicy(kind, repository=name, environment=env.environment, opts=opts, **pattern)
eu = {"repository": name, "environment": env.environment}
gh.ActionsEnvironmentSecret("es", **eu, secret_name="S", value="hush", opts=opts)
gh.ActionsEnvironmentVariable("ev", **eu, variable_name="V", value="1", opts=opts)
gh.ActionsSecret("s", repository=name, secret_name="S", value="hush", opts=opts)
gh.ActionsVariable("v", repository=name, variable_name="V", value="1", opts=opts)
gh.ActionsOrganizationSecret("os", secret_name="S", visibility="all", value="hush", opts=opts)
gh.ActionsOrganizationVariable(
    "ov", variable_name="V", visibility="selected", selected_repository_ids=[app.repo_id], value="1", opts=opts
)
team = gh.Team("team", name="Platform", privacy="closed", opts=opts)
gh.Team("child", name="Child", privacy="closed", parent_team_id=team.id, opts=opts)
gh.TeamRepository("tr", team_id=team.id, repository=name, permission="push", opts=opts)
members = [{"username": "acme-admin", "role": "maintainer"}]
gh.TeamMembers("tm", team_id=team.id, members=members, opts=opts)
gh.Membership("guest", username="guest", role="member", opts=opts)
hook = {"url": "http://127.0.0.1:9/", "content_type": "json", "insecure_ssl": False, "secret": "hush"}
gh.RepositoryWebhook("h", repository=name, configuration=hook, events=["push"], opts=opts)
gh.OrganizationWebhook("oh", configuration=hook, events=["workflow_job"], opts=opts)
gh.ActionsRepositoryPermissions("arp", repository=name, allowed_actions="local_only", enabled=True, opts=opts)
gh.WorkflowRepositoryPermissions("wrp", repository=name, default_workflow_permissions="read", opts=opts)
gh.ActionsRunnerGroup("g", name="fleet", visibility="selected", selected_repository_ids=[app.repo_id], opts=opts)
gh.ActionsRepositoryOidcSubjectClaimCustomizationTemplate(
    "sub", repository=name, use_default=False, include_claim_keys=["repo", "context"], opts=opts
)
gh.BranchDefault("default", repository=name, branch="main", opts=opts)
gh.Branch("branch", repository=name, branch="feature/x", source_branch="main", opts=after(file))
gh.IssueLabel("label", repository=name, name="urgent", color="ff0000", opts=opts)
gh.RepositoryCollaborator("c", repository=name, username="dev", permission="maintain", opts=opts)
gh.OrganizationRuleset(
    "org",
    name="org",
    target="branch",
    enforcement="active",
    conditions={
        "ref_name": {"includes": ["~DEFAULT_BRANCH"], "excludes": []},
        "repository_name": {"includes": ["other-*"], "excludes": []},
    },
    rules={"non_fast_forward": True},
    opts=opts,
)
"""


@pytest.fixture
def environment(tmp_path: Path) -> Generator[dict[str, str]]:
    """A server of its own, and what the engine needs to find it."""
    toolchain = ROOT / ".toolchain"
    if not (toolchain / "bin" / "pulumi").exists():
        missing = f"no toolchain in {toolchain}. Fix: make toolchain"
        if os.environ.get("CI") or os.environ.get("PAVEDPATH_REQUIRE_TOOLCHAIN"):
            pytest.fail(missing)
        pytest.skip(missing)
    (tmp_path / "tokens").write_text("owner-token acme-admin\nmember-token dev\n")
    command = [sys.executable, "-m", "pavedpath_sandbox.github", "--strict", "--state", str(tmp_path / "github.db")]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            [*command, "--token-file", str(tmp_path / "tokens")], stdout=subprocess.PIPE, stderr=log, text=True
        )
        assert server.stdout is not None
        port = json.loads(server.stdout.readline())["port"]
        (tmp_path / "backend").mkdir()
        yield {
            **os.environ,
            "PATH": f"{toolchain / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PULUMI_HOME": str(toolchain / "pulumi-home"),
            "PULUMI_BACKEND_URL": f"file://{tmp_path / 'backend'}",
            "PULUMI_CONFIG_PASSPHRASE": "",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "GITHUB_BASE_URL": f"http://127.0.0.1:{port}/",
            "GITHUB_TOKEN": "owner-token",
            "GITHUB_OWNER": "acme",
        }
        server.terminate()
        server.wait(120)
        server.stdout.close()


@pytest.mark.integration
def test_the_provider_finds_what_it_made(environment: dict[str, str], tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "__main__.py").write_text(PROGRAM)
    runtime = {"name": "python", "options": {"virtualenv": sys.prefix}}
    (project / "Pulumi.yaml").write_text(json.dumps({"name": "provider", "runtime": runtime}))

    def pulumi(*arguments: str) -> str:
        done = subprocess.run(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=project,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    pulumi("stack", "init", "dev")
    pulumi("up", "--yes", "--skip-preview")
    pulumi("preview", "--refresh", "--expect-no-changes")
    pulumi("destroy", "--yes", "--skip-preview")
    entries = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert not [entry for entry in entries if entry["event"] in {"crash", "violation", "unserved"}]
    assert {"operation": "repos/delete", "status": 204}.items() <= next(
        entry for entry in entries if entry.get("operation") == "repos/delete"
    ).items()
