"""Webhook deliveries: written down with the change that caused them, sent after it is committed.

A delivery that a kill interrupts is sent at the next start, so after a kill it may arrive twice.
"""

import asyncio
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING
from uuid import uuid4

from pavedpath_sandbox.github.call import Call, Event
from pavedpath_sandbox.github.errors import unprocessable
from pavedpath_sandbox.github.render import account, organization_of, organization_simple
from pavedpath_sandbox.github.store import ROOT, Json, Record, Store

if TYPE_CHECKING:
    import httpx

LOG = logging.getLogger("pavedpath_sandbox.github")
KEPT = 5000
"""Deliveries kept for each hook; GitHub forgets them after a few days."""
FAULTS = ("lose_every", "duplicate_every", "delay_every", "delay_seconds", "at_once")
COUNTS = ("sent", "lost", "duplicated", "delayed", "redelivered")
_LARGEST_ANSWER = 65536


def enqueue(call: Call) -> None:
    """Write down the deliveries of what a request did, for every active hook that wants the event."""
    for event in call.events:
        organization = organization_of(call)
        scopes = [organization.id, *([event.repository.id] if event.repository else [])]
        payload = event.payload | {"organization": organization_simple(call.urls, organization)}
        if call.user:
            payload["sender"] = account(call.urls, call.user)
        for scope in scopes:
            for hook in call.store.children("hook", scope):
                if hook["active"] and ({event.name, "*"} & set(hook["events"])):
                    add(call.store, hook, Event(event.name, payload, event.repository))


def add(store: Store, hook: Record, event: Event) -> Record:
    """Write down one delivery to one hook."""
    body: Json = {
        "guid": str(uuid4()),
        "event": event.name,
        "action": event.payload.get("action"),
        "repository": event.repository.id if event.repository else None,
        "redelivery": False,
    }
    return _queued(store, hook, body, json.dumps(event.payload))


def redeliver(store: Store, hook: Record, delivery: Record) -> Record:
    """Write down another attempt at a delivery: the same guid and payload, an id of its own."""
    kept = ("guid", "event", "action", "repository")
    body = {name: delivery[name] for name in kept} | {"redelivery": True}
    return _queued(store, hook, body, payload_of(store, delivery))


def payload_of(store: Store, delivery: Record) -> str:
    """What is sent: JSON. It is a record of its own, since it is long, and lists of deliveries do not show it."""
    held = store.find("payload", delivery.id, "")
    return held["text"] if held else delivery["payload"]


def _queued(store: Store, hook: Record, body: Json, payload: str) -> Record:
    record = store.insert("delivery", hook.id, str(uuid4()), body)
    store.insert("payload", record.id, "", {"text": payload})
    store.insert("outbox", record.id, "", {"hook": hook.id})
    store.keep_newest("delivery", hook.id, KEPT)
    return record


def faults(store: Store) -> Record:
    """What goes wrong with first attempts, and what has happened so far; all numbers are 0 at first."""
    held = store.find("faults", ROOT, "")
    return held or store.insert("faults", ROOT, "", dict.fromkeys([*FAULTS, "seen", *COUNTS], 0))


def _at_once(store: Store) -> int:
    """How many deliveries of a hook are under way together; GitHub promises no order."""
    held = store.find("faults", ROOT, "")
    return max(1, int(held.get("at_once") or 0)) if held else 1


def set_faults(store: Store, wanted: Json) -> Json:
    """Change some of `FAULTS`; returns them all, and `COUNTS` since the state was made. Raises GitHubError 422."""
    good = {name: value for name, value in wanted.items() if name in FAULTS and _is_count(name, value)}
    if wrong := sorted(wanted.keys() - good.keys()):
        raise unprocessable(f"{', '.join(wrong)}: there are {', '.join(FAULTS)}, all of them numbers from 0 on.")
    record = faults(store)
    record = store.update(record, good) if good else record
    return {name: record.get(name, 0) for name in (*FAULTS, *COUNTS)}


def _is_count(name: str, value: object) -> bool:
    kinds = (int, float) if name == "delay_seconds" else (int,)
    return isinstance(value, kinds) and not isinstance(value, bool) and float(value) >= 0


def _fate(store: Store, delivery: Record) -> set[str]:
    """What goes wrong with a delivery; a ping and another attempt always go their way."""
    if delivery["redelivery"] or delivery["event"] == "ping":
        return set()
    record = faults(store)
    seen = record["seen"] + 1
    store.update(record, {"seen": seen})
    names = {"lose_every": "lost", "duplicate_every": "duplicated", "delay_every": "delayed"}
    return {fate for name, fate in names.items() if record[name] and seen % record[name] == 0}


def _count(store: Store, names: Iterable[str]) -> None:
    record = faults(store)
    store.update(record, {name: record[name] + 1 for name in names})


def headers_of(hook: Record, delivery: Record, content: bytes) -> dict[str, str]:
    """The headers that GitHub sends, signed with the hook's secret if it has one."""
    form = hook["config"].get("content_type") == "form"
    headers = {
        "Accept": "*/*",
        "Content-Type": "application/x-www-form-urlencoded" if form else "application/json",
        "User-Agent": f"GitHub-Hookshot/{hook.id:x}",
        "X-GitHub-Delivery": delivery["guid"],
        "X-GitHub-Event": delivery["event"],
        "X-GitHub-Hook-ID": str(hook.id),
        "X-GitHub-Hook-Installation-Target-ID": str(hook.parent),
        "X-GitHub-Hook-Installation-Target-Type": hook["target_type"],
    }
    secret = hook["config"].get("secret")
    if secret:
        for name, algorithm in (("X-Hub-Signature", "sha1"), ("X-Hub-Signature-256", "sha256")):
            digest = hmac.new(secret.encode(), content, getattr(hashlib, algorithm)).hexdigest()
            headers[name] = f"{algorithm}={digest}"
    return headers


