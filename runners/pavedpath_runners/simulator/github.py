"""A model of GitHub Actions: jobs, runners, their REST API as the adapter's transport sees it, and webhooks."""

import hmac
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pavedpath_runners.adapters.github import Answer
from pavedpath_runners.ports import UnavailableError

from .engine import Engine, Refusals
from .policy import Hook

_LATENCY = 0.15
_KNOWN_SECONDS = 72 * 3600.0
"""How long deliveries are listed (GitHub, "Handling failed webhook deliveries": three days)."""


@dataclass(frozen=True)
class Habits:
    """How GitHub behaves, but for refusals of its API."""

    lost: float = 0.0
    """Probability that a delivery does not arrive, and is listed as failed."""
    unrecorded: float = 0.0
    """Probability that a delivery is never made, and so not listed either."""
    duplicate: float = 0.0
    """Probability that a delivery arrives twice."""
    late: float = 0.0
    """Probability that a delivery takes minutes and so comes after those that follow it."""
    stale: float = 0.0
    """Probability that `busy` and `online` lag by 25 to 90 s for a runner, and turn idle for as long mid-job."""
    shuffle: float = 0.2
    """Probability that a runner gets any job that fits instead of the oldest."""
    requests: int = 5000
    """Primary rate limit: requests a window. Others may share it, so it can be less than the fleet reckons with."""
    window: float = 3600.0
    """Seconds of the primary rate limit's window (GitHub: an hour)."""
    registrations: int = 180
    """JIT configurations a minute before the secondary rate limit."""
    patience: float = 86400.0
    """Seconds after which a queued job is cancelled (GitHub: 24 h)."""


@dataclass(eq=False, slots=True)
class WorkflowJob:
    """A job as GitHub keeps it."""

    id: int
    repository: str
    run_id: int
    labels: Sequence[str]
    seconds: float
    """How long it runs."""
    own: bool = True
    """Whether its code is the repository's own."""
    status: str = "queued"
    conclusion: str = ""
    created_at: float = 0.0
    queued_at: float = 0.0
    """When it was created, or let through to its environment."""
    started_at: float = 0.0
    ended_at: float = 0.0
    runner: str = ""
    registration: int = 0
    cancelled_by: str = ""
    """user, or GitHub's time limit; empty: it was not cancelled."""
    rerun_of: int = 0
    reruns: int = 0
    lost_machine: bool = False


@dataclass(eq=False, slots=True)
class Registered:
    """A runner as GitHub keeps it."""

    id: int
    name: str
    labels: Sequence[str]
    wanted: frozenset[str]
    """Its labels in lower case."""
    scope: str
    since: float
    online: bool = False
    job: WorkflowJob | None = None
    changes: list[tuple[float, bool, bool]] = field(default_factory=list[tuple[float, bool, bool]])
    """(from when on it is shown, online, busy), of changes that the listing does not show yet."""
    shown: tuple[bool, bool] = (False, False)
    used: bool = False
    """Whether its configuration has been used."""


@dataclass(slots=True)
class _Attempt:
    id: int
    guid: str
    at: float
    event: str
    action: str
    redelivery: bool
    status_code: int
    hook: Hook


@dataclass(frozen=True)
class _Asked:
    """A request of the API, taken apart."""

    found: Sequence[str]
    """What its path names."""
    query: Mapping[str, str]
    body: Any


class _Lost(Refusals):
    def throttled(self, operation: str) -> Exception:
        return _Throttled(operation)

    def lost(self, operation: str) -> Exception:
        return UnavailableError(f"GitHub {operation}: no answer")


class _Throttled(Exception):  # noqa: N818 - a signal within this module: it becomes an answer
    pass


@dataclass(frozen=True)
class Ears:
    """Who hears what GitHub decides."""

    assigned: Callable[[Registered, WorkflowJob], None]
    """A runner's job starts."""
    removed: Callable[[Registered], None]
    """A registration was removed through the API."""
    changed: Callable[[WorkflowJob], None]
    """A job's status has changed."""
    stopped: Callable[[WorkflowJob], None]
    """A running job is to stop, since its user cancels it."""


Send = Callable[[Hook, Callable[[int], None]], None]
"""Sends a webhook and tells the status of the answer, 0 for none."""


