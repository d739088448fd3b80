# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From checked options to the core's objects. Beyond this file no dict of options travels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Optional

from ..core.errors import ConfigError, unknown
from ..core.evidence import POINTS as VALUES
from ..core.experiment import options as experiment
from ..core.experiment.verdict import Design
from ..core.metric import Metric
from ..core.model import CANARY, STABLE, Capability, Condition, MatchRoute, Mirror
from ..core.options import one_key
from ..core.plan import GateSpec, HookSpec, Kind, Step
from ..core.ports import Addressed, Judge, ManagedWorkload, MetricProvider, StateStore, TrafficRouter
from ..core.presets import with_preset
from ..core.rollout import Update
from ..core.sequential import BUDGET, shares, spend
from ..core.strategies.brief import Brief, Scale, StepSpec
from ..core.strategies.canary import default_steps
from ..core.units import duration, percent, show_duration
from .assignment import assignment
from .catalog import JUDGES, ON, POINTS, PROVIDERS, ROUTERS, STORES, WORKLOADS, family
from .context import Context

MOST_GENERATED = 100
"""Steps that step_weight may stand for."""

Tracks = Mapping[str, "tuple[str, ...]"]


def router(options: Mapping[str, Any], tracks: Tracks, context: Context) -> TrafficRouter:
    """The router of ``{kind: options}``."""
    if context.routers is not None:
        return context.routers(options, tracks)
    return local_router(options, tracks)


def written(router: TrafficRouter, options: Mapping[str, Any]) -> str:
    """What a router of ``{kind: options}`` writes, in the journal's words: its objects where it names them, else its kind."""
    return ", ".join(router.objects) if isinstance(router, Addressed) else next(iter(options))


def local_router(options: Mapping[str, Any], tracks: Tracks) -> TrafficRouter:
    """The router, spoken to from this very host."""
    kind, inner = one_key(options, family(ROUTERS), "router", "router")
    made: TrafficRouter = ROUTERS[kind].from_options({name: value for name, value in inner.items() if name not in ON}, tracks)
    return made


def store(options: Mapping[str, Any], name: str, context: Context) -> StateStore:
    """The store of ``{kind: options}`` for the release called ``name``."""
    if context.stores is not None:
        return context.stores(options, name)
    return local_store(options, name)


def local_store(options: Mapping[str, Any], name: str) -> StateStore:
    """The store on this very host."""
    kind, inner = one_key(options, family(STORES), "store", "store")
    made: StateStore = STORES[kind].from_options(inner, name)
    return made


def by_hosts(spec: Mapping[str, Any]) -> bool:
    """Whether the release's versions are put on hosts, in plays over a pool."""
    [kind] = spec["workload"]
    return bool(WORKLOADS[kind].by_hosts)


def workload(spec: Mapping[str, Any]) -> ManagedWorkload:
    """The workload of a release that is changed through an API."""
    [(kind, options)] = spec["workload"].items()
    made: ManagedWorkload = WORKLOADS[kind].from_options(options, spec["version"], _update(spec), back=bool(spec.get("returning")))
    return made


def _update(spec: Mapping[str, Any]) -> Optional[Update]:
    """How the controller shall replace pods; None leaves it as the object says."""
    if spec.get("strategy") == "recreate":
        return Update(recreate=True)
    if spec.get("strategy") != "rolling" or spec.get("as_it_is"):
        return None
    options = spec.get("rolling") or {}
    return Update.from_preset(options.get("preset", "balanced"), options.get("max_unavailable"), options.get("max_surge"))


def provider(options: Mapping[str, Any], tracks: Tracks, allow: tuple[str, ...] = ()) -> MetricProvider:
    """The metric provider of ``{kind: options}``. ``allow``: host patterns that hold beside its own, where it speaks to addresses of the user's."""
    kind, inner = one_key(options, family(PROVIDERS), "rollout_analysis.provider", "provider")
    if allow and "url_allow" in PROVIDERS[kind].OPTIONS:
        inner = {**inner, "within": allow}
    made: MetricProvider = PROVIDERS[kind].from_options(inner, tracks)
    return made


