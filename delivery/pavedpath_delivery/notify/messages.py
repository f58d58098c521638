"""What a notification says, for Slack and for programs. Pure.

Sources: Slack, "Block Kit" reference (limits of blocks and text objects), "Formatting text for app surfaces" (what is
escaped); Standard Webhooks, specification (shape of a payload).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from pavedpath_delivery.kit.documents import Properties, fields, objects

MAX_BLOCKS = 50
MAX_HEADER = 150
MAX_SECTION = 3000
MAX_FIELD = 2000
MAX_FIELDS = 10
MAX_CONTEXT = 10
MAX_TEXT = 4000  # Slack cuts at 40,000 and asks for no more than this
_CUT = "…"


class Channel(StrEnum):
    """Where to."""

    SLACK = "slack"
    WEBHOOK = "webhook"


class Event(StrEnum):
    """What happened."""

    DEPLOYED = "deployed"
    FAILED = "failed"
    ROLLED_BACK = "rolled-back"
    WAITING = "waiting"
    RECOVERED = "recovered"


_SAID: Mapping[Event, tuple[str, str]] = {
    Event.DEPLOYED: (":white_check_mark:", "{what} is deployed to {where}"),
    Event.FAILED: (":x:", "{what} failed to deploy to {where}"),
    Event.ROLLED_BACK: (":leftwards_arrow_with_hook:", "{what} is rolled back in {where}"),
    Event.WAITING: (":hourglass_flowing_sand:", "{what} waits for approval for {where}"),
    Event.RECOVERED: (":large_green_circle:", "{what} runs well again in {where}"),
}


@dataclass(frozen=True)
class Notice:
    """What is told.

    Args:
        event: what happened.
        application: what it happened to.
        environment: where.
        version: what was deployed, for example v1.4.0.
        at: when, with a time zone.
        url: page with more, usually that of the run; empty for none.
        text: more words, plain text; empty for none.
    """

    event: Event
    application: str
    environment: str
    version: str
    at: datetime
    url: str = ""
    text: str = ""

    @property
    def title(self) -> str:
        """One sentence."""
        return _SAID[self.event][1].format(what=f"{self.application} {self.version}", where=self.environment)


def slack(notice: Notice) -> dict[str, Any]:
    """Return the message for an incoming webhook of Slack; what is too long for Slack is cut."""
    icon = _SAID[notice.event][0]
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": _cut(f"{icon} {notice.title}", MAX_HEADER)}},
        {
            "type": "section",
            "fields": [
                _words(f"*{name}*\n", value, MAX_FIELD)
                for name, value in (
                    ("Application", notice.application),
                    ("Environment", notice.environment),
                    ("Version", notice.version),
                    ("Event", str(notice.event)),
                )
            ],
        },
    ]
    if notice.text:
        blocks.append({"type": "section", "text": _words("", notice.text, MAX_SECTION)})
    if notice.url:
        # A link, no button: a button needs an app that answers it.
        link = {"type": "mrkdwn", "text": f"<{_address(notice.url)}|Open>"}
        blocks.append({"type": "section", "text": link})
    stamp = int(notice.at.timestamp())
    when = f"<!date^{stamp}^{{date_short_pretty}} {{time}}|{notice.at.isoformat(timespec='seconds')}>"
    blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": when}]})
    return {"text": _escaped(notice.title, MAX_TEXT), "blocks": blocks}


def webhook(notice: Notice) -> dict[str, Any]:
    """Return the payload for a program."""
    data = {
        "application": notice.application,
        "environment": notice.environment,
        "version": notice.version,
        "url": notice.url or None,
        "text": notice.text or None,
    }
    return {"type": f"deployment.{notice.event}", "timestamp": notice.at.isoformat(), "data": data}


def slack_problems(message: Properties) -> Iterator[str]:
    """Yield what Slack would refuse in a message."""
    blocks = objects(message.get("blocks"))
    if not 1 <= len(blocks) <= MAX_BLOCKS:
        yield f"{len(blocks)} blocks, but 1 to {MAX_BLOCKS} are allowed"
    yield from _length("text", message.get("text"), MAX_TEXT)
    for place, block in enumerate(blocks):
        yield from _block_problems(f"block {place} ({block.get('type')})", block)


def _block_problems(where: str, block: Properties) -> Iterator[str]:
    match block.get("type"):
        case "header":
            text = fields(block.get("text"))
            if text.get("type") != "plain_text":
                yield f"{where}: a header is plain_text"
            yield from _length(where, text.get("text"), MAX_HEADER)
        case "section":
            listed = objects(block.get("fields"))
            if not listed and "text" not in block:
                yield f"{where}: it has neither text nor fields"
            if "text" in block:
                yield from _length(where, fields(block["text"]).get("text"), MAX_SECTION)
            yield from _items(where, listed, MAX_FIELDS, MAX_FIELD)
        case "context":
            yield from _items(where, objects(block.get("elements")), MAX_CONTEXT, MAX_SECTION)
        case other:
            yield f"{where}: {other} is no block that is used here"


def _items(where: str, listed: Sequence[Properties], most: int, longest: int) -> Iterator[str]:
    if len(listed) > most:
        yield f"{where}: {len(listed)} items, but {most} are allowed"
    for each in listed:
        yield from _length(where, each.get("text"), longest)


def _length(where: str, text: Any, longest: int) -> Iterator[str]:
    if not isinstance(text, str) or not 1 <= len(text) <= longest:
        yield f"{where}: {len(text) if isinstance(text, str) else 'no'} characters, but 1 to {longest} are allowed"


def _words(before: str, text: str, longest: int) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": before + _escaped(text, longest - len(before))}


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - len(_CUT)] + _CUT


_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def _escaped(text: str, longest: int) -> str:
    """Return text in which nothing is a mention or a link, cut between two characters and not within an entity."""
    whole = "".join(_ENTITIES.get(each, each) for each in text)
    if len(whole) <= longest:
        return whole
    parts: list[str] = []
    room = longest - len(_CUT)
    for each in text:
        part = _ENTITIES.get(each, each)
        room -= len(part)
        if room < 0:
            break
        parts.append(part)
    return "".join(parts) + _CUT


def _address(url: str) -> str:
    """Return a URL that cannot end the link that it stands in."""
    return url.replace("&", "&amp;").replace("<", "%3C").replace(">", "%3E").replace("|", "%7C")
