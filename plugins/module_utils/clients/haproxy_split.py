# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A split of users as entries of a HAProxy map, which lines of the configuration look up. Pure: entries in, entries out.

``shop 4000:shop_canary:shop_stable:salt:shop_stable`` says: buckets below 4000 to the first backend, the others to the second; buckets are made with
this salt (without one, by chance), and users without a key go to the third (without one, by chance). ``shop/header:user-tier/vip
shop_stable:0:0:vip`` is a rule: the backend, the rule's and the alternative's place, and the rule's name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Optional

from ..core.errors import ConfigError, Unsupported
from ..core.model import FULL, SOURCES, Assignment, Condition, MatchRoute, Routes
from ..core.sticky import PARTS, SALT, split_point
from .haproxy import map_key, name

Entries = Mapping[str, str]


@dataclass(frozen=True)
class Layout:
    """``key``: the entry. ``backends``: of the two tracks. ``users``: (source, name) of the key that the configuration hashes; ``looks``: those
    that it looks up rules by, in its order."""

    key: str
    backends: Mapping[str, str]
    users: Optional[tuple[str, str]] = None
    looks: tuple[tuple[str, str], ...] = field(default=())

    def track(self, backend: str, where: str) -> str:
        found = next((track for track, called in self.backends.items() if called == backend), None)
        if found is None:
            raise ConfigError(f"{backend[:80]!r} is the backend of no track", where=where, do=f"Known: {', '.join(self.backends.values())}.")
        return found

    def other(self, track: str) -> str:
        return next(each for each in self.backends if each != track)


def layout(key: str, backends: Mapping[str, str], users: str, looks: Sequence[str]) -> Layout:
    """Raises ConfigError for what could not stand in an entry."""
    made = {track: map_key(name(backend, "backend"), "backend") for track, backend in backends.items()}
    if len(set(made.values())) != 2 or len(made) != 2 or any(":" in backend for backend in made.values()):
        raise ConfigError("a split is one between two backends, one for each track, without ':' in their names", where="haproxy.split.backends")
    hashed = _source(users, "haproxy.split.users") if users else None
    return Layout(map_key(key), made, hashed, tuple(_source(look, f"haproxy.split.rules[{index}]") for index, look in enumerate(looks)))


def ours(entries: Entries, layout: Layout) -> dict[str, str]:
    """The entries that a release owns."""
    return {key: value for key, value in entries.items() if key == layout.key or key.startswith(f"{layout.key}/")}


def read(entries: Entries, layout: Layout, where: str) -> Routes:
    """The routes as the map has them. Raises ConfigError."""
    value = entries.get(layout.key)
    low, high = (layout.backends[track] for track in reversed(list(layout.backends)))
    if value is None:
        raise ConfigError(f"the map has no entry {layout.key}", where=where, do=f"Add the line: {layout.key} 0:{low}:{high}")
    point, below, above, salt, others = (*value.split(":"), "", "", "", "")[:5]
    if not point.isascii() or not point.isdigit() or int(point) > PARTS or {below, above} != set(layout.backends.values()):
        raise ConfigError(f"{layout.key} is {value[:80]!r}, which is no split of ours", where=where, do=f"Write: {layout.key} 0:{low}:{high}")
    first = layout.track(below, where)
    share = Fraction(100 * int(point), PARTS)
    users = None
    if salt and layout.users:
        users = Assignment(*layout.users, salt, track=first, others=layout.track(others, where) if others else "")
    return Routes({track: share if track == first else FULL - share for track in layout.backends}, matches=_rules(entries, layout, where), assignment=users)


