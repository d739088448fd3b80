# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No request is lost because of us, on a real node, with users of every kind who never pause and never try again.

``N=20`` raises the number of switches from 4; releases grow with it. What the same costs by hand is in the bench: ``make bench ARGS=kube_losses``.
"""

from __future__ import annotations

import os

from ansible_collections.progressive.delivery.tests.cluster.cluster import Namespace
from ansible_collections.progressive.delivery.tests.kubernetes import load
from ansible_collections.progressive.delivery.tests.kubernetes.losses_rig import BusyShop
from ansible_collections.progressive.delivery.tests.waiting import wait_until

N = int(os.environ.get("N", "4"))
SHORT = {"rollout_scale_down_delay": "2s"}


def test_switches_releases_and_rollbacks_of_a_service_lose_nothing(namespace: Namespace) -> None:
    shop = BusyShop(namespace)
    shop.has("green", "2", 2)
    with shop.users() as users:
        for number in range(N - 2):
            shop.switch("blue" if number % 2 else "green", users)
        live = shop.color
        for number in range(max(1, N // 4)):
            done = shop.run("rollout", "3" if number % 2 == 0 else "2", rollout_scale_down_delay=shop.delay)
            assert done["outcome"] == "promoted", done
            assert shop.run("rollback", **SHORT)["outcome"] == "rolled_back"
        assert shop.color == live
        shop.playbook("blue_green", "3", outcome="promoted", **SHORT)
        shop.playbook("rollback", outcome="rolled_back", **SHORT)
        assert shop.color == live
    felt = users.felt()
    assert felt.failed == [], felt.by_kind()
    assert felt.in_flight > 18, felt.in_flight
    assert felt.noticed > 0, "WebSockets outlived the drain, and were told"
    assert {"1", "2", "3"} <= set(felt.versions), felt.versions
    drains = shop.drained()
    assert len(drains) >= 4 and all(len(drain["members"]) == 2 and not drain["why"] for drain in drains), drains


def test_canaries_by_pods_lose_nothing(namespace: Namespace) -> None:
    shop = BusyShop(namespace, ratio=True, **SHORT)
    with shop.users() as users:
        for number in range(max(1, N // 4)):
            assert shop.run("rollout", "2" if number % 2 == 0 else "3")["outcome"] == "promoted"
        shop.playbook("canary", "1", outcome="promoted")
    felt = users.felt()
    assert felt.failed == [], felt.by_kind()
    assert {"1", "2"} <= set(felt.versions), felt.versions


def test_a_rolling_update_and_its_rollback_lose_nothing(namespace: Namespace) -> None:
    shop = BusyShop(namespace, rollout_strategy="rolling", rollout_router=None, rollout_rolling={"preset": "fast"})
    with shop.users() as users:
        assert shop.run("rollout", "2")["outcome"] == "promoted"
        assert shop.run("rollback")["outcome"] == "rolled_back"
        wait_until(lambda: len(namespace.list("pods")) == 2)
    felt = users.felt()
    assert felt.failed == [], felt.by_kind()


def test_an_app_that_ends_at_once_loses_only_what_is_kept_and_nothing_once_it_is_asked_to_finish(namespace: Namespace) -> None:
    shop = BusyShop(namespace, pre_stop=False, environment={"ON_TERM": "exit"}, **SHORT)
    drain = shop.file["rollout_workload"]["deployment"].pop("drain")
    notes = "\n".join(shop.planned("rollout", "2")["notes"])
    assert "no preStop hook" in notes and "Set rollout_workload.deployment.drain" in notes

    shop.has("green", "2", 2)
    with shop.users() as users:
        shop.by_hand("green", "blue")
        wait_until(lambda: not namespace.list("pods", "color=blue"))
    by_hand = len(users.felt().failed)
    assert by_hand >= load.SOCKETS, "the control: what was under way is gone"

    shop.log = namespace.folder / "undrained.jsonl"
    with shop.users() as users:
        assert shop.run("rollout", "3", rollout_scale_down_delay="10s")["outcome"] == "promoted"
        wait_until(lambda: not namespace.list("pods", "color=green"))
    felt = users.felt()
    assert felt.failed != [] and felt.by_kind()["new"] == 0, "who kept a connection is cut, and nobody else"

    shop.log = namespace.folder / "drained.jsonl"
    shop.file["rollout_workload"]["deployment"]["drain"] = drain
    with shop.users() as users:
        assert shop.run("rollout", "1")["outcome"] == "promoted"
        wait_until(lambda: not namespace.list("pods", "color=blue"))
    assert users.felt().failed == []
