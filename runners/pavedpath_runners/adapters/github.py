"""GitHub's REST API, as an app: who asks (`AppTransport`), and what is asked (`GithubForge`)."""

import base64
import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from pavedpath_runners.configuration import Fleet, Pool
from pavedpath_runners.ports import (
    Attempt,
    Clock,
    JobFacts,
    NameTakenError,
    Page,
    Registration,
    RunActiveError,
    RunnerBusyError,
    ThrottledError,
    UnavailableError,
)
from pavedpath_runners.receiver import job_facts

if TYPE_CHECKING:
    from urllib3 import PoolManager

_PAGE = 100
_SLOW_DOWN = 60.0
"""Seconds to wait after a secondary limit that names no time (GitHub, "Best practices for using the REST API")."""


class GitHubError(Exception):
    """GitHub refused a request for good: a permission that is missing, or a defect here."""


@dataclass(frozen=True)
class Answer:
    """What GitHub answered. It may hold tokens and configurations of runners, so it does not print them."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    json: Any = dataclasses.field(repr=False, default=None)
    """The decoded body; None without one."""


class Transport(Protocol):
    """Sends requests to GitHub with the fleet's credentials."""

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """Send one request. `path` begins at the API's root and may have a query.

        Raises:
            UnavailableError: no answer came.
        """
        ...


