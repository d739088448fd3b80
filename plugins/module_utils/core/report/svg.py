# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the figures of the report are drawn with: escaped elements, a time axis that folds long waits, round numbers for an axis.

Colours and strokes come from the page's style sheet by class, so that light, dark and print need no second drawing.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..units import show_duration
from .journal import clean

WIDTH = 960.0
LEFT, RIGHT = 52.0, 18.0
FOLD = 44.0
"""Width of a folded wait."""

_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800)


def text(value: str) -> str:
    """Escaped for element content and for attributes. A number and its per cent sign stay on one line."""
    return html.escape(clean(value), quote=True).replace(" %", "\u00a0%")


def tag(name: str, body: str = "", *, title: str = "", **attributes: object) -> str:
    """An element. ``body`` is markup already; attributes are escaped here, ``title`` (shown on hover) cleaned too. ``cls`` is class."""
    given = ""
    for key, value in attributes.items():
        shown = f"{value:.1f}".rstrip("0").rstrip(".") if isinstance(value, float) else html.escape(str(value))  # a path is long and ours: never cut
        given += f' {"class" if key == "cls" else key.replace("_", "-")}="{shown}"'
    inner = (f"<title>{text(title)}</title>" if title else "") + body
    return f"<{name}{given}>{inner}</{name}>" if inner else f"<{name}{given}/>"


def label(x: float, y: float, words: str, cls: str = "tick", anchor: str = "start") -> str:
    return tag("text", text(words), x=x, y=y, cls=cls, text_anchor=anchor)


def line(x1: float, y1: float, x2: float, y2: float, cls: str, title: str = "") -> str:
    return tag("line", title=title, x1=x1, y1=y1, x2=x2, y2=y2, cls=cls)


def path(points: Iterable[tuple[float, float]], cls: str) -> str:
    drawn = "L".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return tag("path", d=f"M{drawn}", cls=cls) if drawn else ""


def mark(x: float, y: float, shape: str, cls: str, title: str = "") -> str:
    """A mark that is told apart by its form, not by its colour alone: check, cross, diamond, dot or ring."""
    forms = {
        "check": f"M{x - 4:.1f},{y + 0.3:.1f}l2.8,3.2l5.4,-6.6",
        "cross": f"M{x - 3.6:.1f},{y - 3.6:.1f}l7.2,7.2m0,-7.2l-7.2,7.2",
        "diamond": f"M{x:.1f},{y - 6:.1f}l6,6l-6,6l-6,-6z",
    }
    if shape in ("dot", "ring"):
        return tag("circle", title=title, cx=x, cy=y, r=3.2, cls=f"{shape} {cls}")
    if shape == "diamond":
        return tag("path", title=title, d=forms[shape], cls=f"diamond {cls}")
    disc = tag("circle", cx=x, cy=y, r=8.0, cls=f"disc {cls}")
    return tag("g", disc + tag("path", d=forms[shape], cls="glyph"), title=title)


def figure(name: str, height: float, title: str, description: str, body: Sequence[str]) -> str:
    """The whole drawing with its text alternative. ``name`` makes the ids unique within the page."""
    head = f'<title id="{name}t">{text(title)}</title><desc id="{name}d">{text(description)}</desc>'
    return (
        f'<svg viewBox="0 0 {WIDTH:.0f} {height:.0f}" role="img" aria-labelledby="{name}t {name}d" xmlns="http://www.w3.org/2000/svg">'
        f"{head}{''.join(body)}</svg>"
    )


@dataclass(frozen=True)
class Axis:
    """Time to x. ``pieces``: (from, to, x of from, x of to, folded), in order and without holes."""

    pieces: tuple[tuple[float, float, float, float, bool], ...]

    def x(self, at: float) -> float:
        for start, end, left, right, _folded in self.pieces:
            if at <= end:
                return left + (right - left) * max(0.0, at - start) / (end - start)
        return self.pieces[-1][3]

    @property
    def start(self) -> float:
        return self.pieces[0][0]

    @property
    def end(self) -> float:
        return self.pieces[-1][1]


def axis(times: Iterable[float], left: float = LEFT, right: float = WIDTH - RIGHT) -> Axis:
    """The axis over ``times``. A wait in which nothing happened, longer than all the rest together or five minutes, is folded."""
    moments = sorted(times) or [0.0]
    if moments[-1] - moments[0] < 1:
        moments = [moments[0], moments[0] + 1]
    gaps = sorted(((b - a, a, b) for a, b in zip(moments, moments[1:])), reverse=True)
    rest = moments[-1] - moments[0]
    folded = []
    for length, start, end in gaps[:6]:
        if length > 300 and length > 0.4 * rest and rest - length > 0:
            folded.append((start, end))
            rest -= length
    scale = (right - left - FOLD * len(folded)) / rest
    pieces = []
    at, x = moments[0], left
    for start, end in sorted(folded):
        if start > at:
            pieces.append((at, start, x, x + (start - at) * scale, False))
            x += (start - at) * scale
        pieces.append((start, end, x, x + FOLD, True))
        at, x = end, x + FOLD
    if moments[-1] > at:
        pieces.append((at, moments[-1], x, right, False))
    return Axis(tuple(pieces))


def time_grid(scale: Axis, top: float, bottom: float) -> list[str]:
    """Ticks of elapsed time below ``bottom``, and a hatched band over each folded wait."""
    shown = sum(end - start for start, end, _l, _r, folded in scale.pieces if not folded)
    every = next((step for step in _STEPS if shown / step <= 8), _STEPS[-1])
    drawn, taken = [], -100.0
    for start, end, left, right, folded in scale.pieces:
        if folded:
            words = f"{show_duration(end - start)} of waiting, not drawn to scale"
            drawn.append(tag("rect", title=words, x=left, y=top, width=right - left, height=bottom - top, cls="fold"))
            drawn += [line(x, bottom + 3, x + 5, bottom - 3, "foldmark") for x in (left + 17, left + 23)]
            drawn.append(label((left + right) / 2, bottom + 17, f"+{show_duration(end - start)}", "tick", "middle"))
            taken = right + 4
            continue
        for index in range(math.ceil((start - scale.start) / every), math.floor((end - scale.start) / every) + 1):
            x = scale.x(scale.start + index * every)
            following = next((piece[2] for piece in scale.pieces if piece[4] and piece[2] >= x), WIDTH + 100)
            drawn.append(line(x, top, x, bottom, "grid"))
            if x - taken >= 34 and following - x > 24:
                drawn.append(label(x, bottom + 17, "0" if index == 0 else show_duration(index * every), "tick", "middle"))
                taken = x
    return drawn


def nice(highest: float) -> tuple[float, float]:
    """The top of an axis that holds ``highest``, and the distance of its ticks: round numbers, three to five of them."""
    if highest <= 0:
        return 1.0, 0.5
    size = 10 ** math.floor(math.log10(highest / 4))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if highest / (size * factor) <= 4.001)
    return math.ceil(highest / step - 1e-9) * step, step