class GitHub:
    """One organisation."""

    def __init__(self, engine: Engine, organization: str, secret: bytes, habits: Habits) -> None:
        self._engine = engine
        self._organization = organization
        self._secret = secret
        self.habits = habits
        self.jobs: dict[int, WorkflowJob] = {}
        self.runs: dict[int, list[WorkflowJob]] = {}
        self.registrations: dict[int, Registered] = {}
        self.on: Ears | None = None
        self.send: Send = lambda _hook, done: done(0)
        self.faulty = True
        """Whether its habits are bad now."""
        self.failed_deliveries = 0
        self._names: dict[str, Registered] = {}
        self._open: dict[str, dict[int, WorkflowJob]] = {}
        self._queued: dict[tuple[str, ...], dict[int, WorkflowJob]] = {}
        self._idle: dict[int, Registered] = {}
        self._attempts: list[_Attempt] = []
        self._forgotten = 0
        """Attempts that are listed no more and were dropped from the list's beginning."""
        self._numbers = 0
        self._next_job = 0
        self._window = (0.0, 0)
        self._minute = (0.0, 0)
        self._lost = _Lost()

    def reserve(self, identity: int) -> None:
        """Give re-runs ids from there on."""
        self._next_job = identity

    # What users do.

    def queue(self, job: WorkflowJob, held: float = 0.0, *, queued_first: bool = False) -> None:
        """Queue a job, after `held` seconds behind the rules of its environment.

        `queued_first`: GitHub says that it is queued before it says that it waits, and then that it is queued again
        (CloudSnorkel/cdk-github-runners#382, runs-on/runs-on#539). Others saw that it waits first
        (ubicloud/ubicloud#1005). No runner gets it before it is let through.
        """
        job.status, job.created_at = "queued", self._engine.time
        self.jobs[job.id] = job
        self.runs.setdefault(job.run_id, []).append(job)
        self._open.setdefault(job.repository, {})[job.id] = job
        if not held:
            self._release(job)
        elif queued_first:
            job.queued_at = job.created_at
            self._changed(job, "queued")
            self._engine.after(self._engine.random.uniform(0.2, 2), self._hold, job, held)
        else:
            self._hold(job, held)

    def _hold(self, job: WorkflowJob, seconds: float) -> None:
        if job.status == "queued":
            job.status = "waiting"
            self._changed(job, "waiting")
            self._engine.after(seconds, self._release, job)

    def _release(self, job: WorkflowJob) -> None:
        if job.status not in ("waiting", "queued"):
            return
        job.status, job.queued_at = "queued", self._engine.time
        self._queued.setdefault(tuple(each.lower() for each in job.labels), {})[job.id] = job
        self._changed(job, "queued")
        self._engine.after(self.habits.patience, self.cancel, job, "GitHub's time limit")
        self._engine.after(self._engine.random.uniform(0.5, 3), self._offer_job, job)

    def cancel(self, job: WorkflowJob, who: str = "user") -> None:
        """Cancel a job: at once if it waits, by its machine if it runs."""
        if job.status in ("waiting", "queued"):
            job.cancelled_by = who
            self.end(job, "cancelled")
        elif job.status == "in_progress" and who == "user" and not job.cancelled_by:
            job.cancelled_by = who
            if self.on:
                self.on.stopped(job)

    # What runners do.

    def connect(self, configuration: str) -> Registered | None:
        """A runner comes online with its configuration; None if that is no longer good."""
        found = self.registrations.get(int(configuration.removeprefix("jit-")))
        if found is None or found.used:
            return None
        found.used = True
        self._show(found, online=True)
        self._idle[found.id] = found
        self._engine.after(self._engine.random.uniform(0.5, 3), self._offer_runner, found)
        return found

    def disconnect(self, runner: Registered) -> None:
        """A runner's connection is lost: its machine is gone."""
        self._idle.pop(runner.id, None)
        if runner.id in self.registrations:
            self._show(runner, online=False)
        job = runner.job
        if job is not None and job.status == "in_progress":
            job.lost_machine = True
            self._engine.after(self._engine.random.uniform(120, 660), self.end, job, "failure")

    def end(self, job: WorkflowJob, conclusion: str) -> None:
        """A job ends; the registration of its runner, which is ephemeral, with it."""
        if job.status == "completed":
            return
        job.status, job.conclusion, job.ended_at = "completed", conclusion, self._engine.time
        self._open[job.repository].pop(job.id, None)
        self._queued.get(tuple(each.lower() for each in job.labels), {}).pop(job.id, None)
        runner = self.registrations.get(job.registration)
        if runner is not None:
            self._forget(runner)
        self._changed(job, "completed")

    def _forget(self, runner: Registered) -> None:
        self.registrations.pop(runner.id, None)
        self._idle.pop(runner.id, None)
        if self._names.get(runner.name) is runner:
            del self._names[runner.name]

    def _show(self, runner: Registered, *, online: bool) -> None:
        """Note a change that the listing shows after a while."""
        runner.online = online
        now, busy = self._engine.time, runner.job is not None
        stale = self.faulty and self._engine.random.random() < self.habits.stale
        lag = self._engine.random.uniform(25, 90) if stale else self._engine.random.uniform(0, 2)
        # What is shown first is newer than what was to be shown later.
        runner.changes = [each for each in runner.changes if each[0] < now + lag]
        runner.changes.append((now + lag, online, busy))
        if busy and online and stale:
            since = now + lag + self._engine.random.uniform(10, 900)
            runner.changes += [(since, self._engine.random.random() < 0.5, False)]
            runner.changes += [(since + self._engine.random.uniform(25, 110), True, True)]

    def _flags(self, runner: Registered) -> tuple[bool, bool]:
        while runner.changes and runner.changes[0][0] <= self._engine.time:
            _, online, busy = runner.changes.pop(0)
            runner.shown = (online, busy)
        return runner.shown

    # Who gets which job: any online idle runner that fits, any queued job that fits.

    def _offer_job(self, job: WorkflowJob) -> None:
        if job.status != "queued":
            return
        labels = {each.lower() for each in job.labels}
        for runner in self._idle.values():
            if labels <= runner.wanted and runner.scope in ("", job.repository):
                self._assign(runner, job)
                return

    def _offer_runner(self, runner: Registered) -> None:
        if runner.id not in self._idle:
            return
        fitting = [
            job
            for labels, jobs in self._queued.items()
            if jobs and runner.wanted.issuperset(labels)
            for job in self._some(jobs)
            if runner.scope in ("", job.repository)
        ]
        if fitting:
            oldest = min(fitting, key=lambda job: job.created_at)
            shuffled = self._engine.random.random() < self.habits.shuffle
            self._assign(runner, self._engine.random.choice(fitting) if shuffled else oldest)

    @staticmethod
    def _some(jobs: dict[int, WorkflowJob]) -> list[WorkflowJob]:
        """Jobs to choose among; the first 50 do, so that a choice does not cost more the longer the queue is."""
        return [job for job, _ in zip(jobs.values(), range(50), strict=False)]

    def _assign(self, runner: Registered, job: WorkflowJob) -> None:
        del self._idle[runner.id]
        self._queued[tuple(each.lower() for each in job.labels)].pop(job.id)
        runner.job, job.status, job.started_at = job, "in_progress", self._engine.time
        job.runner, job.registration = runner.name, runner.id
        self._show(runner, online=True)
        self._changed(job, "in_progress")
        if self.on:
            self.on.assigned(runner, job)

    # Webhooks.

    def _changed(self, job: WorkflowJob, action: str) -> None:
        self._engine.say("github", f"job {action}", job.id, job.runner, job.conclusion)
        if self.on:
            self.on.changed(job)
        body = json.dumps(self._payload(job, action), separators=(",", ":")).encode()
        self._numbers += 1
        guid = f"00000000-0000-4000-8000-{self._numbers:012x}"
        hook = Hook(
            {
                "x-github-event": "workflow_job",
                "x-github-delivery": guid,
                "x-hub-signature-256": "sha256=" + hmac.digest(self._secret, body, "sha256").hex(),
                "content-type": "application/json",
            },
            body,
        )
        self._emit(guid, action, hook)

    def _emit(self, guid: str, action: str, hook: Hook) -> None:
        random, habits = self._engine.random, self.habits
        draw, delay = random.random(), random.uniform(0.2, 2.5)
        if self.faulty and random.random() < habits.late:
            delay = random.uniform(20, 400)
        lost = self.faulty and draw < habits.lost
        if self.faulty and not lost and draw < habits.lost + habits.unrecorded:
            self._engine.say("github", "webhook never made", detail=f"{action} {guid[-6:]}")
            return
        self._engine.after(delay, self._deliver, guid, action, hook, False, lost)
        if self.faulty and random.random() < habits.duplicate:
            self._engine.after(delay + random.uniform(0, 60), self._deliver, guid, action, hook, True, False)

    def _deliver(self, guid: str, action: str, hook: Hook, again: bool, lost: bool) -> None:
        self._numbers += 1
        attempt = _Attempt(self._numbers, guid, self._engine.time, "workflow_job", action, again, 0, hook)

        def record(status: int) -> None:
            attempt.status_code = status
            self._attempts.append(attempt)
            self._forget_attempts()
            if not 200 <= status < 400:
                self.failed_deliveries += 1
                self._engine.say("github", "webhook failed", detail=f"{action} {guid[-6:]} {status or 'no answer'}")

        if lost:
            record(0)
        else:
            self.send(hook, record)

    def _forget_attempts(self) -> None:
        half = len(self._attempts) // 2
        # They lie in the order of their answers, which come within ten seconds.
        if self._attempts[half].at + _KNOWN_SECONDS + 60 < self._engine.time:
            del self._attempts[:half]
            self._forgotten += half

    def _payload(self, job: WorkflowJob, action: str) -> dict[str, Any]:
        owner, name = job.repository.split("/")
        return {
            "action": action,
            "workflow_job": _job(job),
            "repository": {
                "id": 1,
                "name": name,
                "full_name": job.repository,
                "private": True,
                "owner": {"login": owner},
            },
            "organization": {"login": self._organization},
            "installation": {"id": 1},
        }

    # The API.

    def request(self, method: str, path: str, body: Any = None) -> Answer:
        """Answer a request of the REST API.

        Raises:
            UnavailableError: no answer came.
        """
        handler, name, found, query = _route(method, path)

        def effect() -> Answer:
            refused = self._limited()
            return refused or getattr(self, handler)(_Asked(found, query, body))

        try:
            return self._engine.call("github", f"{method} {name}", _LATENCY, effect, self._lost)
        except _Throttled:
            return self._refused()

    def _refused(self) -> Answer:
        kind = self._engine.random.randrange(3)
        if kind == 0:
            return Answer(502, {}, {"message": "Server Error"})
        headers = {"retry-after": str(self._engine.random.randrange(5, 61))}
        return Answer(403 if kind == 1 else 429, headers, {"message": "You have exceeded a secondary rate limit."})

    def _limited(self) -> Answer | None:
        """The primary rate limit: so many requests a window."""
        start, used = self._window
        now, length = self._engine.time, self.habits.window
        if now >= start + length:
            start, used = now, 0
        self._window = (start, used + 1)
        if used < self.habits.requests or not self.faulty:
            return None
        headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(start + length) + 1)}
        return Answer(403, headers, {"message": "API rate limit exceeded"})

    def _register(self, asked: _Asked) -> Answer:
        start, used = self._minute
        if self._engine.time >= start + 60:
            start, used = self._engine.time, 0
        self._minute = (start, used + 1)
        if used >= self.habits.registrations:
            return Answer(403, {"retry-after": "60"}, {"message": "You have exceeded a secondary rate limit."})
        if asked.body["name"] in self._names:
            text = f"Already exists - A runner with the name {asked.body['name']} already exists."
            return Answer(409, {}, {"message": text})
        self._numbers += 1
        scope = asked.found[0] if "/" in asked.found[0] else ""
        wanted = frozenset(each.lower() for each in asked.body["labels"])
        runner = Registered(
            self._numbers, asked.body["name"], tuple(asked.body["labels"]), wanted, scope, self._engine.time
        )
        self.registrations[runner.id] = self._names[runner.name] = runner
        self._engine.say("github", "registration made", machine=runner.name, detail=str(runner.id))
        return Answer(201, {}, {"runner": self._runner(runner), "encoded_jit_config": f"jit-{runner.id}"})

    def _runner(self, runner: Registered) -> dict[str, Any]:
        online, busy = self._flags(runner)
        return {
            "id": runner.id,
            "name": runner.name,
            "os": "linux",
            "status": "online" if online else "offline",
            "busy": busy,
            "ephemeral": True,
            "labels": [{"id": 0, "name": each, "type": "custom"} for each in runner.labels],
        }

    def _list_runners(self, asked: _Asked) -> Answer:
        scope = asked.found[0] if "/" in asked.found[0] else ""
        every: Iterable[Registered] = self.registrations.values()
        if "name" in asked.query:
            named = self._names.get(asked.query["name"])
            every = () if named is None else (named,)
        every = [each for each in every if each.scope == scope]
        return self._page("runners", every, self._runner, asked.query)

    @staticmethod
    def _page(name: str, every: Sequence[Any], shape: Callable[[Any], Any], query: Mapping[str, str]) -> Answer:
        size, page = min(100, int(query.get("per_page", 30))), int(query.get("page", 1))
        some = every[(page - 1) * size : page * size]
        more = page * size < len(every)
        link = {"link": f'<https://api.github.com/next?page={page + 1}&per_page={size}>; rel="next"'} if more else {}
        return Answer(200, link, {"total_count": len(every), name: [shape(each) for each in some]})

    def _get_runner(self, asked: _Asked) -> Answer:
        runner = self.registrations.get(int(asked.found[1]))
        return Answer(200, {}, self._runner(runner)) if runner else Answer(404, {}, {"message": "Not Found"})

    def _remove_runner(self, asked: _Asked) -> Answer:
        runner = self.registrations.get(int(asked.found[1]))
        if runner is None:
            return Answer(404, {}, {"message": "Not Found"})
        if self._flags(runner)[1]:
            text = f"Runner {runner.name} is currently running a job and cannot be deleted."
            return Answer(422, {}, {"message": text})
        self._forget(runner)
        real = f"it was busy with {runner.job.id}, but not shown so" if runner.job else ""
        self._engine.say("github", "registration removed", machine=runner.name, detail=real)
        if self.on:
            self.on.removed(runner)
        return Answer(204, {}, None)

    def _get_job(self, asked: _Asked) -> Answer:
        job = self.jobs.get(int(asked.found[1]))
        return Answer(200, {}, _job(job)) if job else Answer(404, {}, {"message": "Not Found"})

    def _rerun(self, asked: _Asked) -> Answer:
        job = self.jobs[int(asked.found[1])]
        if any(each.status != "completed" for each in self.runs[job.run_id]):
            text = "The workflow run containing this job is already running"
            return Answer(403, {}, {"message": text})
        self._next_job += 1
        job.reruns += 1
        again = WorkflowJob(self._next_job, job.repository, job.run_id, job.labels, job.seconds, job.own)
        again.rerun_of = job.id
        self._engine.say("github", "job is run again", job.id, detail=f"as {again.id}")
        self._engine.after(self._engine.random.uniform(0.1, 2), self.queue, again)
        return Answer(201, {}, {})

    def _get_run(self, asked: _Asked) -> Answer:
        jobs = self.runs.get(int(asked.found[1]))
        return Answer(200, {}, self._run(jobs)) if jobs else Answer(404, {}, {"message": "Not Found"})

    def _run(self, jobs: Sequence[WorkflowJob]) -> dict[str, Any]:
        job = jobs[0]
        repository = {"full_name": job.repository, "private": True, "owner": {"login": self._organization}}
        head = repository if job.own else {"full_name": "stranger/fork", "owner": {"login": "stranger"}}
        return {
            "id": job.run_id,
            "status": _run_status(jobs),
            "event": "push" if job.own else "pull_request",
            "repository": {"id": 1, "fork": False, **repository},
            "head_repository": {"id": 1 if job.own else 2, "fork": not job.own, **head},
            "created_at": _time(job.created_at),
        }

    def _list_runs(self, asked: _Asked) -> Answer:
        runs = dict.fromkeys(job.run_id for job in self._open.get(asked.found[0], {}).values())
        every = [self.runs[each] for each in reversed(runs)]
        if "status" in asked.query:
            every = [each for each in every if _run_status(each) == asked.query["status"]]
        return self._page("workflow_runs", every, self._run, asked.query)

    def _list_jobs(self, asked: _Asked) -> Answer:
        return self._page("jobs", self.runs.get(int(asked.found[1]), ()), _job, asked.query)

    def _list_deliveries(self, asked: _Asked) -> Answer:
        size, cursor = min(100, int(asked.query.get("per_page", 30))), asked.query.get("cursor")
        end = max(0, int(cursor.removeprefix("v1_")) - self._forgotten) if cursor else len(self._attempts)
        start = max(0, end - size)
        oldest = self._engine.time - _KNOWN_SECONDS
        page = [_attempt(each) for each in reversed(self._attempts[start:end]) if each.at >= oldest]
        after = start + self._forgotten
        link = {"link": f'<https://api.github.com/next?cursor=v1_{after}&per_page={size}>; rel="next"'}
        return Answer(200, link if start else {}, page)

    def _redeliver(self, asked: _Asked) -> Answer:
        wanted, oldest = int(asked.found[1]), self._engine.time - _KNOWN_SECONDS
        for each in reversed(self._attempts):
            if each.id == wanted and each.at >= oldest:
                lost = self.faulty and self._engine.random.random() < self.habits.lost
                after = self._engine.random.uniform(0.5, 5)
                self._engine.after(after, self._deliver, each.guid, each.action, each.hook, True, lost)
                self._engine.say("github", "webhook sent again", detail=f"{each.action} {each.guid[-6:]}")
                return Answer(202, {}, {})
        return Answer(404, {}, {"message": "Not Found"})


