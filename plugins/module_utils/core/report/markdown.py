# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The release in about ten lines of Markdown: headline, reason, the timeline as a small table, what was hurt, what to do next."""

from __future__ import annotations

import re

from ..units import show_percent
from . import journal as j
from . import wording
from .view import Row, View, view

MOST = 8
"""Rows of the table; of a longer release the first and the last ones are shown, and what went wrong is always among them."""

_GLYPHS = {"done": "\u2714", "current": "\u25cf", "todo": "\u25cb", "failed": "\u2718", "skipped": "\u2013"}


def render(journal: j.Journal) -> str:
    """The summary. Text of the journal cannot become markup: what Markdown or HTML would read is escaped."""
    seen = view(journal)
    release, outcome = seen.release, seen.outcome
    words, tone = wording.outcome_words(outcome.outcome if outcome else "")
    glyph = {"good": "\u2714", "bad": "\u2718"}.get(tone, "\u25cf")
    title = " ".join(filter(None, [release.name or "release", wording.versions(release)]))
    if not journal.events:
        return f"### {glyph} {_plain(title)}: nothing recorded\n"
    place = f" at {seen.position}" if outcome and seen.position and tone != wording.GOOD else ""
    lines = [f"### {glyph} {_plain(title)}: {_plain(words + place)}"]
    reason = (outcome.reason if outcome else "") or (seen.fault.reason if seen.fault else "")
    lines += ["", _plain(reason)] if reason else []
    if seen.rows:
        lines += ["", "| step | asked | measured | seen | took |", "|:--|--:|--:|:--|--:|"]
        lines += [_row(row) for row in _chosen(list(seen.rows))]
    lines += ["", " \u00b7 ".join(_plain(part) for part in _totals(seen) if part)]
    lines += [f"Next: {_command(item)}  " for item in (outcome.next if outcome else ())]
    return "\n".join(lines).rstrip() + "\n"


def _totals(seen: View) -> list[str]:
    outcome = seen.outcome
    hurt = wording.hurt(outcome.requests_failed, outcome.requests_total) if outcome else ""
    back = f"stable carried 100 % again after {wording.took(outcome.stable_after)}" if outcome and outcome.stable_after is not None else ""
    return [f"took {wording.took(seen.journal.ended - seen.journal.started)}", hurt, back, seen.release.strategy, seen.begin.router]


def _chosen(rows: list[Row]) -> list[Row | None]:
    """At most MOST rows; None stands for those left out."""
    if len(rows) <= MOST:
        return list(rows)
    important = [index for index, row in enumerate(rows) if row.state in ("failed", "current")][:2]
    wanted = sorted(dict.fromkeys([*important, 0, len(rows) - 1, 1, len(rows) - 2, 2, 3, 4][: MOST - 1]))
    result: list[Row | None] = []
    before = -1
    for index in wanted:
        if index != before + 1:
            result.append(None)
        result.append(rows[index])
        before = index
    return result


def _row(row: Row | None) -> str:
    if row is None:
        return "| \u2026 | | | | |"
    seen = "; ".join(fact.text for fact in row.facts if not fact.text.startswith("measured "))[:160]
    asked = show_percent(row.weight) if row.weight is not None else ""
    measured = f"{row.measured:.1f} %" if row.measured is not None else ""
    cells = (f"{_GLYPHS[row.state]} {_plain(row.label)}", asked, measured, _plain(seen), wording.took(row.seconds))
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """Text that Markdown shows as it is: punctuation with a meaning is escaped, angle brackets and ampersands are entities."""
    shown = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~#!@$])", r"\\\1", shown)


def _command(item: str) -> str:
    """A command as code; a sentence as text."""
    if item.startswith("ansible-") and "`" not in item:
        return f"`{item}`"
    return _plain(item.replace("`", '"'))
