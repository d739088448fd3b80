# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of a release: begin it, ask what is next, report a step, finish, and look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...core.advance import Result, Seen
from ...core.errors import Away, ConfigError, DeliveryError, Fenced, Interrupted
from ...core.options import Option, Options
from ...core.plan import TRAFFIC, WORKLOAD, Kind
from ...core.units import duration
from .. import build, notifying
from ..begin import begin
from ..context import Context
from ..finish import finish
from ..following import QUIET, what_next
from ..holding import held
from ..run import RELEASE_OPTION, CarryOut, Run, seen
from ..status import status
from . import experiment, gate, health, traffic, workload

OPTIONS: Options = {
    **RELEASE_OPTION,
    "operation": Option("str", "What to do.", required=True, choices=("begin", "next", "step", "checkpoint", "finish", "status", "stretch", "port")),
    "purpose": Option("str", "With begin: start or continue, only continue, restore stable, or go back to a good version.", default="rollout",
                      choices=("rollout", "resume", "abort", "promote", "rollback")),
    "port": Option("dict", "One call of the store's port, as the action half makes it on the store's own host.", options={
        "method": Option("str", "Which.", required=True, choices=("load", "save")),
        "key": Option("str", "The document.", required=True),
        "value": Option("dict", "What to save.", open=True),
        "expect": Option("str", "The token that must still be the current one."),
        "store": Option("dict", "The store.", required=True, open=True),
        "name": Option("name", "The release's name.", required=True),
    }),
    "back": Option("bool", "With step: whether the index is one of the way back.", default=False),
    "seen": Option("dict", "With checkpoint: what became of this step.", open=True),
    "deployed": Option("dict", "With checkpoint: per host of a deploy step, an empty text when it is done, else why not.", open=True),
    "seconds": Option("duration", "With stretch: how long the phase may last; 0 ends it.", default="0s"),
    "verified": Option("bool", "With finish: whether stable was verified.", default=True),
}


