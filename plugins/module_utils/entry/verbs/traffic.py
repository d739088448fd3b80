# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Move traffic and see that it moved: write, read back, measure, and drain what was taken out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Optional

from ...core.advance import Result
from ...core.codec import decode, encode
from ...core.errors import Away, ConfigError, DeliveryError, Fenced, Interrupted, TimedOut, Unavailable, Unsupported
from ...core.model import Capability, Member, Routes, Settlement
from ...core.options import Option, Options
from ...core.plan import Kind
from ...core.ports import Assigning, Cutting, Heedful, Holding, Parting, Reaching, TrafficRouter, Wary
from ...core.settle import drained, settle
from ...core.units import duration, percent, show_duration, show_percent
from .. import build
from ..catalog import ROUTERS, family
from ..context import Context
from ..guard import read_or
from ..run import RELEASE_OPTION, Run, for_step, seen

ROUTER: Options = {
    "router": Option("dict", "What splits the traffic.", options=family(ROUTERS), one_of=True),
    "tracks": Option("dict", "Servers per track, for routers that weigh single servers.", open=True),
}

PORT = ("describe", "warnings", "sessions", "unassignable", "read", "write", "observe", "cut", "let_go", "release")
"""What the action half asks of a router on another host."""

OPTIONS: Options = {
    **RELEASE_OPTION,
    **ROUTER,
    "port": Option("dict", "One call of the router's port, as the action half makes it on a load balancer's own host.", options={
        "method": Option("str", "Which.", required=True, choices=PORT),
        "routes": Option("dict", "The routes it is about.", open=True),
        "servers": Option("list", "The servers it is about.", elements="str"),
    }),
    "weights": Option("dict", "Percent of the requests per track; they sum to 100.", open=True),
    "drained": Option("list", "Servers to keep out of rotation.", elements="str"),
    "propagation_timeout": Option("duration", "The longest wait until the data plane does what it was told.", default="60s"),
    "drain_timeout": Option("duration", "The longest wait for requests in flight on drained servers.", default="30s"),
    "measure": Option("bool", "Wait until the measured share agrees, too; else the read-back is enough.", default=True),
}

LOOK_EVERY = 0.25


@dataclass(frozen=True)
class Limits:
    """How long to wait, in seconds, and how exact to be."""

    propagation: float = 60.0
    drain: float = 30.0
    tolerance: Fraction = Fraction(2)
    min_requests: int = 200


