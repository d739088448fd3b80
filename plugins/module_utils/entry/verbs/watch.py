# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Watch the version that is stable now, and say whether to go back: for the hours after a release, from a schedule, or from an alert.

It holds no lease, so that a release may begin meanwhile; then it leaves the watching to that. It changes nothing by itself: the playbook watch goes
back with the plays of rollback.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Optional

from ...core.bake import BakeResult, Look, Ports, Scope, bake
from ...core.codec import encode
from ...core.errors import ConfigError, DeliveryError, Unavailable
from ...core.metric import Metric
from ...core.model import STABLE, Phase, Window
from ...core.options import Option, Options, check
from ...core.outage import Outages
from ...core.ports import StateStore
from ...core.record import Outcome, Record, Stable
from ...core.units import duration, from_iso, show_duration
from .. import build
from ..catalog import JUDGES, WORKLOADS
from ..context import Context
from ..following import early_end
from ..measuring import Measuring, labels_of
from ..release_file import ANALYSIS
from ..run import RELEASE_OPTION
from ..stored import last_state, stored_record
from ..vitals import still_there, vitals_of
from .analysis import Lines, unit_of
from .rollback import good_version, went_back

OPTIONS: Options = {**RELEASE_OPTION}

SHARES = ("conversion", "error_rate", "success_rate")
LEAST = 0.01
"""How much worse a share may be than before the release where only a ratio is given: twice of nothing is nothing."""


