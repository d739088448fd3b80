# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guide's manual jobs, by its release files as they are written: who decides, who does not, and what becomes of users meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Conflict
from ansible_collections.progressive.delivery.plugins.module_utils.core.record import Outcome
from ansible_collections.progressive.delivery.tests.unit.guide.rehearsal import Being, Rehearsal

CANARY = "releases/kubernetes-canary-istio.yml"
PIPELINE = "gitlab/canary/canary.yml"
HOUR = 3600.0
DAY = 24 * HOUR


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rehearsal:
    return Rehearsal(tmp_path, monkeypatch, CANARY)


def test_nobody_has_half_of_the_users_before_somebody_said_so_nor_all_of_them(play: Rehearsal) -> None:
    ended = play.run()
    assert (ended.outcome, ended.code, ended.failed) == ("paused", Outcome.PAUSED.code, False) and 'gate "half"' in ended.reason
    assert play.shares("2") == [5, 20]
    ended = play.run("promote")
    assert ended.outcome == "paused" and 'gate "promote"' in ended.reason and play.shares("2") == [5, 20, 50]
    assert play.run("promote").outcome == "promoted" and play.shares("2") == [5, 20, 50, 100]


def test_resume_is_no_decision(play: Rehearsal) -> None:
    play.run()
    for _times in range(3):
        play.clock.advance(HOUR)
        ended = play.run("resume")
        assert ended.outcome == "paused" and 'gate "half"' in ended.reason and ended.seconds < 1
    assert play.shares("2") == [5, 20]
    assert play.run("promote").outcome == "paused" and play.shares("2") == [5, 20, 50]


@pytest.mark.parametrize("purpose", ["resume", "rollout"])
def test_a_gate_that_waited_for_a_day_has_run_out_and_whoever_comes_then_takes_it_back(play: Rehearsal, purpose: str) -> None:
    """Its four hours are over; users stay at 20 % until a run comes, as no process is kept alive for it."""
    play.run()
    play.clock.advance(DAY)
    assert play.shares("2") == [5, 20]
    ended = play.run(purpose)
    assert (ended.outcome, ended.code, ended.failed) == ("aborted", Outcome.ABORTED.code, True), ended
    assert 'gate "half": abort' in ended.reason and "timeout" in ended.reason
    assert play.share("1") == 100 and play.tracks == {"stable": ("1", 4), "canary": ("2", 0)}


def test_a_gate_that_has_run_out_cannot_be_promoted(play: Rehearsal) -> None:
    play.run()
    play.clock.advance(4 * HOUR + 1)
    with pytest.raises(Conflict, match="half"):
        play.run("promote")
    assert play.shares("2") == [5, 20], "and nothing moved"
    assert play.run("resume").outcome == "aborted"


def test_one_second_before_it_has_run_out_it_can(play: Rehearsal) -> None:
    play.run()
    play.clock.advance(4 * HOUR - 1)
    assert 'gate "promote"' in play.run("promote").reason


def test_without_a_limit_a_gate_waits_for_a_day_and_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play = Rehearsal(tmp_path, monkeypatch, PIPELINE)
    ended = play.run()
    before = play.shares("2")
    assert ended.outcome == "paused" and 'gate "half"' in ended.reason
    play.clock.advance(DAY)
    assert play.run("resume").outcome == "paused" and play.shares("2") == before
    ended = play.run("promote")
    assert ended.outcome == "paused" and 'gate "promote"' in ended.reason
    play.clock.advance(DAY)
    assert play.run("promote").outcome == "promoted"


@pytest.mark.parametrize("pressed", [0, 1])
def test_who_rejects_at_a_gate_gets_everybody_back(play: Rehearsal, pressed: int) -> None:
    play.run()
    for _press in range(pressed):
        play.run("promote")
    ended = play.run("abort", rollout_reason="the colours are wrong")
    assert (ended.outcome, ended.code, ended.failed) == ("aborted", Outcome.ABORTED.code, False) and ended.reason == "the colours are wrong"
    assert play.share("1") == 100 and play.tracks == {"stable": ("1", 4), "canary": ("2", 0)}
    with pytest.raises(ConfigError, match="over: aborted"):
        play.run("promote")


def test_another_version_cannot_walk_through_a_gate_that_was_decided_for_this_one(play: Rehearsal) -> None:
    """What a pipeline of a later tag presses is about that tag."""
    play.run()
    busy = play.run("rollout", "3")
    assert (busy.outcome, busy.code) == ("busy", Outcome.BUSY.code) and play.share("3") == 0
    with pytest.raises(ConfigError, match="gate half: the decision was made for .*, and this gate is for"):
        play.run("promote", "3")
    assert play.share("3") == 0 and play.shares("2") == [5, 20]
    assert 'gate "promote"' in play.run("promote", "2").reason, "and nobody is in its way"


def test_what_turns_bad_while_the_gate_is_open_is_seen_by_whoever_goes_on(play: Rehearsal) -> None:
    """No process watches while it is paused; the first look after the decision does."""
    play.run()
    play.turns("2", Being(errors=0.05))
    play.clock.advance(HOUR)
    assert play.run("promote").outcome == "rolled_back" and play.shares("2") == [5, 20, 50]
    assert [round(until - since) for since, until, share in play.served("2") if share == 50] == [30]


def test_blue_green_switches_when_somebody_says_so_and_back_by_rollback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play = Rehearsal(tmp_path, monkeypatch, "releases/kubernetes-blue-green.yml")
    ended = play.run()
    assert ended.outcome == "paused" and 'gate "switch"' in ended.reason
    assert play.tracks == {"stable": ("1", 4), "canary": ("2", 4)} and play.served("2") == []
    assert [name for name, _when in play.asked] == ["preview"]
    play.clock.advance(DAY)
    assert play.run("promote").outcome == "promoted" and play.shares("2") == [100]
    ended = play.run("rollback", "")
    assert (ended.outcome, ended.code, ended.failed) == ("rolled_back", Outcome.ROLLED_BACK.code, False)
    assert play.share("1") == 100 and play.tracks["stable"] == ("1", 4)


def test_a_safe_rollback_waits_for_a_person_and_goes_nowhere_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``read -p`` in a job that has no terminal; here it is a gate."""
    play = Rehearsal(tmp_path, monkeypatch, "releases/kubernetes-watch-rollback.yml")
    assert play.run().outcome == "promoted"
    safe: dict[str, Any] = {"rollout_rollback_safe": True}
    ended = play.run("rollback", "", **safe)
    assert (ended.outcome, ended.failed) == ("paused", False) and play.tracks["stable"] == ("2", 4)
    play.clock.advance(DAY)
    ended = play.run("promote", "2", **safe)
    assert (ended.outcome, ended.failed) == ("rolled_back", False) and play.tracks["stable"] == ("1", 4)
