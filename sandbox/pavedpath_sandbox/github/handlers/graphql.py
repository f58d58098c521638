"""The GraphQL nodes that infrastructure tools read, in a part of GitHub's schema."""

import functools
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLError, GraphQLSchema, build_schema
from graphql import graphql_sync as run  # pyright: ignore[reportUnknownVariableType] - its generic defaults are

from pavedpath_sandbox.github.access import is_owner, role_on
from pavedpath_sandbox.github.call import Call, Reply, ok
from pavedpath_sandbox.github.errors import GitHubError
from pavedpath_sandbox.github.handlers.teams import children, members_of
from pavedpath_sandbox.github.render import node_id, parse_node_id
from pavedpath_sandbox.github.store import ROOT, Json, Record, as_object

# Names, types and arguments are GitHub's (https://docs.github.com/graphql/reference).
_SDL = """
interface Node { id: ID! }
type PageInfo { startCursor: String endCursor: String hasPreviousPage: Boolean! hasNextPage: Boolean! }
enum TeamMembershipType { ALL CHILD_TEAM IMMEDIATE }
enum TeamMemberRole { MAINTAINER MEMBER }
enum OrganizationMemberRole { ADMIN MEMBER }
type User implements Node { id: ID! databaseId: Int login: String! name: String email: String! }
type Repository implements Node {
  id: ID! databaseId: Int name: String! nameWithOwner: String! isPrivate: Boolean! isArchived: Boolean!
  branchProtectionRules(first: Int, after: String): BranchProtectionRuleConnection!
}
type BranchProtectionRule implements Node { id: ID! pattern: String! }
type BranchProtectionRuleConnection { nodes: [BranchProtectionRule] pageInfo: PageInfo! totalCount: Int! }
type RepositoryConnection { nodes: [Repository] pageInfo: PageInfo! totalCount: Int! }
type TeamMemberEdge { node: User! role: TeamMemberRole! }
type TeamMemberConnection { edges: [TeamMemberEdge] nodes: [User] pageInfo: PageInfo! totalCount: Int! }
type OrganizationMemberEdge { node: User role: OrganizationMemberRole }
type OrganizationMemberConnection {
  edges: [OrganizationMemberEdge] nodes: [User] pageInfo: PageInfo! totalCount: Int!
}
type Team implements Node {
  id: ID! databaseId: Int slug: String! name: String! description: String privacy: String! parentTeam: Team
  members(first: Int, after: String, membership: TeamMembershipType = ALL): TeamMemberConnection!
  repositories(first: Int, after: String): RepositoryConnection!
}
type TeamConnection { nodes: [Team] pageInfo: PageInfo! totalCount: Int! }
type Organization implements Node {
  id: ID! databaseId: Int login: String! name: String
  team(slug: String!): Team
  teams(first: Int, after: String, rootTeamsOnly: Boolean = false, userLogins: [String!]): TeamConnection!
  membersWithRole(first: Int, after: String): OrganizationMemberConnection!
}
type Query {
  node(id: ID!): Node
  viewer: User!
  organization(login: String!): Organization
  repository(owner: String!, name: String!): Repository
  user(login: String!): User
}
"""


@functools.cache
def _schema() -> GraphQLSchema:
    return build_schema(_SDL)


def _missing(what: str) -> GraphQLError:
    return GraphQLError(f"Could not resolve to {what}", extensions={"type": "NOT_FOUND"})


def _connection(items: list[Json], first: int | None, after: str | None) -> Json:
    start = int(after) if after and after.isdigit() else 0
    end = start + min(first or 100, 100)
    shown = items[start:end]
    page = {
        "startCursor": str(start) if shown else None,
        "endCursor": str(start + len(shown)) if shown else None,
        "hasPreviousPage": start > 0,
        "hasNextPage": end < len(items),
    }
    return {"nodes": [item["node"] for item in shown], "edges": shown, "pageInfo": page, "totalCount": len(items)}


@dataclass(frozen=True)
class _Node:
    """What all nodes share. Fields are GraphQL's, so that they are named as there."""

    call: Call
    record: Record

    def __getattr__(self, name: str) -> Any:
        return self.record.body.get(name)

    def id(self, _info: object = None) -> str:
        return node_id(self.record.kind, self.record.id)

    def databaseId(self, _info: object) -> int:  # noqa: N802 - GraphQL's name
        return self.record.id


@dataclass(frozen=True)
class _User(_Node):
    """A user."""

    def email(self, _info: object) -> str:
        return ""  # nobody here has made an address public


@dataclass(frozen=True)
class _Repository(_Node):
    """A repository."""

    def nameWithOwner(self, _info: object) -> str:  # noqa: N802 - GraphQL's name
        owner = self.call.need(self.call.store.by_id("organization", self.record.parent))
        return f"{owner['login']}/{self.record['name']}"

    def isPrivate(self, _info: object) -> bool:  # noqa: N802 - GraphQL's name
        return self.record["visibility"] != "public"

    def isArchived(self, _info: object) -> bool:  # noqa: N802 - GraphQL's name
        return self.record["archived"]

    def branchProtectionRules(self, _info: object, first: int | None = None, after: str | None = None) -> Json:  # noqa: N802 - GraphQL's name
        return _connection([], first, after)  # the sandbox has rulesets, not branch protection


