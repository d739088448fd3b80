# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One keep-alive connection to an API server, through a proxy if need be."""

from __future__ import annotations

import base64
import http.client
import os
import select
import socket
import ssl
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Optional

from ..core.errors import ConfigError, Unavailable, Unsupported
from .kube_login import Proof
from .wire import Wire

CONNECT_TIMEOUT = 5.0


class Broken(Exception):
    """The exchange failed. ``sent`` tells whether the server may have seen the request; the text is for people."""

    def __init__(self, why: str, sent: bool) -> None:
        self.sent = sent
        super().__init__(why)


@dataclass(frozen=True)
class Server:
    """Where the API is and how it is trusted. ``url`` holds no credentials; ``ca_data`` is PEM text; ``proxy`` is a URL, or empty."""

    url: str
    where: str
    ca_file: str = ""
    ca_data: str = field(default="", repr=False)
    name: str = ""
    """The name in its certificate, where that is not the host's."""
    verify: bool = True
    proxy: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        for url, schemes, kind in ((self.url, ("http", "https"), "server"), (self.proxy, ("http",), "proxy")):
            if not url and kind == "proxy":
                continue
            try:
                parts = urllib.parse.urlsplit(url)
                good = bool(parts.hostname) and (parts.port is None or parts.port > 0) and url.isascii() and not any(letter <= " " for letter in url)
            except ValueError:
                good = False
            if not good or (kind == "server" and "@" in parts.netloc):
                raise ConfigError(f"the address of the {kind} is no URL, or holds credentials", where=self.where, do="Such as https://10.0.0.1:6443.")
            if parts.scheme not in schemes:
                raise Unsupported(f"the address of the {kind} begins with {parts.scheme}", where=self.where, do=f"Known: {', '.join(schemes)}.")

    @property
    def address(self) -> tuple[str, int]:
        parts = urllib.parse.urlsplit(self.url)
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)

    @property
    def tls(self) -> bool:
        return self.url.startswith("https:")

    @property
    def base(self) -> str:
        """The path in front of every path, such as Rancher's."""
        return urllib.parse.urlsplit(self.url).path.rstrip("/")


class Link:
    """Not for two threads at once. ``poll`` is called while an answer is awaited; what it raises ends the wait."""

    def __init__(self, server: Server, poll: Callable[[], object]) -> None:
        self._server = server
        self._poll = poll
        self._wire: Optional[Wire] = None
        self._proof: Optional[Proof] = None

    def send(self, method: str, path: str, headers: Sequence[tuple[str, str]], body: bytes, proof: Proof, timeout: float) -> http.client.HTTPResponse:
        """The answer's head, its body still to be read: by :meth:`read`, or in pieces before a :meth:`close`. A header may be there twice.

        Raises Broken; ConfigError for files that cannot be used; Unavailable when trust is missing, which no repetition mends.
        """
        wire = self._open(proof)
        wire.deadline = time.monotonic() + timeout
        host, port = self._server.address
        exchange = http.client.HTTPConnection(host, port)
        exchange.default_port = 443 if self._server.tls else 80  # the Host header leaves it out
        exchange.sock = wire
        try:
            exchange.putrequest(method, self._server.base + path, skip_accept_encoding=True)
            for name, value in [*headers, ("Authorization", proof.authorization), ("Content-Length", str(len(body)) if body or method != "GET" else "")]:
                if value:
                    exchange.putheader(name, value)
            exchange.endheaders(body or None)
            return exchange.getresponse()
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise Broken(why(error), sent=True) from None
        except BaseException:
            self.close()
            raise

    def read(self, answer: http.client.HTTPResponse, limit: int) -> bytes:
        """The whole body; the connection stays open for the next request if the server leaves it so. Raises Broken."""
        try:
            body = answer.read(limit + 1)
            whole = answer.isclosed() or not answer.read(1)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise Broken(why(error), sent=True) from None
        except BaseException:
            self.close()
            raise
        if not whole or len(body) > limit:
            self.close()
            raise Broken(f"the answer is larger than {limit} bytes", sent=True)
        if answer.length:
            self.close()
            raise Broken("the answer was cut off", sent=True)
        if answer.will_close:
            self.close()
        return body

    def lines(self, answer: http.client.HTTPResponse, seconds: float) -> Iterator[bytes]:
        """The lines of a body as they come, until its end, or for ``seconds``. The connection cannot be used after that."""
        if self._wire is not None:
            self._wire.deadline = time.monotonic() + seconds
        try:
            yield from iter(answer.readline, b"")
        except (OSError, http.client.HTTPException, ValueError):
            return  # the time is up, or the connection is gone

    def close(self) -> None:
        if self._wire is not None:
            self._wire.sock.close()
            self._wire = None

    def _open(self, proof: Proof) -> Wire:
        """The open connection, or a new one: when the server closed it meanwhile, or who we are in its TLS changed."""
        if self._wire is not None and (self._stale(self._wire.sock) or (self._proof and (self._proof.cert, self._proof.key) != (proof.cert, proof.key))):
            self.close()
        if self._wire is None:
            self._proof = proof
            self._wire = Wire(self._connect(proof), 0.0, self._poll)
        return self._wire

    @staticmethod
    def _stale(sock: socket.socket) -> bool:
        """Whether something came though nothing was asked: the end of the connection."""
        waiting = select.poll()
        waiting.register(sock, select.POLLIN)
        return bool(waiting.poll(0))

    def _connect(self, proof: Proof) -> socket.socket:
        server = self._server
        context = _context(server, proof) if server.tls else None
        sock: Optional[socket.socket] = None
        try:
            sock = _dial(server)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock if context is None else context.wrap_socket(sock, server_hostname=server.name or server.address[0])
        except ssl.SSLCertVerificationError as error:
            _drop(sock)
            raise _untrusted(error, server) from None
        except (OSError, UnicodeError) as error:
            _drop(sock)
            raise Broken(why(error), sent=False) from None
        except BaseException:
            _drop(sock)
            raise


