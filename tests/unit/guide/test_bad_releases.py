# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bad version, by the release files of the guide as they are written: how far it comes, for how long users have it, and how it ends.

How long that may be is a number of its release file: what is judged at every look is judged an interval after it turned bad, or two where the window that it
is measured over is longer than that and still holds good requests; one missed answer of a health check is a hiccup, so there it takes two looks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.record import Outcome
from ansible_collections.progressive.delivery.plugins.module_utils.core.report.journal import Health, Look
from ansible_collections.progressive.delivery.tests.unit.guide.rehearsal import MEGABYTE, Being, Rehearsal, Turns

CANARY = "releases/kubernetes-canary-istio.yml"
MINUTE = 60.0
BACK = 3.0
"""Seconds for the way back: a quarter of one for each write that a load balancer is seen to have taken."""
ERRORS = Being(errors=0.05)
SLOW = Being(p95=800.0)
FAT = Being(memory=300.0 * MEGABYTE)
ILL = Being(healthy=False)


def always(play: Rehearsal) -> bool:
    return True


def at(share: float) -> Turns:
    """Once so many per cent of the users are on it."""
    return lambda play: play.share("2") >= share


def serving(seconds: float, share: float = 0.0) -> Turns:
    """Once users have been on it, at that share, for so long."""
    return lambda play: sum(until - since for since, until, found in play.served("2") if found >= share) >= seconds


@dataclass(frozen=True)
class Bad:
    """What becomes bad in which way and when; the most seconds that users may have it then; the shares it comes to, and a word of the reason."""

    path: str
    being: Being
    turns: Turns
    longest: float
    shares: list[Any]
    reason: str
    more: dict[str, Any] = field(default_factory=dict)


CASES = {
    "errors at 5 %": Bad(CANARY, ERRORS, always, 30, [5], "error-rate of the canary 5 %"),
    "errors in the middle of the bake at 20 %": Bad(CANARY, ERRORS, serving(101, 20), 60, [5, 20], "error-rate"),
    "errors under the load of 50 %": Bad(CANARY, ERRORS, at(50), 30, [5, 20, 50], "error-rate"),
    "errors under the load of all users": Bad(CANARY, ERRORS, at(100), 30, [5, 20, 50, 100], "error-rate"),
    "slow at 20 %": Bad(CANARY, SLOW, at(20), 30, [5, 20], "p95 of the canary"),
    "slow in the middle of the bake at 50 %": Bad(CANARY, SLOW, serving(101, 50), 60, [5, 20, 50], "p95"),
    "memory at 5 %": Bad(CANARY, FAT, always, 30, [5], "memory"),
    "memory that grows until 50 %": Bad(CANARY, FAT, serving(200, 50), 60, [5, 20, 50], "memory"),
    "the gateway's errors at 20 %": Bad("releases/kubernetes-canary-gateway.yml", ERRORS, at(20), 30, [5, 20], "error-rate"),
    "replicas that fall ill at 20 %": Bad("releases/kubernetes-canary-replicas.yml", ILL, serving(50, 20), 20, [5, 20], "unhealthy"),
    "behind HAProxy, at 5 %": Bad("pool/haproxy.yml", ERRORS, always, 10, [5], "error-rate"),
    "behind Envoy, slow against stable at 50 %": Bad("pool/envoy-canary.yml", SLOW, at(50), 10, [5, 20, 50], "against 120.6 ms of stable"),
    "a pipeline's canary at 50 %": Bad("gitlab/canary/canary.yml", ERRORS, at(50), 10, [], "error-rate"),
    "blue-green, after the switch": Bad("pool/blue-green.yml", ERRORS, serving(3 * MINUTE), 20, [100], "error-rate"),
    "blue-green on Kubernetes, ill after the switch": Bad("releases/kubernetes-blue-green.yml", ILL, serving(4 * MINUTE), 20, [100], "unhealthy"),
    "rolling, ill while it is watched": Bad("releases/kubernetes-rolling.yml", ILL, serving(200), 20, [100], "unhealthy"),
    "rolling, the 30th look": Bad("releases/kubernetes-watch-rollback.yml", ILL, serving(285), 20, [100], "unhealthy"),
    "zero downtime, ill while it is watched": Bad("releases/kubernetes-zero-downtime.yml", ILL, serving(100), 20, [100], "unhealthy"),
    "rolling against the half hour before": Bad("releases/kubernetes-rolling.yml", ERRORS, serving(100), 20, [100], "before the release", more={
        "rollout_analysis": {"provider": {"prometheus": {"url": "http://prometheus:9090", "scrape_interval": "5s"}}, "interval": "10s", "metrics": [
            {"name": "errors", "builtin": "error_rate", "baseline": "before", "max_ratio": 2}]}}),
}  # fmt: skip


