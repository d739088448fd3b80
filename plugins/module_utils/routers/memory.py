# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A router that is only a dictionary, or a JSON file that several processes share: for tests, demonstrations and dry thinking.

The world is plain JSON: ``routes`` (as :mod:`..core.codec` writes them), ``history`` (every write that changed something), ``requests`` and
``failed`` per track, ``states`` and ``in_flight`` per server, ``epoch``, and ``faults``::

    unreachable: true     every call raises Unavailable
    refuse: 2             so many writes are refused, with nothing changed
    lag: 3                after each write, so many looks say "not applied yet"
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any, ClassVar, Optional

from ..clients import world_file
from ..core.codec import decode, encode
from ..core.errors import ConfigError, Unavailable, unknown
from ..core.model import CANARY, FULL, STABLE, Capability, Member, MemberView, Observation, Routes
from ..core.options import Option, Options
from ..core.settle import difference


class MemoryRouter:
    """The TrafficRouter port over :attr:`world`, which tests read and write."""

    SUMMARY: ClassVar[str] = "A router that is only a dictionary or a JSON file, for tests and demonstrations."
    OPTIONS: ClassVar[Options] = {
        "path": Option("path", "JSON file that holds the world, made on first use. Without it the world lives in this process only."),
        "traffic": Option("int", "Requests that arrive between two looks, split exactly by the live weights.", default=0, minimum=0),
        "capabilities": Option("list", "What this router can do. Everything but pods when not given.", elements="str"),
    }
    capabilities: frozenset[Capability] = frozenset(Capability) - {Capability.PODS}
    resolution: int = 10000

    def __init__(
        self,
        tracks: Optional[Mapping[str, tuple[str, ...]]] = None,
        world: Optional[dict[str, Any]] = None,
        path: str = "",
        traffic: int = 0,
        capabilities: Optional[frozenset[Capability]] = None,
    ) -> None:
        self._tracks = {track: tuple(hosts) for track, hosts in (tracks or {}).items()}
        self._path = path
        self._traffic = traffic
        self.world = world if world is not None else {}
        if capabilities is not None:
            self.capabilities = capabilities

    @classmethod
    def from_options(cls, options: Mapping[str, Any], tracks: Optional[Mapping[str, tuple[str, ...]]] = None) -> MemoryRouter:
        given = options.get("capabilities")
        known = {capability.value: capability for capability in Capability}
        for name in given or ():
            if name not in known:
                raise unknown("capability", name, known, where="memory.capabilities")
        narrowed = None if given is None else frozenset(known[name] for name in given)
        return cls(tracks, path=options.get("path", ""), traffic=options.get("traffic", 0), capabilities=narrowed)

    def read(self) -> Routes:
        return self._routes(self._load())

    def write(self, want: Routes) -> None:
        world = self._load()
        live = self._routes(world)
        want = replace(want, members={**live.members, **want.members})
        self._check(want)
        if _same(want, live):
            return
        if world["faults"].get("refuse", 0) > 0:
            world["faults"]["refuse"] -= 1
            self._save(world)
            raise Unavailable("the write was refused, as told to", where="memory")
        world["routes"] = encode(want)
        world["history"].append(encode(want))
        world["waiting"] = world["faults"].get("lag", 0)
        self._save(world)

    def observe(self, want: Routes) -> Observation:
        world = self._load()
        live = self._routes(world)
        for track, weight in live.weights.items():
            world["requests"][track] = world["requests"].get(track, 0) + int(weight * self._traffic / FULL)
        waiting = world["waiting"]
        world["waiting"] = max(0, waiting - 1)
        self._save(world)
        why = "not in force yet" if waiting else difference(want, live)
        return Observation(
            applied=not why,
            why=why,
            requests=dict(world["requests"]),
            failed=dict(world["failed"]),
            members={member.name: _view(member, world) for members in live.members.values() for member in members},
            epoch=str(world["epoch"]),
        )

    def release(self) -> None:
        """Drop match routes, assignment and mirror, which only a release puts there."""
        world = self._load()
        live = self._routes(world)
        if live.matches or live.mirror or live.assignment:
            world["routes"] = encode(Routes(live.weights, live.members))
            world["history"].append(world["routes"])
            self._save(world)

    def cut(self, servers: Iterable[str]) -> int:
        """Nothing is in flight to ``servers`` any more."""
        world = self._load()
        left = sum(world["in_flight"].pop(server, 0) for server in servers)
        self._save(world)
        return left

    def restart(self, lose: bool = False) -> None:
        """What a load balancer's restart does: counters at 0, a new epoch and, with ``lose``, the routes of the beginning."""
        world = self._load()
        world.update(epoch=world["epoch"] + 1, requests={}, failed={})
        if lose:
            world["routes"] = encode(self._initial())
        self._save(world)

    def _check(self, want: Routes) -> None:
        known = {host for hosts in self._tracks.values() for host in hosts}
        placed = [member.name for members in want.members.values() for member in members]
        for name in placed:
            if placed.count(name) > 1:
                raise ConfigError(f"server {name} is in two tracks", where="memory")
        for track, members in want.members.items():
            for member in members:
                if known and member.name not in known:
                    raise unknown("server", member.name, known, where="memory")
            if want.weight(track) and members and not any(member.ramp for member in members):
                raise ConfigError(f"{track} shall have traffic and all its servers are out of rotation", where="memory")

    def _initial(self) -> Routes:
        members = {track: tuple(Member(host) for host in hosts) for track, hosts in self._tracks.items()}
        first = STABLE if STABLE in members or not members else next(iter(members))
        return Routes({track: FULL if track == first else Fraction(0) for track in members or (STABLE, CANARY)}, members)

    def _routes(self, world: Mapping[str, Any]) -> Routes:
        return decode(Routes, world["routes"], "memory")

    def _load(self) -> dict[str, Any]:
        world = self.world = world_file.load(self._path, self.world)
        for key, value in (("history", []), ("requests", {}), ("failed", {}), ("states", {}), ("in_flight", {}), ("faults", {}), ("epoch", 1), ("waiting", 0)):
            world.setdefault(key, value)
        if "routes" not in world:
            world["routes"] = encode(self._initial())
        if world["faults"].get("unreachable"):
            raise Unavailable("does not answer, as told to", where="memory")
        return world

    def _save(self, world: dict[str, Any]) -> None:
        world_file.save(self._path, world)


def _view(member: Member, world: Mapping[str, Any]) -> MemberView:
    state = world["states"].get(member.name) or ("up" if member.ramp else "drain")
    return MemberView(state, in_flight=world["in_flight"].get(member.name, 0))


def _same(want: Routes, live: Routes) -> bool:
    tracks = {**want.weights, **live.weights}
    weights = all(want.weight(track) == live.weight(track) for track in tracks)
    ours = (want.members, want.matches, want.mirror, want.assignment)
    return weights and ours == (live.members, live.matches, live.mirror, live.assignment)
