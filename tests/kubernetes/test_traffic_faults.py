# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accidents around a switch on a real node, under load: what hears of it late, and scale-downs that may not come early on any path."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ansible_collections.progressive.delivery.tests.cluster.cluster import Namespace
from ansible_collections.progressive.delivery.tests.kubernetes.losses_rig import BusyShop
from ansible_collections.progressive.delivery.tests.waiting import wait_until

LAG = 6.0
DELAY = 4.0
GATED = {"rollout_blue_green": {"auto_promotion_enabled": False}}


class Thread(threading.Thread):
    """A run of the verbs beside the test, with its result."""

    def __init__(self, shop: BusyShop, purpose: str, version: str = "", **file: Any) -> None:
        super().__init__()
        self.done: dict[str, Any] = {}
        self._run = lambda: shop.run(purpose, version, **file)
        self.start()

    def run(self) -> None:
        self.done = self._run()

    def ended(self) -> str:
        self.join(600)
        return str(self.done.get("outcome"))


def endpoints(space: Namespace) -> set[str]:
    """Names of the Pods that the Service's slices say are ready."""
    parts = space.list("endpointslices", "kubernetes.io/service-name=shop")
    return {one["targetRef"]["name"] for part in parts for one in part["endpoints"] if one["conditions"].get("ready")}


def pods(space: Namespace, color: str) -> set[str]:
    return {pod["metadata"]["name"] for pod in space.list("pods", f"color={color}") if not pod["metadata"].get("deletionTimestamp")}


def paused_before_the_switch(shop: BusyShop) -> None:
    assert shop.run("rollout", "2", **GATED)["outcome"] == "paused"


def test_the_old_side_stays_while_kube_proxy_has_not_heard_of_the_switch(namespace: Namespace) -> None:
    shop = BusyShop(namespace, rollout_scale_down_delay=f"{LAG + 24:g}s")
    paused_before_the_switch(shop)
    with contextlib.ExitStack() as until_the_end:
        with namespace.cluster.without("kube-proxy", frozen=True):
            users = until_the_end.enter_context(shop.users())
            release = Thread(shop, "promote", **GATED)
            wait_until(lambda: shop.color == "green")
            switched = time.time()
            wait_until(lambda: users.felt(switched + LAG - 1).counts["new"] > 0)
            late = users.felt(switched + 1, switched + LAG - 1)
            assert len(pods(namespace, "blue")) == 2 and shop.holds("blue") == ("1", 2)
        assert release.ended() == "promoted"
        assert shop.holds("blue") == ("1", 0)
    assert set(late.versions) == {"1"}, "the data plane had really not heard of it"
    felt = users.felt()
    assert felt.failed == [], felt.by_kind()
    assert felt.versions["2"] > 0


def test_a_switch_is_not_done_before_the_endpoints_are_the_candidates(namespace: Namespace) -> None:
    shop = BusyShop(namespace, rollout_scale_down_delay="2s")
    paused_before_the_switch(shop)
    with contextlib.ExitStack() as until_the_end:
        with namespace.cluster.without("kube-controller-manager", frozen=True):
            users = until_the_end.enter_context(shop.users())
            release = Thread(shop, "promote", **GATED)
            wait_until(lambda: shop.color == "green")
            switched = time.time()
            wait_until(lambda: users.felt(switched + 2).counts["new"] > 0)
            record = shop.record
            assert record.steps[record.position].name == "switch" and endpoints(namespace) == pods(namespace, "blue")
            early = users.felt(switched)
        wait_until(lambda: (now := shop.record).outcome or now.steps[now.position].name != "switch")
        assert endpoints(namespace) == pods(namespace, "green")
        assert release.ended() == "promoted"
    felt = users.felt()
    assert felt.failed == [], felt.by_kind()
    assert set(early.versions) == {"1"}


@dataclass(frozen=True)
class Change:
    """``color``: where the Service leads; ``replicas``: of green. It came between ``earliest`` and ``latest``, in monotonic seconds."""

    earliest: float
    latest: float
    color: str
    replicas: int


@contextlib.contextmanager
def history(shop: BusyShop) -> Iterator[list[Change]]:
    """Every change of where the Service leads and of the replicas of green, as far as a tight loop sees it."""
    seen: list[Change] = []
    ended = threading.Event()

    def look() -> None:
        earliest = time.monotonic()
        while not ended.wait(0.05):
            begun = time.monotonic()
            color, replicas = shop.color, shop.holds("green")[1]
            if not seen or (seen[-1].color, seen[-1].replicas) != (color, replicas):
                seen.append(Change(earliest, time.monotonic(), color, replicas))
            earliest = begun

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def stayed(seen: list[Change]) -> float:
    """Seconds that green was still there at most after the Service had been led back to blue: from the last look that could not have seen it led back."""
    back = next(after for before, after in zip(seen, seen[1:]) if (before.color, after.color) == ("green", "blue"))
    return next(change for change in seen if change.latest >= back.latest and change.replicas == 0).latest - back.earliest


def test_nothing_is_scaled_down_before_the_delay_on_abort_and_supersede(namespace: Namespace) -> None:
    shop = BusyShop(namespace, rollout_scale_down_delay=f"{DELAY:g}s", rollout_blue_green={"post_promotion_bake": "5m"})
    with shop.users() as users:
        other = shop.started("rollout", "2")  # before there are threads: it is a fork of this process
        with history(shop) as seen:
            wait_until(lambda: shop.color == "green")
            shop.run("abort")
            assert other.end()["outcome"] in ("aborted", "rolled_back")
        assert stayed(seen) >= DELAY - 0.1, seen
        other = shop.started("rollout", "2")
        with history(shop) as seen:
            wait_until(lambda: shop.color == "green" and shop.record.steps[shop.record.position].name == "post-promotion bake")
            other.kill(signal.SIGTERM)
            other.end()
            assert shop.run("rollout", "3", rollout_on_new_revision="supersede")["outcome"] == "superseded"
        assert stayed(seen) >= DELAY - 0.1, seen
    assert shop.holds("blue") == ("1", 2)
    felt = users.felt()
    assert felt.failed == [], felt.by_kind()
