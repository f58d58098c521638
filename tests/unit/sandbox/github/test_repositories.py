from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pavedpath_sandbox.github.settings import Plan, Settings


def test_a_repository_shows_what_was_set(github: Any) -> None:
    made = github.post("/orgs/acme/repos", {"name": "App", "private": True, "homepage": "", "has_wiki": False})
    assert (made["full_name"], made["visibility"], made["homepage"], made["has_wiki"]) == (
        "acme/App",
        "private",
        None,
        False,
    )
    assert made["id"] >= 900_000_001
    assert made["node_id"].startswith("R_kgDO")
    assert github.get("/repos/ACME/app")["id"] == made["id"]
    assert github.get(f"/repositories/{made['id']}")["name"] == "App"


def test_a_name_is_taken_whatever_its_case(github: Any) -> None:
    github.repository("app")
    answer = github.post("/orgs/acme/repos", {"name": "APP"}, status=422)
    assert answer["message"] == "Repository creation failed."
    assert answer["errors"] == [
        {"resource": "Repository", "code": "custom", "field": "name", "message": "name already exists on this account"}
    ]


def test_every_mistake_of_a_request_is_named(github: Any) -> None:
    answer = github.post("/orgs/acme/repos", {"has_wiki": "yes", "visibility": "secret"}, status=422)
    assert answer["message"].startswith("Invalid request.\n\n")
    for part in ('"name" wasn\'t supplied', "properties/has_wiki", "properties/visibility"):
        assert part in answer["message"]
    assert answer["status"] == "422"
    assert answer["documentation_url"].startswith("https://docs.github.com/rest/repos")


@pytest.mark.parametrize(
    ("body", "message"), [(b"{", "Problems parsing JSON"), (b"[]", "Body should be a JSON object")]
)
def test_a_body_that_is_no_object_is_a_400(github: Any, body: bytes, message: str) -> None:
    answer = github.send_raw("POST", "/orgs/acme/repos", body)
    assert (answer.status_code, answer.json()["message"]) == (400, message)


def test_a_new_name_leaves_a_redirect(github: Any) -> None:
    path = github.repository("old")
    github.patch(path, {"name": "new"})
    answer = github.send("GET", f"{path}/branches")
    assert answer.status_code == 301
    identity = github.get("/repos/acme/new")["id"]
    assert answer.headers["location"] == f"http://github.test/api/v3/repositories/{identity}/branches"
    github.repository("old")
    assert github.get(path)["id"] != identity


def test_visibility_default_branch_and_archive(github: Any) -> None:
    path = github.repository()
    same = github.patch(path, {"visibility": "private"}, status=422)
    assert "Visibility is already private" in same["errors"][0]["message"]
    assert "was not found" in github.patch(path, {"default_branch": "dev"}, status=422)["errors"][0]["message"]
    sha = github.get(f"{path}/branches/main")["commit"]["sha"]
    github.post(f"{path}/git/refs", {"ref": "refs/heads/dev", "sha": sha})
    assert github.patch(path, {"default_branch": "dev", "visibility": "public"})["default_branch"] == "dev"
    github.patch(path, {"archived": True})
    github.write(path, "x", "x", status=403)
    github.patch(path, {"archived": False})
    github.write(path, "x", "x")


def test_internal_repositories_need_enterprise(
    github: Any, settings: Settings, start: Callable[..., Any], tmp_path: Any
) -> None:
    github.post("/orgs/acme/repos", {"name": "app", "visibility": "internal"}, status=422)
    with start(replace(settings, plan=Plan.ENTERPRISE, state=tmp_path / "other.db")) as enterprise:
        assert (
            enterprise.post("/orgs/acme/repos", {"name": "app", "visibility": "internal"})["visibility"] == "internal"
        )


def test_deleting_a_repository_deletes_all_in_it(github: Any) -> None:
    path = github.repository()
    github.post("/orgs/acme/teams", {"name": "Team"})
    github.put("/orgs/acme/teams/team/repos/acme/app", {"permission": "push"})
    github.put(f"{path}/environments/dev", status=200)
    github.delete(path)
    github.get(path, status=404)
    assert github.get("/orgs/acme/teams/team/repos") == []
    github.repository()
    github.get(f"{path}/environments/dev", status=404)


def test_who_may_what(github: Any) -> None:
    path = github.repository()
    github.patch("/orgs/acme", {"default_repository_permission": "none"})
    github.get(path, status=404, token="member-token")
    github.put(f"{path}/collaborators/dev", {"permission": "pull"})
    assert github.get(path, token="member-token")["permissions"]["push"] is False
    github.patch(path, {"has_wiki": False}, status=403, token="member-token")
    github.get(f"{path}/actions/secrets", status=403, token="member-token")
    github.post(
        "/orgs/acme/hooks", {"name": "web", "config": {"url": "http://x.test"}}, status=403, token="member-token"
    )
    github.get("/user", status=401, token="nobody-knows")
    assert github.get("/user", status=401, token=None)["message"] == "Requires authentication"


def test_topics_are_checked(github: Any) -> None:
    path = github.repository()
    answer = github.put(f"{path}/topics", {"names": ["good", "not good", "x" * 51]}, status=422)
    assert "not good" in answer["errors"][0]["message"]
    assert github.put(f"{path}/topics", {"names": ["B", "a", "b"]}, status=200) == {"names": ["b", "a"]}


def test_labels(github: Any) -> None:
    path = github.repository()
    assert len(github.get(f"{path}/labels")) == 9
    assert github.post(f"{path}/labels", {"name": "BUG"}, status=422)["errors"][0]["code"] == "already_exists"
    assert github.post(f"{path}/labels", {"name": "x", "color": "red"}, status=422)["errors"][0]["code"] == "invalid"
