# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP client against a server that lies, drips, redirects and bombs."""

from __future__ import annotations

import gzip
import socket
import ssl
import subprocess
import threading
import zlib
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.web import CONNECTION, MAX_BYTES, Auth, connection, fetch, forbidden, parse
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.tests.contract.scripted_server import ScriptedServer, reply
from ansible_collections.progressive.delivery.tests.ports import closed_port

PATIENT: dict[str, Any] = {"connect_timeout": 60.0, "read_timeout": 60.0}
"""On a machine that stands still for a moment an answer is late, which is not what these tests are about."""


@pytest.fixture
def server():
    with ScriptedServer() as running:
        yield running


def test_a_plain_answer(server: ScriptedServer) -> None:
    server.reply = reply("hello", content_type="text/plain")
    got = fetch(f"{server.url}/a/b?c=d#e", headers={"X-One": "1"}, auth=Auth(token="t0ken"))
    assert (got.status, got.body, got.headers["content-type"]) == (200, b"hello", "text/plain")
    [request] = server.requests
    assert (request.method, request.target, request.headers["host"]) == ("GET", "/a/b?c=d", f"127.0.0.1:{server.port}")
    assert (request.headers["authorization"], request.headers["x-one"], request.headers["connection"]) == ("Bearer t0ken", "1", "close")


def test_a_body_and_basic_authentication(server: ScriptedServer) -> None:
    server.reply = reply("", "204 No Content")
    assert fetch(server.url, method="POST", body=b'{"a": 1}', auth=Auth("ann", "pa:ss")).status == 204
    assert (server.requests[0].body, server.requests[0].target) == (b'{"a": 1}', "/")
    assert server.requests[0].headers["authorization"] == "Basic YW5uOnBhOnNz"


def test_an_error_page_is_an_answer(server: ScriptedServer) -> None:
    server.reply = reply("busy", "503 Service Unavailable", retry_after="30")
    got = fetch(server.url)
    assert (got.status, got.headers["retry-after"]) == (503, "30")


def test_gzip_and_chunks(server: ScriptedServer) -> None:
    server.reply = reply(gzip.compress(b"x" * 1000, mtime=0), content_encoding="gzip")
    assert fetch(server.url).body == b"x" * 1000
    server.reply = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    assert fetch(server.url).body == b"abcde"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "closed connection without response"),
        (b"\x00\x01\x02\x03", "not whole or not HTTP"),
        (b"HTTP/1.1 abc\r\n\r\n", "not whole or not HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 500 + b"\r\n", "not whole or not HTTP"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70000 + b"\r\n\r\n", "not whole or not HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", "cut off after 3 of 10"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: \xb2\r\n\r\nabc", "a length that none can have"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: " + b"9" * 5000 + b"\r\n\r\nabc", "a length that none can have"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\nabc", "not whole or not HTTP"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nabc", "not whole or not HTTP"),
        (reply(b"x" * 5000), "larger than 4096"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000, "larger than 4096"),
        (reply(gzip.compress(b"\x00" * 10_000_000, mtime=0), content_encoding="gzip"), "larger than 4096"),
        (reply(gzip.compress(b"\x00" * 1_000_000, mtime=0), content_encoding="gzip"), "unpacks to more than 4096"),
        (reply(b"not gzip", content_encoding="gzip"), "is not"),
        (reply(gzip.compress(b"x" * 100, mtime=0)[:-9], content_encoding="gzip"), "cut off"),
        (reply(zlib.compress(b"x"), content_encoding="deflate"), "not asked for"),
        (reply(b"x", content_encoding="br"), "not asked for"),
    ],
)
def test_half_an_answer_is_none(server: ScriptedServer, answer: bytes, message: str) -> None:
    server.reply = answer
    with pytest.raises(Unavailable, match=message):
        fetch(server.url, max_bytes=4096, **PATIENT)


def test_the_size_limit_is_four_mebibytes(server: ScriptedServer) -> None:
    server.reply = reply(b"x" * MAX_BYTES)
    assert len(fetch(server.url, **PATIENT).body) == MAX_BYTES
    server.reply = reply(b"x" * (MAX_BYTES + 1))
    with pytest.raises(Unavailable, match="larger than 4194304"):
        fetch(server.url, **PATIENT)


def test_a_drip_has_a_deadline() -> None:
    ended = threading.Event()

    def drip(sock: socket.socket) -> None:
        connected, _peer = sock.accept()
        with connected:
            connected.recv(65536)
            connected.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
            while not ended.wait(0.02):
                try:
                    connected.sendall(b"x")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,))
        thread.start()
        try:
            with pytest.raises(Unavailable, match="no answer in time"):
                fetch(f"http://127.0.0.1:{listener.getsockname()[1]}", read_timeout=0.3)
        finally:
            ended.set()
            thread.join()


