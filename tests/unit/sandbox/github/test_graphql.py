from collections.abc import Callable, Generator
from typing import Any

import pytest
from pavedpath_sandbox.github.render import NODE_PREFIXES, node_id, parse_node_id
from pavedpath_sandbox.github.settings import Settings


class Ask:
    """Sends a query; returns the whole answer."""

    def __init__(self, github: Any) -> None:
        self.github = github

    def __call__(self, query: str, *, member: bool = False, **variables: Any) -> Any:
        body = {"query": query, "variables": variables}
        token = "member-token" if member else "owner-token"
        return self.github.post("/api/graphql", body, status=200, token=token)


@pytest.fixture
def ask(settings: Settings, start: Callable[..., Any]) -> Generator[Ask]:
    with start(settings, prefix="") as github:
        yield Ask(github)


@pytest.mark.parametrize("identity", ["app", "R_kgDOAAAAAQ", "MDEwOlJlcG9zaXRvcnkx", "R_@@@", ""])
def test_an_unknown_node_is_an_error(ask: Ask, identity: str) -> None:
    answer = ask("query($id:ID!){node(id:$id){id}}", id=identity)
    [error] = answer["errors"]
    assert error["message"] == f"Could not resolve to a node with the global id of '{identity}'"
    assert error["type"] == "NOT_FOUND"


def test_nodes_by_their_global_ids(ask: Ask) -> None:
    repository = ask.github.get(ask.github.repository())
    query = "query($id:ID!){node(id:$id){id ... on Repository{name nameWithOwner isPrivate}}}"
    expected = {"id": repository["node_id"], "name": "app", "nameWithOwner": "acme/app", "isPrivate": True}
    assert ask(query, id=repository["node_id"]) == {"data": {"node": expected}}
    found = ask('{repository(owner:"acme",name:"APP"){id} organization(login:"acme"){id} viewer{login}}')["data"]
    assert found["repository"]["id"] == repository["node_id"]
    assert found["viewer"]["login"] == "acme-admin"
    rules = ask(
        "query($id:ID!){node(id:$id){... on Repository{branchProtectionRules(first:5){nodes{id}}}}}",
        id=repository["node_id"],
    )
    assert rules["data"]["node"]["branchProtectionRules"]["nodes"] == []


def test_teams_and_members(ask: Ask) -> None:
    github = ask.github
    top = github.post("/orgs/acme/teams", {"name": "Top", "privacy": "closed"})
    github.post("/orgs/acme/teams", {"name": "Low", "parent_team_id": top["id"], "privacy": "closed"})
    github.put("/orgs/acme/teams/low/memberships/dev", status=200)
    query = (
        'query($slug:String!,$after:String){organization(login:"acme"){team(slug:$slug){'
        "members(membership:IMMEDIATE,first:1,after:$after){edges{node{login} role} pageInfo{endCursor hasNextPage}}}}}"
    )
    first = ask(query, slug="low", after=None)["data"]["organization"]["team"]["members"]
    assert first["pageInfo"]["hasNextPage"] is True
    second = ask(query, slug="low", after=first["pageInfo"]["endCursor"])["data"]["organization"]["team"]["members"]
    roles = {one["node"]["login"]: one["role"] for one in first["edges"] + second["edges"]}
    assert roles == {"acme-admin": "MAINTAINER", "dev": "MEMBER"}
    assert ask(query, slug="none")["data"]["organization"]["team"] is None
    teams = ask(
        'query($s:Boolean!){organization(login:"acme"){teams(first:9,rootTeamsOnly:false){nodes{slug privacy '
        "parentTeam{slug} members @skip(if:$s){nodes{login}}}}}}",
        s=True,
    )["data"]["organization"]["teams"]["nodes"]
    assert [(one["slug"], one["parentTeam"] and one["parentTeam"]["slug"]) for one in teams] == [
        ("top", None),
        ("low", "top"),
    ]


def test_what_a_user_may_not_see_is_not_found(ask: Ask) -> None:
    ask.github.repository()
    ask.github.patch("/orgs/acme", {"default_repository_permission": "none"})
    answer = ask('{repository(owner:"acme",name:"app"){id}}', member=True)
    assert answer["errors"][0]["type"] == "NOT_FOUND"


def test_what_the_sandbox_has_not_is_named(ask: Ask) -> None:
    assert "enterprise" in ask('{enterprise(slug:"x"){id}}')["errors"][0]["message"]
    assert "Syntax Error" in ask("{")["errors"][0]["message"]
    ask.github.post("/api/graphql", {"query": "{viewer{login}}"}, status=401, token=None)
    ask.github.post("/graphql", {}, status=400)


@pytest.mark.parametrize("kind", NODE_PREFIXES)
def test_global_ids_can_be_read_back(kind: str) -> None:
    assert parse_node_id(node_id(kind, 987_654_321)) == (kind, 987_654_321)
