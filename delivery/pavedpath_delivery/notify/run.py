"""What `pavedpath notify` does: check, remember, send."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pavedpath_delivery.kit.addresses import is_loopback
from pavedpath_delivery.kit.errors import DeliveryError, Exit
from pavedpath_delivery.notify.ledger import Entry, Ledger
from pavedpath_delivery.notify.messages import Channel, Notice, slack, slack_problems, webhook
from pavedpath_delivery.notify.send import Delivery, Sender, key

if TYPE_CHECKING:
    from rich.console import Console

_LONGEST_URL = 2000


class Outcome(StrEnum):
    """What became of it."""

    SENT = "sent"
    KNOWN = "already sent"
    DRY = "would be sent"
    FAILED = "not sent"


@dataclass(frozen=True)
class Told:
    """The report of the command."""

    outcome: Outcome
    notice: Notice
    id: str = ""
    attempts: int = 0
    message: Mapping[str, Any] = field(default_factory=dict[str, Any])
    why: str = ""

    @property
    def code(self) -> Exit:
        """The exit code: a failure that is reported here was to be let pass."""
        return Exit.OK

    def document(self) -> Mapping[str, Any]:
        """Return the whole result; neither address nor secret."""
        return {
            "outcome": str(self.outcome),
            "event": str(self.notice.event),
            "title": self.notice.title,
            "id": self.id or None,
            "attempts": self.attempts,
            "message": self.message or None,
            "why": self.why or None,
        }

    def show(self, console: "Console") -> None:
        """Print it for people."""
        console.print(f"{self.outcome}: {self.notice.title}{f' ({self.why})' if self.why else ''}", markup=False)
        if self.outcome is Outcome.DRY:
            console.print(json.dumps(self.message, indent=2, ensure_ascii=False), markup=False)

    def summary(self) -> str:
        """Return Markdown for a notification that failed; the job's own summary tells the rest."""
        return f"> **Warning** Nobody was notified: {self.why}\n" if self.outcome is Outcome.FAILED else ""

    def outputs(self) -> Mapping[str, str]:
        """Return the output `sent`."""
        return {"sent": "true" if self.outcome is Outcome.SENT else "false"}


@dataclass(frozen=True)
class Plan:
    """A notification that can be sent; nothing was sent yet.

    Args:
        channel: where to.
        notice: what.
        environ: has NOTIFY_URL and NOTIFY_SECRET.
        window: how long the same notification is told once.
    """

    channel: Channel
    notice: Notice
    environ: Mapping[str, str] = field(repr=False)
    window: timedelta = timedelta(hours=1)

    def message(self) -> dict[str, Any]:
        """Return what is sent.

        Raises:
            DeliveryError: Slack would refuse it.
        """
        if self.channel is Channel.WEBHOOK:
            return webhook(self.notice)
        made = slack(self.notice)
        if problems := list(slack_problems(made)):
            raise DeliveryError(f"Slack would refuse this message: {'; '.join(problems)}.", Exit.USAGE)
        return made

    def address(self) -> str:
        """Return where to send it.

        Raises:
            DeliveryError: there is none, or no safe one; does not say it.
        """
        found = self.environ.get("NOTIFY_URL", "")
        if not found:
            raise DeliveryError("There is no NOTIFY_URL in the environment. Fix: set it from a secret.", Exit.USAGE)
        if not _is_safe(found):
            raise DeliveryError(
                "NOTIFY_URL is no https address. Fix: set it to the channel's address, https://…", Exit.USAGE
            )
        return found

    def secret(self) -> bytes:
        """Return what signs it; empty for Slack.

        Raises:
            DeliveryError: a webhook without a secret: its receiver could not tell who sent it.
        """
        if self.channel is Channel.SLACK:
            return b""
        found = self.environ.get("NOTIFY_SECRET", "")
        if not found:
            raise DeliveryError(
                "There is no NOTIFY_SECRET in the environment, by which the receiver knows the sender. Fix: set it from"
                " a secret.",
                Exit.USAGE,
            )
        return key(found)

    @property
    def same(self) -> str:
        """What makes two notifications the same."""
        told = self.notice
        parts = [str(self.channel), told.application, told.environment, told.version, str(told.event)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def new_id(self, now: datetime) -> str:
        """Return the id of a notification that is first told now; the same all through a window."""
        turn = int(now.timestamp() // self.window.total_seconds())
        return "msg_" + hashlib.sha256(f"{self.same}.{turn}".encode()).hexdigest()[:32]


def problems(notice: Notice) -> list[str]:
    """Return what is wrong with a notice that cannot be told."""
    named = {"--app": notice.application, "--environment": notice.environment, "--version": notice.version}
    found = [f"{name} is empty" for name, value in named.items() if not value.strip()]
    if notice.url:
        parts = _split(notice.url)
        if parts is None or parts.scheme not in ("https", "http") or not parts.hostname:
            found.append("--url is no http or https address")
        elif len(notice.url) > _LONGEST_URL:
            found.append(f"--url has more than {_LONGEST_URL} characters")
    return found


def notify(plan: Plan, open_sender: Callable[[str], Sender], ledger: Ledger | None) -> Told:
    """Tell it, unless it was told already.

    Args:
        plan: what to tell.
        open_sender: makes the sender for an address.
        ledger: what was told already; None to remember nothing.

    Raises:
        DeliveryError: it could not be told.
    """
    message, address, secret = plan.message(), plan.address(), plan.secret()
    sender = open_sender(address)
    body = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
    if ledger is None:
        now = sender.clock.now()
        identity = plan.new_id(now)
        return Told(Outcome.SENT, plan.notice, identity, sender.send(Delivery(body, identity, secret)))
    with ledger.alone():
        now = sender.clock.now()
        known = ledger.find(plan.same, now)
        if known and known.taken:
            return Told(Outcome.KNOWN, plan.notice, known.id)
        entry = known or Entry(plan.new_id(now), now, taken=False)
        ledger.note(plan.same, entry, now)
        attempts = sender.send(Delivery(body, entry.id, secret))
        ledger.note(plan.same, Entry(entry.id, entry.at, taken=True), sender.clock.now())
    return Told(Outcome.SENT, plan.notice, entry.id, attempts)


def _is_safe(address: str) -> bool:
    parts = _split(address)
    if parts is None or not parts.hostname:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))


def _split(address: str) -> Any:
    try:
        parts = urlsplit(address)
        _ = parts.port  # it is read only here: one that is no number is no address either
    except ValueError:
        return None
    return parts
