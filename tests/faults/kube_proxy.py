# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A proxy of our own before a real API server: it passes requests on, spoils those that a rule names, and keeps a log of all of them.

Clients speak plain HTTP to it, or TLS where a context is given. Who they are goes on to the server: their token, or, for those that have
none, the kubeconfig's own client certificate.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_link import _load_pair
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_login import Proof
from ansible_collections.progressive.delivery.tests.unit.kube_server import HANG_UP, RESET, ApiServer, Reply, Seen, status

WRITES = ("POST", "PUT", "PATCH", "DELETE")
LONGEST = 30.0
"""Seconds after which a held request is let go, whatever the test forgot."""
HOP_BY_HOP = ("transfer-encoding", "connection", "content-length", "keep-alive")


@dataclass
class Exchange:
    """A line of the log. ``fault`` names what was done to it; ``status`` is 0 where no answer was given. Times are monotonic seconds."""

    method: str
    path: str
    query: dict[str, str]
    body: bytes
    begun: float
    connection: int
    status: int = 0
    fault: str = ""
    reached: bool = False
    """Whether the server got it."""
    ended: float = field(default=0.0)

    @property
    def writes(self) -> bool:
        """Whether it may change something: a question about rights is none, and a dry run is none."""
        return self.method in WRITES and "dryRun" not in self.query and "accessreviews" not in self.path

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else {}

    @property
    def object(self) -> str:
        """The last part of the path: an object's name, or the plural that it is made in."""
        return self.path.rpartition("/")[2]


Fault = Callable[["KubeProxy", Exchange, Callable[[], Reply]], Reply]
"""Gives the answer to one request; calls what passes it on, or does not."""
Rule = Callable[[Exchange], Optional[Fault]]
"""The fault for a request, or None."""


