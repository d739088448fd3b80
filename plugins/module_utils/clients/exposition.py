# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Prometheus text exposition format, as load balancers and applications serve it at ``/metrics``. Pure.

Stricter than Python's ``float``: values are decimal numbers, ``NaN``, ``+Inf`` or ``-Inf``; hexadecimal and underscores are refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..core.errors import ConfigError, Unavailable

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\\n]|\\.)*)"\s*(,|(?=\}))')
_OPEN, _CLOSE = re.compile(r"\s*\{"), re.compile(r"\s*\}")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_SPECIAL = {"nan": math.nan, "inf": math.inf, "+inf": math.inf, "-inf": -math.inf}
_ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


@dataclass(frozen=True)
class Metric:
    """One line: a name, its labels and a value."""

    name: str
    labels: Mapping[str, str]
    value: float


def number(text: str) -> float:
    """A value of the format. Raises ValueError."""
    special = _SPECIAL.get(text.lower())
    if special is not None:
        return special
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is not a decimal number, NaN or an infinity")
    return float(text)


def parse(text: str, where: str = "") -> list[Metric]:
    """Every sample line. Comments, types and timestamps are passed over.

    Raises Unavailable, naming the line, for text that is not in the format: half an answer is no answer.
    """
    metrics = []
    for count, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        try:
            metrics.append(_line(stripped))
        except ValueError as error:
            raise Unavailable(f"line {count} is not in the Prometheus text format: {error}", where=where) from None
    return metrics


def total(metrics: Iterable[Metric], name: str, labels: Mapping[str, str]) -> float | None:
    """The sum of the samples called ``name`` that carry ``labels`` (and possibly more); None when there is none."""
    values = [metric.value for metric in _select(metrics, name, labels)]
    return sum(values) if values else None


def buckets(metrics: Iterable[Metric], name: str, labels: Mapping[str, str]) -> dict[tuple[float, float], float]:
    """The histogram ``name`` as ``{(lower, upper): observations in between}``; the counts of the format are cumulative.

    Series that differ in other labels are added up. Empty when there is no such histogram. Raises Unavailable when the counts fall.
    """
    cumulative: dict[float, float] = {}
    for metric in _select(metrics, f"{name}_bucket", labels):
        try:
            bound = number(metric.labels["le"])
        except (KeyError, ValueError):
            raise Unavailable(f"a bucket of {name} has no bound", do="Its le label is a number.") from None
        cumulative[bound] = cumulative.get(bound, 0.0) + metric.value
    result: dict[tuple[float, float], float] = {}
    lower, below = 0.0, 0.0
    for bound in sorted(cumulative):
        count = cumulative[bound] - below
        if not count >= 0:
            raise Unavailable(f"the buckets of {name} do not rise at {bound:g}")
        result[(min(lower, bound), bound)] = count
        lower, below = bound, cumulative[bound]
    return result


def quantile(histogram: Mapping[tuple[float, float], float], share: float) -> float | None:
    """The value below which ``share`` (0..1) of the observations lie, by linear interpolation inside its bucket.

    None for a histogram without observations. The last bucket of an unbounded histogram answers with its lower bound.
    """
    rank = share * sum(histogram.values())
    seen = 0.0
    for lower, upper in sorted(histogram):
        count = histogram[(lower, upper)]
        if count > 0 and seen + count >= rank:
            return lower if math.isinf(upper) else lower + (upper - lower) * (rank - seen) / count
        seen += count
    return None


def share_above(histogram: Mapping[tuple[float, float], float], bound: float) -> tuple[float, int] | None:
    """(share of the observations above ``bound``, observations); None without any. Raises ConfigError for a bound within a bucket."""
    count = sum(histogram.values())
    if not count:
        return None
    edge = bound * (1 + 1e-9)
    if any(lower * (1 + 1e-9) < bound and edge < upper for lower, upper in histogram):
        ends = sorted({upper for _lower, upper in histogram if math.isfinite(upper)})
        raise ConfigError(f"{bound:g} lies within a bucket", where="slower_than", do=f"The buckets end at {', '.join(f'{end:g}' for end in ends)}.")
    return sum(observed for (lower, _upper), observed in histogram.items() if lower * (1 + 1e-9) >= bound) / count, int(count)


def _select(metrics: Iterable[Metric], name: str, labels: Mapping[str, str]) -> list[Metric]:
    return [metric for metric in metrics if metric.name == name and all(metric.labels.get(key) == value for key, value in labels.items())]


def _line(line: str) -> Metric:
    start = _NAME.match(line)
    if not start:
        raise ValueError(f"{line[:40]!r} does not start with a name")
    position, labels = start.end(), {}
    opened = _OPEN.match(line, position)
    if opened:
        position = opened.end()
        while not (closed := _CLOSE.match(line, position)):
            pair = _LABEL.match(line, position)
            if not pair:
                raise ValueError(f"broken labels at {line[position : position + 40]!r}")
            labels[pair[1]] = re.sub(r'\\[\\"n]', lambda found: _ESCAPES[found[0]], pair[2])
            position = pair.end()
        position = closed.end()
    rest = line[position:].split()
    if len(rest) not in (1, 2) or (len(rest) == 2 and not re.fullmatch(r"-?\d+", rest[1], re.ASCII)):
        raise ValueError(f"expected a value and at most a timestamp, got {line[position:][:40]!r}")
    return Metric(start[0], labels, number(rest[0]))
