import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pavedpath_sandbox.github.handlers.runs import within
from pavedpath_sandbox.github.settings import Plan, Settings

JOBS = [{"name": "test", "labels": ["self-hosted", "gpu"]}]


def runner(github: Any, name: str, *labels: str, group: int = 1, status: int = 201) -> Any:
    body = {"name": name, "runner_group_id": group, "labels": list(labels)}
    return github.post("/orgs/acme/actions/runners/generate-jitconfig", body, status=status)


def enqueue(github: Any, jobs: list[dict[str, Any]] = JOBS) -> tuple[str, list[Any]]:
    run = github.post("/_sandbox/runs", {"repository": "app", "jobs": jobs}, status=200)
    path = f"/repos/acme/app/actions/runs/{run['id']}"
    return path, github.get(f"{path}/jobs")["jobs"]


def events(github: Any, hook: str) -> list[tuple[str, str]]:
    github.deliveries()
    return [(one["event"], one["action"]) for one in reversed(github.get(f"{hook}/deliveries")) if one["action"]]


def test_a_job_from_queue_to_end_on_an_ephemeral_runner(github: Any) -> None:
    github.repository()
    config = {"url": "http://127.0.0.1:9/x", "content_type": "json"}
    made = github.post(
        "/orgs/acme/hooks", {"name": "web", "config": config, "events": ["workflow_job", "workflow_run"]}
    )
    path, [job] = enqueue(github)
    assert (job["status"], job["labels"], job["runner_id"]) == ("queued", ["self-hosted", "gpu"], None)
    answer = runner(github, "one", "self-hosted", "gpu")
    config = json.loads(base64.b64decode(answer["encoded_jit_config"]))
    assert json.loads(base64.b64decode(config[".runner"]))["AgentName"] == "one"
    identity = answer["runner"]["id"]
    taken = github.post(f"/_sandbox/runners/{identity}/connect", status=200)["job"]
    assert (taken["id"], taken["runner_name"], taken["runner_group_id"]) == (job["id"], "one", 1)
    assert github.get(f"/orgs/acme/actions/runners/{identity}")["busy"] is True
    github.delete(f"/orgs/acme/actions/runners/{identity}", status=422)
    github.post(f"/_sandbox/jobs/{job['id']}", {"conclusion": "success"}, status=200)
    assert github.get(path)["conclusion"] == "success"
    github.get(f"/orgs/acme/actions/runners/{identity}", status=404)
    assert events(github, f"/orgs/acme/hooks/{made['id']}") == [
        ("workflow_run", "requested"),
        ("workflow_job", "queued"),
        ("workflow_job", "in_progress"),
        ("workflow_job", "completed"),
        ("workflow_run", "completed"),
    ]


def test_runners_take_only_jobs_that_they_fit(github: Any) -> None:
    github.repository()
    _, [job] = enqueue(github)
    identity = runner(github, "small", "self-hosted")["runner"]["id"]
    assert github.post(f"/_sandbox/runners/{identity}/connect", status=200)["job"] is None
    answer = github.post(f"/_sandbox/jobs/{job['id']}", {"runner": "small"}, status=409)
    assert "lacks the labels gpu" in answer["message"]
    assert runner(github, "SMALL", "x", status=409)["message"].startswith("Already exists")


def test_cancel_and_run_again(github: Any) -> None:
    github.repository()
    path, jobs = enqueue(github, [{"name": name, "labels": ["self-hosted"]} for name in ("a", "b")])
    runner(github, "r", "self-hosted")
    github.post(f"/_sandbox/jobs/{jobs[0]['id']}", {"runner": "r"}, status=200)
    github.post(f"/_sandbox/jobs/{jobs[0]['id']}", {"conclusion": "success"}, status=200)
    github.post(f"{path}/cancel", status=202)
    assert github.get(path)["conclusion"] == "cancelled"
    github.post(f"{path}/cancel", status=409)
    github.post(f"{path}/rerun-failed-jobs")
    again = {one["name"]: one["status"] for one in github.get(f"{path}/jobs")["jobs"]}
    assert again == {"a": "completed", "b": "queued"}
    assert github.get(path)["run_attempt"] == 2
    assert github.get(f"{path}/jobs?filter=all")["total_count"] == 4
    github.post(f"{path}/rerun", status=409)
    github.delete(path, status=403)
    day = github.get(path)["created_at"][:10]
    assert github.get(f"/repos/acme/app/actions/runs?created=%3E%3D{day}")["total_count"] == 1
    assert github.get(f"/repos/acme/app/actions/runs?created=%3C{day}")["total_count"] == 0


DAY = "2026-09-21"


@pytest.mark.parametrize(
    ("asked", "inside"),
    [
        (DAY, True),
        ("2026-09-20", False),
        (f">={DAY}", True),
        (f">{DAY}", False),
        (f"<={DAY}", True),
        ("<2026-09-22", True),
        (f"2026-09-01..{DAY}", True),
        ("2026-09-01..2026-09-20", False),
        ("*..2026-09-30", True),
        ("2026-10-01..*", False),
        (f">={DAY}T10:00:00Z", True),
        (f">{DAY}T11:00:00Z", False),
    ],
)
def test_runs_of_a_time(asked: str, inside: bool) -> None:
    assert within(f"{DAY}T10:30:00Z", asked) is inside


