# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bench of A/B tests: how often the worse or an equal variant wins, and how often the better one, when every look may end the test.

The test is computed for all runs at once; the first runs of each scenario are held against the product's own function, and so must agree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy
from scipy import stats

from ansible_collections.progressive.delivery.plugins.module_utils.core.evidence import Counts
from ansible_collections.progressive.delivery.plugins.module_utils.core.experiment.sample import Needed, needed
from ansible_collections.progressive.delivery.plugins.module_utils.core.experiment.trial import FURTHEST, GUESSES, LEARNT, MANY, SHARES, Trial, add
from ansible_collections.progressive.delivery.plugins.module_utils.core.experiment.verdict import Design, Says, conclude

Array = numpy.ndarray
CHECKED = 5
LEAST = 100
"""Visitors of each variant before anything is said: the default."""


@dataclass(frozen=True)
class Case:
    """Stable's ``share``, the candidate's ``lift`` in shares, the ``mde`` of the test, and the ``part`` of the visitors that see the candidate.

    ``wave``: by how much both shares go up and down together, in units of the share.
    """

    name: str
    share: float
    mde: float
    lift: float = 0.0
    part: float = 0.5
    wave: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What became of the runs: shares of them, and of those with a verdict the median part of the planned visitors they took.

    ``covered``: runs whose interval held the true difference at every look; ``naive``: runs that a z-test at every look would have let win or lose.
    """

    win: float
    lose: float
    took: float
    covered: float
    naive: float
    planned: Needed


def simulate(case: Case, runs: int, seed: int, *, looks: int = 400, longer: float = 1.0) -> Outcome:
    """``looks`` looks, evenly over ``longer`` times the visitors that the plan says."""
    design = Design(part=case.part, mde=case.mde, min_samples=LEAST)
    plan = needed(case.share, case.mde, alpha=design.alpha, power=design.power, part=case.part)
    rng = numpy.random.default_rng(seed)
    every = max(2, math.ceil(plan.always * longer / looks))
    ours = rng.binomial(every, case.part, (runs, looks))
    theirs = every - ours
    share = case.share * (1 + case.wave * numpy.sin(numpy.arange(looks) * 2 * math.pi / 40))
    good, base = rng.binomial(ours, share + case.lift), rng.binomial(theirs, numpy.broadcast_to(share, (runs, looks)))
    better, worse = evidence(good, ours, base, theirs, case.mde)
    n, m, x, y = (numpy.cumsum(each, axis=1) for each in (ours, theirs, good, base))
    low, high = bounds(x, n, y, m, case.mde, design.alpha)
    begun = numpy.minimum(n, m) >= LEAST
    border = math.log(2 / design.alpha)
    wins = begun & (numpy.maximum.accumulate(better, axis=1) >= border) & (low > 0)
    loses = begun & (numpy.maximum.accumulate(worse, axis=1) >= border) & (high < 0)
    for run in range(min(CHECKED, runs)):
        blocks = [Counts(*map(int, each)) for each in zip(good[run], ours[run], base[run], theirs[run])]
        check(design, blocks, wins[run], loses[run])
    first_win, first_loss = first(wins), first(loses)
    won, lost = first_win < first_loss, first_loss < first_win
    ended = numpy.minimum(first_win, first_loss)
    decided = ended[won | lost]
    took = float(numpy.median((decided + 1) * every / plan.always)) if decided.size else math.nan
    covered = ((low <= case.lift) & (case.lift <= high) | ~begun).all(axis=1)
    pooled = (x + y) / (n + m)
    with numpy.errstate(divide="ignore", invalid="ignore"):
        z = (x / n - y / m) / numpy.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    naive = (begun & (numpy.abs(z) > stats.norm.isf(design.alpha / 2))).any(axis=1)
    return Outcome(float(won.mean()), float(lost.mean()), took, float(covered.mean()), float(naive.mean()), plan)


def evidence(good: Array, ours: Array, base: Array, theirs: Array, mde: float) -> tuple[Array, Array]:
    """What :func:`..trial.add` adds up, for all runs at once: the logarithms of the mixtures, by run and look."""
    before = numpy.cumsum(ours + theirs, axis=1) - (ours + theirs)
    converted = numpy.cumsum(good + base, axis=1) - (good + base)
    learnt, many = before >= LEARNT, ours + theirs >= MANY
    known = (converted + 0.5) / (before + 1)

    def likelier(x: Array, n: Array, new: Array, than: Array) -> Array:
        return x * numpy.log(new / than) + (n - x) * numpy.log((1 - new) / (1 - than))

    def step(lower: tuple[Array, Array], higher: tuple[Array, Array], guess: float, share: Array) -> Array:
        part = higher[1] / (lower[1] + higher[1])
        apart = numpy.minimum(numpy.minimum(guess * mde, FURTHEST * share), FURTHEST * (1 - share))
        return likelier(*lower, share - part * apart, share) + likelier(*higher, share + (1 - part) * apart, share)

    sides = []
    for higher, lower in (((good, ours), (base, theirs)), ((base, theirs), (good, ours))):
        logs = []
        for guess in GUESSES:
            blind = numpy.logaddexp.reduce([step(lower, higher, guess, numpy.asarray(share)) for share in SHARES], axis=0) - math.log(len(SHARES)) \
                if (many & ~learnt).any() else 0.0
            logs.append(numpy.cumsum(numpy.where(learnt, step(lower, higher, guess, known), numpy.where(many, blind, 0.0)), axis=1))
        sides.append(numpy.logaddexp.reduce(logs, axis=0) - math.log(len(GUESSES)))
    return sides[0], sides[1]


def bounds(x: Array, n: Array, y: Array, m: Array, mde: float, alpha: float) -> tuple[Array, Array]:
    """What :func:`..effect.effect` says, for all runs at once."""
    n, m = numpy.maximum(n, 1), numpy.maximum(m, 1)
    p, q = (x + 0.5) / (n + 1), (y + 0.5) / (m + 1)
    variance = p * (1 - p) / n + q * (1 - q) / m
    reach = numpy.sqrt(variance * (1 + variance / mde**2) * (2 * math.log(1 / alpha) + numpy.log1p(mde**2 / variance)))
    return x / n - y / m - reach, x / n - y / m + reach


def check(design: Design, blocks: list[Counts], wins: Array, loses: Array) -> None:
    """The product says the same at every look, but for what it says besides."""
    trial = Trial()
    for look, block in enumerate(blocks):
        trial = add(trial, block, design.mde)
        says = conclude(design, trial, 1.0).says
        told = Says.WIN if wins[look] else Says.LOSE if loses[look] else None
        if says in (Says.WIN, Says.LOSE) or (told and says is not Says.MISMATCH):
            assert says is told, (look, says, told)


def first(marks: Array) -> Array:
    """Of each run the first look that is marked; beyond the last where none is."""
    return numpy.where(marks.any(axis=1), marks.argmax(axis=1), marks.shape[1])


ALIKE = (
    Case("2 % convert, mde 0.5 points", 0.02, 0.005), Case("10 % convert, mde 1 point", 0.1, 0.01), Case("50 % convert, mde 2 points", 0.5, 0.02),
    Case("10 % convert, a tenth of the visitors", 0.1, 0.01, part=0.1), Case("10 % convert, up and down by half", 0.1, 0.01, wave=0.5),
)
BETTER = (
    Case("2 % become 2.5 %", 0.02, 0.005, 0.005), Case("10 % become 11 %", 0.1, 0.01, 0.01), Case("50 % become 52 %", 0.5, 0.02, 0.02),
    Case("10 % become 11 %, a tenth of the visitors", 0.1, 0.01, 0.01, part=0.1), Case("10 % become 11.5 %, mde 1 point", 0.1, 0.01, 0.015),
    Case("10 % become 13 %, mde 1 point", 0.1, 0.01, 0.03),
)


def report(runs: int, seed: int) -> None:
    """Both tables, as docs/figures.md has them."""
    print(f"\nA/A tests, {runs:,} runs each, 400 looks over three times the planned visitors:\n")
    print("| | wins | loses | interval holds at all looks | a z-test at every look |")
    print("|---|---:|---:|---:|---:|")
    for case in ALIKE:
        found = simulate(case, runs, seed, longer=3.0)
        print(f"| {case.name} | {found.win:.2%} | {found.lose:.2%} | {found.covered:.1%} | {found.naive:.0%} |")
    print(f"\nA better candidate, {runs:,} runs each, 400 looks over the planned visitors:\n")
    print("| | one look | planned | times | wins | loses | visitors until then (median) |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for case in BETTER:
        found = simulate(case, runs, seed)
        print(f"| {case.name} | {found.planned.once:,} | {found.planned.always:,} | {found.planned.inflation:.2f} | {found.win:.1%} | {found.lose:.2%} "
              f"| {found.took:.0%} of the plan |")
