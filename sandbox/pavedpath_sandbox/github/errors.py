"""GitHub's refusals, in GitHub's shapes."""

from collections.abc import Mapping, Sequence
from typing import Any

from pavedpath_sandbox.github.store import Json

DOCUMENTATION = "https://docs.github.com/rest"


class GitHubError(Exception):
    """An answer that is not a success; `body` lacks the documentation URL, which the dispatcher adds."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        errors: Sequence[Any] | None = None,
        extra: Json | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {message}")
        self.status = status
        self.headers = dict(headers or {})
        self.message = message
        self._errors = errors
        self._extra = extra or {}

    def body(self, documentation_url: str) -> Json:
        """The JSON body as GitHub writes it."""
        body: Json = {"message": self.message}
        if self._errors is not None:
            body["errors"] = list(self._errors)
        return {**body, "documentation_url": documentation_url, "status": str(self.status), **self._extra}


def not_found(message: str = "Not Found") -> GitHubError:
    """404: absent, or not to be seen by this user; GitHub does not tell which."""
    return GitHubError(404, message)


def forbidden(message: str) -> GitHubError:
    """403."""
    return GitHubError(403, message)


def conflict(message: str) -> GitHubError:
    """409."""
    return GitHubError(409, message)


def unprocessable(message: str, errors: Sequence[Any] | None = None) -> GitHubError:
    """422 with a message of its own."""
    return GitHubError(422, message, errors=errors)


def custom(resource: str, field: str, message: str, head: str = "Validation Failed") -> GitHubError:
    """422 with one error of code `custom`, which carries its reason in words."""
    return unprocessable(head, [{"resource": resource, "code": "custom", "field": field, "message": message}])


def already_exists(resource: str, field: str) -> GitHubError:
    """422 with one error of code `already_exists`."""
    return unprocessable("Validation Failed", [{"resource": resource, "code": "already_exists", "field": field}])


def invalid(resource: str, field: str, value: object = None) -> GitHubError:
    """422 with one error of code `invalid`."""
    error: Json = {"resource": resource, "code": "invalid", "field": field}
    return unprocessable("Validation Failed", [error | ({} if value is None else {"value": value})])
