# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A version that turns bad after its promotion, on app processes behind a real Envoy under load, as a real Prometheus sees it, and behind a real HAProxy, by
its own counters: watch takes it back."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.progressive.delivery.examples.demo import app
from ansible_collections.progressive.delivery.tests.integration import pool_rig
from ansible_collections.progressive.delivery.tests.integration.pool_rig import EnvoyShop, HaproxyShop, Shop, settled
from ansible_collections.progressive.delivery.tests.integration.prometheus_rig import Prometheus
from ansible_collections.progressive.delivery.tests.ports import closed_port
from ansible_collections.progressive.delivery.tests.waiting import wait_until

POOLS = {"blue": ("web1", "web2"), "green": ("web3", "web4")}
ERRORS = {"name": "error-rate", "builtin": "error_rate", "max_ratio": 2.0, "min_requests": 20}
"""Of the preset, what a busy machine has no part in."""
SLOW = {"name": "p95", "builtin": "latency", "quantile": 0.95, "max_ratio": 1.5, "min_requests": 20}
"""Alone: an app that is restarted to be slow fails some requests, and errors would be found first."""


def has_a_past(prometheus: Prometheus, series: str) -> bool:
    """Whether the server has seen enough of ``series`` to say what was before a release that begins now."""
    asked = urllib.parse.urlencode({"query": f"count_over_time({series}[1m]) >= 6"})
    with urllib.request.urlopen(f"{prometheus.url}/api/v1/query?{asked}", timeout=120) as answer:
        return bool(json.loads(answer.read())["data"]["result"])


def turns(shop: Shop, hosts: tuple[str, ...], **knobs: Any) -> None:
    """What serves on ``hosts`` becomes so, whatever version it is."""
    for host in hosts:
        root = shop.folder / "hosts" / host
        file = root / "current" / "release.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **knobs}))
        app.restart(root, shop.ports[host])


def test_a_version_that_turns_bad_after_its_promotion_is_taken_back(tmp_path: Path) -> None:
    with EnvoyShop(tmp_path, POOLS) as shop:
        (tmp_path / "prometheus").mkdir()
        scraped: Any = SimpleNamespace(tracks={"stats/prometheus": None}, port=shop.proxy.admin_port)
        prometheus = Prometheus(tmp_path / "prometheus", scraped)
        try:
            names = {track: f'envoy_cluster_name="{cluster}"' for track, cluster in shop.facts["clusters"].items()}
            wait_until(lambda: has_a_past(prometheus, f"envoy_cluster_upstream_rq_xx{{{names['stable']}}}"), 60)
            provider = {"prometheus": {"url": prometheus.url, "scrape_interval": "1s", "timeout": "60s", "convention": "envoy", "selectors": names}}
            shop.release["rollout_workload"]["pool"].update(stable="blue", canary="green")
            shop.release.update(
                rollout_router=shop.router, rollout_steps=[{"set_weight": 50}, {"bake": {"duration": "3s"}}, {"set_weight": 100}],
                rollout_analysis={"provider": provider, "interval": "1s", "metrics": [ERRORS]}, rollout_watch={"duration": "8s"})  # fmt: skip
            # The release itself is not what is looked at here: 3 s hold no evidence for a judge of counts.
            shipped = shop.run("canary", "2", "-e", json.dumps({"rollout_analysis": "none"}))
            assert (shipped.status, shipped.outcome) == (0, "promoted"), shipped.text

            well = shop.run("watch")
            assert (well.status, well.outcome) == (0, "unchanged"), well.text
            assert "error-rate good in" in well.text and "before" in well.text, "compared with the time before the release"
            assert shop.answer(shop.urls[0])["version"] == "2"

            turns(shop, POOLS["green"], error_percent=30)
            shop.release["rollout_watch"] = {"duration": "10m"}
            bad = shop.run("watch")
            ended = settled()
            assert bad.status == 2 and (bad.outcome, bad.code) == ("rolled_back", 10), bad.text
            assert "2 is not well: error-rate" in bad.text and "before the release" in bad.text
            assert shop.stored("record")["stable"]["version"] == "1" and shop.stored("record")["release"]["purpose"] == "rollback"
            assert shop.answer(shop.urls[0])["version"] == "1"
            shop.until_users(ended, {"1"})
            assert shop.failures(ended) == []
        finally:
            prometheus.close()


