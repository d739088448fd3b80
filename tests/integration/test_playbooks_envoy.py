# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases by ansible-playbook on app processes behind a real Envoy, under load without retries; also judged by a real Prometheus that scrapes it."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ansible_collections.progressive.delivery.tests.integration.pool_rig import STRAYS, EnvoyShop, settled
from ansible_collections.progressive.delivery.tests.integration.prometheus_rig import Prometheus

POOLS = {"blue": ("web1", "web2"), "green": ("web3", "web4")}
ASKED_FOR = {"x_canary": "yes"}


def two_slots(shop: EnvoyShop, **changes: Any) -> None:
    shop.release["rollout_workload"]["pool"].update(stable="blue", canary="green")
    shop.release.update(rollout_router=shop.router, **changes)


def answered(shop: EnvoyShop, hosts: tuple[str, ...]) -> int:
    """Requests to the service that the apps themselves have counted, mirrored ones included."""
    total = 0
    for host in hosts:
        with urllib.request.urlopen(f"http://127.0.0.1:{shop.ports[host]}/metrics", timeout=60) as reply:
            total += sum(int(number) for number in re.findall(r"^http_requests_total\{.*\} (\d+)$", reply.read().decode(), re.MULTILINE))
    return total


def test_a_canary_is_mirrored_to_then_asked_for_by_header_then_given_a_share(tmp_path: Path) -> None:
    with EnvoyShop(tmp_path, POOLS) as shop:
        match = [{"header_name": "x-canary", "header_value": {"exact": "yes"}}]
        two_slots(shop, rollout_steps=[
            {"set_mirror_route": {"percentage": 50}}, {"bake": {"duration": "4s"}}, {"set_mirror_route": {"percentage": 0}},
            {"set_header_route": {"name": "testers", "match": match}}, {"gate": {"name": "testers"}}, {"set_weight": 20}, {"set_weight": 100},
        ])
        before = shop.proxy.rds.read_text()
        paused = shop.run("canary", "2", "-e", "rollout_wait=exit")
        settled()
        assert (paused.status, paused.outcome) == (0, "paused"), paused.text
        assert answered(shop, POOLS["green"]) > 0, "copies of the users' requests reached the canary"
        assert shop.answer(shop.urls[0], **ASKED_FOR)["version"] == "2"
        assert "2" not in shop.users().versions, "users get the new version only from its first share on"
        done = shop.run("promote", "2")
        settled()
        assert (done.status, done.outcome) == (0, "promoted"), done.text
        for share, measured, requests in shop.shares():
            assert requests >= 60 and abs(share - measured) <= STRAYS, (share, measured, requests)
        assert [share for share, _measured, _requests in shop.shares()] == [20, 100]
        assert shop.failures() == []
        text = shop.proxy.rds.read_text()
        assert "progressive-" in before or "progressive-" not in text, "match routes and mirrors are gone"
        assert shop.answer(shop.urls[0])["version"] == "2"


def test_rolling_by_endpoint_files_loses_no_request(tmp_path: Path) -> None:
    with EnvoyShop(tmp_path, {"blue": ("web1", "web2", "web3"), "green": ("web4",)}) as shop:
        shop.release["rollout_workload"]["pool"]["hosts"] = "blue"
        shop.release.update(rollout_router=shop.router, rollout_rolling={"batches": [1, "100%"]})
        done = shop.run("rolling", "2")
        settled()
        assert (done.status, done.outcome) == (0, "promoted"), done.text
        assert shop.failures() == []
        assert shop.versions == {"web1": "2", "web2": "2", "web3": "2", "web4": "1"}
        assert sorted(deploy["host"] for deploy in shop.deploys) == ["web1", "web2", "web3"]
        assert "DRAINING" not in Path(shop.facts["eds"]["stable"]).read_text()


def test_prometheus_judges_a_good_and_a_bad_canary(tmp_path: Path) -> None:
    with EnvoyShop(tmp_path, POOLS) as shop:
        (tmp_path / "prometheus").mkdir()
        # The rig scrapes one path per name; Envoy has a single one for all clusters.
        scraped: Any = SimpleNamespace(tracks={"stats/prometheus": None}, port=shop.proxy.admin_port)
        prometheus = Prometheus(tmp_path / "prometheus", scraped)
        try:
            names = {track: f'envoy_cluster_name="{cluster}"' for track, cluster in shop.facts["clusters"].items()}
            provider = {"prometheus": {"url": prometheus.url, "scrape_interval": "1s", "timeout": "60s", "convention": "envoy", "selectors": names}}
            metrics = [
                {"name": "error-rate", "builtin": "error_rate", "failure_condition": "result > 0.05", "min_requests": 20},
                {"name": "p95", "builtin": "latency", "quantile": 0.95, "failure_condition": "result > 100000", "min_requests": 20},
            ]
            analysis = {"provider": provider, "interval": "1s", "metrics": metrics}
            two_slots(shop, rollout_steps=[{"set_weight": 50}, {"bake": {"duration": "6s"}}], rollout_analysis=analysis)
            good = shop.run("canary", "2")
            assert (good.status, good.outcome) == (0, "promoted"), good.text
            assert shop.events("look"), "it was measured"
            assert shop.failures() == []

            shop.release["rollout_steps"][1]["bake"]["duration"] = "10m"
            bad = shop.run("canary", "failing")
            ended = settled()
            assert bad.status == 2 and (bad.outcome, bad.code) == ("rolled_back", 10), bad.text
            assert "error-rate" in bad.message()
            assert {str(failure["v"]) for failure in shop.failures()} == {"failing"}
            assert shop.answer(shop.urls[0])["version"] == "2"
            shop.until_users(ended, {"2"})
            assert shop.failures(ended) == []
        finally:
            prometheus.close()
