# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The statistics of A/B tests: what must hold for any counts, published figures, and a few hundred seeded tests. The bench has the many."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.progressive.delivery.plugins.module_utils.core.codec import decode, encode
from ansible_collections.progressive.delivery.plugins.module_utils.core.evidence import Counts
from ansible_collections.progressive.delivery.plugins.module_utils.core.experiment.effect import MISMATCH, effect, split
from ansible_collections.progressive.delivery.plugins.module_utils.core.experiment.sample import needed
from ansible_collections.progressive.delivery.plugins.module_utils.core.experiment.trial import GUESSES, LEARNT, MANY, Trial, add
from ansible_collections.progressive.delivery.plugins.module_utils.core.experiment.verdict import Design, Says, conclude


@st.composite
def blocks(draw: st.DrawFn, most: int = 3000) -> Counts:
    ours, theirs = draw(st.integers(0, most)), draw(st.integers(0, most))
    return Counts(draw(st.integers(0, ours)), ours, draw(st.integers(0, theirs)), theirs)


def turned(block: Counts) -> Counts:
    """The variants with their places changed."""
    return Counts(block.base_bad, block.base_requests, block.bad, block.requests, block.seconds)


def folded(given: list[Counts], mde: float = 0.01) -> Trial:
    trial = Trial()
    for block in given:
        trial = add(trial, block, mde)
    return trial


@given(st.lists(blocks(), max_size=8), st.sampled_from([0.001, 0.01, 0.2]))
def test_evidence_is_finite_never_falls_and_does_not_care_which_variant_is_which(given_blocks: list[Counts], mde: float) -> None:
    trial, before = Trial(), Trial()
    for block in given_blocks:
        trial = add(trial, block, mde)
        assert 0 <= trial.p <= 1 and trial.p_better <= before.p_better and trial.p_worse <= before.p_worse
        assert all(map(math.isfinite, (*trial.better, *trial.worse)))
        before = trial
    other = folded([turned(block) for block in given_blocks], mde)
    assert trial.better == pytest.approx(other.worse) and trial.worse == pytest.approx(other.better)
    assert decode(Trial, encode(trial)) == trial, "it outlives its process"


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.02, 0.02), (0.6, 0.3), (0.97, 0.97), (0.05, 0.01)])
@pytest.mark.parametrize("sizes", [(3, 5), (1, 1), (6, 2), (0, 4)])
@pytest.mark.parametrize("before", [Counts(20, 100, 20, 100), Counts(0, 60, 1, 70), Counts(99, 100, 100, 100)])
def test_no_block_raises_the_evidence_of_what_is_not_so_on_average(shares: tuple[float, float], sizes: tuple[int, int], before: Counts) -> None:
    """Every outcome of a block, weighed with its chance, for a candidate that converts no more: what makes any number of looks harmless."""
    base, own = shares
    begun = Trial(total=before)
    expected = [0.0] * len(GUESSES)
    for good, base_good in itertools.product(range(sizes[0] + 1), range(sizes[1] + 1)):
        chance = _binomial(sizes[0], good, own) * _binomial(sizes[1], base_good, base)
        grown = add(begun, Counts(good, sizes[0], base_good, sizes[1]), 0.05)
        expected = [so_far + chance * math.exp(log) for so_far, log in zip(expected, grown.better)]
    assert all(value <= 1 + 1e-9 for value in expected), expected


def _binomial(n: int, k: int, share: float) -> float:
    return math.comb(n, k) * share**k * (1 - share) ** (n - k)


