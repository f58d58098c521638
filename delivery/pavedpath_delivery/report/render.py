"""The page as one HTML text: nothing is fetched by it, and no script is in it. Pure."""

from datetime import datetime
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from pavedpath_delivery.dora.plots import plots
from pavedpath_delivery.dora.run import rows
from pavedpath_delivery.drift.run import headline
from pavedpath_delivery.report.page import Release
from pavedpath_delivery.report.run import Page

_COMMIT = 10
"""Digits of a commit or digest that are shown; the whole one stands in its title."""


def render(page: Page) -> str:
    """Return the page. Every value is escaped: names come from people and from other systems."""
    total = page.measured.total if page.measured else None
    return _template().render(
        page=page,
        moment=_moment,
        short=_short,
        digests=_digests,
        figures=rows(total) if total else [],
        total=total,
        # Drawn by this package, which escapes what it writes into them.
        plots=[Markup(text) for text in plots(total).values()] if total and total.deployments else [],  # noqa: S704  see above
        headline=headline(page.drift),
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("pavedpath_delivery.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2")


def _moment(when: datetime | None) -> str:
    return f"{when:%Y-%m-%d %H:%M} UTC" if when else "unknown"


def _short(commit: str) -> str:
    return commit[:_COMMIT]


def _digests(release: Release | None) -> list[tuple[str, str]]:
    """Return the digest and the name of each image; an image without a digest is told by its tag."""
    found: list[tuple[str, str]] = []
    for image in release.images if release else ():
        name, _, digest = image.partition("@sha256:")
        found.append((f"sha256:{digest[:_COMMIT]}" if digest else "no digest", image if digest else name))
    return found
