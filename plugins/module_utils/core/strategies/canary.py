# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Canary: the new version takes a growing share, watched at each step, then becomes stable.

With a full-size canary slot the slots simply swap roles at the end: what was tested is what serves, and nothing is deployed
twice. With a smaller one, stable hosts move over as the share grows; the rest are deployed once the candidate
carries everything, and then all hosts return to their own tracks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from ..capacity import carries, needed
from ..errors import ConfigError
from ..model import FULL, STABLE, Capability
from ..plan import Kind, Step
from ..shares import part
from ..units import show_percent
from .brief import Brief, StepSpec
from .transfer import Sides, move, short, transfer

DEFAULT_WEIGHTS = (Fraction(5), Fraction(20), Fraction(50), Fraction(100))
DEFAULT_BAKE = 300.0


def default_steps(weights: tuple[Fraction, ...] = DEFAULT_WEIGHTS, bake: float = DEFAULT_BAKE,
                  where: str = "the default steps") -> tuple[StepSpec, ...]:
    """Each weight with a bake after it. ``where``: the option that the weights come from."""
    result: list[StepSpec] = []
    for index, weight in enumerate(weights):
        result.append(StepSpec(weight=weight, where=f"{where}[{index}]"))
        result.append(StepSpec(step=Step("bake", Kind.BAKE, duration=bake)))
    return tuple(result)


def steps(brief: Brief) -> tuple[str, list[Step]]:
    """(slot that is stable afterwards, steps). Raises ConfigError for a plan that cannot be."""
    live, spare = brief.live, brief.spare
    full = len(brief.home[live])
    candidate_hosts = list(brief.home.get(spare, ()))
    swap = len(candidate_hosts) >= full
    specs = brief.steps or default_steps()
    _check(brief, specs, full, len(candidate_hosts), swap)
    result: list[Step] = []
    if candidate_hosts:
        result.append(Step(f"deploy {short(tuple(candidate_hosts))}", Kind.DEPLOY, hosts=tuple(candidate_hosts), track=spare, version=brief.version))
        if brief.health:
            result.append(Step(f"health {short(tuple(candidate_hosts))}", Kind.HEALTH, hosts=tuple(candidate_hosts), track=spare))
    sides = Sides(receiver=candidate_hosts, giver=list(brief.home[live]), share=Fraction(0), full_load=full, part=part(brief.resolution))
    movable = [] if swap or not brief.moves else list(brief.home[live])

    def grow(target: Fraction) -> Iterator[Step]:
        if brief.allow_overload:
            # An explicit wish: take the share as asked, whatever the hosts would carry. But somebody has to take it.
            if movable and target and not sides.receiver:
                sides.receiver.append(movable.pop(0))
                sides.giver.remove(sides.receiver[0])
                yield from move((sides.receiver[0],), spare, brief.version, health=brief.health)
            sides.share = target
            yield Step(show_percent(target), Kind.WEIGHT, weight=target)
        else:
            yield from transfer(sides, target, movable=movable, receiver_track=spare, candidate_receives=True, version=brief.version, health=brief.health)

    for spec in specs:
        if spec.weight is not None:
            result.extend(grow(spec.weight))
        elif spec.step is not None:
            if ((spec.step.match and spec.step.match.track != STABLE) or spec.step.mirror) and not sides.receiver:
                raise ConfigError("no host runs the new version yet, so nobody could answer", where=spec.where,
                                  do="Put a set_weight above 0 before it, or hosts into the canary group.")
            watched = brief.watch or spec.step.trial or spec.step.kind is not Kind.BAKE
            result.append(spec.step if watched else replace(spec.step, watch=False))
    if sides.share < FULL:
        # Promotion is a step like the others: full weight and a look, before anything is called stable.
        result.extend(grow(FULL))
    if not swap:
        rest = tuple(host for host in brief.home[live] if host in sides.giver)
        if rest:
            result.extend(step for step in move(rest, live, brief.version, health=brief.health, drain=False) if step.kind is not Kind.JOIN)
    after = spare if swap else live
    result.append(Step("promote", Kind.PROMOTE))
    result.append(Step("clean up", Kind.CLEAN, track=after))
    result.append(Step("retire the old version", Kind.RETIRE, track=spare if not swap else live))
    return after, result


def rising(brief: Brief, specs: tuple[StepSpec, ...]) -> None:
    """Raise ConfigError for weights that fall, or that this router cannot hold."""
    last = Fraction(0)
    for spec in specs:
        if spec.weight is None:
            continue
        if spec.weight < last:
            raise ConfigError(f"{float(spec.weight):g} after {float(last):g}: weights never fall within a release", where=spec.where,
                              do="To go back use abort.")
        last = spec.weight
        if 0 < spec.weight < FULL and Capability.WEIGHT not in brief.capabilities:
            raise ConfigError("this router only switches between 0 and 100 %", where=spec.where, do="Use blue_green, or a router that splits by weight.")


def _check(brief: Brief, specs: tuple[StepSpec, ...], full: int, candidates: int, swap: bool) -> None:
    too_small = not swap and not brief.moves and not brief.allow_overload
    if brief.steps or not too_small:
        rising(brief, specs)
    for spec in specs if brief.steps else ():
        if spec.scale is not None:
            raise ConfigError("the hosts of a pool are not scaled", where=spec.where, do="Leave set_canary_scale out: hosts move as the share grows.")
        if spec.weight is not None and too_small and spec.weight > carries(candidates, full):
            raise ConfigError(
                f"{float(spec.weight):g} % needs {needed(spec.weight, full)} canary hosts, there are {candidates} beside {full} stable ones",
                where=spec.where, do="Add hosts to the canary group, use a router that can move single hosts, or set rollout_allow_overload: true.",
            )
    if too_small:
        raise ConfigError(
            f"the canary group has {candidates} hosts and cannot carry what {full} stable hosts carry",
            where="rollout_workload.pool.canary", do="Make both groups equally large, or use a router that can move single hosts.",
        )
    if not candidates and full == 1:
        raise ConfigError("a single host cannot be stable and canary at once", where="rollout_workload.pool", do="Add a host, or use recreate.")
    if not candidates and not brief.moves:
        raise ConfigError("the canary group has no hosts", where="rollout_workload.pool.canary", do="Put hosts into it.")
