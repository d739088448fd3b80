# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much traffic a number of hosts can carry, in whole hosts and exact per cents."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Union

from .errors import ConfigError
from .model import FULL
from .units import count_or_percent

PRESETS: Mapping[str, tuple[Union[int, str], Union[int, str]]] = {"conservative": (0, 1), "balanced": ("25%", "25%"), "fast": ("50%", "50%")}
"""(max_unavailable, max_surge) of a rolling update, by name."""


def carries(hosts: int, full_load: int) -> Fraction:
    """The largest share, in percent, that ``hosts`` can carry when ``full_load`` hosts carry everything."""
    if full_load <= 0:
        return FULL if hosts > 0 else Fraction(0)
    return min(FULL, Fraction(hosts * 100, full_load))


def needed(share: Fraction, full_load: int) -> int:
    """Hosts needed to carry ``share`` percent of what ``full_load`` hosts carry; at least one for any share above 0."""
    return math.ceil(share * full_load / 100)


def pods_by_ratio(replicas: int, share: Fraction) -> tuple[int, int]:
    """(candidate, stable): whole pods whose ratio is nearest to ``share`` percent, among ``replicas`` pods or one more.

    Of two that are equally near, the one with the larger candidate; of those, the one without the extra pod. Neither side is empty for a
    share between 0 and 100.
    """
    if share <= 0:
        return 0, replicas
    if share >= FULL:
        return replicas, 0
    found: list[tuple[Fraction, int, int, int]] = []
    for total in (max(2, replicas), replicas + 1):
        exact = total * share / FULL
        for candidate in sorted({math.floor(exact), math.ceil(exact)}):
            inside = min(max(candidate, 1), total - 1)
            found.append((abs(FULL * inside / total - share), -inside, total, inside))
    _off, _larger, total, candidate = min(found)
    return candidate, total - candidate


def unavailable_and_surge(max_unavailable: Any, max_surge: Any, replicas: int, where: str = "") -> tuple[int, int]:
    """Both as whole numbers: surge rounds up, unavailable rounds down; two percentages that round to 0 make 1 unavailable.

    Raises ConfigError when both are 0 as written: such an update could never move.
    """
    if str(max_unavailable).strip() in ("0", "0%") and str(max_surge).strip() in ("0", "0%"):
        raise ConfigError("max_unavailable and max_surge are both 0", where=where, do="Let one of them be at least 1.")
    unavailable = count_or_percent(max_unavailable, replicas, round_up=False, where=where)
    surge = count_or_percent(max_surge, replicas, round_up=True, where=where)
    return (1, 0) if unavailable == 0 and surge == 0 else (unavailable, surge)


def batches(zones: Sequence[Sequence[str]], sizes: Sequence[Any], most: int, where: str = "") -> list[tuple[str, ...]]:
    """The hosts of one zone after the other cut into batches, none of which spans two zones.

    ``sizes`` are read as Ansible's ``serial`` reads them (of all hosts; the last one repeats, also in the next zone), never more than ``most`` at once.
    """
    total = sum(map(len, zones))
    counts = [count_or_percent(size, total, round_up=False, where=where) for size in sizes] or [total]
    result: list[tuple[str, ...]] = []
    for zone in zones:
        rest = tuple(zone)
        while rest:
            count = max(1, min(most, counts[min(len(result), len(counts) - 1)]))
            result.append(rest[:count])
            rest = rest[count:]
    return result