def run(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """One change of traffic: that of the release's current step, or the one the options describe."""
    if params.get("release"):
        return for_step(params, context, carry_out)
    tracks = {track: tuple(servers) for track, servers in (params.get("tracks") or {}).items()}
    router = build.router(params["router"], tracks, context)
    if params.get("port"):
        return _port(router, params["port"], context)
    before = router.read()
    want = _wanted(params, before, tracks)
    limits = Limits(duration(params["propagation_timeout"]), duration(params["drain_timeout"]))
    result: dict[str, Any] = {"changed": want != before, "before": encode(before), "after": encode(want)}
    out = tuple(params.get("drained") or ())
    if context.check_mode:
        return result
    if want == before:  # perhaps by a run that did not come to wait: what is in flight is waited for all the same
        return {**result, "in_flight": _drain(router, want, out, limits, context)} if out else result
    _receivers_answer(router, want, limits, context)
    router.write(want)
    settlement = _settled(router, want, limits, context, measure=params["measure"] and Capability.MEASURE in router.capabilities)
    left = _drain(router, want, out, limits, context) if out else 0
    return {**result, "measured": encode(settlement.measured), "requests": settlement.requests, "settled": settlement.settled,
            "reason": settlement.why, "in_flight": left}


def _port(router: TrafficRouter, call: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """One call of the port, with its answer as JSON. The routes come with the description, and a look with the write: it is asked for next anyway."""
    routes = decode(Routes, call["routes"], "port.routes") if call.get("routes") else None
    if call["method"] == "describe":
        told = {"capabilities": encode(sorted(router.capabilities)), "resolution": router.resolution}
        return {"changed": False, "answer": {**told, "routes": _if_it_answers(lambda: encode(router.read()))}}
    if call["method"] == "warnings":
        return {"changed": False, "answer": router.warnings() if isinstance(router, Wary) else []}
    if call["method"] == "sessions":
        return {"changed": False, "answer": router.sessions() if isinstance(router, Holding) else []}
    if call["method"] == "unassignable" and routes is not None:
        return {"changed": False, "answer": router.unassignable(routes) if isinstance(router, Assigning) else ""}
    if call["method"] == "read":
        return {"changed": False, "answer": encode(router.read())}
    if call["method"] == "observe" and routes is not None:
        return {"changed": False, "answer": encode(router.observe(routes))}
    if context.check_mode:
        return {"changed": True, "answer": None}
    if call["method"] == "cut" and isinstance(router, Cutting):
        return {"changed": True, "answer": router.cut(call.get("servers") or ())}
    if call["method"] == "let_go":
        if isinstance(router, Parting):
            router.let_go(call.get("servers") or ())
        return {"changed": True, "answer": None}
    if routes is None:
        router.release()
        return {"changed": True, "answer": None}
    router.write(routes)
    return {"changed": True, "answer": _if_it_answers(lambda: encode(router.observe(routes)))}


def _if_it_answers(ask: Callable[[], Any]) -> Any:
    """The answer, or None: whoever needs it asks again and gets the error."""
    try:
        return ask()
    except DeliveryError:
        return None


def _wanted(params: Mapping[str, Any], before: Routes, tracks: Mapping[str, tuple[str, ...]]) -> Routes:
    weights = {track: percent(weight, f"weights.{track}") for track, weight in (params.get("weights") or {}).items()} or dict(before.weights)
    members = before.members
    lost = sorted(set(params.get("drained") or ()) - {name for servers in tracks.values() for name in servers})
    if lost:
        raise ConfigError(f"{', '.join(lost)} is in none of the tracks", where="drained", do="Name every server of each track in tracks, spelled the same.")
    if tracks and params.get("drained") is not None:
        away = set(params["drained"])
        members = {track: tuple(Member(name, Fraction(0 if name in away else 100)) for name in servers) for track, servers in tracks.items()}
    return Routes(weights=weights, members=members, matches=before.matches, mirror=before.mirror, assignment=before.assignment)


def carry_out(current: Run, context: Context) -> dict[str, Any]:
    """Do what the release's current step says about traffic."""
    try:
        return _carry_out(current, context)
    except (Away, Fenced, Interrupted):
        raise
    except DeliveryError as error:
        return {"changed": True, "seen": seen(current, Result.FAILED, f"{error}{_rest(current, error, context)}")}


def _rest(current: Run, error: DeliveryError, context: Context) -> str:
    """On the way back one load balancer that is silent, or refuses, or one object that is gone, keeps nobody else from getting stable: the others are
    written all the same."""
    if not current.record.back or not isinstance(error, (Unavailable, ConfigError, Unsupported)):
        return ""
    router = current.router()
    if not isinstance(router, Reaching):
        return ""
    try:
        router.write_reachable(current.target)
    except DeliveryError:
        return ""
    return "; the others have what this step wants"


def _carry_out(current: Run, context: Context) -> dict[str, Any]:
    spec, step, want = current.spec, current.doing, current.target
    router = current.router()
    measure = spec.get("measure") or {}
    limits = Limits(duration(spec["propagation_timeout"]), duration(spec["drain_timeout"]), percent(measure.get("tolerance", 2)),
                    int(measure.get("min_requests", 200)))
    before = read_or(router, current.routes, strict=not current.record.back)
    _receivers_answer(router, want, limits, context, current)
    _receivers_up(router, current.routes, want, limits, current, context)
    begun = context.clock.now()
    router.write(want)
    seconds = context.clock.now() - begun
    current.event("write", step=current.index, target=build.written(router, spec["router"]), before=encode(before), after=encode(want),
                  fence=current.session.fence, seconds=round(seconds, 4))
    moved = before.weights != want.weights
    settlement = _settled(router, want, limits, context, measure=moved and Capability.MEASURE in router.capabilities, current=current)
    if moved or step.kind is Kind.WEIGHT:
        current.event("share", step=current.index, asked=encode(want.weights), measured=encode(settlement.measured),
                      requests=settlement.requests, why=settlement.why)
        context.say(f"{current.label}: {_share_line(settlement, want, current)}")
    if step.kind is Kind.DRAIN:
        _drain_for_release(router, want, limits, current, context)
    if step.kind is Kind.JOIN:
        _receivers_up(router, want, want, limits, current, context, only=set(step.hosts))
    result = Result.DONE if settlement.settled else Result.FAILED
    if result is Result.FAILED and settlement.by and current.record.back:
        result = Result.HELD  # nobody else's release is to be fought over; to go back needs the other to let go first
    return {"changed": before != want, "before": encode(before), "after": encode(want), "measured": encode(settlement.measured),
            "requests": settlement.requests, "diff": {"before": encode(before), "after": encode(want)},
            "seen": seen(current, result, settlement.why if result is not Result.DONE else "")}


def _drain_for_release(router: TrafficRouter, want: Routes, limits: Limits, current: Run, context: Context) -> None:
    """Drain the step's hosts; what outlives the wait is cut where the router can, and counted either way: it is no failed request."""
    hosts, begun = current.doing.hosts, context.clock.now()
    if current.record.back and isinstance(router, Parting):
        router.let_go(hosts)  # whoever met the new version goes back now, whatever the cookie says
    left, cut = _drain(router, want, hosts, limits, context, current), 0
    outcome = "nothing in flight"
    if left:
        outcome = f"{left} still in flight after {show_duration(limits.drain)}: this router cannot cut them, what comes next ends them"
    if left and Capability.CUT in router.capabilities and isinstance(router, Cutting):
        cut = router.cut(hosts)
        outcome = f"{left} still in flight after {show_duration(limits.drain)}, {cut} cut"
    current.event("drain", step=current.index, members=list(hosts), in_flight=left, cut=cut, seconds=round(context.clock.now() - begun, 3))
    context.say(f"{current.label}: {outcome}")


def _share_line(settlement: Settlement, want: Routes, current: Run) -> str:
    track = current.record.plan.candidate
    asked = show_percent(want.weight(track))
    if settlement.measured is None:
        return f"{asked} asked, confirmed by read-back, {settlement.why or 'nothing measured'}"
    return f"{asked} asked, {show_percent(round(float(settlement.measured.get(track, 0)), 1))} measured over {settlement.requests:,} requests"


def _receivers_answer(router: TrafficRouter, want: Routes, limits: Limits, context: Context, current: Optional[Run] = None) -> None:
    """Wait until whoever is to get more has somebody to answer, where the router can tell. Raises TimedOut."""
    if not isinstance(router, Heedful):
        return
    deadline = context.clock.now() + limits.propagation
    while why := router.unready(want):
        if context.clock.now() >= deadline:
            raise TimedOut(f"{why} after {show_duration(limits.propagation)}", where=current.label if current else "")
        _tick(current)
        context.clock.sleep(LOOK_EVERY)


def _receivers_up(router: TrafficRouter, now: Routes, want: Routes, limits: Limits, current: Run, context: Context, only: Optional[set[str]] = None) -> None:
    """Wait until every server that is to carry more is up in the load balancer's own view. Raises TimedOut naming those that are not; on the way back only
    where none is."""
    rising = [track for track, weight in want.weights.items() if weight > now.weight(track)] if only is None else list(want.members)
    names = only if only is not None else {member.name for track in rising for member in want.members.get(track, ()) if member.ramp > 0}
    if not names:
        return
    # Before the write, a server in maintenance is only waiting for that write; after it, it must be up.
    unfit = ("down",) if only is None else ("down", "maint", "unknown")
    # A track at 0 % may rest in maintenance, so that no cookie leads to it: its first share brings it up.
    resting = {member.name for track, members in want.members.items() if not want.weight(track) for member in members}
    deadline = context.clock.now() + limits.propagation
    while True:
        view = router.observe(want).members
        down = sorted(name for name in names if name in view and view[name].state in unfit and not (view[name].state == "maint" and name in resting))
        if not down:
            return
        if context.clock.now() >= deadline:
            what = f"{', '.join(down)} not up in the load balancer's own view after {show_duration(limits.propagation)}"
            if only is None and current.record.back and any(name in view and view[name].state == "up" for name in names):
                # It gets no requests; and to wait for it would leave everybody on a version that is known to be bad.
                context.say(f"{current.label}: {what}: the others of {', '.join(rising)} take over")
                return
            raise TimedOut(what, where=current.label)
        _tick(current)
        context.clock.sleep(LOOK_EVERY)


def _settled(router: TrafficRouter, want: Routes, limits: Limits, context: Context, *, measure: bool, current: Optional[Run] = None) -> Settlement:
    """Wait until the plane confirms ``want`` and, with ``measure``, until the measured share agrees.

    Some planes count a request when it is answered: what was under way when the share changed is counted where it went before. So a share that is not
    the wanted one is measured anew, until it is or the time is over; then the last one that was measured is what there is to say.
    """
    deadline = context.clock.now() + limits.propagation
    first = router.observe(want)
    while not first.applied and context.clock.now() < deadline:
        _tick(current)
        context.clock.sleep(LOOK_EVERY / 2)
        first = router.observe(want)
    if not first.applied:
        return Settlement(False, f"not confirmed after {show_duration(limits.propagation)}: {first.why}", by=first.by)
    if not measure:
        return Settlement(True, first.why)
    wrong: Optional[Settlement] = None
    begin = context.clock.now()
    while True:
        _tick(current)
        context.clock.sleep(LOOK_EVERY)
        after = router.observe(want)
        best = settle(want, first, after, limits.tolerance, limits.min_requests)
        if best.settled and best.requests >= limits.min_requests:
            return best
        if not best.settled:
            wrong, first = best if best.requests else wrong, after
        now = context.clock.now()
        if now >= deadline:
            return best if wrong is None or not best.settled else wrong
        if wrong is None and best.settled and now - begin >= _patience(best.requests, now - begin, limits):
            return best


def _patience(requests: int, elapsed: float, limits: Limits) -> float:
    """How long it is worth waiting for enough requests: until they are in, unless so few come that they never will be."""
    if requests * (limits.propagation / max(elapsed, LOOK_EVERY)) < limits.min_requests and elapsed >= min(5.0, limits.propagation):
        return elapsed
    return limits.propagation


def _drain(router: TrafficRouter, want: Routes, hosts: tuple[str, ...], limits: Limits, context: Context, current: Optional[Run] = None) -> int:
    """Wait until nothing is in flight on ``hosts``; the number still in flight when the time is over."""
    deadline = context.clock.now() + limits.drain
    while True:
        done, in_flight = drained(router.observe(want), hosts)
        if done or context.clock.now() >= deadline:
            return in_flight
        _tick(current)
        context.clock.sleep(LOOK_EVERY)


def _tick(current: Optional[Run]) -> None:
    if current is not None:
        current.session.renew_if_due()
