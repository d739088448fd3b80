# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The router contract's harness over a real Envoy with route and endpoint files. What a harness is: README.md."""

from __future__ import annotations

import collections
import contextlib
import json
import pathlib
import threading
from collections.abc import Iterator

from ansible_collections.progressive.delivery.plugins.module_utils.clients.envoy import EnvoyAdmin
from ansible_collections.progressive.delivery.plugins.module_utils.core.fleet import Fleet
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Capability, Routes
from ansible_collections.progressive.delivery.plugins.module_utils.core.ports import TrafficRouter
from ansible_collections.progressive.delivery.plugins.module_utils.routers.envoy import EnvoyRouter
from ansible_collections.progressive.delivery.tests.contract.harness_memory import TRACKS
from ansible_collections.progressive.delivery.tests.integration.envoy_rig import Plane, until
from ansible_collections.progressive.delivery.tests.integration.haproxy_rig import Farm
from ansible_collections.progressive.delivery.tests.ports import closed_port


class PatientRouter(EnvoyRouter):
    """Envoy takes a file some milliseconds after it was written; this router returns when it has, as the executor waits."""

    def write(self, want: Routes) -> None:
        super().write(want)
        until(lambda: self.observe(want).applied, lambda: self.observe(want).why)


class EnvoyHarness:
    LACKS = frozenset({Capability.CUT})
    count = 1
    eds = True

    def __init__(self, folder: pathlib.Path) -> None:
        self.farm = Farm()
        self.planes = [Plane(folder / f"lb{index}", self.farm, TRACKS, eds=self.eds) for index in range(self.count)]

    def one(self, plane: Plane, admin: EnvoyAdmin) -> EnvoyRouter:
        made = plane.router()
        assert isinstance(made, EnvoyRouter)
        return PatientRouter(admin, made.rds, made.layout, eds=made.eds, addresses=made.addresses)

    def router(self) -> TrafficRouter:
        return self.one(self.planes[0], self.planes[0].admin)

    def dead(self) -> TrafficRouter:
        return self.one(self.planes[0], EnvoyAdmin(f"http://127.0.0.1:{closed_port()}", 1))

    def writes(self) -> int:
        """Every written file is one version further than the one before."""
        files = [path for plane in self.planes for path in (plane.proxy.rds, *plane.proxy.eds.values())]
        return sum(int(json.loads(path.read_text())["version_info"]) - 1 for path in files)

    @contextlib.contextmanager
    def totals(self) -> Iterator[list[float]]:
        seen: list[float] = []
        ended = threading.Event()

        def poll() -> None:
            while not (seen and ended.is_set()):
                for state in self.planes[0].admin.routes("shop"):
                    route = state.config["virtual_hosts"][0]["routes"][-1]["route"]
                    seen.append(float(sum(entry["weight"] for entry in route["weighted_clusters"]["clusters"])))

        poller = threading.Thread(target=poll, daemon=True)
        poller.start()
        try:
            yield seen
        finally:
            ended.set()
            poller.join(120)

    def requests(self, count: int) -> collections.Counter[str] | None:
        track = {host: name for name, hosts in TRACKS.items() for host in hosts}
        return collections.Counter(track.get(hit.server, "failed") for hit in self.farm.get(self.planes[0].port, count))

    def close(self) -> None:
        for plane in self.planes:
            plane.stop()
        self.farm.close()


class EnvoyStaticHarness(EnvoyHarness):
    """Clusters of the bootstrap file: weights and rules, no members."""

    LACKS = frozenset({Capability.CUT, Capability.MEMBERS, Capability.DRAIN})
    eds = False


class EnvoyFleetHarness(EnvoyHarness):
    """Two Envoys as one router."""

    count = 2

    def router(self) -> TrafficRouter:
        return Fleet({plane.admin.name: self.one(plane, plane.admin) for plane in self.planes})
