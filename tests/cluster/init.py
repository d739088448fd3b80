# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first process of the node's namespaces: starts and stops its programs as told, and ends with all of them.

    init.py FOLDER USERS

Runs under ``unshare --mount --net --pid --fork``, alone, with the standard library only. When it ends, however it ends, the kernel
ends every process, mount, interface and firewall rule of the node. It ends when it is killed, and after IDLE seconds in which nobody
held the lock file USERS, unless ``FOLDER/kept`` is there.

It takes one JSON object a connection on ``FOLDER/control.sock`` and answers with one:
``{"do": "start", "name": ..., "argv": [...]}`` (without argv: as the last time), ``{"do": "signal", "name": ..., "signal": 9}``,
``{"do": "state"}``. Each is answered with name -> process id, or null for a program that has ended.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

IDLE = 60.0
OWN = {"/run": "run", "/var/lib": "lib", "/var/log": "log"}
"""What the node's programs write to, by fixed names -> the folder that is there instead."""
SYSCTLS = {"vm/overcommit_memory": 1, "vm/panic_on_oom": 0, "kernel/panic": 10, "kernel/panic_on_oops": 1,
           "kernel/keys/root_maxkeys": 1000000, "kernel/keys/root_maxbytes": 25000000}  # fmt: skip
"""What the kubelet would set for the whole machine: it finds these values in files of its own instead, and is content."""


class Init:
    """The table of programs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.commands: dict[str, list[str]] = {}
        self.running: dict[str, int] = {}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request.get("name", "")
        if request["do"] == "start":
            self.start(name, request.get("argv"))
        elif request["do"] == "signal" and name in self.running:
            os.kill(self.running[name], request["signal"])
        self.bury()
        return {name: self.running.get(name) for name in self.commands}

    def start(self, name: str, argv: list[str] | None) -> None:
        """Start a program with its output appended to ``logs/<name>.log``, unless it runs."""
        if name in self.running:
            return
        self.commands[name] = argv or self.commands[name]
        log = os.open(self.folder / "logs" / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            files = [(os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)]
            command = self.commands[name]
            self.running[name] = os.posix_spawnp(command[0], command, dict(os.environ), file_actions=files, setsid=True)
        finally:
            os.close(log)

    def bury(self) -> None:
        """Take note of programs that ended, and of orphans, which are ours as the first process."""
        while self._reap():
            pass

    def _reap(self) -> bool:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        for name in [name for name, running in self.running.items() if running == pid]:
            del self.running[name]
            with open(self.folder / "logs" / f"{name}.log", "a", encoding="utf-8") as log:
                log.write(f"-- ended with status {os.waitstatus_to_exitcode(status)}\n")
        return pid != 0


def own_files(folder: Path) -> None:
    """Give the node folders and kernel settings of its own, in this mount namespace."""
    for place, name in OWN.items():
        (folder / name).mkdir()
        mount("--bind", folder / name, place)
    for name, value in SYSCTLS.items():
        if os.path.exists(f"/proc/sys/{name}"):
            file = folder / "sysctl" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{value}\n", encoding="ascii")
            mount("--bind", file, f"/proc/sys/{name}")


def mount(*words: object) -> None:
    subprocess.run(["mount", *map(str, words)], check=True)


def serve(init: Init, control: socket.socket, users: int) -> None:
    """Answer until nobody has used the node for IDLE seconds."""
    unused_since = None
    while unused_since is None or time.monotonic() - unused_since < IDLE:
        if select.select([control], [], [], 1.0)[0]:
            connection, _address = control.accept()
            with connection, connection.makefile("rw", encoding="utf-8") as stream:
                try:
                    stream.write(json.dumps(init.answer(json.loads(stream.readline()))))
                except (OSError, ValueError, KeyError) as error:
                    stream.write(json.dumps({"error": str(error)}))
        init.bury()
        if in_use(users) or (init.folder / "kept").exists():
            unused_since = None
        elif unused_since is None:
            unused_since = time.monotonic()


def in_use(users: int) -> bool:
    """Whether anybody holds the lock."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(users, fcntl.LOCK_UN)
    return False


def main(folder: Path, users: Path) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    lock = os.open(users, os.O_RDWR)
    own_files(folder)
    control = socket.socket(socket.AF_UNIX)
    control.bind(str(folder / "control.new"))
    control.listen()
    (folder / "control.new").rename(folder / "control.sock")  # there when it is ready
    serve(Init(folder), control, lock)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
