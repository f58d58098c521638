"""A tour that calls every served operation with success, each answer checked against GitHub's description."""

import base64
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from pavedpath_sandbox.github.call import Call, Reply
from pavedpath_sandbox.github.routes import HANDLERS, Handler
from pavedpath_sandbox.github.settings import Plan, Settings

R = "/repos/acme/app"
O = "/orgs/acme"  # noqa: E741 - short names keep the tour readable
Seal = Callable[[Mapping[str, str], str], dict[str, str]]
HOOK = {"url": "http://127.0.0.1:9/none", "content_type": "json", "secret": "shared"}
ANNOTATION = {"path": "a.py", "start_line": 1, "end_line": 2, "annotation_level": "warning", "message": "Look"}
PULL_REQUEST = {
    "type": "pull_request",
    "parameters": {
        "dismiss_stale_reviews_on_push": True,
        "require_code_owner_review": False,
        "require_last_push_approval": False,
        "required_approving_review_count": 1,
        "required_review_thread_resolution": False,
    },
}


def accounts(c: Any) -> None:
    for path in (
        "/meta",
        "/rate_limit",
        "/user",
        "/users/dev",
        "/users/acme",
        "/user/orgs",
        "/user/memberships/orgs/acme",
    ):
        c.get(path)
    c.get("/users/dev/keys")
    c.get("/users/dev/gpg_keys")
    c.get(O)
    c.patch(O, {"description": "Things"})
    c.get(f"{O}/members")
    c.get(f"{O}/members/dev", status=204)
    c.put(f"{O}/memberships/guest", {"role": "member"}, status=200)
    c.get(f"{O}/memberships/guest")
    c.delete(f"{O}/memberships/guest")
    c.put(f"{O}/memberships/guest", status=200)
    c.delete(f"{O}/members/guest")


def repositories(c: Any) -> None:
    c.repository()
    c.get(R)
    c.get(f"{O}/repos")
    c.patch(R, {"description": "The app", "homepage": "https://example.com"})
    c.put(f"{R}/topics", {"names": ["python"]}, status=200)
    c.get(f"{R}/topics")
    c.put(f"{R}/vulnerability-alerts")
    c.get(f"{R}/vulnerability-alerts", status=204)
    c.put(f"{R}/automated-security-fixes")
    c.get(f"{R}/automated-security-fixes")
    c.delete(f"{R}/automated-security-fixes")
    c.delete(f"{R}/vulnerability-alerts")
    c.get(f"{R}/pages", status=404)
    c.get(f"{R}/labels")
    c.post(f"{R}/labels", {"name": "urgent", "color": "ff0000"})
    c.get(f"{R}/labels/urgent")
    c.patch(f"{R}/labels/urgent", {"new_name": "now", "description": "At once"})
    c.delete(f"{R}/labels/now")
    c.put(f"{R}/collaborators/dev", {"permission": "triage"})
    c.get(f"{R}/collaborators")
    c.get(f"{R}/collaborators/dev", status=204)
    c.get(f"{R}/collaborators/dev/permission")
    c.get(f"{R}/invitations")
    c.delete(f"{R}/collaborators/dev")


def git(c: Any) -> None:
    written = c.write(R, "src/main.py", "print()\n")
    sha = written["commit"]["sha"]
    c.get(f"{R}/contents/src/main.py?ref=main")
    c.get(f"{R}/contents/src")
    c.delete(f"{R}/contents/src/main.py", {"message": "Delete", "sha": written["content"]["sha"]}, status=200)
    for path in (
        "branches",
        "branches/main",
        "commits",
        "commits/main",
        "git/ref/heads/main",
        "git/matching-refs/heads/",
    ):
        c.get(f"{R}/{path}")
    blob = c.post(f"{R}/git/blobs", {"content": "text"})["sha"]
    c.get(f"{R}/git/blobs/{blob}")
    entries = [{"path": "a/b.txt", "mode": "100644", "type": "blob", "sha": blob}]
    tree = c.post(f"{R}/git/trees", {"tree": entries})["sha"]
    c.get(f"{R}/git/trees/{tree}?recursive=1")
    commit = c.post(f"{R}/git/commits", {"message": "By hand", "tree": tree, "parents": [sha]})["sha"]
    c.get(f"{R}/git/commits/{commit}")
    tag = c.post(f"{R}/git/tags", {"tag": "v1", "message": "One", "object": commit, "type": "commit"})["sha"]
    c.get(f"{R}/git/tags/{tag}")
    c.post(f"{R}/git/refs", {"ref": "refs/tags/v1", "sha": tag})
    c.get(f"{R}/tags")
    c.post(f"{R}/git/refs", {"ref": "refs/heads/feature/x", "sha": sha})
    c.patch(f"{R}/git/refs/heads/feature/x", {"sha": commit})
    c.get(f"{R}/compare/main...feature/x")
    c.delete(f"{R}/git/refs/heads/feature/x")


