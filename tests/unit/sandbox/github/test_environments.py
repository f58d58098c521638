from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pavedpath_sandbox.github.settings import Plan, Settings

CUSTOM = {"protected_branches": False, "custom_branch_policies": True}


def test_branch_and_tag_policies(github: Any) -> None:
    path = github.repository()
    policies = f"{path}/environments/dev/deployment-branch-policies"
    github.post(policies, {"name": "main"}, status=404)
    github.put(f"{path}/environments/dev", {"deployment_branch_policy": None}, status=200)
    github.post(policies, {"name": "main"}, status=404)
    made = github.put(f"{path}/environments/dev", {"deployment_branch_policy": CUSTOM}, status=200)
    assert [one["type"] for one in made["protection_rules"]] == ["branch_policy"]
    branch = github.post(policies, {"name": "main"}, status=200)
    tag = github.post(policies, {"name": "v*", "type": "tag"}, status=200)
    assert (branch["type"], tag["type"]) == ("branch", "tag")
    assert github.send("POST", policies, {"name": "main"}).status_code == 303
    assert github.get(policies)["total_count"] == 2
    github.put(f"{policies}/{tag['id']}", {"name": "w*"}, status=200)
    again = github.put(f"{path}/environments/dev", {"deployment_branch_policy": CUSTOM}, status=200)
    assert again["protection_rules"] == made["protection_rules"]
    protected = {"protected_branches": True, "custom_branch_policies": False}
    github.put(f"{path}/environments/dev", {"deployment_branch_policy": protected}, status=200)
    assert github.get(policies)["total_count"] == 0


def test_the_two_kinds_of_branch_policy_exclude_each_other(github: Any) -> None:
    path = github.repository()
    for both in (True, False):
        policy = {"protected_branches": both, "custom_branch_policies": both}
        github.put(f"{path}/environments/dev", {"deployment_branch_policy": policy}, status=422)


def test_names_are_decoded_and_have_no_case(github: Any) -> None:
    path = github.repository()
    github.put(f"{path}/environments/eu%2FProd", status=200)
    assert github.get(f"{path}/environments/eu%2Fprod")["name"] == "eu/Prod"
    github.post(f"{path}/environments/EU%2FPROD/variables", {"name": "A", "value": "1"})
    assert github.get(f"{path}/environments")["total_count"] == 1


def test_reviewers_and_timers_of_private_repositories_need_enterprise(
    settings: Settings, start: Callable[..., Any]
) -> None:
    with start(settings) as team:
        path, public = team.repository(), team.repository("open", private=False)
        reviewers = [{"type": "User", "id": team.get("/user")["id"]}]
        for rule in ({"wait_timer": 10}, {"reviewers": reviewers}):
            assert "billing plan" in team.put(f"{path}/environments/prod", rule, status=422)["message"]
            team.put(f"{public}/environments/prod", rule, status=200)
    with start(replace(settings, plan=Plan.ENTERPRISE)) as enterprise:
        body = {"wait_timer": 10, "reviewers": reviewers, "prevent_self_review": True}
        rules = enterprise.put(f"{path}/environments/prod", body, status=200)["protection_rules"]
        assert [one["type"] for one in rules] == ["wait_timer", "required_reviewers"]
        assert rules[1]["prevent_self_review"] is True
        assert rules[1]["reviewers"][0]["reviewer"]["login"] == "acme-admin"
        stranger = [{"type": "User", "id": 1}]
        assert "User 1" in enterprise.put(f"{path}/environments/prod", {"reviewers": stranger}, status=422)["message"]
        enterprise.put(f"{path}/environments/prod", {"reviewers": reviewers * 7}, status=422)
        enterprise.put(f"{path}/environments/prod", {"wait_timer": 43201}, status=422)
    with start(replace(settings, plan=Plan.FREE)) as free:
        free.put(f"{path}/environments/new", status=404)
