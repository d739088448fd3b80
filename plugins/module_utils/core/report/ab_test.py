# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An A/B test in the reports: its result as JSON, and the difference with its interval over time as a section of the HTML page."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, Optional

from ..sequential import share_bounds
from ..units import show_percent
from . import journal as j
from . import svg, wording
from .svg import tag, text
from .view import View, view

SAYS = {
    "win": ("wins", wording.GOOD), "lose": ("loses", wording.WARN), "no_difference": ("no difference", wording.QUIET), "continue": ("goes on", wording.QUIET),
    "mismatch": ("not judged", wording.BAD), "undecided": ("undecided", wording.WARN),
}  # fmt: skip
"""Each verdict about the new variant in words, with its tone."""

TOP, BOTTOM, HEIGHT = 18.0, 196.0, 220.0
WIDEST = 2.5
"""The axis holds the last interval so many times: the first ones are wider than anything worth seeing."""


def results(journal: j.Journal) -> tuple[j.Trial, ...]:
    """What the test said, the result last; empty where there was none."""
    return journal.all(j.Trial)


def render(journal: j.Journal) -> str:
    """``ab_test_report.json``: how long, both variants, the verdict and what it rests on. Empty where there was no test."""
    every = results(journal)
    if not every:
        return ""
    last, seen = every[-1], view(journal)
    stable = next((name.rsplit(".", 1)[-1] for name in last.measured if name.rsplit(".", 1)[-1] != seen.candidate), "stable")
    outcome = journal.outcome
    document = {
        "schema": 1, "name": seen.release.name, "release": seen.release.id, "test_duration": _hours(last.seconds), "test_seconds": last.seconds,
        "verdict": last.says, "decision": last.decision, "reason": last.reason, "outcome": outcome.outcome if outcome else "",
        "version_a": _variant(seen.release.previous, last.base_conversions, last.base_visitors, last, stable),
        "version_b": _variant(seen.release.version, last.conversions, last.visitors, last, seen.candidate),
        "difference": {"value": last.difference, "low": last.low, "high": last.high, "confidence": last.confidence},
        "relative_difference": _relative(last), "p_value": last.p,
        "sample_ratio": {"wanted": last.part, "seen": _part(last), "p_value": last.p_split},
        "design": {"mde": last.mde, "alpha": round(1 - last.confidence / 100, 9), "power": last.power, "visitors_planned": last.needed},
    }  # fmt: skip
    return json.dumps(document, indent=1) + "\n"


def _variant(version: str, conversions: int, visitors: int, last: j.Trial, track: str) -> dict[str, Any]:
    low, high = _bounds(conversions, visitors, last.confidence)
    return {
        "version": version, "visitors": visitors, "conversions": conversions, "conversion_rate": conversions / visitors if visitors else None,
        "conversion_rate_low": low, "conversion_rate_high": high, "error_rate": last.measured.get(f"error_rate.{track}"),
        "avg_response_time": last.measured.get(f"latency_mean.{track}"), "p95_response_time": last.measured.get(f"latency.{track}"),
    }  # fmt: skip


def _bounds(conversions: int, visitors: int, confidence: float) -> tuple[Optional[float], Optional[float]]:
    if not 0 <= conversions <= visitors or not visitors:
        return None, None
    return share_bounds(conversions, visitors, min(0.5, max(1e-6, 1 - confidence / 100)))


def _part(last: j.Trial) -> Optional[float]:
    whole = last.visitors + last.base_visitors
    return last.visitors / whole if whole else None


def _relative(last: j.Trial) -> Optional[float]:
    if last.difference is None or not last.base_conversions or not last.base_visitors:
        return None
    return last.difference * last.base_visitors / last.base_conversions


def _hours(seconds: float) -> str:
    """``24h``, ``90m``, ``45s``: as the guide has it, and as a release file would."""
    if seconds >= 3600:
        return f"{seconds / 3600:.1f}".rstrip("0").rstrip(".") + "h"
    return f"{seconds / 60:.0f}m" if seconds >= 120 else f"{seconds:.0f}s"


def section(seen: View, points: int) -> str:
    """The part of the HTML page; empty where there was no test."""
    every = results(seen.journal)
    if not every:
        return ""
    last = every[-1]
    words, tone = SAYS.get(last.says, (last.says or "not judged", wording.QUIET))
    head = f'<div class="head"><h2>A/B test</h2><span class="badge {tone}">{text(f"{seen.release.version} {words}".strip())}</span></div>'
    figure = _figure(seen, _drawable(every, points))
    drawn = f"<figure>{figure}</figure>{LEGEND}" if figure else ""
    return f'<section>{head}<div class="metric"><p>{text(last.reason)}</p></div>{_table(seen, last)}{drawn}</section>'


