# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A/B tests by ansible-playbook on app processes behind a real Envoy: visitors come through it, and some of them buy, as often as their version makes them.

Who came and who bought is counted where a user would count it, in a service of its own, and asked for over HTTP or by a real Prometheus. The sample
sizes are held against scipy.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from scipy import stats

from ansible_collections.progressive.delivery.plugins.module_utils.core.evidence import Counts
from ansible_collections.progressive.delivery.plugins.module_utils.core.experiment.effect import split
from ansible_collections.progressive.delivery.plugins.module_utils.core.experiment.sample import needed
from ansible_collections.progressive.delivery.tests.bench import experiments
from ansible_collections.progressive.delivery.tests.integration.pool_rig import EnvoyShop
from ansible_collections.progressive.delivery.tests.integration.prometheus_rig import Prometheus
from ansible_collections.progressive.delivery.tests.integration.visitors_rig import BUYS, Visitors

POOLS = {"blue": ("web1", "web2"), "green": ("web3", "web4")}


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[EnvoyShop]:
    with EnvoyShop(tmp_path, POOLS) as found:
        found.release["rollout_workload"]["pool"].update(stable="blue", canary="green")
        yield found


@pytest.fixture
def visitors(shop: EnvoyShop) -> Iterator[Visitors]:
    found = Visitors(f"{shop.urls[0]}/")
    yield found
    found.close()


def tested(shop: EnvoyShop, visitors: Visitors, **options: Any) -> None:
    counts = {"web": {"url": visitors.counts, "timeout": "60s"}}
    conversion = {"provider": counts, "query": "{$.bought}", "total_query": "{$.came}", "cumulative": True, "interval": "1s"}
    counters = {"envoy": {"endpoints": [{"admin": shop.facts["admin"]}], "clusters": shop.facts["clusters"], "timeout": "60s"}}
    guardrail = {"name": "error-rate", "builtin": "error_rate", "failure_condition": "result > 0.05", "min_requests": 20}
    shop.release.update(
        rollout_router=shop.router, rollout_analysis={"interval": "1s", "provider": counters, "metrics": [guardrail]},
        rollout_ab_test={"mde": 0.15, "alpha": 0.000001, "min_samples": 50, "max_duration": "10m", "conversion": conversion, **options},
        rollout_report={"directory": str(shop.folder / "reports"), "formats": ["html", "json", "junit"]})


def report(shop: EnvoyShop) -> dict[str, Any]:
    newest = max((shop.folder / "reports").glob("*.ab_test_report.json"), key=lambda path: path.stat().st_mtime)
    return dict(json.loads(newest.read_text()))


def test_the_version_that_sells_more_wins_and_an_equal_one_does_not(shop: EnvoyShop, visitors: Visitors) -> None:
    tested(shop, visitors)
    won = shop.run("ab_test", "2")
    assert (won.status, won.outcome) == (0, "promoted"), won.text
    found = report(shop)
    a, b = found["version_a"], found["version_b"]
    assert found["verdict"] == "win" and found["difference"]["low"] > 0
    assert (a["version"], b["version"]) == ("1", "2") and b["conversion_rate"] > a["conversion_rate"]
    assert b["conversion_rate_low"] < BUYS["2"] < b["conversion_rate_high"] and a["conversion_rate_low"] < BUYS["1"] < a["conversion_rate_high"]
    assert min(a["visitors"], b["visitors"]) >= 50 and found["sample_ratio"]["p_value"] > 1e-7
    assert b["error_rate"] == 0, "asked of the load balancer"
    assert shop.answer(shop.urls[0])["version"] == "2" and shop.failures() == [] and visitors.lost == 0

    tested(shop, visitors, max_duration="20s", mde=0.02)
    equal = shop.run("ab_test", "3")
    assert (equal.status, equal.outcome, equal.code) == (0, "kept", 21), equal.text
    found = report(shop)
    assert found["verdict"] == "no_difference" and found["difference"]["low"] < 0 < found["difference"]["high"]
    assert found["version_b"]["visitors"] >= 50 and found["outcome"] == "kept"
    assert shop.answer(shop.urls[0])["version"] == "2" and shop.failures() == [] and visitors.lost == 0


