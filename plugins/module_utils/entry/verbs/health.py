# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait until many targets are well, asked all at the same time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, Optional

from ...clients.probe import Prober
from ...core import health, rollout
from ...core.advance import Result
from ...core.errors import Away, DeliveryError, Fenced, Interrupted, Unavailable
from ...core.health import HEALTH_OPTIONS
from ...core.lease import Session
from ...core.model import FULL, Progress
from ...core.options import Option, Options, check
from ...core.plan import WORKLOAD
from ...core.poll import PollResult
from ...core.ports import Clock, ManagedWorkload
from ...core.record import Record
from ...core.report import wording
from ...core.target import Target, targets_from
from ...core.units import count_or_percent, duration, show_percent
from .. import build
from ..context import Context
from ..run import RELEASE_OPTION, Run, for_step, seen, tracks_of
from ..stored import stored_record

OPTIONS: Options = {
    **RELEASE_OPTION,
    "targets": Option("dict", "Name and address of each target; an address is host, host:port or [IPv6]:port.", open=True),
    "checks": Option("dict", "What is asked and how long to insist.", options=HEALTH_OPTIONS),
    "verify": Option("bool", "With a release: that stable carries everything, and its hosts and C(rollout_verify) answer.", default=False),
}

TICK = 10.0
"""Longest time between two looks at the lease while a check waits for its next look, in seconds."""


