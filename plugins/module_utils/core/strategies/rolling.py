# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rolling: hosts of the live slot get the new version batch by batch, each batch out of rotation while it changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from ..capacity import PRESETS, batches, unavailable_and_surge
from ..errors import ConfigError
from ..model import FULL, Capability
from ..plan import Kind, Step
from ..units import count_or_percent, show_percent
from .brief import Brief
from .transfer import move

WHERE = "rollout_rolling"


def steps(brief: Brief) -> tuple[str, list[Step]]:
    """(slot that is stable afterwards, steps)."""
    hosts = brief.home[brief.live]
    options = brief.options
    if brief.routed and Capability.DRAIN not in brief.capabilities:
        raise ConfigError("this router cannot take single hosts out of rotation", where="rollout_router",
                          do="Rolling needs DRAIN, such as haproxy has; or use blue_green.")
    sizes, most = batch_sizes(brief, len(hosts))
    ramp = _ramp(tuple(Fraction(level) for level in options.get("ramp") or ()))
    zones = _zones(options.get("zones") or {}, hosts)
    made = batches(zones, sizes, most, f"{WHERE}.batches")
    looked = next((index for index, batch in enumerate(made) if batch[-1] == zones[0][-1]), 0) if len(zones) > 1 else 0
    result: list[Step] = []
    for index, batch in enumerate(made):
        for step in move(batch, brief.live, brief.version, health=brief.health, drain=brief.routed, ramp=ramp):
            if brief.routed or step.kind is not Kind.JOIN:
                result.append(step)
        bake = max(options.get("bake_between", 0.0) if index else 0.0, options.get("bake_first", 0.0) if index == looked else 0.0)
        if bake and len(batch) < len(hosts):
            result.append(Step("bake", Kind.BAKE, duration=bake, watch=brief.watch))
    if options.get("monitor"):
        result.append(Step("monitor", Kind.BAKE, duration=options["monitor"], watch=brief.watch))
    result.append(Step("promote", Kind.PROMOTE))
    return brief.live, result


def _zones(zones: Mapping[str, Sequence[str]], hosts: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The pool's ``hosts`` by zone, in the order of the zones; all as one where there are none. Raises ConfigError unless each host is in exactly one."""
    if not zones:
        return [hosts]
    where = f"{WHERE}.zones"
    for host in hosts:
        found = [zone for zone, names in zones.items() if host in names]
        if not found:
            raise ConfigError(f"{host} is in none of the zones", where=where, do=f"Put it into one of the groups {', '.join(zones)}, or name its group too.")
        if len(found) > 1:
            raise ConfigError(f"{host} is in the zones {' and '.join(found)}", where=where, do="A host belongs to one zone.")
    result = [tuple(host for host in hosts if host in names) for names in zones.values()]
    for zone, members in zip(zones, result):
        if not members:
            raise ConfigError(f"zone {zone} has no host of the pool", where=where, do="Put hosts into the group, or take it off the list.")
    return result


def _ramp(levels: tuple[Fraction, ...]) -> tuple[Fraction, ...]:
    """The shares a host takes one after the other; the last one is always its full share. Raises ConfigError when they do not rise."""
    for index, level in enumerate(levels):
        if level <= (levels[index - 1] if index else 0):
            raise ConfigError(f"{show_percent(level)} does not rise", where=f"{WHERE}.ramp[{index}]", do="Shares of a ramp rise from above 0 to 100.")
    return levels if levels and levels[-1] == FULL else (*levels, FULL)


def batch_sizes(brief: Brief, total: int) -> tuple[list[object], int]:
    """(sizes as asked, the most hosts that may be away at once). Raises ConfigError when nothing could ever move."""
    options = brief.options
    preset = PRESETS[options.get("preset", "balanced")]
    unavailable, surge = unavailable_and_surge(options.get("max_unavailable", preset[0]), options.get("max_surge", preset[1]), total, WHERE)
    # A pool cannot surge: there is no spare host to start. What would be surge is taken as one host away.
    most = max(unavailable, 1 if surge else 0)
    if options.get("batches"):
        most = total
    if options.get("min_healthy") is not None:
        floor = count_or_percent(options["min_healthy"], total, round_up=True, where=f"{WHERE}.min_healthy")
        most = min(most, total - floor)
        if most < 1:
            raise ConfigError(f"{floor} of {total} hosts must stay healthy, so none may ever be taken out", where=f"{WHERE}.min_healthy",
                              do="Lower it, or add a host.")
    if brief.routed and total == 1:
        raise ConfigError("a pool of one host cannot roll without an outage", where="rollout_workload.pool", do="Add a host, or use recreate.")
    if brief.routed:
        most = min(most, total - 1)
    return list(options.get("batches") or [most]), most
