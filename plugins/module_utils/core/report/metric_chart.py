# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One figure a metric: candidate with its interval, baseline, threshold, the moment of decision, and n below, so that thin evidence looks thin."""

from __future__ import annotations

from collections.abc import Sequence

from ..units import show_percent
from . import journal as j
from . import svg, wording
from .view import View

TOP, BOTTOM, BARS, FLOOR, HEIGHT = 26.0, 168.0, 196.0, 228.0, 252.0

THIN = 300
"""Requests below which even the largest n is drawn as a part of the height: little evidence must not fill the lane."""


def metrics(view: View) -> dict[str, list[j.Look]]:
    """The looks at each metric, in the order in which the metrics were first looked at."""
    found: dict[str, list[j.Look]] = {}
    for look in view.journal.all(j.Look):
        found.setdefault(look.metric, []).append(look)
    return found


def standing(view: View, name: str, looks: Sequence[j.Look]) -> tuple[str, str]:
    """Phase and reason of a metric over the whole release: the worst of its steps, each by its verdict or else by its last look.

    A step that ended early proves nothing good: without a verdict, and with the step unfinished, its metric is inconclusive.
    """
    finished = {index for row in view.rows if row.state == "done" for index in row.steps}
    last: dict[int | None, tuple[str, str]] = {}
    for look in looks:
        early = view.outcome is not None and look.phase in ("successful", "running", "pending") and look.step is not None and look.step not in finished
        said = look.reason or wording.evidence(look)
        last[look.step] = ("inconclusive", f"ended early; last look: {said}") if early else (look.phase, said)
    for item in view.journal.all(j.Decided):
        if item.metric == name:
            last[item.step] = (item.phase, item.reason)
    order = list(wording.PHASES)
    return max(reversed(list(last.values())), key=lambda item: order.index(item[0]) if item[0] in order else 0)


def chart(view: View, name: str, looks: Sequence[j.Look], index: int, points: int) -> str:
    """The figure of one metric; at most about ``points`` looks are drawn, extremes always among them."""
    scale = svg.axis(item.at for item in view.journal.current)  # the timeline's, so that what happened at once stands in one column
    shown = thinned(looks, points)
    unit = next((look.unit for look in reversed(looks) if look.unit), "")
    top, every = _height(shown)
    body = svg.time_grid(scale, TOP, BOTTOM) + _values(top, every, unit) + _steps(view, looks, scale)
    body += _bars(shown, scale)
    body += _band(shown, scale, top)
    body += [svg.path(points_, "baseline") for points_ in _runs(shown, scale, top, baseline=True)]
    body += _threshold(shown, scale, top, unit)
    body += [svg.path(points_, "candidate") for points_ in _runs(shown, scale, top, baseline=False)]
    body += _dots(shown, scale, top)
    body += _decisions(view, name, looks, scale, top)
    return svg.figure(f"m{index}", HEIGHT, f"{name} over time", _words(view, name, looks), body)