def run(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Ask the hosts of the release's current step, or the targets of the options."""
    if params.get("release") and params.get("verify"):
        return _verify(params["release"], context)
    if params.get("release"):
        return for_step(params, context, carry_out)
    wanted = parsed(params.get("checks") or {}, "checks")
    targets = targets_from(params.get("targets") or {})
    if context.check_mode:
        return {"changed": False, "healthy": True, "summary": f"would ask {len(targets)} targets"}
    result = health.run(wanted, targets, Prober(wanted.check, wanted.timeout), context.clock, on_look=lambda look: _say(context, "health", wanted, look))
    return {"changed": False, **health.to_json(wanted, result)}


def carry_out(current: Run, context: Context) -> dict[str, Any]:
    """Wait until the hosts, or the track, of the release's current step are well."""
    if not current.by_hosts:
        late = _not_ready(current, context)
        if late is not None:
            return {"changed": False, "seen": late}
    hosts = current.doing.hosts
    targets = targets_of(current.spec, hosts) if current.by_hosts else replicas_of(current.spec, current.doing.track)
    if not targets or not current.spec.get("health"):
        return {"changed": False, "seen": seen(current, Result.DONE)}  # all of them were given up before, or readiness is all there is to ask
    wanted = parsed(current.spec["health"], "rollout_health")

    def tick() -> None:
        reason = current.tick()
        if reason:
            raise _Stopped(reason)

    def on_look(look: PollResult) -> None:
        _say(context, current.label, wanted, look)
        tick()

    try:
        result = health.run(wanted, targets, prober(wanted, current.spec), Ticking(context.clock, tick), on_look=on_look)
    except _Stopped as stopped:
        return {"changed": False, "seen": seen(current, Result.ABORTED, str(stopped))}
    except (Away, Fenced, Interrupted):
        raise
    except DeliveryError as error:
        return {"changed": False, "seen": seen(current, Result.FAILED, str(error))}
    found = health.to_json(wanted, result)
    current.event("health", step=current.index, seconds=found["seconds"], targets={
        name: {"healthy": target["healthy"], "attempts": target["attempts"], "error": target["last_error"], "latency_ms": target["latency_ms"]}
        for name, target in found["targets"].items()})
    if result.healthy:
        return {"changed": False, **found, "seen": seen(current, Result.DONE)}
    return {"changed": False, **found, "seen": seen(current, Result.FAILED, found["summary"], hosts=found["unhealthy"])}


def _not_ready(current: Run, context: Context) -> Optional[dict[str, Any]]:
    """The report of a step whose track does not get ready; None once it is."""
    workload, track, said = build.workload(current.spec), current.doing.track, ""
    called = current.record.plan.called.get(track, track)

    def on_look(look: Progress) -> None:
        nonlocal said
        reason = current.tick()
        if look.why and look.why != said:
            said = look.why
            context.say(f"{current.label}: {look.why}")
        if reason:
            raise _Stopped(reason)

    untouched = current.record.back and not any(step.kind in WORKLOAD and step.track == track for step in current.record.way_back[: current.record.position])
    timeout = duration(current.spec["deploy_timeout"])
    started = context.clock.now()
    try:
        if untouched and current.record.plan.full_load and _put_to_sleep(workload, track):
            # Somebody, or what scales idle workloads to 0, while it had no traffic: it is about to have all of it.
            workload.scale(track, current.record.plan.full_load)
            context.say(f"{current.label}: it was scaled to 0, and gets its {wording.plural(current.record.plan.full_load, 'Pod')} back")
        elif untouched:
            timeout = min(timeout, duration(current.spec["propagation_timeout"]))
        look = rollout.wait(workload, track, context.clock, timeout, on_look, current.record.given(track))
    except _Stopped as stopped:
        return seen(current, Result.ABORTED, str(stopped))
    except (Away, Fenced, Interrupted):
        raise
    except DeliveryError as error:
        return seen(current, Result.FAILED, str(error))
    current.event("ready", step=current.index, name=called, ready=look.ready, wanted=look.wanted, why="" if look.done else look.why,
                  seconds=round(context.clock.now() - started, 3))
    if look.done:
        context.say(f"{current.label}: {look.ready} of {wording.plural(look.wanted, 'Pod')}")
        return None
    if untouched and look.ready:
        # What it lacks no release made it lack. To wait for that would leave everybody on a version that is known to be bad.
        context.say(f"{current.label}: {look.why}: these take over")
        return None
    return seen(current, Result.FAILED, f"{called} does not get ready: {look.why}")


def _put_to_sleep(workload: ManagedWorkload, track: str) -> bool:
    found = workload.read().get(track)
    return found is not None and not found.replicas


def replicas_of(spec: Mapping[str, Any], track: str) -> tuple[Target, ...]:
    """The ready replicas of a track at their addresses."""
    return targets_from(build.workload(spec).addresses(track), "rollout_workload")


def _verify(spec: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Stable carries everything by the live router's account, its hosts are well, and the users' own entry points answer."""
    record = stored_record(build.store(spec["store"], spec["name"], context))
    slot = record.stable.slot if record is not None and record.stable is not None else "stable"
    findings: list[str] = []
    good, keep = True, _kept(spec, context)
    given_up = record.lost if record is not None else ()
    hosts = tuple(host for host in (spec.get("hosts") or {}).get(slot, ()) if host not in given_up)
    if spec.get("router"):
        tracks = {name: tuple(names) for name, names in (spec.get("hosts") or {}).items()} if record is None else tracks_of(record.routes, spec)
        weight = build.router(spec["router"], tracks, context).read().weight(slot)
        good = weight == FULL
        version = record.stable.version if record is not None and record.stable is not None else ""
        findings.append(f"{wording.slot(slot, version, record.plan.called if record is not None else {})} carries {show_percent(weight)}")
    if build.by_hosts(spec):
        targets = targets_of(spec, hosts)
    else:
        ready, told = _track(spec, record, slot)
        good = good and ready
        findings.append(told)
        targets = replicas_of(spec, slot)
    for name, options, asked in ((f"hosts of {slot}", spec.get("health"), targets),
                                 ("checks", spec["verify"].get("checks"), targets_from(spec["verify"].get("targets") or {}))):
        if options and asked:
            wanted = parsed(options, name)
            result = health.run(wanted, asked, prober(wanted, spec), Ticking(context.clock, keep), on_look=lambda look: keep())
            good = good and result.healthy
            findings.append(f"{name}: {health.summary(wanted, result)}")
    text = "; ".join(findings) or "nothing to verify"
    context.say(f"{spec['name']}: verified: {text}" if good else f"{spec['name']}: NOT verified: {text}")
    return {"changed": False, "healthy": good, "summary": text}


def _track(spec: Mapping[str, Any], record: Optional[Record], slot: str) -> tuple[bool, str]:
    """Whether the track that is stable runs the stable version and is ready, and how that reads."""
    workload = build.workload(spec)
    look, track = workload.progress(slot), workload.read().get(slot)
    wanted = record.stable.version if record is not None and record.stable is not None else ""
    runs = track.version if track is not None else "nothing"
    name = record.plan.called.get(slot, slot) if record is not None else slot
    if not look.done:
        return False, f"{name} is not ready: {look.why}"
    if wanted and runs != wanted:
        return False, f"{name} runs {runs}, not {wanted}"
    return True, f"{look.ready} of {wording.plural(look.wanted, 'Pod')} ready"


def _kept(spec: Mapping[str, Any], context: Context) -> Callable[[], None]:
    """What keeps the lease of a run while it verifies; nothing where no run does. A store that is away is no finding about the service."""
    if "session" not in spec:
        return lambda: None
    session = Session(build.store(spec["store"], spec["name"], context), context.clock, spec["session"]["holder"], int(spec["session"]["fence"]))

    def keep() -> None:
        with contextlib.suppress(Unavailable):
            session.renew_if_due()

    return keep


class Ticking:
    """A clock whose sleeps are never long without a tick, which may raise to end them."""

    def __init__(self, clock: Clock, tick: Callable[[], None]) -> None:
        self._clock, self._tick = clock, tick

    def now(self) -> float:
        return self._clock.now()

    def time(self) -> float:
        return self._clock.time()

    def sleep(self, seconds: float) -> None:
        until = self.now() + seconds
        while self.now() < until:
            self._clock.sleep(min(TICK, until - self.now()))
            self._tick()


class _Stopped(Exception):
    """Somebody asked to stop while we waited."""


def parsed(options: Any, where: str) -> health.Health:
    """The health check of a release. Raises ConfigError."""
    return health.parse(check(options, Option("dict", "", options=HEALTH_OPTIONS), where), where)


def allowed(wanted: health.Health, total: int) -> int:
    """How many of ``total`` targets may be unhealthy."""
    return count_or_percent(wanted.max_failed, total, round_up=False, where="max_failed")


def prober(wanted: health.Health, spec: Mapping[str, Any]) -> Prober:
    """Asks as the release allows."""
    return Prober(wanted.check, wanted.timeout, allow=spec.get("url_allow") or ())


def targets_of(spec: Mapping[str, Any], hosts: tuple[str, ...]) -> tuple[Target, ...]:
    """The hosts at their addresses."""
    addresses = spec.get("addresses") or {}
    return targets_from({host: addresses.get(host) or host for host in hosts}, "rollout_workload.pool.address_variable")


def _say(context: Context, label: str, wanted: health.Health, look: PollResult) -> None:
    context.say(f"{label}: {health.summary(wanted, look)}")