def test_one_that_is_only_slow_is_taken_back_and_lost_metrics_take_nothing_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_rig, "RATE", 40.0)  # users who wait for seconds are many at a time
    with EnvoyShop(tmp_path, POOLS) as shop:
        (tmp_path / "prometheus").mkdir()
        scraped: Any = SimpleNamespace(tracks={"stats/prometheus": None}, port=shop.proxy.admin_port)
        prometheus = Prometheus(tmp_path / "prometheus", scraped)
        try:
            names = {track: f'envoy_cluster_name="{cluster}"' for track, cluster in shop.facts["clusters"].items()}
            wait_until(lambda: has_a_past(prometheus, f"envoy_cluster_upstream_rq_xx{{{names['stable']}}}"), 60)
            provider = {"prometheus": {"url": prometheus.url, "scrape_interval": "1s", "timeout": "60s", "convention": "envoy", "selectors": names}}
            shop.release["rollout_workload"]["pool"].update(stable="blue", canary="green")
            shop.release.update(
                rollout_router=shop.router, rollout_steps=[{"set_weight": 100}], rollout_watch={"duration": "10m"},
                rollout_analysis={"provider": provider, "interval": "1s", "metrics": [SLOW]})  # fmt: skip
            assert shop.run("canary", "2", "-e", json.dumps({"rollout_analysis": "none"})).outcome == "promoted"
            # Slower than a busy machine was before the release; not so slow that what is still in flight counts for long when it is taken back.
            turns(shop, POOLS["green"], delay_ms=1000)
            slow = shop.run("watch")
            assert slow.status == 2 and slow.outcome == "rolled_back" and "2 is not well: p95" in slow.text, slow.text

            assert shop.run("canary", "3", "-e", json.dumps({"rollout_analysis": "none"})).outcome == "promoted"
        finally:
            prometheus.close()
        shop.release["rollout_analysis"]["error_hold"] = "3s"
        away = shop.run("watch")
        assert (away.status, away.outcome, away.code) == (2, "held", 17), away.text
        assert "3 stays, nobody can tell how it is" in away.text and shop.answer(shop.urls[0])["version"] == "3"
        assert shop.stored("record")["outcome"] == "promoted"


def test_haproxys_counters_judge_while_prometheus_is_away(tmp_path: Path) -> None:
    """The well version is left alone, and stays when nobody can tell all of it; a bad one is taken back by what can be told."""
    with HaproxyShop(tmp_path, POOLS) as shop:
        nobody = closed_port()
        counted = {"name": "error-rate", "builtin": "error_rate", "failure_condition": "result > 0.05", "min_requests": 20}
        away = {"name": "orders", "query": "sum(rate(orders_total[1m]))", "failure_condition": "result < 1",
                "provider": {"prometheus": {"url": f"http://127.0.0.1:{nobody}"}}}  # fmt: skip
        analysis = {"provider": {"haproxy": {"endpoints": shop.sockets, "backend": "shop"}}, "interval": "2s", "metrics": [counted]}
        shop.release["rollout_workload"]["pool"].update(stable="blue", canary="green")
        shop.release.update(rollout_router=shop.router, rollout_steps=[{"set_weight": 100}], rollout_analysis=analysis, rollout_watch={"duration": "9s"})
        shipped = shop.run("canary", "2", "-e", json.dumps({"rollout_analysis": "none"}))
        assert (shipped.status, shipped.outcome) == (0, "promoted"), shipped.text

        well = shop.run("watch")
        assert (well.status, well.outcome) == (0, "unchanged") and "2 is well: error-rate good in" in well.text, well.text

        shop.release["rollout_watch"] = {"duration": "5m"}
        shop.release["rollout_analysis"] = {**analysis, "metrics": [counted, away], "error_hold": "3s"}
        held = shop.run("watch")
        assert (held.status, held.outcome, held.code) == (2, "held", 17), held.text
        assert "2 stays, nobody can tell how it is" in held.text and str(nobody) in held.text
        assert shop.stored("record")["outcome"] == "promoted" and shop.answer(shop.urls[0])["version"] == "2"

        turns(shop, POOLS["green"], error_percent=30)
        shop.release["rollout_analysis"]["error_hold"] = "10m"
        bad = shop.run("watch")
        ended = settled()
        assert bad.status == 2 and (bad.outcome, bad.code) == ("rolled_back", 10) and "2 is not well: error-rate" in bad.text, bad.text
        assert shop.stored("record")["stable"]["version"] == "1" and shop.stored("record")["release"]["purpose"] == "rollback"
        assert shop.weights() == {"web1": 100, "web2": 100, "web3": 0, "web4": 0}
        shop.until_users(ended, {"1"})
        assert shop.failures(ended) == []
