# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replaying an analysis over the past: regressions that are put into answers, and what many replays say together. Pure.

The replays themselves are bakes like any other (:mod:`.bake`), on a clock that stands in the past.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Optional

from .errors import ConfigError
from .metric import Metric
from .model import Point, Series
from .tails import share_interval
from .units import show_duration

CONFIDENCE = 95.0
"""Of the intervals of rates, in percent."""
SHARES = ("+0.002", "+0.005", "+0.01", "+0.02", "+0.05", "+0.1")
VALUES = ("x1.1", "x1.25", "x1.5", "x2", "x3", "x5")
"""What is put into shares and into other values, where nothing is said."""
_REGRESSION = re.compile(r"([x+])(\d{1,12}(?:\.\d{1,12})?)", re.ASCII)


@dataclass(frozen=True)
class Regression:
    """What becomes worse: ``factor`` times as much, and ``add`` more."""

    text: str
    factor: float = 1.0
    add: float = 0.0

    @classmethod
    def parse(cls, text: str, where: str = "regressions") -> Regression:
        """From ``x1.5`` or ``+0.01``. Raises ConfigError."""
        match = _REGRESSION.fullmatch(text.strip())
        number = float(match[2]) if match else 0.0
        if not match or (number <= 1 if match[1] == "x" else number <= 0):
            raise ConfigError(f"{text[:40]!r} is no regression", where=where, do="Write x1.5 for half as much again, or +0.01 for so much more.")
        return cls(text.strip(), factor=number) if match[1] == "x" else cls(text.strip(), add=number)

    def on(self, value: float, falls: bool, share: bool) -> float:
        """The worse value. Of a share where less is worse it is the rest that grows; no share leaves 0 to 1."""
        if not math.isfinite(value):
            return value
        if not share:
            return value / self.factor - self.add if falls else value * self.factor + self.add
        bad = min(1.0, (1 - value if falls else value) * self.factor + self.add)
        return 1 - bad if falls else bad

    def into(self, series: Series, metric: Metric, share: bool) -> Series:
        """The answer as it would have been."""
        falls = metric.direction == "decrease"

        def worse(point: Point) -> Point:
            return replace(point, value=self.on(point.value, falls, share))

        return replace(series, samples=tuple(replace(sample, points=tuple(map(worse, sample.points))) for sample in series.samples))


@dataclass(frozen=True)
class Replayed:
    """How one release of the past would have ended: ``good``, ``alarm``, ``undecided``, ``no_data`` or ``error``, after so many seconds.

    ``failed``: the metrics that took it back.
    """

    start: float
    outcome: str
    seconds: float
    reason: str = ""
    failed: tuple[str, ...] = ()

    @property
    def judged(self) -> bool:
        return self.outcome not in ("no_data", "error")


@dataclass(frozen=True)
class Rate:
    """So many of so many, with Clopper and Pearson's interval; None of nothing."""

    count: int
    of: int

    def as_dict(self) -> dict[str, Any]:
        low, high = share_interval(self.count, self.of, 1 - CONFIDENCE / 100) if self.of else (None, None)
        return {"count": self.count, "of": self.of, "rate": self.count / self.of if self.of else None, "low": low, "high": high, "confidence": CONFIDENCE}

    def __str__(self) -> str:
        if not self.of:
            return "none"
        low, high = share_interval(self.count, self.of, 1 - CONFIDENCE / 100)
        return f"{self.count} of {self.of}, {100 * self.count / self.of:.3g} % ({100 * low:.2g} to {100 * high:.3g} %)"


def false_alarms(replays: Iterable[Replayed]) -> Rate:
    judged = [each for each in replays if each.judged]
    return Rate(sum(each.outcome == "alarm" for each in judged), len(judged))


@dataclass(frozen=True)
class Caught:
    """What one regression of one metric did in all windows. ``delays``: seconds until those that were caught were."""

    metric: str
    regression: Regression
    rate: Rate
    delays: tuple[float, ...]

    @classmethod
    def of(cls, metric: str, regression: Regression, replays: Sequence[Replayed], counts_for: Iterable[str]) -> Caught:
        """``counts_for``: the metrics whose failure is that of this one (all of a group that is scored together)."""
        judged, names = [each for each in replays if each.judged], frozenset(counts_for)
        caught = [each for each in judged if each.outcome == "alarm" and names & set(each.failed)]
        return cls(metric, regression, Rate(len(caught), len(judged)), tuple(sorted(each.seconds for each in caught)))

    @property
    def median(self) -> Optional[float]:
        return statistics.median(self.delays) if self.delays else None

    def as_dict(self) -> dict[str, Any]:
        return {"metric": self.metric, "regression": self.regression.text, "caught": self.rate.as_dict(), "delay_median": self.median,
                "delay_longest": self.delays[-1] if self.delays else None}


def smallest(found: Sequence[Caught], power: float) -> Optional[Caught]:
    """Of the regressions of one metric, from the smallest to the largest, the one from which on each is caught often enough; None when none is."""
    best: Optional[Caught] = None
    for each in reversed(found):
        if not each.rate.of or each.rate.count < power * each.rate.of:
            break
        best = each
    return best


def table(rows: Sequence[Caught]) -> list[str]:
    """The regressions as lines for a terminal."""
    lines = [("metric", "regression", f"caught ({CONFIDENCE:g} % interval)", "median delay", "longest")]
    for row in rows:
        shown = (show_duration(row.median or 0), show_duration(row.delays[-1])) if row.delays else ("-", "-")
        lines.append((row.metric, row.regression.text, str(row.rate), *shown))
    widths = [max(len(line[column]) for line in lines) for column in range(5)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]
