# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many requests fail on the real Kubernetes node while a Service is switched and releases come and go, beside the same by hand with kubectl.

``N`` switches (200), of them a tenth whole releases that scale the old side down; a twentieth as many canaries, and rollbacks; the control by hand is
done as often as there are such releases.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from ansible_collections.progressive.delivery.tests.bench import plays
from ansible_collections.progressive.delivery.tests.cluster import cluster as fixtures
from ansible_collections.progressive.delivery.tests.kubernetes import load
from ansible_collections.progressive.delivery.tests.kubernetes.losses_rig import REPLICAS, BusyShop
from ansible_collections.progressive.delivery.tests.waiting import wait_until

N = int(os.environ.get("N", "200"))
DOWN, FEW = max(1, N // 10), max(1, N // 20)
DELAY = {"rollout_scale_down_delay": "2s"}
EXITS = {"ON_TERM": "exit"}
Work = Callable[[BusyShop, load.Load], None]


def switches(shop: BusyShop, users: load.Load) -> None:
    shop.has("green", "2", REPLICAS)
    for number in range(N - DOWN):
        shop.switch("blue" if number % 2 else "green", users)
    print(f"  a switch reaches every new connection within {shop.propagation:.2f} s", flush=True)


def releases(shop: BusyShop, users: load.Load) -> None:
    shop.has("green", "2", REPLICAS)
    shop.switch("green", users)
    for number in range(DOWN):
        promoted(shop, "3" if number % 2 else "1", rollout_scale_down_delay=shop.delay)


def rollbacks(shop: BusyShop, users: load.Load) -> None:
    for _number in range(FEW):
        promoted(shop, "2", **DELAY)
        done = shop.run("rollback", **DELAY)
        assert done["outcome"] == "rolled_back", done


def canaries(shop: BusyShop, users: load.Load) -> None:
    for number in range(FEW):
        promoted(shop, "1" if number % 2 else "2", **DELAY)


def in_place(shop: BusyShop, users: load.Load) -> None:
    for number in range(FEW):
        promoted(shop, "1" if number % 2 else "2", rollout_strategy="rolling", rollout_router=None)


def by_hand(shop: BusyShop, users: load.Load) -> None:
    for _number in range(DOWN):
        old = shop.color
        new = "green" if old == "blue" else "blue"
        shop.has(new, "2" if new == "green" else "1", REPLICAS)
        shop.by_hand(new, old)
        wait_until(lambda old=old: not shop.space.list("pods", f"color={old}"), 120)


def promoted(shop: BusyShop, version: str, **file: object) -> None:
    done = shop.run("rollout", version, **file)
    assert done["outcome"] == "promoted", done


def run(folder: Path) -> None:
    cases: list[tuple[str, Work, dict[str, object]]] = [
        (f"{N - DOWN} switches of a Service", switches, {}),
        (f"{DOWN} blue-green releases with scale-down", releases, {}),
        (f"{DOWN} blue-green releases, app ends at once on SIGTERM", releases, {"environment": EXITS, "pre_stop": False}),
        (f"{FEW} blue-green releases and their rollbacks", rollbacks, {}),
        (f"{FEW} canaries by Pods", canaries, {"ratio": True}),
        (f"{FEW} rolling updates in place", in_place, {}),
        (f"{DOWN} blue-green releases without drain: app shuts down by itself", releases, {"drains": False, "pre_stop": False}),
        (f"{DOWN} by hand: app shuts down by itself", by_hand, {"drains": False, "pre_stop": False}),
        (f"{DOWN} by hand: app ends at once on SIGTERM", by_hand, {"drains": False, "pre_stop": False, "environment": EXITS}),
    ]
    rows = []
    with fixtures.connect() as cluster:
        for number, (label, work, options) in enumerate(cases):
            place = folder / f"case{number}"
            place.mkdir()
            began = time.monotonic()
            with cluster.namespace(place, "bench") as space:
                shop = BusyShop(space, **options)
                with shop.users() as users:
                    work(shop, users)
                felt = users.felt()
            lost = ", ".join(f"{kind} {count}" for kind, count in felt.by_kind().items() if count)
            rows.append((label, f"{time.monotonic() - began:.0f}", f"{felt.total:,}", f"{felt.in_flight:.0f}", felt.noticed, len(felt.failed), lost))
            print(f"  {label}: {len(felt.failed)} of {felt.total} failed", flush=True)
    columns = ("", "s", "requests", "in flight", "WebSockets told to go", "failed", "of which")
    plays.table("Requests that fail on Kubernetes, without retries", columns, rows)
