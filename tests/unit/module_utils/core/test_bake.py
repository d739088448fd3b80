# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The watched wait, with a clock that never sleeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.bake import RETRY, TICK, BakeResult, Look, Ports, Scope, bake
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Fenced, NoData, Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.metric import Metric
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Phase, Point, Sample, Series, Verdict, Window
from ansible_collections.progressive.delivery.plugins.module_utils.core.sequential import SequentialJudge

EPOCH = 1_700_000_000.0
GOOD, BAD, UNSURE, BROKEN = Phase.SUCCESSFUL, Phase.FAILED, Phase.INCONCLUSIVE, Phase.ERROR


class FakeClock:
    def __init__(self) -> None:
        self.t = 0.0

    def now(self) -> float:
        return 1000.0 + self.t

    def time(self) -> float:
        return EPOCH + self.t

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.t += seconds


Answer = Callable[[float, Window], "float | tuple[float, int] | Exception"]


@dataclass
class Rig:
    """A world whose answers depend on the seconds since it began."""

    answer: Answer = lambda t, window: 0.0
    lag: float = 0.0
    clock: FakeClock = field(default_factory=FakeClock)
    asked: list[tuple[float, Window]] = field(default_factory=list)
    ticks: list[float] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    tick: Callable[[float], str | None] = lambda t: None
    health: Callable[[float], str | None] = lambda t: None
    judges: dict[str, Any] = field(default_factory=dict)
    doubtful: Callable[[], bool] = lambda: False

    def measure(self, metric: Metric, window: Window) -> Series:
        self.asked.append((self.clock.t, window))
        got = self.answer(self.clock.t, window)
        if isinstance(got, Exception):
            raise got
        value, n = got if isinstance(got, tuple) else (got, None)
        return Series((Sample((Point(EPOCH, value, n),)),))

    def on_tick(self) -> str | None:
        self.ticks.append(self.clock.t)
        return self.tick(self.clock.t)

    def run(self, *metrics: Metric, duration: float | None = 60.0, **options: Any) -> BakeResult:
        ports = Ports(
            self.measure, self.clock, self.on_tick, self.looks.append, lambda: self.health(self.clock.t), lambda metric: self.lag, self.judges,
            self.doubtful,
        )
        return bake(metrics, ports, duration=duration, **options)


def metric(**options: Any) -> Metric:
    return Metric.from_options({"name": "errors", "query": "q", "failure_condition": "result > 1", **options}, "m")


def test_zero_metrics_is_a_wait() -> None:
    rig = Rig()
    result = rig.run(duration=300.0)
    assert (result.phase, result.seconds, result.looks) == (GOOD, 300.0, ())
    assert max(later - earlier for earlier, later in zip(rig.ticks, rig.ticks[1:])) <= TICK
    assert result.decision("pause", "abort") == "advance"


def test_good_to_the_end() -> None:
    rig = Rig()
    result = rig.run(metric())
    assert (result.phase, result.seconds, len(result.looks)) == (GOOD, 60.0, 6)
    assert [look.at - EPOCH for look in result.looks] == [10, 20, 30, 40, 50, 60]
    [one] = result.metrics
    assert (one.planned, one.tally.finished, one.tally.phase) == (6, 6, GOOD)
    assert rig.looks == list(result.looks)


def test_failure_ends_it_at_once() -> None:
    rig = Rig(lambda t, window: 5.0 if t >= 30 else 0.0)
    result = rig.run(metric(), metric(name="other"), duration=600.0)
    assert (result.phase, result.seconds) == (BAD, 30.0)
    assert "errors of the canary 5: above the limit of 1" in result.reason
    assert result.metrics[1].tally.phase is UNSURE
    assert result.decision("pause", "pause") == "abort"


def test_inconclusive_pauses_or_goes_on() -> None:
    def one() -> Metric:
        return metric(success_condition="result < 0.5", count=1)

    result = Rig(lambda t, window: 0.7).run(one())
    assert (result.phase, result.decision("pause", "abort"), result.decision("abort", "pause")) == (UNSURE, "pause", "abort")
    assert result.seconds < 60
    result = Rig(lambda t, window: 0.7).run(one(), metric(name="other"), on_inconclusive="continue")
    assert (result.phase, result.seconds, result.decision("continue", "abort")) == (UNSURE, 60.0, "advance")


@pytest.mark.parametrize("when", [0.0, 25.0, 59.9])
def test_ended_early_is_never_success(when: float) -> None:
    rig = Rig(tick=lambda t: "abort was asked for by ann" if t >= when else None)
    result = rig.run(metric())
    assert result.phase is UNSURE
    assert result.early == "abort was asked for by ann"
    assert result.reason.endswith("abort was asked for by ann")
    assert result.decision("continue", "abort") == "ended"
    assert Rig(tick=lambda t: "gate" if t >= when else None).run().phase is UNSURE


