# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a change of weights costs as a task, and how that grows with the pool. The peers run in the same playbook, round by round."""

from __future__ import annotations

import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

from ansible_collections.progressive.delivery.plugins.module_utils.clients.haproxy import HaproxyClient
from ansible_collections.progressive.delivery.tests.bench import peer, plays
from ansible_collections.progressive.delivery.tests.integration.haproxy_rig import Haproxy

ROUNDS = 10
SIZES = (10, 100, 1000, 10000)
SPLITS = (10, 30)
"""Canary shares in turn, so that each round changes every weight."""


def body(names: list[str]) -> str:
    """A backend whose servers nobody asks anything: only their weights matter here."""
    servers = "\n".join(f"  server {name} 127.0.0.1:9 weight 100" for name in names)
    return f"frontend front\n  bind 127.0.0.1:{{port}}\n  default_backend shop\nbackend shop\n  balance leastconn\n{servers}\n"


def tracks(names: list[str]) -> dict[str, list[str]]:
    cut = len(names) // 2
    return {"stable": names[:cut], "canary": names[cut:]}


def ours(plane: Haproxy, names: Any, canary: int, **router: Any) -> dict[str, Any]:
    options = {"endpoints": [plane.socket], "backend": "shop", **router}
    return {"progressive.delivery.traffic": {
        "router": {"haproxy": options}, "tracks": names, "weights": {"stable": str(100 - canary), "canary": str(canary)}, "measure": False}}


def theirs(plane: Haproxy, server: str, weight: int) -> dict[str, Any]:
    return {"community.general.haproxy": {"state": "enabled", "host": server, "backend": "shop", "weight": str(weight), "socket": plane.socket,
                                          "fail_on_not_found": True}}


def bare(plane: Haproxy, names: list[str], number: int) -> float:
    """Milliseconds for the same commands down one connection, from Python, without Ansible and without looking what became of them."""
    began = time.perf_counter()
    HaproxyClient(plane.socket).change([f"set weight shop/{name} {(120, 250)[number % 2]}" for name in names])
    return (time.perf_counter() - began) * 1000


def another_python() -> str:
    """An interpreter other than ours, so that modules are really shipped to it; ours again where there is no other."""
    script = plays.PACKAGE / "tests" / "tools" / "pythons.sh"
    listed = [line.split(" ", 2)[2] for line in subprocess.run(["sh", str(script)], capture_output=True, text=True, check=True).stdout.splitlines()]
    own = str(Path(sys.executable).resolve())
    return next((path for path in listed if path != own and Path(path).name >= "python3.11"), next((path for path in listed if path != own), own))


def as_tasks(folder: Path) -> None:
    """One traffic change between two servers, done in every way, interleaved."""
    program, found, versions = peer.playbook()
    python = another_python()
    names = ["web1", "web2"]
    plane = Haproxy(folder / "tasks", body(names))
    try:
        rounds: list[dict[str, Any]] = []
        direct: list[float] = []
        for number in range(ROUNDS):
            tasks: list[dict[str, Any]] = []
            canary = SPLITS[number % 2]
            tasks.append({"name": "no-op", "ansible.builtin.assert": {"that": "true", "quiet": True}})
            tasks.append({"name": "in-process", **ours(plane, tracks(names), canary)})
            tasks.append({"name": "from here", **ours(plane, tracks(names), SPLITS[1 - number % 2], hosts=["lb1"])})
            there = [{"name": "shipped", **ours(plane, tracks(names), canary)}]
            if found:
                there.append({"name": "peer", **theirs(plane, "web1", 50 + number)})
            direct.append(bare(plane, names, number))
            rounds += [{"hosts": host, "gather_facts": False, "tasks": some} for host, some in (("localhost", tasks), ("lb1", there))]
        playbook = plays.write(folder, rounds, {"lb1": {"ansible_python_interpreter": python}})
        done = plays.run(program, folder, playbook)
    finally:
        plane.stop()
    rows = [(label, *plays.spread([task.ms for task in done if task.task == name])) for name, label in (
        ("no-op", "a task that does nothing (assert)"), ("in-process", "this collection, in-process: both servers, looked at before and after"),
        ("shipped", "this collection, the task on the load balancer's host: the same, one module run"),
        ("from here", "this collection, option hosts: the same, one module run there for each look and write"),
        ("peer", "community.general.haproxy: one server, not looked at")) if any(task.task == name for task in done)]
    if not found:
        rows.append(("community.general.haproxy", "peer missing", ""))
    rows.append(("bare socket, from Python: both servers, no look", *plays.spread(direct, 1)))
    plays.table(f"A traffic change as a task, ms ({ROUNDS} rounds, {versions}, shipped to {Path(python).name})", ("", "min", "median"), rows)


def as_pools_grow(folder: Path) -> None:
    """All weights of one backend, by one task of ours and by one task a server of the peer."""
    program, found, versions = peer.playbook()
    rows = []
    for size in SIZES:
        names = [f"web{number}" for number in range(size)]
        plane = Haproxy(folder / str(size), body(names))
        try:
            rounds = 5 if size < 10000 else 3
            variables = {"names": tracks(names), "some": names[:10]}
            tasks: list[dict[str, Any]] = []
            for number in range(rounds):
                tasks.append({"name": "ours", **ours(plane, "{{ names }}", SPLITS[number % 2])})
                if found and size == SIZES[0]:
                    tasks += [{"name": "peer", **theirs(plane, name, 50 + number)} for name in names]
            playbook = plays.write(folder, [{"hosts": "localhost", "gather_facts": False, "vars": variables, "tasks": tasks}], {})
            done = plays.run(program, folder, playbook)
            direct = [bare(plane, names, number) for number in range(rounds)]
            core = [_in_process(plane, names, number) for number in range(rounds)]
        finally:
            plane.stop()
        if size == SIZES[0]:
            each = [task.ms for task in done if task.task == "peer"]
        mine = min(task.ms for task in done if task.task == "ours")
        other = "peer missing" if not found else f"{min(each) * size / 1000:,.1f}" + ("" if size == SIZES[0] else " *")
        factor = f"{min(each) * size / mine:,.0f}" if found else ""
        rows.append((f"{size:,}", 1, f"{mine:,.0f}", f"{min(core):,.1f}", f"{min(direct):,.1f}", f"{size:,}", other, factor))
        print(f"  {size} servers done", flush=True)
    columns = ("servers", "our tasks", "task, ms", "of it the router, ms", "bare socket, ms", "peer's tasks", "peer, s", "times faster")
    plays.table(f"All weights of a backend, shortest of 3 to 5 ({versions})", columns, rows)
    if found:
        print(f"* {min(each):.0f} ms a server, measured on {SIZES[0]} servers and multiplied. Ours reads, raises, looks, lowers and looks again.")


def _in_process(plane: Haproxy, names: list[str], number: int) -> float:
    """Milliseconds of the router's own write, without Ansible."""
    from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Routes
    from ansible_collections.progressive.delivery.plugins.module_utils.routers.haproxy import HaproxyRouter

    router = HaproxyRouter(HaproxyClient(plane.socket), "shop", {track: tuple(hosts) for track, hosts in tracks(names).items()})
    canary = SPLITS[number % 2]
    began = time.perf_counter()
    router.write(Routes({"stable": Fraction(100 - canary), "canary": Fraction(canary)}))
    return (time.perf_counter() - began) * 1000