def metrics(analysis: Optional[Mapping[str, Any]]) -> list[Metric]:
    """The metrics of an analysis. Raises ConfigError for one that could never be judged, or for two of the same name."""
    if not analysis:
        return []
    timeout = duration(analysis.get("no_data_timeout", "5m"), "rollout_analysis.no_data_timeout")
    known = {**family(JUDGES), **POINTS}
    made = [Metric.from_options(item, f"rollout_analysis.metrics[{index}]", no_data_timeout=timeout, providers=family(PROVIDERS), judges=known)
            for index, item in enumerate(with_preset(analysis.get("preset"), analysis.get("metrics") or []))]
    if not made:
        raise ConfigError("no metric is listed", where="rollout_analysis.metrics", do="List at least one, name a preset, or write rollout_analysis: none.")
    names = [metric.name for metric in made]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise ConfigError(f"metric {twice!r} is listed twice", where="rollout_analysis.metrics", do="Give each its own name.")
    for index, metric in enumerate(made):
        where = f"rollout_analysis.metrics[{index}]"
        if metric.judge in JUDGES:
            JUDGES[metric.judge].check(metric, where)
        if metric.resolution:
            _check_series(metric, analysis, where)
    shares(made, analysis.get("alpha", BUDGET))
    return made


def _check_series(metric: Metric, analysis: Mapping[str, Any], where: str) -> None:
    """Raise ConfigError where nobody weighs or answers a series of values."""
    if metric.judge not in JUDGES or JUDGES[metric.judge].KIND != VALUES:
        known = ", ".join(sorted(name for name in JUDGES if JUDGES[name].KIND == VALUES))
        raise ConfigError("resolution is for judges that weigh values", where=f"{where}.resolution", do=f"Use one of {known}, or leave it out.")
    kind = metric.provider or next(iter(analysis.get("provider") or ()), "")
    if kind and not keeps_past(kind):
        raise ConfigError(f"{kind} answers with one value of a window", where=f"{where}.resolution", do="Leave it out, or measure with prometheus.")


def keeps_past(kind: str) -> bool:
    """Whether providers of this kind answer about any time, and with series."""
    return bool(getattr(PROVIDERS[kind], "KEEPS_PAST", False))


def judges(metrics: Sequence[Metric], analysis: Mapping[str, Any], bake: int = 1, bakes: int = 0) -> dict[str, Judge]:
    """The statistical judges by their metric's name, for the ``bake``-th of ``bakes`` planned ones; without a plan this one may spend all."""
    budget = analysis.get("alpha", BUDGET)
    parts = shares(metrics, budget)
    made: dict[str, Judge] = {}
    for metric in metrics:
        if metric.judge in JUDGES:
            alpha = parts.get(metric.name, budget)
            made[metric.name] = JUDGES[metric.judge].from_options(metric.judge_options, spend(alpha, bake, bakes) if bakes else alpha)
    return made


def brief(spec: Mapping[str, Any], hosts: Tracks, *, live: str, previous: str, first: bool, by_hosts: bool, present: bool = False,
          replicas: Optional[Mapping[str, int]] = None, capabilities: frozenset[Capability], resolution: int = 0) -> Brief:
    """What the strategy gets to know, from a checked release file."""
    strategy = spec["strategy"]
    return Brief(
        strategy=strategy, version=spec["version"], home=hosts, live=live, previous=previous, first=first, present=present, capabilities=capabilities,
        resolution=resolution, routed=bool(spec.get("router")), by_hosts=by_hosts, steps=step_specs(spec), options=_strategy_options(spec, strategy),
        revision=spec.get("revision") or "", ask=spec.get("purpose") == "rollback" and spec.get("rollback_safe", False),
        replicas=replicas or {}, called=_called(spec) if not by_hosts else {},
        hooks={point: tuple(hook(item, f"rollout_hooks.{point}[{index}]") for index, item in enumerate(items))
               for point, items in (spec.get("hooks") or {}).items()},
        health=bool(spec.get("health")), watch=bool(spec.get("analysis")), allow_overload=spec.get("allow_overload", False),
    )