def rulesets(c: Any) -> None:
    names: dict[str, Any] = {"include": ["~ALL"], "exclude": []}
    branches: dict[str, Any] = {"ref_name": {"include": ["refs/heads/release"], "exclude": []}}
    for path, conditions in ((R, branches), (O, {**branches, "repository_name": names})):
        body = {"name": "rules", "enforcement": "active", "conditions": conditions, "rules": [PULL_REQUEST]}
        identity = c.post(f"{path}/rulesets", body)["id"]
        c.get(f"{path}/rulesets")
        c.get(f"{path}/rulesets/{identity}")
        c.put(f"{path}/rulesets/{identity}", {"enforcement": "disabled"}, status=200)
    c.get(f"{R}/rules/branches/release")
    c.delete(f"{R}/rulesets/{c.get(f'{R}/rulesets?includes_parents=false')[0]['id']}")
    c.delete(f"{O}/rulesets/{c.get(f'{O}/rulesets')[0]['id']}")


def environments(c: Any) -> None:
    policy = {"protected_branches": False, "custom_branch_policies": True}
    reviewers = [{"type": "User", "id": c.get("/user")["id"]}]
    body = {"wait_timer": 5, "reviewers": reviewers, "deployment_branch_policy": policy}
    c.put(f"{R}/environments/dev", body, status=200)
    c.get(f"{R}/environments")
    c.get(f"{R}/environments/dev")
    policies = f"{R}/environments/dev/deployment-branch-policies"
    identity = c.post(policies, {"name": "main"}, status=200)["id"]
    c.get(policies)
    c.get(f"{policies}/{identity}")
    c.put(f"{policies}/{identity}", {"name": "release/*"}, status=200)
    c.delete(f"{policies}/{identity}")
    c.put(f"{R}/environments/gone", status=200)
    c.delete(f"{R}/environments/gone")


def secrets_and_variables(c: Any, seal: Seal) -> None:
    identity = c.get(R)["id"]
    for scope in (f"{R}/actions", f"{R}/environments/dev", f"{O}/actions"):
        shared: dict[str, Any] = {"visibility": "all"} if scope.startswith(O) else {}
        secret = seal(c.get(f"{scope}/secrets/public-key"), "hush")
        c.put(f"{scope}/secrets/TOKEN", secret | shared, status=201)
        c.put(f"{scope}/secrets/TOKEN", secret | shared)
        c.get(f"{scope}/secrets")
        c.get(f"{scope}/secrets/TOKEN")
        c.post(f"{scope}/variables", {"name": "REGION", "value": "eu"} | shared)
        c.patch(f"{scope}/variables/REGION", {"value": "us"}, status=204)
        c.get(f"{scope}/variables")
        c.get(f"{scope}/variables/REGION")
    c.get(f"{R}/actions/organization-secrets")
    c.get(f"{R}/actions/organization-variables")
    chosen: dict[str, Any] = {"visibility": "selected", "selected_repository_ids": [identity]}
    c.put(f"{O}/actions/secrets/TOKEN", chosen)
    c.patch(f"{O}/actions/variables/REGION", chosen, status=204)
    for path in (f"{O}/actions/secrets/TOKEN", f"{O}/actions/variables/REGION"):
        c.get(f"{path}/repositories")
        c.put(f"{path}/repositories", {"selected_repository_ids": []})
        c.put(f"{path}/repositories/{identity}")
        c.delete(f"{path}/repositories/{identity}")
        c.get(path)
    for scope in (f"{R}/actions", f"{R}/environments/dev", f"{O}/actions"):
        c.delete(f"{scope}/secrets/TOKEN")
        c.delete(f"{scope}/variables/REGION")


def teams(c: Any) -> None:
    parent = c.post(f"{O}/teams", {"name": "Platform", "privacy": "closed"})
    c.post(f"{O}/teams", {"name": "Child", "parent_team_id": parent["id"]})
    team = f"{O}/teams/platform"
    c.get(f"{O}/teams")
    c.get(team)
    c.patch(team, {"description": "Paves"})
    c.get(f"{team}/teams")
    c.put(f"{team}/memberships/dev", {"role": "maintainer"}, status=200)
    c.get(f"{team}/memberships/dev")
    c.get(f"{team}/members")
    c.put(f"{team}/repos/acme/app", {"permission": "push"})
    c.get(f"{team}/repos")
    c.get(f"{team}/repos/acme/app", status=204)
    c.get(f"{R}/teams")
    c.delete(f"{team}/repos/acme/app")
    c.delete(f"{team}/memberships/dev")
    c.delete(team)


