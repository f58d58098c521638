"""Who a commit is from when the caller does not say."""

from datetime import datetime
from typing import Any

from pavedpath_sandbox.github.call import Call
from pavedpath_sandbox.github.errors import unprocessable
from pavedpath_sandbox.github.gitdata import Signature


def author_of(call: Call, given: dict[str, Any] | None) -> Signature:
    """The author that the request names, by default the authenticated user now."""
    now = int(call.settings.clock())
    if given is None:
        return Signature(call.actor["login"], f"{call.actor.id}+{call.actor['login']}@users.noreply.github.com", now)
    seconds = now
    if given.get("date"):
        try:
            seconds = int(datetime.fromisoformat(given["date"]).timestamp())
        except ValueError as error:
            raise unprocessable(f'Invalid request.\n\n"{given["date"]}" is not a timestamp.') from error
    return Signature(given["name"], given["email"], seconds)


def web_flow(call: Call) -> Signature:
    """The committer of what is written through the API without one: GitHub itself."""
    return Signature("GitHub", "noreply@github.com", int(call.settings.clock()))