def test_a_lost_lease_is_not_swallowed() -> None:
    def lost(t: float) -> None:
        raise Fenced("the release belongs to another run now")

    with pytest.raises(Fenced):
        Rig(tick=lost).run(metric())
    with pytest.raises(Fenced):
        Rig(lambda t, window: Fenced("gone")).run(metric())


def test_health_fails_it() -> None:
    result = Rig(health=lambda t: "web5 is down" if t >= 20 else None).run(metric(), duration=600.0)
    assert (result.phase, result.reason, result.seconds) == (BAD, "web5 is down", 20.0)


@pytest.mark.parametrize("back, phase, seconds", [(65.0, GOOD, 70.0), (600.0, BAD, 70.0)])
def test_a_bake_does_not_end_with_a_missed_answer(back: float, phase: Phase, seconds: float) -> None:
    """web5 is missed at the last look: the next one says whether that was a hiccup."""
    missed = 0

    def health(now: float) -> str | None:
        nonlocal missed
        missed = missed + 1 if 55 <= now < back else 0
        return "web5 is down" if missed > 1 else None

    result = Rig(health=health, doubtful=lambda: missed > 0).run(metric(), duration=60.0)
    assert (result.phase, result.seconds) == (phase, seconds)


def test_who_comes_and_goes_does_not_keep_a_bake_open_for_ever() -> None:
    assert Rig(doubtful=lambda: True).run(metric(), duration=60.0).seconds == 80.0


def test_no_data_waits_then_acts() -> None:
    result = Rig(lambda t, window: NoData("no data")).run(metric())
    assert (result.phase, result.no_data) == (UNSURE, True)
    assert 300 <= result.seconds <= 310  # the bake of a minute stayed open for the data
    assert (result.decision("continue", "abort"), result.decision("pause", "pause")) == ("abort", "pause")
    assert {look.phase for look in result.looks[:-1]} == {Phase.PENDING}


@pytest.mark.parametrize(("no_data", "phase"), [("failure", BAD), ("error", BROKEN), ("success", GOOD)])
def test_no_data_policy(no_data: str, phase: Phase) -> None:
    result = Rig(lambda t, window: NoData("no data")).run(metric(no_data=no_data, no_data_timeout="20s"))
    assert result.phase is phase


def test_data_that_comes_late_is_waited_for() -> None:
    result = Rig(lambda t, window: (0.0, int(t * 2))).run(metric(min_requests=300))
    assert (result.phase, result.seconds) == (GOOD, 150.0)
    assert "needs 280 more" in result.looks[0].reason


def test_errors_are_retried_after_ten_seconds_not_the_interval() -> None:
    rig = Rig(lambda t, window: Unavailable("down") if t < 75 else 0.0)
    result = rig.run(metric(interval="1m"), duration=180.0)
    assert [t for t, _window in rig.asked][:3] == [60.0, 60.0 + RETRY, 60.0 + 2 * RETRY]
    assert result.phase is GOOD
    assert result.metrics[0].tally.errors == 2


def test_an_error_holds_then_ends() -> None:
    result = Rig(lambda t, window: 0.0 if t < 30 else Unavailable("prometheus is down")).run(metric(), duration=60.0, error_hold=120.0)
    assert result.phase is BROKEN
    assert 150 <= result.seconds <= 160
    assert "prometheus is down" in result.reason
    assert "no answer for 2:00" in result.reason
    assert result.decision("continue", "pause") == "abort"


def test_an_error_that_passes_during_the_hold() -> None:
    rig = Rig(lambda t, window: Unavailable("down") if 30 <= t < 200 else 0.0)
    result = rig.run(metric(), duration=60.0)
    assert (result.phase, result.seconds) == (GOOD, 200.0)
    rig = Rig(lambda t, window: Unavailable("down") if 30 <= t < 200 else 5.0 if t >= 200 else 0.0)
    assert rig.run(metric(), duration=60.0).phase is BAD


def test_the_last_answer_must_not_be_an_error() -> None:
    # within consecutive_error_limit, and yet: what is not seen is not good
    result = Rig(lambda t, window: Unavailable("down") if t >= 55 else 0.0).run(metric(), error_hold=100.0)
    assert result.phase is BROKEN
    result = Rig(lambda t, window: Unavailable("down") if t >= 55 else 0.0).run(metric(), error_hold=15.0)
    assert (result.phase, result.metrics[0].tally.errors) == (BROKEN, 3)