def test_the_sandbox_endpoints_check_what_they_are_given(github: Any) -> None:
    github.repository()
    github.post("/_sandbox/runs", {"repository": "app"}, status=422)
    github.post("/_sandbox/runs", {"repository": "app", "jobs": [{"name": "x"}]}, status=422)
    github.post("/_sandbox/runs", {"repository": "none", "jobs": JOBS}, status=404)
    github.post("/_sandbox/runs", {"repository": "app", "jobs": JOBS}, status=401, token=None)
    assert github.get("/_sandbox/health", token=None)["status"] == "ok"


def test_runner_groups(github: Any, settings: Settings, start: Callable[..., Any], tmp_path: Any) -> None:
    identity = github.get(github.repository())["id"]
    groups = "/orgs/acme/actions/runner-groups"
    assert [(one["id"], one["default"]) for one in github.get(groups)["runner_groups"]] == [(1, True)]
    chosen: dict[str, Any] = {"name": "Big", "visibility": "selected", "selected_repository_ids": []}
    made = github.post(groups, chosen)
    github.post(groups, chosen, status=409)
    worker = runner(github, "w", "self-hosted", "gpu", group=made["id"])["runner"]
    assert worker["runner_group_id"] == made["id"]
    enqueue(github)
    assert github.post(f"/_sandbox/runners/{worker['id']}/connect", status=200)["job"] is None
    github.put(f"{groups}/{made['id']}/repositories/{identity}")
    assert github.post(f"/_sandbox/runners/{worker['id']}/connect", status=200)["job"] is not None
    github.delete(f"{groups}/1", status=422)
    github.delete(f"{groups}/{made['id']}")
    assert github.get(f"/orgs/acme/actions/runners/{worker['id']}")["runner_group_id"] == 1
    with start(replace(settings, plan=Plan.FREE, state=tmp_path / "free.db")) as free:
        free.post(groups, {"name": "Big"}, status=403)


def test_settings_of_actions(github: Any) -> None:
    path = f"{github.repository()}/actions"
    assert github.get(f"{path}/permissions")["allowed_actions"] == "all"
    github.get(f"{path}/permissions/selected-actions", status=409)
    github.put(f"{path}/permissions", {"enabled": True, "allowed_actions": "selected"})
    github.put(f"{path}/permissions/selected-actions", {"patterns_allowed": ["acme/*"]})
    assert github.get(f"{path}/permissions/selected-actions")["patterns_allowed"] == ["acme/*"]
    github.put(f"{path}/permissions", {"enabled": False})
    assert github.get(f"{path}/permissions") == {"enabled": False, "sha_pinning_required": False}
    github.put(f"{path}/permissions/artifact-and-log-retention", {"days": 401}, status=422)
    github.put(f"{path}/permissions/workflow", {"default_workflow_permissions": "admin"}, status=422)


def test_the_oidc_subject(github: Any, clock: Any) -> None:
    clock.now = 1_780_000_000.0  # before repositories had their ids in it
    old = f"{github.repository('old')}/actions/oidc/customization/sub"
    clock.now = 1_790_000_000.0
    path = github.repository()
    new, ids = f"{path}/actions/oidc/customization/sub", github.get(path)
    plain: dict[str, Any] = {"use_default": True, "use_immutable_subject": False}
    assert github.get(old) == {**plain, "sub_claim_prefix": "repo:acme/old"}
    prefix = f"repo:acme@{ids['owner']['id']}/app@{ids['id']}"
    assert github.get(new) == {**plain, "use_immutable_subject": True, "sub_claim_prefix": prefix}
    subject: dict[str, Any] = {"use_default": False, "include_claim_keys": ["repo", "environment"]}
    github.put(new, subject | {"use_immutable_subject": False}, status=201)
    assert github.get(new) == {**subject, "use_immutable_subject": False, "sub_claim_prefix": "repo:acme/app"}
    github.put("/orgs/acme/actions/oidc/customization/sub", {"use_immutable_subject": True}, status=201)
    assert github.get(old)["use_immutable_subject"] is True
    github.put(new, subject | {"include_claim_keys": ["a b"]}, status=422)


def test_a_run_of_a_fork_shows_whose_code_it_is(github: Any) -> None:
    github.repository()
    body = {"repository": "app", "jobs": JOBS, "event": "pull_request", "fork": "mallory/app"}
    run = github.post("/_sandbox/runs", body, status=200)
    shown = github.get(f"/repos/acme/app/actions/runs/{run['id']}")
    assert (shown["repository"]["full_name"], shown["head_repository"]["full_name"]) == ("acme/app", "mallory/app")
    assert shown["head_repository"]["id"] != shown["repository"]["id"]
    assert (shown["head_repository"]["fork"], shown["head_repository"]["owner"]["login"]) == (True, "mallory")
    own, _ = enqueue(github)
    assert github.get(own)["head_repository"] == github.get(own)["repository"]
    assert github.get("/repos/acme/app/actions/runs?status=queued")["total_count"] == 2
