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
    words, tone = seen.standing
    glyph = {"good": "\u2714", "bad": "\u2718"}.get(tone, "\u25cf")
    title = " ".join(filter(None, [release.name or "release", wording.versions(release)]))
    if not journal.events:
        return f"### {glyph} {_plain(title)}: nothing recorded\n"
    place = f" at {seen.position}" if outcome and seen.position and tone != wording.GOOD else ""
    lines = [f"### {glyph} {_plain(title)}: {_plain(words + place)}"]
    reason = (outcome.reason if outcome else "") or (seen.fault.reason if seen.fault else "")
    lines += ["", _paragraph(reason)] if reason else []
    if seen.rows:
        lines += ["", "| step | asked | measured | seen | took |", "|:--|--:|--:|:--|--:|"]
        lines += [_row(row) for row in _chosen(list(seen.rows))]
    lines += ["", " \u00b7 ".join(_plain(part) for part in _totals(seen) if part)]
    lines += [f"Next: {_command(item)}  " for item in (outcome.next if outcome else ())]
    return "\n".join(lines).rstrip() + "\n"


def _totals(seen: View) -> list[str]:
    outcome = seen.outcome
    hurt = wording.hurt(outcome.requests_failed, outcome.requests_total) if outcome else ""
    back = ""
    if outcome and outcome.stable_after is not None:
        back = f"{seen.release.previous or 'stable'} carried 100 % again after {wording.took(outcome.stable_after)}"
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
    """Text that Markdown shows as it is. Only what would be read as markup is escaped: people read the source, too."""
    shown = re.sub(r"&(?=#?\w+;)", "&amp;", text)
    shown = re.sub(r"<(?=[A-Za-z/!?])", "&lt;", shown)
    return re.sub(r"[\\`*\[|~]|\](?=[(\[:])|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\\g<0>", shown)


def _paragraph(text: str) -> str:
    """The same at the beginning of a line, where more has a meaning: headings, quotes, lists, rules."""
    return re.sub(r"^(\d*)([#>+=.)-])", r"\1\\\2", _plain(text))


def _command(item: str) -> str:
    """A sentence as text, and a command in it as code: what back quotes mark, or all from the program's name on."""
    if "`" not in item:
        before, name, rest = item.partition("ansible-")
        return f"{_plain(before)}`{name}{rest}`" if name else _plain(item)
    parts = item.split("`")
    if len(parts) % 2 == 0:  # one mark without its other half
        return _plain(item)
    return "".join(f"`{part}`" if index % 2 and part.strip() else _plain(part) for index, part in enumerate(parts))
