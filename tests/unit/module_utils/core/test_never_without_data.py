# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No way leads from missing, partial, stale or broken data to a pass: every sequence of answers, through the whole bake and its verdicts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.assess import Tally, assess, close
from ansible_collections.progressive.delivery.plugins.module_utils.core.bake import BakeResult, Ports, bake
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, NoData, Stale, Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.exact import ExactJudge
from ansible_collections.progressive.delivery.plugins.module_utils.core.metric import Metric
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Phase, Point, Sample, Series, Verdict, Window
from ansible_collections.progressive.delivery.plugins.module_utils.core.sequential import SequentialJudge


class Clock:
    def __init__(self) -> None:
        self.t = 0.0

    def now(self) -> float:
        return self.t

    def time(self) -> float:
        return 1_700_000_000.0 + self.t

    def sleep(self, seconds: float) -> None:
        self.t += seconds


def one(value: float, n: int | None = None, **more: Any) -> Series:
    return Series((Sample((Point(0.0, value, n),)),), **more)


GOOD = "good"
BROKEN: dict[str, Any] = {
    "no data": NoData("no series"),
    "stale": Stale("10 min old"),
    "unavailable": Unavailable("connection refused"),
    "refused": ConfigError("bad query"),
    "NaN": one(math.nan, 1000),
    "infinite": one(math.inf, 1000),
    "partial": one(0.0, 1000, partial="a store is away"),
    "thin": one(0.0, 3),
    "uncounted": one(0.0),
    "several": Series((Sample((Point(0.0, 0.0, 1000),)), Sample((Point(0.0, 0.0, 1000),)))),
    "empty": Series((Sample(()),)),
    "none": Series(()),
}
JUDGES: dict[str, Any] = {"": None, "sequential": SequentialJudge(), "exact": ExactJudge()}


@dataclass
class World:
    """Answers look by look; ``side`` is the track that is broken, the other one is well."""

    answers: Sequence[Any]
    side: str
    clock: Clock = field(default_factory=Clock)
    taken: int = 0

    def measure(self, metric: Metric, window: Window) -> Series:
        seconds = int(self.clock.t)
        if window.track != self.side and self.side != "both":
            return one(0.001, 1000 * seconds)
        answer = self.answers[min(self.taken, len(self.answers) - 1)]
        if window.track == "canary" or self.side == "stable":
            self.taken += 1
        if isinstance(answer, Exception):
            raise answer
        return one(0.001, 1000 * seconds) if answer == GOOD else answer


def run(answers: Sequence[Any], judge: str, side: str = "canary", **options: Any) -> BakeResult:
    world = World(answers, side)
    rule: dict[str, Any] = {"judge": judge} if judge else {"max_ratio": 2.0} if side == "stable" else {"failure_condition": "result > 0.01"}
    metric = Metric.from_options({"name": "errors", "builtin": "error_rate", "min_requests": 100, **rule, **options}, "m")
    judges = {"errors": JUDGES[judge]} if judge else {}
    ports = Ports(world.measure, world.clock, judges=judges)
    return bake((metric,), ports, duration=10.0 * len(answers), error_hold=40.0)


@pytest.mark.parametrize("judge", sorted(JUDGES))
@pytest.mark.parametrize("side", ["both", "canary", "stable"])
def test_every_sequence_of_broken_answers(judge: str, side: str) -> None:
    """All of one and two looks, of each kind that there is; of three for the judge that remembers most."""
    for length in (1, 2, 3) if (judge, side) == ("sequential", "canary") else (1, 2):
        for kinds in itertools.product(BROKEN, repeat=length):
            if side == "stable" and judge == "" and set(kinds) & {"uncounted", "several", "infinite"}:
                continue  # a point judge says of such a baseline what it says of none: see the next test
            result = run([BROKEN[kind] for kind in kinds], judge, side)
            assert result.phase is not Phase.SUCCESSFUL, (kinds, result.reason)
            assert result.decision("pause", "abort") != "advance", (kinds, result.reason)


@pytest.mark.parametrize("kind", sorted(BROKEN))
def test_a_broken_baseline_alone_never_passes_a_ratio(kind: str) -> None:
    result = run([BROKEN[kind]] * 3, "", "stable")
    assert result.phase is not Phase.SUCCESSFUL, result.reason


@pytest.mark.parametrize("judge", sorted(JUDGES))
@pytest.mark.parametrize("kind", sorted(BROKEN))
def test_a_bake_that_ends_broken_passes_only_by_what_was_measured_before(judge: str, kind: str) -> None:
    """One good look, then broken ones: what passes had a good look; one that never had any does not."""
    result = run([GOOD, *[BROKEN[kind]] * 4], judge)
    if result.phase is Phase.SUCCESSFUL:
        assert any(look.phase is Phase.SUCCESSFUL for look in result.looks)
    if kind in ("stale", "unavailable", "refused"):
        assert result.phase is Phase.ERROR, "a bake never ends well while the last answer was an error"


@pytest.mark.parametrize("policy", ["inconclusive", "failure", "error"])
@pytest.mark.parametrize("judge", sorted(JUDGES))
def test_nor_once_the_waiting_for_data_is_over(policy: str, judge: str) -> None:
    for kind in BROKEN:
        result = run([BROKEN[kind]] * 6, judge, no_data=policy, no_data_timeout="20s")
        assert result.phase is not Phase.SUCCESSFUL, (kind, result.reason)


# The verdict machine by itself: every sequence of verdicts, every limit.

LIMITS: list[dict[str, Any]] = [
    {}, {"failure_limit": 1}, {"failure_limit": -1}, {"inconclusive_limit": 2}, {"consecutive_success_limit": 2}, {"consecutive_error_limit": 0},
    {"count": 3, "interval": "10s"}, {"consecutive_failure_limit": 2, "failure_limit": -1},
    {"count": 2, "interval": "10s", "failure_limit": -1, "inconclusive_limit": 5},
]  # fmt: skip


@pytest.mark.parametrize("limits", LIMITS, ids=str)
def test_every_sequence_of_verdicts(limits: dict[str, Any]) -> None:
    """All 55,986 of one to six: what is successful had a success, and nothing passes that only waited, erred, failed or doubted."""
    metric = Metric.from_options({"name": "errors", "query": "q", "interval": "10s", "failure_condition": "result > 1", **limits}, "m")
    verdicts = {phase: Verdict(phase, phase.value) for phase in Phase}

    def walk(tally: Tally, depth: int, success: bool) -> None:
        for early in ("", "somebody asked"):
            ended = close(metric, tally, early=early)
            assert ended.completed
            if ended.phase is Phase.SUCCESSFUL:
                assert success and ended.successful
                assert not early or tally.completed, "what ended early is no success"
        if depth:
            for phase, verdict in verdicts.items():
                walk(assess(metric, tally, verdict), depth - 1, success or phase is Phase.SUCCESSFUL)

    walk(Tally(), 6, False)
