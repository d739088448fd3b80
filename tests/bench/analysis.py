# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bench of the judges: false alarms, recall and delay on simulated streams of requests, printed as tables. ``make bench-analysis``.

Every run is a release with one step, looked at every 10 s for 10 min; a tenth of the requests go to the canary. Seeded. The sequential test is
computed for all runs at once; the first runs of each scenario are held against the product's own function, and so must agree.
"""

from __future__ import annotations

import argparse
import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy
from scipy import stats

from ansible_collections.progressive.delivery.plugins.module_utils.core import sequential
from ansible_collections.progressive.delivery.plugins.module_utils.core.evidence import Counts, as_series
from ansible_collections.progressive.delivery.plugins.module_utils.core.judge import judge
from ansible_collections.progressive.delivery.plugins.module_utils.core.metric import Metric
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Phase, Point, Sample, Series
from ansible_collections.progressive.delivery.plugins.module_utils.judges.kayenta_classify import HIGH, classify
from ansible_collections.progressive.delivery.plugins.module_utils.judges.mann_whitney import MannWhitneyJudge
from ansible_collections.progressive.delivery.tests.bench import experiments

LOOKS, EVERY, SPLIT = 60, 10, 9  # stable gets nine times the canary's requests
ALPHA = sequential.spend(sequential.BUDGET, 1, 1)
CHECKED = 20
POINTS = 12

Array = numpy.ndarray


@dataclass(frozen=True)
class Stream:
    """Shares of bad requests per run and look, or per look; ``rate`` are the canary's requests a second."""

    name: str
    rate: float
    share: Callable[[numpy.random.Generator, int], Array]
    worse: Callable[[Array], Array] = lambda share: share


def steady(share: float) -> Callable[[numpy.random.Generator, int], Array]:
    return lambda rng, runs: numpy.full((runs, LOOKS), share)


def drift(rng: numpy.random.Generator, runs: int) -> Array:
    """From 0.3 % to 3 % within the ten minutes, in both tracks."""
    return numpy.tile(numpy.linspace(0.003, 0.03, LOOKS), (runs, 1))


def bursts(rng: numpy.random.Generator, runs: int) -> Array:
    """Two looks in a hundred have 30 % bad requests, in both tracks."""
    return numpy.where(rng.random((runs, LOOKS)) < 0.02, 0.3, 0.002)


def pods(rng: numpy.random.Generator, runs: int) -> Array:
    """One of five Pods is three times as bad as the others in both tracks, another one each look."""
    return 0.005 * (1 + 2 * rng.random((runs, LOOKS)) / 5)


def slower(factor: float, sigma: float = 0.5) -> float:
    """Of log-normal times that take ``factor`` times as long, the share above what the 99th percentile was."""
    return float(stats.norm.sf(stats.norm.isf(0.01) - math.log(factor) / sigma))


def becomes(share: float) -> Callable[[Array], Array]:
    return lambda base: numpy.full_like(base, share)


ALIKE = [
    Stream("0.1 % errors", 50, steady(0.001)), Stream("1 % errors", 50, steady(0.01)), Stream("0.1 % errors", 5, steady(0.001)),
    Stream("1 % errors", 5, steady(0.01)), Stream("slower than p99, log-normal", 50, steady(slower(1.0))), Stream("slow mode of two, 20 %", 50, steady(0.2)),
    Stream("drift 0.3 to 3 %", 50, drift), Stream("bursts of 30 %", 50, bursts), Stream("one bad Pod of five, both", 50, pods),
]  # fmt: skip
REGRESSIONS = [
    Stream("0.1 % to 5 % errors", 50, steady(0.001), becomes(0.05)), Stream("1 % to 5 % errors", 50, steady(0.01), becomes(0.05)),
    Stream("one Pod of five fails a quarter", 50, steady(0.001), lambda share: share * 0.8 + 0.05),
    Stream("p99 x2, log-normal", 50, steady(0.01), becomes(slower(2.0))), Stream("slow mode of two, 2 to 8 %", 50, steady(0.02), becomes(0.08)),
    Stream("0.1 % to 1 % errors", 50, steady(0.001), becomes(0.01)), Stream("bursts, and 5 % more", 50, bursts, lambda share: share + 0.05),
    Stream("0.1 % to 5 % errors", 5, steady(0.001), becomes(0.05)), Stream("1 % to 5 % errors", 5, steady(0.01), becomes(0.05)),
]  # fmt: skip


