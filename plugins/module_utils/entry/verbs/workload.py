# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs: a track changed through an API, or release folders with a link on a host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from ...clients.release_dir import ReleaseDir
from ...core import drain, requests, rollout
from ...core.advance import Result
from ...core.codec import encode
from ...core.errors import Away, ConfigError, DeliveryError, Fenced, Interrupted, TimedOut, Unavailable
from ...core.model import Progress
from ...core.options import Option, Options
from ...core.plan import Kind
from ...core.ports import Draining, ManagedWorkload, Remembering
from ...core.units import duration, show_duration
from .. import build
from ..catalog import WORKLOADS, family
from ..context import Context
from ..run import RELEASE_OPTION, Run, for_step, seen

OPTIONS: Options = {
    **RELEASE_OPTION,
    "base": Option("path", "Folder that holds releases/ and the link current, on a host."),
    "keep_releases": Option("int", "With base: old releases to keep.", default=5, minimum=1),
    "workload": Option("dict", "What runs the service, where it is changed through an API.", one_of=True,
                       options={kind: option for kind, option in family(WORKLOADS).items() if not WORKLOADS[kind].by_hosts}),
    "track": Option("str", "With workload: which track is meant.", default="stable"),
    "version": Option("str", "The version that the track or the link must have; with base its folder must be there."),
    "replicas": Option("int", "With workload: so many replicas; 0 retires the track.", minimum=0),
    "timeout": Option("duration", "With workload: the longest wait until the track is ready; 0 does not wait.", default="10m"),
    "drain_timeout": Option("duration", "With replicas 0 and a workload that has O(workload.deployment.drain): the longest wait for open connections.",
                            default="30s"),
}

LOOK_EVERY = 1.0
"""Seconds between two looks at the lease while a delay passes."""


def run(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Do what the release's current step says, or what the options say of one track or folder."""
    if params.get("release"):
        return for_step(params, context, carry_out)
    if params.get("workload"):
        return _one_track(params, context)
    if not params.get("base") or not params.get("version"):
        raise ConfigError("nothing to change", where="workload", do="Give base and version, or workload with version or replicas.")
    return _folders(params, context)


def carry_out(current: Run, context: Context) -> dict[str, Any]:
    """Deploy, scale or retire the track of the release's current step."""
    if current.by_hosts:
        return {"changed": False, "seen": seen(current, Result.DONE)}
    step, track = current.doing, current.doing.track
    workload = build.workload(current.spec)
    try:
        before = workload.read().get(track)
        if step.kind is Kind.RETIRE:
            back = _delay(current, context, step.duration or 0.0, goes_back=before is not None and before.version == current.record.plan.previous)
            if back:
                current.answer(f"{before.version if before else ''} stays where it is")
                return {"changed": False, "seen": seen(current, Result.DONE, f"stays up: {back} goes back to it")}
            _drain(workload, current, context)
            changed = workload.retire(track)
        elif step.kind is Kind.SCALE:
            changed = workload.scale(track, step.replicas or 0)
        elif step.revision and isinstance(workload, Remembering):
            changed = workload.restore(track, step.revision)
        else:
            changed = workload.deploy(track, step.version, step.replicas)
    except (Away, Fenced, Interrupted):
        raise
    except DeliveryError as error:
        return {"changed": True, "seen": seen(current, Result.FAILED, str(error))}
    return {"changed": changed, "before": encode(before), "seen": seen(current, Result.DONE)}


def _delay(current: Run, context: Context, seconds: float, *, goes_back: bool) -> str:
    """Let the track run on, for those who have not heard that it lost its traffic. Who wants it back meanwhile, where somebody could; else ''."""
    if seconds:
        context.say(f"{current.label}: stays up for {show_duration(seconds)}")
    deadline = context.clock.now() + seconds
    while context.clock.now() < deadline:
        _tick(current)
        asked = current.asked() if goes_back and current.record.promoted else None
        if asked is not None and asked.kind == requests.ROLLBACK:
            context.say(f"{current.label}: stays up, {asked.who} goes back to it")
            return asked.who
        context.clock.sleep(min(LOOK_EVERY, deadline - context.clock.now()))
    return ""


def _drain(workload: ManagedWorkload, current: Run, context: Context) -> None:
    """Have the track's replicas finish what they still do; what outlives the wait is cut when they go, and counted: it is no failed request."""
    if not isinstance(workload, Draining) or not workload.drains:
        return
    timeout = duration(current.spec["drain_timeout"])
    context.say(f"{current.label}: asked to finish, {show_duration(timeout)} at most")
    drained = drain.wait(workload, current.doing.track, context.clock, timeout, lambda: _tick(current))
    if drained.answers:
        current.event("drain", step=current.index, members=list(drained.answers), in_flight=drained.left, cut=drained.left,
                      seconds=round(drained.seconds, 3), why=drained.why)
    context.say(f"{current.label}: {drained}")


def _tick(current: Run) -> None:
    current.session.renew_if_due()


def _one_track(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    version, replicas, track = params.get("version") or "", params.get("replicas"), params["track"]
    if not version and replicas is None:
        raise ConfigError("neither version nor replicas is given", where="workload", do="Say what the track shall have.")
    workload = build.workload({"workload": params["workload"], "version": version})
    before = workload.read().get(track)
    result: dict[str, Any] = {"changed": True, "before": encode(before)}
    if context.check_mode:
        wanted = {**encode(before), **{key: value for key, value in (("version", version), ("replicas", replicas)) if value not in ("", None)}}
        return {**result, "changed": wanted != encode(before), "after": wanted, "diff": {"before": encode(before), "after": wanted}}
    if replicas == 0:
        if isinstance(workload, Draining) and workload.drains:
            context.say(f"{track}: {drain.wait(workload, track, context.clock, duration(params['drain_timeout']))}")
        changed = workload.retire(track)
    elif version:
        changed = workload.deploy(track, version, replicas)
    else:
        changed = workload.scale(track, replicas or 0)
    _ready(workload, track, duration(params["timeout"]), context)
    after = workload.read().get(track)
    return {**result, "changed": changed, "after": encode(after), "diff": {"before": encode(before), "after": encode(after)}}


def _ready(workload: ManagedWorkload, track: str, timeout: float, context: Context) -> None:
    if not timeout:
        return
    said: Optional[str] = None

    def on_look(look: Progress) -> None:
        nonlocal said
        if look.why and look.why != said:
            said = look.why
            context.say(f"{track}: {look.why}")

    look = rollout.wait(workload, track, context.clock, timeout, on_look)
    if not look.done:
        raise TimedOut(f"{track} does not get ready: {look.why}", where="workload")


def _folders(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Point ``current`` at the version and remove what is too old. What cannot be removed is told, and fails no deploy."""
    folder = ReleaseDir(params["base"])
    before = folder.current()
    unwanted = folder.unwanted(params["version"], int(params["keep_releases"]))
    changed = before != params["version"] or bool(unwanted)
    left: dict[str, str] = {}
    if changed and not context.check_mode:
        folder.switch(params["version"])
        for name in unwanted:
            try:
                folder.remove([name])
            except Unavailable as error:
                left[name] = str(error)
    removed = [name for name in unwanted if name not in left]
    changed = before != params["version"] or bool(removed)
    state = {"before": {"version": before}, "after": {"version": params["version"]}}
    return {"changed": changed, **state, "removed": removed, "diff": state, **({"warnings": list(left.values())} if left else {})}
