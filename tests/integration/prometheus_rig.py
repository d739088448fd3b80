# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Prometheus server that scrapes two tracks of a made-up shop every second, or that holds a past which was written into it."""

from __future__ import annotations

import http.server
import json
import pathlib
import shutil
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.progressive.delivery.tests.ports import free_port
from ansible_collections.progressive.delivery.tests.waiting import wait_until

BUCKETS = (0.01, 0.05, 0.1, 0.5, 1.0)


@dataclass
class Traffic:
    """What a track serves: requests a second, the share that fails, and how long each takes (seconds)."""

    rate: float = 100.0
    failing: float = 0.0
    seconds: float = 0.03
    since: float = field(default_factory=time.monotonic)

    def lines(self, labels: str) -> str:
        total = int(self.rate * (time.monotonic() - self.since))  # from 0: what a counter begins with after a reset counts as requests
        bad = int(total * self.failing)
        text = f'http_requests_total{{{labels},code="200"}} {total - bad}\n'
        if self.failing:
            text += f'http_requests_total{{{labels},code="503"}} {bad}\n'
        for bound in BUCKETS:
            text += f'http_request_duration_seconds_bucket{{{labels},le="{bound}"}} {total if self.seconds <= bound else 0}\n'
        text += f'http_request_duration_seconds_bucket{{{labels},le="+Inf"}} {total}\n'
        return text + f"http_request_duration_seconds_count{{{labels}}} {total}\nhttp_request_duration_seconds_sum{{{labels}}} {total * self.seconds}\n"


class Exporter:
    """``/stable`` and ``/canary`` in the exposition format. A track that is None answers 503: its target is down."""

    def __init__(self) -> None:
        self.tracks: dict[str, Traffic | None] = {"stable": Traffic(), "canary": Traffic()}
        exporter = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                track = exporter.tracks.get(self.path.strip("/"))
                body = track.lines('job_name="shop"').encode() if track else b""
                self.send_response(200 if track else 503)
                self.send_header("content-type", "text/plain; version=0.0.4")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args: object) -> None:
                """Quiet."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Prometheus:
    """The server as a child process, its data in ``folder``.

    ``history``: what it holds from before, in OpenMetrics. ``web``: its web.config, with which ``ready`` is how it is reached.
    """

    def __init__(self, folder: pathlib.Path, exporter: Exporter | None = None, *, history: str = "", web: dict[str, Any] | None = None,
                 ready: Callable[[str], bool] | None = None) -> None:
        binary = shutil.which("prometheus")
        assert binary, "the program prometheus is not installed (Debian: apt-get install prometheus)"
        jobs = [
            {"job_name": track, "scrape_interval": "1s", "scrape_timeout": "1s", "metrics_path": f"/{track}",
             "static_configs": [{"targets": [f"127.0.0.1:{exporter.port}"], "labels": {"track": track}}]}
            for track in exporter.tracks
        ] if exporter else []  # fmt: skip
        if history:
            backfill(folder, history)
        more = []
        if web:
            (folder / "web.yml").write_text(json.dumps(web))
            more = [f"--web.config.file={folder}/web.yml"]
        (folder / "prometheus.yml").write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}))
        self.port = free_port()
        self.url = f"{'https' if web and 'tls_server_config' in web else 'http'}://127.0.0.1:{self.port}"
        self._asked = ready
        self._log = (folder / "log").open("wb")
        self.process = subprocess.Popen(
            [binary, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{self.port}",
             "--storage.tsdb.retention.time=10y", *more],
            stdout=self._log, stderr=self._log,
        )  # fmt: skip
        wait_until(self._ready, 60, lambda: (folder / "log").read_text()[-2000:])

    def _ready(self) -> bool:
        assert self.process.poll() is None, "prometheus ended by itself"
        if self._asked:
            return self._asked(self.url)
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=30) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._log.close()


def backfill(folder: pathlib.Path, history: str) -> None:
    """Write OpenMetrics as blocks into the data of a server that is to start in ``folder``."""
    binary = shutil.which("promtool")
    assert binary, "the program promtool is not installed (Debian: apt-get install prometheus)"
    (folder / "history.om").write_text(history + "# EOF\n")
    command = [binary, "tsdb", "create-blocks-from", "openmetrics", f"{folder}/history.om", f"{folder}/data"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