def test_a_body_that_comes_after_its_head_on_a_connection_that_closes() -> None:
    """``http.client`` closes what it was given as soon as it reads ``Connection: close``; the body must still be read."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        read = threading.Event()

        def serve() -> None:
            link, _peer = listening.accept()
            with link:
                link.recv(65536)
                link.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\n")
                read.wait(0.2)
                link.sendall(b"later")

        server = threading.Thread(target=serve)
        server.start()
        try:
            assert fetch(f"http://127.0.0.1:{listening.getsockname()[1]}/", **PATIENT).body == b"later"
        finally:
            read.set()
            server.join()


def test_silence_has_a_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(Unavailable, match="no answer in time"):
        fetch(f"http://127.0.0.1:{listener.getsockname()[1]}", read_timeout=0.2)


def test_nobody_listens() -> None:
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1: Connection refused"):
        fetch(f"http://127.0.0.1:{closed_port()}/secret-path?token=secret", **PATIENT)


def test_a_name_that_does_not_exist() -> None:
    with pytest.raises(Unavailable, match="cannot be resolved"):
        fetch("http://no-such-host.invalid/", **PATIENT)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "gopher://127.0.0.1/", "ftp://127.0.0.1/", "//127.0.0.1/", "127.0.0.1", "", "http://", "http:///x", "https://?x",
        "http://user:secret@127.0.0.1/", "http://user@127.0.0.1/", "http://127.0.0.1@169.254.169.254/", "http://127.0.0.1:99999/", "http://127.0.0.1:x/",
        "http://127.0.0.1/a b", "http://127.0.0.1/\r\nHost: x", "http://127.0.0.1/\x00", "http://127.0.0.1\\@evil/", "http://[::1/", "http://\u0661/",
        "javascript:alert(1)", "data:text/plain,1", "unix:///run/x.sock", "HTTP+UNIX://x",
    ],
)
def test_urls_refused(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        fetch(url, **PATIENT)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "host",
    ["169.254.169.254", "169.254.1.1", "2852039166", "0xa9fea9fe", "169.16689662", "[::ffff:169.254.169.254]", "[fe80::1]", "[fe80::1%25lo]", "[fd00:ec2::254]",
     "[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::1]", "[::169.254.169.254]", "100.100.100.200"],
)
def test_metadata_addresses_are_refused(host: str) -> None:
    with pytest.raises((ConfigError, Unavailable)) as caught:
        fetch(f"http://{host}/latest/meta-data/", **PATIENT)
    assert "metadata" in str(caught.value) or "cannot be resolved" in str(caught.value)


def test_a_name_that_leads_to_metadata(monkeypatch: pytest.MonkeyPatch, server: ScriptedServer) -> None:
    answers = [("127.0.0.1", server.port), ("169.254.169.254", server.port)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", answer) for answer in answers])
    with pytest.raises(ConfigError, match=r"rebind\.test is 169\.254\.169\.254"):
        fetch("http://rebind.test/", **PATIENT)
    assert server.requests == []


def test_a_name_is_resolved_once(monkeypatch: pytest.MonkeyPatch, server: ScriptedServer) -> None:
    resolved = []
    server.reply = reply("ok")

    def resolve(host: str, *_a: object, **_k: object) -> list[Any]:
        resolved.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1" if len(resolved) == 1 else "169.254.169.254", server.port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert fetch("http://shop.test/", **PATIENT).body == b"ok"
    assert (resolved, server.requests[0].headers["host"]) == (["shop.test"], "shop.test")


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "::1", "fd12:3456::1", "8.8.8.8", "2001:db8::1", "::ffff:10.0.0.1"])
def test_loopback_private_and_public_are_allowed(address: str) -> None:
    assert not forbidden(address)


def test_redirects_on_the_same_origin(server: ScriptedServer) -> None:
    server.reply = lambda request: reply("there") if request.target == "/b?x=1" else reply("", "302 Found", location="/b?x=1")
    assert fetch(f"{server.url}/a").body == b"there"
    server.reply = reply("", "302 Found", location="/again")
    server.requests.clear()
    with pytest.raises(Unavailable, match="more than 3 redirects"):
        fetch(f"{server.url}/a")
    assert len(server.requests) == 4


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("http://169.254.169.254/", "another origin"),
        ("http://localhost:1/", "another origin"),
        ("https://127.0.0.1/", "another origin"),
        ("//evil.test/login", "another origin"),
        ("file:///etc/passwd", "not allowed"),
        ("http://u:p@127.0.0.1/", "not allowed"),
    ],
)
def test_redirects_elsewhere(server: ScriptedServer, location: str, message: str) -> None:
    server.reply = reply("", "302 Found", location=location)
    with pytest.raises(Unavailable, match=message):
        fetch(server.url, auth=Auth(token="secret"))
    assert len(server.requests) == 1


def test_a_post_is_never_redirected(server: ScriptedServer) -> None:
    server.reply = reply("", "307 Temporary Redirect", location="/b")
    with pytest.raises(Unavailable, match="nothing was sent"):
        fetch(server.url, method="POST", body=b"x")


@pytest.mark.parametrize(
    ("allow", "allowed"),
    [((), True), (("127.0.0.1",), True), (("127.*",), True), (("*.example.com",), False), (("a", "127.0.0.1:80"), False), (("127.0.0.1:8080",), True)],
)
def test_allow(allow: tuple[str, ...], allowed: bool) -> None:
    if allowed:
        assert parse("http://127.0.0.1:8080/", allow).host == "127.0.0.1"
    else:
        with pytest.raises(ConfigError, match=r"127\.0\.0\.1:8080 are not allowed"):
            parse("http://127.0.0.1:8080/", allow)


@pytest.mark.parametrize("headers", [{"X": "a\r\nY: b"}, {"X\r\nY": "a"}, {"": "x"}, {"X y": "z"}])
def test_headers_cannot_smuggle(server: ScriptedServer, headers: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        fetch(server.url, headers=headers)
    assert server.requests == []


def test_secrets_stay_out_of_messages(server: ScriptedServer) -> None:
    planted = "pl4nted"
    for answer in (b"", reply("", "302 Found", location=f"http://evil.test/{planted}"), b"HTTP/1.1 " + planted.encode() + b"\r\n\r\n"):
        server.reply = answer
        with pytest.raises(Unavailable) as caught:
            fetch(f"{server.url}/{planted}?key={planted}", headers={"X-Key": planted}, auth=Auth("ann", planted), body=planted.encode(), method="GET")
        assert planted not in str(caught.value)
        assert planted not in repr(caught.value)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    extensions = ["subjectAltName=DNS:shop.test", "keyUsage=critical,keyCertSign,digitalSignature", "basicConstraints=critical,CA:TRUE"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=shop.test"]
    subprocess.run([*map(str, command), *(part for text in extensions for part in ("-addext", text))], check=True, capture_output=True)
    return cert, key


def test_tls(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with ScriptedServer(reply("ok"), tls=context) as server:
        with pytest.raises(Unavailable, match=r"not trusted: self.signed certificate"):
            fetch(server.url, **PATIENT)
        with pytest.raises(Unavailable, match="not trusted: IP address mismatch"):
            fetch(server.url, ca_path=str(certificate[0]), **PATIENT)
        assert fetch(server.url, verify=False, **PATIENT).body == b"ok"
        with pytest.raises(ConfigError, match="certificate file cannot be used: No such file"):
            fetch(server.url, ca_path="/nowhere", **PATIENT)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))])
        got = fetch("https://shop.test/", ca_path=str(certificate[0]), client_cert=(str(certificate[0]), str(certificate[1])), **PATIENT)
        assert (got.body, server.requests[-1].headers["host"]) == (b"ok", "shop.test")
    with ScriptedServer(reply("ok")) as server, pytest.raises(Unavailable, match="no connection"):
        fetch(server.url.replace("http:", "https:"), connect_timeout=2.0)  # each waits for the other to say something


def test_connection_options(server: ScriptedServer) -> None:
    server.reply = reply("ok")
    options = validate({"token": "t", "headers": {"X-Scope": 7}, "timeout": "3s", "url_allow": ["127.0.0.1"]}, CONNECTION, "web")
    assert fetch(server.url, **connection(options)).body == b"ok"
    assert server.requests[0].headers["x-scope"] == "7"
    assert connection(validate({}, CONNECTION, "web"))["auth"] is None
    for wrong in ({"token": "t", "username": "u", "password": "p"}, {"username": "u"}, {"password": "p"}):
        with pytest.raises(ConfigError):
            connection(wrong)


def test_the_limit_of_the_release_holds_beside_the_providers_own() -> None:
    assert parse("http://shop.test/", ["*.test"], ["shop.*"]).host == "shop.test"
    refused = ((["*.test"], ["other"], r"\(rollout_url_allow\)"), (["other"], ["shop.*"], r"\(url_allow\)"), ([], ["other"], "Allowed: other"))
    for own, release, option in refused:
        with pytest.raises(ConfigError, match=option):
            parse("http://shop.test/", own, release)