def thinned(looks: Sequence[j.Look], points: int) -> list[j.Look]:
    """Of each bucket the lowest, the highest and the last look, and every failed one while there is room."""
    if len(looks) <= points:
        return list(looks)
    size = -(-len(looks) // max(1, points // 3))
    kept: set[int] = {0, len(looks) - 1}
    for start in range(0, len(looks), size):
        bucket = range(start, min(start + size, len(looks)))
        valued = [index for index in bucket if looks[index].value is not None]
        kept.add(bucket[-1])
        if valued:
            kept |= {min(valued, key=lambda i: looks[i].value or 0.0), max(valued, key=lambda i: looks[i].value or 0.0)}
    kept |= set([index for index, look in enumerate(looks) if look.phase == "failed"][:20])
    return [looks[index] for index in sorted(kept)]


def _height(looks: Sequence[j.Look]) -> tuple[float, float]:
    values = [value for look in looks for value in (look.value, look.baseline) if value is not None]
    limits = [limit for limit in map(wording.limit, looks) if limit is not None]
    highest = max([*values, *limits], default=1.0)
    wide = max([look.high for look in looks if look.high is not None], default=highest)
    return svg.nice(max(highest, min(wide, 1.6 * highest)) * 1.08)


def _y(value: float, top: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * min(1.0, max(0.0, value / top))


def _values(top: float, every: float, unit: str) -> list[str]:
    drawn = []
    for index in range(round(top / every) + 1):
        y = _y(index * every, top)
        drawn.append(svg.line(svg.LEFT, y, svg.WIDTH - svg.RIGHT, y, "grid base" if index == 0 else "grid"))
        drawn.append(svg.label(svg.LEFT - 8, y + 4, _tick(index * every, every, unit), "tick", "end"))
    return drawn


def _tick(value: float, every: float, unit: str) -> str:
    scale = 100.0 if unit == "share" else 1.0
    suffix = " %" if unit == "share" else f" {unit}" if unit in ("ms", "s") else ""
    text = f"{value * scale:.4f}".rstrip("0").rstrip(".") if every * scale < 1 else f"{value * scale:,.6g}"
    return (text or "0") + suffix


def _steps(view: View, looks: Sequence[j.Look], scale: svg.Axis) -> list[str]:
    """Where a step began, with its name."""
    names = {index: row.label for row in view.rows for index in row.steps}
    body, taken = [], -100.0
    for before, look in zip([None, *looks], looks):
        if before is not None and before.step == look.step:
            continue
        x = scale.x(look.at)
        if before is not None:
            body.append(svg.line(x, TOP - 10, x, FLOOR, "divider"))
        words = names.get(look.step, "") if look.step is not None else ""
        if words and x - taken > 60:
            body.append(svg.label(x + 5 if before is not None else x, TOP - 10, words[:24], "tick strong"))
            taken = x
    return body


def _runs(looks: Sequence[j.Look], scale: svg.Axis, top: float, *, baseline: bool) -> list[list[tuple[float, float]]]:
    """The line in pieces: it ends where a step ends or where nothing was measured."""
    runs: list[list[tuple[float, float]]] = [[]]
    step = None
    for look in looks:
        value = look.baseline if baseline else look.value
        if value is None or look.step != step:
            runs.append([])
        if value is not None:
            runs[-1].append((scale.x(look.at), _y(value, top)))
        step = look.step
    return [run for run in runs if run]


def _band(looks: Sequence[j.Look], scale: svg.Axis, top: float) -> list[str]:
    body: list[str] = []
    run: list[j.Look] = []
    for look in [*looks, None]:
        if look is not None and look.low is not None and look.high is not None and (not run or run[-1].step == look.step):
            run.append(look)
            continue
        if len(run) > 1:
            upper = [(scale.x(item.at), _y(item.high or 0.0, top)) for item in run]
            lower = [(scale.x(item.at), _y(item.low or 0.0, top)) for item in reversed(run)]
            body.append(svg.path([*upper, *lower], "band"))
        run = [look] if look is not None and look.low is not None and look.high is not None else []
    return body


def _threshold(looks: Sequence[j.Look], scale: svg.Axis, top: float, unit: str) -> list[str]:
    limits = [(look, limit) for look, limit in zip(looks, map(wording.limit, looks)) if limit is not None]
    if not limits:
        return []
    points: list[tuple[float, float]] = []
    for look, limit in limits:
        points += [(scale.x(look.at), points[-1][1])] if points else [(svg.LEFT, _y(limit, top))]
        points.append((scale.x(look.at), _y(limit, top)))
    points.append((svg.WIDTH - svg.RIGHT, points[-1][1]))
    words = f"limit {show_percent(100 * limits[-1][1]) if unit == 'share' else wording.quantity(limits[-1][1], unit)}"
    return [svg.path(points, "limit"), svg.label(svg.LEFT + 5, points[0][1] - 5, words, "bad-text")]


def _dots(looks: Sequence[j.Look], scale: svg.Axis, top: float) -> list[str]:
    body = []
    for look in looks:
        baseline = f", baseline {wording.quantity(look.baseline, look.unit)}" if look.baseline is not None else ""
        words = f"{wording.clock(look.at)} {wording.evidence(look)}{baseline}" + (f": {look.reason[:160]}" if look.reason else "")
        if look.value is None:
            body.append(svg.mark(scale.x(look.at), BOTTOM, "ring", "quiet", words))
        else:
            body.append(svg.mark(scale.x(look.at), _y(look.value, top), "dot", "bad" if look.phase == "failed" else "c", words))
    return body


def _bars(looks: Sequence[j.Look], scale: svg.Axis) -> list[str]:
    """n of each look as a bar below the curve."""
    if not any(look.n for look in looks):
        return [svg.label(svg.LEFT - 8, FLOOR, "n unknown", "tick", "end")] if looks else []
    most = max(THIN, *(look.n or 0 for look in looks))
    width = max(1.5, min(14.0, 0.6 * (svg.WIDTH - svg.LEFT - svg.RIGHT) / len(looks)))
    body = [svg.line(svg.LEFT, FLOOR, svg.WIDTH - svg.RIGHT, FLOOR, "grid base"), svg.label(svg.LEFT - 8, BARS + 8, f"n {_short(most)}", "tick", "end")]
    for look in looks:
        if look.n:
            height = max(1.0, (FLOOR - BARS) * look.n / most)
            x = min(max(scale.x(look.at) - width / 2, svg.LEFT), svg.WIDTH - svg.RIGHT - width)
            body.append(svg.tag("rect", x=x, y=FLOOR - height, width=width, height=height, cls="n", title=f"n {wording.count(look.n)}"))
    return body


def _short(value: int) -> str:
    return wording.count(value) if value < 10000 else f"{value / 1000:.3g}k" if value < 1000000 else f"{value / 1000000:.3g}M"


def _decisions(view: View, name: str, looks: Sequence[j.Look], scale: svg.Axis, top: float) -> list[str]:
    body = []
    for item in view.journal.all(j.Decided):
        if item.metric != name:
            continue
        x = scale.x(item.at)
        tone = wording.PHASES.get(item.phase, "warn")
        last = next((look.value for look in reversed(looks) if look.at <= item.at and look.value is not None), None)
        body.append(svg.line(x, TOP, x, BOTTOM, f"decision {tone}"))
        shape = {"good": "check", "bad": "cross", "warn": "diamond"}.get(tone, "ring")
        body.append(svg.mark(x, _y(last, top) if last is not None else BOTTOM, shape, tone, f"{wording.clock(item.at)} {item.phase}: {item.reason}"))
    return body


def _words(view: View, name: str, looks: Sequence[j.Look]) -> str:
    """The figure in words, for those who cannot see it."""
    values = [look.value for look in looks if look.value is not None]
    unit = next((look.unit for look in looks if look.unit), "")
    told = [f"{wording.plural(len(looks), 'look')} at {name}"]
    if values:
        told.append(f"from {wording.quantity(min(values), unit)} to {wording.quantity(max(values), unit)}, last {wording.quantity(values[-1], unit)}")
    limit = next((found for found in map(wording.limit, reversed(looks)) if found is not None), None)
    told += [f"limit {wording.quantity(limit, unit)}"] if limit is not None else []
    told += [f"decided {item.phase} at {wording.clock(item.at)}: {item.reason}" for item in view.journal.all(j.Decided) if item.metric == name][:8]
    return "; ".join(told) + "."
