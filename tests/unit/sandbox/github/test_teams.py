from typing import Any


def test_teams_by_slug_and_by_number(github: Any) -> None:
    made = github.post("/orgs/acme/teams", {"name": "Platform & Tools", "privacy": "closed"})
    assert made["slug"] == "platform-tools"
    organization = github.get("/orgs/acme")["id"]
    for path in (
        f"/organizations/{organization}/team/{made['id']}",
        f"/teams/{made['id']}",
        "/orgs/acme/teams/platform-tools",
    ):
        assert github.get(path)["node_id"] == made["node_id"]
    github.post("/orgs/acme/teams", {"name": "platform-tools"}, status=422)
    github.patch(f"/organizations/{organization}/team/{made['id']}", {"name": "Tools"})
    github.get("/orgs/acme/teams/platform-tools", status=404)
    github.delete(f"/organizations/{organization}/team/{made['id']}")
    github.get(f"/organizations/{organization}/team/{made['id']}", status=404)


def test_nesting(github: Any) -> None:
    top = github.post("/orgs/acme/teams", {"name": "Top", "privacy": "closed"})
    low = github.post("/orgs/acme/teams", {"name": "Low", "parent_team_id": top["id"]})
    assert low["parent"]["slug"] == "top"
    github.patch("/orgs/acme/teams/top", {"parent_team_id": low["id"]}, status=422)
    github.post("/orgs/acme/teams", {"name": "X", "privacy": "secret", "parent_team_id": top["id"]}, status=422)
    github.put("/orgs/acme/teams/low/memberships/dev", {"role": "member"}, status=200)
    assert "dev" in [one["login"] for one in github.get("/orgs/acme/teams/top/members")]
    github.delete("/orgs/acme/teams/top")
    github.get("/orgs/acme/teams/low", status=404)


def test_what_a_team_reaches(github: Any) -> None:
    path = github.repository()
    github.patch("/orgs/acme", {"default_repository_permission": "none"})
    github.post("/orgs/acme/teams", {"name": "Devs"})
    github.put("/orgs/acme/teams/devs/memberships/dev", status=200)
    github.get(path, status=404, token="member-token")
    grant = "/orgs/acme/teams/devs/repos/acme/app"
    github.get(grant, status=404)
    github.put(grant, {"permission": "push"})
    assert github.get(path, token="member-token")["permissions"]["push"] is True
    accept = {"accept": "application/vnd.github.v3.repository+json"}
    assert github.send("GET", grant, headers=accept).json()["role_name"] == "write"
    github.put(grant, {"permission": "boss"}, status=422)
    github.delete(grant)
    github.get(path, status=404, token="member-token")


def test_members_of_the_organization(github: Any) -> None:
    github.put("/orgs/acme/memberships/new", {"role": "member"}, status=200)
    github.get("/orgs/acme/members/new", status=204)
    github.delete("/orgs/acme/members/new")
    github.get("/orgs/acme/members/new", status=404)
    github.put("/orgs/acme/memberships/acme-admin", {"role": "member"}, status=403)
    assert [one["login"] for one in github.get("/orgs/acme/members?role=admin")] == ["acme-admin"]


def test_a_login_that_nobody_has_becomes_an_account_where_it_is_invited(github: Any) -> None:
    path = github.repository()
    github.post("/orgs/acme/teams", {"name": "Devs"})
    github.get("/users/ada", status=404)
    github.put("/orgs/acme/teams/devs/memberships/ada", status=200)
    github.get("/orgs/acme/members/ada", status=204)
    github.put(f"{path}/collaborators/eve", {"permission": "triage"})
    assert github.get("/users/eve")["login"] == "eve"
    github.get("/orgs/acme/members/eve", status=404)