def hooks(c: Any) -> None:
    for scope in (R, O):
        hook = c.post(f"{scope}/hooks", {"name": "web", "config": HOOK, "events": ["push"]})
        path = f"{scope}/hooks/{hook['id']}"
        c.deliveries()
        c.get(f"{scope}/hooks")
        c.get(path)
        c.patch(path, {"active": True, "events": ["push", "workflow_job"]})
        c.get(f"{path}/config")
        c.patch(f"{path}/config", {"content_type": "form"})
        c.post(f"{path}/pings", status=204)
        if scope == R:
            c.post(f"{path}/tests", status=204)
        delivery = c.get(f"{path}/deliveries")[0]["id"]
        c.get(f"{path}/deliveries/{delivery}")
        c.post(f"{path}/deliveries/{delivery}/attempts", status=202)
        c.deliveries()
        c.delete(path)


def actions_settings(c: Any) -> None:
    identity = c.get(R)["id"]
    for scope in (R, O):
        base = f"{scope}/actions"
        which: dict[str, Any] = {"enabled": True} if scope == R else {"enabled_repositories": "selected"}
        c.put(f"{base}/permissions", {**which, "allowed_actions": "selected"})
        c.get(f"{base}/permissions")
        c.put(f"{base}/permissions/selected-actions", {"patterns_allowed": ["acme/*"]})
        c.get(f"{base}/permissions/selected-actions")
        c.put(f"{base}/permissions/workflow", {"default_workflow_permissions": "read"})
        c.get(f"{base}/permissions/workflow")
        c.put(f"{base}/permissions/artifact-and-log-retention", {"days": 30})
        c.get(f"{base}/permissions/artifact-and-log-retention")
        c.put(f"{base}/permissions/fork-pr-contributor-approval", {"approval_policy": "all_external_contributors"})
        c.get(f"{base}/permissions/fork-pr-contributor-approval")
        c.put(f"{base}/permissions/fork-pr-workflows-private-repos", {"run_workflows_from_fork_pull_requests": False})
        c.get(f"{base}/permissions/fork-pr-workflows-private-repos")
    c.put(f"{R}/actions/permissions/access", {"access_level": "organization"})
    c.get(f"{R}/actions/permissions/access")
    enabled = f"{O}/actions/permissions/repositories"
    c.put(enabled, {"selected_repository_ids": []})
    c.put(f"{enabled}/{identity}")
    c.get(enabled)
    c.delete(f"{enabled}/{identity}")
    subject = {"include_claim_keys": ["repo", "context"]}
    c.put(f"{R}/actions/oidc/customization/sub", {"use_default": False, **subject}, status=201)
    c.get(f"{R}/actions/oidc/customization/sub")
    c.put(f"{O}/actions/oidc/customization/sub", subject, status=201)
    c.get(f"{O}/actions/oidc/customization/sub")


def runners(c: Any) -> None:
    identity = c.get(R)["id"]
    for scope in (R, O):
        base = f"{scope}/actions/runners"
        body = {"name": "one", "runner_group_id": 1, "labels": ["self-hosted", "arm"]}
        runner = c.post(f"{base}/generate-jitconfig", body)["runner"]["id"]
        c.post(f"{base}/registration-token")
        c.post(f"{base}/remove-token")
        c.get(base)
        c.get(f"{base}/{runner}")
        labels = f"{base}/{runner}/labels"
        c.get(labels)
        c.post(labels, {"labels": ["gpu"]}, status=200)
        c.delete(f"{labels}/gpu", status=200)
        c.put(labels, {"labels": ["big"]}, status=200)
        c.delete(labels, status=200)
        if scope == O:
            groups(c, runner, identity)
        c.delete(f"{base}/{runner}")


def groups(c: Any, runner: int, repository: int) -> None:
    base = f"{O}/actions/runner-groups"
    group = f"{base}/{c.post(base, {'name': 'Big', 'visibility': 'selected'})['id']}"
    c.get(base)
    c.get(group)
    c.patch(group, {"name": "Bigger"})
    c.put(f"{group}/runners", {"runners": [runner]})
    c.get(f"{group}/runners")
    c.delete(f"{group}/runners/{runner}")
    c.put(f"{group}/runners/{runner}")
    c.put(f"{group}/repositories", {"selected_repository_ids": []})
    c.put(f"{group}/repositories/{repository}")
    c.get(f"{group}/repositories")
    c.delete(f"{group}/repositories/{repository}")
    c.delete(group)


