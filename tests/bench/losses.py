# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many of the users' requests fail while weights change and colours switch as fast as they can be confirmed. Open-loop load, no retries."""

from __future__ import annotations

import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Routes
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.core.ports import TrafficRouter
from ansible_collections.progressive.delivery.plugins.module_utils.entry.catalog import ROUTERS
from ansible_collections.progressive.delivery.tests.bench import plays
from ansible_collections.progressive.delivery.tests.integration.haproxy_rig import until
from ansible_collections.progressive.delivery.tests.integration.pool_rig import RATE, EnvoyShop, HaproxyShop, Shop

CHANGES = 200
SWITCHES = 50
POOLS = {"blue": ("web1", "web2"), "green": ("web3", "web4")}
WAIT = 0.05
"""Seconds between two changes, so that requests meet every one of them."""


def router_of(shop: HaproxyShop | EnvoyShop) -> TrafficRouter:
    [(kind, options)] = shop.router.items()
    adapter = ROUTERS[kind]
    made: TrafficRouter = adapter.from_options(validate(options, adapter.OPTIONS, kind), {"stable": POOLS["blue"], "canary": POOLS["green"]})
    return made


def changing(shop: HaproxyShop | EnvoyShop, shares: tuple[int, ...], count: int) -> tuple[float, float]:
    """(seconds, median milliseconds until a change is confirmed)."""
    router = router_of(shop)
    began, taken = time.monotonic(), []
    for number in range(count):
        share = shares[number % len(shares)]
        want = Routes({"stable": Fraction(100 - share), "canary": Fraction(share)})
        started = time.perf_counter()
        router.write(want)
        until(lambda w=want: router.observe(w).applied)
        taken.append((time.perf_counter() - started) * 1000)
        time.sleep(WAIT)
    time.sleep(0.5)
    return time.monotonic() - began, sorted(taken)[len(taken) // 2]


def run(folder: Path) -> None:
    weights, switches = (5, 20, 50, 100, 0), (100, 0)
    cases: list[tuple[str, Callable[[Path], Shop], tuple[int, ...], int]] = [
        (f"HAProxy, {CHANGES} weight changes", lambda place: HaproxyShop(place, POOLS), weights, CHANGES),
        (f"HAProxy, {SWITCHES} blue-green switches by map", lambda place: HaproxyShop(place, POOLS, by_map=True), switches, SWITCHES),
        (f"HAProxy, {SWITCHES} blue-green switches by weights", lambda place: HaproxyShop(place, POOLS), switches, SWITCHES),
        (f"two HAProxies, {CHANGES} weight changes", lambda place: HaproxyShop(place, POOLS, balancers=2), weights, CHANGES),
        (f"Envoy, {CHANGES} weight changes", lambda place: EnvoyShop(place, POOLS), weights, CHANGES),
        (f"Envoy, {SWITCHES} blue-green switches", lambda place: EnvoyShop(place, POOLS), switches, SWITCHES),
    ]
    rows = []
    for number, (label, make, shares, count) in enumerate(cases):
        place = folder / f"losses{number}"
        place.mkdir()
        with make(place) as shop:
            began = time.time()
            seconds, median = changing(shop, shares, count)
            felt = shop.users(began)
        rows.append((label, f"{seconds:.1f}", f"{median:.1f}", f"{felt.total:,}", felt.failed))
        print(f"  {label}: {felt.failed} of {felt.total} failed", flush=True)
    columns = ("", "s", "ms a change, confirmed", "requests", "failed")
    plays.table(f"Requests that fail while traffic changes, {RATE:g} requests/s without retries", columns, rows)
