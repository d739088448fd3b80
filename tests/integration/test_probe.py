# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The prober against real sockets on loopback: what each kind of answer, silence and refusal is called."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import ssl
import subprocess
import sys
import threading

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.http_stream import LONGEST_BODY
from ansible_collections.progressive.delivery.plugins.module_utils.clients.probe import Prober
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.core.health import CommandCheck, TcpCheck
from ansible_collections.progressive.delivery.plugins.module_utils.core.http_check import HttpCheck
from ansible_collections.progressive.delivery.plugins.module_utils.core.target import Target, targets_from
from ansible_collections.progressive.delivery.tests.ports import closed_port
from ansible_collections.progressive.delivery.tests.waiting import wait_until

LOCAL = targets_from({"web1": "127.0.0.1"})


@contextlib.contextmanager
def server(answer, tls=None, delay=0.0, linger=False):
    """A server that reads a request's head and sends ``answer`` (bytes, or made from the head); yields (port, requests seen)."""
    loop, requests, ready, port = asyncio.new_event_loop(), [], threading.Event(), []

    async def talk(reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            requests.append(head.decode())
            await asyncio.sleep(delay)
            writer.write(answer(head) if callable(answer) else answer)
            await writer.drain()
            if linger:
                await reader.read()
        writer.close()

    async def serve():
        listener = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=tls, backlog=2048)
        port.append(listener.sockets[0].getsockname()[1])

    def run():
        loop.run_until_complete(serve())
        loop.call_soon(ready.set)  # not before it runs for ever, or a quick stop would stop nothing
        loop.run_forever()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait()
    try:
        yield port[0], requests
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def ok(body=b"fine", more=b""):
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s" % (len(body), more, body)


def asked(check, targets=LOCAL, timeout=120.0, **more):
    [attempt] = Prober(check, timeout, **more)(targets).values()
    return attempt


def http(port, path="/health", scheme="http", **more):
    return HttpCheck(f"{scheme}://${{address}}:{port}{path}", **more)


def in_the_end(said, check):
    """A busy machine may not even connect within so little, and says that: asked again, it says what is the matter."""
    wait_until(lambda: asked(check, timeout=0.3).detail == said, says=lambda: asked(check, timeout=0.3).detail)


# --- HTTP ------------------------------------------------------------------------------------------------------------


def test_a_healthy_answer_and_what_was_sent():
    with server(ok(b'{"status": "UP"}')) as (port, requests):
        check = http(port, "/health check?a=b c&d=\u00e9", json_path="status", json_equals="UP", headers={"X-Host": "${host}", "user-agent": "mine"})
        attempt = asked(check)
    assert (attempt.ok, attempt.detail) == (True, "200 OK")
    assert attempt.seconds > 0
    first, *headers = requests[0].splitlines()
    assert first == "GET /health%20check?a=b%20c&d=%C3%A9 HTTP/1.1"
    assert headers == [f"Host: 127.0.0.1:{port}", "Accept: */*", "X-Host: web1", "user-agent: mine", "Connection: close", ""]


@pytest.mark.parametrize(
    "answer, body",
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine", b"fine"),
        (b"HTTP/1.0 200 OK\r\n\r\nfine", b"fine"),
        (b"HTTP/1.1 200 \r\n\r\nfine", b"fine"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nfi\r\n2;x=y\r\nne\r\n0\r\n\r\n", b"fine"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine", b"fine"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\nfine" + b"x" * LONGEST_BODY, b"fine"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\nfine" + b"x" * LONGEST_BODY, b"fine"),
    ],
)
def test_bodies_in_every_framing(answer, body):
    with server(answer) as (port, _requests):
        assert asked(http(port, body_contains=body.decode())).detail in ("200 OK", "200")


def test_an_answer_is_taken_as_soon_as_it_is_complete():
    with server(ok(), linger=True) as (port, _requests):
        assert asked(http(port), timeout=120).ok


