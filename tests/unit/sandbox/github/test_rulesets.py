from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pavedpath_sandbox.github.settings import Plan, Settings

MAIN = {"ref_name": {"include": ["~DEFAULT_BRANCH"], "exclude": []}}
BODY: dict[str, Any] = {"name": "main", "enforcement": "active", "conditions": MAIN, "rules": [{"type": "deletion"}]}
PULL_REQUEST: dict[str, Any] = {
    "type": "pull_request",
    "parameters": {
        "dismiss_stale_reviews_on_push": False,
        "require_code_owner_review": False,
        "require_last_push_approval": False,
        "required_approving_review_count": 1,
        "required_review_thread_resolution": False,
    },
}
CHECKS: dict[str, Any] = {
    "type": "required_status_checks",
    "parameters": {"strict_required_status_checks_policy": True, "required_status_checks": [{"context": "gate"}]},
}


def test_a_direct_write_to_a_protected_branch_is_refused(github: Any) -> None:
    path = github.repository()
    identity = github.post(f"{path}/rulesets", BODY | {"rules": [PULL_REQUEST, CHECKS]})["id"]
    answer = github.write(path, "a", "x", status=409)
    assert answer["message"].startswith("Repository rule violations found")
    assert "Changes must be made through a pull request." in answer["message"]
    assert 'Required status check "gate" is expected.' in answer["message"]
    github.get(f"{path}/contents/a", status=404)
    sha = github.get(f"{path}/branches/main")["commit"]["sha"]
    github.patch(f"{path}/git/refs/heads/main", {"sha": sha}, status=422)
    github.post(f"{path}/git/refs", {"ref": "refs/heads/free", "sha": sha})
    github.write(path, "a", "x", branch="free")
    assert github.get(f"{path}/branches/main")["protected"] is True
    assert [one["type"] for one in github.get(f"{path}/rules/branches/main")] == [
        "pull_request",
        "required_status_checks",
    ]
    github.delete(f"{path}/rulesets/{identity}")
    github.write(path, "a", "x")


def test_who_may_bypass_may_write(github: Any) -> None:
    path = github.repository()
    admin = {"actor_id": 1, "actor_type": "OrganizationAdmin", "bypass_mode": "always"}
    made = github.post(f"{path}/rulesets", BODY | {"rules": [PULL_REQUEST], "bypass_actors": [admin]})
    assert made["current_user_can_bypass"] == "always"
    github.write(path, "a", "x")
    github.put(
        f"{path}/rulesets/{made['id']}", {"bypass_actors": [admin | {"bypass_mode": "pull_request"}]}, status=200
    )
    github.write(path, "b", "x", status=409)


def test_the_organizations_ruleset_reaches_its_repositories(github: Any) -> None:
    path = github.repository()
    conditions = MAIN | {"repository_name": {"include": ["app*"], "exclude": []}}
    github.post("/orgs/acme/rulesets", BODY | {"conditions": conditions, "rules": [PULL_REQUEST]})
    github.write(path, "a", "x", status=409)
    other = github.repository("other")
    github.write(other, "a", "x")
    assert [one["source_type"] for one in github.get(f"{path}/rulesets")] == ["Organization"]
    assert github.get(f"{path}/rulesets?includes_parents=false") == []


def test_all_that_is_wrong_is_named(github: Any) -> None:
    path = github.repository()
    wrong = {
        "enforcement": "evaluate",
        "conditions": {"ref_name": {"include": ["main"], "exclude": []}},
        "rules": [
            {"type": "deletion"},
            {"type": "deletion"},
            {"type": "max_file_size", "parameters": {"max_file_size": 5}},
            {"type": "commit_message_pattern", "parameters": {"operator": "regex", "pattern": "("}},
        ],
        "bypass_actors": [{"actor_type": "Team", "actor_id": 5}],
    }
    errors = github.post(f"{path}/rulesets", BODY | wrong, status=422)["errors"]
    for part in (
        "evaluate",
        "Duplicate rules",
        "target pattern: 'main'",
        "max_file_size",
        "commit_message_pattern",
        "Team",
    ):
        assert any(part in one for one in errors), part
    github.post(f"{path}/rulesets", BODY)
    assert github.post(f"{path}/rulesets", BODY, status=422)["errors"] == ["Name must be unique"]
    github.post(f"{path}/rulesets", BODY | {"enforcement": "sometimes"}, status=422)


def test_plans(settings: Settings, start: Callable[..., Any]) -> None:
    with start(replace(settings, plan=Plan.FREE)) as free:
        private, public = free.repository(), free.repository("open", private=False)
        assert "Upgrade" in free.post(f"{private}/rulesets", BODY, status=403)["message"]
        free.post(f"{public}/rulesets", BODY)
        everywhere = MAIN | {"repository_name": {"include": ["~ALL"], "exclude": []}}
        free.post("/orgs/acme/rulesets", BODY | {"conditions": everywhere}, status=403)
    with start(replace(settings, plan=Plan.ENTERPRISE)) as enterprise:
        enterprise.post("/repos/acme/app/rulesets", BODY | {"enforcement": "evaluate", "rules": [PULL_REQUEST]})
        enterprise.write("/repos/acme/app", "a", "x")
