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
from ansible_collections.progressive.delivery.plugins.module_utils.clients.haproxy_split import layout
from ansible_collections.progressive.delivery.plugins.module_utils.core.fleet import Fleet
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Capability
from ansible_collections.progressive.delivery.plugins.module_utils.core.ports import TrafficRouter
from ansible_collections.progressive.delivery.plugins.module_utils.routers.haproxy import HaproxyRouter, HaproxySplitRouter
from ansible_collections.progressive.delivery.tests.contract.harness_memory import TRACKS
from ansible_collections.progressive.delivery.tests.integration import haproxy_rig as rig
from ansible_collections.progressive.delivery.tests.ports import closed_port

EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "examples" / "pool" / "haproxy-split.cfg"


class Recorder(HaproxyClient):
    """A client that notes every command it sends."""

    def __init__(self, endpoint: str, sent: list[str]) -> None:
        super().__init__(endpoint, timeout=10)
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
            HaproxyClient(plane.socket, 10).change(["set weight shop/web3 0", "set weight shop/web4 0"])

    count = 1

    def endpoint(self, plane: rig.Haproxy) -> str:
        return plane.socket

    def router(self) -> TrafficRouter:
        return HaproxyRouter(Recorder(self.endpoint(self.planes[0]), self.sent), "shop", TRACKS)

    def dead(self) -> TrafficRouter:
        return HaproxyRouter(HaproxyClient(f"127.0.0.1:{closed_port()}", timeout=1), "shop", TRACKS)

    def writes(self) -> int:
        return sum(not command.startswith("show ") for command in self.sent)

    @contextlib.contextmanager
    def totals(self) -> Iterator[list[float]]:
        seen: list[float] = []
        ended = threading.Event()

        def poll() -> None:
            client = HaproxyClient(self.planes[0].socket, 10)
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
            poller.join(120)

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


class HaproxySplitHarness(HaproxyHarness):
    """Two backends behind the example's lines of configuration."""

    LACKS = frozenset({Capability.MEMBERS, Capability.DRAIN, Capability.CUT, Capability.MIRROR})
    KEY = ("cookie", "user_id")

    def __init__(self, folder: pathlib.Path) -> None:
        self.sent: list[str] = []
        self.farm = rig.Farm()
        self.planes = []
        for index in range(self.count):
            path = folder / f"lb{index}" / "split.map"
            path.parent.mkdir()
            path.write_text("# by hand\nshop 0:shop_canary:shop_stable\nother x\n", encoding="utf-8")
            self.planes.append(rig.Haproxy(path.parent, split_config(self.farm, str(path), self.KEY)))

    def one(self, plane: rig.Haproxy, client: HaproxyClient) -> HaproxySplitRouter:
        made = layout("shop", {"stable": "shop_stable", "canary": "shop_canary"}, ":".join(self.KEY), ["header:user-tier", "header:user-type"])
        return HaproxySplitRouter(client, str(plane.folder / "split.map"), made, TRACKS)

    def router(self) -> TrafficRouter:
        routers = {f"lb{index}": self.one(plane, Recorder(plane.socket, self.sent)) for index, plane in enumerate(self.planes)}
        return Fleet(routers) if self.count > 1 else routers["lb0"]

    def dead(self) -> TrafficRouter:
        return self.one(self.planes[0], HaproxyClient(f"127.0.0.1:{closed_port()}", timeout=1))

    @contextlib.contextmanager
    def totals(self) -> Iterator[list[float]]:
        """The sum is 100 by construction; what a poller can see is that the entry is whole at all times."""
        seen: list[float] = []
        ended = threading.Event()

        def poll() -> None:
            router = self.one(self.planes[0], HaproxyClient(self.planes[0].socket, 10))
            while True:
                seen.append(float(sum(router.read().weights.values())))
                if ended.is_set():
                    return

        poller = threading.Thread(target=poll, daemon=True)
        poller.start()
        try:
            yield seen
        finally:
            ended.set()
            poller.join(120)


class HaproxySplitFleetHarness(HaproxySplitHarness):
    """Two HAProxy processes, which know nothing of each other, as one router."""

    count = 2


FETCH = {"cookie": "req.cook", "header": "req.fhdr", "query": "url_param"}


def split_config(farm: rig.Farm, path: str, key: tuple[str, str]) -> str:
    """The example as it stands, with this map, this port, this key, and two backends of the farm's servers."""
    text = EXAMPLE.read_text(encoding="utf-8").replace("/etc/haproxy/split.map", path).replace("bind :80", "bind 127.0.0.1:{port}")
    text = text.replace("req.cook(user_id)", f"{FETCH[key[0]]}({key[1]})")
    for track, hosts in TRACKS.items():
        servers = "".join(f"  server {host} 127.0.0.1:{(farm.servers.get(host) or farm.add(host)).port}\n" for host in hosts)
        text += f"\nbackend shop_{track}\n{servers}"
    return text


class HaproxySplitHeaderHarness(HaproxySplitHarness):
    KEY = ("header", "x-user")


class HaproxySplitQueryHarness(HaproxySplitHarness):
    KEY = ("query", "user")


class HaproxyFleetHarness(HaproxyHarness):
    """Two HAProxy processes as one router."""

    count = 2

    def router(self) -> TrafficRouter:
        return Fleet({f"lb{index}": HaproxyRouter(Recorder(plane.socket, self.sent), "shop", TRACKS) for index, plane in enumerate(self.planes)})