def taken_back(play: Rehearsal) -> None:
    """Whatever served before serves all of it, and nothing of the new version is left in anybody's way."""
    assert play.share(play.before) == pytest.approx(100) and play.weight("stable") == 100
    assert not play.routes().matches
    record = play.record
    assert record.stable is not None and (record.stable.slot, record.stable.version) == ("stable", play.before)
    if not play.by_hosts:
        assert play.tracks["stable"] == ("1", 4) and play.tracks["canary"][1] == 0


@pytest.mark.parametrize("name", CASES)
def test_a_bad_version_is_taken_back_within_its_release_files_own_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    bad = CASES[name]
    play = Rehearsal(tmp_path, monkeypatch, bad.path, **bad.more)
    play.turns("2", bad.being, bad.turns)
    ended = play.run()
    while ended.outcome == "paused":
        ended = play.run("promote")
    assert (ended.outcome, ended.code, ended.failed) == ("rolled_back", Outcome.ROLLED_BACK.code, True), ended
    assert bad.reason in ended.reason, ended.reason
    if bad.shares:
        # On its way back in a rolling update a version may still be there in part.
        assert play.shares("2")[: len(bad.shares)] == bad.shares
    assert 0 < play.ill("2") <= bad.longest + BACK
    taken_back(play)


def test_at_most_a_thousandth_of_the_users_requests_fail_for_a_version_that_is_bad_from_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """5 % bad answers at 5 % of the users for half a minute; stable's own thousandth is not the new version's doing."""
    play = Rehearsal(tmp_path, monkeypatch, CANARY)
    play.turns("2", ERRORS)
    play.run()
    requests = play.rate * play.ill("2") * 0.05
    assert play.shares("2") == [5] and requests * ERRORS.errors <= play.rate * 30 * 0.05 * 0.05 * 1.1
    assert requests * ERRORS.errors / (play.rate * (play.clock.now() - 3600)) < 0.005


def test_a_version_that_never_answers_fails_after_30_looks_10_seconds_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guide's loop ends well when it has looked 30 times; here that is the end of the release."""
    play = Rehearsal(tmp_path, monkeypatch, "releases/kubernetes-blue-green.yml")
    play.turns("2", ILL)
    ended = play.run()
    assert ended.outcome == "rolled_back" and "4 of 4 unhealthy after 30 looks of 30 in 4:50" in ended.reason, ended.reason
    [seen] = play.journal.all(Health)
    assert {target.attempts for target in seen.targets.values()} == {30}
    assert play.served("2") == [] and play.asked == [], "nobody had it, and no test of the user's was run against it"
    assert 290 <= ended.seconds <= 300 + 35
    taken_back(play)


def test_one_that_answers_at_the_30th_look_is_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play = Rehearsal(tmp_path, monkeypatch, "releases/kubernetes-blue-green.yml")
    play.turns("2", ILL, lambda play: play.clock.now() < 3600 + 294)
    play.turns("2", Being(), lambda play: play.clock.now() >= 3600 + 294)
    assert play.run().reason.startswith('gate "switch"')


@pytest.mark.parametrize(("path", "seconds"), [("releases/kubernetes-rolling.yml", 600), ("releases/kubernetes-watch-rollback.yml", 300)])
def test_replicas_that_do_not_come_up_are_waited_for_as_long_as_the_guide_does_and_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, seconds: float
) -> None:
    """kubectl rollout status --timeout=600s, and 300s, then kubectl rollout undo."""
    play = Rehearsal(tmp_path, monkeypatch, path)
    play.stuck = "2"
    ended = play.run()
    assert (ended.outcome, ended.code) == ("rolled_back", 10) and "does not get ready" in ended.reason, ended.reason
    assert seconds <= ended.seconds <= seconds + 15
    assert play.tracks["stable"] == ("1", 4)


