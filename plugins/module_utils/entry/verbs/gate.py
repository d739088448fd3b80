# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait for a decision, or end as paused so that nobody has to keep a process alive for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Optional

from ...core import gate as gates
from ...core import requests
from ...core.advance import Result
from ...core.errors import ConfigError
from ...core.options import Option, Options
from ...core.plan import GateSpec
from ...core.units import LONGEST, iso
from .. import notifying
from ..context import Context
from ..deciders import Deciders
from ..run import RELEASE_OPTION, Run, for_step, seen
from .analysis import Watching

OPTIONS: Options = {
    **RELEASE_OPTION,
    "wait": Option("str", "Wait here, end as paused, or wait only where a person sits at a terminal.", default="auto", choices=("auto", "inline", "exit")),
}

POLL = 1.0
"""Seconds between two looks at everybody who may decide."""
ASK = 10.0
"""Seconds that a person at a terminal is listened to before the next look."""
Look = Callable[[Optional[float]], gates.Gate]


def run(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Open the gate of the current step and see whether, how and by whom it was decided."""
    if not params.get("release"):
        raise ConfigError("a gate belongs to a release", where="release", do="Call it from the rollout role.")
    return for_step(params, context, lambda current, here: carry_out(current, here, params["wait"]))


def carry_out(current: Run, context: Context, how: str = "auto") -> dict[str, Any]:
    """The gate of the release's current step. ``how``: auto, inline or exit; auto is what the release says."""
    spec = current.doing.gate
    if spec is None:
        return {"changed": False, "skipped": True, "skip_reason": "this step has no gate"}
    identity = current.record.release
    deciders = Deciders.of(current.spec, spec.name, context.clock)
    before = gates.find(current.store, spec.name, identity.id)
    found = gates.open_gate(current.store, context.clock, spec.name, release=identity.id, digest=identity.digest, timeout=spec.timeout,
                            on_timeout=spec.on_timeout, require_other=spec.require_other, starter=identity.who)
    found = gates.settle(current.store, context.clock, spec.name)
    if found.decision is None:
        current.event("gate", step=current.index, name=spec.name, decision="opened", who=identity.who, digest=identity.digest)
        if before is None or before.digest != identity.digest:
            notifying.tell(current, "gate_waiting", f'gate "{spec.name}" waits for a decision' + (f" until {found.expires}" if found.expires else ""))
        wait = how if how != "auto" else current.spec.get("wait", "auto")
        context.say(f"{current.label}: waits for a decision" + (f" until {found.expires}" if found.expires else "")
                    + (f"; {deciders.hints}" if deciders.hints else ""))
        if current.record.trial is not None and current.record.verdicts:
            context.say(f"{current.label}: {current.record.verdicts[-1].get('reason', '')}")
        inline = wait == "inline" or (wait == "auto" and context.ask is not None)
        look = _looking(current, spec, deciders, inline=inline)
        if inline and _serves(current):
            return _watched(current, spec, look)
        found = look(None if inline else 0.0)
    return _result(current, found)


def _serves(current: Run) -> bool:
    """Whether requests reach the new version, so that there is something to measure."""
    return current.routes.weight(current.compared[0]) > 0 and bool(current.spec.get("analysis") or current.spec.get("health"))


def _watched(current: Run, spec: GateSpec, look: Look) -> dict[str, Any]:
    """Wait as a bake does, with the metrics and the candidate's health: what would end a bake badly takes the release back here, too.

    What is merely unclear is for whoever decides the gate.
    """
    watching, clock = Watching(current, current.context), current.context.clock
    found, looked = look(0.0), clock.now()

    def on_tick() -> Optional[str]:
        nonlocal found, looked
        current.tick()
        if clock.now() - looked >= POLL:  # a person is not asked anew between the metrics of one look
            found, looked = look(0.0), clock.now()
        return f'gate "{spec.name}" is decided' if found.decision else None

    result = watching.bake(LONGEST, on_tick, on_inconclusive="continue")
    if found.decision is not None:
        return _result(current, found)
    reason = watching.guard.dispute or result.reason
    if not watching.guard.dispute and result.decision("pause", watching.analysis.get("on_no_data", "abort")) in ("pause", "advance"):
        current.context.say(f"{current.label}: nothing is measured any more: {reason}")
        return _result(current, look(None))
    watching.tell(result)
    found = gates.settle(current.store, clock, spec.name)
    if found.decision is None:
        found = gates.decide(current.store, clock, spec.name, _by(current, gates.ABORT, "analysis", "analysis"))
    return _result(current, found, failed=reason)


def _looking(current: Run, spec: GateSpec, deciders: Deciders, *, inline: bool) -> Look:
    """Looks at everybody who may decide: for so many seconds, once at 0, until somebody did for None."""
    context = current.context
    said: set[str] = set()

    def on_tick(found: gates.Gate) -> Optional[gates.Decision]:
        current.tick()
        asked = current.asked()
        if asked is not None and asked.kind == requests.ABORT:
            return _by(current, gates.ABORT, "request", asked.who)
        answer = context.ask(f"{current.label}: {gates.prompt_text(found, context.clock.time())}? ", ASK) if inline and context.ask else None
        return _by(current, answer, "prompt") if answer in (gates.PROMOTE, gates.ABORT) else None

    def say(line: str) -> None:
        if line not in said:
            said.add(line)
            context.say(f"{current.label}: {line}")

    def look(seconds: Optional[float]) -> gates.Gate:
        return gates.wait_for_gate(current.store, context.clock, spec.name, deciders, interval=POLL, timeout=seconds, on_tick=on_tick, say=say)

    return look


def _by(current: Run, what: str, channel: str, who: str = "") -> gates.Decision:
    return gates.Decision(what, who or current.context.who, iso(current.context.clock.time()), channel, current.record.release.digest)


def _result(current: Run, found: gates.Gate, failed: str = "") -> dict[str, Any]:
    """``failed``: what was measured while the gate was open, when that took the release back."""
    decision = found.decision
    if decision is None:
        reason = f'gate "{found.name}" is open' + (f" until {found.expires}" if found.expires else "")
        return {"changed": False, "decision": "", "seen": seen(current, Result.PAUSED, reason)}
    word = "expired" if decision.channel == "timeout" else {"promote": "promoted", "abort": "aborted"}[decision.what]
    current.event("gate", step=current.index, name=found.name, decision=word, who=decision.who, channel=decision.channel, digest=decision.digest)
    result = Result.DONE if decision.what == gates.PROMOTE else Result.ABORTED
    if decision.channel == "analysis":
        return {"changed": True, "decision": decision.what, "who": decision.who, "channel": decision.channel, "seen": seen(current, Result.FAILED, failed)}
    reason = "" if result is Result.DONE else f'gate "{found.name}": {decision.what} by {decision.who} ({decision.channel})'
    return {"changed": True, "decision": decision.what, "who": decision.who, "channel": decision.channel, "seen": seen(current, result, reason)}
