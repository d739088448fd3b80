# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The release in a terminal: append-only lines, the same in a pipe, with colours only where they are asked for.

::

    shop 2.4.0 -> 2.4.1   canary . haproxy lb1, lb2 . release 01J9...7Q . plan 6f3a
      v plan       4 steps, about 12 min
      v  5 %       measured 4.9 % (412 of 8,391)   error-rate 0.00 % < 1 %
      * 20 %       measured 19.7 %   bake 2:10 of 5:00   error-rate 0.12 % (n 1,644, 95 % 0.03-0.36)
      o 50 %       gate "half" first
      next look in 10 s . stop: ansible-playbook progressive.delivery.abort -e @shop.yml

Pure: a :class:`.report.view.View` in, lines out.
"""

from __future__ import annotations

import unicodedata

from .report import wording
from .report.journal import Look, clean
from .report.view import Fact, Row, View

WIDTH = 150
"""Columns a line may take; what does not fit goes on a line of its own below."""

Span = tuple[str, str]
"""Text and its tone."""

_STATES = {"done": ("\u2714", "good"), "current": ("\u25cf", "now"), "todo": ("\u25cb", "quiet"), "failed": ("\u2718", "bad"), "skipped": ("\u2013", "quiet")}
_TONES = {"good": "32", "warn": "33", "bad": "31", "quiet": "90", "now": "36", "bold": "1"}
_ASCII = str.maketrans(
    {
        "\u2714": "+",
        "\u25cf": "*",
        "\u25cb": "o",
        "\u2718": "x",
        "\u2013": "-",
        "\u2192": "->",
        "\u00b7": "|",
        "\u2026": "..",
        "\u2264": "<=",
        "\u2265": ">=",
        "\u00d7": "x",
        "\u00b1": "+/-",
        "\u2019": "'",
    }
)


def tree(view: View, colour: bool, unicode: bool, width: int = WIDTH) -> list[str]:
    """The whole release: headline, one line a step, then how it ended or what happens next and how to stop it."""
    lines = [[(text, "bold" if index == 0 else "") for index, text in enumerate(_headline_parts(view))]]
    planned = _plan_row(view)
    rows = ([planned] if planned else []) + list(view.rows)
    numbers = max((_columns(row.label) for row in rows if row.weight is not None and row.label[:1].isdigit()), default=0)
    labels = [row.label.rjust(numbers) if row.label[:1].isdigit() else row.label for row in rows]
    column = min(24, max([10, *(_columns(label) + 1 for label in labels)]))
    for row, label in zip(rows, labels):
        lines += _row_lines(row, label, column, width if unicode else width - 6)
    lines += _ending(view, width) if view.outcome else _what_next(view)
    return [_paint(_cut(_said(line, unicode), width), colour) for line in lines]


def headline(view: View, unicode: bool = True) -> str:
    """``shop 2.4.0 -> 2.4.1   canary . haproxy lb1, lb2 . release 01J9...7Q . plan 6f3a``."""
    return _paint(_said([(text, "") for text in _headline_parts(view)], unicode))


def outcome_lines(view: View, colour: bool = False, unicode: bool = True, width: int = WIDTH) -> list[str]:
    """How it ended: the reason first, then what was done, then what to do. Empty while the release is being worked on."""
    return [_paint(_said(line, unicode), colour) for line in _ending(view, width)]


def look_line(look: Look, *, service: str = "", step: str = "", colour: bool = False, unicode: bool = True, width: int = WIDTH) -> str:
    """One look of a running bake in one line, naming service and step, since such a line stands between those of other tasks."""
    spans = [_place(service, step), (wording.evidence(look), _tone(look.phase))]
    if look.phase == "successful":
        # A good look says nothing but how good, and from how much.
        spans.append((f"   n {wording.count(look.n)}" if look.n is not None else "", "quiet"))
    elif look.reason:
        spans.append((f"   {look.reason}", "quiet"))
    return _paint(_cut(_said(spans, unicode), width), colour)


def outage_line(text: str, *, service: str = "", step: str = "", width: int = WIDTH) -> str:
    """What is said instead of looks while metrics cannot be asked; a long error is cut off at its end."""
    return _paint(_cut([_place(service, step), (clean(text), "")], width))


def _place(service: str, step: str) -> Span:
    place = " ".join(filter(None, [service, step]))
    return f"  {place}   " if place else "  ", "quiet"


def _headline_parts(view: View) -> list[str]:
    release = view.release
    title = " ".join(filter(None, [release.name or "release", wording.versions(release)]))
    parts = [
        release.strategy,
        view.begin.router,
        f"release {wording.short(release.id)}" if release.id else "",
        f"attempt {release.attempt}" if release.attempt > 1 else "",
        f"plan {wording.short(view.begin.plan_digest)[:4]}" if view.begin.plan_digest else "",
    ]
    rest = " \u00b7 ".join(part for part in parts if part)
    return [title, f"   {rest}"] if rest else [title]


def _plan_row(view: View) -> Row | None:
    if view.begin.summary:
        return Row("plan", "plan", "done", facts=(Fact(view.begin.summary),))
    steps = view.begin.steps
    if not steps:
        return None
    waiting = sum(step.seconds or 0.0 for step in steps)
    text = wording.plural(len(steps), "step") + (f", at least {wording.about(waiting).removeprefix('about ')}" if waiting else "")
    return Row("plan", "plan", "done", facts=(Fact(text),))


def _row_lines(row: Row, label: str, column: int, width: int) -> list[list[Span]]:
    glyph, tone = _STATES[row.state]
    start: list[Span] = [("  ", ""), (glyph, tone), (f" {label}", tone if row.state in ("todo", "skipped") else "")]
    indent = column + 5
    lines, used = [start], indent
    if row.facts:
        start.append((" " * max(2, indent - 4 - _columns(label)), ""))
    for index, fact in enumerate(row.facts):
        text, fact_tone = fact.text, fact.tone if fact.tone != "good" else ""
        gap = "   " if index and used > indent else ""
        if index and used + len(gap) + _columns(text) > width:
            lines.append([(" " * indent, "")])
            used, gap = indent, ""
        lines[-1].append((gap + text, fact_tone))
        used += len(gap) + _columns(text)
    return lines


def _what_next(view: View) -> list[list[Span]]:
    if view.going_back:
        # What is left of the plan will not come, and it cannot be stopped by going back.
        return [[(f"  going back to {view.release.previous or 'stable'}", "quiet")]]
    parts = []
    if view.next_look is not None:
        parts.append(f"next look in {max(1, round(view.next_look))} s")
    if view.left:
        parts.append(f"{wording.about(view.left)} to go")
    if view.abort_command:
        parts.append(f"stop: {view.abort_command}")
    return [[("  " + " \u00b7 ".join(parts), "quiet")]] if parts else []


def _ending(view: View, width: int) -> list[list[Span]]:
    outcome = view.outcome
    if outcome is None:
        return []
    _words, tone = view.standing
    glyph = {"good": "\u2714", "bad": "\u2718"}.get(tone, "\u25cf")
    lines = [[(text, tone)] for text in _wrapped(f"{glyph} {view.sentence}", width)]
    done = []
    if outcome.stable_after is not None:
        done.append(f"{view.release.previous or 'stable'} carries 100 % again after {wording.took(outcome.stable_after)} (measured)")
    done.append(wording.hurt(outcome.requests_failed, outcome.requests_total))
    if outcome.kept:
        done.append(f"left running for a look: {wording.names(outcome.kept)}")
    text = " \u00b7 ".join(part for part in done if part)
    lines += [[(item, "")] for item in _wrapped(text, width, "  ")] if text else []
    if view.report:
        lines.append([(f"  report: {view.report}", "")])
    for index, item in enumerate(_next(view)):
        lines.append([("  next: " if index == 0 else "        ", "bold"), (item, "")])
    return lines


def _next(view: View) -> list[str]:
    """What to type or do next: as the outcome says, else the commands of a release that still waits for somebody."""
    outcome = view.outcome
    if outcome is None or outcome.next:
        return list(outcome.next) if outcome else []
    if outcome.outcome in wording.OPEN_OUTCOMES:
        return [text for text in (view.resume_command, view.abort_command) if text]
    return []


def _tone(phase: str) -> str:
    tone = wording.PHASES.get(phase, "")
    return "" if tone in ("good", "quiet") else tone


def _columns(text: str) -> int:
    """Columns of a terminal: wide characters take two, combining ones none."""
    return sum(0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def _wrapped(text: str, width: int, first: str = "") -> list[str]:
    """``text`` broken at spaces into lines of at most ``width`` columns, the later ones indented; a reason is never cut off."""
    lines: list[str] = []
    current = first
    for word in text.split():
        if current.strip() and _columns(current) + 1 + _columns(word) > width:
            lines.append(current)
            current = "  "
        current += word if not current.strip() else f" {word}"
    return [*lines, current]


def _cut(spans: list[Span], width: int) -> list[Span]:
    """The spans, the last of them shortened where the line would be too long. Commands are left whole: they are to be copied."""
    used = 0
    result: list[Span] = []
    for text, tone in spans:
        room = width - used
        if _columns(text) > room and "ansible-playbook" not in text:
            kept = ""
            for char in text:
                if _columns(kept) + _columns(char) >= room:
                    break
                kept += char
            return [*result, (kept + ("~" if kept.isascii() else "\u2026"), tone)]
        result.append((text, tone))
        used += _columns(text)
    return result


def _said(spans: list[Span], unicode: bool) -> list[Span]:
    """The spans in what the terminal can show."""
    return spans if unicode else [(text.translate(_ASCII).encode("ascii", "replace").decode("ascii"), tone) for text, tone in spans]


def _paint(spans: list[Span], colour: bool = False) -> str:
    line = ""
    for text, tone in spans:
        code = _TONES.get(tone, "")
        line += f"\033[{code}m{text}\033[0m" if colour and code and text.strip() else text
    return line.rstrip()
