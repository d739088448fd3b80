# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long HAProxy's weights take, and what the changes cost the users. Prints tables; run it with the Python of the tests.

A write reads, computes, raises, looks, lowers and looks again; the bare socket only sends. community.general.haproxy is timed as Ansible runs it on a
host: one Python process for each server.
"""

from __future__ import annotations

import importlib.util
import json
import pathlib
import subprocess
import sys
import tempfile
import time
from fractions import Fraction

from ansible_collections.progressive.delivery.plugins.module_utils.clients.haproxy import HaproxyClient
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Routes
from ansible_collections.progressive.delivery.plugins.module_utils.routers.haproxy import HaproxyRouter
from ansible_collections.progressive.delivery.tests.integration import haproxy_rig as rig

ROUNDS = 5
PEER = "ansible_collections.community.general.plugins.modules.haproxy"


def split(canary: int) -> Routes:
    return Routes({"stable": Fraction(100 - canary), "canary": Fraction(canary)})


def best(action) -> float:
    """The shortest of some rounds, in milliseconds."""
    times = []
    for index in range(ROUNDS):
        began = time.perf_counter()
        action(index)
        times.append(time.perf_counter() - began)
    return min(times) * 1000


def pool(size: int) -> tuple[str, dict[str, tuple[str, ...]]]:
    names = [f"web{index}" for index in range(size)]
    servers = "\n".join(f"  server {name} 127.0.0.1:9 weight 100" for name in names)
    body = f"frontend front\n  bind 127.0.0.1:{{port}}\n  default_backend shop\nbackend shop\n  balance leastconn\n{servers}\n"
    return body, {"stable": tuple(names[: size * 4 // 5]), "canary": tuple(names[size * 4 // 5 :])}


def peer(plane: rig.Haproxy, server: str) -> float | None:
    """Milliseconds that community.general.haproxy takes for one server; None where it is not installed."""
    try:
        if importlib.util.find_spec(PEER) is None:
            return None
    except ModuleNotFoundError:
        return None
    options = {"state": "enabled", "host": server, "backend": "shop", "weight": "42", "socket": plane.socket, "fail_on_not_found": True}
    arguments = {"ANSIBLE_MODULE_ARGS": options}

    def once(_index: int) -> None:
        subprocess.run([sys.executable, "-m", PEER], input=json.dumps(arguments).encode(), check=True, capture_output=True)

    return best(once)


def speed(folder: pathlib.Path) -> None:
    print(f"All weights of a backend, ms, best of {ROUNDS}")
    print(f"{'servers':>8} {'bare socket':>12} {'write':>8} {'no-op write':>12} {'observe':>8}   community.general.haproxy")
    for size in (10, 100, 1000, 10000):
        body, tracks = pool(size)
        plane = rig.Haproxy(folder / str(size), body)
        try:
            router = HaproxyRouter(HaproxyClient(plane.socket), "shop", tracks)
            names = [name for hosts in tracks.values() for name in hosts]
            bare = HaproxyClient(plane.socket)
            raw = best(lambda index, bare=bare, names=names: bare.change([f"set weight shop/{name} {(28, 252)[index % 2]}" for name in names]))
            write = best(lambda index, router=router: router.write(split((10, 90)[index % 2])))
            same = best(lambda _index, router=router: router.write(split(10)))
            look = best(lambda _index, router=router: router.observe(split(10)))
            one = peer(plane, names[0])
            other = "not installed" if one is None else f"{one:.0f} for each server"
            print(f"{size:>8} {raw:>12.1f} {write:>8.1f} {same:>12.1f} {look:>8.1f}   {other}", flush=True)
        finally:
            plane.stop()


def losses(folder: pathlib.Path, changes: int = 200, rate: float = 300) -> None:
    """Failed requests while weights change as fast as they can be written, from end to end and back."""
    farm = rig.Farm()
    names = ["web1", "web2", "web3", "web4"]
    plane = rig.Haproxy(folder / "load", rig.pool(farm, names))
    router = HaproxyRouter(HaproxyClient(plane.socket), "shop", {"stable": ("web1", "web2"), "canary": ("web3", "web4")})
    try:
        with farm.load(plane.port, rate) as load:
            began = time.monotonic()
            for index in range(changes):
                router.write(split((0, 5, 50, 100, 20)[index % 5]))
                time.sleep(0.03)
            seconds = time.monotonic() - began
        slowest = max(hit.seconds for hit in load.hits) * 1000
        print(f"\n{changes} weight changes in {seconds:.1f} s under {rate:g} requests/s")
        print(f"{len(load.failed)} of {len(load.hits)} requests failed, the slowest took {slowest:.0f} ms")
    finally:
        plane.stop()
        farm.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        speed(pathlib.Path(scratch))
        losses(pathlib.Path(scratch))