def _table(seen: View, last: j.Trial) -> str:
    whole = last.visitors + last.base_visitors
    rows = []
    variants = (("A", seen.release.previous, 1 - last.part, last.base_conversions, last.base_visitors),
                ("B", seen.release.version, last.part, last.conversions, last.visitors))
    for letter, version, part, good, came in variants:
        low, high = _bounds(good, came, last.confidence)
        between = f"{show_percent(100 * low)} to {show_percent(100 * high)}" if low is not None and high is not None else "\u2013"
        share = f"{show_percent(100 * came / whole)} of {show_percent(100 * part)}" if whole else "\u2013"
        cells = [wording.count(came), share, wording.count(good), show_percent(100 * good / came) if came else "\u2013", between]
        rows.append(f"<tr><td>{letter}: {text(version or '?')}</td>" + "".join(f'<td class="num">{text(cell)}</td>' for cell in cells) + "</tr>")
    heads = ("visitors", "seen of wanted share", "conversions", "conversion", f"{last.confidence:g} % interval")
    titles = '<th scope="col">variant</th>' + "".join(f'<th scope="col" class="num">{text(name)}</th>' for name in heads)
    return f'<div class="scroll"><table><thead><tr>{titles}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _drawable(every: Sequence[j.Trial], points: int) -> list[j.Trial]:
    """At most so many of those that have a difference, the last one among them."""
    found = [item for item in every if item.difference is not None and item.low is not None and item.high is not None]
    step = max(1, math.ceil(len(found) / max(2, points)))
    return [item for index, item in enumerate(found) if index % step == 0 or index == len(found) - 1]


def _figure(seen: View, shown: Sequence[j.Trial]) -> str:
    if not shown:
        return ""
    last = shown[-1]
    mde = last.mde or 0.0
    reach = max(abs(last.low or 0.0), abs(last.high or 0.0), mde)
    widest = max(max(abs(item.low or 0.0), abs(item.high or 0.0)) for item in shown)
    top, every = svg.nice(max(1e-9, min(widest, WIDEST * reach)) * 1.05)
    middle = (TOP + BOTTOM) / 2

    def y(value: float) -> float:
        return middle - (middle - TOP) * min(1.0, max(-1.0, value / top))

    scale = svg.axis(item.at for item in seen.journal.current)
    body = svg.time_grid(scale, TOP, BOTTOM)
    for index in range(-round(top / every), round(top / every) + 1):
        body.append(svg.line(svg.LEFT, y(index * every), svg.WIDTH - svg.RIGHT, y(index * every), "grid base" if index == 0 else "grid"))
        body.append(svg.label(svg.LEFT - 8, y(index * every) + 4, _tick(index * every), "tick", "end"))
    for bound in (mde, -mde) if mde else ():
        body.append(svg.path([(svg.LEFT, y(bound)), (svg.WIDTH - svg.RIGHT, y(bound))], "limit"))
    if len(shown) > 1:
        upper = [(scale.x(item.at), y(item.high or 0.0)) for item in shown]
        lower = [(scale.x(item.at), y(item.low or 0.0)) for item in reversed(shown)]
        body.append(svg.path([*upper, *lower], "band"))
        body.append(svg.path([(scale.x(item.at), y(item.difference or 0.0)) for item in shown], "candidate"))
    x = scale.x(last.at)
    body.append(svg.line(x, y(last.low or 0.0), x, y(last.high or 0.0), "candidate"))
    for item in shown:
        body.append(svg.mark(scale.x(item.at), y(item.difference or 0.0), "dot", "c", f"{wording.clock(item.at)} {_words(item)}: {item.reason[:160]}"))
    told = f"{wording.plural(len(shown), 'look')} at the difference of the conversion, last {_words(last)}; {SAYS.get(last.says, (last.says, ''))[0]}."
    return svg.figure("ab", HEIGHT, "Difference of the conversion over time, in points", told, body)


def _words(item: j.Trial) -> str:
    return f"{_tick(item.difference or 0.0)} points, {item.confidence:g} % {_tick(item.low or 0.0)} to {_tick(item.high or 0.0)}"


def _tick(share: float) -> str:
    value = 100 * share
    return f"{value:+.3g}" if abs(value) > 1e-9 else "0"


def _key(drawn: str, words: str) -> str:
    return tag("li", f'<svg viewBox="0 0 24 12" aria-hidden="true">{drawn}</svg>{text(words)}')


LEGEND = '<ul class="legend">' + "".join((
    _key('<path d="M1,6H23" class="candidate"/>', "conversion of B less that of A, in points"),
    _key('<rect x="1" y="1" width="22" height="10" class="band"/>', "its interval, which holds at all looks together"),
    _key('<path d="M1,6H23" class="limit"/>', "the difference that matters"),
)) + "</ul>"
