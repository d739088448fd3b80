# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The example of a canary in a VirtualService, by ansible-playbook, before Istio's control plane and a real Envoy, with users all the while.

The release file is examples/releases/kubernetes-canary-istio.yml, but for where things are, how long they take, and the slowest of its metrics. Sessions are
held as examples/releases/kubernetes-canary-sessions.yml says.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ansible_collections.progressive.delivery.tests.cluster.cluster import wait_until
from ansible_collections.progressive.delivery.tests.cluster.scraper import Scraper
from ansible_collections.progressive.delivery.tests.kubernetes.istio_rig import IstioShop
from ansible_collections.progressive.delivery.tests.kubernetes.playbook_rig import Site

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "releases" / "kubernetes-canary-istio.yml"
SESSIONS = EXAMPLE.with_name("kubernetes-canary-sessions.yml")
HEADER = {"canary": "true"}
RATE = 200


class Shop(IstioShop):
    replicas = {"stable": 2, "canary": 0}

    def site(self, prometheus: str) -> Site:
        """The example, told where the cluster, Prometheus and the gateway's Envoy are, and with seconds for its minutes."""
        release = yaml.safe_load(re.sub(r"\b5m\b", "4s", EXAMPLE.read_text(encoding="utf-8")))
        release["rollout_kubernetes"] = self.connection()
        release["rollout_router"]["istio"]["envoys"] = [{"admin": self.mesh.admin}]
        release["rollout_router"]["istio"]["affinity"] = yaml.safe_load(SESSIONS.read_text(encoding="utf-8"))["rollout_router"]["istio"]["affinity"]
        release["rollout_analysis"]["interval"] = "1s"
        release["rollout_analysis"]["provider"]["prometheus"] = {"url": prometheus, "scrape_interval": "1s"}
        # memory would have each bake wait for the kubelet, which looks at its containers every ten seconds or so; test_metrics.py has it
        release["rollout_analysis"]["metrics"] = [metric for metric in release["rollout_analysis"]["metrics"] if metric["name"] != "memory"]
        release["rollout_scale_down_delay"] = "2s"
        return Site(self.namespace, release)

    def running(self) -> dict[str, tuple[str, int]]:
        """Version and wanted replicas of each slot."""
        specs = {slot: self.namespace.get("deployment", f"shop-{slot}")["spec"] for slot in ("stable", "canary")}
        return {slot: (spec["template"]["spec"]["containers"][0]["image"].rpartition(":")[2], spec["replicas"]) for slot, spec in specs.items()}


@pytest.fixture
def shop(namespace, mesh):
    made = Shop(namespace, mesh)
    yield made
    made.close()


@pytest.fixture
def prometheus(shop, cluster, tmp_path):
    scraper = Scraper(tmp_path / "prometheus", cluster, shop.namespace.name)
    yield scraper.url
    scraper.close()


def test_a_good_canary_is_promoted_and_a_bad_one_taken_back_and_users_notice_the_bad_one_alone(shop, prometheus):
    site = shop.site(prometheus)
    with shop.users.load(shop.entry.port, RATE) as load:
        wait_until(lambda: len(load.hits) > 100)
        done = site.run("rollout", "2")
        assert done.outcome == "paused", done.text
        assert shop.made().read().weight("canary") == 20
        assert shop.tracks(20, **HEADER) == {"canary": 20}
        users = shop.begin(8)
        assert all(len(pods) == 1 for user in shop.pods(users, 12) for pods in user.values()), "one Pod of each version, for each session"
        done = site.run("promote", "2")
        assert done.outcome == "paused", done.text
        assert shop.made().read().weight("canary") == 50
        done = site.run("promote", "2")
        assert done.outcome == "promoted", done.text
        assert shop.running() == {"stable": ("2", 2), "canary": ("2", 0)}
        assert shop.made().read().weight("stable") == 100
        assert len(shop.route()["spec"]["http"]) == 1, "the route of the testers is gone"
        assert load.failed == []
        good = len(load.hits)
        done = site.run("rollout", "bad")
        assert done.outcome == "rolled_back", done.text
        assert "error-rate" in done.message()
        assert shop.running() == {"stable": ("2", 2), "canary": ("bad", 0)}
        assert shop.made().read().weight("stable") == 100
        assert len(shop.route()["spec"]["http"]) == 1
        assert all(set(user) == {"2"} and len(user["2"]) == 1 for user in shop.pods(users)), "no cookie leads to the bad one, and each to one Pod of stable"
    failed = [hit for hit in load.hits if hit.status != 200]
    assert {hit.server for hit in failed} == {"bad"}, "nothing failed but what the bad version answered itself"
    assert len(failed) < 0.05 * (len(load.hits) - good)
    assert {hit.server for hit in load.hits[-100:]} == {"2"}
