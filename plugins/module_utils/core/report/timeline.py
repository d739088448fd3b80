# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first figure of the report: what share of the requests was asked for and measured, what was decided, and what was written when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..units import show_percent
from . import journal as j
from . import svg, wording
from .view import View

TOP, BOTTOM, STRIP, HEIGHT = 46.0, 246.0, 274.0, 318.0
MOST_BARS = 200
"""Steps drawn as bars: more would be thinner than a line."""

_SHAPES = {"good": "check", "bad": "cross", "warn": "diamond"}

Mark = tuple[float, str, str]
"""Seconds, tone, words."""


@dataclass(frozen=True)
class Drawn:
    """The two axes: time, and percent of requests up to ``top``."""

    scale: svg.Axis
    top: float

    def y(self, percent: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * min(self.top, max(0.0, percent)) / self.top


def timeline(view: View, points: int) -> str:
    """The figure; at most ``points`` measured dots. Empty when nothing happened."""
    journal = view.journal
    if not journal.current:
        return ""
    tracks = _tracks(view)
    drawn = Drawn(svg.axis(item.at for item in journal.current), _top(journal, tracks))
    scale = drawn.scale
    body = _grid(drawn)
    for index, name in enumerate(tracks):
        body += _asked(journal, name, drawn, index, points)
    for index, name in enumerate(tracks):
        body += _measured(journal, name, drawn, index, points)
    body += _fault(view, scale)
    body += _marks(journal, scale)
    body += _strip(view, scale)
    words = f"{view.sentence}. {_moves(view, tracks)}"
    return svg.figure("tl", HEIGHT, f"Share of requests of {', '.join(map(view.slot, tracks))} over time", words, body)


def _tracks(view: View) -> list[str]:
    """The candidate; with more than two tracks (variants) every one but stable."""
    named = dict.fromkeys(name for share in view.journal.all(j.Share) for name in share.asked)
    return [view.candidate] if len(named) <= 2 else [name for name in named if name != "stable"][:4]


def _top(journal: j.Journal, tracks: list[str]) -> float:
    """25, 50 or 100 percent: a release that ended early is not drawn as a line along the floor."""
    measured = [share.measured.get(name, 0.0) for share in journal.all(j.Share) if share.measured is not None for name in tracks]
    highest = max([*measured, *(percent for name in tracks for _at, percent, _words in changes(journal, name))], default=100.0)
    return next(top for top in (25.0, 50.0, 100.0) if highest < top or top == 100.0)


def _grid(drawn: Drawn) -> list[str]:
    body = svg.time_grid(drawn.scale, TOP, BOTTOM)
    for index in range(6 if drawn.top == 25 else 5):
        percent = index * (5 if drawn.top == 25 else drawn.top / 4)
        y = drawn.y(percent)
        body.append(svg.line(svg.LEFT, y, svg.WIDTH - svg.RIGHT, y, "grid base" if index == 0 else "grid"))
        body.append(svg.label(svg.LEFT - 8, y + 4, show_percent(percent), "tick", "end"))
    return body


def changes(journal: j.Journal, track: str) -> list[tuple[float, float, str]]:
    """(at, percent, what was written) at every change of what was asked for ``track``, until it is promoted: what follows is tidying."""
    found: list[tuple[float, float, str]] = []
    promotions = {step.index for step in journal.begin.steps if step.kind == "promote"}
    for item in journal.current:
        known = item.known
        if isinstance(known, j.Step) and known.step in promotions and known.status == "done":
            break
        if isinstance(known, j.Write):
            after, words = wording.weights(known.after), _write(known, journal.begin.called)
            if track not in after and not after:
                continue
            value = after.get(track, 0.0)
        elif isinstance(known, j.Share) and known.asked:
            value, words = known.asked.get(track, 0.0), f"{wording.clock(known.at)} asked: {wording.weights_words(known.asked, journal.begin.called)}"
        else:
            continue
        if not found or found[-1][1] != value:
            found.append((known.at, value, words))
        elif isinstance(known, j.Write) and known.at - found[-1][0] < 5:
            found[-1] = (found[-1][0], value, f"{found[-1][2]}\n{words}")
    return found


def _write(write: j.Write, called: Mapping[str, str]) -> str:
    notes = [f"fence {write.fence}" if write.fence is not None else "", wording.took(write.seconds)]
    shown = ", ".join(note for note in notes if note)
    return f"{wording.clock(write.at)} {wording.write_words(write, called)}" + (f" ({shown})" if shown else "")


def _asked(journal: j.Journal, track: str, drawn: Drawn, index: int, points: int) -> list[str]:
    moves = changes(journal, track)
    if not moves:
        return []
    # Pods that share by their number have moved before the router is asked: the share they had then is not that of the beginning.
    first = next((wording.weights(write.before).get(track, 0.0) for write in journal.all(j.Write) if not write.before.get("pods")), 0.0)
    corners, value = [(drawn.scale.start, first)], first
    for at, percent, _words in moves:
        corners += [(at, value), (at, percent)]
        value = percent
    corners.append((drawn.scale.end, value))
    curve = [(drawn.scale.x(at), drawn.y(percent)) for at, percent in corners]
    body = []
    if index == 0:
        body.append(svg.path([*curve, (curve[-1][0], BOTTOM), (curve[0][0], BOTTOM)], "area"))
    body.append(svg.path(curve, f"asked s{index}"))
    shown = moves[:: -(-len(moves) // points)]
    for at, percent, words in shown:
        x, y = drawn.scale.x(at), drawn.y(percent)
        body.append(svg.tag("rect", x=x - 3.5, y=y - 3.5, width=7.0, height=7.0, cls=f"change s{index}", title=words.replace("\n", "; ")))
    value = first
    for at, percent, _words in moves if len(moves) < 20 else ():
        if percent > value and percent < 100:
            x, y = drawn.scale.x(at), drawn.y(percent)
            near = x > svg.WIDTH - svg.RIGHT - 48  # then it stands to the left of its step
            body.append(svg.label(x - 7 if near else x + 7, y - 2 if near else y - 7, show_percent(percent), "value", "end" if near else "start"))
        value = percent
    return body


def _measured(journal: j.Journal, track: str, drawn: Drawn, index: int, points: int) -> list[str]:
    shares = [share for share in journal.all(j.Share) if share.measured is not None and track in share.measured]
    every = max(1, -(-len(shares) // max(1, points)))
    body = []
    for share in shares[::every]:
        percent = (share.measured or {})[track]
        of = f" of {wording.count(share.requests)} requests" if share.requests else ""
        words = f"{wording.clock(share.at)} measured {show_percent(percent)}{of}, asked {show_percent(share.asked.get(track, 0.0))}"
        body.append(svg.mark(drawn.scale.x(share.at), drawn.y(percent), "dot", f"m{index}", words))
    return body


def _fault(view: View, scale: svg.Axis) -> list[str]:
    begins = view.journal.all(j.Begin)
    body = [svg.line(scale.x(item.at), TOP - 6, scale.x(item.at), BOTTOM, "resumed", f"{wording.clock(item.at)} resumed") for item in begins[1:]]
    if view.fault is None:
        return body
    x = scale.x(view.fault.at)
    body.append(svg.line(x, TOP - 14, x, BOTTOM, "fault", f"{wording.clock(view.fault.at)} {view.fault.reason or 'failed'}"))
    ended = view.standing[0] if view.outcome else "failed"
    words = f"{view.fault.metric} failed"[:40] if view.fault.metric else ended
    left = x > svg.WIDTH * 0.8
    body.append(svg.label(x - 14 if left else x + 14, TOP + 10, words, "bad-text", "end" if left else "start"))
    return body


def _marks(journal: j.Journal, scale: svg.Axis) -> list[str]:
    """Verdicts and gates above the curve; those that would lie on each other are one mark with all their words."""
    found: list[Mark] = []
    for item in journal.current:
        known = item.known
        if isinstance(known, j.Decided):
            words = f"{known.metric or 'analysis'} {known.phase}" + (f": {known.reason}" if known.reason else "")
            found.append((known.at, wording.PHASES.get(known.phase, "warn"), words))
        elif isinstance(known, j.Gate):
            tone = {"promoted": "good", "opened": "warn"}.get(known.decision, "bad")
            found.append((known.at, tone, f"gate {known.name} {wording.gate_words(known)}"))
    groups: list[Mark] = []
    rank = ("quiet", "good", "warn", "bad")
    for at, tone, words in found:
        words = f"{wording.clock(at)} {words}"
        if groups and scale.x(at) - scale.x(groups[-1][0]) < 17:
            before = groups[-1]
            groups[-1] = (before[0], max(before[1], tone, key=rank.index), f"{before[2]}; {words}")
        else:
            groups.append((at, tone, words))
    return [svg.mark(scale.x(at), TOP - 22, _SHAPES.get(tone, "ring"), tone, words) for at, tone, words in groups]


def _strip(view: View, scale: svg.Axis) -> list[str]:
    """The steps as bars on the same time axis."""
    body = []
    started = [(row.started, row) for row in view.rows if row.started is not None]
    following = [*(begun for begun, _row in started[1:]), scale.end]
    for (begun, row), after in list(zip(started, following))[:MOST_BARS]:
        end = after if row.seconds is None else min(after, begun + row.seconds)
        left, right = scale.x(begun), scale.x(max(begun, min(end, scale.end)))
        width = max(3.0, right - left - 1.5)
        words = f"{row.label}: {row.state}" + (f", {wording.took(row.seconds)}" if row.seconds is not None else "")
        body.append(svg.tag("rect", title=words, x=left, y=STRIP, width=width, height=24.0, rx=4.0, cls=f"bar {row.state}"))
        if len(row.label) * 7 + 10 < width:
            body.append(svg.label(left + 8, STRIP + 16.5, row.label, f"bar-text {row.state}"))
    return body


def _moves(view: View, tracks: list[str]) -> str:
    told = []
    for track in tracks:
        moves = ", ".join(f"{show_percent(percent)} at {wording.clock(at)}" for at, percent, _words in changes(view.journal, track)[:30])
        told.append(f"{view.slot(track)} was asked to carry {moves}." if moves else f"No weights were changed for {view.slot(track)}.")
    return " ".join(told)
