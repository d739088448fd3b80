# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random briefs, a world that carries a plan out step by step, and the rules that must hold after each of its steps."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import settings
from hypothesis import strategies as st

from ansible_collections.progressive.delivery.plugins.module_utils.core.capacity import carries
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import FULL, Capability, Condition, MatchRoute, Mirror
from ansible_collections.progressive.delivery.plugins.module_utils.core.plan import GateSpec, HookSpec, Kind, Step, apply
from ansible_collections.progressive.delivery.plugins.module_utils.core.shares import part
from ansible_collections.progressive.delivery.plugins.module_utils.core.strategies.brief import Brief, StepSpec
from ansible_collections.progressive.delivery.plugins.module_utils.core.strategies.compile import HOOK_POINTS, IN_PLACE, compile_plan

ALL = frozenset(Capability)
SPLITS = frozenset({Capability.WEIGHT})
SWITCHES = frozenset()
DRAINS = frozenset({Capability.WEIGHT, Capability.DRAIN})


def bounded(examples: int) -> settings:
    """Always the same examples, so that a red build is the change's doing."""
    return settings(derandomize=True, deadline=None, max_examples=examples, database=None)


def hosts(prefix: str, count: int) -> tuple[str, ...]:
    return tuple(f"{prefix}{number}" for number in range(1, count + 1))


def brief(strategy="canary", stable=3, canary=1, **more) -> Brief:
    """A brief with everything in order."""
    given = {"version": "2", "previous": "1", "capabilities": ALL, **more}
    return Brief(strategy=strategy, home={"stable": hosts("s", stable), "canary": hosts("c", canary)}, **given)


def weights(*levels) -> tuple[StepSpec, ...]:
    return tuple(StepSpec(weight=Fraction(str(level)), where=f"rollout_steps[{index}].set_weight") for index, level in enumerate(levels))


BAKE = Step("bake", Kind.BAKE, duration=60.0)
MATCH = Step("match qa", Kind.MATCH, match=MatchRoute("qa", ((Condition("header", "x-qa", "exact", "1"),),)), bind="qa")
UNMATCH = Step("unmatch qa", Kind.MATCH, bind="qa")
MIRROR = Step("mirror 10 %", Kind.MIRROR, mirror=Mirror(Fraction(10)))
NO_MIRROR = Step("mirror 0 %", Kind.MIRROR)

levels = st.one_of(st.integers(0, 100), st.sampled_from(["33.3", "0.01", "66.67", "99.99", "12.5", "0"])).map(lambda value: Fraction(str(value)))
extras = st.sampled_from([BAKE, BAKE, MATCH, UNMATCH, MIRROR, NO_MIRROR, Step("hook tidy", Kind.HOOK, hook=HookSpec("tidy", tasks="tidy.yml"))])


@st.composite
def step_specs(draw) -> tuple[StepSpec, ...]:
    """The user's steps: rising weights with other things in between; at times empty, so that the strategy chooses."""
    result = []
    for index, level in enumerate(sorted(draw(st.lists(levels, max_size=5)))):
        result.append(StepSpec(weight=level, where=f"rollout_steps[{index}].set_weight"))
        result.extend(StepSpec(step=step, where=f"rollout_steps[{index}]") for step in draw(st.lists(extras, max_size=2)))
        if draw(st.integers(0, 5)) == 0:
            result.append(StepSpec(step=Step(f'gate "g{index}"', Kind.GATE, gate=GateSpec(f"g{index}")), where=f"rollout_steps[{index}]"))
    if draw(st.integers(0, 4)) == 0:
        result.insert(0, StepSpec(step=draw(extras), where="rollout_steps[0]"))
    return tuple(result)


