# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does one variant convert more visitors than the other? The evidence of an A/B test, which may be looked at after every visitor.

After Turner, Ly and Grünwald, "Generic E-variables for exact sequential k-sample tests that allow for optional stopping" (Journal of Statistical
Planning and Inference 2024): before a block of visitors one guesses the two shares, a and b; the block then multiplies the evidence by

    a^x (1 - a)^(n - x) b^y (1 - b)^(m - y)  /  s^(x + y) (1 - s)^(n + m - x - y)       s = (n a + m b) / (n + m)

with x of the n visitors of one variant and y of the m of the other converted. With f and g the expected factors of one visitor of either, and equal
shares, n f + m g = n + m, so that f^n g^m is at most 1 by the inequality of the means: whatever the common share is, even where it changes from block
to block. With a < b that holds as well whenever the first variant converts no fewer. A mixture of such products is a supermartingale, and by Ville's
inequality it ever exceeds 1/alpha with a probability of at most alpha, after any number of looks.

The guesses: the pooled share is what was seen before the block, and the difference is one of :data:`GUESSES` times what matters. Wrong guesses cost
time, never errors; so the first visitors only teach the share, unless they come as one large block, before which all :data:`SHARES` are guessed.
For rare conversions this is the test of :mod:`..sequential`, which counts the bad alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Optional

from ..evidence import Counts

GUESSES = (0.6, 1.0, 1.6, 2.8, 6.0)
"""The differences that are guessed, in units of ``mde``. Equal weights."""
SHARES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.97)
"""The pooled shares that are guessed where nothing was seen before."""
LEARNT, MANY = 100, 1000
"""Visitors after whom a share is known well enough, and of whom a block is too good to learn from alone."""
FURTHEST = 0.8
"""No guess takes a share further than so much of its way to 0 or 1."""


@dataclass(frozen=True)
class Trial:
    """What was seen so far; JSON through the codec, so that a test of a week outlives its processes.

    ``total``: conversions are the "bad" ones of :class:`Counts`. ``better`` and ``worse`` are the logarithms of the evidence, by guess, that the
    candidate converts more, or fewer; ``best`` and ``worst`` the highest that their mixtures were. ``began`` and ``seen``: first and latest moment,
    seconds since the epoch.
    """

    total: Counts = Counts(0, 0, 0, 0)
    better: tuple[float, ...] = (0.0,) * len(GUESSES)
    worse: tuple[float, ...] = (0.0,) * len(GUESSES)
    best: float = 0.0
    worst: float = 0.0
    looks: int = 0
    began: Optional[float] = None
    seen: Optional[float] = None

    @property
    def p_better(self) -> float:
        """The always-valid p-value of "the candidate converts no more than stable"."""
        return math.exp(-self.best)

    @property
    def p_worse(self) -> float:
        """The always-valid p-value of "the candidate converts no fewer than stable"."""
        return math.exp(-self.worst)

    @property
    def p(self) -> float:
        """Of "both convert alike", two-sided."""
        return min(1.0, 2 * min(self.p_better, self.p_worse))


def add(trial: Trial, block: Counts, mde: float) -> Trial:
    """The trial with one more block of visitors: those that came since the block before."""
    if not block.shares:
        raise ValueError("a block has no more conversions than visitors")
    total = trial.total
    visitors = block.requests + block.base_requests
    if not visitors:
        return trial
    before = total.requests + total.base_requests
    shares: Sequence[float] = ((total.bad + total.base_bad + 0.5) / (before + 1),)
    if before < LEARNT:
        shares = SHARES if visitors >= MANY else ()
    ours, theirs = (block.bad, block.requests), (block.base_bad, block.base_requests)
    better, worse = _grown(trial.better, theirs, ours, shares, mde), _grown(trial.worse, ours, theirs, shares, mde)
    seconds = max(total.seconds, block.seconds)
    summed = Counts(total.bad + block.bad, total.requests + block.requests, total.base_bad + block.base_bad, total.base_requests + block.base_requests, seconds)
    return replace(trial, total=summed, better=better, worse=worse, best=max(trial.best, mixed(better)), worst=max(trial.worst, mixed(worse)),
                   looks=trial.looks + 1)


def mixed(logs: Sequence[float]) -> float:
    """The logarithm of the mean of what these are logarithms of."""
    top = max(logs)
    return top + math.log(sum(math.exp(each - top) for each in logs) / len(logs))


def _grown(logs: Sequence[float], lower: tuple[int, int], higher: tuple[int, int], shares: Sequence[float], mde: float) -> tuple[float, ...]:
    """The evidence that of (conversions, visitors) ``higher`` has the higher share, with this block in it; ``shares`` are guesses of the pooled one."""
    if not shares:
        return tuple(logs)
    part = higher[1] / (lower[1] + higher[1])
    grown = []
    for log, guess in zip(logs, GUESSES):
        steps = []
        for share in shares:
            apart = min(guess * mde, FURTHEST * share, FURTHEST * (1 - share))
            steps.append(_likelier(lower, share - part * apart, share) + _likelier(higher, share + (1 - part) * apart, share))
        grown.append(log + mixed(steps))
    return tuple(grown)


def _likelier(seen: tuple[int, int], share: float, than: float) -> float:
    """How much likelier one share makes (conversions, visitors) than another does, as a logarithm."""
    good, visitors = seen
    return good * math.log(share / than) + (visitors - good) * math.log((1 - share) / (1 - than))
