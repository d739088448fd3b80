# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real InfluxDB 1.x that wants a name and a password, and answers with few rows at most."""

from __future__ import annotations

import base64
import os
import pathlib
import shutil
import subprocess
import time
import urllib.parse
import urllib.request

from ansible_collections.progressive.delivery.tests.ports import free_port
from ansible_collections.progressive.delivery.tests.waiting import wait_until

MOST_ROWS = 5


class Influxdb:
    """The server as a child process, its data in ``folder``. ``ann`` may do everything, ``bob`` nothing."""

    def __init__(self, folder: pathlib.Path) -> None:
        binary = shutil.which("influxd")
        assert binary, "the program influxd is not installed (Debian: apt-get install influxdb)"
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        settings = {
            "META_DIR": folder / "meta", "DATA_DIR": folder / "data", "DATA_WAL_DIR": folder / "wal", "HTTP_BIND_ADDRESS": f"127.0.0.1:{port}",
            "BIND_ADDRESS": f"127.0.0.1:{free_port()}", "HTTP_AUTH_ENABLED": "true", "HTTP_MAX_ROW_LIMIT": MOST_ROWS, "MONITOR_STORE_ENABLED": "false",
            "REPORTING_DISABLED": "true",
        }  # fmt: skip
        (folder / "influxdb.conf").write_text("")
        self._log = (folder / "output").open("wb")
        self._process = subprocess.Popen(
            [binary, "-config", str(folder / "influxdb.conf")], stdout=self._log, stderr=self._log,
            env={**os.environ, **{f"INFLUXDB_{name}": str(value) for name, value in settings.items()}},
        )  # fmt: skip
        try:
            wait_until(self._ready, 60, lambda: (folder / "output").read_text(errors="replace")[-2000:])
            for statement in ("CREATE USER ann WITH PASSWORD 'pa55' WITH ALL PRIVILEGES", "CREATE DATABASE shop", "CREATE USER bob WITH PASSWORD 'b0b'"):
                self._post("/query", {"q": statement})
        except BaseException:
            self.close()
            raise

    def _ready(self) -> bool:
        assert self._process.poll() is None, "influxd ended by itself"
        try:
            with urllib.request.urlopen(f"{self.url}/ping", timeout=30) as answer:
                return bool(answer.status == 204)
        except OSError:
            return False

    def _post(self, path: str, fields: dict[str, str], body: bytes = b"") -> int:
        request = urllib.request.Request(f"{self.url}{path}?{urllib.parse.urlencode(fields)}", data=body, method="POST")
        request.add_header("Authorization", "Basic " + base64.b64encode(b"ann:pa55").decode())
        with urllib.request.urlopen(request, timeout=120) as answer:
            status: int = answer.status
            return status

    def send(self, measurement: str, ago: float = 0.0, *, tags: str = "track=canary", **fields: str) -> None:
        """One point, ``ago`` seconds old; the values of its fields in the line protocol's own spelling."""
        values = ",".join(f"{name}={value}" for name, value in fields.items())
        line = f"{measurement},{tags} {values} {int((time.time() - ago) * 1000)}\n"
        assert self._post("/write", {"db": "shop", "precision": "ms"}, line.encode()) == 204

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()
