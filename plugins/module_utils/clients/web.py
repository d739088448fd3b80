# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP for metric providers, health probes and gates: one request, bounded in every direction.

Built on ``http.client`` and ``ssl`` so that it runs on any host Ansible can reach, where ``requests`` is not installed, and because the
address must be checked between the resolution and the connection, which a higher library does not let us do:

- http and https only, no credentials in the URL; link-local and cloud metadata addresses are refused, checked on the very address
  that is connected to (a name is resolved once, so that an answer cannot change in between); loopback and private ranges are allowed.
- Redirects stay on the same origin, at most three; proxies from the environment are not used.
- Sizes are bounded before and after decompression, and the answer as a whole has a deadline, not only each packet.
- Messages name the origin, never path, query, headers or body: those may hold secrets.

Nothing is tried twice here: the caller knows whether a repetition is safe. The one exception is a token that has run out: a request refused
with 401 was not carried out, and goes again with a new token, once.
"""

from __future__ import annotations

import base64
import fnmatch
import functools
import http.client
import ipaddress
import os.path
import re
import socket
import ssl
import time
import urllib.parse
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional, Protocol

from ..core.errors import ConfigError, Unavailable
from ..core.options import Option, Options
from ..core.units import duration
from .oauth2 import OAUTH2, ClientCredentials
from .wire import Wire

MAX_BYTES = 4 * 1024 * 1024
MAX_REDIRECTS = 3
PORTS = {"http": 80, "https": 443}
METADATA = ("100.100.100.200/32", "192.0.0.192/32", "fd00:ec2::/32", "fd20:ce::254/128", "169.254.0.0/16", "fe80::/10")
"""Link-local ranges and the metadata addresses that clouds keep outside of them."""
_FORBIDDEN = tuple(ipaddress.ip_network(network) for network in METADATA)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

CONNECTION: Options = {
    "headers": Option("dict", "Further request headers.", open=True, secret=True),
    "username": Option("str", "User for basic authentication."),
    "password": Option("str", "Password for basic authentication.", secret=True),
    "token": Option("str", "Bearer token.", secret=True),
    "oauth2": Option("dict", "OAuth 2.0 client credentials, for a bearer token that is asked for and renewed.", options=OAUTH2),
    "validate_certs": Option("bool", "Whether TLS certificates are verified. Switching it off is written to the report.", default=True),
    "ca_path": Option("path", "File or directory with the certificates of the authorities to trust, instead of the system's."),
    "client_cert": Option("path", "Client certificate in PEM form; may hold its key."),
    "client_key": Option("path", "Key of the client certificate."),
    "timeout": Option("duration", "Longest wait for a connection, and for an answer.", default="10s"),
    "url_allow": Option("list", "Host patterns (V(*.example.com), V(prometheus:9090)) that requests are limited to.", elements="str"),
}
"""The options of an adapter that speaks HTTP; :func:`connection` makes arguments of :func:`fetch` of them."""


class Authorization(Protocol):
    """Who asks, for the header of that name."""

    def header(self) -> str: ...

    def refused(self, header: str) -> bool:
        """The server answered 401 to this header; whether there may be another one."""


@dataclass(frozen=True)
class Auth:
    """Basic (``username``, ``password``) or bearer (``token``) authentication."""

    username: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)

    def header(self) -> str:
        if self.token:
            return f"Bearer {self.token}"
        pair = f"{self.username}:{self.password}".encode()
        return "Basic " + base64.b64encode(pair).decode("ascii")

    def refused(self, header: str) -> bool:
        return False


@dataclass(frozen=True)
class Response:
    """An answer. Header names are lower case; the body is decompressed. Any status is an answer, an error page too."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class _Target:
    """A checked URL. ``path`` holds the query too."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def origin(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == PORTS[self.scheme] else f":{self.port}")


def fetch(
    url: str, *, method: str = "GET", headers: Optional[Mapping[str, str]] = None, body: Optional[bytes] = None, connect_timeout: float = 5.0,
    read_timeout: float = 10.0, max_bytes: int = MAX_BYTES, verify: bool = True, ca_path: str = "", client_cert: tuple[str, str] = ("", ""),
    auth: Optional[Authorization] = None, allow: Iterable[str] = (), within: Iterable[str] = (),
) -> Response:
    """One request and its answer. ``allow`` and ``within``: host patterns the URL is limited to, by both; ``client_cert``: certificate and key file.

    Raises ConfigError for a URL that is not allowed or a certificate file that cannot be read; Unavailable, naming the addresses tried,
    when no whole answer of at most ``max_bytes`` came within ``connect_timeout`` and then ``read_timeout`` seconds.
    """
    target = parse(url, allow, within)
    sent = {"Accept-Encoding": "gzip", "Connection": "close", "User-Agent": "progressive.delivery", **(headers or {})}
    context = _context(verify, ca_path, client_cert) if target.scheme == "https" else None
    limits = (connect_timeout, read_timeout, max_bytes)
    if auth is None:
        return _follow(target, method, sent, body, context, limits)
    header = auth.header()
    response = _follow(target, method, {**sent, "Authorization": header}, body, context, limits)
    if response.status == 401 and auth.refused(header):
        return _follow(target, method, {**sent, "Authorization": auth.header()}, body, context, limits)
    return response


def _follow(
    target: _Target, method: str, sent: Mapping[str, str], body: Optional[bytes], context: Optional[ssl.SSLContext], limits: tuple[float, float, int]
) -> Response:
    """The answer behind at most MAX_REDIRECTS redirects. ``limits``: time to connect, time to read, bytes."""
    connect_timeout, read_timeout, max_bytes = limits
    _check_headers(sent)
    start = target
    for _hop in range(MAX_REDIRECTS + 1):
        connected = _connect(target, connect_timeout, context)
        try:
            response = _exchange(connected, target, method, sent, body, read_timeout, max_bytes)
        finally:
            connected.close()
        location = response.headers.get("location", "")
        if response.status not in (301, 302, 303, 307, 308) or not location:
            return response
        target = _redirected(target, location, method)
    raise Unavailable(f"more than {MAX_REDIRECTS} redirects", where=start.origin)


def connection(options: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of :func:`fetch` from validated options of :data:`CONNECTION`, and ``within``, the release's own limit. Raises ConfigError."""
    if sum(bool(options.get(name)) for name in ("token", "username", "oauth2")) > 1:
        raise ConfigError("give one of token, oauth2, and username with password")
    if bool(options.get("username")) != bool(options.get("password")):
        raise ConfigError("username and password belong together")
    timeout = duration(options.get("timeout", "10s"), "timeout")
    transport: dict[str, Any] = {
        "connect_timeout": timeout,
        "read_timeout": timeout,
        "verify": options.get("validate_certs", True),
        "ca_path": options.get("ca_path", ""),
        "client_cert": (options.get("client_cert", ""), options.get("client_key", "")),
        "allow": tuple(options.get("url_allow") or ()),
        "within": tuple(options.get("within") or ()),
    }
    # the headers are the server's alone: the token endpoint is another party
    headers = {str(name): str(value) for name, value in (options.get("headers") or {}).items()}
    return {**transport, "headers": headers, "auth": _authorization(options, transport)}


