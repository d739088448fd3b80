# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Graphite: carbon-cache with whisper files, and graphite-web's own application. Nothing of it needs a privilege."""

from __future__ import annotations

import os
import pathlib
import shutil
import socket
import subprocess
import time
import urllib.request

from ansible_collections.progressive.delivery.tests.ports import free_port
from ansible_collections.progressive.delivery.tests.waiting import wait_until

PYTHON = "/usr/bin/python3"
"""Debian's own, whose packages graphite-web is among."""
CARBON = """[cache]
STORAGE_DIR = {folder}/storage/
LOCAL_DATA_DIR = {folder}/storage/whisper/
CONF_DIR = {folder}/
LOG_DIR = {folder}/log/
PID_DIR = {folder}/
MAX_CREATES_PER_MINUTE = inf
MAX_UPDATES_PER_SECOND = inf
LINE_RECEIVER_INTERFACE = 127.0.0.1
LINE_RECEIVER_PORT = {line}
PICKLE_RECEIVER_INTERFACE = 127.0.0.1
PICKLE_RECEIVER_PORT = 0
CACHE_QUERY_INTERFACE = 127.0.0.1
CACHE_QUERY_PORT = {cache}
ENABLE_LOGROTATION = False
"""
SETTINGS = """SECRET_KEY = "of the tests"
ALLOWED_HOSTS = ["127.0.0.1"]
GRAPHITE_ROOT = "/usr/share/graphite-web"
CONF_DIR = STORAGE_DIR = LOG_DIR = {folder!r}
WHISPER_DIR = {folder!r} + "/storage/whisper"
CARBONLINK_HOSTS = ["127.0.0.1:{cache}:a"]
DATABASES = {{"default": {{"NAME": ":memory:", "ENGINE": "django.db.backends.sqlite3"}}}}
TIME_ZONE = "UTC"
LOG_ROTATION = False
"""
SERVE = """import socketserver, sys
from wsgiref.simple_server import WSGIServer, make_server
from graphite.wsgi import application
class Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
make_server("127.0.0.1", int(sys.argv[1]), application, Server).serve_forever()
"""


class Graphite:
    """Both servers as child processes, their data in ``folder``. Points are of one second, as the first retention says."""

    def __init__(self, folder: pathlib.Path) -> None:
        carbon = shutil.which("carbon-cache", path="/usr/bin:/usr/sbin")
        assert carbon, "the program carbon-cache is not installed (Debian: apt-get install graphite-carbon graphite-web)"
        self.line, cache, web = free_port(), free_port(), free_port()
        self.url = f"http://127.0.0.1:{web}"
        (folder / "storage" / "whisper").mkdir(parents=True)
        (folder / "log").mkdir()
        (folder / "carbon.conf").write_text(CARBON.format(folder=folder, line=self.line, cache=cache))
        (folder / "storage-schemas.conf").write_text("[all]\npattern = .*\nretentions = 1s:1h\n")
        (folder / "storage-aggregation.conf").write_text("[all]\npattern = .*\nxFilesFactor = 0\naggregationMethod = sum\n")
        (folder / "rig_settings.py").write_text(SETTINGS.format(folder=str(folder), cache=cache))
        (folder / "serve.py").write_text(SERVE)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GRAPHITE_", "DJANGO_"))}
        web_settings = {"PYTHONPATH": str(folder), "GRAPHITE_SETTINGS_MODULE": "rig_settings", "DJANGO_SETTINGS_MODULE": "graphite.settings"}
        self._log = (folder / "output").open("wb")
        self._processes = [
            subprocess.Popen(command, env={**kept, **more}, stdout=self._log, stderr=self._log)
            for command, more in (
                ([PYTHON, carbon, f"--config={folder}/carbon.conf", f"--pidfile={folder}/carbon.pid", "--nodaemon", "start"], {}),
                ([PYTHON, str(folder / "serve.py"), str(web)], web_settings),
            )
        ]
        try:
            wait_until(self._ready, 60, lambda: (folder / "output").read_text(errors="replace")[-2000:])
        except BaseException:
            self.close()
            raise

    def _ready(self) -> bool:
        assert all(process.poll() is None for process in self._processes), "Graphite ended by itself"
        try:
            with (
                urllib.request.urlopen(f"{self.url}/render?target=constantLine(1)&format=json", timeout=30),
                socket.create_connection(("127.0.0.1", self.line), 30),
            ):
                return True
        except OSError:
            return False

    def send(self, points: dict[str, list[float | None]]) -> None:
        """For each name its points, one a second, the last of them now; None leaves a hole."""
        now = int(time.time())
        lines = "".join(
            f"{name} {value} {now - len(values) + 1 + index}\n" for name, values in points.items() for index, value in enumerate(values) if value is not None
        )
        with socket.create_connection(("127.0.0.1", self.line), 60) as sock:
            sock.sendall(lines.encode())

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        self._log.close()
