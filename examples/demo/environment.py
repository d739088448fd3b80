# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's world on one machine, without root: a real Envoy, two pools of two app processes each, and steady load.

``environment.py start DIR [--rate N]``         starts it in the background and prints what a user needs to know, as JSON
``environment.py run DIR [--rate N] -- CMD...`` starts it, runs CMD with DEMO_WORLD naming that JSON, and stops it whatever happens
``environment.py stop DIR``                     ends every process that was started for DIR, also after a kill -9 of the others

Everything listens on the loopback, on free ports. DIR holds all state: ``world.json`` (what ``start`` prints), ``hosts/NAME/`` (the
releases of one "server"), ``artifacts/`` (versions to ship), ``envoy/`` (its files), ``load.jsonl`` (every request of the users).
"""

from __future__ import annotations

import argparse
import atexit
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import app  # noqa: E402
from proxy import Proxy, end, free_ports, spawn, write_json  # noqa: E402

POOLS = {"stable": ("blue", ("blue1", "blue2")), "canary": ("green", ("green1", "green2"))}
"""Track: the inventory group that runs it, and its hosts."""

ARTIFACTS: dict[str, dict[str, Any]] = {
    "2.4.0": {"error_percent": 0, "delay_ms": 5},
    "2.4.1": {"error_percent": 0, "delay_ms": 5},
    "2.4.2-errors": {"error_percent": 10, "delay_ms": 5},
    "2.4.3-slow": {"error_percent": 0, "delay_ms": 250},
    "2.5.0": {"error_percent": 0, "delay_ms": 5},
}
"""Every version the demo can ship. The first one is what runs when the world begins."""


class World:
    """One running environment below ``directory``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self.log = self.directory / "load.jsonl"

    def start(self, rate: float = 150.0, eds: bool = False) -> dict[str, Any]:
        """Start everything and wait until every server is healthy in Envoy's own view and requests flow. Returns the facts.

        ``rate`` 0 starts no load. ``eds``: the clusters' servers come from files too, so that hosts can move between tracks.
        Whatever was started is ended again when this fails.
        """
        if (self.directory / "world.json").exists():
            raise SystemExit(f"{self.directory} holds a world already; stop it first: environment.py stop {self.directory}")
        ports = iter(free_ports(sum(len(hosts) for _group, hosts in POOLS.values())))
        members = {track: {host: next(ports) for host in hosts} for track, (_group, hosts) in POOLS.items()}
        proxy = Proxy(self.directory / "envoy", members, eds=eds)
        facts = {
            **proxy.facts(),
            "directory": str(self.directory),
            "groups": {track: group for track, (group, _hosts) in POOLS.items()},
            "inventory": str(self.directory / "inventory.yml"),
            "deploy": str(HERE / "deploy.yml"),
            "load_log": str(self.log),
            "version": next(iter(ARTIFACTS)),
            "versions": list(ARTIFACTS),
        }
        try:
            self._write_files(facts)
            with ThreadPoolExecutor() as pool:
                for started in [pool.submit(app.restart, self.directory / "hosts" / host, port) for hosts in members.values() for host, port in hosts.items()]:
                    started.result()
            proxy.start()
            if rate:
                self._start_load(facts["url"], rate)
        except BaseException:
            self.stop()
            raise
        return facts

    def stop(self) -> None:
        """End every process of this world, load first so that it never sees the others go."""
        end(self.directory, "load")
        end(self.directory / "envoy", "envoy")
        for root in sorted((self.directory / "hosts").glob("*")):
            app.stop(root)
        (self.directory / "world.json").unlink(missing_ok=True)

    def _start_load(self, url: str, rate: float) -> None:
        self.log.unlink(missing_ok=True)
        spawn(self.directory, "load", [sys.executable, str(HERE / "load.py"), f"{url}/", str(self.log), "--rate", str(rate), "--timeout", "60"])
        deadline = time.monotonic() + 60
        while not (self.log.exists() and self.log.stat().st_size):
            if time.monotonic() > deadline:
                raise SystemExit(f"the load generator sends nothing; see {self.directory / 'load.log'}")
            time.sleep(0.02)

    def _write_files(self, facts: dict[str, Any]) -> None:
        (self.directory / "artifacts").mkdir(exist_ok=True)
        for version, knobs in ARTIFACTS.items():
            write_json(self.directory / "artifacts" / f"{version}.json", {"version": version, **knobs})
        for host in facts["addresses"]:
            release = self.directory / "hosts" / host / "releases" / facts["version"]
            release.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.directory / "artifacts" / f"{facts['version']}.json", release / "release.json")
            current = release.parent.parent / "current"
            current.unlink(missing_ok=True)
            current.symlink_to(f"releases/{facts['version']}")
        Path(facts["inventory"]).write_text(self._inventory(facts["members"]))
        write_json(self.directory / "world.json", facts)

    def _inventory(self, members: dict[str, dict[str, int]]) -> str:
        """One group a pool, every host of it this machine."""
        lines = ["---", "all:", "  vars:", "    ansible_connection: local", '    ansible_python_interpreter: "{{ ansible_playbook_python }}"']
        lines += [f"    demo_app: {json.dumps(str(HERE / 'app.py'))}", f"    demo_artifacts: {json.dumps(str(self.directory / 'artifacts'))}"]
        lines += [f'    app_root: "{self.directory}/hosts/{{{{ inventory_hostname }}}}"', "  children:"]
        for track, (group, _hosts) in POOLS.items():
            lines += [f"    {group}:", "      hosts:"]
            lines += [f"        {host}: {{app_port: {port}, app_address: \"127.0.0.1:{port}\"}}" for host, port in members[track].items()]
        return "\n".join(lines) + "\n"


def run(world: World, rate: float, command: list[str]) -> int:
    """Start, run ``command``, stop: also on Ctrl-C, on TERM, HUP, and when the command cannot be started."""
    atexit.register(world.stop)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: sys.exit(128 + received))
    world.start(rate)
    return subprocess.run(command, env={**os.environ, "DEMO_WORLD": str(world.directory / "world.json")}, check=False).returncode


def main() -> None:
    parser = argparse.ArgumentParser(description="The demo's environment", epilog="What run runs comes after --.")
    parser.add_argument("verb", choices=("start", "run", "stop"))
    parser.add_argument("directory", type=Path)
    parser.add_argument("--rate", type=float, default=150.0, help="requests a second; 0 for no load")
    split = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    arguments, command = parser.parse_args(sys.argv[1:split]), sys.argv[split + 1 :]
    world = World(arguments.directory)
    if arguments.verb == "start":
        signal.signal(signal.SIGTERM, lambda received, _frame: sys.exit(128 + received))
        print(json.dumps(world.start(arguments.rate), indent=2))
    elif arguments.verb == "stop":
        world.stop()
    elif command:
        sys.exit(run(world, arguments.rate, command))
    else:
        parser.error("run wants a command after --")


if __name__ == "__main__":
    main()
