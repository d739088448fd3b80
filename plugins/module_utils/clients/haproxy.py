# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy's runtime API: many commands over one connection, and every answer held against the command it belongs to.

Prompt mode, commands joined by ``;`` into lines of at most 15 kB (HAProxy reads a line into one 16 kB buffer). A command that is refused does
not stop the ones after it, so a batch is never atomic and callers read back. Sources: HAProxy management guide, sections 9.1 (CSV) and 9.3.
"""

from __future__ import annotations

import csv
import io
import os
import re
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.errors import ConfigError, DeliveryError, Unavailable, Unsupported
from ..core.options import NAME

LINE = 15000
"""Longest line sent, in bytes."""
LONGEST_ANSWER = 64 * 1024 * 1024
OPERATION = 30.0
"""Longest time for one batch, in seconds, however lively the connection."""
PROMPT = b"\n> "
MAX_WEIGHT = 256

_MORE_THAN_ONE = re.compile(r"[;\n\r\x00]|<<\s*$")
_PATH = re.compile(r"^(?:virt@|opt@)?[A-Za-z0-9_./-]{1,1024}$")
_KEY = re.compile(r"^[A-Za-z0-9_](?:[A-Za-z0-9_.:/-]{0,251}[A-Za-z0-9_/])?$")
_ADDRESS = re.compile(r"^(?:ipv4@|ipv6@|tcp@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):(?P<port>\d{1,5})$")

MAINTENANCE = 0x23
"""Bits of the admin state that mean maintenance: forced, inherited, by name resolution. (4 and 64 alone mean neither.)"""
DRAINING = 0x18
"""Forced or inherited drain."""
FAILED = ("hrsp_5xx", "econ", "eresp")
"""Columns of ``show stat`` that count a server's failed requests; measured: none of them counts what another does."""


@dataclass(frozen=True)
class Server:
    """One line of ``show servers state``. ``operation``: 0 stopped, 1 starting, 2 running, 3 stopping (a 404 with disable-on-404)."""

    name: str
    operation: int
    admin: int
    weight: int
    initial: int

    @property
    def state(self) -> str:
        """up, down, drain or maint. A failing check outranks drain; ``UP n/m`` and unchecked servers are up, NOLB is down."""
        if self.admin & MAINTENANCE:
            return "maint"
        if self.operation in (0, 3):
            return "down"
        return "drain" if self.admin & DRAINING else "up"

    @property
    def forced(self) -> str:
        """ready, drain or maint, as it was set on the server itself: what ``set server ... state`` changes."""
        return "maint" if self.admin & 1 else "drain" if self.admin & 8 else "ready"

    @property
    def put_away(self) -> bool:
        """In maintenance with its whole track, so that no cookie leads there: it comes back with the track's first share."""
        return self.forced == "maint" and not self.weight

    @property
    def serving(self) -> bool:
        """Takes new traffic."""
        return self.state == "up" and self.weight > 0


def name(value: str, kind: str = "server") -> str:
    """``value`` if it is a name; ConfigError otherwise. A ``;`` or a line break in a name would be a second command."""
    if not NAME.fullmatch(value):
        raise ConfigError(f"{value[:80]!r} is not the name of a {kind}", do="Letters, digits, '.', '_', ':' and '-', up to 253.")
    return value


def map_path(value: str) -> str:
    """``value`` if it may be the identifier of a map."""
    if not _PATH.fullmatch(value) or ".." in value:
        raise ConfigError(f"{value[:80]!r} is not the path of a map", do="Letters, digits and '_./-', as HAProxy's configuration names it.")
    return value


def map_key(value: str, kind: str = "map key") -> str:
    """``value`` if it may stand in a map, as key or value."""
    if not _KEY.fullmatch(value):
        raise ConfigError(f"{value[:80]!r} is not a {kind}", do="Letters, digits and '_.:/-', up to 253.")
    return value