class Deliverer:
    """Sends what is written down, hooks beside one another, each hook's deliveries in order unless `at_once` is set."""

    def __init__(self, store: Store, limit: float) -> None:
        self._store, self._limit = store, limit
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def wake(self) -> None:
        """Start sending what waits."""
        for hook in {self._hook_of(one) for one in self._store.everywhere("outbox")}:
            if hook and hook not in self._tasks:
                self._tasks[hook] = asyncio.get_running_loop().create_task(self._work_off(hook))

    async def drain(self) -> None:
        """Return when nothing waits any more."""
        while self._tasks:
            await asyncio.gather(*self._tasks.values())

    async def close(self) -> None:
        """Stop; what waits is sent at the next start."""
        for task in list(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _work_off(self, hook: int) -> None:
        try:
            await self._send_all(hook)
        finally:
            # In the same step that found nothing more to send, so that no wake-up in between is lost.
            self._tasks.pop(hook, None)

    def _hook_of(self, marker: Record) -> int:
        """The hook of a delivery that waits; 0 if it is gone."""
        if marker.get("hook"):
            return int(marker["hook"])
        delivery = self._store.by_id("delivery", marker.parent)  # written by an older version
        return delivery.parent if delivery else 0

    async def _send_all(self, hook: int) -> None:
        import httpx

        record = self._store.by_id("hook", hook)
        verify = record is None or str(record["config"].get("insecure_ssl", "0")) != "1"
        # How long a receiver may take is `_limit`, which ends a delivery before the client does: its own are 5 s.
        async with httpx.AsyncClient(verify=verify, trust_env=False, timeout=2 * self._limit) as client:
            while waiting := [one for one in self._store.everywhere("outbox") if self._hook_of(one) == hook]:
                due = [one for one in waiting if one.get("not_before", 0.0) <= time.time()]
                if not due:
                    await asyncio.sleep(max(0.0, min(one["not_before"] for one in waiting) - time.time()))
                together = due[: _at_once(self._store)]
                if not all(await asyncio.gather(*(self._one(hook, marker, client) for marker in together))):
                    return

    async def _one(self, hook: int, marker: Record, client: "httpx.AsyncClient") -> bool:
        """Send one delivery, or have it lost or wait; False if its hook is gone, and with it all that waits."""
        record, delivery = self._store.by_id("hook", hook), self._store.by_id("delivery", marker.parent)
        if record is None or delivery is None:
            return record is not None
        with self._store.transaction():
            fate = set[str]() if "fate" in marker.body else _fate(self._store, delivery)
            fate |= set(marker.get("fate", ()))
            later = time.time() + faults(self._store)["delay_seconds"]
            if "delayed" in fate and "fate" not in marker.body:
                _count(self._store, ["delayed"])
                self._store.update(marker, {"not_before": later, "fate": sorted(fate)})
                return True
        if "lost" in fate:
            outcome = self._outcome(record, delivery) | _unanswered("failed to connect to host: lost")
        else:
            outcome = await self._send(record, delivery, client)
            if "duplicated" in fate:
                await self._send(record, delivery, client)
        counted = [*(fate & {"lost", "duplicated"}), "sent", *(["redelivered"] if delivery["redelivery"] else [])]
        with self._store.transaction():
            _count(self._store, counted)
            if self._store.by_id("delivery", delivery.id):
                self._store.update(delivery, outcome)
                self._store.delete(marker)
        return True

    def _content(self, hook: Record, delivery: Record) -> bytes:
        import httpx

        text = payload_of(self._store, delivery)
        form = hook["config"].get("content_type") == "form"
        return str(httpx.QueryParams({"payload": text})).encode() if form else text.encode()

    def _outcome(self, hook: Record, delivery: Record) -> Json:
        headers = headers_of(hook, delivery, self._content(hook, delivery))
        return {"delivered_at": self._store.now(), "request_headers": headers}

    async def _send(self, hook: Record, delivery: Record, client: "httpx.AsyncClient") -> Json:
        import httpx

        started, outcome = time.perf_counter(), self._outcome(hook, delivery)
        try:
            async with asyncio.timeout(self._limit):
                answer = await client.post(
                    hook["config"]["url"],
                    content=self._content(hook, delivery),
                    headers=outcome["request_headers"],
                )
            outcome |= {
                "status_code": answer.status_code,
                "status": "OK" if answer.is_success else f"Invalid HTTP Response: {answer.status_code}",
                "response_headers": dict(answer.headers),
                "response_payload": answer.text[:_LARGEST_ANSWER],
            }
        except TimeoutError:
            outcome |= _unanswered("timed out")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            outcome |= _unanswered(f"failed to connect to host: {type(error).__name__}")
        outcome["duration"] = round(time.perf_counter() - started, 3)
        LOG.info(
            "%s",
            json.dumps(
                {"event": "delivery", "hook": hook.id, "name": delivery["event"], "code": outcome["status_code"]}
            ),
        )
        return outcome


def _unanswered(status: str) -> Json:
    return {"status_code": 0, "status": status, "response_headers": {}, "response_payload": ""}
