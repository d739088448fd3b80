# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real PostgreSQL server as a child process, on a socket and a port of its own, with nothing kept."""

from __future__ import annotations

import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile
from typing import Any

import psycopg

from ansible_collections.progressive.delivery.tests.ports import free_port
from ansible_collections.progressive.delivery.tests.waiting import wait_until

PASSWORD = "correct horse"  # of every user


class Postgres:
    """The server. ``admin``: keyword arguments of psycopg.connect for its superuser. It refuses to run as root, so root's tests run it as postgres."""

    def __init__(self, **settings: str) -> None:
        self._bin = _programs()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pd-postgres-"))
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            entry = pwd.getpwnam("postgres")
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
            self._as = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        self.port = free_port()
        self.admin = {"host": "127.0.0.1", "port": self.port, "user": "admin", "password": PASSWORD, "dbname": "postgres"}
        self._settings = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_connections": "30", **settings}
        (self.folder / "password").write_text(PASSWORD)
        os.chmod(self.folder / "password", 0o644)
        self._run("initdb", "--pgdata", str(self.folder / "data"), "--username=admin", f"--pwfile={self.folder}/password", "--auth=scram-sha-256",
                  "--no-sync", "--encoding=UTF8", "--locale=C")
        self.start()

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run([str(self._bin / program), *words], cwd=self.folder, capture_output=True, text=True, check=False, **self._as)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [str(self._bin / "postgres"), "-D", str(self.folder / "data"), "-k", str(self.folder), "-h", "127.0.0.1", "-p", str(self.port), *options],
                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self._as)  # fmt: skip
        wait_until(self._answers, 60, lambda: (self.folder / "log").read_text()[-2000:])

    def _answers(self) -> bool:
        assert self.process.poll() is None, "postgres ended by itself: " + (self.folder / "log").read_text()[-2000:]
        try:
            psycopg.connect(**self.admin, connect_timeout=30).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """Kill it and all its sessions, without a goodbye."""
        self.process.send_signal(3)  # SIGQUIT: its children are gone when it is
        self.process.wait(60)

    def close(self) -> None:
        if self.process.poll() is None:
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def execute(self, *statements: str) -> None:
        """Run statements as the superuser, each by itself."""
        with psycopg.connect(**self.admin, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def account(self, name: str, *grants: str) -> dict[str, Any]:
        """Make a user with these grants; its arguments of psycopg.connect."""
        self.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'", *(f"GRANT {grant} TO {name}" for grant in grants))
        return {**self.admin, "user": name}


def _programs() -> pathlib.Path:
    """The folder of the newest server's programs. Debian keeps them off the PATH."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    other = shutil.which("postgres")
    assert found or other, "the program postgres is not installed (Debian: apt-get install postgresql)"
    return found[-1].parent if found else pathlib.Path(str(other)).parent
