# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A change of Envoy's weights until it is in force, beside the bare thing: a finished file moved over the old one, then the dump until it shows."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Routes
from ansible_collections.progressive.delivery.tests.bench import plays
from ansible_collections.progressive.delivery.tests.integration.envoy_rig import Plane, until
from ansible_collections.progressive.delivery.tests.integration.haproxy_rig import Farm

TRACKS = {"stable": ("blue1", "blue2"), "canary": ("green1", "green2")}
ROUNDS = 30


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


def run(folder: Path) -> None:
    farm = Farm()
    plane = Plane(folder / "envoy", farm, TRACKS)
    try:
        router = plane.router()
        ours, theirs = [], []
        for number in range(ROUNDS):  # interleaved, so that both meet the same noise
            ours.append(timed(lambda n=number: plane.put(router, split(n % 100))))
            theirs.append(timed(lambda n=number: bare(plane, (n + 50) % 100)))
        rows = [
            ("a change of weights, written and confirmed in force", *plays.spread(ours, 1)),
            ("bare rename, and the dump shows it", *plays.spread(theirs, 1)),
            ("a look at shares, servers and routes", *plays.spread([timed(lambda: router.observe(split(79))) for _number in range(ROUNDS)], 1)),
        ]
    finally:
        plane.stop()
        farm.close()
    plays.table(f"Envoy, ms ({ROUNDS} rounds)", ("", "min", "median"), rows)
