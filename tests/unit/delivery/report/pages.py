"""A page with something in every section, and hostile names in all of it."""

from datetime import UTC, datetime, timedelta

from pavedpath_delivery.dora.core import Change, Deployment, Outcome, Window
from pavedpath_delivery.dora.run import measure
from pavedpath_delivery.drift.model import Audit, Finding, Note, Severity, Unchecked, conclude
from pavedpath_delivery.report.page import Attempt, Environment, Evidence, Part, Release, Running, Unread
from pavedpath_delivery.report.run import Page

NOW = datetime(2026, 4, 6, 12, tzinfo=UTC)
HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>{{7*7}}"
DIGEST = "sha256:" + "0123456789abcdef" * 4


def records(name: str) -> list[Deployment]:
    outcomes = [Outcome.SUCCESS, Outcome.SUCCESS, Outcome.FAILURE, Outcome.SUCCESS]
    found: list[Deployment] = []
    for number in range(40):
        ended = NOW - timedelta(days=88 - 2 * number)
        change = Change(f"{number:040x}", ended - timedelta(hours=5 + number % 9))
        outcome = outcomes[number % 4]
        found.append(Deployment(str(number), name, "prod", f"{number:040x}", ended, outcome, changes=(change,)))
    return found


def page(name: str = "orders") -> Page:
    """Return a page about one application; `name` stands wherever somebody chose a name."""
    attempt = Attempt("1", f"acme/{name}", "prod", NOW - timedelta(days=1), "a" * 40, name, name, "success", "rollback")
    failed = Attempt(
        "2", f"acme/{name}", "dev", NOW, "b" * 40, "main", "alice", "failure", "change", "https://x.test/1"
    )
    image = f"registry.test/acme/orders/api@{DIGEST}"
    release = Release("prod", "orders", name, "orders-1.4.2", "1.4.2", 7, "deployed", attempt.when, (image,) * 2)
    finding = Finding("force-push", f"acme/{name}: branch main", name, "blocked", "GitHub", "PUT /x", Severity.HIGH)
    medium = Finding("webhook-secret", f"acme/{name}: webhook", name, "signed", "GitHub", "PUT /y", Severity.MEDIUM)
    audit = Audit((finding, medium), (Unchecked("acme/orders: keys", f"403: {name}"),), (Note("acme/orders", name),))
    window = Window(NOW - timedelta(days=90), NOW)
    return Page(
        generated=NOW,
        environments=Part((Environment(f"acme/{name}", "prod", (f"branches {name}",)),)),
        running=Part(
            (
                Running("dev", name, None, failed),
                Running("prod", name, release, attempt, "dev", 3),
            ),
            (Unread(f"release orders/{name}", f"403: {name}"),),
        ),
        history=Part((failed, attempt)),
        measured=measure(records(name), window, "prod"),
        measured_unread=(),
        drift=conclude([audit], (), NOW.date()),
        evidence=Part((Evidence(image, (("scanned", "2026-04-05 12:00 UTC"),), 1), Evidence(name, ()))),
        repositories=(f"acme/{name}",),
        stacks=("dev",),
    )