def test_the_first_visitors_teach_the_share_unless_they_come_as_one_large_block() -> None:
    small = add(Trial(), Counts(30, LEARNT // 2, 1, LEARNT // 2), 0.01)
    assert small.p == 1 and small.total.bad == 30
    large = add(Trial(), Counts(MANY // 5, MANY, MANY // 10, MANY), 0.05)
    assert large.p < 0.001


@given(blocks())
def test_the_interval_holds_the_difference_and_is_wider_when_surer(total: Counts) -> None:
    if not total.requests or not total.base_requests:
        return
    found, surer = effect(total, 0.05, 0.01), effect(total, 0.001, 0.01)
    assert -1 <= surer.low <= found.low <= found.difference <= found.high <= surer.high <= 1
    other = effect(turned(total), 0.05, 0.01)
    assert (other.low, other.high) == pytest.approx((-found.high, -found.low))


@pytest.mark.parametrize("ours, theirs, part, p", [
    (50, 50, 0.5, 1.0), (821, 815, 0.5, 0.8821), (15752, 15257, 0.5, 0.0049), (4500, 5500, 0.45, 1.0), (10, 90, 0.2, 0.01242),
])
def test_the_split_is_held_against_the_wanted_one_by_chi_square(ours: int, theirs: int, part: float, p: float) -> None:
    """The second and third are those of published case studies; all agree with R's chisq.test(c(ours, theirs), p = c(part, 1 - part))."""
    assert split(Counts(0, ours, 0, theirs), part).p == pytest.approx(p, rel=0.01)


def test_a_split_that_is_right_is_hardly_ever_called_wrong_and_a_wrong_one_is() -> None:
    rng = random.Random(4)
    alarms = 0
    for _run in range(200):
        ours = theirs = 0
        for _look in range(100):
            came = sum(rng.random() < 0.5 for _visitor in range(40))
            ours, theirs = ours + came, theirs + 40 - came
            if split(Counts(0, ours, 0, theirs), 0.5).wrong:
                alarms += 1
                break
    assert alarms <= 2, "0.1 % is promised over all looks"
    assert split(Counts(0, 52_000, 0, 48_000), 0.5).wrong
    assert not split(Counts(0, 50_100, 0, 49_900), 0.5).wrong
    assert MISMATCH == 0.001


@pytest.mark.parametrize("share, mde, power, each", [
    (0.50, 0.25, 0.90, 76.7), (0.10, 0.02, 0.80, 3840.9), (0.15, 0.15, 0.80, 120.5),
])
def test_the_sample_of_one_look_is_the_published_one(share: float, mde: float, power: float, each: float) -> None:
    """R's power.prop.test: the first is the example of its own page."""
    assert needed(share, mde, power=power).once == 2 * math.ceil(each)


@given(st.floats(0.01, 0.9), st.floats(0.01, 0.3), st.sampled_from([0.05, 0.3, 0.5, 0.9]))
def test_looking_any_time_costs_more_and_less_than_three_times(share: float, relative: float, part: float) -> None:
    mde = relative * min(share, 1 - share)
    found = needed(share, mde, part=part)
    assert found.once < found.always < 3 * found.once and 1 < found.inflation < 3
    finer = needed(share, mde / 2, part=part)
    assert finer.once > found.once and finer.always > found.always
    assert needed(share, mde, part=part, power=0.95).always > found.always


def simulated(base: float, own: float, design: Design, rng: random.Random, looks: int, every: int) -> list[Says]:
    """The verdicts of a test that is looked at again and again, until the first that is final."""
    trial, said = Trial(), []
    for look in range(1, looks + 1):
        ours = _drawn(rng, every, design.part)
        theirs = every - ours
        block = Counts(_drawn(rng, ours, own), ours, _drawn(rng, theirs, base), theirs, look * 60.0)
        trial = add(trial, block, design.mde)
        said.append(conclude(design, trial, look * 60.0).says)
        if said[-1].final:
            break
    return said


def _drawn(rng: random.Random, n: int, share: float) -> int:
    """A binomial number, by its normal approximation where that is good."""
    mean, sigma = n * share, math.sqrt(n * share * (1 - share))
    if mean > 30 and n - mean > 30:
        return min(n, max(0, round(rng.gauss(mean, sigma))))
    return sum(rng.random() < share for _each in range(n))


DESIGN = Design(part=0.5, mde=0.02, max_duration=100 * 60.0)


def test_equal_variants_do_not_win_however_often_one_looks() -> None:
    rng = random.Random(1)
    plan = needed(0.1, DESIGN.mde)
    ends = [simulated(0.1, 0.1, DESIGN, rng, 100, plan.always // 100)[-1] for _run in range(200)]
    decided = sum(end in (Says.WIN, Says.LOSE) for end in ends)
    assert decided <= 14, f"{decided} of 200: 5 % are promised, and chance adds a few"
    assert {*ends} <= {Says.WIN, Says.LOSE, Says.NO_DIFFERENCE}


def test_a_difference_of_mde_is_found_with_the_promised_power() -> None:
    rng = random.Random(2)
    plan = needed(0.1, DESIGN.mde)
    ends = [simulated(0.1, 0.12, DESIGN, rng, 100, plan.always // 100)[-1] for _run in range(100)]
    assert ends.count(Says.WIN) >= 72, ends.count(Says.WIN)
    assert ends.count(Says.LOSE) == 0
    worse = [simulated(0.12, 0.08, DESIGN, rng, 100, plan.always // 100)[-1] for _run in range(30)]
    assert worse.count(Says.LOSE) == 30


@given(st.lists(blocks(20_000), min_size=1, max_size=6), st.integers(0, 20_000), st.floats(0, 100), st.floats(0, 200))
def test_a_verdict_agrees_with_its_own_interval_and_is_final_when_the_time_is_over(
    given_blocks: list[Counts], least: int, shortest: float, seconds: float
) -> None:
    design = Design(mde=0.01, min_samples=least, min_duration=shortest, max_duration=100.0)
    found = conclude(design, folded(given_blocks), seconds)
    assert found.reason
    if found.says in (Says.WIN, Says.LOSE, Says.NO_DIFFERENCE):
        assert found.effect is not None and min(found.trial.total.requests, found.trial.total.base_requests) >= least
        assert seconds >= shortest and not (found.split and found.split.wrong)
    if found.says is Says.WIN:
        assert found.effect.low > 0 and 2 * found.trial.p_better <= design.alpha
    if found.says is Says.LOSE:
        assert found.effect.high < 0 and 2 * found.trial.p_worse <= design.alpha
    if seconds >= 100:
        assert found.says.final
    elif found.says is Says.NO_DIFFERENCE:
        assert found.effect.low > -0.01 and found.effect.high < 0.01


MUCH = Counts(1200, 10_000, 1000, 10_000, 60.0)


@pytest.mark.parametrize("block, changes, seconds, says, words", [
    (MUCH, {}, 60.0, Says.WIN, "converts more, by "),
    (turned(MUCH), {}, 60.0, Says.LOSE, "converts less, by "),
    (replace(MUCH, bad=1010), {}, 60.0, Says.CONTINUE, "needs up to "),
    (replace(MUCH, bad=1010), {"mde": 0.05}, 60.0, Says.NO_DIFFERENCE, "no difference of 5 points or more"),
    (replace(MUCH, bad=1010), {"max_duration": 60.0}, 60.0, Says.NO_DIFFERENCE, "none is proven within 1:00"),
    (MUCH, {"min_samples": 10_001}, 60.0, Says.CONTINUE, "needs 1 more visitors"),
    (MUCH, {"min_samples": 10_001, "max_duration": 60.0}, 60.0, Says.UNDECIDED, "too few to say anything"),
    (MUCH, {"min_duration": 3600.0}, 60.0, Says.CONTINUE, "goes on for at least 59:00"),
    (replace(MUCH, base_requests=9000), {}, 60.0, Says.MISMATCH, "50 % should have been (chi-square"),
    (replace(MUCH, requests=0, bad=0), {}, 60.0, Says.CONTINUE, "no visitor of the candidate"),
    (replace(MUCH, requests=0, bad=0), {"max_duration": 60.0}, 60.0, Says.UNDECIDED, "no visitor of the candidate"),
    (replace(MUCH, bad=0, base_bad=0), {}, 60.0, Says.CONTINUE, "nobody converted at all"),
    (replace(MUCH, bad=0, base_bad=0), {"max_duration": 60.0}, 60.0, Says.UNDECIDED, "nobody converted at all"),
])
def test_what_is_said(block: Counts, changes: dict[str, float], seconds: float, says: Says, words: str) -> None:
    design = replace(Design(mde=0.01, max_duration=86400.0), **changes)
    found = conclude(design, folded([block], design.mde), seconds)
    assert (found.says, words in found.reason) == (says, True), found