def why(error: Exception) -> str:
    """A failure in a few words. What an HTTPException quotes may be anything: its type says enough."""
    if isinstance(error, (socket.timeout, TimeoutError)):
        return "no answer in time"
    if isinstance(error, http.client.RemoteDisconnected):
        return "the server closed the connection without an answer"
    if isinstance(error, ssl.SSLError) and error.reason:
        return f"TLS failed: {error.reason.lower().replace('_', ' ')}"
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    return f"the answer is not whole or not HTTP ({type(error).__name__})"


def _drop(sock: Optional[socket.socket]) -> None:
    if sock is not None:
        sock.close()


def _dial(server: Server) -> socket.socket:
    """A connection to the server, or through the proxy to it."""
    if not server.proxy:
        return socket.create_connection(server.address, CONNECT_TIMEOUT)
    proxy = urllib.parse.urlsplit(server.proxy)
    sock = socket.create_connection((proxy.hostname or "", proxy.port or 80), CONNECT_TIMEOUT)
    host, port = server.address
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.username:
        pair = f"{urllib.parse.unquote(proxy.username)}:{urllib.parse.unquote(proxy.password or '')}"
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(pair.encode()).decode('ascii')}")
    try:
        sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("ascii"))
        head = b""
        while not head.endswith(b"\r\n\r\n") and len(head) < 16_384:
            byte = sock.recv(1)  # one at a time: what follows the head is the server's
            if not byte:
                break
            head += byte
    except BaseException:
        sock.close()
        raise
    status = head.split(b" ", 2)[1:2]
    if status != [b"200"]:
        sock.close()
        raise OSError(f"the proxy {proxy.hostname} refuses the connection ({status[0][:3].decode('ascii', 'replace') if status else 'no HTTP answer'})")
    return sock


def _context(server: Server, proof: Proof) -> ssl.SSLContext:
    """Trust as kubectl has it: a certificate authority of the cluster's own needs no keyUsage and may be an intermediate one."""
    if not server.verify:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif server.ca_file or server.ca_data:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.verify_flags |= getattr(ssl, "VERIFY_X509_PARTIAL_CHAIN", 0)
        try:
            context.load_verify_locations(cafile=server.ca_file or None, cadata=server.ca_data or None)
        except (OSError, ValueError) as error:
            raise ConfigError(f"the certificate authority cannot be used: {why(error)}", where=server.ca_file or server.where) from None
    else:
        context = ssl.create_default_context()
    if proof.cert:
        _load_pair(context, proof, server.where)
    return context


def _load_pair(context: ssl.SSLContext, proof: Proof, where: str) -> None:
    """Client certificate and key. ``ssl`` takes them from a file only: a private one, gone before this returns."""
    handle, path = tempfile.mkstemp(prefix="progressive-")
    try:
        with open(handle, "wb") as stream:
            stream.write(proof.cert.rstrip() + b"\n" + proof.key.rstrip() + b"\n")
        context.load_cert_chain(path, password=lambda: b"")  # never asks at the terminal
    except (OSError, ValueError) as error:
        do = "It must be PEM, not encrypted, and the key must be the certificate's."
        raise ConfigError(f"the client certificate or its key cannot be used: {why(error)}", where=where, do=do) from None
    finally:
        os.unlink(path)


def _untrusted(error: ssl.SSLCertVerificationError, server: Server) -> Unavailable:
    said = error.verify_message
    do = "Give the authority's certificate as ca_cert, or as certificate-authority in the kubeconfig."
    if "key usage" in said.lower() or "ca cert" in said.lower():
        do = (
            "The authority's certificate lacks keyUsage keyCertSign, which Python 3.13 and later demand of the system's authorities:"
            " give it as ca_cert, or have it issued again."
        )
    elif "expired" in said or "not yet valid" in said:
        do = "Renew the server's certificate (kubeadm certs renew apiserver); look at this machine's clock, too."
    elif "mismatch" in said.lower() or "not valid for" in said:
        do = "Use a name that its certificate has, or set tls-server-name in the kubeconfig."
    return Unavailable(f"the API server's certificate is not trusted: {said}", where=server.where, do=do)
