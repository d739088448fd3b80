# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A canary in a mesh as its example has it, by ansible-playbook, whichever router splits the requests: a good version is promoted, a bad one taken back, and
users notice the bad one alone."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.progressive.delivery.tests.cluster.cluster import Cluster
from ansible_collections.progressive.delivery.tests.cluster.scraper import Scraper
from ansible_collections.progressive.delivery.tests.kubernetes.gateway_rig import GatewayShop
from ansible_collections.progressive.delivery.tests.kubernetes.playbook_rig import Site
from ansible_collections.progressive.delivery.tests.waiting import wait_until

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "releases"
HEADER = {"canary": "true"}
RATE = 200


class StoryShop(GatewayShop):
    """``example``: the release file, whose router is ``kind``; ``rules``: where its route keeps them."""

    replicas = {"stable": 2, "canary": 0}
    example: str
    kind: str
    rules: str

    def site(self, prometheus: str, **router: Any) -> Site:
        """The example, told where the cluster, Prometheus and the gateway's Envoy are, and with seconds for its minutes. ``router``: more of its options."""
        release = yaml.safe_load(re.sub(r"\b5m\b", "4s", (EXAMPLES / self.example).read_text(encoding="utf-8")))
        release["rollout_kubernetes"] = self.connection()
        release["rollout_router"][self.kind].update(envoys=[{"admin": self.mesh.admin}], timeout="60s", **router)
        release["rollout_analysis"]["interval"] = "1s"
        release["rollout_analysis"]["provider"]["prometheus"] = {"url": prometheus, "scrape_interval": "1s"}
        # memory would have each bake wait for the kubelet, which looks at its containers every ten seconds or so; test_metrics.py has it
        release["rollout_analysis"]["metrics"] = [metric for metric in release["rollout_analysis"]["metrics"] if metric["name"] != "memory"]
        for metric in release["rollout_analysis"]["metrics"]:
            if metric.get("builtin") == "latency":
                metric["failure_condition"] = "result > 60000"  # on a machine that runs other tests beside it any version is slow now and then
        release["rollout_scale_down_delay"] = "2s"
        return Site(self.namespace, release)

    def running(self) -> dict[str, tuple[str, int]]:
        """Version and wanted replicas of each slot."""
        specs = {slot: (self.namespace.get("deployment", f"shop-{slot}") or {})["spec"] for slot in ("stable", "canary")}
        return {slot: (spec["template"]["spec"]["containers"][0]["image"].rpartition(":")[2], spec["replicas"]) for slot, spec in specs.items()}

    def standing(self) -> int:
        """How many rules the route has."""
        return len(self.route()["spec"][self.rules])


@contextlib.contextmanager
def watched(shop: StoryShop, cluster: Cluster, folder: Path) -> Iterator[str]:
    """The address of a Prometheus that looks at the shop."""
    scraper = Scraper(folder / "prometheus", cluster, shop.namespace.name)
    try:
        yield scraper.url
    finally:
        scraper.close()


def tell(shop: StoryShop, site: Site, at_a_fifth: Callable[[], object] = bool, at_the_end: Callable[[], object] = bool) -> None:
    """``at_a_fifth`` and ``at_the_end``: what else is looked at then."""
    with shop.users.load(shop.entry.port, RATE) as load:
        wait_until(lambda: len(load.hits) > 100)
        done = site.run("rollout", "2")
        assert done.outcome == "paused", done.text
        assert shop.made().read().weight("canary") == 20
        testers = shop.tracks(20, **HEADER)
        assert testers == {"canary": 20}, testers
        at_a_fifth()
        done = site.run("promote", "2")
        assert done.outcome == "paused", done.text
        assert shop.made().read().weight("canary") == 50
        done = site.run("promote", "2")
        assert done.outcome == "promoted", done.text
        assert shop.running() == {"stable": ("2", 2), "canary": ("2", 0)}, shop.running()
        assert shop.made().read().weight("stable") == 100
        assert shop.standing() == 1, "the route of the testers is gone"
        assert load.failed == [], load.failed[:5]
        good = len(load.hits)
        done = site.run("rollout", "bad")
        assert done.outcome == "rolled_back" and "error-rate" in done.message(), done.text
        assert shop.running() == {"stable": ("2", 2), "canary": ("bad", 0)}, shop.running()
        assert shop.made().read().weight("stable") == 100
        assert shop.standing() == 1, shop.route()
        at_the_end()
    failed = [hit for hit in load.hits if hit.status != 200]
    assert {hit.server for hit in failed} == {"bad"}, "nothing failed but what the bad version answered itself"
    assert len(failed) < 0.05 * (len(load.hits) - good)
    assert {hit.server for hit in sorted(load.hits, key=lambda hit: hit.sent)[-100:]} == {"2"}