def _run_status(jobs: Sequence[WorkflowJob]) -> str:
    states = [each.status for each in jobs]
    if all(each == "completed" for each in states):
        return "completed"
    if all(each in ("queued", "waiting") for each in states):
        return "queued" if "queued" in states else "waiting"
    return "in_progress"


def _time(at: float) -> str | None:
    """GitHub's times have no fractions of a second."""
    return _written(int(at)) if at else None


@lru_cache(maxsize=8192)
def _written(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _job(job: WorkflowJob) -> dict[str, Any]:
    return {
        "id": job.id,
        "run_id": job.run_id,
        "run_attempt": 2 if job.rerun_of else 1,
        "status": job.status,
        "conclusion": job.conclusion or None,
        "labels": list(job.labels),
        "created_at": _time(job.created_at),
        "started_at": _time(job.started_at or job.created_at),
        "completed_at": _time(job.ended_at),
        "runner_id": job.registration or None,
        "runner_name": job.runner or None,
        "name": f"job {job.id}",
        "workflow_name": "build",
        "head_branch": "main",
    }


def _attempt(attempt: _Attempt) -> dict[str, Any]:
    good = 200 <= attempt.status_code < 400
    return {
        "id": attempt.id,
        "guid": attempt.guid,
        "delivered_at": _time(attempt.at),
        "redelivery": attempt.redelivery,
        "duration": 0.3,
        "status": "OK" if good else f"Invalid HTTP Response: {attempt.status_code}",
        "status_code": attempt.status_code,
        "event": attempt.event,
        "action": attempt.action,
    }


_OWNER, _REPOSITORY = r"/orgs/([^/]+)", r"/repos/([^/]+/[^/]+)"
_ROUTES: Sequence[tuple[str, str, str, str]] = (
    ("POST", rf"(?:{_OWNER}|{_REPOSITORY})/actions/runners/generate-jitconfig", "_register", "jit configuration"),
    ("GET", rf"(?:{_OWNER}|{_REPOSITORY})/actions/runners", "_list_runners", "runners"),
    ("GET", rf"(?:{_OWNER}|{_REPOSITORY})/actions/runners/(\d+)", "_get_runner", "runner"),
    ("DELETE", rf"(?:{_OWNER}|{_REPOSITORY})/actions/runners/(\d+)", "_remove_runner", "runner"),
    ("GET", rf"{_REPOSITORY}/actions/jobs/(\d+)", "_get_job", "job"),
    ("POST", rf"{_REPOSITORY}/actions/jobs/(\d+)/rerun", "_rerun", "rerun"),
    ("GET", rf"{_REPOSITORY}/actions/runs", "_list_runs", "runs"),
    ("GET", rf"{_REPOSITORY}/actions/runs/(\d+)", "_get_run", "run"),
    ("GET", rf"{_REPOSITORY}/actions/runs/(\d+)/jobs", "_list_jobs", "jobs of a run"),
    (
        "GET",
        rf"(?:{_OWNER}|{_REPOSITORY}|/app)/hooks?(?:/(?:\d+|config))?/deliveries",
        "_list_deliveries",
        "deliveries",
    ),
    (
        "POST",
        rf"(?:{_OWNER}|{_REPOSITORY}|/app)/hooks?(?:/(?:\d+|config))?/deliveries/(\d+)/attempts",
        "_redeliver",
        "redelivery",
    ),
)
_COMPILED = tuple((method, re.compile(pattern), handler, name) for method, pattern, handler, name in _ROUTES)


@lru_cache(maxsize=4096)
def _route(method: str, path: str) -> tuple[str, str, Sequence[str], Mapping[str, str]]:
    parts = urlsplit(path)
    query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    for verb, pattern, handler, name in _COMPILED:
        match = pattern.fullmatch(parts.path) if verb == method else None
        if match:
            return handler, name, tuple(each for each in match.groups() if each), query
    raise LookupError(f"the model of GitHub has no {method} {parts.path}")
