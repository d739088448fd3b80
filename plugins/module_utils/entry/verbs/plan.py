# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check a release file against the world and compile its plan. Reads much, writes nothing."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Optional

from ...clients import kube_access
from ...clients.version import over_http
from ...core.codec import encode
from ...core.diff import changes
from ...core.errors import ConfigError, Conflict, Unavailable
from ...core.foresight import check_shares
from ...core.lease import Marking
from ...core.metric import Metric
from ...core.model import FULL, Capability, Routes, Track
from ...core.options import Option, Options
from ...core.plan import TRAFFIC, Kind, Plan, describe, routes_at
from ...core.ports import Assigning, Holding, Rehearsing, Remembering, StateStore, TrafficRouter, Wary
from ...core.record import Record
from ...core.strategies.compile import IN_PLACE, compile_plan
from ...core.target import fill
from ...core.units import show_percent
from .. import build, notifying, plan_text, release_file, trial_plan
from ..catalog import ROUTERS, STORES, WORKLOADS
from ..context import Context
from ..deciders import Deciders
from ..preflight import Preflight
from ..shared import takes_part
from ..stored import last_state, stored_record
from .health import targets_of
from .rollback import as_rollback, at_once, by_revision, check_database, is_remembered, within_window

OPTIONS: Options = {
    "variables": Option("dict", "The release file: every C(rollout_) variable. Default: all such variables that the task can see.", open=True),
    "groups": Option("dict", "Hosts per inventory group. Default: the inventory.", open=True),
    "addresses": Option("dict", "Address per host. Default: from the inventory.", open=True),
    "purpose": Option("str", "What the plan is for.", default="rollout", choices=("rollout", "rollback", "resume", "status")),
    "asked": Option("str", "Which playbook was started: decides what counts as success.", default="rollout", choices=("rollout", "abort", "rollback", "watch")),
    "watched": Option("str", "What was watched when it was decided to go back. Where another release came meanwhile nothing is done.", default=""),
    "arguments": Option("list", "Arguments for the commands that are shown. Default: inventories, C(-e @file)s and the like, as this run was given them.",
                        elements="str"),
    "left_out": Option("list", "Names of variables that those arguments do not set. Default: those given as C(-e name=value).", elements="str"),
    "folders": Option("list", "Where relative paths of tasks files begin. Default: the inventory's folder, then the working directory.", elements="path"),
    "strategy": Option("str", "Overrides C(rollout_strategy)."),
    "show": Option("bool", "Print the plan.", default=False),
    "probe": Option("bool", "Ask the metric providers whether they answer.", default=True),
}


RECORDED = "recorded"
"""Stands for the version of a release that is only looked at or gone on with, until the record names it."""


