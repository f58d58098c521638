"""Webhook deliveries: written down with the change that caused them, sent after it is committed.

A delivery that a kill interrupts is sent at the next start, so after a kill it may arrive twice.
"""

import asyncio
import hashlib
import hmac
import json
import logging
import time
from uuid import uuid4

from pavedpath_sandbox.github.call import Call, Event
from pavedpath_sandbox.github.render import account, organization_of, organization_simple
from pavedpath_sandbox.github.store import Json, Record, Store

LOG = logging.getLogger("pavedpath_sandbox.github")
KEPT = 200
"""Deliveries kept for each hook; GitHub forgets them after a few days."""
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
    text = json.dumps(event.payload)
    body: Json = {
        "guid": str(uuid4()),
        "event": event.name,
        "action": event.payload.get("action"),
        "repository": event.repository.id if event.repository else None,
        "redelivery": False,
        "payload": text,
    }
    for old in store.children("delivery", hook.id)[: -KEPT + 1]:
        store.delete(old)
    return _queued(store, hook, body)


def redeliver(store: Store, hook: Record, delivery: Record) -> Record:
    """Write down another attempt at a delivery: the same guid and payload, an id of its own."""
    kept = ("guid", "event", "action", "repository", "payload")
    return _queued(store, hook, {name: delivery[name] for name in kept} | {"redelivery": True})


def _queued(store: Store, hook: Record, body: Json) -> Record:
    record = store.insert("delivery", hook.id, str(uuid4()), body)
    store.insert("outbox", record.id, "", {})
    return record


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
    """Sends what is written down, each hook's deliveries in order, hooks beside one another."""

    def __init__(self, store: Store, limit: float) -> None:
        self._store, self._limit = store, limit
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def wake(self) -> None:
        """Start sending what waits."""
        waiting = [self._store.by_id("delivery", one.parent) for one in self._store.everywhere("outbox")]
        for hook in {one.parent for one in waiting if one}:
            if hook not in self._tasks:
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

    async def _send_all(self, hook: int) -> None:
        while True:
            waiting = [
                (marker, delivery)
                for marker in self._store.everywhere("outbox")
                if (delivery := self._store.by_id("delivery", marker.parent)) and delivery.parent == hook
            ]
            record = self._store.by_id("hook", hook)
            if not waiting or record is None:
                return
            marker, delivery = waiting[0]
            outcome = await self._send(record, delivery)
            with self._store.transaction():
                if self._store.by_id("delivery", delivery.id):
                    self._store.update(delivery, outcome)
                    self._store.delete(marker)

    async def _send(self, hook: Record, delivery: Record) -> Json:
        import httpx

        config, started = hook["config"], time.perf_counter()
        content = delivery["payload"].encode()
        if config.get("content_type") == "form":
            content = str(httpx.QueryParams({"payload": delivery["payload"]})).encode()
        headers = headers_of(hook, delivery, content)
        outcome: Json = {"delivered_at": self._store.now(), "request_headers": headers}
        try:
            verify = str(config.get("insecure_ssl", "0")) != "1"
            async with asyncio.timeout(self._limit), httpx.AsyncClient(verify=verify, trust_env=False) as client:
                answer = await client.post(config["url"], content=content, headers=headers)
            good = answer.is_success
            outcome |= {
                "status_code": answer.status_code,
                "status": "OK" if good else f"Invalid HTTP Response: {answer.status_code}",
                "response_headers": dict(answer.headers),
                "response_payload": answer.text[:_LARGEST_ANSWER],
            }
        except TimeoutError:
            outcome |= {"status_code": 0, "status": "timed out", "response_headers": {}, "response_payload": ""}
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            what = f"failed to connect to host: {type(error).__name__}"
            outcome |= {"status_code": 0, "status": what, "response_headers": {}, "response_payload": ""}
        outcome["duration"] = round(time.perf_counter() - started, 3)
        LOG.info(
            "%s",
            json.dumps(
                {"event": "delivery", "hook": hook.id, "name": delivery["event"], "code": outcome["status_code"]}
            ),
        )
        return outcome
