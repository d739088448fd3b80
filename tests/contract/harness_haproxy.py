# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The router contract's harness over a real HAProxy, by its UNIX socket and by TCP. What a harness is: README.md."""

from __future__ import annotations

import collections
import contextlib
import pathlib
import threading
from collections.abc import Iterator

from ansible_collections.progressive.delivery.plugins.module_utils.clients.haproxy import HaproxyClient
from ansible_collections.progressive.delivery.plugins.module_utils.core.fleet import Fleet
from ansible_collections.progressive.delivery.plugins.module_utils.core.ports import TrafficRouter
from ansible_collections.progressive.delivery.plugins.module_utils.routers.haproxy import HaproxyRouter
from ansible_collections.progressive.delivery.tests.contract.harness_memory import TRACKS
from ansible_collections.progressive.delivery.tests.integration import haproxy_rig as rig


class Recorder(HaproxyClient):
    """A client that notes every command it sends."""

    def __init__(self, endpoint: str, sent: list[str]) -> None:
        super().__init__(endpoint, timeout=2)
        self._sent = sent

    def run(self, commands):
        self._sent += commands
        return super().run(commands)


class HaproxyHarness:
    def __init__(self, folder: pathlib.Path) -> None:
        self.sent: list[str] = []
        self.farm = rig.Farm()
        self.planes = [rig.Haproxy(folder / f"lb{index}", rig.pool(self.farm, ["web1", "web2", "web3", "web4"])) for index in range(self.count)]
        for plane in self.planes:
            HaproxyClient(plane.socket).change(["set weight shop/web3 0", "set weight shop/web4 0"])

    count = 1

    def endpoint(self, plane: rig.Haproxy) -> str:
        return plane.socket

    def router(self) -> TrafficRouter:
        return HaproxyRouter(Recorder(self.endpoint(self.planes[0]), self.sent), "shop", TRACKS)

    def dead(self) -> TrafficRouter:
        return HaproxyRouter(HaproxyClient(f"127.0.0.1:{rig.free_port()}", timeout=1), "shop", TRACKS)

    def writes(self) -> int:
        return sum(not command.startswith("show ") for command in self.sent)

    @contextlib.contextmanager
    def totals(self) -> Iterator[list[float]]:
        seen: list[float] = []
        ended = threading.Event()

        def poll() -> None:
            client = HaproxyClient(self.planes[0].socket)
            while True:
                seen.append(float(sum(server.weight for server in client.servers("shop").values() if server.serving)))
                if ended.is_set():
                    return

        poller = threading.Thread(target=poll, daemon=True)
        poller.start()
        try:
            yield seen
        finally:
            ended.set()
            poller.join(10)

    def requests(self, count: int) -> collections.Counter[str] | None:
        track = {host: name for name, hosts in TRACKS.items() for host in hosts}
        return collections.Counter(track.get(hit.server, "failed") for hit in self.farm.get(self.planes[0].port, count))

    def close(self) -> None:
        for plane in self.planes:
            plane.stop()
        self.farm.close()


class HaproxyTcpHarness(HaproxyHarness):
    def endpoint(self, plane: rig.Haproxy) -> str:
        return f"127.0.0.1:{plane.admin}"


class HaproxyFleetHarness(HaproxyHarness):
    """Two HAProxy processes as one router."""

    count = 2

    def router(self) -> TrafficRouter:
        return Fleet({f"lb{index}": HaproxyRouter(Recorder(plane.socket, self.sent), "shop", TRACKS) for index, plane in enumerate(self.planes)})
