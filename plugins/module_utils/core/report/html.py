# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a release: one HTML file that needs nothing else, no script, at most half a megabyte.

Everything shown goes through :func:`.svg.text`; the data to download is base64 in a link, so no text of the journal is ever markup or
script. The content security policy forbids everything but this one style sheet.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from ..units import show_percent
from . import ab_test, metric_chart, timeline, wording
from . import journal as j
from .style import STYLE
from .svg import tag, text
from .tables import details, sections
from .view import View, view

LARGEST = 500_000
"""Bytes of a report: what a mail or a merge request takes without a word."""

PLAIN_DATA = 120_000
"""Bytes of data up to which the download is plain JSON; a larger one is packed."""


@dataclass(frozen=True)
class Room:
    """How much of a large journal is shown: drawn points of all figures, figures, rows of a table, bytes of data."""

    points: int
    figures: int
    rows: int
    data: int


ROOMS = (Room(1400, 30, 400, 230_000), Room(500, 24, 200, 270_000), Room(200, 10, 60, 270_000), Room(120, 6, 30, 0), Room(40, 3, 10, 0))


def render(journal: j.Journal) -> str:
    """The report. Of a journal too large for :data:`LARGEST` the figures are thinned and long tables cut, and it says so."""
    seen = view(journal)
    page = ""
    for room in ROOMS:
        page = _page(seen, room)
        if len(page.encode()) <= LARGEST:
            break
    return page


