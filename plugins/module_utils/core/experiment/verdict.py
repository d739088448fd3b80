# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an A/B test says: win, lose, no difference, or go on; and two endings in which it says nothing, because its numbers cannot be believed."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Optional

from ..units import show_duration, show_percent
from .effect import Effect, Split, effect, split
from .sample import needed
from .trial import Trial


class Says(str, enum.Enum):
    """``mismatch``: visitors were not split as they should have been. ``undecided``: the time is over, and too little was seen to say anything."""

    WIN = "win"
    LOSE = "lose"
    NO_DIFFERENCE = "no_difference"
    CONTINUE = "continue"
    MISMATCH = "mismatch"
    UNDECIDED = "undecided"

    @property
    def final(self) -> bool:
        return self is not Says.CONTINUE


@dataclass(frozen=True)
class Design:
    """What was agreed on before the test. ``part`` of the visitors see the candidate; ``mde`` is a difference of shares; ``min_samples`` visitors
    of each variant; durations in seconds."""

    part: float = 0.5
    mde: float = 0.01
    alpha: float = 0.05
    power: float = 0.8
    min_samples: int = 100
    min_duration: float = 0.0
    max_duration: float = math.inf


@dataclass(frozen=True)
class Finding:
    """A verdict with all that it rests on. ``needed``: visitors of both variants in all, as planned from the shares seen."""

    says: Says
    reason: str
    trial: Trial
    seconds: float
    effect: Optional[Effect] = None
    split: Optional[Split] = None
    needed: Optional[int] = None


def conclude(design: Design, trial: Trial, seconds: float) -> Finding:
    """The verdict after ``seconds``. Pure: the same trial gives the same verdict."""
    total = trial.total
    over = seconds >= design.max_duration
    lacking = "stable" if not total.base_requests else "the candidate" if not total.requests else ""
    if lacking:
        return Finding(Says.UNDECIDED if over else Says.CONTINUE, f"no visitor of {lacking} was counted", trial, seconds)
    counted, found = split(total, design.part), effect(total, design.alpha, design.mde)
    wanted, sure = _needed(design, trial), f"{100 * (1 - design.alpha):g} %"

    def finding(says: Says, text: str) -> Finding:
        shares = f"{show_percent(100 * total.bad / total.requests)} against {show_percent(100 * total.base_bad / total.base_requests)}"
        between = f"difference {points(found.low)} to {points(found.high)} points ({sure})"
        said = shares if says in (Says.WIN, Says.LOSE) else f"{shares}, {between}"
        evidence = f"{said}, p {trial.p:.2g}, {total.requests:,} and {total.base_requests:,} visitors"
        return Finding(says, f"{text}: {evidence}" if says is not Says.MISMATCH else text, trial, seconds, found, counted, wanted)

    if counted.wrong:
        share = total.requests / (total.requests + total.base_requests)
        return finding(Says.MISMATCH, f"not judged: {show_percent(100 * share)} of {total.requests + total.base_requests:,} visitors were counted for the "
                                      f"candidate, {show_percent(100 * design.part)} should have been (chi-square, p {counted.p:.1g}): visitors get lost on "
                                      "one side, or the counting differs, and no comparison can be believed")
    fewest = min(total.requests, total.base_requests)
    if fewest < design.min_samples:
        short = design.min_samples - fewest
        if over:
            return finding(Says.UNDECIDED, f"the time is over with {short:,} visitors of a variant too few to say anything")
        return finding(Says.CONTINUE, f"needs {short:,} more visitors of a variant to begin with")
    if seconds < design.min_duration:
        return finding(Says.CONTINUE, f"goes on for at least {show_duration(math.ceil(design.min_duration - seconds))}")
    if not total.bad + total.base_bad:
        return finding(Says.UNDECIDED if over else Says.CONTINUE, "nobody converted at all: see whether conversions are counted")
    if 2 * trial.p_better <= design.alpha and found.low > 0:
        return finding(Says.WIN, f"converts more, by {points(found.low)} to {points(found.high)} points ({sure})")
    if 2 * trial.p_worse <= design.alpha and found.high < 0:
        return finding(Says.LOSE, f"converts less, by {points(-found.high)} to {points(-found.low)} points ({sure})")
    if -design.mde < found.low and found.high < design.mde:
        return finding(Says.NO_DIFFERENCE, f"no difference of {in_points(design.mde)} or more")
    if over:
        return finding(Says.NO_DIFFERENCE, f"none is proven within {show_duration(design.max_duration)}")
    return finding(Says.CONTINUE, _more(total.requests + total.base_requests, wanted, seconds))


def _needed(design: Design, trial: Trial) -> int:
    total = trial.total
    share = (total.bad + total.base_bad + 0.5) / (total.requests + total.base_requests + 1)
    return needed(share, design.mde, alpha=design.alpha, power=design.power, part=design.part).always


def _more(visitors: int, wanted: int, seconds: float) -> str:
    if visitors >= wanted:
        return "goes on: as many visitors as planned, and nothing is proven yet"
    time = f", about {show_duration(math.ceil((wanted - visitors) * seconds / visitors))} at this rate" if seconds > 0 else ""
    return f"needs up to {wanted - visitors:,} more visitors{time}"


def points(share: float) -> str:
    """A difference of shares in per cent points."""
    return f"{100 * share:.3g}"


def in_points(share: float) -> str:
    """``1 point``, ``0.5 points``."""
    return f"{points(share)} point{'' if points(share) == '1' else 's'}"