def run(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Returns the checked ``release``, the compiled ``plan``, ``rows`` for people, ``notes`` and ``text``."""
    variables = dict(params.get("variables") or {})
    recorded = params["purpose"] != "rollout" and not variables.get("rollout_version")
    if recorded:
        variables["rollout_version"] = RECORDED
    if params.get("strategy"):
        variables["rollout_strategy"] = params["strategy"]
    spec = release_file.located(release_file.read(variables), params.get("folders") or [])
    store = build.store(spec["store"], spec["name"], context)
    if params["purpose"] in ("rollout", "rollback"):  # what is under way is gone on with, or taken back, as far as that goes
        kube_access.check(_permitted(spec, store))
    record = stored_record(store)
    if params.get("watched") and last_state(record) != params["watched"]:
        raise Conflict("another release came since this one was watched, so nothing is taken back", where=spec["name"], do="Look with the status playbook.")
    spec = build.zoned(spec, params.get("groups") or {})
    hosts, by_hosts = _hosts(spec, params.get("groups") or {})
    goes_on = params["purpose"] == "resume" or params["purpose"] == "rollout" and record is not None and record.release.digest == digest(spec)
    if goes_on and params["asked"] == "rollout" and by_hosts:
        _check_still_there(record, params.get("groups") or {})
    if recorded:
        spec["version"] = record.release.version if record is not None else RECORDED
    spec = _asked_for(spec, params["purpose"], record, hosts, context)
    metrics = build.metrics(spec.get("analysis"))
    for step in spec.get("steps") or () if params["purpose"] == "rollout" else ():
        Deciders.of(spec, (step.get("gate") or {}).get("name", ""), context.clock)
    if params["purpose"] == "rollout":
        notifying.check(spec.get("notify") or (), spec.get("url_allow") or ())
    release = {**spec, "hosts": {slot: list(names) for slot, names in hosts.items()}, "addresses": dict(params.get("addresses") or {}),
               "purpose": params["purpose"], "asked": params["asked"], "digest": digest(spec), "planned_on": last_state(record), "who": context.who,
               "arguments": list(params.get("arguments") or []), "left_out": list(params.get("left_out") or [])}
    if params["purpose"] == "status":
        return {"changed": False, "release": release, "rows": [], "notes": [], "text": []}
    router = build.router(spec["router"], hosts, context) if spec.get("router") and params["purpose"] != "resume" else None
    foreseen: list[str] = []
    managed = None
    tracks: Mapping[str, Track] = {}
    asked: list[str] = []
    if params["purpose"] == "resume":
        if record is None:
            raise ConfigError(f"no release of {spec['name']} was ever begun", where="rollout_name", do="Start one with the rollout playbook.")
        plan = record.plan
    else:
        managed = None if by_hosts else build.workload(spec)
        tracks = managed.read() if managed else {}
        plan = _compile(release, record, hosts, tracks, router)
        if plan.previous == plan.version and isinstance(managed, Remembering):
            plan = replace(plan, former=managed.present(plan.stable))
        foreseen = managed.foresee(plan) if managed else []
    # To go back nobody is asked but the load balancer: metrics that are down with everything else must not be in the way.
    if params["probe"] and params["asked"] == "rollout" and not (record is not None and record.running and record.back):
        asked = _asked(release, metrics, plan, router, context, begun=record is not None and record.running)
        if not (record is not None and record.running):
            asked += trial_plan.notes(release, plan, context.clock)
        _assignable(plan, router)
        asked += router.sessions() if isinstance(router, Holding) else []
        _rehearsed(plan, router)
    release["plan"] = encode(plan)
    release["highest_fence"] = router.highest_fence() if isinstance(router, Marking) else 0
    rows = [describe(plan, step) for step in plan.steps]
    notes = [*_way_notes(spec), *plan.notes, *foreseen, *asked, *_store_notes(spec), *(router.warnings() if isinstance(router, Wary) else ())]
    lines = plan_text.lines(spec, plan, notes, metrics, tracks, router)
    safe = params["purpose"] == "rollback" and spec["rollback_safe"]
    if safe:
        lines += _shown_difference(plan, managed)
    if params["show"] or context.check_mode or safe:
        for line in lines:
            context.say(line)
    return {"changed": False, "release": release, "rows": rows, "notes": notes, "plan_digest": plan.digest,
            "text": lines, "diff": changes(plan)}


def _asked_for(spec: dict[str, Any], purpose: str, record: Optional[Record], hosts: Mapping[str, tuple[str, ...]], context: Context) -> dict[str, Any]:
    """The release file as what was asked for: a release, the way back to a version that was good, or either gone on with."""
    if purpose == "rollback" and is_remembered(spec, record):
        router = build.router(spec["router"], hosts, context) if spec.get("router") else None
        back = by_revision(spec, _live_slot(record, router.read() if router is not None else None))
        check_database(record, back["version"], spec["force"])
        return back
    if purpose == "rollback":
        back = as_rollback(spec, record, hosts)
        check_database(record, back["version"], spec["force"])
        return back
    if purpose == "rollout" and within_window(spec, record, context.clock.time()):
        return {**at_once(spec, hosts), "analysis": None, "quick": True}
    if purpose == "resume" and record is not None and record.running and record.release.purpose == "rollback":
        return {**spec, "returning": True, "version": record.release.version}  # whatever the file would ship
    return {**spec, "returning": False}


def _permitted(spec: Mapping[str, Any], store: StateStore) -> Iterator[kube_access.Permitted]:
    """The parts of the release that need rights in a cluster."""
    parts: list[Any] = [store]
    if not build.by_hosts(spec):
        parts.append(build.workload(spec))
    if any(takes_part(ROUTERS[kind]) for kind in spec.get("router") or {}):
        parts.append(build.local_router(spec["router"], {}))
    return (part for part in parts if isinstance(part, kube_access.Permitted))


def digest(spec: Mapping[str, Any]) -> str:
    """sha256 of the canonical wanted workload and version: what a gate's decision is bound to."""
    wanted = {"version": spec["version"], "workload": spec["workload"]}
    return hashlib.sha256(json.dumps(wanted, sort_keys=True, default=str).encode()).hexdigest()


def _hosts(spec: Mapping[str, Any], groups: Mapping[str, Any]) -> tuple[dict[str, tuple[str, ...]], bool]:
    """(hosts per slot, whether versions are put in place on hosts)."""
    [(kind, options)] = spec["workload"].items()
    adapter = WORKLOADS[kind]
    return adapter.slots(options, groups), adapter.by_hosts


def _compile(spec: dict[str, Any], record: Optional[Record], hosts: Mapping[str, tuple[str, ...]], tracks: Mapping[str, Track],
             router: Optional[TrafficRouter]) -> Plan:
    """``tracks``: what a workload that is changed through an API says of itself; empty for a pool of hosts."""
    [(kind, _options)] = spec["workload"].items()
    by_hosts: bool = WORKLOADS[kind].by_hosts
    capabilities: frozenset[Capability] = router.capabilities if router is not None else frozenset()
    now = router.read() if router is not None else None
    live = _live_slot(record, now)
    if now is not None and by_hosts and spec["purpose"] == spec["asked"] == "rollout" and not (record is not None and record.running):
        _check_in_rotation(now, live, record, spec["strategy"])
    stable = record.stable if record else None
    spare = next((slot for slot in hosts if slot != live), live)
    back = bool(spec.get("returning"))
    if by_hosts:
        previous = (stable.version if stable else "") or spec.get("previous_version") or _told(spec, hosts, live)
        present = record is not None and record.slots.get(spare) == spec["version"] and back
    else:
        previous = tracks[live].version if live in tracks else "none"
        present = back and spare in tracks and tracks[spare].version == spec["version"]
        if back and not present and spec["strategy"] not in IN_PLACE:
            spec["strategy"], spec["as_it_is"] = "rolling", True
    first = previous == "none"
    made = build.brief(spec, hosts, live=live, previous="" if first else previous, first=first, by_hosts=by_hosts, present=present,
                       replicas={name: track.replicas for name, track in tracks.items()}, capabilities=capabilities,
                       resolution=router.resolution if router is not None else 0)
    plan = compile_plan(made)
    if router is not None:
        own = (item.weight for item in made.steps if item.weight is not None)
        check_shares(plan, router.resolution, {*own, *([made.options["share"]] if made.options.get("share") else [])})
    return plan


def _check_still_there(record: Optional[Record], groups: Mapping[str, Any]) -> None:
    """Raise ConfigError for a host that a release under way has yet to deploy to, and that the inventory does not know any more: nobody knows what answers
    to its name now. The way back does what it can."""
    if record is None or not record.running or record.back:
        return
    known = {host for hosts in groups.values() for host in hosts}
    gone = [host for step in record.steps[record.position :] if step.kind is Kind.DEPLOY for host in step.hosts if host not in known]
    if gone:
        raise ConfigError(f"the release has yet to reach {', '.join(gone)}, not in the inventory any more", where="rollout_workload.pool",
                          do="Put it back under that name and go on, or take the release back with abort.")


def _told(spec: Mapping[str, Any], hosts: Mapping[str, tuple[str, ...]], live: str) -> str:
    """The version that all hosts of the live slot say they run, where they can be asked over HTTP; '' when they differ or do not answer.

    The first of those is the last one asked: a thousand hosts behind a firewall would be waited for one after the other.
    """
    [options] = spec["workload"].values()
    url = (options.get("version_from") or {}).get("http")
    if not url:
        return ""
    versions: set[str] = set()
    for target in targets_of(spec, hosts[live]):
        try:
            versions.add(over_http(fill(url, target, url=True)).strip())
        except Unavailable:
            return ""
        if len(versions) > 1:
            return ""
    return versions.pop() if versions else ""


def _live_slot(record: Optional[Record], now: Optional[Routes]) -> str:
    recorded = record.stable.slot if record and record.stable else "stable"
    return recorded if now is None else _live(now, recorded, record)


def _check_in_rotation(now: Routes, live: str, record: Optional[Record], strategy: str) -> None:
    """Raise ConfigError for a host of the slot that serves which somebody has taken out: the first change of traffic would put it back, as it is."""
    if strategy == "recreate":
        return  # no traffic is moved
    repaired = record.routes.members.values() if record is not None and strategy == "rolling" else ()
    left = {member.name for members in repaired for member in members if member.ramp == 0}  # by the release before: it gets the new version now
    away = [member.name for member in now.members.get(live, ()) if member.ramp == 0 and member.name not in left]
    if away:
        raise ConfigError(f"{', '.join(away)} of {live} is out of rotation, and this release would put it back", where="rollout_router",
                          do="Bring it back when it is well, or take it out of its inventory group until then.")


def _live(now: Routes, recorded: str, record: Optional[Record]) -> str:
    """The slot that carries the traffic, read from the live router and never from a variable. Of a release that is not promoted yet stable is what it was."""
    if record is not None and record.running and not record.promoted:
        return recorded
    full = [track for track, weight in now.weights.items() if weight == FULL]
    if full:
        return full[0]
    if record is not None and record.running:
        return recorded
    shown = ", ".join(f"{track} {show_percent(weight)}" for track, weight in now.weights.items())
    raise ConfigError(f"traffic is split now ({shown}) and no release of ours is under way", where="rollout_router",
                      do="Somebody else moved it. Bring one track to 100 % first, or run abort if a release of yours was lost.")


def _asked(spec: Mapping[str, Any], metrics: list[Metric], plan: Plan, router: Optional[TrafficRouter], context: Context, *, begun: bool) -> list[str]:
    """What the metrics, and whoever counts requests, say beforehand, as notes. One that has ``begun`` goes on as long as they can be reached."""
    if not metrics:
        return []
    preflight = Preflight(spec, metrics, plan, context.clock)
    preflight.reach()
    return [] if begun else [*preflight.questions(), *preflight.evidence(router)]


def _assignable(plan: Plan, router: Optional[TrafficRouter]) -> None:
    """Raise ConfigError for users whom this very router cannot send where the plan says."""
    if not isinstance(router, Assigning):
        return
    for index, step in enumerate(plan.steps):
        if step.match is not None or step.assignment is not None:
            why = router.unassignable(routes_at(plan, index + 1))
            if why:
                raise ConfigError(f"{step.name}: {why}", where="rollout_router")


def _rehearsed(plan: Plan, router: Optional[TrafficRouter]) -> None:
    """Ask whether the first change of traffic, and the way back from it, would be taken. Raises ConfigError, Unavailable."""
    moves = [index for index, step in enumerate(plan.steps) if step.kind in TRAFFIC]
    if not moves or not isinstance(router, Rehearsing):
        return
    router.rehearse(routes_at(plan, moves[0] + 1))
    try:
        router.rehearse(plan.start)
    except ConfigError as error:
        raise ConfigError(f"the way back would be refused: {error.what}", where=error.where, do=error.do) from None


def _way_notes(spec: Mapping[str, Any]) -> Iterator[str]:
    if spec.get("revision"):
        yield f"revision {spec['to_revision']} of the cluster's own history: {spec['revision']}"
    if spec.get("quick"):
        yield f"{spec['version']} was good recently (rollout_rollback_window): steps and analysis are skipped"


def _shown_difference(plan: Plan, managed: Any) -> Iterator[str]:
    """What a Pod that serves is made from, now and afterwards, where the workload can say."""
    if not isinstance(managed, Remembering):
        return
    now, then = (json.dumps(template, indent=1, sort_keys=True).splitlines() for template in managed.compared(plan))
    lines = list(difflib.unified_diff(now, then, f"now: {plan.previous}", f"then: {plan.version}", n=1, lineterm=""))
    yield from (f"    {line}" for line in lines or ["nothing differs"])


def _store_notes(spec: Mapping[str, Any]) -> list[str]:
    [(kind, options)] = spec["store"].items()
    if not STORES[kind].on_one_host:
        return []
    host = options.get("host") or spec["coordinator"]
    return [f"the record is kept on {host} alone: losing that disk loses the record (not the service)"]