def edit(entries: Entries, want: Routes, layout: Layout, where: str) -> dict[str, str]:
    """Our entries with ``want`` in them. Raises Unsupported, ConfigError."""
    why = lacking(want, layout)
    if why:
        raise Unsupported(why, where=where)
    users = want.assignment
    below = users.track if users is not None else _below(entries, layout, where)
    parts = [str(split_point(want.weight(below))), layout.backends[below], layout.backends[layout.other(below)]]
    if users is not None:
        parts += [users.salt, layout.backends[users.others] if users.others else ""]
    made = {layout.key: ":".join(parts).rstrip(":")}
    for number, match in enumerate(want.matches):
        for place, [condition] in enumerate(match.alternatives):
            key = f"{layout.key}/{condition.source}:{condition.name}/{condition.value}"
            made.setdefault(map_key(key, "entry of a map"), f"{layout.backends[match.track]}:{number}:{place}:{map_key(match.name, 'name of a rule')}")
    return made


def lacking(want: Routes, layout: Layout) -> str:
    """Why the configuration, as the options describe it, cannot do that; empty when it can."""
    users = want.assignment
    for track in (*want.weights, *(match.track for match in want.matches), *((users.track, *filter(None, [users.others])) if users else ())):
        if track not in layout.backends and (want.weight(track) or track not in want.weights):
            return f"track {track} has no backend"
    if users is not None and (users.source, users.name) != layout.users:
        hashed = ":".join(layout.users) if layout.users else "nothing"
        return f"its configuration hashes {hashed} (haproxy.split.users), not {users.source}:{users.name}"
    if users is not None and not SALT.match(users.salt):
        return f"{users.salt[:80]!r} is no salt"
    last, taken = 0, set()
    for match in want.matches:
        for alternative in match.alternatives:
            if alternative in taken:
                return f"rule {match.name}: a rule before it has the same value"
            taken.add(alternative)
            if len(alternative) != 1 or alternative[0].how != "exact" or not alternative[0].value:
                return f"rule {match.name}: a map knows one exact value at a time"
            look = (alternative[0].source, alternative[0].name)
            if look not in layout.looks:
                shown = ", ".join(map(":".join, layout.looks)) or "nothing"
                return f"rule {match.name}: its configuration looks up {shown} (haproxy.split.rules), not {':'.join(look)}"
            if layout.looks.index(look) < last:
                return f"rule {match.name} comes after one that its configuration looks up later: write rules in the order of haproxy.split.rules"
            last = layout.looks.index(look)
    return ""


def _rules(entries: Entries, layout: Layout, where: str) -> tuple[MatchRoute, ...]:
    found: dict[int, dict[int, tuple[str, str, Condition]]] = {}
    for key, value in ours(entries, layout).items():
        if key == layout.key:
            continue
        after = len(layout.key) + 1
        source, colon, rest = key[after:].partition(":")
        backend, number, place, rule = (*value.split(":", 3), "", "", "")[:4]
        header, slash, wanted = rest.partition("/")
        if not colon or not slash or not number.isdigit() or not place.isdigit() or not rule:
            raise ConfigError(f"entry {key[:80]} is not ours any more", where=where, do=f"Remove it: del map ... {key[:80]}")
        found.setdefault(int(number), {})[int(place)] = (rule, layout.track(backend, where), Condition(source, header, "exact", wanted))
    rules = []
    for _number, alternatives in sorted(found.items()):
        first = alternatives[min(alternatives)]
        rules.append(MatchRoute(first[0], tuple((alternatives[place][2],) for place in sorted(alternatives)), first[1]))
    return tuple(rules)


def _below(entries: Entries, layout: Layout, where: str) -> str:
    """The track of the lower buckets as the map has it; nobody is moved for no reason."""
    return layout.track((*entries.get(layout.key, "").split(":"), "")[1], where) if layout.key in entries else list(layout.backends)[-1]


def _source(text: str, where: str) -> tuple[str, str]:
    source, colon, called = text.partition(":")
    if source not in SOURCES or not colon or not called:
        raise ConfigError(f"{text[:80]!r} does not say where to look", where=where, do="Write header:NAME, cookie:NAME or query:NAME.")
    return source, map_key(called, f"name of a {source}")
