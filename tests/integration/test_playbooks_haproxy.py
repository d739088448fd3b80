# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases by ansible-playbook on app processes behind real HAProxies, under load without retries."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ansible_collections.progressive.delivery.tests.integration.pool_rig import HaproxyShop, settled

FOUR = {"web": ("web1", "web2", "web3", "web4")}


def rolling(shop: HaproxyShop, **changes: Any) -> None:
    """Rolling over one group in batches of one, two and one."""
    shop.release["rollout_workload"]["pool"]["hosts"] = "web"
    shop.release.update(rollout_router=shop.router, rollout_strategy="rolling", rollout_rolling={"batches": [1, "50%", "100%"]}, **changes)


def test_rolling_over_two_haproxies_loses_no_request(tmp_path: Path) -> None:
    with HaproxyShop(tmp_path, FOUR, balancers=2) as shop:
        rolling(shop)
        done = shop.run("rolling", "2")
        settled()
        assert (done.status, done.outcome) == (0, "promoted"), done.text
        assert shop.failures() == []
        assert shop.versions == dict.fromkeys(shop.hosts, "2")
        assert [deploy["host"] for deploy in shop.deploys][0] == "web1"
        assert sorted(deploy["host"] for deploy in shop.deploys) == shop.hosts, "each host once"
        for deploy in shop.deploys:
            assert deploy["seen"] == [["DRAIN", 0], ["DRAIN", 0]], "out of rotation on both, with nothing in flight, before it was touched"
        for number in range(2):
            assert shop.states(number) == dict.fromkeys(shop.hosts, "up")
            assert len(set(shop.weights(number).values())) == 1
        assert shop.users().total > 100
