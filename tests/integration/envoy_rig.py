# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Envoy with real little HTTP servers behind it, configured as the demo's is. Loopback only."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.progressive.delivery.examples.demo.proxy import Proxy
from ansible_collections.progressive.delivery.plugins.module_utils.clients.envoy import EnvoyAdmin
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Routes
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.core.ports import TrafficRouter
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.envoy import EnvoyProvider
from ansible_collections.progressive.delivery.plugins.module_utils.routers.envoy import EnvoyRouter
from ansible_collections.progressive.delivery.tests.integration.haproxy_rig import Farm


class Plane:
    """One running Envoy in front of ``tracks`` (track to server names) of ``farm``."""

    def __init__(self, folder: pathlib.Path, farm: Farm, tracks: Mapping[str, tuple[str, ...]], *, eds: bool = False) -> None:
        self.farm = farm
        self.tracks = tracks
        ports = {track: {name: (farm.servers.get(name) or farm.add(name)).port for name in names} for track, names in tracks.items()}
        self.proxy = Proxy(folder, ports, eds=eds)
        self.facts = self.proxy.facts()
        self.port = self.proxy.port
        self.admin = EnvoyAdmin(self.facts["admin"], 60)
        self.proxy.start()

    def options(self, **changes: Any) -> dict[str, Any]:
        """Router options as a user writes them."""
        endpoint = {"admin": self.facts["admin"], "rds": self.facts["rds"], "eds": self.facts["eds"]}
        mirrors = {"canary": self.facts["mirror_cluster"]}
        places = {"clusters": self.facts["clusters"], "addresses": self.facts["addresses"], "mirror_clusters": mirrors}
        return {"endpoints": [endpoint], "timeout": "60s", **places, **changes}

    def router(self, **changes: Any) -> TrafficRouter:
        return EnvoyRouter.from_options(validate(self.options(**changes), EnvoyRouter.OPTIONS, "rollout_router.envoy"), self.tracks)

    def metrics(self) -> EnvoyProvider:
        raw = {"endpoints": [{"admin": self.facts["admin"]}], "clusters": self.facts["clusters"], "timeout": "60s"}
        return EnvoyProvider.from_options(validate(raw, EnvoyProvider.OPTIONS, "provider.envoy"), self.tracks)

    def put(self, router: TrafficRouter, want: Routes) -> None:
        """Write, and wait until Envoy has it in force."""
        router.write(want)
        until(lambda: router.observe(want).applied, lambda: router.observe(want).why)

    def stop(self) -> None:
        self.proxy.stop()


def until(true: Callable[[], bool], why: Callable[[], object] = lambda: "", seconds: float = 240) -> None:
    """Wait for something that happens on its own. Raises AssertionError with what was last seen."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds} s: {why()}"
        time.sleep(0.005)
