"""The four figures by week as SVG text, drawn from figures alone: no library, no script, no font, no colour scheme.

The plots inherit the text colour of the page that they stand in, have a title and a description for who cannot see
them, and name each value in a tooltip.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from pavedpath_delivery.dora.core import Figures, Week
from pavedpath_delivery.dora.wording import duration, rate

_WIDTH, _HEIGHT = 720, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 40, 36
_TICKS = 4
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_DATES = 8  # labels that fit below the axis without touching
_DURATIONS_S = (60.0, 300.0, 900.0, 3600.0, 3 * 3600.0, 6 * 3600.0, 12 * 3600.0)
_DAY_S = 86400.0


@dataclass(frozen=True)
class _Plot:
    name: str
    title: str
    unit: str
    value: Callable[[Week], float | None]
    words: Callable[[float | None], str]
    step: Callable[[float], float]


def _step(highest: float) -> float:
    """Return a round distance between ticks, so that `_TICKS` of them reach the highest value."""
    if highest <= 0:
        return 1.0
    size = 1.0
    while size * 10 <= highest / _TICKS:
        size *= 10
    while size > highest / _TICKS:
        size /= 10
    return next(size * factor for factor in _STEPS if size * factor * _TICKS >= highest)


def _count_step(highest: float) -> float:
    return max(1.0, _step(highest))


def _share_step(highest: float) -> float:
    """A share is 100 % at most, also where there is none yet."""
    return min(_step(highest), 1 / _TICKS)


def _duration_step(highest: float) -> float:
    fitting = [step for step in _DURATIONS_S if step * _TICKS >= highest]
    return fitting[0] if fitting else _DAY_S * _count_step(highest / _DAY_S)


def _failure_rate(week: Week) -> float | None:
    return week.failures / week.deployments if week.deployments else None


_PLOTS = (
    _Plot(
        "deployment-frequency",
        "Deployment frequency",
        "successful deployments of changes a week",
        lambda week: float(week.successes),
        lambda value: f"{value or 0:.0f}",
        _count_step,
    ),
    _Plot(
        "lead-time",
        "Lead time for changes",
        "median a week, from commit to production",
        lambda week: week.lead_time.median,
        duration,
        _duration_step,
    ),
    _Plot(
        "change-failure-rate", "Change failure rate", "share of deployments a week", _failure_rate, rate, _share_step
    ),
    _Plot(
        "time-to-restore",
        "Time to restore",
        "median a week, by the start of the outage",
        lambda week: week.restore.median,
        duration,
        _duration_step,
    ),
)


def plots(found: Figures) -> Mapping[str, str]:
    """Return the four plots by name: deployment-frequency, lead-time, change-failure-rate, time-to-restore."""
    return {each.name: _draw(each, found.weeks) for each in _PLOTS}


def _draw(plot: _Plot, weeks: Sequence[Week]) -> str:
    values = [plot.value(week) for week in weeks]
    step = plot.step(max((value for value in values if value is not None), default=0.0))
    top = step * _TICKS
    title = f"dora-{plot.name}"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"'
        f' aria-labelledby="{title}-title {title}-description" font-family="system-ui, sans-serif" font-size="12"'
        ' fill="currentColor">',
        f'<title id="{title}-title">{escape(plot.title)}</title>',
        f'<desc id="{title}-description">{escape(_description(plot, weeks, values))}</desc>',
        f'<text x="{_LEFT}" y="18" font-size="14" font-weight="600">{escape(plot.title)}</text>',
        f'<text x="{_WIDTH - _RIGHT}" y="18" text-anchor="end" opacity="0.7">{escape(plot.unit)}</text>',
        *_scale(plot, step),
        *_bars(plot, weeks, values, top),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _description(plot: _Plot, weeks: Sequence[Week], values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return f"{plot.unit}: no values in {len(weeks)} weeks."
    first, last = weeks[0].begins, weeks[-1].begins
    return (
        f"{plot.unit}, weeks of {first:%Y-%m-%d} to {last:%Y-%m-%d}:"
        f" {plot.words(min(known))} at least, {plot.words(max(known))} at most."
    )


def _scale(plot: _Plot, step: float) -> list[str]:
    lines: list[str] = []
    for tick in range(_TICKS + 1):
        y = _y(tick / _TICKS)
        lines += [
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:g}" y2="{y:g}" stroke="currentColor"'
            f' stroke-opacity="{0.6 if tick == 0 else 0.15:g}"/>',
            f'<text x="{_LEFT - 6}" y="{y + 4:g}" text-anchor="end">{escape(plot.words(step * tick))}</text>',
        ]
    return lines


def _bars(plot: _Plot, weeks: Sequence[Week], values: Sequence[float | None], top: float) -> list[str]:
    slot = (_WIDTH - _LEFT - _RIGHT) / max(1, len(weeks))
    width = min(40.0, slot * 0.7)
    apart = -(-len(weeks) // _DATES)
    lines: list[str] = []
    for place, (week, value) in enumerate(zip(weeks, values, strict=True)):
        middle = _LEFT + slot * (place + 0.5)
        if value is not None:
            y = _y(value / top)
            lines.append(
                f'<rect x="{middle - width / 2:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_y(0) - y:.1f}"'
                f' fill="#2f6fbb"><title>{week.begins:%Y-%m-%d}: {escape(plot.words(value))}</title></rect>'
            )
        if place % apart == 0:
            label = f"{week.begins:%d %b}"
            lines.append(f'<text x="{middle:.1f}" y="{_HEIGHT - 14}" text-anchor="middle">{label}</text>')
    return lines


def _y(share: float) -> float:
    return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - share)