def run(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Carry out ``operation``."""
    operations = {"begin": beginning, "next": following, "step": step, "checkpoint": checkpoint, "finish": finish, "status": status, "stretch": stretch}
    if params["operation"] == "port":
        return _port(params["port"] or {}, context)
    if not params.get("release"):
        raise ConfigError("release is missing", where="release", do="Pass what progressive.delivery.plan returned.")
    work = operations[params["operation"]]
    if params["operation"] in HELD:
        return held(lambda last: step(params, context, last) if work is step else work(params, context), context, params["release"]["name"])
    return work(params, context)


HELD = ("next", "step", "checkpoint", "finish", "stretch")
"""Operations of a release under way: they wait for a server that is away. Before it has begun the user is told at once."""


def _port(call: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """One call of the store's port, with its answer as JSON."""
    store = build.store(call["store"], call["name"], context)
    if call["method"] == "load":
        stored = store.load(call["key"])
        return {"changed": False, "answer": None if stored is None else {"value": dict(stored.value), "token": stored.token}}
    return {"changed": False, "answer": store.save(call["key"], call["value"], call.get("expect"))}


def beginning(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Take the lease and start or take up the release; whoever wants to know is told."""
    result = begin(params, context)
    if "session" in (result.get("release") or {}) and result.get("session") is not False and result["release"].get("notify"):
        notifying.begun(Run.open(result["release"], context), params["purpose"])
    return result


def following(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """What is to be done now: the steps up to the next deploy step."""
    if context.check_mode or "session" not in params["release"]:
        return {"changed": False, "legs": [], "outcome": "", "batch": None}
    return what_next(Run.open(params["release"], context))


CARRIED_OUT_BY: Mapping[Kind, CarryOut] = {
    **dict.fromkeys(TRAFFIC, traffic.carry_out), **dict.fromkeys(WORKLOAD, workload.carry_out),
    Kind.HEALTH: health.carry_out, Kind.BAKE: experiment.carry_out_bake, Kind.GATE: gate.carry_out,
}
"""What does each kind of step. Hooks are the user's tasks, and to promote is to write it down."""


def step(params: Mapping[str, Any], context: Context, last: bool = True) -> dict[str, Any]:
    """Carry out one step and store what became of it. A failure is a report for the reducer, not an error of this task.

    ``last``: that a server is away is a failure now, too.
    """
    if context.check_mode or "session" not in params["release"]:
        return {"changed": False}
    current = Run.open(params["release"], context)
    if not current.is_at(params.get("step"), params["back"]):
        return {"changed": False, "skipped": True, "skip_reason": "the record names another step"}
    carry_out = CARRIED_OUT_BY.get(current.doing.kind)
    try:
        done = carry_out(current, context) if carry_out else {}
    except (Fenced, Interrupted):
        raise
    except DeliveryError as error:
        if isinstance(error, Away) and not last:
            raise
        done = {"seen": seen(current, Result.FAILED, str(error))}
    result = _checkpoint(current, _report(current, done.get("seen") or seen(current, Result.DONE)), context)
    told = {key: result[key] for key in ("outcome", "code", "reason", "back", "position", "progressive_delivery")}
    return {**told, "changed": False, **{key: value for key, value in done.items() if key != "seen"}}


def checkpoint(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Store what became of a step that somebody else carried out, and say what comes next."""
    current = Run.open(params["release"], context)
    if params.get("deployed") is not None:
        return _checkpoint(current, _deployed(current, params["deployed"]), context)
    if not params.get("seen"):
        return what_next(current)
    if current.step is not None and current.step.kind is Kind.HOOK:
        current.session.unstretch()
    return _checkpoint(current, _report(current, params["seen"]), context)


def _report(current: Run, given: Mapping[str, Any]) -> Seen:
    return Seen(int(given["step"]), Result(given["result"]), str(given.get("reason") or ""), back=bool(given.get("back")),
                immediate=current.spec.get("abort") == "immediate", verdict=given.get("verdict") or {}, hosts=tuple(given.get("hosts") or ()))


def _checkpoint(current: Run, report: Seen, context: Context) -> dict[str, Any]:
    if not current.is_at(report.step, report.back):
        return what_next(current)
    report = _heard(current, report)
    doing, index, label = current.doing, current.index, current.label
    status_text = "done" if report.result is Result.DONE else report.result.value
    current.event("step", step=index, name=doing.name, status="failed" if report.result is Result.FAILED else status_text, reason=report.reason)
    decided = current.advance(report)
    if report.result not in (Result.DONE, Result.PAUSED):
        context.say(f"{label}: {report.result.value}: {report.reason}")
    if report.result is Result.DONE:
        notifying.tell(current, "step_completed", doing.name)
    if current.record.back and not report.back:
        current.answer("aborting")
        context.say(f"{current.record.name}: going back to {current.record.plan.previous or 'stable'}: {decided.reason}")
        notifying.tell(current, "going_back", decided.reason)
    if decided.run:
        current.event("step", step=current.index, name=current.doing.name, status="started")
    result = what_next(current, show=doing.kind not in QUIET)
    return {**result, "before": {"position": report.step, "outcome": ""}, "after": {"position": decided.position, "outcome": decided.outcome}}


LISTENING = (Kind.BAKE, Kind.GATE, Kind.HEALTH)
"""Kinds of steps that hear a request to abort while they wait."""


def _heard(current: Run, report: Seen) -> Seen:
    """The report, or that somebody asked to abort while a step that does not listen was carried out."""
    if report.result is not Result.DONE or report.back or current.record.promoted or current.doing.kind in LISTENING:
        return report
    asked = current.tick()
    return replace(report, result=Result.ABORTED, reason=asked, immediate=current.spec.get("abort") == "immediate") if asked else report


def stretch(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Announce a phase in which none of our actions runs, or end it."""
    current = Run.open(params["release"], context)
    seconds = duration(params["seconds"])
    if seconds:
        current.session.stretch(seconds, current.label)
    else:
        current.session.unstretch()
    return {"changed": False}


def _deployed(current: Run, hosts: Mapping[str, Any]) -> Seen:
    """A deploy step is done when every host it means has reported; the budget is counted over the whole run."""
    step = current.step
    position, back = current.record.position, current.record.back
    if step is None or step.kind is not Kind.DEPLOY:
        return Seen(-1, Result.DONE)
    failed = {host: str(hosts.get(host) or "the host did not report back") for host in step.hosts if hosts.get(host, "missing") != ""}
    current.event("deploy", step=current.index, hosts=list(step.hosts), ok=[host for host in step.hosts if host not in failed], failed=failed)
    current.session.unstretch()
    if not failed:
        return Seen(position, Result.DONE, back=back)
    host, why = next(iter(sorted(failed.items())))
    more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    return Seen(position, Result.FAILED, f"deploy failed on {host}{more}: {why}", back=back, immediate=current.spec.get("abort") == "immediate",
                hosts=tuple(sorted(failed)))