def zoned(spec: Mapping[str, Any], groups: Mapping[str, Any]) -> dict[str, Any]:
    """The release file with the zones of a rolling update as the hosts of their inventory groups."""
    rolling = dict(spec.get("rolling") or {})
    for index, zone in enumerate(rolling.get("zones") or ()):
        if zone not in groups:
            raise unknown("group", zone, groups, where=f"rollout_rolling.zones[{index}]")
    rolling["zones"] = {zone: list(groups[zone]) for zone in rolling.get("zones") or ()}
    return {**spec, "rolling": rolling}


def _called(spec: Mapping[str, Any]) -> dict[str, str]:
    """The names of the objects that are the slots, where the workload names them."""
    [options] = spec["workload"].values()
    return {slot: options[slot] for slot in (STABLE, CANARY) if isinstance(options.get(slot), str)}


def step_specs(spec: Mapping[str, Any]) -> tuple[StepSpec, ...]:
    """The user's steps, or those that the shorthand stands for; empty for the strategy's own."""
    if spec.get("steps"):
        return tuple(_step_spec(item, f"rollout_steps[{index}]") for index, item in enumerate(spec["steps"]))
    if spec["strategy"] != "canary":
        return ()
    options = spec.get("canary") or {}
    bake = duration(options.get("bake", "5m"))
    if options.get("step_weights"):
        return default_steps(tuple(percent(weight) for weight in options["step_weights"]), bake, "rollout_canary.step_weights")
    if options.get("step_weight") is not None:
        step, most = percent(options["step_weight"]), percent(options["max_weight"])
        for name, share in (("step_weight", step), ("max_weight", most)):
            if share <= 0:
                raise ConfigError(f"{name} is 0", where=f"rollout_canary.{name}", do="Use a share above 0.")
        if most / step > MOST_GENERATED:
            raise ConfigError(f"that makes more than {MOST_GENERATED} steps", where="rollout_canary.step_weight", do="Use a larger share.")
        weights = [min(step * count, most) for count in range(1, int(-(-most // step)) + 1)]
        return default_steps((*weights, Fraction(100)) if weights[-1] < 100 else tuple(weights), bake)
    return default_steps(bake=bake)


def hook(item: Mapping[str, Any], where: str = "rollout_hooks") -> HookSpec:
    """One hook. Raises ConfigError unless it names exactly one of tasks and role."""
    if bool(item.get("tasks")) == bool(item.get("role")):
        raise ConfigError(f"hook {item.get('name')!r} needs exactly one of tasks and role", where=where)
    return HookSpec(item["name"], tasks=item.get("tasks", ""), role=item.get("role", ""), failure=item["failure"],
                    timeout=duration(item["timeout"]), idempotent=item["idempotent"])


def gate(item: Mapping[str, Any]) -> GateSpec:
    timeout = duration(item["timeout"]) if item.get("timeout") else None
    return GateSpec(item["name"], timeout=timeout, on_timeout=item.get("on_timeout", "abort"),
                    require_other=item.get("require_other", False))


def _step_spec(item: Mapping[str, Any], where: str) -> StepSpec:
    [(kind, value)] = item.items()
    if kind == "set_weight":
        return StepSpec(weight=percent(value, f"{where}.set_weight"), where=f"{where}.set_weight")
    if kind == "set_canary_scale":
        weight = value.get("weight")
        return StepSpec(scale=Scale(value.get("replicas"), None if weight is None else percent(weight), bool(value.get("match_traffic_weight"))),
                        where=f"{where}.{kind}")
    return StepSpec(step=_step(kind, value, where), where=f"{where}.{kind}")


def _step(kind: str, value: Mapping[str, Any], where: str) -> Step:
    if kind == "bake":
        interval = duration(value["interval"], f"{where}.bake.interval") if value.get("interval") else None
        return Step("bake", Kind.BAKE, duration=duration(value["duration"]), interval=interval)
    if kind == "analysis":
        return Step("analysis", Kind.BAKE, duration=duration(value["duration"]))
    if kind == "pause":
        if value.get("duration") is not None:
            if value.get("timeout") is not None:
                raise ConfigError("a pause with a duration waits for nobody, so that it has no timeout", where=f"{where}.pause.timeout",
                                  do="Give either of them.")
            seconds = duration(value["duration"])
            return Step(f"pause {show_duration(seconds)}", Kind.BAKE, duration=seconds, watch=False)
        return Step("pause", Kind.GATE, gate=gate({"name": where.replace("rollout_steps", "pause"), **value}))
    if kind == "gate":
        return Step(f'gate "{value["name"]}"', Kind.GATE, gate=gate(value))
    if kind == "hook":
        return Step(f"hook {value['name']}", Kind.HOOK, hook=hook(value, f"{where}.hook"))
    if kind == "set_mirror_route":
        share = percent(value["percentage"])
        return Step(f"mirror {value['percentage']} %", Kind.MIRROR, mirror=Mirror(share) if share else None)
    alternatives = tuple(conditions(entry, f"{where}.{kind}.match[{index}]") for index, entry in enumerate(value.get("match") or []))
    made = MatchRoute(value["name"], alternatives) if alternatives else None
    return Step(f"match {value['name']}" if made else f"unmatch {value['name']}", Kind.MATCH, match=made, bind=value["name"])


def conditions(entry: Mapping[str, Any], where: str) -> tuple[Condition, ...]:
    """The conditions of one match item, all of which must hold."""
    result: list[Condition] = []
    for source in ("header", "cookie", "query", "path"):
        value = entry.get(f"{source}_value")
        name = entry.get(f"{source}_name") or ("path" if source == "path" else "")
        if not value and not (name and source != "path"):
            continue
        given = {how: text for how, text in (value or {}).items() if text is not None}
        if len(given) != 1 or not name:
            raise ConfigError(f"{source} needs a name and exactly one of exact, prefix and regex", where=where)
        [(how, text)] = given.items()
        result.append(Condition(source, name, how, text))
    if not result:
        raise ConfigError("nothing to match", where=where, do="Give header_name and header_value, or cookie, query or path.")
    return tuple(result)


def _strategy_options(spec: Mapping[str, Any], strategy: str) -> dict[str, Any]:
    raw = dict(spec.get(strategy) or {})
    raw["scale_down_delay"] = duration(spec.get("scale_down_delay", "30s"))
    if strategy == "blue_green":
        raw["post_promotion_seconds"] = duration(raw.get("post_promotion_bake", 0))
        if raw.get("auto_promotion_seconds"):
            raw["auto_promotion_seconds"] = duration(raw["auto_promotion_seconds"])
    if strategy == "rolling":
        for name in ("bake_first", "bake_between", "monitor"):
            raw[name] = duration(raw.get(name, 0))
        raw["ramp"] = [percent(level) for level in raw.get("ramp") or ()]
    if strategy == "ab_test":
        design, metric = trial(spec)
        if metric is None and raw.get("promote") == "winner":
            raise ConfigError("nothing says what a winner is", where="rollout_ab_test.promote", do="Give rollout_ab_test.conversion, or write manual.")
        raw.update(share=percent(raw["share"]), max_duration=design.max_duration, trial=metric is not None, promote=raw.get("promote") or "winner")
        raw.update(assignment(raw, spec["name"], conditions))
    return raw


def trial(spec: Mapping[str, Any]) -> tuple[Design, Optional[Metric]]:
    """The A/B test of a release file, and what its variants are compared by; None where a person decides. Raises ConfigError."""
    where, options = "rollout_ab_test", spec.get("ab_test") or {}
    design = experiment.design(options, where)
    if not options.get(experiment.CONVERSION):
        if options.get("run_duration"):
            raise ConfigError("nothing is counted, so that a run has nothing to go on with", where=f"{where}.run_duration",
                              do="Give rollout_ab_test.conversion, or leave it away.")
        return design, None
    metric = experiment.conversion(options[experiment.CONVERSION], f"{where}.{experiment.CONVERSION}")
    analysis = spec.get("analysis") or {}
    if not metric.provider and not analysis.get("provider"):
        raise ConfigError("nothing says where conversions are counted", where=f"{where}.conversion.provider", do="Name a provider here or in rollout_analysis.")
    if any(item.get("name") == metric.name for item in analysis.get("metrics") or ()):
        raise ConfigError(f"a metric of the analysis is called {metric.name}, too", where="rollout_analysis.metrics", do="Give it another name.")
    return design, metric