class GithubForge:
    """`ports.Forge` on GitHub's REST API.

    Args:
        transport: sends the requests.
        fleet: says with whom runners are registered, and how they are named.
        clock: tells how long a rate limit lasts.
    """

    def __init__(self, transport: Transport, fleet: Fleet, clock: Clock) -> None:
        self._transport, self._fleet, self._clock = transport, fleet, clock
        # As `decisions.naming` makes them. A beginning alone would take `dev-2`'s runners for those of `dev`.
        self._ours = re.compile(rf"{re.escape(fleet.name)}-(\d+-\d+|\d+.*-[0-9a-f]{{20}}|warm-.+)", re.IGNORECASE)

    def register(self, runner: str, pool: Pool, scope: str) -> tuple[int, str]:
        """Make a just-in-time configuration; (id of the registration, the configuration). Raises NameTakenError."""
        body = {
            "name": runner,
            "runner_group_id": self._fleet.runner_group_id,
            "labels": list(pool.labels),
            "work_folder": "_work",
        }
        answer = self._call("POST", f"{self._runners(scope)}/generate-jitconfig", body, expected=(201, 409))
        if answer.status == 409:
            raise NameTakenError(runner)
        return answer.json["runner"]["id"], answer.json["encoded_jit_config"]

    def registrations(self, scope: str, page: str = "") -> Page[Registration]:
        """Runners whose names are the fleet's, of one page of the scope's list."""
        number = int(page or 1)
        asked = urlencode({"per_page": _PAGE, "page": number})
        held = cast("list[dict[str, Any]]", self._call("GET", f"{self._runners(scope)}?{asked}").json["runners"])
        found = [_registration(each, scope) for each in held]
        after = str(number + 1) if len(held) == _PAGE else ""
        return Page([each for each in found if self._ours.fullmatch(each.name)], after)

    def registration(self, name: str, scope: str) -> Registration | None:
        """The runner of that name, or None."""
        for held in self._pages(self._runners(scope), "runners", name=name):
            if held["name"].lower() == name.lower():  # GitHub's names are unique in any case
                return _registration(held, scope)
        return None

    def remove(self, identity: int, scope: str) -> None:
        """Remove a registration, if it is there. Raises RunnerBusyError."""
        answer = self._call("DELETE", f"{self._runners(scope)}/{identity}", expected=(204, 404, 422))
        if answer.status == 422:
            raise RunnerBusyError(str(identity))

    def is_own(self, repository: str, run_id: int) -> bool:
        """Whether a run's code is the repository's own, and no fork's.

        A run that GitHub does not find is UnavailableError, not a fork's: webhooks can be faster than its API.
        """
        answer = self._call("GET", f"{_repository(repository)}/actions/runs/{run_id}", expected=(200, 404))
        if answer.status == 404:
            raise UnavailableError(f"GitHub knows no run {run_id} of {repository}")
        head = answer.json.get("head_repository")  # null, if the fork has been deleted
        return head is not None and head["id"] == answer.json["repository"]["id"]

    def job(self, repository: str, identity: int) -> JobFacts | None:
        """A job; None if GitHub knows it no more."""
        answer = self._call("GET", f"{_repository(repository)}/actions/jobs/{identity}", expected=(200, 404))
        return None if answer.status == 404 else job_facts(answer.json, repository)

    def waiting(self, repository: str, choose: Callable[[Sequence[int]], Sequence[int]]) -> Sequence[JobFacts]:
        """The jobs of a repository that are queued or running now: two lists of runs, and one of jobs for each run that
        `choose` picks."""
        base = f"{_repository(repository)}/actions/runs"
        runs = {
            run["id"]: run
            for status in ("queued", "in_progress")
            for run in self._pages(base, "workflow_runs", status=status)
        }
        found = {
            job["id"]: dataclasses.replace(job_facts(job, repository), public=not run["repository"]["private"])
            for run in (runs[each] for each in choose(sorted(runs)))
            for job in self._pages(f"{base}/{run['id']}/jobs", "jobs")
            if job["status"] in ("queued", "in_progress")
        }
        return sorted(found.values(), key=lambda job: (job.queued_at, job.id))

    def rerun(self, repository: str, identity: int) -> None:
        """Run a job again, with those that need it. Raises RunActiveError.

        GitHub says 403 for a run that goes on, and for a permission that is missing; its message tells them apart.
        """
        path = f"{_repository(repository)}/actions/jobs/{identity}/rerun"
        answer = self._call("POST", path, expected=(201, 403, 409))
        if answer.status == 201:
            return
        told = _message(answer)
        if "already running" in told:
            raise RunActiveError(told)
        raise GitHubError(f"GitHub does not run job {identity} of {repository} again: {told}")

    def attempts(self, scope: str, since: float, page: str = "") -> Page[Attempt]:
        """Attempts at deliveries of jobs' events since then that are over, of one page of the scope's list.

        GitHub forgets attempts after three days. A page that it knows no more is the end of the list.
        """
        hook = self._hook(scope)
        if not hook:
            return Page(())
        query = {"per_page": str(_PAGE)} | ({"cursor": page} if page else {})
        answer = self._call("GET", f"{hook}?{urlencode(query)}", expected=(200, 400, 422) if page else (200,))
        held = cast("list[dict[str, Any]]", answer.json) if answer.status == 200 else []
        young = [each for each in held if _time(each["delivered_at"]) >= since]
        found = [
            _attempt(each, scope) for each in young if each["event"] == "workflow_job" and each["status"] != "pending"
        ]
        return Page(found, _next_cursor(answer.headers.get("link", "")) if held and len(young) == len(held) else "")

    def redeliver(self, attempt: Attempt) -> None:
        """Have its delivery sent again. One that GitHub has forgotten (it keeps them for three days) is left alone: its
        job is found by the sweep over the repositories."""
        hook = self._hook(attempt.scope)
        if hook:
            self._call("POST", f"{hook}/{attempt.id}/attempts", expected=(202, 404, 422))

    def _hook(self, scope: str) -> str:
        """Path of the list of a webhook's deliveries; empty: none is looked after."""
        fleet = self._fleet
        if not scope:
            return f"/orgs/{fleet.organization}/hooks/{fleet.hook_id}/deliveries" if fleet.hook_id else ""
        hook = fleet.repository_hooks.get(scope.partition("/")[2])
        return f"{_repository(scope)}/hooks/{hook}/deliveries" if hook else ""

    def _runners(self, scope: str) -> str:
        return (_repository(scope) if scope else f"/orgs/{self._fleet.organization}") + "/actions/runners"

    def _pages(self, path: str, key: str, **query: str) -> Iterator[dict[str, Any]]:
        page = 1
        while True:
            asked = urlencode({**query, "per_page": _PAGE, "page": page})
            held = cast("list[dict[str, Any]]", self._call("GET", f"{path}?{asked}").json[key])
            yield from held
            if len(held) < _PAGE:
                return
            page += 1

    def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, expected: Sequence[int] = (200,)
    ) -> Answer:
        answer = self._transport.request(method, path, body)
        raise_if_limited(answer, self._clock.now(), f"GitHub {method} {path}")
        if answer.status not in expected:
            raise GitHubError(f"GitHub {method} {path}: {answer.status} {_message(answer)}")
        return answer


def raise_if_limited(answer: Answer, now: float, what: str) -> None:
    """Raise UnavailableError if GitHub throttles or fails (GitHub, "Rate limits for the REST API").

    Args:
        answer: any.
        now: seconds since 1970.
        what: the request, for the message.
    """
    if answer.status >= 500:
        raise UnavailableError(f"{what}: {answer.status}")
    if answer.status not in (403, 429):
        return
    after = answer.headers.get("retry-after", "")
    if after.isdecimal():
        raise ThrottledError(f"{what}: limited", float(after))
    reset = answer.headers.get("x-ratelimit-reset", "")
    if answer.headers.get("x-ratelimit-remaining") == "0" and reset.isdecimal():
        raise ThrottledError(f"{what}: limited", max(1.0, float(reset) - now))
    if answer.status == 429 or "rate limit" in _message(answer).lower():
        raise ThrottledError(f"{what}: limited", _SLOW_DOWN)