def _authorization(options: Mapping[str, Any], transport: Mapping[str, Any]) -> Optional[Authorization]:
    if options.get("oauth2"):
        try:
            parse(options["oauth2"]["token_url"], transport["allow"], transport["within"])
        except ConfigError as error:
            raise ConfigError(error.what, where="oauth2.token_url", do=error.do) from None
        return ClientCredentials.from_options(options["oauth2"], functools.partial(fetch, **transport))
    auth = Auth(options.get("username", ""), options.get("password", ""), options.get("token", ""))
    return auth if auth.token or auth.username else None


def parse(url: str, allow: Iterable[str] = (), within: Iterable[str] = ()) -> _Target:
    """A URL checked. Raises ConfigError, without repeating the URL."""
    if not url.isascii() or re.search(r"[\x00-\x20\x7f\\]", url):
        raise ConfigError("a URL holds a space, a control character, a backslash or a letter outside of ASCII", do="Percent-encode it.")
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigError("a URL cannot be read: its host or port is wrong") from None
    if parts.scheme not in PORTS:
        raise ConfigError(f"a URL begins with {parts.scheme[:20] or 'no scheme'}", do="Only http:// and https:// are allowed.")
    if "@" in parts.netloc:
        raise ConfigError("a URL holds credentials before its host", do="Give username and password, or token, as options.")
    if not parts.hostname:
        raise ConfigError("a URL names no host")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    target = _Target(parts.scheme, parts.hostname, PORTS[parts.scheme] if port is None else port, path)
    for option, patterns in (("url_allow", list(allow)), ("rollout_url_allow", list(within))):
        if patterns and not any(fnmatch.fnmatchcase(name, pattern.lower()) for pattern in patterns for name in (target.host, f"{target.host}:{target.port}")):
            raise ConfigError(f"requests to {target.host}:{target.port} are not allowed ({option})", do=f"Allowed: {', '.join(patterns)}.")
    return target


def forbidden(address: str) -> bool:
    """Whether an IP address is link-local or a metadata service's, also when it is an IPv4 address inside an IPv6 one."""
    ip = ipaddress.ip_address(address.split("%")[0])
    inner: list[ipaddress.IPv4Address | ipaddress.IPv6Address] = [ip]
    if isinstance(ip, ipaddress.IPv6Address):
        embedded = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 or int(ip) >> 32 == 0 else None
        inner += [found for found in (ip.ipv4_mapped, ip.sixtofour, embedded) if found is not None]
    return any(one in network for one in inner for network in _FORBIDDEN if one.version == network.version)


