# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release as one task finds it: the record, the right to write it, and what the current step is.

The store tells what is true; the task's place in a loop does not. A verb asks :attr:`Run.step` and does that, or nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Optional

from ..clients.journal import JournalFile
from ..core import requests
from ..core.advance import Decision, Result, Seen, advance
from ..core.errors import ConfigError, Unavailable
from ..core.lease import Marker, Marking, Session
from ..core.model import Routes
from ..core.options import Option, Options
from ..core.plan import Step, apply
from ..core.ports import StateStore, TrafficRouter
from ..core.record import Record, from_json, to_json
from ..core.report.journal import Journal, event
from ..core.strategies.compile import IN_PLACE
from ..core.units import iso
from . import build
from .context import Context

RELEASE_OPTION: Options = {
    "release": Option("dict", "The release on whose behalf this runs, as M(progressive.delivery.release) returns it.", open=True),
    "step": Option("int", "Index of the step the loop is at. The record decides: when it names another step, nothing is done."),
}


class Run:
    """One run of a release, from inside one task."""

    def __init__(self, spec: Mapping[str, Any], store: StateStore, session: Session, record: Record, context: Context) -> None:
        self.spec = spec
        self.store = store
        self.session = session
        self.record = record
        self.context = context
        self.journal = JournalFile(record.journal)
        self.unwritten = False  # whether something is missing from the journal; that was said

    @classmethod
    def open(cls, spec: Mapping[str, Any], context: Context) -> Run:
        """Take up the run whose lease this task's release holds. Raises Fenced when another run has it now."""
        if "session" not in spec:
            raise ConfigError("this release was not begun", where="release", do="Call progressive.delivery.release with operation: begin first.")
        store = build.store(spec["store"], spec["name"], context)
        session = Session(store, context.clock, spec["session"]["holder"], int(spec["session"]["fence"]))
        session.renew()
        value = session.load_record()
        if value is None:
            raise ConfigError("the record of this release is gone", where=spec["name"], do="Begin again with the rollout playbook.")
        return cls(spec, store, session, from_json(value), context)

    @property
    def tracks(self) -> dict[str, tuple[str, ...]]:
        """Hosts per slot as the router will find them once the current step is done."""
        return tracks_of(self.target, self.spec)

    def router(self) -> TrafficRouter:
        """The release's router, which signs what it writes. Raises ConfigError."""
        made = build.router(self.spec["router"], self.tracks, self.context)
        if isinstance(made, Marking):
            made.mark(Marker(self.record.release.id, self.index, self.session.fence))
        return made

    @property
    def step(self) -> Optional[Step]:
        """The step to do now; None when the release is over or pauses."""
        if self.record.outcome is not None or self.record.position >= len(self.record.steps):
            return None
        return self.record.steps[self.record.position]

    @property
    def doing(self) -> Step:
        """The step to do now, for a verb that :meth:`is_at` has let through. Raises ConfigError when there is none."""
        if self.step is None:
            raise ConfigError("the release has no step to do", where=self.record.name)
        return self.step

    @property
    def routes(self) -> Routes:
        """Where requests go before the current step."""
        return self.record.routes

    @property
    def target(self) -> Routes:
        """Where requests go once the current step is done."""
        return apply(self.routes, self.step, self.record.plan) if self.step else self.routes

    @property
    def compared(self) -> tuple[str, str]:
        """(candidate, baseline) slots for metrics; no baseline where the only slot changes itself."""
        plan = self.record.plan
        if plan.strategy in IN_PLACE or plan.candidate == plan.stable:
            return plan.stable, ""
        return plan.candidate, plan.stable

    @property
    def by_hosts(self) -> bool:
        """Whether versions are put on hosts, in plays over the pool; else the workload is changed through an API, by the steps themselves."""
        return self.record.plan.by_hosts

    @property
    def label(self) -> str:
        """Service and step, for lines that several hosts or releases may print side by side."""
        return f"{self.record.name} {self.step.name if self.step else ''}".strip()

    @property
    def index(self) -> int:
        """The current step's number in the journal: steps of the way back follow those of the plan."""
        return self.record.position + (len(self.record.plan.steps) if self.record.back else 0)

    def is_at(self, step: Optional[int], back: Optional[bool] = None) -> bool:
        """Whether the record names this very step."""
        return self.step is not None and (step is None or step == self.record.position) and (back is None or back == self.record.back)

    def event(self, kind: str, **fields: Any) -> None:
        """Write one event to the journal. Where that cannot be, it is said once: the record says what is true, and no user is to
        stay on a bad version because a log has no room left."""
        try:
            self.put_down(kind, **fields)
        except Unavailable as error:
            if not self.unwritten:
                self.unwritten = True
                self.context.say(f"{self.record.name}: {error.where}: {error.what}; the release goes on, and its report will lack what is not in there")

    def put_down(self, kind: str, **fields: Any) -> None:
        """The same, for what must not happen unless it was written. Raises Unavailable."""
        self.journal.append(event(kind, self.context.clock.time(), **fields))

    def told(self) -> Journal:
        """What the journal holds so far; nothing where it cannot be read."""
        try:
            return self.journal.read()
        except Unavailable:
            return Journal(())

    def asked(self) -> Optional[requests.Request]:
        """The request somebody left for this release, if any."""
        return requests.pending(self.store, self.record.release.id)

    def answer(self, text: str) -> None:
        """Answer the request, so that it is not acted on twice."""
        asked = self.asked()
        if asked is not None:
            requests.answer(self.store, self.context.clock, asked.id, text)

    def tick(self) -> Optional[str]:
        """To be called while waiting: keeps the lease, and says why to stop waiting, if there is a reason."""
        self.session.renew_if_due()
        asked = self.asked()
        if asked is not None and asked.kind == requests.ABORT and not self.record.back:
            return f"{asked.who} asked to abort" + (f": {asked.reason}" if asked.reason else "")
        return None

    def advance(self, seen: Optional[Seen]) -> Decision:
        """Let the reducer say what comes next, and store that."""
        before = self.record
        self.record, decided = advance(self.record, seen, iso(self.context.clock.time()))
        if self.record != before:
            self.save()
        return decided

    def save(self) -> None:
        self.session.save_record(to_json(self.record))


CarryOut = Callable[["Run", Context], "dict[str, Any]"]
"""Does the current step of a release; the result holds ``seen``, the report for the checkpoint."""


def for_step(params: Mapping[str, Any], context: Context, carry_out: CarryOut) -> dict[str, Any]:
    """Carry out the step of ``params["release"]`` that is next, unless ``params["step"]`` means another one."""
    current = Run.open(params["release"], context)
    if not current.is_at(params.get("step")):
        return {"changed": False, "skipped": True, "skip_reason": "the record names another step"}
    return carry_out(current, context)


def tracks_of(routes: Routes, spec: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Hosts per slot: by the routes where they name members, else by the inventory."""
    if routes.members:
        return {track: tuple(member.name for member in members) for track, members in routes.members.items()}
    return {slot: tuple(hosts) for slot, hosts in (spec.get("hosts") or {}).items()}


def seen(run: Run, result: Result, reason: str = "", **more: Any) -> dict[str, Any]:
    """What a verb reports about its step, for the checkpoint that follows."""
    return {"step": run.record.position, "back": run.record.back, "result": result.value, "reason": reason, **more}