def test_one_replica_of_four_may_fail_where_the_guide_bears_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than one failed Pod is an illness: ``FAILED_PODS -gt 1``."""
    play = Rehearsal(tmp_path, monkeypatch, "releases/kubernetes-watch-rollback.yml")
    play.silent = {"stable-0"}
    assert play.run().outcome == "promoted"
    other = tmp_path / "other"
    other.mkdir()
    play = Rehearsal(other, monkeypatch, "releases/kubernetes-watch-rollback.yml")
    play.turns("2", Being(), always)
    play.clock.at(3600 + 100, lambda: setattr(play, "silent", {"stable-0", "stable-1"}))
    ended = play.run()
    assert ended.outcome == "rolled_back" and "stable-0, stable-1 unhealthy" in ended.reason


def test_a_test_of_the_users_own_that_fails_against_the_preview_ends_it_before_anybody_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play = Rehearsal(tmp_path, monkeypatch, "releases/kubernetes-blue-green.yml")
    play.hook_fails = "preview"
    ended = play.run()
    assert (ended.outcome, ended.code) == ("rolled_back", 10) and "hook preview" in ended.reason
    assert [name for name, _when in play.asked] == ["preview"] and play.served("2") == []
    taken_back(play)


# Metrics that are away


def test_metrics_that_are_away_freeze_the_weights_for_ten_minutes_and_then_lead_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play = Rehearsal(tmp_path, monkeypatch, CANARY)
    play.clock.at(3600 + 400, lambda: setattr(play, "away", True))
    ended = play.run()
    assert (ended.outcome, ended.code) == ("rolled_back", 10) and "no answer for 10:00" in ended.reason, ended.reason
    assert play.shares("2") == [5, 20], "the share at which they went stays the last one"
    [(since, until, _share)] = [item for item in play.served("2") if item[2] == 20]
    assert 400 + 600 <= until - 3600 <= 400 + 600 + 30 + 10
    assert [look.phase for look in play.journal.all(Look) if look.at - play.clock.time() + play.clock.now() > 3600 + 400][0] == "error"
    taken_back(play)


def test_metrics_that_come_back_in_time_let_it_go_on_and_are_not_taken_for_good_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play = Rehearsal(tmp_path, monkeypatch, CANARY)
    play.clock.at(3600 + 400, lambda: setattr(play, "away", True))
    play.clock.at(3600 + 400 + 590, lambda: setattr(play, "away", False))
    ended = play.run()
    assert ended.outcome == "paused" and 'gate "half"' in ended.reason, ended
    assert 400 + 590 <= ended.seconds <= 400 + 600 + 30


# After the promotion


def test_a_version_that_turns_bad_after_its_promotion_is_taken_back_by_watch_within_its_ten_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the errors of the half hour before: 60 looks, 10 s apart."""
    play = Rehearsal(tmp_path, monkeypatch, "pool/envoy-canary.yml", rollout_analysis=GUIDE)
    assert play.run().outcome == "promoted"
    well = play.watch()
    assert (well.outcome, well.code, well.failed) == ("unchanged", 0, False) and well.seconds == 600
    assert "error-rate, p95 good in 120 measurements" in well.reason, well.reason
    play.turns("2", Being(errors=0.025), lambda play: play.clock.now() >= began + 400)
    began = play.clock.now()
    ended = play.watch()
    assert (ended.outcome, ended.code, ended.failed) == ("rolled_back", 10, True), ended
    assert play.ill("2") <= 20 + BACK and "error-rate" in ended.reason and "before the release" in ended.reason, ended.reason
    taken_back(play)


def test_one_and_a_half_times_as_slow_as_before_is_too_slow_after_the_promotion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play = Rehearsal(tmp_path, monkeypatch, "pool/envoy-canary.yml", rollout_analysis=GUIDE)
    assert play.run().outcome == "promoted"
    play.turns("2", Being(p95=1.4 * Being().p95))
    assert play.watch().outcome == "unchanged", "1.4 times is not"
    play.turns("2", Being(p95=1.6 * Being().p95))
    ended = play.watch()
    assert ended.outcome == "rolled_back" and "p95" in ended.reason and ended.seconds <= 20 + BACK, ended
    taken_back(play)


GUIDE = {"provider": {"prometheus": {"url": "http://prometheus:9090", "scrape_interval": "2s"}}, "preset": "guide"}
"""As docs/watch.md has it."""