def app_jwt(app_id: int, key: str, now: float) -> str:
    """The token with which an app speaks for itself (GitHub, "Generating a JSON Web Token for a GitHub App").

    Args:
        app_id: GitHub's id of the app.
        key: its private key, PEM.
        now: seconds since 1970. The token is dated a minute back, since clocks differ, and ends in nine: ten is the
            most that GitHub takes.

    Raises:
        ValueError: the key is no RSA key in PEM. The message holds nothing of it.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    try:
        private = serialization.load_pem_private_key(key.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        private = None
    if not isinstance(private, rsa.RSAPrivateKey):
        raise ValueError(
            "The secret of PAVEDPATH_APP_KEY_SECRET is no private RSA key in PEM; store the file that GitHub gave "
            "for the app, as it is."
        )
    claims = {"iss": str(app_id), "iat": int(now) - 60, "exp": int(now) + 540}
    signed = b".".join(_part(each) for each in ({"alg": "RS256", "typ": "JWT"}, claims))
    signature = private.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    return b".".join([signed, _encoded(signature)]).decode()


class AppTransport:
    """Asks GitHub as an installation of an app, with a token that is asked for when needed and kept for its hour.

    Args:
        pool: urllib3's connections. Nothing is sent again by itself but what was redirected.
        api_url: root of the API; it may end in a slash.
        app_id: GitHub's id of the app.
        installation_id: of its installation in the organisation.
        key: gives the app's private key, PEM; it is called when a token is needed.
        clock: says when a token ends.
        learned: is told each token, so that a log can keep it out.
    """

    def __init__(
        self,
        pool: "PoolManager",
        api_url: str,
        app_id: int,
        installation_id: int,
        key: Callable[[], str],
        clock: Clock,
        learned: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._pool, self._root, self._clock, self._learned = pool, api_url.rstrip("/"), clock, learned
        self._app_id, self._installation_id, self._key = app_id, installation_id, key
        self._token, self._until = "", 0.0

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """Send one request; a token that GitHub takes no more is replaced, once."""
        answer = self._send(method, path, body, self._current())
        if answer.status == 401:
            self._until = 0.0
            answer = self._send(method, path, body, self._current())
        return answer

    def _current(self) -> str:
        now = self._clock.now()
        if now >= self._until - 300:
            path = f"/app/installations/{self._installation_id}/access_tokens"
            answer = self._send("POST", path, None, app_jwt(self._app_id, self._key(), now))
            raise_if_limited(answer, now, f"GitHub POST {path}")
            if answer.status != 201:
                raise GitHubError(f"GitHub gives app {self._app_id} no token: {answer.status} {_message(answer)}")
            self._token, self._until = answer.json["token"], _time(answer.json["expires_at"])
            self._learned(self._token)
        return self._token

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None, token: str) -> Answer:
        from urllib3 import Retry, Timeout
        from urllib3.exceptions import HTTPError, LocationValueError

        headers = {
            "accept": "application/vnd.github+json",
            "authorization": f"Bearer {token}",
            "user-agent": "pavedpath-runners",
            "x-github-api-version": "2022-11-28",
        }
        if body is not None:
            headers["content-type"] = "application/json"
        try:
            answer = self._pool.request(
                method,
                self._root + path,
                body=None if body is None else json.dumps(body).encode(),
                headers=headers,
                timeout=Timeout(connect=3, read=10),
                # A renamed repository's old address leads to the new one. A limit is told, and not slept through.
                retries=Retry(
                    total=3, connect=0, read=0, status=0, other=0, redirect=3, respect_retry_after_header=False
                ),
            )
        except LocationValueError as error:
            raise GitHubError(f"{self._root} is no address of GitHub's API") from error
        except HTTPError as error:
            # Its message has the address alone; headers are in none of urllib3's.
            raise UnavailableError(f"GitHub {method} {path}: {type(error).__name__}") from error
        try:
            decoded = json.loads(answer.data) if answer.data else None
        except ValueError as error:
            if answer.status < 300:
                raise UnavailableError(f"GitHub {method} {path}: {answer.status}, and no JSON") from error
            decoded = None  # a proxy's page; the status says enough
        return Answer(answer.status, {name.lower(): value for name, value in answer.headers.items()}, decoded)


def _message(answer: Answer) -> str:
    body: object = answer.json
    return str(cast("dict[str, Any]", body).get("message", ""))[:500] if isinstance(body, dict) else ""


def _registration(held: Mapping[str, Any], scope: str) -> Registration:
    return Registration(held["id"], held["name"], held["status"] == "online", held["busy"], scope)


def _attempt(held: Mapping[str, Any], scope: str) -> Attempt:
    at = _time(held["delivered_at"])
    return Attempt(held["id"], held["guid"], at, held["status_code"], held["redelivery"], scope)


def _repository(name: str) -> str:
    return f"/repos/{quote(name)}"


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _next_cursor(link: str) -> str:
    found = re.search(r'<([^<>]*)>;\s*rel="next"', link)
    return parse_qs(urlsplit(found[1]).query).get("cursor", [""])[0] if found else ""


def _part(value: object) -> bytes:
    return _encoded(json.dumps(value, separators=(",", ":")).encode())


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