@dataclass(frozen=True)
class _Team(_Node):
    """A team."""

    def slug(self, _info: object) -> str:
        return self.record.key

    def privacy(self, _info: object) -> str:
        return {"closed": "VISIBLE"}.get(self.record["privacy"], "SECRET")

    def parentTeam(self, _info: object) -> "_Team | None":  # noqa: N802 - GraphQL's name
        parent = self.call.store.by_id("team", self.record["parent"]) if self.record["parent"] else None
        return _Team(self.call, parent) if parent else None

    def members(self, _info: object, membership: str, first: int | None = None, after: str | None = None) -> Json:
        own = {int(one.key): one["role"] for one in self.call.store.children("team_member", self.record.id)}
        below = [members_of(self.call, one) for one in children(self.call, self.record)]
        child = {identity: "member" for held in below for identity in held}
        found = {"IMMEDIATE": own, "CHILD_TEAM": child}.get(membership, child | own)
        return _connection(_edges(self.call, found), first, after)

    def repositories(self, _info: object, first: int | None = None, after: str | None = None) -> Json:
        store = self.call.store
        grants = store.children("team_repository", self.record.id)
        found = [store.by_id("repository", int(one.key)) for one in grants]
        return _connection([{"node": _Repository(self.call, one)} for one in found if one], first, after)


def _edges(call: Call, roles: dict[int, str]) -> list[Json]:
    users = [(call.store.by_id("user", identity), role) for identity, role in roles.items()]
    return [{"node": _User(call, user), "role": role.upper()} for user, role in users if user]


@dataclass(frozen=True)
class _Organization(_Node):
    """An organisation."""

    def team(self, _info: object, slug: str) -> _Team | None:
        found = self.call.store.find("team", self.record.id, slug.lower())
        return _Team(self.call, found) if found else None

    def teams(
        self,
        _info: object,
        rootTeamsOnly: bool,  # noqa: N803 - GraphQL's name
        first: int | None = None,
        after: str | None = None,
        userLogins: list[str] | None = None,  # noqa: N803 - GraphQL's name
    ) -> Json:
        store = self.call.store
        users = [store.find("user", ROOT, login.lower()) for login in userLogins or []]
        identities = {user.id for user in users if user}
        found = [
            {"node": _Team(self.call, one)}
            for one in store.children("team", self.record.id)
            if not (rootTeamsOnly and one["parent"])
            and (userLogins is None or identities & members_of(self.call, one).keys())
        ]
        return _connection(found, first, after)

    def membersWithRole(self, _info: object, first: int | None = None, after: str | None = None) -> Json:  # noqa: N802 - GraphQL's name
        members = self.call.store.children("membership", self.record.id)
        return _connection(_edges(self.call, {int(one.key): one["role"] for one in members}), first, after)


_TYPES: dict[str, type[_Node]] = {
    "user": _User,
    "repository": _Repository,
    "team": _Team,
    "organization": _Organization,
}


@dataclass(frozen=True)
class _Query:
    call: Call

    def node(self, _info: object, id: str) -> _Node:  # noqa: A002 - GraphQL's name
        kind, identity = parse_node_id(id) or ("", -1)
        record = self.call.store.by_id(kind, identity) if kind in _TYPES else None
        if record is None or not self._visible(record):
            raise _missing(f"a node with the global id of '{id}'")
        return _TYPES[kind](self.call, record)

    def viewer(self, _info: object) -> _User:
        return _User(self.call, self.call.actor)

    def organization(self, _info: object, login: str) -> _Organization:
        found = self.call.store.find("organization", ROOT, login.lower())
        if found is None:
            raise _missing(f"an Organization with the login of '{login}'.")
        return _Organization(self.call, found)

    def repository(self, _info: object, owner: str, name: str) -> _Repository:
        organization = self.call.store.find("organization", ROOT, owner.lower())
        found = self.call.store.find("repository", organization.id, name.lower()) if organization else None
        if found is None or not self._visible(found):
            raise _missing(f"a Repository with the name '{owner}/{name}'.")
        return _Repository(self.call, found)

    def user(self, _info: object, login: str) -> _User:
        found = self.call.store.find("user", ROOT, login.lower())
        if found is None:
            raise _missing(f"a User with the login of '{login}'.")
        return _User(self.call, found)

    def _visible(self, record: Record) -> bool:
        if record.kind == "team" and record["privacy"] == "secret":
            organization = self.call.need(self.call.store.by_id("organization", record.parent))
            mine = self.call.store.find("team_member", record.id, str(self.call.actor.id)) is not None
            return mine or is_owner(self.call.store, self.call.actor, organization)
        if record.kind != "repository":
            return True
        organization = self.call.need(self.call.store.by_id("organization", record.parent))
        return role_on(self.call.store, self.call.actor, record, organization) is not None


def answer(call: Call) -> Reply:
    """Run a query. Like GitHub, errors come with status 200 in `errors`, and each has a `type`.

    A node that is not found makes `data` null as a whole where the schema asks for it; what a query names that
    is not in this part of the schema is an error which says so.
    """
    if call.user is None:
        raise GitHubError(401, "This endpoint requires you to be authenticated.")
    query, variables = call.body.get("query"), call.body.get("variables")
    if not isinstance(query, str):
        raise GitHubError(400, "A query attribute must be specified and must be a string.")
    result = run(
        _schema(),
        query,
        root_value=_Query(call),
        variable_values=variables,
        operation_name=call.body.get("operationName"),
        type_resolver=lambda value, _info, _kind: type(value).__name__.removeprefix("_"),
    )
    body: Json = {}
    if result.data is not None or not result.errors:
        body["data"] = result.data
    if result.errors:
        body["errors"] = [_error(error) for error in result.errors]
    return ok(body)


def _error(error: GraphQLError) -> Json:
    shown: Json = dict(error.formatted)
    kind = as_object(shown.pop("extensions", None)).get("type")
    return ({"type": kind} if kind else {}) | shown