@dataclass(frozen=True)
class Counted:
    """Bad requests per run and look, and requests a look."""

    bad: Array
    base_bad: Array
    each: int
    base_each: int


def draw(stream: Stream, runs: int, seed: int, *, alike: bool) -> Counted:
    rng = numpy.random.default_rng(seed)
    base = stream.share(rng, runs)
    own = base if alike else stream.worse(base)
    each = int(stream.rate * EVERY)
    return Counted(rng.binomial(each, own), rng.binomial(SPLIT * each, base), each, SPLIT * each)


def first(hit: Array) -> Array:
    """The look (from 1) at which each run was stopped; 0 for one that was not."""
    return numpy.where(hit.any(axis=1), hit.argmax(axis=1) + 1, 0)


def by_sequential(counted: Counted, alpha: float = ALPHA, parts: int = 1) -> Array:
    """``parts``: how many steps, each with evidence and a budget of its own."""
    ratios, part = numpy.array(sequential.RATIOS), 1 / (1 + SPLIT)
    step = counted.bad[..., None] * numpy.log(ratios) - (counted.bad + counted.base_bad)[..., None] * numpy.log1p(part * (ratios - 1))
    logs = numpy.concatenate([piece.cumsum(axis=1) for piece in numpy.split(step, parts, axis=1)], axis=1)
    top = logs.max(axis=-1)
    evidence = top + numpy.log(numpy.exp(logs - top[..., None]).mean(axis=-1))
    evidence = numpy.logaddexp(evidence + math.log(sequential.FIRST), math.log(1 - sequential.FIRST))  # ten minutes have one beginning
    for run in range(CHECKED if parts == 1 else 0):
        blocks = [Counts(int(bad), counted.each, int(base), counted.base_each) for bad, base in zip(counted.bad[run], counted.base_bad[run])]
        if abs(math.log(max(sequential.always_valid_p(blocks), 1e-300)) + min(max(0.0, evidence[run].max()), -math.log(1e-300))) > 1e-6:
            raise RuntimeError("the bench computes another test than the product")
    return first(evidence >= -math.log(alpha if parts == 1 else sequential.spend(sequential.BUDGET, 1, parts)))


def by_ratio(counted: Counted) -> Array:
    """More than twice stable's share in the newest 10 s: the rule of thumb on point values, with stable's share at least one request."""
    return first(counted.bad / counted.each > 2 * numpy.maximum(counted.base_bad, 1) / counted.base_each)


def by_fisher(counted: Counted, alpha: float = 0.01) -> Array:
    """Fisher's exact test on all that was seen, at every look."""
    bad, base = counted.bad.cumsum(axis=1), counted.base_bad.cumsum(axis=1)
    own = counted.each * numpy.arange(1, LOOKS + 1)
    return first(stats.hypergeom.sf(bad - 1, own * (1 + SPLIT), bad + base, own) <= alpha)


def by_kayenta(counted: Counted) -> Array:
    """Kayenta's label of the shares of all looks, from the twelfth on."""
    own, base = counted.bad / counted.each, counted.base_bad / counted.base_each
    stopped = numpy.zeros(len(own), dtype=int)
    for look in range(POINTS, LOOKS + 1):
        left = numpy.flatnonzero(stopped == 0)
        p = stats.mannwhitneyu(own[left, :look], base[left, :look], axis=1, method="asymptotic").pvalue
        for run in left[p < 0.03]:  # an interval of 98 % that excludes 0 has a p of 0.02 at most
            if classify(own[run, :look].tolist(), base[run, :look].tolist(), direction="increase").state == HIGH:
                stopped[run] = look
    return stopped