def test_an_error_of_a_completed_hold_ends_it_before_its_time() -> None:
    result = Rig(lambda t, window: Unavailable("down")).run(metric(), duration=3600.0, error_hold=60.0)
    assert (result.phase, result.seconds) == (BROKEN, 70.0)


def test_an_empty_answer_ends_a_run_of_errors() -> None:
    result = Rig(lambda t, window: 0.0 if t < 30 else Unavailable("down") if t < 100 else NoData("none")).run(metric(), duration=120.0)
    assert result.phase is GOOD
    assert result.metrics[0].tally.errors == 7


def test_dry_run_never_decides() -> None:
    result = Rig(lambda t, window: 5.0).run(metric(dry_run=True))
    assert (result.phase, result.seconds, result.metrics[0].tally.phase) == (GOOD, 60.0, BAD)
    assert result.looks[0].dry_run
    assert Rig(lambda t, window: Unavailable("down")).run(metric(dry_run=True)).seconds == 60.0


def test_both_tracks_over_the_same_window_within_the_step() -> None:
    rig = Rig(lambda t, window: 1.0)
    scope = Scope(labels={"canary": {"version": "2"}, "stable": {"version": "1"}})
    result = rig.run(metric(max_ratio=2, query="rate(x[${window}])"), started=EPOCH - 4.0, scope=scope)
    assert result.phase is GOOD
    pairs = list(zip(rig.asked[::2], rig.asked[1::2]))
    for (_t, canary), (_u, stable) in pairs:
        assert (canary.track, stable.track, canary.labels, stable.labels) == ("canary", "stable", {"version": "2"}, {"version": "1"})
        assert (canary.start, canary.end) == (stable.start, stable.end)
        assert canary.start >= EPOCH - 4.0
        assert canary.seconds == 10.0


def test_windows_stop_short_of_the_last_scrape() -> None:
    rig = Rig(lag=15.0)
    rig.run(metric(query="rate(x[${window}])"), duration=120.0)
    seconds = [window.seconds for _t, window in rig.asked]
    assert seconds[:6] == [5.0, 15.0, 25.0, 35.0, 45.0, 55.0]  # age - lag, from the second look on
    assert seconds[6:] == [60.0] * 5  # then four scrapes, since a rate over ten seconds would never hold two samples
    assert rig.looks[0].phase is Phase.PENDING


def test_a_literal_range_is_pending_until_the_step_is_old_enough() -> None:
    rig = Rig()
    result = rig.run(metric(query="rate(x[1m])"), duration=120.0)
    assert [t for t, _window in rig.asked][0] == 60.0
    assert result.looks[0].reason == "errors: the query looks back 1:00, the step is 10 s old"


def test_before_is_measured_once() -> None:
    rig = Rig(lambda t, window: 1.0)
    result = rig.run(metric(max_ratio=2, baseline="before", baseline_window="10m"), scope=Scope(release_started=EPOCH - 50))
    assert result.phase is GOOD
    [before] = [window for _t, window in rig.asked if window.track == "stable"]
    assert (before.start, before.end) == (EPOCH - 650, EPOCH - 50)


def test_before_is_what_the_only_slot_was_where_it_changes_itself() -> None:
    """A rolling update has no other track: the time before the release was spent by the same one, by the version before."""
    rig = Rig(lambda t, window: 1.0)
    before = {"version": "1"}
    rig.run(metric(max_ratio=2, baseline="before"), scope=Scope("stable", "", labels={"stable": {"version": "2"}}, before=before, release_started=EPOCH - 50))
    [asked] = [window for _t, window in rig.asked if window.end == EPOCH - 50]
    assert (asked.track, asked.labels, asked.start) == ("stable", before, EPOCH - 50 - 1800)
    assert {(window.track, window.labels["version"]) for _t, window in rig.asked if window != asked} == {("stable", "2")}


def test_the_experiment_is_a_baseline() -> None:
    rig = Rig(lambda t, window: 3.0 if window.track == "canary" else 1.0)
    assert rig.run(metric(max_ratio=2, baseline="experiment", failure_condition=None)).phase is BAD
    assert {window.track for _t, window in rig.asked} == {"canary", "experiment"}


def test_without_a_duration_the_metrics_end_it() -> None:
    result = Rig().run(metric(count=3, interval="20s"), metric(name="once"), duration=None)
    assert (result.phase, result.seconds) == (GOOD, 60.0)
    with pytest.raises(ConfigError, match="errors would be measured for ever"):
        Rig().run(metric(interval="20s"), duration=None)


