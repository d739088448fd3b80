# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One HAProxy backend as tracks of servers: what each server shall be, in which order, by which commands. Pure.

Servers are keyed by the name of their host; :attr:`Server.name` is what HAProxy calls them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Optional

from ..core.errors import ConfigError
from ..core.model import FULL, Member, Routes
from ..core.shares import Group, reached, shares, whole_weights
from ..core.units import show_percent
from .haproxy import MAX_WEIGHT, Server

Tracks = Mapping[str, tuple[str, ...]]
Servers = Mapping[str, Server]

_WHOLE = 10000
"""A full ramp, in hundredths of a per cent."""


@dataclass(frozen=True)
class Target:
    """What one server shall be; None leaves a thing as it is. ``state``: ready, drain or maint."""

    weight: Optional[int]
    state: Optional[str]

    def after(self, server: Server) -> int:
        """The weight it will serve with, 0 when out of rotation."""
        if (self.state or server.forced) != "ready":
            return 0
        return server.weight if self.weight is None else self.weight


def commands(backend: str, server: Server, target: Target) -> list[str]:
    """The weight first, so that a server comes back with the right one; nothing when nothing differs."""
    path = f"{backend}/{server.name}"
    result = []
    if target.weight is not None and target.weight != server.weight:
        result.append(f"set weight {path} {target.weight}")
    in_place = target.state in (None, server.forced) or (target.state == "drain" and server.forced == "maint")
    return result if in_place else [*result, f"set server {path} state {target.state}"]


def as_it_is(server: Server) -> Target:
    """The target that brings back this server."""
    return Target(server.weight, server.forced)