def share(hits: int, runs: int) -> str:
    """``0.3 (0.2-0.5)``: percent with its Wilson interval."""
    bounds = stats.binomtest(int(hits), runs).proportion_ci(0.95, method="wilson")
    low, high = (f"{100 * bound:.{4 if bound > 0.999 else 3 if bound >= 0.1 else 2}g}" for bound in (bounds.low, bounds.high))
    return f"{100 * hits / runs:.4g} ({low}\u2013{high})"


def row(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def false_alarms(runs: int, few: int) -> None:
    print(f"\nReleases without a regression that were taken back, percent with its 95 % interval ({runs:,} runs, {few} of Fisher and Kayenta)\n")
    row("stream", "requests/s", "sequential", "the same in 3 steps", "2x in the newest 10 s", "Fisher at every look", "Kayenta at every look")
    row("---", *["---:"] * 6)
    for seed, stream in enumerate(ALIKE):
        counted = draw(stream, runs, seed, alike=True)
        part = Counted(counted.bad[:few], counted.base_bad[:few], counted.each, counted.base_each)
        quick = (by_sequential(counted), by_sequential(counted, parts=3), by_ratio(counted))
        slow = (by_fisher(part), by_kayenta(part))
        row(stream.name, stream.rate, *(share((found > 0).sum(), runs) for found in quick), *(share((found > 0).sum(), few) for found in slow))


def recall(runs: int, few: int) -> None:
    print(f"\nRegressions ({runs:,} runs, {few} of Kayenta). Hurt: bad requests of the canary until it was stopped, of all requests of the ten minutes.\n")
    row("stream", "requests/s", "in 3 looks, %", "at all, %", "median s", "99.9 % within s", "hurt, %", "Kayenta at all, %", "median s")
    row("---", *["---:"] * 8)
    for seed, stream in enumerate(REGRESSIONS):
        counted = draw(stream, runs, 100 + seed, alike=False)
        found = by_sequential(counted)
        kayenta = by_kayenta(Counted(counted.bad[:few], counted.base_bad[:few], counted.each, counted.base_each))
        ended = numpy.where(found > 0, found, LOOKS)
        hurt = numpy.take_along_axis(counted.bad.cumsum(axis=1), ended[:, None] - 1, axis=1).mean() / (LOOKS * counted.each * (1 + SPLIT))
        row(stream.name, stream.rate, share(((found > 0) & (found <= 3)).sum(), runs), share((found > 0).sum(), runs), f"{numpy.median(ended) * EVERY:.0f}",
            f"{numpy.quantile(ended, 0.999) * EVERY:.0f}", f"{100 * hurt:.2g}", share((kayenta > 0).sum(), few),
            f"{numpy.median(kayenta[kayenta > 0]) * EVERY:.0f}" if kayenta.any() else "-")


def low_traffic(runs: int) -> None:
    print(f"\nLittle traffic ({runs} runs): the judge itself, look by look, until it decides; asked after a minute how many more it needs. Passes of a "
          "regression of mde are errors; off: what it then took against what it said, percent\n")
    row("share", "requests/s", "said after 1 min", "took (median)", "within 20 %, %", "alike passed, %", "regression passed, %")
    row("---", *["---:"] * 6)
    for base, rate in ((0.001, 5.0), (0.01, 5.0), (0.01, 2.0), (0.05, 5.0)):
        said, took, passed, slipped = [], [], 0, 0
        for run in range(runs):
            for worse in (False, True):
                verdicts = decide(base, base + 0.01 if worse else base, rate, seed=1000 * run + int(worse))
                phase, needed, taken = verdicts
                if worse:
                    slipped += phase is Phase.SUCCESSFUL
                else:
                    passed += phase is Phase.SUCCESSFUL
                    said += [needed]
                    took += [taken]
        off = numpy.array(took) / numpy.array(said)
        near = ((off > 0.8) & (off < 1.2)).sum()
        row(f"{100 * base:g} %", rate, f"{numpy.median(said):,.0f}", f"{numpy.median(took):,.0f}", share(near, runs), share(passed, runs), share(slipped, runs))


def decide(base: float, own: float, rate: float, seed: int) -> tuple[Phase, int, int]:
    """The first verdict that is none of waiting, the requests in all it said it needs after six looks, and those it took."""
    rng = numpy.random.default_rng(seed)
    each, metric = int(rate * EVERY), Metric.from_options({"name": "errors", "builtin": "error_rate", "judge": "sequential"}, "m")
    made, blocks = sequential.SequentialJudge(alpha=ALPHA), []
    needed = 0
    while True:
        blocks.append(Counts(int(rng.binomial(each, own)), each, int(rng.binomial(SPLIT * each, base)), SPLIT * each, float(EVERY * (len(blocks) + 1))))
        if len(blocks) == 6:
            finding = sequential.find(blocks, allowed=1.0, mde=0.01, alpha=ALPHA, beta=0.05)
            needed = finding.needed or 0
        verdict = made.judge(metric, *as_series(blocks))
        if len(blocks) >= 6 and verdict.phase is not Phase.RUNNING:
            return verdict.phase, needed, each * len(blocks)
        if len(blocks) > 4000:
            return verdict.phase, needed, each * len(blocks)


def costs() -> None:
    print("\nWhat a verdict costs\n")
    row("verdict", "s", "MiB more")
    row("---", "---:", "---:")
    rng = numpy.random.default_rng(1)

    def timed(name: str, call: Callable[[], object]) -> None:
        before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
        call()
        row(name, f"{time.perf_counter() - began:.2f}", f"{(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024:.0f}")

    drawn = zip(rng.binomial(500, 0.01, 8640), rng.binomial(4500, 0.01, 8640))
    day = [Counts(int(bad), 500, int(base), 4500, 10.0 * at) for at, (bad, base) in enumerate(drawn)]
    metric = Metric.from_options({"name": "errors", "builtin": "error_rate", "judge": "sequential"}, "m")
    timed("sequential, a day of looks every 10 s", lambda: sequential.SequentialJudge().judge(metric, *as_series(day)))
    many = Series(tuple(Sample((Point(0.0, value),)) for value in rng.random(10_000).tolist()))
    worst = Metric.from_options({"name": "load", "query": "q", "reduce": "max", "failure_condition": "result > 2"}, "m")
    timed("a condition on 10,000 series", lambda: judge(worst, many))
    values = [Series((Sample(tuple(Point(0.0, value) for value in rng.lognormal(3, 1, 500_000).tolist())),)) for _side in range(2)]
    shifted = Metric.from_options({"name": "p95", "query": "q", "judge": "mann_whitney"}, "m")
    timed("mann_whitney, 1,000,000 values", lambda: MannWhitneyJudge().judge(shifted, values[0], values[1]))
    module = "ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs.analysis"
    code = f"import sys, time; began = time.perf_counter(); import {module}; print(f'{{time.perf_counter() - began:.2f}}', 'scipy' in sys.modules)"
    spent, loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    row(f"importing all of the analysis (scipy {'loaded' if loaded == 'True' else 'not loaded'})", spent, "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition(".")[0])
    parser.add_argument("--runs", type=int, default=10_000, help="runs of each scenario")
    parser.add_argument("--few", type=int, default=500, help="runs of what is slow")
    arguments = parser.parse_args()
    print(f"{time.strftime('%Y-%m-%d')}, Python {sys.version.split()[0]}, numpy {numpy.__version__}")
    false_alarms(arguments.runs, arguments.few)
    recall(arguments.runs, arguments.few)
    low_traffic(max(20, arguments.few // 5))
    experiments.report(arguments.runs, seed=1)
    costs()


if __name__ == "__main__":
    main()