class HaproxyClient:
    """One HAProxy process, by its stats socket: a path, or ``host:port``.

    Every call opens one connection and closes it. ``timeout`` (at most 10 s) bounds the connect and each read.
    Errors: Unavailable (unreachable, cut or senseless answers), ConfigError (refused: no such thing, not allowed), Unsupported (static algorithm).
    """

    def __init__(self, endpoint: str, timeout: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.endpoint = endpoint
        self.path, self.address = _endpoint(endpoint)
        self._timeout = min(timeout, 10.0)
        self._clock = clock

    # -- talking

    def run(self, commands: Sequence[str]) -> list[str]:
        """The answers, in the order of ``commands``, stripped."""
        for command in commands:
            if not command or _MORE_THAN_ONE.search(command) or len(command) > LINE:
                raise ConfigError(f"{command[:80]!r} is not one HAProxy command", where=self.endpoint)
        answers: list[str] = []
        deadline = self._clock() + OPERATION
        try:
            with self._connect() as link:
                link.sendall(b"prompt\n")
                self._answers(link, 1, deadline)
                for line in _lines(commands):
                    link.sendall("; ".join(line).encode("ascii") + b"\n")
                    answers += self._answers(link, len(line), deadline)
        except UnicodeError:
            raise ConfigError("a command holds characters outside ASCII", where=self.endpoint) from None
        except OSError as error:
            raise self._unreachable(error) from None
        return answers

    def change(self, commands: Sequence[str]) -> None:
        """Run set commands. Raises for all that were refused, in HAProxy's own words, after all were tried."""
        answers = self.run(commands) if commands else []
        refused = [(command, answer) for command, answer in zip(commands, answers) if answer not in ("", "Done.")]
        if refused:
            command, answer = refused[0]
            more = f" (and {len(refused) - 1} more of {len(commands)})" if len(refused) > 1 else ""
            raise self._refusal(command, answer, more)

    def ask(self, commands: Sequence[str]) -> list[str]:
        """Run show commands whose answers have a header or lines; an error text among them is raised."""
        answers = self.run(commands)
        for command, answer in zip(commands, answers):
            if re.match(r"(Can't find|Permission denied|Unknown |No such|Invalid )", answer):
                raise self._refusal(command, answer, "")
        return answers

    def _connect(self) -> socket.socket:
        if self.path:
            link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                link.settimeout(self._timeout)
                link.connect(self.path)
            except OSError:
                link.close()
                raise
            return link
        return socket.create_connection(self.address, timeout=self._timeout)

    def _answers(self, link: socket.socket, count: int, deadline: float) -> list[str]:
        """Read until ``count`` prompts came."""
        buffer = bytearray()
        found = 0
        while found < count:
            if self._clock() > deadline:
                raise Unavailable(f"the answer took longer than {OPERATION:g} s", where=self.endpoint)
            data = link.recv(262144)
            if not data:
                raise Unavailable(f"the connection was closed after {found} of {count} answers", where=self.endpoint)
            start = max(0, len(buffer) - len(PROMPT) + 1)
            buffer += data
            found += buffer.count(PROMPT, start)
            if len(buffer) > LONGEST_ANSWER:
                raise Unavailable("the answer is longer than 64 MiB", where=self.endpoint)
        parts = bytes(buffer).split(PROMPT)
        if found != count or parts[-1]:
            raise Unavailable(f"{found} answers to {count} commands", where=self.endpoint, do="Is this the stats socket of an HAProxy?")
        return [part.decode("utf-8", "replace").strip() for part in parts[:-1]]

    def _unreachable(self, error: OSError) -> DeliveryError:
        if isinstance(error, PermissionError):
            return Unavailable("no permission to open the stats socket", where=self.endpoint, do="Run as root (become: true), or give the socket a group.")
        if isinstance(error, socket.timeout):
            return Unavailable(f"no answer within {self._timeout:g} s", where=self.endpoint)
        do = "Is HAProxy running, and does its configuration hold this `stats socket`?"
        return Unavailable(f"HAProxy cannot be reached ({error.strerror or error})", where=self.endpoint, do=do)

    def _refusal(self, command: str, answer: str, more: str) -> DeliveryError:
        text = answer.splitlines()[0][:300] if answer else "nothing"
        what = f"HAProxy refused `{command[:200]}`: {text}{more}"
        if "Permission denied" in answer:
            return ConfigError(what, where=self.endpoint, do="The stats socket needs `level admin`.")
        if "static LB algorithm" in answer:
            return Unsupported(what, where=self.endpoint, do="Use `balance roundrobin` (or leastconn, random), or a `hash-type consistent`.")
        if answer.startswith(("No such", "Can't find", "Unknown map")):
            return ConfigError(what, where=self.endpoint)
        return Unavailable(what, where=self.endpoint)

    # -- reading

    def servers(self, backend: str) -> dict[str, Server]:
        """The servers of ``backend`` by name."""
        [answer] = self.ask([f"show servers state {name(backend, 'backend')}"])
        return parse_servers(answer, self.endpoint)

    def info(self) -> dict[str, str]:
        """``show info``, as it comes."""
        [answer] = self.ask(["show info"])
        return parse_info(answer, self.endpoint)

    def stats(self, backend: str) -> list[dict[str, str]]:
        """``show stat``: the backend's own row (``svname`` BACKEND) and those of its servers."""
        [answer] = self.ask([stat_command(backend)])
        return parse_stats(answer, self.endpoint)

    def map(self, path: str) -> dict[str, str]:
        """The entries of a map. Of a key that stands there twice the first counts, as in a lookup."""
        [answer] = self.ask([f"show map {map_path(path)}"])
        return parse_map(answer, self.endpoint)


def stat_command(backend: str) -> str:
    """``show stat`` for one backend and its servers (2 + 4)."""
    return f"show stat {name(backend, 'backend')} 6 -1"


def epoch(info: Mapping[str, str]) -> str:
    """What changes when the process does."""
    return f"{info.get('Pid', '')}@{info.get('Start_time_sec', '')}"


def parse_servers(text: str, where: str) -> dict[str, Server]:
    """``show servers state``: columns by the names in the header, unknown ones skipped, a cut line refused."""
    lines = [line for line in text.splitlines() if line.strip()]
    header = next((line for line in lines if line.startswith("#")), None)
    if header is None:
        raise Unavailable("no header in `show servers state`", where=where)
    columns = header[1:].split()
    needed = ("srv_name", "srv_op_state", "srv_admin_state", "srv_uweight", "srv_iweight")
    missing = [column for column in needed if column not in columns]
    if missing:
        raise Unavailable(f"`show servers state` has no column {missing[0]}", where=where)
    result: dict[str, Server] = {}
    for line in lines[lines.index(header) + 1 :]:
        fields = line.split()
        if len(fields) < len(columns):
            raise Unavailable(f"a line of `show servers state` is cut off: {line[:80]!r}", where=where)
        row = dict(zip(columns, fields))
        try:
            numbers = [int(row[column]) for column in needed[1:]]
        except ValueError:
            raise Unavailable(f"a line of `show servers state` is not readable: {line[:80]!r}", where=where) from None
        result[row["srv_name"]] = Server(row["srv_name"], *numbers)
    return result


def parse_stats(text: str, where: str) -> list[dict[str, str]]:
    """``show stat``: CSV with real quoting, columns by name; a row that does not fit its header is refused."""
    if not text.startswith("# "):
        raise Unavailable("no header in `show stat`", where=where)
    try:
        rows = list(csv.reader(io.StringIO(text[2:]), strict=True))
    except csv.Error as error:
        raise Unavailable(f"`show stat` is not readable CSV ({error})", where=where) from None
    header = rows[0]
    result = []
    for row in rows[1:]:
        if row and len(row) != len(header):
            raise Unavailable(f"a line of `show stat` is cut off: {','.join(row)[:80]!r}", where=where)
        if row:
            result.append({column: value for column, value in zip(header, row) if column})
    return result


def parse_info(text: str, where: str) -> dict[str, str]:
    """``show info``: ``Name: value`` lines."""
    pairs = [line.split(":", 1) for line in text.splitlines() if ":" in line]
    result = {key.strip(): value.strip() for key, value in pairs}
    if "Pid" not in result:
        raise Unavailable("`show info` names no Pid", where=where)
    return result


def parse_map(text: str, where: str) -> dict[str, str]:
    """``show map``: ``pointer key value`` lines."""
    result: dict[str, str] = {}
    for line in text.splitlines():
        fields = line.split(None, 2)
        if len(fields) == 3:
            result.setdefault(fields[1], fields[2])
        elif fields:
            raise Unavailable(f"a line of `show map` is cut off: {line[:80]!r}", where=where)
    return result


def count(row: Mapping[str, Any], columns: Iterable[str]) -> int:
    """The sum of some columns of a ``show stat`` row; an empty field (not counted in this mode) is 0."""
    try:
        return sum(int(row.get(column) or 0) for column in columns)
    except ValueError:
        raise Unavailable(f"`show stat` holds a counter that is no number for {row.get('svname', 'a server')}") from None


def _lines(commands: Sequence[str]) -> list[list[str]]:
    """``commands`` packed into lines of at most LINE bytes."""
    lines: list[list[str]] = []
    size = LINE + 1
    for command in commands:
        size += len(command) + 2
        if size > LINE:
            lines.append([])
            size = len(command) + 2
        lines[-1].append(command)
    return lines


def _endpoint(value: str) -> tuple[str, tuple[str, int]]:
    """A socket path, or host and port."""
    path = value[5:] if value.startswith("unix@") else value
    if os.path.isabs(path):
        return path, ("", 0)
    match = _ADDRESS.fullmatch(value)
    if not match or not 0 < int(match.group("port")) < 65536:
        do = "Write the path of the stats socket, such as /run/haproxy/admin.sock, or host:port."
        raise ConfigError(f"{value[:80]!r} is not the address of a stats socket", do=do)
    return "", (match.group("host").strip("[]"), int(match.group("port")))