def tracks_of(want: Routes, known: Tracks, names: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The hosts of each track under ``want``; tracks it does not list are as ``known``. ConfigError for a server in two, and a share without servers."""
    tracks = {**known, **{track: tuple(member.name for member in members) for track, members in want.members.items()}}
    seen: dict[str, str] = {}
    for track, hosts in tracks.items():
        for host in hosts:
            server = names.get(host, host)
            if server in seen:
                raise ConfigError(f"server {server} is in {seen[server]} and in {track}", do="A server belongs to one track.")
            seen[server] = track
    for track, weight in want.weights.items():
        if weight and not tracks.get(track):
            raise ConfigError(f"{track} shall have {show_percent(weight)} and has no servers")
    return tracks


def plan(want: Routes, tracks: Tracks, servers: Servers, bound: Iterable[str] = ()) -> tuple[dict[str, Target], Fraction]:
    """The target of each host, and by how many points the split misses at worst.

    ``bound``: hosts that a cookie leads to whatever their weight. Those of a track that shall have nothing go to maintenance, which no cookie outranks.

    Within a track a server's part is its configured weight (0 counts as the largest) times its ramp. Servers that are down get the weight of
    their kind, but only those up count in the split; so do all where a whole track is down.
    """
    ramps = {member.name: math.ceil(member.ramp * 100) for members in want.members.values() for member in members}  # hundredths of a per cent
    largest = max((server.initial for server in servers.values()), default=0) or MAX_WEIGHT
    sizes = {}
    for host, server in servers.items():
        stays_out = host not in ramps and server.forced != "ready" and not server.put_away
        sizes[host] = 0 if stays_out else (server.initial or largest) * ramps.get(host, _WHOLE)
    groups: dict[tuple[str, int], int] = {}
    for track, hosts in tracks.items():
        if want.weight(track) and not any(sizes[host] for host in hosts):
            raise ConfigError(f"{track} shall have {show_percent(want.weight(track))} and all its servers are out of rotation")
        alive = any(sizes[host] and servers[host].state != "down" for host in hosts)
        for host in hosts:
            if sizes[host]:
                counts = servers[host].state != "down" or not alive
                groups[track, sizes[host]] = groups.get((track, sizes[host]), 0) + counts
    listed = [Group(track, want.weight(track), size, number) for (track, size), number in groups.items()]
    if max(want.weights.values()) == FULL and all(ramp in (0, _WHOLE) for ramp in ramps.values()):
        # Nothing to split: the configured weights, which static algorithms take too.
        weights, error = tuple(group.size // _WHOLE if group.share else 0 for group in listed), Fraction(0)
    else:
        weights, error = whole_weights(listed, MAX_WEIGHT)
    whole = dict(zip(groups, weights))
    targets: dict[str, Target] = {}
    held = set(bound)
    for track, hosts in tracks.items():
        for host in hosts:
            state = ("ready" if ramps[host] else "drain") if host in ramps else "ready" if servers[host].put_away and sizes[host] else None
            if host in held and not want.weight(track) and (state or servers[host].forced) == "ready":
                state = "maint"
            targets[host] = Target(whole.get((track, sizes[host])), state)
    return targets, error


def order(tracks: Tracks, servers: Servers, targets: Mapping[str, Target]) -> tuple[list[str], list[str]]:
    """The hosts to raise, and then those to lower: traffic is never without a server, and a gaining track whose servers all move the same way never
    exceeds what it shall have. (Where they move both ways it does, between the two, by what is taken from its own servers.)

    Raised: giving tracks first (where the scale grows), so that the receivers' share dips for an instant instead of overshooting.
    Lowered: those to 0 first, then receivers, then givers.
    """
    live = shares(sums(tracks, servers))
    then = shares({track: sum(targets[host].after(servers[host]) for host in hosts) for track, hosts in tracks.items()})
    gains = {track: then.get(track, 0) >= live.get(track, 0) for track in tracks}
    gaining = {host: gains[track] for track, hosts in tracks.items() for host in hosts}
    now = {host: server.weight if server.serving else 0 for host, server in servers.items()}
    after = {host: target.after(servers[host]) for host, target in targets.items()}
    rises = sorted((host for host in targets if after[host] >= now[host]), key=lambda host: gaining[host])
    falls = sorted((host for host in targets if after[host] < now[host]), key=lambda host: (after[host] > 0, not gaining[host]))
    return rises, falls


def lacking(want: Routes, tracks: Tracks, servers: Servers) -> str:
    """What is not as wanted, in words; empty when nothing is."""
    wanted_members = [member for members in want.members.values() for member in members]
    resting = {member.name for track, group in want.members.items() if not want.weight(track) for member in group if servers[member.name].put_away}
    for member in wanted_members:
        if bool(member.ramp) != (servers[member.name].forced == "ready") and member.name not in resting:
            return f"{member.name} is {servers[member.name].state}, not {'in service' if member.ramp else 'drained'}"
    live = shares(sums(tracks, servers))
    for track, wanted in want.weights.items():
        found = live.get(track, Fraction(0))
        if not reached(wanted, found):
            out = [f"{host} {server.state}" for host, server in servers.items() if server.state != "up"]
            return f"{track} has {show_percent(found)} instead of {show_percent(wanted)}" + (f" ({', '.join(out[:5])})" if out else "")
    if any(member.ramp not in (0, FULL) for member in wanted_members):
        targets, _error = plan(want, tracks, servers)
        for host, target in targets.items():
            if target.weight not in (None, servers[host].weight):
                return f"{host} has weight {servers[host].weight} instead of {target.weight}"
    return ""


def sums(tracks: Tracks, servers: Servers) -> dict[str, int]:
    """The sum of weights of the servers that take traffic, per track."""
    return {track: sum(servers[host].weight for host in hosts if servers[host].serving) for track, hosts in tracks.items()}


def members(hosts: Iterable[str], servers: Servers) -> tuple[Member, ...]:
    """A track's servers with the ramps their live weights mean; what rounding alone explains is a full one."""
    present = list(hosts)
    largest = max((server.initial for server in servers.values()), default=0) or MAX_WEIGHT
    sizes = {host: Fraction(servers[host].initial or largest) for host in present}
    ready = [host for host in present if servers[host].forced == "ready"]
    unit = max((servers[host].weight / sizes[host] for host in ready), default=Fraction(0))
    result = []
    for host in present:
        full = unit * sizes[host]
        weight = servers[host].weight
        if host not in ready and not servers[host].put_away:
            result.append(Member(host, Fraction(0)))
        elif not unit or full - weight < 1:
            result.append(Member(host))
        else:
            result.append(Member(host, Fraction(round(FULL * weight / full))))
    return tuple(result)