counts = st.one_of(st.integers(0, 13), st.integers(0, 100).map(lambda share: f"{share}%"))
rolling_options = st.fixed_dictionaries({}, optional={
    "preset": st.sampled_from(["conservative", "balanced", "fast"]), "max_unavailable": counts, "max_surge": counts, "min_healthy": counts,
    "batches": st.lists(counts, min_size=1, max_size=4), "ramp": st.sampled_from([[25, 100], [25], [10, 50], [100]]),
    "bake_first": st.just(30.0), "bake_between": st.just(10.0), "monitor": st.just(60.0),
})
blue_green_options = st.fixed_dictionaries({}, optional={
    "auto_promotion_enabled": st.booleans(), "auto_promotion_seconds": st.just(30.0), "post_promotion_seconds": st.just(60.0),
})
ab_options = st.fixed_dictionaries({}, optional={"share": levels, "max_duration": st.just(3600.0)})
OPTIONS = {"rolling": rolling_options, "blue_green": blue_green_options, "ab_test": ab_options}


@st.composite
def briefs(draw, strategies=("canary", "canary", "canary", "ab_test", "blue_green", "rolling", "recreate"), members=None, known=None) -> Brief:
    """Any brief; many cannot be compiled, which is one thing to test, and :func:`compiled` drops those."""
    strategy = draw(st.sampled_from(strategies))
    by_hosts = bool(members) or draw(st.integers(0, 7)) > 0
    home = {"stable": hosts("s", draw(st.integers(0, 12))), "canary": hosts("c", draw(st.one_of(st.integers(0, 2), st.integers(0, 12))))}
    home = home if by_hosts else {"stable": (), "canary": ()}
    first = not members and draw(st.integers(0, 15)) == 0
    live = draw(st.sampled_from(["stable", "stable", "canary"]))
    options = draw(OPTIONS.get(strategy, st.just({})))
    if strategy == "rolling" and home[live] and draw(st.booleans()):
        zone_of = {host: draw(st.sampled_from("abc")) for host in home[live]}
        options = {**options, "zones": {zone: [host for host in home[live] if zone_of[host] == zone] for zone in sorted(set(zone_of.values()), reverse=True)}}
    capabilities = ALL if members else draw(st.sampled_from([ALL, ALL, ALL, SPLITS, DRAINS, SWITCHES]))
    return Brief(
        strategy=strategy, version="2", home=home, live=live,
        previous="" if first else "1" if known else draw(st.sampled_from(["1", "1", ""])), first=first,
        capabilities=capabilities, routed=bool(members) or draw(st.integers(0, 7)) > 0,
        by_hosts=by_hosts,
        steps=draw(step_specs()), options=options,
        hooks={point: (HookSpec(f"hook-{point}", tasks="x.yml"),) for point in draw(st.lists(st.sampled_from(HOOK_POINTS), unique=True, max_size=2))},
        health=draw(st.booleans()), watch=draw(st.booleans()), allow_overload=draw(st.integers(0, 7)) == 0,
        resolution=draw(st.sampled_from([10000, 100, 256, 0])),
    )


def compiled(given: Brief):
    """The plan, or None for a brief that is refused in the one way that is allowed."""
    try:
        return compile_plan(given)
    except ConfigError:
        return None