def _page(seen: View, room: Room) -> str:
    words, tone = _badge(seen)
    release = seen.release
    title = " ".join(filter(None, [release.name or "Release", release.version, words]))
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    body = [
        f'<div class="stripe {tone}"></div>',
        _header(seen, words, tone),
        "<main>",
        _timeline(seen, room),
        ab_test.section(seen, max(24, room.points // 5)),
        _metrics(seen, room),
        *sections(seen, room.rows),
        *details(seen, room.rows),
        "</main>",
        _footer(seen, room),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{text(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="referrer" content="no-referrer">\n'
        f'<link rel="icon" href="data:,">\n<title>{text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n'
        + "\n".join(filter(None, body))
        + "\n</body>\n</html>\n"
    )


def _badge(seen: View) -> tuple[str, str]:
    if not seen.journal.events:
        return "nothing recorded", "quiet"
    return seen.standing


def _header(seen: View, words: str, tone: str) -> str:
    release, begin, outcome = seen.release, seen.begin, seen.outcome
    eyebrow = " \u00b7 ".join(filter(None, ["Release report", release.strategy.replace("_", "-"), begin.router, begin.workload]))
    previous = f'<span class="from">{text(release.previous)} \u2192</span> ' if release.previous else ""
    first = "" if release.previous or not release.version else tag("span", "first deploy", cls="badge")
    heading = f'<h1>{text(release.name or "Release")} {previous}{text(release.version)}</h1>'
    parts = [f'<p class="eyebrow">{text(eyebrow)}</p>', f'<div class="title">{heading}<span class="badge big {tone}">{text(words)}</span>{first}</div>']
    parts += [f'<p class="lead">{text(_lead(seen))}</p>', _facts(seen)]
    following = list(outcome.next) if outcome else []
    if not following and (outcome is None or outcome.outcome in wording.OPEN_OUTCOMES):
        following = [command for command in (seen.resume_command, "" if seen.going_back else seen.abort_command) if command]
    if following:
        parts.append('<div class="next"><p>Next</p>' + "".join(f"<p>{_command(item)}</p>" for item in following[:8]) + "</div>")
    for item in seen.journal.earlier:
        told, _tone = wording.outcome_words(item.outcome)
        parts.append(f'<p class="note">{text(f"An earlier attempt ended {told} at {wording.clock(item.at)}: {item.reason}")}</p>')
    if seen.journal.unreadable:
        lines = wording.plural(seen.journal.unreadable, "line")
        parts.append(f'<p class="note">{text(f"{lines} of the journal could not be read (a writer was stopped in the middle of it); all else is shown.")}</p>')
    return f"<header>{''.join(parts)}</header>"


def _command(item: str) -> str:
    """A command in its own type; back quotes in a sentence mark one."""
    if item.startswith("ansible-"):
        return f"<code>{text(item)}</code>"
    return "".join(f"<code>{text(part)}</code>" if index % 2 else text_kept(part) for index, part in enumerate(item.split("`")))


def text_kept(part: str) -> str:
    """Escaped text whose outer spaces stay."""
    return f"{' ' if part[:1] == ' ' else ''}{text(part)}{' ' if part[-1:] == ' ' else ''}"


def _lead(seen: View) -> str:
    if not seen.journal.events:
        return "The journal of this release is empty: nothing was started, nothing was written."
    sentence = seen.sentence
    return f"{sentence[:1].upper()}{sentence[1:]}{'' if sentence.endswith('.') else '.'}"


def _facts(seen: View) -> str:
    journal, outcome = seen.journal, seen.outcome
    if not journal.events:
        return ""
    facts = [
        ("Started (UTC)", wording.clock(journal.started), wording.date(journal.started)),
        ("Took" if outcome else "So far", wording.took(journal.ended - journal.started), f"until {wording.clock(journal.ended)}"),
        ("Highest share", show_percent(seen.highest), f"of the requests to {seen.slot(seen.candidate)}") if seen.highest or journal.all(j.Share) else None,
    ]
    if outcome and outcome.requests_failed is not None:
        total = outcome.requests_total
        share = f"{show_percent(100 * outcome.requests_failed / total)} of {wording.count(total)}" if total else "of all users' requests"
        facts.append(("Requests hurt", wording.count(outcome.requests_failed), share))
    elif outcome:
        facts.append(("Requests hurt", "\u2013", "not counted"))
    if outcome and outcome.stable_after is not None:
        facts.append((f"{seen.release.previous or 'Stable'} carries all again", f"after {wording.took(outcome.stable_after)}", "measured from the fault"))
    cells = (f"<div><dt>{text(name)}</dt><dd>{text(value)}<small>{text(more)}</small></dd></div>" for name, value, more in filter(None, facts))
    return f'<dl class="facts">{"".join(cells)}</dl>'


def _timeline(seen: View, room: Room) -> str:
    drawn = timeline.timeline(seen, max(20, room.points // 5))
    if not drawn:
        return ""
    keys = [
        ('<path d="M1,6H23" class="asked"/>', "asked"),
        ('<circle cx="12" cy="6" r="3.2" class="dot m0"/>', "measured"),
        ('<rect x="8" y="2.5" width="7" height="7" class="change"/>', "a write (hover names it)"),
        ('<circle cx="12" cy="6" r="5.5" class="disc good"/>', "verdict or gate (hover tells)"),
    ]
    if seen.fault:
        keys.append(('<path d="M1,6H23" class="fault"/>', "what went wrong"))
    return f"<section><div class=\"head\"><h2>Timeline</h2></div><figure>{drawn}</figure>{_legend(keys)}</section>"


def _legend(keys: Iterable[tuple[str, str]]) -> str:
    items = (f'<li><svg viewBox="0 0 24 12" aria-hidden="true">{drawn}</svg>{text(words)}</li>' for drawn, words in keys)
    return f'<ul class="legend">{"".join(items)}</ul>'


def _metrics(seen: View, room: Room) -> str:
    found = metric_chart.metrics(seen)
    if not found:
        return ""
    points = max(24, room.points // min(len(found), room.figures))
    parts = []
    for index, (name, looks) in enumerate(list(found.items())[: room.figures]):
        phase, said = metric_chart.standing(seen, name, looks)
        badge = f'<span class="badge {wording.PHASES.get(phase, "quiet")}">{text(phase or "not judged")}</span>'
        drawn = metric_chart.chart(seen, name, looks, index, points)
        parts.append(f'<div class="metric"><div class="head"><h3>{text(name)}</h3>{badge}</div><p>{text(said)}</p><figure>{drawn}</figure></div>')
    if len(found) > room.figures:
        parts.append(f'<p class="note">{len(found) - room.figures} more metrics are in the data.</p>')
    keys = [
        ('<path d="M1,6H23" class="candidate"/>', "candidate"),
        ('<rect x="1" y="1" width="22" height="10" class="band"/>', "its interval"),
        ('<path d="M1,6H23" class="baseline"/>', "baseline"),
        ('<path d="M1,6H23" class="limit"/>', "threshold"),
        ('<path d="M12,0V12" class="decision good"/>', "decided"),
        ('<path d="M4,12V7h4v5zM10,12V4h4v8zM16,12V1h4v11z" class="n"/>', "requests behind each look (n)"),
    ]
    return f'<section><h2>Metrics</h2>{"".join(parts)}{_legend(keys)}</section>'


def _footer(seen: View, room: Room) -> str:
    release = seen.release
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{release.name or 'release'}-{release.version or 'data'}").strip("-.")[:80]
    raw = json.dumps([item.raw for item in seen.journal.events], ensure_ascii=True, separators=(",", ":"), default=str).encode()
    kind, ending = "application/json", "json"
    if len(raw) > PLAIN_DATA:
        raw, kind, ending = gzip.compress(raw, 9, mtime=0), "application/gzip", "json.gz"
    if len(raw) > room.data:
        link = '<span class="screen">The data is too large for this file; it is the journal beside it.</span>'
    else:
        address = f"data:{kind};base64,{base64.b64encode(raw).decode()}"
        link = f'<a class="button" download="{name}.{ending}" href="{address}">Download the data ({ending.upper()})</a>'
    about = " \u00b7 ".join(filter(None, [f"release {release.id}" if release.id else "", f"attempt {release.attempt}", "all times UTC"]))
    return f"<footer><span>{text(about)}</span>{link}</footer>"