def test_prometheus_counts_over_one_window_from_the_beginning(shop: EnvoyShop, visitors: Visitors, tmp_path: Path) -> None:
    (tmp_path / "prometheus").mkdir()
    scraped: Any = SimpleNamespace(tracks={"metrics": None}, port=visitors.server.server_port)
    prometheus = Prometheus(tmp_path / "prometheus", scraped)
    try:
        counted = {name: f'sum(increase({name}_total{{version="${{version}}"}}[${{window}}]))' for name in ("came", "bought")}
        provider = {"prometheus": {"url": prometheus.url, "scrape_interval": "1s", "timeout": "60s"}}
        conversion = {"provider": provider, "query": counted["bought"], "total_query": counted["came"], "interval": "2s"}
        tested(shop, visitors, conversion=conversion, min_duration="15s")
        won = shop.run("ab_test", "2")
        assert (won.status, won.outcome) == (0, "promoted"), won.text
        found = report(shop)
        assert found["verdict"] == "win" and found["test_seconds"] >= 15
        assert re.search(r"A/B test: [12][\d.]* % convert now; to find 15 points", shop.run("plan", "3", "-e", "rollout_strategy=ab_test").text) is None, \
            "version 2 serves now"
        looks = [event for event in shop.events("trial") if event["visitors"]]
        # The server extrapolates between scrapes, which come late: a look may say a little less than the one before, but never begins anew.
        assert all(before["visitors"] < 2 * after["visitors"] for before, after in zip(looks, looks[1:])) and len(looks) >= 2
        assert looks[-1]["visitors"] > looks[0]["visitors"]
        assert shop.failures() == []
    finally:
        prometheus.close()


# ------------------------------------------------------------------------------------------------------------------------- against scipy


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2, 0.5, 0.8])
@pytest.mark.parametrize("lift", [0.002, 0.02, 0.1])
@pytest.mark.parametrize("alpha, power", [(0.05, 0.8), (0.01, 0.95)])
def test_samples_of_one_look_have_the_power_that_they_promise(share: float, lift: float, alpha: float, power: float) -> None:
    """Of the z-test with pooled variance, by the normal distribution of its statistic."""
    each = needed(share, lift, alpha=alpha, power=power).once / 2
    own = share + lift
    pooled = (share + own) / 2
    spread = math.sqrt(share * (1 - share) + own * (1 - own))
    limit = stats.norm.isf(alpha / 2) * math.sqrt(2 * pooled * (1 - pooled))
    reached = stats.norm.sf((limit - lift * math.sqrt(each)) / spread)
    assert power - 1e-9 <= reached < power + 0.02, "as few as will do"


@pytest.mark.parametrize("ours, theirs, part", [(501, 499, 0.5), (5200, 4800, 0.5), (90, 910, 0.1), (120, 880, 0.1), (60_300, 39_700, 0.6)])
def test_the_split_is_scipys_chi_square(ours: int, theirs: int, part: float) -> None:
    whole = ours + theirs
    expected = stats.chisquare([ours, theirs], [part * whole, (1 - part) * whole]).pvalue
    assert split(Counts(0, ours, 0, theirs), part).p == pytest.approx(expected, rel=1e-9)


# ------------------------------------------------------------------------------------------------------------------------- against the bench


@pytest.mark.parametrize("case", experiments.ALIKE, ids=lambda case: case.name)
def test_the_bench_computes_the_products_own_test_and_equal_variants_rarely_differ(case: experiments.Case) -> None:
    """With a few seeds; the bench holds the product's verdict at every look of the first runs against its own."""
    found = experiments.simulate(case, 200, 3, looks=100, longer=2.0)
    assert found.win + found.lose <= 0.05, "what is promised, and in truth it is half of that"
    assert found.naive > 0.2 and found.covered >= 0.9


@pytest.mark.parametrize("case", experiments.BETTER, ids=lambda case: case.name)
def test_a_better_variant_wins_as_often_as_planned(case: experiments.Case) -> None:
    found = experiments.simulate(case, 500, 4, looks=200)
    assert found.win >= 0.76 and found.lose <= 0.01