def run(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Watch for as long as ``rollout_watch`` says.

    Returns ``back``: whether to go back, ``reason``, and ``looks``; where there is no reason to go back also what a begin returns that did not begin.
    """
    spec = params.get("release")
    if not spec:
        raise ConfigError("release is missing", where="release", do="Pass what progressive.delivery.plan returned.")
    store = build.store(spec["store"], spec["name"], context)
    record = stored_record(store)
    if record is None or record.stable is None:
        raise ConfigError(
            f"no release of {spec['name']} was ever promoted, so there is nothing to watch", where="rollout_name", do="Ship one with the rollout playbook."
        )
    if record.running and not record.tidying:
        state = record.outcome.value if record.outcome else "running"
        return _left(spec, Outcome.BUSY, f"{record.release.version} is under way ({state}), and watches itself", context)
    watched = Watched(spec, store, record, record.stable, context)
    if not watched.dry_run:
        _target(record, spec)
    if context.check_mode:
        return {**_left(spec, Outcome.UNCHANGED, f"would watch {watched.version} for {show_duration(watched.seconds)}", context), "looks": []}
    result = watched.look()
    return {**_concluded(spec, record, watched, result, context), "phase": result.phase.value, "looks": encode(result.looks)}


def _target(record: Record, spec: Mapping[str, Any]) -> str:
    """The version that a rollback would go to. Raises ConfigError where there is none: what could not be done about it need not be watched."""
    wanted, only = spec.get("to_version") or "", "rollout_watch: {dry_run: true} only looks."
    if not wanted and record.went_back:
        raise ConfigError(f"there is nothing to go back to: {went_back(record)}", where="rollout_watch", do=only)
    try:
        version = good_version(record, wanted).version
    except ConfigError as error:
        if wanted:
            raise
        raise ConfigError(f"there is nothing to go back to: {error.what}", where="rollout_watch", do=only) from None
    if record.stable is not None and version == record.stable.version:
        raise ConfigError(f"there is nothing to go back to: no version older than {version} is known to be good", where="rollout_watch", do=only)
    return version


def _left(spec: Mapping[str, Any], outcome: Outcome, reason: str, context: Context) -> dict[str, Any]:
    """Nothing is taken back."""
    return {**early_end(spec, outcome, reason, context), "back": False, "watched": ""}


def _concluded(spec: Mapping[str, Any], record: Record, watched: Watched, result: BakeResult, context: Context) -> dict[str, Any]:
    version = watched.version
    if result.early:
        return _left(spec, Outcome.BUSY, f"{result.early}; {version} was watched for {show_duration(result.seconds)}", context)
    unseen = watched.unseen() if result.phase is Phase.SUCCESSFUL else ""
    if unseen:
        return _left(spec, Outcome.HELD, f"{version} stays, nobody can tell how it is: {unseen}", context)
    if result.phase is Phase.SUCCESSFUL:
        return _left(spec, Outcome.UNCHANGED, f"{version} is well: {watched.told(result)}", context)
    if result.phase is not Phase.FAILED:
        # That nobody can measure says nothing about the version. It has served for a while: a release would go back, a watch tells somebody.
        return _left(spec, Outcome.HELD, f"{version} stays, nobody can tell how it is: {result.reason}", context)
    if watched.dry_run:
        return _left(spec, Outcome.FAILED, f"{version} is not well ({result.reason}); rollout_watch.dry_run: nothing is taken back", context)
    context.say(f"{spec['name']}: {version} is not well: {result.reason}")
    return {"changed": False, "back": True, "reason": result.reason, "watched": last_state(record), "release": spec}


class Watched:
    """The version that is stable, and what is asked about it."""

    def __init__(self, spec: Mapping[str, Any], store: StateStore, record: Record, stable: Stable, context: Context) -> None:
        options = spec["watch"]
        self.slot, self.version = stable.slot, stable.version
        self.dry_run = bool(options.get("dry_run", False))
        self.seconds = duration(options.get("duration", "10m"), "rollout_watch.duration")
        self._spec, self._store, self._record, self._context = spec, store, record, context
        self._analysis = check(spec.get("analysis") or {}, Option("dict", "", options=ANALYSIS), "rollout_analysis") if spec.get("analysis") else {}
        self._interval = duration(options.get("interval") or self._analysis.get("interval", "10s"), "rollout_watch.interval")
        asked, comparable = build.metrics(self._analysis), record.release.purpose != "rollback"
        self.metrics = [made for metric in asked if (made := alone(metric, comparable)) is not None]
        mute = sorted({metric.name for metric in asked} - {metric.name for metric in self.metrics})
        if mute:
            why = "one version gets all requests" if comparable else "before this way back it was not well either"
            context.say(f"{spec['name']}: {', '.join(mute)} not judged here: {why}, and no bound of their own is given")
        [kind] = spec["workload"]
        self._by_hosts = WORKLOADS[kind].by_hosts
        if not (self.metrics or spec.get("health") or not self._by_hosts):
            raise ConfigError("there is nothing to watch", where="rollout_watch", do="Give rollout_analysis or rollout_health.")
        if (spec.get("health") or not self._by_hosts) and self.seconds < 2 * self._interval:
            # An answer that is missed once is a hiccup: nobody would be ill in so short a time, and all be called well.
            raise ConfigError(f"{show_duration(self.seconds)} is too short to see somebody ill, with a look every {show_duration(self._interval)}",
                              where="rollout_watch.duration", do=f"Watch for {show_duration(2 * self._interval)} at least, or look more often.")
        self._began = last_state(record)
        self._since = _since(record, context.clock.time())
        for metric in self.metrics:
            metric.check_fits(self.seconds, "rollout_watch.duration", context.clock.time() - self._since)

    def look(self) -> BakeResult:
        """Watch. A provider that does not answer is asked again, and the health meanwhile."""
        spec, context = self._spec, self._context
        hosts = {slot: tuple(names) for slot, names in (spec.get("hosts") or {}).items()}
        measuring = Measuring(self._analysis, hosts, spec.get("url_allow") or ())
        for metric in self.metrics:
            with contextlib.suppress(Unavailable):
                measuring.of(metric)
        lines = Lines(context, Outages("nothing is taken back"), spec["name"], "watch")
        called = self._record.plan.called.get(self.slot, self.slot)
        there = still_there(hosts.get(self.slot) or hosts.get(STABLE, ()), self._record)
        asked = vitals_of(spec, self.slot, called, by_hosts=self._by_hosts, hosts=there)
        ports = Ports(
            measuring.measure,
            context.clock,
            on_tick=self._overtaken,
            lag=measuring.lag,
            on_look=lambda look: lines.look(look, self._unit(look)),
            health=asked.unhealthy,
            doubtful=asked.doubtful,
        )
        former = self._former()
        until = from_iso(self._record.release.started)
        earlier = labels_of(spec, former, self._record.plan.previous)
        labels = {former: earlier, self.slot: labels_of(spec, self.slot, self.version)}
        scope = Scope(self.slot, former, labels=labels, release_started=until, shown="live version", before=earlier)
        now = context.clock.time()
        measuring.begin(self.metrics, [self.slot], lambda track: Window(track, now, now, labels[track]))

        def before(metric: Metric) -> Optional[float]:
            window = Window(former, until - metric.baseline_window, until, earlier, metric.builtin, metric.quantile)
            with contextlib.suppress(DeliveryError, IndexError):
                return measuring.measure(metric, window).samples[0].points[-1].value
            return None

        # It serves for longer than it is watched, so that the first look can look back; patience with missing data begins with the watch.
        patient = tuple(
            replace(
                eased(metric, before(metric) if metric.builtin in SHARES and metric.baseline == "before" else None),
                no_data_timeout=metric.no_data_timeout + now - self._since,
            )
            for metric in self.metrics
        )
        context.say(f"{spec['name']}: watching {self.version} for {show_duration(self.seconds)}, a look every {show_duration(self._interval)}")
        return bake(
            patient,
            ports,
            duration=self.seconds,
            interval=self._interval,
            started=self._since,
            scope=scope,
            error_hold=duration(self._analysis.get("error_hold", "10m")),
            on_inconclusive="continue",
        )

    def _former(self) -> str:
        """The slot that served before the change that made this version stable."""
        record = self._record
        return record.plan.stable if record.promoted else self.slot

    def told(self, result: BakeResult) -> str:
        """What was good, and for how long."""
        return f"{result.reason if self.metrics else 'its health was good'}, for {show_duration(result.seconds)}"

    def unseen(self) -> str:
        """Why nobody could tell how it is, where nothing but its replicas was asked: who cannot be seen is not ill, and not well either."""
        if self._by_hosts or any(not metric.dry_run for metric in self.metrics):
            return ""
        try:
            build.workload(self._spec).progress(self.slot)
        except Unavailable as error:
            return str(error)
        return ""

    def _unit(self, look: Look) -> str:
        return next((unit_of(metric) for metric in self.metrics if metric.name == look.metric), "")

    def _overtaken(self) -> Optional[str]:
        """Whether another release began. A store that does not answer says so later."""
        try:
            record = stored_record(self._store)
        except Unavailable:
            return None
        if record is None or last_state(record) == self._began:
            return None
        return f"a release of {record.release.version} began"


def _since(record: Record, now: float) -> float:
    """Since when the version has every request, as far as the record knows (epoch seconds)."""
    stable = record.stable
    good = [entry.at for entry in record.good if stable is not None and (entry.version, entry.release) == (stable.version, record.release.id)]
    return min(now, from_iso(good[-1])) if good else now


def alone(metric: Metric, comparable: bool = True) -> Optional[Metric]:
    """The metric as it is judged where one version gets all requests: against the time before its release, never against a twin. None: it cannot be.

    ``comparable``: whether that was a good time. Before a way back it was not, so that only bounds of its own are left.
    """
    if not comparable and metric.baseline != "fixed":
        metric = replace(metric, max_ratio=None, max_delta=None, baseline="" if metric.baseline == "before" else metric.baseline)
        if not (metric.has_bound or metric.dry_run):
            return None
    if metric.baseline in ("", "fixed", "before") and metric.judge not in JUDGES:
        return metric
    compared = metric.max_ratio is not None or metric.max_delta is not None
    if not (compared or metric.has_bound or metric.dry_run):
        return None
    return replace(metric, judge="", judge_options={}, baseline="before" if compared else "")


def eased(metric: Metric, before: Optional[float]) -> Metric:
    """A share for which only a ratio is given: it has to be :data:`LEAST` worse besides. ``before``: what it was, None where nobody can tell now."""
    if metric.builtin not in SHARES or metric.baseline != "before" or metric.max_ratio is None or metric.max_delta is not None:
        return metric
    if not before or not math.isfinite(before):
        return replace(metric, max_ratio=None, max_delta=LEAST)
    falls = metric.direction == "decrease"
    worst = before - LEAST if falls else before + LEAST
    if worst <= 0:
        return metric
    return replace(metric, max_ratio=max(metric.max_ratio, before / worst if falls else worst / before))