def runs(c: Any) -> None:
    jobs = [{"name": "test", "labels": ["self-hosted"]}, {"name": "lint", "labels": ["self-hosted"]}]
    run = c.post("/_sandbox/runs", {"repository": "app", "jobs": jobs}, status=200)["id"]
    path = f"{R}/actions/runs/{run}"
    c.get(f"{R}/actions/runs?status=queued")
    c.get(path)
    found = c.get(f"{path}/jobs")["jobs"]
    c.get(f"{R}/actions/jobs/{found[0]['id']}")
    c.post(f"{path}/cancel", status=202)
    c.post(f"{path}/rerun")
    c.post(f"{path}/force-cancel", status=202)
    c.post(f"{path}/rerun-failed-jobs")
    c.get(f"{path}/attempts/2/jobs")
    c.post(f"{path}/cancel", status=202)
    c.post(f"{R}/actions/jobs/{c.get(f'{path}/jobs')['jobs'][0]['id']}/rerun")
    c.post(f"{path}/cancel", status=202)
    c.get(f"{path}/attempts/1")
    c.delete(path)


def workflows(c: Any) -> None:
    text = "on:\n  workflow_dispatch:\njobs: {}\n"
    c.write(R, ".github/workflows/deploy.yml", text)
    c.get(f"{R}/actions/workflows")
    path = f"{R}/actions/workflows/deploy.yml"
    c.get(path)
    c.put(f"{path}/disable")
    c.put(f"{path}/enable")
    c.post(f"{path}/dispatches", {"ref": "main"}, status=204)
    made = c.post(f"{path}/dispatches", {"ref": "main", "return_run_details": True}, status=200)
    c.get(f"{path}/runs")
    reviewers = [{"type": "User", "id": c.get("/user")["id"]}]
    gate = c.put(f"{R}/environments/prod", {"reviewers": reviewers, "wait_timer": 0}, status=200)
    job = {"name": "deploy", "labels": ["linux"], "environment": "prod"}
    run = made["workflow_run_id"]
    c.post(f"/_sandbox/runs/{run}/jobs", {"jobs": [job]}, status=200)
    assert c.get(f"{R}/actions/runs/{run}/pending_deployments")[0]["environment"]["id"] == gate["id"]
    answer = {"environment_ids": [gate["id"]], "state": "approved", "comment": "Go"}
    c.post(f"{R}/actions/runs/{run}/pending_deployments", answer, status=200)
    c.get(f"{R}/actions/runs/{run}/approvals")


def deployments(c: Any) -> None:
    made = c.post(f"{R}/deployments", {"ref": "main", "environment": "dev", "required_contexts": []})
    path = f"{R}/deployments/{made['id']}"
    c.get(f"{R}/deployments?environment=dev")
    c.get(path)
    status = c.post(f"{path}/statuses", {"state": "inactive"})["id"]
    c.get(f"{path}/statuses")
    c.get(f"{path}/statuses/{status}")
    c.delete(path)


def pulls(c: Any) -> None:
    head = c.get(f"{R}/git/ref/heads/main")["object"]["sha"]
    c.post(f"{R}/git/refs", {"ref": "refs/heads/topic", "sha": head})
    c.write(R, "topic.txt", "topic\n", branch="topic")
    c.write(R, "other.txt", "other\n")
    made = c.post(f"{R}/pulls", {"title": "Topic", "head": "topic", "base": "main"}, token="member-token")
    path = f"{R}/pulls/{made['number']}"
    for more in ("", "/commits", "/files", "/requested_reviewers", "/reviews"):
        c.get(path + more)
    c.get(f"{R}/pulls?state=all")
    c.get(f"{path}/merge", status=404)
    c.patch(path, {"body": "About"})
    c.post(f"{path}/requested_reviewers", {"reviewers": ["acme-admin"]})
    c.delete(f"{path}/requested_reviewers", {"reviewers": ["acme-admin"]}, status=200)
    review = c.post(f"{path}/reviews", {"event": "APPROVE"}, status=200)["id"]
    c.get(f"{path}/reviews/{review}")
    c.put(f"{path}/reviews/{review}/dismissals", {"message": "Again"}, status=200)
    c.delete(f"{path}/reviews/{c.post(f'{path}/reviews', {}, status=200)['id']}", status=200)
    begun = c.post(f"{path}/reviews", {}, status=200)["id"]
    c.post(f"{path}/reviews/{begun}/events", {"event": "APPROVE"}, status=200)
    comment = c.post(f"{R}/issues/{made['number']}/comments", {"body": "Well"})["id"]
    c.get(f"{R}/issues/{made['number']}/comments")
    c.get(f"{R}/issues/comments/{comment}")
    c.patch(f"{R}/issues/comments/{comment}", {"body": "Good"})
    c.delete(f"{R}/issues/comments/{comment}")
    c.put(f"{path}/update-branch", status=202)
    sha = c.put(f"{path}/merge", status=200)["sha"]
    c.get(f"{path}/merge", status=204)
    assert c.get(f"{R}/commits/{sha}/pulls")[0]["number"] == made["number"]


