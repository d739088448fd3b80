# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways into a real Prometheus: basic authentication, TLS with client certificates, and a proxy before it that wants a token and a tenant."""

from __future__ import annotations

import base64
import http.server
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, DeliveryError, Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Series, Window
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.metrics.prometheus import PrometheusProvider
from ansible_collections.progressive.delivery.tests.integration.prometheus_rig import Prometheus

USER, PASSWORD = "watcher", "s3cret"
HASH = "$2b$04$8SU55G4P.p7mRXPYZA4JKe9Cpb0TXUW9pekZnGXNVg7Rkl6HLIUNa"
"""bcrypt of the password, as web.config wants it."""
TOKEN = "a-token-of-the-tests"


class Pki:
    """An authority, a certificate of the server, one of the client, and one of a client that nobody knows."""

    def __init__(self, folder: Path) -> None:
        self.ca, ca_key = self._signed(folder, "ca", extensions=["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"])
        self.server = self._signed(folder, "server", (self.ca, ca_key), ["subjectAltName=IP:127.0.0.1"])
        self.client = self._signed(folder, "client", (self.ca, ca_key), ["extendedKeyUsage=clientAuth"])
        self.stranger = self._signed(folder, "stranger", extensions=["extendedKeyUsage=clientAuth"])

    @staticmethod
    def _signed(folder: Path, name: str, issuer: tuple[Path, Path] | None = None, extensions: list[str] | None = None) -> tuple[Path, Path]:
        cert, key = folder / f"{name}.pem", folder / f"{name}.key"
        by = ["-CA", str(issuer[0]), "-CAkey", str(issuer[1])] if issuer else []
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}.test"]
        extra = [part for text in extensions or [] for part in ("-addext", text)]
        done = subprocess.run([*command, "-keyout", str(key), "-out", str(cert), *by, *extra], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return cert, key


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


def up(url: str, context: ssl.SSLContext | None = None) -> bool:
    credentials = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    request = urllib.request.Request(f"{url}/-/ready", headers={"Authorization": f"Basic {credentials}"})
    try:
        with urllib.request.urlopen(request, timeout=30, context=context) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    server = Prometheus(tmp_path_factory.mktemp("basic"), web={"basic_auth_users": {USER: HASH}}, ready=up)
    yield server
    server.close()


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> Iterator[Prometheus]:
    web = {
        "tls_server_config": {"cert_file": str(pki.server[0]), "key_file": str(pki.server[1]), "client_auth_type": "RequireAndVerifyClientCert",
                              "client_ca_file": str(pki.ca)},
        "basic_auth_users": {USER: HASH},
    }  # fmt: skip
    context = ssl.create_default_context(cafile=str(pki.ca))
    context.load_cert_chain(*map(str, pki.client))
    server = Prometheus(tmp_path_factory.mktemp("mutual"), web=web, ready=lambda url: up(url, context))
    yield server
    server.close()


class Proxy:
    """Lets through whoever has the token and names the tenant, to the real server."""

    def __init__(self, behind: str) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                    return self._answer(401, b"no token", "text/plain")
                if self.headers.get("X-Scope-OrgID") != "shop":
                    return self._answer(401, b"no org id", "text/plain")
                try:
                    with urllib.request.urlopen(behind + self.path, timeout=120) as answer:
                        return self._answer(answer.status, answer.read(), answer.headers["content-type"])
                except urllib.error.HTTPError as error:
                    return self._answer(error.code, error.read(), error.headers["content-type"])

            def _answer(self, status: int, body: bytes, kind: str) -> None:
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args: object) -> None:
                """Quiet."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    server = Prometheus(tmp_path_factory.mktemp("plain"))
    proxy = Proxy(server.url)
    yield proxy
    proxy.close()
    server.close()


def provider(url: str, **options: Any) -> PrometheusProvider:
    given = validate({"url": url, "timeout": "2m", **options}, PrometheusProvider.OPTIONS, "prometheus")
    return PrometheusProvider.from_options(given, {})


def both(made: PrometheusProvider) -> list[Series]:
    """An instant and a range query."""
    now = time.time()
    made.probe()
    return [made.query("vector(1)", Window("canary", now - 60, now)), made.query("vector(1)", Window("canary", now - 60, now, resolution=5.0))]


def test_basic_authentication(guarded: Prometheus) -> None:
    for series in both(provider(guarded.url, username=USER, password=PASSWORD)):
        assert {point.value for point in series.samples[0].points} == {1.0}


@pytest.mark.parametrize("options", [{}, {"username": USER, "password": "wrong"}, {"token": TOKEN}])
def test_wrong_credentials(guarded: Prometheus, options: dict[str, Any]) -> None:
    with pytest.raises(Unavailable, match="HTTP 401") as caught:
        provider(guarded.url, **options).probe()
    assert "wrong" not in str(caught.value) and TOKEN not in str(caught.value)


def test_client_certificates(mutual: Prometheus, pki: Pki) -> None:
    made = provider(mutual.url, username=USER, password=PASSWORD, ca_path=str(pki.ca), client_cert=str(pki.client[0]), client_key=str(pki.client[1]))
    assert [len(series.samples) for series in both(made)] == [1, 1]


@pytest.mark.parametrize("leave_out", ["client_cert", "ca_path", "password", "stranger"])
def test_what_is_missing_of_tls(mutual: Prometheus, pki: Pki, leave_out: str) -> None:
    options = {"username": USER, "password": PASSWORD, "ca_path": str(pki.ca), "client_cert": str(pki.client[0]), "client_key": str(pki.client[1])}
    gone = {"client_cert": ("client_cert", "client_key"), "password": ("username", "password")}.get(leave_out, (leave_out,))
    left = {name: value for name, value in options.items() if name not in gone}
    if leave_out == "stranger":
        left.update(client_cert=str(pki.stranger[0]), client_key=str(pki.stranger[1]))
    with pytest.raises(Unavailable):
        provider(mutual.url, **left).probe()


def test_plain_http_to_a_tls_server(mutual: Prometheus) -> None:
    with pytest.raises(DeliveryError):
        provider(mutual.url.replace("https", "http"), username=USER, password=PASSWORD).probe()


def test_a_token_and_a_tenant(proxied: Proxy) -> None:
    assert [len(series.samples) for series in both(provider(proxied.url, token=TOKEN, headers={"X-Scope-OrgID": "shop"}))] == [1, 1]


@pytest.mark.parametrize("options", [{"token": TOKEN}, {"headers": {"X-Scope-OrgID": "shop"}}, {"token": "other", "headers": {"X-Scope-OrgID": "shop"}}])
def test_no_token_or_no_tenant(proxied: Proxy, options: dict[str, Any]) -> None:
    with pytest.raises(Unavailable, match="HTTP 401"):
        provider(proxied.url, **options).probe()


def test_a_refused_query_comes_through_a_proxy_as_such(proxied: Proxy) -> None:
    with pytest.raises(ConfigError, match="parse error"):
        provider(proxied.url, token=TOKEN, headers={"X-Scope-OrgID": "shop"}).query("up{", Window("canary", time.time() - 60, time.time()))
