# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks many targets at once by HTTP, TCP or a command: one event loop, no thread per target, nothing beyond the standard library."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import errno
import ipaddress
import os
import resource
import signal
import socket
import ssl
import tempfile
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Optional
from urllib.parse import SplitResult, urlsplit

from ..core.errors import ConfigError
from ..core.health import Check, CommandCheck
from ..core.http_check import HttpCheck, judge_http
from ..core.poll import Attempt
from ..core.target import Target, fill
from ..core.units import show_duration
from .http_stream import Answer, BadAnswer, get
from .web import forbidden

AT_ONCE = 500
COMMANDS_AT_ONCE = 32
OUTPUT = 4096
"""Bytes of a command's output that are looked at, from its end."""

Peer = tuple[str, int]


class Refused(Exception):
    """The target answers, or could, but not with health. The text is for people."""


class Prober:
    """Asks all given targets once. Implements ``core.health.Probe``.

    ``timeout`` in seconds is for one whole answer. ``allow`` holds patterns (``*.shop.example``, ``shop:8080``), one of which the place asked must match;
    empty allows all but link-local and metadata addresses. A target that cannot be asked is a failed Attempt, never an exception; only a check
    that can never work (no such command, no such CA file) raises ConfigError.
    """

    def __init__(self, check: Check, timeout: float, *, at_once: int = AT_ONCE, allow: Sequence[str] = ()) -> None:
        self._check = check
        self._timeout = timeout
        self._allow = tuple(allow)
        limit = COMMANDS_AT_ONCE if isinstance(check, CommandCheck) else at_once
        # Half of the descriptors this process may open: running out of them would look like a sick target.
        self._at_once = max(1, min(limit, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2))
        self._tls = _context(check) if isinstance(check, HttpCheck) and check.url.startswith("https:") else None

    def __call__(self, targets: Sequence[Target]) -> Mapping[str, Attempt]:
        return asyncio.run(self._all(targets))

    async def _all(self, targets: Sequence[Target]) -> dict[str, Attempt]:
        gate = asyncio.Semaphore(self._at_once)
        # Of our own, because a resolver that hangs cannot be cancelled, and the loop would wait for its default one at its end.
        resolvers = concurrent.futures.ThreadPoolExecutor(max_workers=16)
        known: dict[Peer, asyncio.Task[list[str]]] = {}

        async def one(target: Target) -> Attempt:
            async with gate:
                return await _Asked(self._check, target, self._timeout, self._allow, self._tls, resolvers, known).attempt()

        try:
            return dict(zip((target.name for target in targets), await asyncio.gather(*(one(target) for target in targets))))
        finally:
            resolvers.shutdown(wait=False)