class KubeProxy:
    """Use as a context manager. ``rules`` may be changed at any time; the first that gives a fault decides."""

    def __init__(self, kubeconfig: Path, tls: Optional[ssl.SSLContext] = None) -> None:
        config = json.loads(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        parts = urllib.parse.urlsplit(cluster["server"])
        self._address = (parts.hostname or "", parts.port or 443)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._tls.load_verify_locations(cafile=cluster.get("certificate-authority"), cadata=_decoded(cluster, "certificate-authority-data"))
        self._own = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._own.load_verify_locations(cafile=cluster.get("certificate-authority"), cadata=_decoded(cluster, "certificate-authority-data"))
        if "client-certificate" in user or "client-certificate-data" in user:
            _load_pair(self._own, Proof(cert=_pem(user, "client-certificate"), key=_pem(user, "client-key")), "proxy")
        self.rules: list[Rule] = []
        self.log: list[Exchange] = []
        self.stop = threading.Event()
        self._lock = threading.Lock()
        self._server = ApiServer(self._answer, tls)
        self.url = self._server.url

    def __enter__(self) -> KubeProxy:
        self._server.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop.set()
        self._server.__exit__(*error)

    def kubeconfig(self, folder: Path, like: Optional[Path] = None, name: str = "proxied") -> Path:
        """A kubeconfig that leads here; ``like``: one whose user and namespace it has."""
        config = json.loads(like.read_text()) if like else {"users": [{"name": "u", "user": {}}]}
        config = {**config, "apiVersion": "v1", "kind": "Config", "current-context": "c", "clusters": [{"name": "k", "cluster": {"server": self.url}}]}
        context = (config.get("contexts") or [{"context": {}}])[0]["context"]
        config["contexts"] = [{"name": "c", "context": {**context, "cluster": "k", "user": config["users"][0]["name"]}}]
        path = folder / f"{name}.kubeconfig"
        path.write_text(json.dumps(config))
        return path

    def change_tls(self, tls: ssl.SSLContext) -> None:
        """Show another certificate on new connections."""
        self._server._server.tls = tls

    def seen(self, method: str = "", **wanted: Any) -> list[Exchange]:
        """Requests of the log by method and attributes."""
        return [each for each in list(self.log) if method in ("", each.method) and all(getattr(each, name) == value for name, value in wanted.items())]

    @property
    def writes(self) -> list[Exchange]:
        return [each for each in list(self.log) if each.writes]

    def _answer(self, seen: Seen) -> Reply:
        path, _mark, query = seen.path.partition("?")
        entry = Exchange(seen.method, path, dict(urllib.parse.parse_qsl(query)), seen.body, time.monotonic(), seen.connection)
        with self._lock:
            self.log.append(entry)
            fault = next((found for rule in self.rules if (found := rule(entry)) is not None), None)

        def pass_on() -> Reply:
            entry.reached = True
            return self._passed(seen, "watch" in entry.query)

        reply = pass_on() if fault is None else fault(self, entry, pass_on)
        entry.status, entry.ended = max(0, reply.status), time.monotonic()
        return reply

    def _passed(self, seen: Seen, watch: bool) -> Reply:
        """The server's answer. One that is away is told as it is: the connection ends."""
        token = bool(seen.header("Authorization"))
        server = http.client.HTTPSConnection(*self._address, timeout=15, context=self._tls if token else self._own)
        headers = {name: value for name, value in seen.headers if name.lower() not in (*HOP_BY_HOP, "host")}
        try:
            server.request(seen.method, seen.path, seen.body or None, headers)
            answer = server.getresponse()
            told = {name: value for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP}
            if watch and answer.status < 300:
                return Reply(_pieces(server, answer), answer.status, told)
            body = answer.read()
        except (OSError, http.client.HTTPException):
            server.close()
            return HANG_UP
        server.close()
        return Reply(body, answer.status, told)


def _pieces(server: http.client.HTTPSConnection, answer: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        yield from iter(answer.readline, b"")
    except (OSError, http.client.HTTPException):
        return
    finally:
        server.close()


def _decoded(of: dict[str, Any], name: str) -> Optional[str]:
    return base64.b64decode(of[name]).decode() if name in of else None


def _pem(user: dict[str, Any], name: str) -> bytes:
    return base64.b64decode(user[f"{name}-data"]) if f"{name}-data" in user else Path(user[name]).read_bytes()


# Faults


def answered(code: int, reason: str = "", message: str = "spoiled by the test", **headers: str) -> Fault:
    """This answer in place of the server's, which is not asked."""

    def fault(_proxy: KubeProxy, entry: Exchange, _pass_on: Callable[[], Reply]) -> Reply:
        entry.fault = str(code)
        made = status(code, reason, message)
        return Reply(made.body, code, {name.replace("_", "-"): value for name, value in headers.items()})

    return fault


def cut_before(_proxy: KubeProxy, entry: Exchange, _pass_on: Callable[[], Reply]) -> Reply:
    """Connection reset, and the server knows nothing of the request."""
    entry.fault = "cut before"
    return RESET


def cut_after(_proxy: KubeProxy, entry: Exchange, pass_on: Callable[[], Reply]) -> Reply:
    """Connection reset after the server did what was asked: the answer is lost."""
    entry.fault = "cut after"
    pass_on()
    return RESET


def silent(proxy: KubeProxy, entry: Exchange, _pass_on: Callable[[], Reply]) -> Reply:
    """Connected, and not one byte."""
    entry.fault = "silent"
    proxy.stop.wait(LONGEST)
    return HANG_UP


def held(until: threading.Event) -> Fault:
    """Passed on only then, though the client may have gone meanwhile: a write that arrives late."""

    def fault(_proxy: KubeProxy, entry: Exchange, pass_on: Callable[[], Reply]) -> Reply:
        entry.fault = "held"
        until.wait(LONGEST)
        return pass_on()

    return fault


def doing(act: Callable[[], object], *, after: bool = False) -> Fault:
    """``act`` is done before the request is passed on, or between the server's answer and its way back."""

    def fault(_proxy: KubeProxy, entry: Exchange, pass_on: Callable[[], Reply]) -> Reply:
        entry.fault = "acted on"
        if not after:
            act()
        reply = pass_on()
        if after:
            act()
        return reply

    return fault


# Rules


def when(fits: Callable[[Exchange], bool], fault: Fault, times: Optional[int] = None) -> Rule:
    """The fault for requests that fit; only for the first ``times`` of them."""
    left = [times]

    def rule(entry: Exchange) -> Optional[Fault]:
        if not fits(entry) or left[0] == 0:
            return None
        left[0] = None if left[0] is None else left[0] - 1
        return fault

    return rule


def every_other_write(fault: Fault) -> Rule:
    """The fault for the first try of every write, object by object; what is there to be made is left alone."""
    spoiled: set[str] = set()

    def rule(entry: Exchange) -> Optional[Fault]:
        if not entry.writes or entry.method == "POST":
            return None
        spoiled.symmetric_difference_update({entry.path})
        return fault if entry.path in spoiled else None

    return rule
