# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of the report: steps, hosts and drains, decisions, writes, the plan, the environment, and every event as it was written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..units import show_percent
from . import journal as j
from . import wording
from .svg import text
from .view import Row, View

_TONES = {"done": "good", "failed": "bad", "current": "warn"}
MOST_FACTS = 16
"""Facts shown of one step."""

Cell = tuple[str, str]
"""Markup and class."""


def sections(seen: View, most: int) -> list[str]:
    """The parts that are always open."""
    return [_steps(seen, most), _hosts(seen, most), _decisions(seen, most)]


def details(seen: View, most: int) -> list[str]:
    """The parts that open on a click, and in print."""
    return [_writes(seen, most), _plan(seen, most), _environment(seen, most), _events(seen, most)]


def _table(heads: Sequence[str], rows: Sequence[Sequence[Cell]], most: int) -> str:
    head = "".join(f'<th scope="col"{" class=num" if name.startswith(">") else ""}>{text(name.lstrip(">"))}</th>' for name in heads)
    lines = ("".join(f'<td class="{cls}">{markup}</td>' if cls else f"<td>{markup}</td>" for markup, cls in row) for row in rows[:most])
    body = "".join(f"<tr>{cells}</tr>" for cells in lines)
    more = f'<p class="note">{len(rows) - most} more are in the data.</p>' if len(rows) > most else ""
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{more}'


def _badge(words: str, tone: str) -> str:
    return f'<span class="badge {tone}">{text(words)}</span>'


def _time(at: float | None) -> Cell:
    return ("" if at is None else text(wording.clock(at)), "time")


def _num(value: str) -> Cell:
    return text(value), "num"


def _section(title: str, body: str) -> str:
    return f"<section><h2>{text(title)}</h2>{body}</section>" if body else ""


def _details(title: str, more: str, body: str, cls: str = "card") -> str:
    return f'<details class="{cls}"><summary>{text(title)} <small>{text(more)}</small></summary><div>{body}</div></details>' if body else ""


def _steps(seen: View, most: int) -> str:
    if not seen.rows:
        return ""
    rows = [_step(row, seen) for row in seen.rows]
    return _section("Steps", _table(["Step", "Result", ">Asked", ">Measured", "What was seen", "Began", ">Took"], rows, most))


def _step(row: Row, seen: View) -> list[Cell]:
    state = {"todo": "not reached" if seen.outcome else "to do", "current": "waiting" if seen.outcome else "in progress"}.get(row.state, row.state)
    facts = [fact for fact in row.facts if not fact.text.startswith("measured ")]
    items = "".join(f'<li class="tone-{fact.tone}">{text(fact.text)}</li>' if fact.tone else f"<li>{text(fact.text)}</li>" for fact in facts[:MOST_FACTS])
    items += f"<li>and {len(facts) - MOST_FACTS} more, in the data</li>" if len(facts) > MOST_FACTS else ""
    return [
        (text(row.label), "strong"),
        (_badge(state, _TONES.get(row.state, "")), ""),
        _num(show_percent(row.weight) if row.weight is not None else ""),
        _num(f"{row.measured:.1f} %" if row.measured is not None else ""),
        (f"<ul>{items}</ul>" if items else "", "wide"),
        _time(row.started),
        _num(wording.took(row.seconds)),
    ]


def _hosts(seen: View, most: int) -> str:
    """Deployments, drains and health waits in the order in which they happened."""
    rows: list[list[Cell]] = []
    for item in seen.journal.current:
        known = item.known
        if isinstance(known, j.Deploy):
            good = [host for host in (known.ok or known.hosts) if host not in known.failed]
            if good:
                rows.append(_host(known.at, "deployed", "good", good, "", known.seconds))
            rows += [_host(known.at, "deployment failed", "bad", [host], why, known.seconds) for host, why in known.failed.items()]
        elif isinstance(known, j.Drain):
            cut = f"{wording.plural(known.in_flight, 'connection')} in flight at the end of the wait, {known.cut or 'none'} cut"
            left = cut if known.in_flight else "no connection left" if not known.why else ""
            tone = "warn" if known.cut or known.why else "good"
            rows.append(_host(known.at, "drained", tone, known.members, "; ".join(filter(None, (left, known.why))), known.seconds))
        elif isinstance(known, j.Health):
            rows += _health(known)
        elif isinstance(known, j.Ready):
            told = f"{known.ready} of {wording.plural(known.wanted, 'Pod')}" + (f": {known.why}" if known.why else "")
            rows.append(_host(known.at, "not ready" if known.why else "ready", "bad" if known.why else "good", [known.name], told, known.seconds))
    return _section("Pods" if seen.begin.called else "Hosts", _table(["Time", "What", "Which", "", ">Took"], rows, most)) if rows else ""


def _health(known: j.Health) -> list[list[Cell]]:
    good = {name: target for name, target in known.targets.items() if target.healthy}
    rows = []
    if good:
        slowest = max((target.latency_ms for target in good.values() if target.latency_ms is not None), default=None)
        tried = max(target.attempts for target in good.values())
        told = wording.plural(tried, "attempt") if tried else ""
        told += f", slowest answer {wording.quantity(slowest, 'ms')}" if slowest is not None else ""
        rows.append(_host(known.at, "healthy", "good", good, told, known.seconds))
    for name, target in known.targets.items():
        if not target.healthy:
            told = f"{target.error} after {wording.plural(target.attempts, 'attempt')}"
            rows.append(_host(known.at, "not healthy", "bad", [name], told, known.seconds))
    return rows


