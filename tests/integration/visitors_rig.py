# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""People who visit a shop and buy, as often as the version that they see makes them."""

from __future__ import annotations

import http.server
import json
import random
import threading
import urllib.parse
import urllib.request
from collections import Counter

BUYS = {"1": 0.2, "2": 0.45, "3": 0.45}
"""How many of its visitors each version makes buy."""


class Visitors:
    """People who come through the load balancer all the time, and the service that counts them: ``/counts?version=2``, and ``/metrics`` for Prometheus."""

    def __init__(self, url: str, seed: int = 7, *, cookie: str = "", names: tuple[str, str] = ("came", "bought"), labels: str = "") -> None:
        """``cookie``: each brings an id of its own in this one. ``names`` of the two counters of ``/metrics``, and what ``labels`` they have besides."""
        self.url, self.random, self.cookie, self.names, self.labels = url, random.Random(seed), cookie, names, labels
        self.came: Counter[str] = Counter()
        self.bought: Counter[str] = Counter()
        self.lost = 0
        self._over, self._lock = threading.Event(), threading.Lock()
        visitors = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = urllib.parse.urlsplit(self.path)
                with visitors._lock:
                    if asked.path == "/metrics":
                        body, kind = visitors.exposition().encode(), "text/plain; version=0.0.4"
                    else:
                        version = urllib.parse.parse_qs(asked.query)["version"][0]
                        body, kind = json.dumps({"came": visitors.came[version], "bought": visitors.bought[version]}).encode(), "application/json"
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: object) -> None:
                """Nobody reads it."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.threads = [threading.Thread(target=self.server.serve_forever), threading.Thread(target=self._visit)]
        for thread in self.threads:
            thread.start()

    @property
    def counts(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/counts?version=${{version}}"

    def exposition(self) -> str:
        """Who has not come yet has no series, as with most client libraries."""
        counted = zip(self.names, (self.came, self.bought))
        lines = [f'{name}_total{{version="{version}"{self.labels}}} {count}' for name, counts in counted for version, count in sorted(counts.items()) if count]
        return "\n".join([*lines, ""])

    def _visit(self) -> None:
        while not self._over.wait(0.005):
            headers = {"Cookie": f"{self.cookie}=user-{self.random.getrandbits(64)}"} if self.cookie else {}
            try:
                with urllib.request.urlopen(urllib.request.Request(self.url, headers=headers), timeout=120) as reply:
                    version = str(json.loads(reply.read())["version"])
            except (OSError, ValueError):
                self.lost += 1
                continue
            with self._lock:
                self.came[version] += 1
                self.bought[version] += self.random.random() < BUYS[version]

    def close(self) -> None:
        self._over.set()
        self.server.shutdown()
        for thread in self.threads:
            thread.join()
        self.server.server_close()
