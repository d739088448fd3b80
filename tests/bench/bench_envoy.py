# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a traffic change on Envoy costs, and whether it loses requests: ``python tests/bench/bench_envoy.py``.

Prints a table. The peer in the same run is the bare thing: a finished file moved over the old one, then the dump until it shows.
"""

from __future__ import annotations

import json
import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction

from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Routes
from ansible_collections.progressive.delivery.tests.integration.envoy_rig import Plane, until
from ansible_collections.progressive.delivery.tests.integration.haproxy_rig import Farm

TRACKS = {"stable": ("blue1", "blue2"), "canary": ("green1", "green2")}
CHANGES = 200
SWITCHES = 50
RATE = 200.0


def split(canary: int) -> Routes:
    return Routes({"stable": Fraction(100 - canary), "canary": Fraction(canary)})


def timed(act: Callable[[], object]) -> float:
    """Milliseconds."""
    started = time.perf_counter()
    act()
    return (time.perf_counter() - started) * 1000


def bare(plane: Plane, canary: int) -> None:
    """The same change without the collection."""
    path = plane.proxy.rds
    document = json.loads(path.read_text())
    document["version_info"] = str(int(document["version_info"]) + 1)
    clusters = document["resources"][0]["virtual_hosts"][0]["routes"][-1]["route"]["weighted_clusters"]["clusters"]
    clusters[0]["weight"], clusters[1]["weight"] = 10000 - 100 * canary, 100 * canary
    new = path.with_suffix(".new")
    new.write_text(json.dumps(document))
    os.rename(new, path)
    until(lambda: plane.admin.routes("shop")[0].version == document["version_info"])


def row(what: str, samples: list[float]) -> None:
    print(f"{what:<58}{min(samples):>9.1f}{statistics.median(samples):>9.1f}{max(samples):>9.1f}")


def main() -> None:
    farm = Farm()
    with tempfile.TemporaryDirectory() as folder:
        plane = Plane(pathlib.Path(folder) / "envoy", farm, TRACKS)
        try:
            router = plane.router()
            print(f"{'Envoy, milliseconds':<58}{'min':>9}{'median':>9}{'max':>9}")
            ours, theirs = [], []
            for number in range(30):  # interleaved, so that both meet the same noise
                ours.append(timed(lambda n=number: plane.put(router, split(n % 100))))
                theirs.append(timed(lambda n=number: bare(plane, (n + 50) % 100)))
            row("change of weights, written and confirmed in force", ours)
            row("peer: bare rename, and the dump shows it", theirs)
            row("a look at shares, servers and routes (observe)", [timed(lambda: router.observe(split(79))) for _number in range(30)])
            row("reading the routes", [timed(router.read) for _number in range(30)])
            for what, count, shares in (("weight changes", CHANGES, (5, 20, 50, 100, 0)), ("blue-green switches", SWITCHES, (100, 0))):
                with farm.load(plane.port, RATE) as load:
                    for number in range(count):
                        plane.put(router, split(shares[number % len(shares)]))
                        time.sleep(0.02)
                print(f"{count} {what} under {RATE:.0f} requests/s: {len(load.failed)} of {len(load.hits)} requests failed")
        finally:
            plane.stop()
            farm.close()


if __name__ == "__main__":
    main()
