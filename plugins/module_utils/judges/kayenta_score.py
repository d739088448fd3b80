# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fourth stage of the judge ``kayenta``: the labels of all metrics to one score, and its class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

PASS, NODATA = "pass", "nodata"
"""Labels that count as good, and that do not count. Every other one is bad."""


@dataclass(frozen=True)
class Scored:
    """One metric as the score sees it. ``decides``: its failure alone makes the score 0; ``weight`` is that of its group, in percent."""

    name: str
    state: str
    group: str = "default"
    weight: Optional[float] = None
    decides: bool = False
    muted: bool = False


@dataclass(frozen=True)
class Score:
    """``value`` from 0 to 100, the score of each group, and why."""

    value: float
    groups: Mapping[str, float]
    reason: str


def score(metrics: Sequence[Scored]) -> Score:
    """Passes of all that has data, by group; the groups by their weights, those without share what is left of 100."""
    counted = [metric for metric in metrics if not metric.muted]
    groups = {name: _of_group([metric for metric in counted if metric.group == name]) for name in dict.fromkeys(metric.group for metric in counted)}
    fatal = [metric.name for metric in counted if metric.decides and metric.state != PASS]
    if fatal:
        return Score(0.0, groups, f"{', '.join(fatal)} decides alone")
    without = [metric.name for metric in counted if metric.state == NODATA]
    if not counted or 2 * len(without) >= len(counted):
        return Score(0.0, groups, f"no data of {len(without)} of {len(counted)} metrics")
    weights = _weights(counted)
    bad = [f"{metric.name} {metric.state}" for metric in counted if metric.state not in (PASS, NODATA)]
    return Score(round(sum(groups[name] * weights[name] / 100 for name in groups), 2), groups, ", ".join(bad) or "all pass")


def _of_group(metrics: Sequence[Scored]) -> float:
    having = [metric for metric in metrics if metric.state != NODATA]
    return 100.0 * sum(metric.state == PASS for metric in having) / len(having) if having else 100.0


def _weights(metrics: Sequence[Scored]) -> dict[str, float]:
    given = {metric.group: metric.weight for metric in metrics if metric.weight is not None}
    others = [name for name in dict.fromkeys(metric.group for metric in metrics) if name not in given]
    left = max(0.0, 100.0 - sum(given.values()))
    return {**given, **{name: left / len(others) for name in others}}


def grade(value: float, passes: float, marginal: float) -> str:
    """``pass``, ``marginal`` or ``fail``; both borders belong to what lies above them."""
    return "pass" if value >= passes else "marginal" if value >= marginal else "fail"
