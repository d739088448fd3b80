# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moving share, and hosts with it, from one side to the other without ever asking a side for more than it can carry.

The same walk serves both directions: a canary that grows by taking stable hosts, and a rollback that takes them home.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from ..capacity import carries, needed
from ..model import FULL
from ..plan import Kind, Step
from ..units import show_percent


@dataclass
class Sides:
    """Who serves: hosts of the receiving and the giving side, and the receiver's share in percent.

    ``part``: the least share that the router can split off, in percent; 0 when it can make any.
    """

    receiver: list[str]
    giver: list[str]
    share: Fraction
    full_load: int
    part: Fraction = Fraction(0)


def transfer(sides: Sides, target: Fraction, *, movable: list[str], receiver_track: str, candidate_receives: bool, version: str,
             health: bool) -> Iterator[Step]:
    """Steps that bring the receiver to ``target`` percent. Changes ``sides`` and ``movable`` as it goes.

    Hosts leave the giver only as far as what remains of it still carries its share; the receiver's share grows only as far as
    its hosts carry it. When neither helps (only where there are no more hosts than the full load needs, so that none can be spared),
    one host at a time moves all the same, because standing still would be for ever: meanwhile the giver carries less than one
    host's share too much. Its last host stays while requests go to it: there the receiver takes that share first. What the router cannot split
    off, always less than one part, stays with the giver and holds back no host.
    """

    def weight_step(share: Fraction) -> Step:
        candidate = share if candidate_receives else FULL - share
        return Step(show_percent(candidate), Kind.WEIGHT, weight=candidate)

    def take(count: int) -> Iterator[Step]:
        hosts = tuple(movable[:count])
        del movable[:count]
        sides.giver[:] = [host for host in sides.giver if host not in hosts]
        sides.receiver.extend(hosts)
        yield from move(hosts, receiver_track, version, health=health)

    while sides.share < target:
        carried = carries(len(sides.receiver), sides.full_load)
        reachable = min(target, carried - carried % sides.part if sides.part else carried)
        if reachable > sides.share:
            sides.share = reachable
            yield weight_step(reachable)
            continue
        if not movable or len(sides.giver) == 1:
            sides.share = target
            yield weight_step(target)
            break
        wanted = needed(target, sides.full_load) - len(sides.receiver)
        spare = len(sides.giver) - needed(FULL - max(sides.share, min(target, carried)), sides.full_load)
        yield from take(max(1, min(wanted, spare)))
    missing = needed(target, sides.full_load) - len(sides.receiver)
    if target == FULL and movable and missing > 0:
        yield from take(missing)


def move(hosts: tuple[str, ...], track: str, version: str, *, health: bool, drain: bool = True, ramp: tuple[Fraction, ...] = (FULL,)) -> Iterator[Step]:
    """Take hosts out of rotation, give them ``version``, and put them into ``track``."""
    names = short(hosts)
    if drain:
        yield Step(f"drain {names}", Kind.DRAIN, hosts=hosts)
    yield Step(f"deploy {names}", Kind.DEPLOY, hosts=hosts, track=track, version=version)
    if health:
        yield Step(f"health {names}", Kind.HEALTH, hosts=hosts, track=track)
    for level in ramp:
        suffix = "" if level == FULL else f" at {show_percent(level)}"
        yield Step(f"join {names}{suffix}", Kind.JOIN, hosts=hosts, track=track, ramp=level)


def short(hosts: tuple[str, ...]) -> str:
    """Up to three host names, then how many more."""
    shown = ", ".join(hosts[:3])
    return shown if len(hosts) <= 3 else f"{shown} and {len(hosts) - 3} more"