def _check_headers(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
            raise ConfigError(f"the request header {name[:40]!r} holds a character that headers cannot hold")


def _context(verify: bool, ca_path: str, client_cert: tuple[str, str]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context()
        if ca_path:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(**{"capath" if os.path.isdir(ca_path) else "cafile": ca_path})
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if client_cert[0]:
            context.load_cert_chain(client_cert[0], client_cert[1] or None)
    except OSError as error:
        raise ConfigError(f"a certificate file cannot be used: {_why(error)}", where=ca_path or client_cert[0]) from None
    return context


def _connect(target: _Target, timeout: float, context: Optional[ssl.SSLContext]) -> socket.socket:
    """A socket to one of the host's addresses, each of them checked first. TLS is done here: host name and SNI stay the URL's."""
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unavailable(f"the name {target.host} cannot be resolved: {getattr(error, 'strerror', None) or error}", where=target.origin) from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    bad = [address for address in addresses if forbidden(address)]
    if bad:
        raise ConfigError(f"{target.host} is {bad[0]}, a link-local or metadata address", where=target.origin, do="Requests to those are never made.")
    tried = []
    for family, kind, protocol, _name, where in found:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(timeout)
            sock.connect(where)
            if forbidden(str(sock.getpeername()[0])):
                raise ConfigError(f"{target.host} led to a link-local or metadata address", where=target.origin)
            return sock if context is None else context.wrap_socket(sock, server_hostname=target.host)
        except ssl.SSLCertVerificationError as error:
            sock.close()
            raise _untrusted(error, target) from None
        except OSError as error:
            sock.close()
            tried.append(f"{where[0]}: {_why(error)}")
        except BaseException:
            sock.close()
            raise
    raise Unavailable(f"no connection ({'; '.join(dict.fromkeys(tried))})", where=target.origin)


def _untrusted(error: ssl.SSLCertVerificationError, target: _Target) -> Unavailable:
    do = "Give ca_path, or have the certificate issued for this name."
    if "key usage" in error.verify_message.lower():
        do = "The authority's own certificate lacks keyUsage keyCertSign, which newer Python versions demand: issue it again."
    return Unavailable(f"the TLS certificate is not trusted: {error.verify_message}", where=target.origin, do=do)


def _why(error: Exception) -> str:
    if isinstance(error, (socket.timeout, TimeoutError)):
        return "no answer in time"
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error) or type(error).__name__


def _exchange(
    sock: socket.socket, target: _Target, method: str, headers: Mapping[str, str], body: Optional[bytes], timeout: float, max_bytes: int
) -> Response:
    link = http.client.HTTPConnection(target.host, target.port)
    link.default_port = PORTS[target.scheme]  # the Host header leaves it out
    link.sock = Wire(sock, time.monotonic() + timeout)
    try:
        link.request(method, target.path, body=body, headers=dict(headers))
        answer = link.getresponse()
        raw = answer.read(max_bytes + 1)
    except (OSError, http.client.HTTPException, ValueError) as error:
        # the text of an HTTPException may quote what the server sent; its type says enough
        why = _why(error) if isinstance(error, OSError) else f"the answer is not whole or not HTTP ({type(error).__name__})"
        raise Unavailable(f"{method} failed: {why}", where=target.origin) from None
    if len(raw) > max_bytes:
        raise Unavailable(f"the answer is larger than {max_bytes} bytes", where=target.origin)
    received = {name.lower(): value for name, value in answer.getheaders()}
    length = received.get("content-length", "")
    if length.isdigit() and not re.fullmatch(r"[0-9]{1,18}", length):
        raise Unavailable("the answer says that it is of a length that none can have", where=target.origin)
    if method != "HEAD" and length.isdigit() and len(raw) < int(length) and answer.status not in (204, 304):
        raise Unavailable(f"the answer was cut off after {len(raw)} of {length} bytes", where=target.origin)
    return Response(answer.status, received, _plain(raw, received.get("content-encoding", ""), max_bytes, target))


def _plain(raw: bytes, encoding: str, max_bytes: int, target: _Target) -> bytes:
    """The body decompressed, never to more than ``max_bytes``."""
    kind = encoding.strip().lower()
    if kind in ("", "identity") or not raw:
        return raw
    if kind not in ("gzip", "x-gzip"):
        raise Unavailable(f"the answer is encoded as {kind[:20]!r}, which was not asked for", where=target.origin)
    unzip = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        body = unzip.decompress(raw, max_bytes + 1)
    except zlib.error:
        raise Unavailable("the answer says that it is gzip, and is not", where=target.origin) from None
    if len(body) > max_bytes:
        raise Unavailable(f"the answer unpacks to more than {max_bytes} bytes", where=target.origin)
    if not unzip.eof:
        raise Unavailable("the compressed answer was cut off", where=target.origin)
    return body


def _redirected(target: _Target, location: str, method: str) -> _Target:
    if method not in ("GET", "HEAD"):
        raise Unavailable(f"{method} was redirected; nothing was sent to the new place", where=target.origin)
    try:
        there = parse(urllib.parse.urljoin(target.origin + target.path, location))
    except ConfigError as error:
        raise Unavailable(f"redirected to a place that is not allowed: {error.what}", where=target.origin) from None
    if there.origin != target.origin:
        raise Unavailable(f"redirected to {there.origin}, another origin (a login page?)", where=target.origin, do="Name the final URL, and its credentials.")
    return there