def _host(at: float, what: str, tone: str, which: Iterable[str], told: str, seconds: float | None) -> list[Cell]:
    return [_time(at), (_badge(what, tone), ""), (text(wording.names(which, 20)), "strong"), (text(told), "wide"), _num(wording.took(seconds))]


def _decisions(seen: View, most: int) -> str:
    """Verdicts and gates: who or what decided, and why."""
    rows: list[list[Cell]] = []
    names = {index: row.label for row in seen.rows for index in row.steps}
    for item in seen.journal.current:
        known = item.known
        if isinstance(known, j.Decided):
            cells = (known.metric or "analysis", known.phase, wording.PHASES.get(known.phase, ""), "analysis", known.reason)
        elif isinstance(known, j.Gate):
            tone = {"promoted": "good", "opened": "warn"}.get(known.decision, "bad")
            who = " ".join(filter(None, [known.who, f"({known.channel})" if known.channel else ""]))
            cells = (f"gate {known.name}", known.decision, tone, who, f"for digest {known.digest}" if known.digest else "")
        else:
            continue
        subject, decision, tone, who, why = cells
        step = names.get(known.step, "") if known.step is not None else ""
        verdict = _badge(decision or "none", tone)
        rows.append([_time(known.at), (text(step), ""), (text(subject), "strong"), (verdict, ""), (text(who), ""), (text(why), "wide")])
    return _section("Decisions", _table(["Time", "Step", "Subject", "Decision", "By", "Why"], rows, most)) if rows else ""


def _writes(seen: View, most: int) -> str:
    rows: list[list[Cell]] = []
    for write in seen.journal.all(j.Write):
        fence = "" if write.fence is None else str(write.fence)
        called = seen.begin.called
        change: list[Cell] = [(text(write.target), "strong"), (_routes(write.before, called), "wide"), (_routes(write.after, called), "wide")]
        rows.append([_time(write.at), *change, _num(fence), _num(wording.took(write.seconds))])
    table = _table(["Time", "Target", "Before", "After", ">Fence", ">Took"], rows, most)
    return _details("Writes", f"{wording.plural(len(rows), 'write')}: target, before, after, fence", table) if rows else ""


def _routes(routes: Mapping[str, Any], called: Mapping[str, str]) -> str:
    """The weights and the numbers of Pods in words, all else of the routes as JSON."""
    rest = {key: value for key, value in routes.items() if key not in ("weights", "pods")}
    pods = routes.get("pods")
    counted = ", ".join(f"{called.get(str(track), str(track))} {count}" for track, count in sorted(pods.items())) if isinstance(pods, Mapping) else ""
    more = f"<br><code>{text(json.dumps(rest, ensure_ascii=True, default=str)[:1200])}</code>" if rest else ""
    words = wording.weights_words(wording.weights(routes), called) or ("" if rest or counted else "nothing")
    return text("; ".join(filter(None, [words, f"Pods: {counted}" if counted else ""]))) + more


def _plan(seen: View, most: int) -> str:
    steps = seen.begin.steps
    rows: list[list[Cell]] = []
    for step in steps:
        weight = "" if step.weight is None else show_percent(step.weight)
        rows.append([(str(step.index), "time"), (text(step.name), "strong"), (text(step.kind), ""), _num(weight), _num(wording.took(step.seconds))])
    digest = f"digest {seen.begin.plan_digest}" if seen.begin.plan_digest else ""
    more = ", ".join(filter(None, [seen.begin.summary or wording.plural(len(steps), "step"), digest]))
    return _details("Plan", more, _table(["Index", "Step", "Kind", ">Weight", ">Lasts"], rows, most)) if steps else ""


def _environment(seen: View, most: int) -> str:
    release = seen.release
    known = {"release": release.id, "strategy": release.strategy, "candidate digest": release.digest}
    where = {"router": seen.begin.router, "workload": seen.begin.workload}
    pairs = [(name, value) for name, value in (*known.items(), *where.items(), *seen.begin.environment.items()) if value]
    rows: list[list[Cell]] = [[(text(name), "time"), (text(value), "")] for name, value in pairs]
    return _details("Environment", f"{len(pairs)} facts", _table(["What", "Value"], rows, most)) if rows else ""


def _events(seen: View, most: int) -> str:
    """Every event as it was written, looks apart (they are the figures' points), kinds this version does not know included."""
    events = [item for item in seen.journal.events if item.kind != "look"]
    if not events:
        return ""
    lines = [json.dumps(item.raw, ensure_ascii=True, default=str)[:600] for item in events[:most]]
    more = f"\n... and {len(events) - most} more, in the data" if len(events) > most else ""
    looks = len(seen.journal.all(j.Look))
    told = wording.plural(len(events), "event") + (f", besides {wording.plural(looks, 'look')}" if looks else "")
    return _details("Events", told, f"<pre>{text_lines(lines)}{more}</pre>", "card screen")


def text_lines(lines: Iterable[str]) -> str:
    """Lines, each escaped for itself, so that their ends stay."""
    return "\n".join(text(line) for line in lines)
