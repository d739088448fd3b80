# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every judge must do, whatever it weighs: tell good from bad, wait for evidence, and never let pass what was not measured."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.codec import encode
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, MissingDependency
from ansible_collections.progressive.delivery.plugins.module_utils.core.evidence import POINTS, Counts, as_series
from ansible_collections.progressive.delivery.plugins.module_utils.core.metric import Metric
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Phase, Point, Sample, Series, Verdict
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import documentation
from ansible_collections.progressive.delivery.plugins.module_utils.entry import build
from ansible_collections.progressive.delivery.plugins.module_utils.entry.catalog import JUDGES

GENERATED = 2000


@pytest.fixture(params=sorted(JUDGES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def metric(name: str, options: dict[str, Any] | None = None, **more: Any) -> Metric:
    [made] = build.metrics({"metrics": [{"name": "errors", "builtin": "error_rate", "judge": {name: options or {}}, **more}]})
    return made


def judge(name: str, own: Series, base: Series | None, options: dict[str, Any] | None = None, **more: Any) -> Verdict:
    asked = metric(name, options, **more)
    verdict: Verdict = build.judges([asked], {})["errors"].judge(asked, own, base)
    return verdict


def evidence(name: str, share: float, base_share: float, looks: int = 40, each: int = 500, seed: int = 1) -> tuple[Series, Series]:
    """So many looks at ``each`` requests a side, as this judge is given them."""
    rng = random.Random(seed)
    blocks = [Counts(sum(rng.random() < share for _one in range(each)), each, sum(rng.random() < base_share for _one in range(each)), each, 10.0 * (look + 1))
              for look in range(looks)]
    if JUDGES[name].KIND != POINTS:
        return as_series(blocks)
    own = tuple(Point(block.seconds, block.bad / each, each) for block in blocks)
    return Series((Sample(own),)), Series((Sample(tuple(Point(block.seconds, block.base_bad / each, each) for block in blocks)),))


def test_it_says_what_it_is(name: str) -> None:
    assert JUDGES[name].SUMMARY.endswith(".") and JUDGES[name].KIND
    assert all(option["description"] for option in documentation(JUDGES[name].OPTIONS).values())


def test_alike_passes_and_worse_fails(name: str) -> None:
    good, bad = judge(name, *evidence(name, 0.01, 0.01)), judge(name, *evidence(name, 0.06, 0.01))
    assert (good.phase, bad.phase) == (Phase.SUCCESSFUL, Phase.FAILED), (good.reason, bad.reason)
    for verdict in (good, bad):
        assert verdict.reason.startswith("errors ") and "of stable" in verdict.reason
        assert verdict.value is not None and verdict.baseline is not None and verdict.threshold
        assert verdict.low is not None and verdict.high is not None and verdict.low <= verdict.high and verdict.confidence
        assert verdict.p is not None and 0 <= verdict.p <= 1
        assert encode(verdict)["phase"] == verdict.phase.value


def test_better_is_no_regression(name: str) -> None:
    asked: dict[str, Any] = {"direction": "increase"}
    assert judge(name, *evidence(name, 0.01, 0.06), **asked).phase is Phase.SUCCESSFUL


def test_a_falling_share_of_good_ones_is_worse(name: str) -> None:
    own, base = evidence(name, 0.06, 0.01) if JUDGES[name].KIND != POINTS else evidence(name, 0.94, 0.99)
    assert judge(name, own, base, builtin="success_rate").phase is Phase.FAILED


def test_it_is_pure(name: str) -> None:
    own, base = evidence(name, 0.02, 0.01)
    assert judge(name, own, base) == judge(name, own, base)


def test_it_waits_for_evidence(name: str) -> None:
    verdict = judge(name, *evidence(name, 0.0, 0.0, looks=2, each=5))
    assert verdict.phase is Phase.RUNNING and verdict.reason.startswith("errors")


NOTHING = Series((Sample(()),))


@pytest.mark.parametrize("own", [NOTHING, Series(())], ids=["no points", "no series"])
def test_nothing_never_passes(name: str, own: Series) -> None:
    some = evidence(name, 0.01, 0.01)
    for ours, theirs in ((own, some[1]), (some[0], own), (own, own), (some[0], None), (own, None)):
        assert judge(name, ours, theirs).phase is not Phase.SUCCESSFUL


def rubbish(rng: random.Random) -> Series:
    """An answer in which something is missing, odd or not a number."""
    def point(at: int) -> Point:
        value = rng.choice((rng.random(), 0.0, 1.0, math.nan, math.inf, -math.inf, -1.0, 2.0))
        return Point(10.0 * at, value, rng.choice((None, 0, -1, 1, rng.randint(0, 1000))))

    return Series(tuple(Sample(tuple(point(at) for at in range(rng.choice((0, 1, 2, 30))))) for _series in range(rng.choice((0, 1, 1, 1, 3)))))


def test_generated_rubbish_never_passes(name: str) -> None:
    """Whatever comes, on either side: an answer with a hole in it is no evidence, and no error of Python's either."""
    rng = random.Random(7)
    whole = evidence(name, 0.01, 0.01)
    for _turn in range(GENERATED):
        broken = rubbish(rng)
        own, base = rng.choice(((broken, whole[1]), (whole[0], broken), (broken, rubbish(rng)), (broken, None)))
        verdict = judge(name, own, base)
        if verdict.phase is Phase.SUCCESSFUL:
            assert enough(name, own) and enough(name, base), verdict.reason


def enough(name: str, series: Series | None) -> bool:
    """Whether there is something to judge by: whole counts for a judge of counts, a dozen numbers for one of points."""
    points = [point for sample in series.samples for point in sample.points] if series is not None else []
    if JUDGES[name].KIND == POINTS:
        return sum(math.isfinite(point.value) for point in points) >= (1 if name == "kayenta" else 12)
    return all(point.n is not None and point.n >= 0 and 0 <= point.value <= 1 for point in points) and sum(point.n or 0 for point in points) > 0


@pytest.mark.parametrize("baseline", ["before", "fixed"])
def test_another_time_is_no_baseline(name: str, baseline: str) -> None:
    with pytest.raises(ConfigError, match="of the same time"):
        metric(name, baseline=baseline, **({"baseline_value": 0.01} if baseline == "fixed" else {}))


def test_what_it_needs_is_asked_for_before_anything_changes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    JUDGES[name].probe()
    monkeypatch.setattr("importlib.util.find_spec", lambda wanted: None)
    if name in ("kayenta", "mann_whitney"):
        with pytest.raises(MissingDependency, match="pip install scipy"):
            JUDGES[name].probe()
    else:
        JUDGES[name].probe()


def test_without_a_statistical_judge_nothing_heavy_is_loaded() -> None:
    """The catalog knows all judges; numpy and scipy are loaded when one that needs them judges."""
    code = "import sys; import ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs.analysis; print({'numpy', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
