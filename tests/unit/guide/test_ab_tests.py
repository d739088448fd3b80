# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guide's A/B test as its release file has it: a job of fifty minutes, a week in which nobody looks, and a job that finds it decided."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.record import Outcome
from ansible_collections.progressive.delivery.tests.unit.guide.rehearsal import Being, Rehearsal

AB_TEST = "gitlab/ab-test/ab-test.yml"
WEEK = 168 * 3600.0


def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, being: Being) -> Rehearsal:
    play = Rehearsal(tmp_path, monkeypatch, AB_TEST)
    play.rate = 100.0
    play.turns("2", being)
    return play


@pytest.mark.parametrize(("bought", "outcome", "shares", "said"), [(0.06, Outcome.PROMOTED, [40, 100], "win"), (0.04, Outcome.KEPT, [40], "lose")])
def test_it_is_decided_after_its_week_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bought: float, outcome: Outcome, shares: list[float], said: str
) -> None:
    play = played(tmp_path, monkeypatch, Being(bought=bought))
    first = play.run()
    assert (first.outcome, first.code, first.failed) == ("paused", Outcome.PAUSED.code, False), first
    assert "goes on for at least 167:10:00" in first.reason and 3000 <= first.seconds <= 3000 + 5, first
    assert play.shares("2") == [40], "the others keep A"
    play.clock.advance(WEEK - 3600)
    last = play.run("resume")
    assert (last.outcome, last.code, last.failed) == (outcome.value, outcome.code, False), last
    assert play.clock.now() - first.began >= WEEK and last.seconds <= 3600
    assert play.shares("2") == shares and any(f"{said}: converts" in line for line in play.said), play.said[-5:]
    assert play.share("2" if outcome is Outcome.PROMOTED else play.before) == pytest.approx(100)


def test_a_guardrail_ends_it_at_its_first_look_whatever_it_sells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play = played(tmp_path, monkeypatch, Being(bought=0.2, errors=0.05))
    ended = play.run()
    assert (ended.outcome, ended.code, ended.failed) == ("rolled_back", Outcome.ROLLED_BACK.code, True) and "error-rate" in ended.reason
    assert play.ill("2") <= 10 + 3 and play.shares("2") == [40]
