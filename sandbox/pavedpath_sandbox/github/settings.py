"""What one sandbox GitHub is: who owns it, which plan it is on, how strict it is."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path


class Plan(IntEnum):
    """Plans in the order of what they allow, so that `plan >= Plan.TEAM` reads as documented."""

    FREE = 0
    TEAM = 1
    ENTERPRISE = 2


APP_ID = 800_000_001
"""Id of the app that a server may start with; its installation has the next. Both are below all other ids."""


@dataclass(frozen=True)
class App:
    """A GitHub App that is registered and installed from the start: for configurations that name its ids."""

    name: str
    public_key: str
    """PEM."""
    permissions: Mapping[str, str]


def runner_app(public_key: str) -> App:
    """The app of a fleet of runners, with the permissions that it needs and no others."""
    permissions = {
        "actions": "write",
        "administration": "write",
        "metadata": "read",
        "organization_hooks": "write",
        "organization_self_hosted_runners": "write",
    }
    return App("pavedpath-runners", public_key, permissions)


@dataclass(frozen=True)
class Settings:
    """Configuration of one server.

    `tokens` maps a token to the login it authenticates; the first login owns the organisation, the others are
    members. `rate_limit` is requests an hour and user, GitHub's 5000 for a user token by default.
    `secondary_limit` is how many points (a read 1, a write 5) a user may spend in a minute; GitHub's is 900.
    `clock` gives Unix seconds. `strict` turns a response that GitHub's description does not allow into a 500,
    and a call of an operation that GitHub has and the sandbox has not into a 501. `app` is registered as `APP_ID`.
    """

    state: Path
    tokens: dict[str, str] = field(repr=False)
    organization: str = "acme"
    plan: Plan = Plan.TEAM
    strict: bool = True
    rate_limit: int = 5000
    secondary_limit: int = 900
    delivery_timeout: float = 10.0
    clock: Callable[[], float] = time.time
    app: App | None = None


def read_tokens(path: Path, organization: str) -> dict[str, str]:
    """Read `TOKEN [LOGIN]` lines; `#` starts a comment.

    The first line's login defaults to `<organization>-admin`, the owner; every other line must name one.
    Raises ValueError that names every wrong line by number only, so that no token is shown.
    """
    tokens: dict[str, str] = {}
    wrong: list[int] = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) > 2 or (len(words) == 1 and tokens) or words[0] in tokens:
            wrong.append(number)
            continue
        tokens[words[0]] = words[1] if len(words) == 2 else f"{organization}-admin"
    if wrong:
        raise ValueError(f"{path}: line {', '.join(map(str, wrong))}: expected `TOKEN LOGIN`, each token once")
    if not tokens:
        raise ValueError(f"{path}: no token in it; write one line `TOKEN [LOGIN]`")
    return tokens
