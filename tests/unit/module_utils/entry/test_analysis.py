# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of a bake: one a look, and few while the metrics cannot be asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import FakeClock
from ansible_collections.progressive.delivery.plugins.module_utils.core.bake import Look
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Phase
from ansible_collections.progressive.delivery.plugins.module_utils.core.outage import Outages
from ansible_collections.progressive.delivery.plugins.module_utils.core.plan import Kind
from ansible_collections.progressive.delivery.plugins.module_utils.core.record import Outcome
from ansible_collections.progressive.delivery.plugins.module_utils.entry.context import Context
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import analysis, release
from ansible_collections.progressive.delivery.tests.unit.module_utils.entry.service import Service


def watched(*values: Any, names: tuple[str, ...] = ("errors",), seconds: str = "20m", **more: Any) -> list[str]:
    """What a watch of metrics that all answer ``values`` says."""
    said: list[str] = []
    metrics = [{"name": name, "query": name, "failure_condition": "result > 1"} for name in names]
    options = {"provider": {"memory": {"values": {name: list(values) for name in names}}}, "metrics": metrics, "interval": "10s", **more}
    analysis.run({"analysis": options, "candidate": "canary", "baseline": "stable", "labels": {}, "duration": seconds}, Context(FakeClock(), said.append))
    return said


def test_metrics_that_are_away_are_said_at_growing_intervals_with_how_long_and_what_comes() -> None:
    assert watched({"error": "no route"}) == [
        "  errors away, gives up in 10:00: memory: no route",
        "  errors away for 30 s, gives up in 9:30: memory: no route",
        "  errors away for 1:30, gives up in 8:30: memory: no route",
        "  errors away for 3:30, gives up in 6:30: memory: no route",
        "  errors away for 5:30, gives up in 4:30: memory: no route",
        "  errors away for 7:30, gives up in 2:30: memory: no route",
        "  errors away for 9:30, gives up in 30 s: memory: no route",
        "  errors away for 10:00, gives up: memory: no route",
    ]


def test_metrics_that_share_an_error_share_its_lines() -> None:
    said = watched({"error": "no route"}, names=("errors", "p95"), error_hold="1m")
    assert said == [
        "  errors away, gives up in 1:00: memory: no route",
        "  errors, p95 away for 30 s, gives up in 30 s: memory: no route",
        "  errors, p95 away for 1:00, gives up: memory: no route",
    ]


def test_an_error_that_changes_is_said_and_an_answer_has_its_line() -> None:
    said = watched({"error": "no route"}, {"error": "no route"}, {"error": "HTTP 503"}, {"error": "HTTP 502"}, 0.5, {"error": "HTTP 502"}, 0.5, seconds="70s")
    assert [line.split(":")[-1].split(" \u2264")[0].strip() for line in said] == ["no route", "HTTP 503", "HTTP 502", "errors 0.5", "HTTP 502", "errors 0.5"]


def look(at: float, reason: str, outage: float | None, left: float | None = 60.0) -> Look:
    return Look("errors", Phase.ERROR if outage is not None else Phase.SUCCESSFUL, reason, at, outage=outage, left=left)


@pytest.mark.parametrize("first, second, words", [
    ("errors of the canary: took 10.1 s", "errors of the canary: took 10.3 s", ""),
    ("errors of the canary: took 10.1 s", "errors of the canary: refused", "errors away for 10 s, rolls back in 1:00: refused"),
])
def test_numbers_alone_make_no_other_error(first: str, second: str, words: str) -> None:
    outages = Outages("rolls back")
    assert outages.line(look(0, first, 0.0))
    assert outages.line(look(10, second, 10.0)) == words


def test_what_decides_nothing_announces_nothing() -> None:
    assert Outages("rolls back").line(look(0, "errors of the canary: refused", 0.0, None)) == "errors away: refused"


@pytest.mark.parametrize(("value", "outcome"), [(0.0, None), (5.0, None), (None, Outcome.PAUSED)])
@pytest.mark.parametrize("more", [{}, {"interval": "1m"}, {"count": 3, "interval": "20s"}, {"count": 1}])
def test_an_analysis_step_of_no_length_looks_all_the_same(tmp_path: Path, more: dict[str, Any], value: Any, outcome: Any) -> None:
    """Nothing passes, and nothing pauses, for want of a look that nobody took."""
    metric = {"name": "errors", "query": "errors", "failure_condition": "result > 1", **more}
    service = Service(tmp_path, rollout_steps=[{"set_weight": 20}, {"analysis": {}}], rollout_analysis={
        "provider": {"memory": {"values": {"errors": [value]}}}, "metrics": [metric], "on_inconclusive": "continue", "on_no_data": "pause"})
    begun = service.begin("rollout", "2")
    while service.next is not None and service.next.kind is not Kind.BAKE:
        service.step(begun)
    at = service.record.position
    found = release.run({"operation": "step", "release": begun["release"], "step": at, "back": False}, service.context())
    assert service.record.outcome is outcome, service.record.reason
    assert service.record.back is (value == 5.0)
    assert service.record.position == (at + 1 if value == 0.0 else 0 if value == 5.0 else at)
    assert found["looks"] >= (3 if more.get("count") == 3 and value == 0.0 else 1)