class World:
    """What the hosts and the router hold while steps are carried out. Asserts after each what must always hold."""

    def __init__(self, given: Brief, plan, routes=None, *, overload=False) -> None:
        self.brief, self.plan = given, plan
        self.routes = plan.start if routes is None else routes
        self.overload = overload or given.allow_overload
        self.version = {host: "1" for group in plan.home.values() for host in group}
        self.deployed: list[str] = []
        self.check()

    def do(self, step: Step) -> None:
        if step.kind is Kind.DEPLOY:
            self._deploy(step)
        if step.kind is Kind.JOIN:
            assert not set(step.hosts) & set(self._stale(step)), f"{step.name}: joins {step.track} with another version"
        before = self.routes
        self.routes = apply(self.routes, step, self.plan)
        self.check(step)
        self._check_share(step, before)

    def _check_share(self, step: Step, before) -> None:
        """A share that the plan chose itself is one that the router can hold, and its receiver carries all of it."""
        asked = {spec.weight for spec in self.brief.steps} | {self.brief.options.get("share")}
        if step.kind is not Kind.WEIGHT or step.weight in asked:
            return
        if self.plan.resolution in (100, 10000):
            assert (step.weight * self.plan.resolution / 100).denominator == 1, f"{step.name}: {step.weight} is no whole number of parts"
        if self.brief.by_hosts and not self.overload and self.plan.home[self.plan.candidate] and self.brief.strategy not in IN_PLACE:
            for track, weight in self.routes.weights.items():
                assert weight <= before.weight(track) or weight <= carries(self.serving(track), self.plan.full_load), f"{step.name}: too much for {track}"

    def _stale(self, step):
        """Hosts that would join a track whose version they do not run; after a step that was half done anything may run there."""
        wanted = "2" if step.track == self.plan.candidate else self.plan.previous or "1"  # unknown to the plan; it is what runs there
        return [host for host in step.hosts if self.plan.candidate != self.plan.stable and self.version[host] not in (wanted, "?")]

    def _deploy(self, step: Step) -> None:
        for host in step.hosts:
            self.version[host] = step.version
            self.deployed.append(host)
        if not self.brief.routed or self.brief.strategy == "recreate" or self.brief.first or not step.hosts:
            return
        for track, group in self._members().items():
            busy = self.routes.weight(track) > 0 or any(route.track == track for route in (*self.routes.matches, *filter(None, [self.routes.mirror])))
            serving = {member for member, ramp in group if ramp > 0}
            assert not (busy and serving & set(step.hosts)), f"{step.name}: users are on {sorted(serving & set(step.hosts))}"

    def _members(self):
        if self.routes.members:
            return {track: [(member.name, member.ramp) for member in group] for track, group in self.routes.members.items()}
        return {track: [(host, FULL) for host in group] for track, group in self.plan.home.items()}

    def serving(self, track: str) -> int:
        return sum(1 for _host, ramp in self._members().get(track, []) if ramp > 0)

    @property
    def away(self) -> int:
        return sum(1 for group in self._members().values() for _host, ramp in group if ramp == 0)

    def check(self, step=None) -> None:
        told = step.name if step else "start"
        assert sum(self.routes.weights.values()) == 100 and min(self.routes.weights.values()) >= 0, told
        if not self.brief.by_hosts or not self.brief.routed:
            return
        names = [host for group in self._members().values() for host, _ramp in group]
        assert sorted(names) == sorted(host for group in self.plan.home.values() for host in group), f"{told}: a host is lost, or in two tracks"
        busy = {track for track, weight in self.routes.weights.items() if weight > 0}
        busy |= {route.track for route in (*self.routes.matches, *filter(None, [self.routes.mirror]))}
        for track in busy:
            assert self.serving(track) > 0, f"{told}: {track} is asked for requests and nobody serves"
        if self.brief.strategy in IN_PLACE or self.brief.first or self.overload:
            return
        alone = not self.plan.home[self.plan.candidate]
        for track, weight in self.routes.weights.items():
            # With no canary host of its own no host can be spared: then, and only then, one side carries less than one host's share too much.
            most = carries(self.serving(track) + (1 if alone else 0), self.plan.full_load)
            # What the router cannot split off stays where it is: less than one part.
            over = weight - most
            assert over <= 0 or over < part(self.plan.resolution), f"{told}: {track} takes {weight} and its {self.serving(track)} hosts carry {most}"


def way_back_world(given: Brief, plan, position: int, *, half: bool, overload: bool) -> World:
    """The world in which a plan stopped: ``half`` says that the step at ``position`` had happened although nobody reported it."""
    world = World(given, plan, overload=overload)
    for step in plan.steps[:position]:
        world.do(step)
    if half:
        world.do(plan.steps[position])
    elif plan.steps[position].kind is Kind.DEPLOY:
        world.version.update(dict.fromkeys(plan.steps[position].hosts, "?"))
    world.deployed = []
    return world