def checks(c: Any, app_token: str) -> None:
    sha = c.get(f"{R}/git/ref/heads/main")["object"]["sha"]
    c.post(f"{R}/statuses/{sha}", {"state": "success", "context": "ci"})
    c.get(f"{R}/commits/main/statuses")
    c.get(f"{R}/commits/main/status")
    output = {"title": "T", "summary": "S", "annotations": [ANNOTATION]}
    made = c.post(f"{R}/check-runs", {"name": "scan", "head_sha": sha, "output": output}, token=app_token)
    path = f"{R}/check-runs/{made['id']}"
    c.get(path)
    c.get(f"{path}/annotations")
    c.patch(path, {"conclusion": "success"}, token=app_token)
    c.get(f"{R}/commits/main/check-runs")
    c.get(f"{R}/commits/main/check-suites")
    suite = c.post(f"{R}/check-suites", {"head_sha": sha}, token=app_token, status=200)["id"]
    c.get(f"{R}/check-suites/{suite}")
    c.get(f"{R}/check-suites/{suite}/check-runs")


def releases(c: Any) -> None:
    made = c.post(f"{R}/releases", {"tag_name": "v9.0.0", "generate_release_notes": True})
    path = f"{R}/releases/{made['id']}"
    for more in (path, f"{path}/assets", f"{R}/releases", f"{R}/releases/latest", f"{R}/releases/tags/v9.0.0"):
        c.get(more)
    c.patch(path, {"body": "Better"})
    c.post(f"{R}/releases/generate-notes", {"tag_name": "v9.1.0"}, status=200)
    c.delete(path)


def apps(c: Any, now: float) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encoding = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    public = key.public_key().public_bytes(*encoding).decode()
    permissions = {"actions": "read", "administration": "write"}
    body = {"name": "fleet", "public_key": public, "permissions": permissions}
    app = c.post("/_sandbox/apps", body, status=200)
    claims = {"iss": str(app["app_id"]), "iat": int(now), "exp": int(now) + 300}
    parts = [base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=") for one in ({"alg": "RS256"}, claims)]
    signature = base64.urlsafe_b64encode(key.sign(b".".join(parts), padding.PKCS1v15(), hashes.SHA256())).rstrip(b"=")
    token = b".".join([*parts, signature]).decode()
    for path in ("/app", "/app/installations", f"{O}/installation", f"{R}/installation"):
        c.get(path, token=token)
    installation = f"/app/installations/{app['installation_id']}"
    c.get(installation, token=token)
    issued = c.post(f"{installation}/access_tokens", token=token)["token"]
    c.post(f"{O}/actions/runners/registration-token", token=issued)
    return issued


def test_every_served_operation_answers_as_github_describes(
    settings: Settings, start: Callable[..., Any], seal: Seal
) -> None:
    answered: set[str] = set()

    def recording(identity: str, handler: Handler) -> Handler:
        def handle(call: Call) -> Reply:
            reply = handler(call)
            answered.add(identity)
            return reply

        return handle

    handlers = {identity: recording(identity, handler) for identity, handler in HANDLERS.items()}
    began = time.perf_counter()
    with start(replace(settings, plan=Plan.ENTERPRISE), handlers) as c:
        accounts(c)
        repositories(c)
        git(c)
        rulesets(c)
        environments(c)
        secrets_and_variables(c, seal)
        teams(c)
        hooks(c)
        actions_settings(c)
        runners(c)
        runs(c)
        workflows(c)
        deployments(c)
        pulls(c)
        checks(c, apps(c, c.github.settings.clock()))
        releases(c)
        c.delete(R)
    missing = sorted(HANDLERS.keys() - answered - {"repos/get-pages"})
    assert not missing, f"served but never answered in {time.perf_counter() - began:.1f} s: {missing}"


@pytest.mark.parametrize("prefix", ["", "/api/v3"])
def test_served_at_the_root_and_as_enterprise_server(
    settings: Settings, start: Callable[..., Any], prefix: str
) -> None:
    with start(settings, prefix=prefix) as c:
        c.repository()
        assert c.get(R)["url"] == f"http://github.test{prefix}/repos/acme/app"
