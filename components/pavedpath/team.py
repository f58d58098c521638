"""Teams of the GitHub organisation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NotRequired, TypedDict

import pulumi
import pulumi_github as github

from .component import Component
from .errors import Problem
from .names import LOGIN
from .shapes import read


class TeamPrivacy(StrEnum):
    """Who sees a team."""

    CLOSED = "closed"
    """Every member of the organisation."""
    SECRET = "secret"  # noqa: S105  # a word of GitHub's API
    """Its own members and owners of the organisation; it cannot be mentioned or asked for a review by others."""


class TeamArgs(TypedDict):
    """Arguments of `Team`."""

    name: str
    """Name of the team; GitHub makes its slug of it."""
    description: NotRequired[str]
    """One line about the team. Default: empty."""
    privacy: NotRequired[TeamPrivacy]
    """Default: closed."""
    members: NotRequired[Sequence[str]]
    """Logins of its members. Default: none."""
    maintainers: NotRequired[Sequence[str]]
    """Logins of those who also add and remove members; owners of the organisation belong here. Default: none."""
    parent_id: NotRequired[pulumi.Input[str]]
    """Id of the team above, whose access it has, too. Default: none."""


@dataclass(frozen=True)
class _Team:
    name: str
    description: str = ""
    privacy: TeamPrivacy = TeamPrivacy.CLOSED
    members: Sequence[str] = ()
    maintainers: Sequence[str] = ()
    parent_id: pulumi.Input[str] | None = None

    def problems(self) -> Iterator[Problem]:
        yield from check_team(self.name, self.members, self.maintainers)
        if self.privacy is TeamPrivacy.SECRET and self.parent_id is not None:
            yield Problem("privacy", str(self.privacy), "a team below another cannot be secret", "make it closed")


def check_team(name: str, members: Sequence[str], maintainers: Sequence[str]) -> Iterator[Problem]:
    """Yield what GitHub refuses of a team: its name, and logins that none has or that stand there twice. Pure."""
    if not any(character.isascii() and character.isalnum() for character in name) or not name.isprintable():
        yield Problem("name", name, "GitHub could make no slug of it", "use letters and digits")
    seen: set[str] = set()
    for argument, logins in (("maintainers", maintainers), ("members", members)):
        for login in logins:
            yield from LOGIN.check(argument, login)
            if login.lower() in seen:
                yield Problem(argument, login, "it is named twice", "name it once, with the higher role")
            seen.add(login.lower())


class Team(Component):
    """A team with exactly the members that are named; others are removed.

    Creates: the team (whoever runs the deployment is not made a maintainer); its membership, if anybody is named.
    Without members and maintainers nobody is added or removed, for teams whose members an identity provider keeps.

    Raises:
        InvalidArgumentsError: before any resource, with every offender.
    """

    team_id: pulumi.Output[int]
    """Numeric id of the team, which bypasses and reviewers take."""
    slug: pulumi.Output[str]
    """Slug of the team, which permissions on repositories take."""

    def __init__(self, name: str, args: TeamArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        parsed = read(_Team, args, "Team", name)
        super().__init__(name, opts)
        team = github.Team(
            name,
            name=parsed.name,
            description=parsed.description,
            privacy=str(parsed.privacy),
            parent_team_id=parsed.parent_id,
            opts=self.child(),
        )
        roles = dict.fromkeys(parsed.members, "member") | dict.fromkeys(parsed.maintainers, "maintainer")
        if roles:
            github.TeamMembers(
                name,
                team_slug=team.slug,
                members=[{"username": login, "role": role} for login, role in sorted(roles.items())],
                opts=self.child(),
            )
        self.team_id = team.id.apply(lambda identifier: int(identifier) if identifier.isdigit() else 0)
        self.slug = team.slug
        self.register_outputs({"team_id": self.team_id, "slug": self.slug})
