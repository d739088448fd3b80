# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A good version, by each release file of the guide as it is written: it walks through its shares to the end, in the time that its plan says."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.codec import decode
from ansible_collections.progressive.delivery.plugins.module_utils.core.plan import TRAFFIC, Kind, Plan
from ansible_collections.progressive.delivery.plugins.module_utils.core.record import Outcome
from ansible_collections.progressive.delivery.plugins.module_utils.core.report.journal import Look
from ansible_collections.progressive.delivery.plugins.module_utils.core.units import duration
from ansible_collections.progressive.delivery.tests.unit.guide.rehearsal import Rehearsal

MINUTE = 60.0
BY_HOSTS = [5, pytest.approx(16.67, abs=0.01), 20, pytest.approx(33.33, abs=0.01), 50, pytest.approx(66.67, abs=0.01), pytest.approx(83.33, abs=0.01), 100]
"""Six hosts that move from one side to the other: where the share outgrows those that moved, the next one moves first."""

RELEASES = {
    "gitlab/canary/canary.yml": (20 * MINUTE, 2, BY_HOSTS),
    "pool/blue-green.yml": (10 * MINUTE, 1, [100]),
    "pool/envoy-canary.yml": (20 * MINUTE, 0, [5, 20, 50, 100]),
    "pool/haproxy-rolling.yml": (5 * MINUTE, 0, [pytest.approx(16.67, abs=0.01), 20, 50, 100]),
    "pool/haproxy.yml": (20 * MINUTE, 0, BY_HOSTS),
    "releases/database-migration.yml": (20 * MINUTE, 0, [5, 20, 50, 100]),
    "releases/kubernetes-blue-green.yml": (5 * MINUTE + 30, 1, [100]),
    "releases/kubernetes-canary-gateway.yml": (20 * MINUTE + 30, 2, [5, 20, 50, 100]),
    "releases/kubernetes-canary-istio.yml": (20 * MINUTE + 30, 2, [5, 20, 50, 100]),
    "releases/kubernetes-canary-replicas.yml": (15 * MINUTE + 30, 2, [5, 20, 50, 100]),
    "releases/kubernetes-rolling.yml": (5 * MINUTE, 0, [100]),
    "releases/kubernetes-watch-rollback.yml": (5 * MINUTE, 0, [100]),
    "releases/kubernetes-zero-downtime.yml": (5 * MINUTE, 0, [100]),
}
"""Seconds of waiting, gates, and the shares that the version goes through."""


def overhead(plan: Plan, play: Rehearsal) -> float:
    """The longest that steps may take which only wait for the world: one look at replicas, the looks at hosts, one at the load balancer."""
    checks = play.file("2").get("rollout_health") or {}
    asked = duration(checks.get("interval", "10s")) * (checks.get("success_threshold", 1) - 1) if isinstance(checks, dict) else 0.0
    ready = asked if plan.by_hosts else asked + 5.0
    verified = asked
    return verified + sum(ready if step.kind is Kind.HEALTH else 0.25 for step in plan.steps if step.kind in (Kind.HEALTH, *TRAFFIC))


@pytest.mark.parametrize("path", RELEASES)
def test_a_good_version_goes_through_every_share_in_the_time_that_plan_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    waiting, gates, shares = RELEASES[path]
    play = Rehearsal(tmp_path, monkeypatch, path)
    planned = play.planned()
    plan = decode(Plan, planned["release"]["plan"])
    assert sum(step.duration or 0 for step in plan.steps) == waiting
    assert f"at least {_shown(waiting)} of waiting" in planned["text"][1], planned["text"][1]

    runs = [play.run()]
    while runs[-1].outcome == "paused":
        assert (runs[-1].code, runs[-1].failed) == (Outcome.PAUSED.code, False) and "gate" in runs[-1].reason
        before = play.served("2")
        play.clock.advance(30 * MINUTE)  # somebody thinks about it
        assert [item[2] for item in play.served("2")] == [item[2] for item in before], "nothing moves meanwhile"
        runs.append(play.run("promote"))
    assert (runs[-1].outcome, runs[-1].code, runs[-1].failed) == ("promoted", 0, False), runs[-1]
    assert len(runs) == 1 + gates
    assert play.shares("2") == shares
    spent = sum(run.seconds for run in runs)
    assert waiting <= spent <= waiting + overhead(plan, play), (spent, waiting, overhead(plan, play))
    assert play.ill("2") == 0 and play.run().outcome == "unchanged"


def _shown(seconds: float) -> str:
    return f"{int(seconds // 60)}:{int(seconds % 60):02}"


def test_every_step_that_serves_is_watched_for_as_long_as_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five minutes at each share, measured every half minute."""
    play = Rehearsal(tmp_path, monkeypatch, "releases/kubernetes-canary-istio.yml")
    for purpose in ("rollout", "promote", "promote"):
        play.run(purpose)
    assert [round(until - since) for since, until, _share in play.served("2")][0] == 300
    looks = [look for look in play.journal.all(Look) if look.metric == "error-rate"]
    assert len(looks) == 4 * 10 and {look.phase for look in looks} == {"successful"}
    assert {round(later.at - earlier.at) for earlier, later in zip(looks[:10], looks[1:10])} == {30}