def test_a_count_cut_by_the_end_is_not_success() -> None:
    result = Rig().run(metric(count=10, interval="20s"))
    assert (result.phase, result.reason) == (UNSURE, "3 of 10 measurements when the step ended")


class Evidence:
    """A statistical judge that wants 60 requests."""

    def judge(self, criterion: Metric, candidate: Series, baseline: Series | None) -> Verdict:
        n = sum(point.n or 0 for point in candidate.samples[0].points)
        return Verdict(Phase.SUCCESSFUL if n >= 60 else Phase.RUNNING, f"needs {60 - n} more requests", n=n)


def test_statistical_judges_see_the_whole_step() -> None:
    rig = Rig(lambda t, window: (0.0, int(window.seconds)), judges={"errors": Evidence()})
    result = rig.run(metric(judge="sequential"), duration=60.0)
    assert (result.phase, [look.phase for look in result.looks][-2:]) == (GOOD, [Phase.RUNNING, GOOD])
    assert [window.seconds for _t, window in rig.asked if window.track == "canary"] == [10.0, 20.0, 30.0, 40.0, 50.0, 60.0]
    result = Rig(lambda t, window: (0.0, int(window.seconds)), judges={"errors": Evidence()}).run(metric(judge="sequential"), duration=50.0)
    assert (result.phase, result.reason, result.seconds) == (UNSURE, "nothing could be judged: needs 10 more requests", 50.0)
    with pytest.raises(ConfigError, match="errors: there is no judge sequential here"):
        Rig(judges={"another": Evidence()}).run(metric(judge="sequential"))


def test_windows_of_counts_begin_anew_and_evidence_stays() -> None:
    """A provider that remembers some minutes only, and a regression that comes after hours."""
    def answer(t: float, window: Window) -> tuple[float, int]:
        n = int(min(window.seconds, 900.0)) * 10
        return (0.05 if window.track == "canary" and t - window.seconds >= 7000 else 0.001), n

    rig = Rig(answer, judges={"errors": SequentialJudge()})
    result = rig.run(Metric.from_options({"name": "errors", "builtin": "error_rate", "judge": "sequential"}, "m"), duration=10_000.0)
    assert max(window.seconds for _t, window in rig.asked) <= 610
    assert result.phase is BAD and 7000 < result.seconds < 8000, result.reason
    counted = [look.n or 0 for look in result.looks]
    assert all(later > earlier for earlier, later in zip(counted, counted[1:-1])) and counted[-2] == pytest.approx(10 * result.seconds, rel=0.05)


def test_all_answers_errors_is_never_a_pass() -> None:
    for answer in (Unavailable("down"), ConfigError("wrong"), NoData("none")):
        for duration in (10.0, 60.0, 1000.0):
            result = Rig(lambda t, window, answer=answer: answer).run(metric(), duration=duration)
            assert result.phase in (UNSURE, BROKEN)


class SetClock(FakeClock):
    """A clock that somebody sets, 20 s into the bake; what counts seconds does not notice."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = by

    def time(self) -> float:
        return EPOCH + self.t + (self.by if self.t >= 20 else 0.0)


@pytest.mark.parametrize("by", [7200.0, -7200.0])
def test_a_clock_that_is_set_while_a_bake_waits_ends_it_neither_early_nor_late(by: float) -> None:
    rig = Rig(lambda t, window: (0.0, round(t)), clock=SetClock(by))
    result = rig.run(metric(min_requests=40))
    assert (result.phase, result.seconds) == (GOOD, 60)
    assert all(window.seconds <= t for t, window in rig.asked)


@pytest.mark.parametrize("by", [7200.0, -7200.0])
def test_no_data_is_waited_for_as_long_as_was_said_whatever_the_clock_is_set_to(by: float) -> None:
    result = Rig(lambda t, window: NoData("no data"), clock=SetClock(by)).run(metric(no_data_timeout="90s"))
    assert (result.phase, result.no_data) == (UNSURE, True)
    assert 90 <= result.seconds < 90 + RETRY + TICK


@pytest.mark.parametrize("by", [7200.0, -7200.0])
def test_requests_are_weighed_over_the_time_that_passed_whatever_the_clock_is_set_to(by: float) -> None:
    rig = Rig(lambda t, window: (0.0, 100 * round(window.seconds)), clock=SetClock(by), judges={"errors": SequentialJudge()})
    rig.run(metric(judge="sequential", failure_condition=None, baseline="stable", builtin="error_rate", query=""))
    assert rig.asked
    assert all(0 < window.seconds <= t for t, window in rig.asked)