class _Asked:
    """One target being asked; ``doing`` is what it was doing when its time was up."""

    def __init__(
        self,
        check: Check,
        target: Target,
        timeout: float,
        allow: tuple[str, ...],
        tls: Optional[ssl.SSLContext],
        resolvers: concurrent.futures.Executor,
        known: dict[Peer, asyncio.Task[list[str]]],
    ) -> None:
        self._check = check
        self._target = target
        self._timeout = timeout
        self._allow = allow
        self._tls = tls
        self._resolvers = resolvers
        self._known = known
        self._doing = "it did not end"

    async def attempt(self) -> Attempt:
        try:
            return await asyncio.wait_for(self._ask(), self._timeout)
        except asyncio.TimeoutError:
            return Attempt(False, f"{self._doing} within {show_duration(self._timeout)}")
        except (Refused, BadAnswer) as error:
            return Attempt(False, str(error))
        except ssl.SSLError as error:
            return Attempt(False, f"TLS: {getattr(error, 'verify_message', '') or error.reason or error}")
        except OSError as error:
            return Attempt(False, os.strerror(error.errno).lower() if error.errno else str(error) or type(error).__name__)

    async def _ask(self) -> Attempt:
        if isinstance(self._check, HttpCheck):
            return await self._http(self._check)
        if isinstance(self._check, CommandCheck):
            return await self._command([fill(word, self._target) for word in self._check.argv])
        begun = asyncio.get_running_loop().time()
        port = self._check.port or int(self._target.port or 0)
        if not port:
            raise ConfigError(f"target {self._target.name} has no port", where="tcp.port", do="Give one here, or with the target.")
        addresses = await self._resolve(fill(self._check.host, self._target), port)
        _reader, writer = await self._open(addresses, port, "")
        writer.transport.abort()
        return Attempt(True, "connected", asyncio.get_running_loop().time() - begun)

    async def _http(self, check: HttpCheck) -> Attempt:
        parts = _parts(fill(check.url, self._target, url=True))
        headers = {name: fill(value, self._target) for name, value in check.headers.items()}
        host = next((value for name, value in headers.items() if name.lower() == "host"), "")
        server_name = urlsplit(f"//{host}").hostname or parts.hostname or ""
        clock = asyncio.get_running_loop()
        port = parts.port or (443 if parts.scheme == "https" else 80)
        addresses = await self._resolve(parts.hostname or "", port)
        begun = clock.time()
        reader, writer = await self._open(addresses, port, server_name)
        try:
            self._doing = "connected, but no complete answer came"
            answer: Answer = await get(reader, writer, parts, headers)
        finally:
            writer.transport.abort()
        return judge_http(check, answer.status, answer.phrase, answer.body, clock.time() - begun)

    async def _resolve(self, host: str, port: int) -> list[str]:
        """Numeric addresses of ``host``; each name is looked up once a round. Raises Refused, OSError."""
        names = (host.lower(), f"{host.lower()}:{port}")
        if self._allow and not any(fnmatchcase(name, pattern.lower()) for pattern in self._allow for name in names):
            raise Refused(f"{host}:{port} is not among the hosts that may be asked (rollout_url_allow)")
        with contextlib.suppress(ValueError):
            ipaddress.ip_address(host)
            return [host]
        self._doing = f"the name {host} could not be resolved"
        if (host, port) not in self._known:
            self._known[host, port] = asyncio.ensure_future(self._look_up(host, port))
            # Looked at even when everybody who waited for it has given up, or the loop would complain on stderr.
            self._known[host, port].add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._known[host, port])

    async def _look_up(self, host: str, port: int) -> list[str]:
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._resolvers, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (socket.gaierror, UnicodeError) as error:
            raise Refused(f"the name {host} could not be resolved: {getattr(error, 'strerror', None) or error}") from None
        return list(dict.fromkeys(str(item[4][0]) for item in found))

    async def _open(self, addresses: Sequence[str], port: int, server_name: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the first address that takes one. What is checked is what is connected to, so a name cannot change in between."""
        self._doing = "no TLS connection" if self._tls else "no connection"
        trouble: Optional[OSError] = None
        for address in addresses:
            if forbidden(address):
                raise Refused(f"{address} is a link-local or metadata address, which is never asked")
            try:
                return await asyncio.open_connection(address, port, ssl=self._tls, server_hostname=server_name if self._tls else None)
            except ssl.SSLError:
                raise
            except OSError as error:
                trouble = error
        raise trouble or OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))

    async def _command(self, argv: list[str]) -> Attempt:
        begun = asyncio.get_running_loop().time()
        with tempfile.TemporaryFile() as output:  # no pipe: a grandchild that keeps it open must not keep us
            try:
                process = await asyncio.create_subprocess_exec(
                    *argv, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
                )
            except (FileNotFoundError, PermissionError) as error:
                raise ConfigError(f"{argv[0]!r} cannot be run: {error.strerror}", where="command.argv") from None
            try:
                code = await process.wait()
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
            output.seek(max(0, output.seek(0, os.SEEK_END) - OUTPUT))
            lines = output.read().decode("utf-8", "replace").split("\n")
        last = next((line for line in reversed(["".join(filter(str.isprintable, line)).strip() for line in lines]) if line), "")
        ended = f"exit status {code}" if code >= 0 else f"killed by signal {-code}"
        return Attempt(code == 0, f"{ended}{': ' + last[:160] if last else ''}", asyncio.get_running_loop().time() - begun)


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        if parts.hostname and parts.username is None and parts.port != 0:
            return parts
    except ValueError:
        pass
    raise Refused(f"{url!r} is no address that may be asked")


def _context(check: HttpCheck) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=check.ca_path or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"the authorities cannot be read: {error}", where="http.ca_path") from None
    if not check.validate_certs:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