@pytest.mark.parametrize(
    "answer, said",
    [
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 7\r\n\r\nwarming", "503 Service Unavailable: 'warming'"),
        (b"HTTP/1.1 302 Found\r\nLocation: https://sso.example/\r\nContent-Length: 0\r\n\r\n", "302 Found"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "204 No Content"),
        (b"", "the connection was closed without an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "the answer ended in its head"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\nfine", "the answer was cut off in its body"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\nfine", "the length of the body is '-4'"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfi", "the answer was cut off in its body"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfine\r\n", "not chunked"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "the answer is not HTTP: 'SSH-2.0-OpenSSH_9.2"),
        (b"HTTP/2 200 OK\r\n\r\n", "the answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 200_000 + b"\r\n\r\n", "longer than 64 KiB"),
        (b"\x00" * 200_000, "longer than 64 KiB, or the answer is not HTTP"),
    ],
)
def test_every_other_answer_has_its_name(answer, said):
    with server(answer) as (port, _requests):
        attempt = asked(http(port))
    assert not attempt.ok
    assert said in attempt.detail
    assert attempt.detail.isprintable()


def test_silence_has_its_name():
    with server(ok(), delay=30) as (port, _requests):
        in_the_end("connected, but no complete answer came within 300 ms", http(port))
    with server(b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\nfine", linger=True) as (port, _requests):
        in_the_end("connected, but no complete answer came within 300 ms", http(port))


def test_nobody_there():
    assert asked(http(closed_port())).detail == "connection refused"


def test_a_name_that_nobody_knows():
    attempt = asked(HttpCheck("http://nobody.invalid/"))
    assert "the name nobody.invalid could not be resolved" in attempt.detail


def test_the_first_address_of_a_name_that_answers_is_taken(monkeypatch):
    with server(ok()) as (port, _requests):
        found = [(socket.AF_INET6, 1, 6, "", ("::1", port, 0, 0)), (socket.AF_INET, 1, 6, "", ("127.0.0.1", port))]
        calls = []
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: calls.append(args) or found)
        targets = [Target(f"web{number}", "127.0.0.1") for number in range(20)]
        answers = Prober(HttpCheck(f"http://shop.example:{port}/"), 120)(targets)
    assert all(attempt.ok for attempt in answers.values())
    assert len([args for args in calls if args[0] == "shop.example"]) == 1


# --- whom not to ask -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1", "::ffff:169.254.169.254", "100.100.100.200", "fd00:ec2::254"])
def test_link_local_and_metadata_addresses_are_never_connected_to(address, monkeypatch):
    monkeypatch.setattr(asyncio, "open_connection", lambda *args, **kwargs: pytest.fail("connected"))
    for check in (HttpCheck("http://${address}/"), TcpCheck(80)):
        assert "never asked" in asked(check, [Target("web1", address)]).detail


def test_a_name_that_leads_there_is_refused_too(monkeypatch):
    monkeypatch.setattr(asyncio, "open_connection", lambda *args, **kwargs: pytest.fail("connected"))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: [(socket.AF_INET, 1, 6, "", ("169.254.169.254", 80))])
    assert "169.254.169.254 is a link-local or metadata address" in asked(HttpCheck("http://innocent.example/")).detail


def test_only_the_hosts_that_are_allowed():
    with server(ok()) as (port, _requests):
        assert asked(http(port), allow=["127.0.0.*"]).ok
        assert asked(http(port), allow=[f"127.0.0.1:{port}"]).ok
        assert "not among the hosts" in asked(http(port), allow=["*.shop.example"]).detail


def test_a_target_cannot_change_where_the_url_leads():
    with server(ok()) as (port, requests):
        attempt = asked(http(port), [Target("web1", "x@127.0.0.1")])
    assert "no address that may be asked" in attempt.detail
    assert requests == []


# --- TLS -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=shop.example", "-keyout", folder / "key.pem"]
    names = ["-addext", "subjectAltName=DNS:shop.example", "-addext", "keyUsage=keyCertSign,digitalSignature"]
    subprocess.run([*command, "-out", folder / "cert.pem", *names], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context, str(folder / "cert.pem")


def test_tls_is_verified_by_the_host_header(certificate):
    context, authority = certificate
    with server(ok(), tls=context) as (port, _requests):
        named = {"Host": "shop.example:443"}
        assert asked(http(port, scheme="https", ca_path=authority, headers=named)).ok
        assert asked(http(port, scheme="https", validate_certs=False)).ok
        assert "self" in asked(http(port, scheme="https")).detail
        assert "TLS: IP address mismatch" in asked(http(port, scheme="https", ca_path=authority)).detail
        assert "TLS: Hostname mismatch" in asked(http(port, scheme="https", ca_path=authority, headers={"Host": "other.example"})).detail


def test_tls_where_there_is_none():
    with server(ok()) as (port, _requests):
        in_the_end("no TLS connection within 300 ms", http(port, scheme="https", validate_certs=False))


def test_authorities_that_cannot_be_read(tmp_path):
    (tmp_path / "empty.pem").write_text("")
    for path in (tmp_path / "empty.pem", tmp_path / "missing.pem"):
        with pytest.raises(ConfigError, match="authorities cannot be read"):
            Prober(HttpCheck("https://x/", ca_path=str(path)), 1)


# --- TCP and commands ------------------------------------------------------------------------------------------------


def test_tcp():
    with server(b"") as (port, requests):
        assert asked(TcpCheck(port)).detail == "connected"
        assert asked(TcpCheck(), targets_from({"web1": f"127.0.0.1:{port}"})).ok
        assert requests == []
    assert asked(TcpCheck(closed_port())).detail == "connection refused"
    with pytest.raises(ConfigError, match="target web1 has no port"):
        asked(TcpCheck())


def command(code, *more):
    return CommandCheck((sys.executable, "-c", code, *more))


def test_a_command_is_given_the_target_and_no_shell():
    code = "import sys; sys.exit(0 if sys.argv[1:] == ['web1', '127.0.0.1', '; echo $HOME'] else 1)"
    assert asked(command(code, "${host}", "${address}", "; echo $HOME")).ok


def test_a_command_that_fails_says_its_last_line():
    attempt = asked(command("import sys; print('x' * 100_000); print('queue too long\\x07'); print(); sys.exit(3)"))
    assert (attempt.ok, attempt.detail) == (False, "exit status 3: queue too long")


def test_a_command_that_hangs_is_ended_with_its_children(tmp_path):
    """A grandchild holds the writing end of a pipe: reading finds its end only when that process is gone."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    child = f"import time; held = open({str(pipe)!r}, 'wb', 0); held.write(b'here'); time.sleep(600)"
    hangs = command(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])")
    for seconds in (1, 5, 20, 60):  # a busy machine takes its time to start the two
        assert asked(hangs, timeout=float(seconds)).detail in (f"it did not end within {seconds} s", "it did not end within 1:00")
        if os.read(reader, 10) == b"here":
            break
    else:
        pytest.fail("the grandchild never came to life")
    ready, _writable, _broken = select.select([reader], [], [], 30)
    assert ready
    assert os.read(reader, 10) == b""
    os.close(reader)


def test_a_command_whose_child_goes_on_has_ended():
    code = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'])"
    assert asked(command(code), timeout=120).ok


def test_a_command_that_is_not_there():
    with pytest.raises(ConfigError, match="cannot be run: No such file"):
        asked(CommandCheck(("/no/such/check",)))


# --- many ------------------------------------------------------------------------------------------------------------


def test_a_thousand_targets_at_once():
    with server(ok(), delay=0.02) as (port, requests):
        targets = [Target(f"web{number}", "127.0.0.1") for number in range(1000)]
        answers = Prober(http(port), 300)(targets)
    assert list(answers) == [target.name for target in targets]
    assert {attempt.detail for attempt in answers.values()} == {"200 OK"}
    assert len(requests) == 1000
