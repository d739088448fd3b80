# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Business numbers out of a SQL database: orders, revenue, conversion. PostgreSQL, by psycopg.

The metric's query is one SELECT (or WITH, or VALUES). It runs in a transaction that can only read, with a time limit, over a connection of its own.
Placeholders are bound by the server, never pasted: a version cannot end a string. A column ``value`` holds the number, ``requests`` the number of
requests it was made from, ``time`` the time it is of; all others are labels. A single column is the value, whatever its name.
"""

from __future__ import annotations

import contextlib
import datetime
import decimal
import math
import os
import re
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Optional

from ..core.errors import ConfigError, MissingDependency, NoData, Unavailable, Unsupported, unknown
from ..core.metric import PLACEHOLDERS, TIMES, window_labels
from ..core.model import Point, Sample, Series, Window
from ..core.moment import fresh
from ..core.options import Option, Options
from ..core.units import duration

LARGEST = 1000
"""Rows. More are a query that lacks its GROUP BY, or its WHERE."""
GRACE = 2.0
"""Seconds beyond its own limit after which a server that says nothing at all is hung up on."""
KNOWN = tuple(sorted({*PLACEHOLDERS, *TIMES} - {"query"}))
"""The names that ``${...}`` may hold. ``start`` and ``end`` are timestamps with a zone, ``window`` is an interval such as 45s, the others are text."""
_PLACE = re.compile(r"('?)\$\{([^}]*)\}('?)")


class SqlProvider:
    """The MetricProvider port over one database. ``settings``: keyword arguments of psycopg.connect; ``timeout``: seconds that a query may take.

    ``dsn_env``: the environment variable that holds a connection string; ``settings`` win over it.
    """

    SUMMARY: ClassVar[str] = "A number out of a PostgreSQL database."
    OPTIONS: ClassVar[Options] = {
        "host": Option("str", "Name or address of the server, or the folder of its socket. Default is E(PGHOST), then the local socket."),
        "port": Option("int", "Its port. Default is E(PGPORT), then 5432.", minimum=1, maximum=65535),
        "database": Option("str", "Name of the database. Default is E(PGDATABASE), then the user's name."),
        "user": Option("str", "A user that may read the tables, and nothing else. Default is E(PGUSER), then the system's user."),
        "password": Option("str", "Its password. Default is E(PGPASSWORD), then the password file.", secret=True),
        "sslmode": Option(
            "str", "How TLS is used. Default is E(PGSSLMODE), then V(prefer).", choices=("allow", "disable", "prefer", "require", "verify-ca", "verify-full")
        ),
        "ca_path": Option("path", "Certificates of the authorities to trust, for V(sslmode=verify-full)."),
        "dsn_env": Option(
            "str", "Name of an environment variable with a connection string, such as C(postgresql://metrics:secret@db/shop). The options here win over it."
        ),
        "timeout": Option("duration", "Longest wait for a connection, and for the answer of a query.", default="5s"),
        "max_age": Option("duration", "How old the newest row may be, for a query with a column C(time).", default="2m"),
    }

    def __init__(self, settings: Mapping[str, Any], timeout: float, max_age: float = 120.0, dsn_env: str = "") -> None:
        self.settings = dict(settings)
        self.dsn_env = dsn_env
        self.timeout = timeout
        self.max_age = max_age
        host = settings.get("host") or dsn_env or os.environ.get("PGHOST", "localhost")
        self._where = f"sql {host}/{settings.get('dbname') or os.environ.get('PGDATABASE', '')}".rstrip("/")

    @classmethod
    def from_options(cls, options: Mapping[str, Any], tracks: Mapping[str, tuple[str, ...]]) -> SqlProvider:
        """``tracks`` does not matter here: the query names what is measured."""
        names = {"database": "dbname", "ca_path": "sslrootcert"}
        given = {names.get(name, name): options[name] for name in ("host", "port", "database", "user", "password", "sslmode", "ca_path") if options.get(name)}
        for name, value in given.items():
            if isinstance(value, str) and "\0" in value:
                raise ConfigError("it holds a zero byte", where=f"sql.{name}")
        timeout = duration(options.get("timeout", "5s"), "sql.timeout")
        if timeout <= 0:
            raise ConfigError("a timeout of 0 waits for ever", where="sql.timeout")
        dsn_env = options.get("dsn_env") or ""
        if dsn_env and not os.environ.get(dsn_env):
            raise ConfigError(f"the environment variable {dsn_env[:80]} is not set here", where="sql.dsn_env", do="Set it to a connection string.")
        return cls(given, timeout, duration(options.get("max_age", "2m"), "sql.max_age"), dsn_env)

    def probe(self) -> None:
        """Ask for a constant. Raises Unavailable, MissingDependency."""
        self._asked("SELECT 1 AS value", {})

    def query(self, query: str, window: Window) -> Series:
        """One sample for each row.

        Raises NoData (no row, or only NULL); Unavailable (everything else that is not a number, the database); Stale; Unsupported; ConfigError for a
        query that the database refuses.
        """
        if window.builtin:
            raise Unsupported("a SQL metric has no built-in metrics", where="sql", do="Write a query: a SELECT.")
        text, bound = prepared(query, window)
        columns, rows, now = self._asked(text, bound)
        return Series(tuple(self._sample(dict(zip(columns, row)), columns, now) for row in self._told(columns, rows)), query=query)

    def _told(self, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
        """The rows, all of them with a value."""
        if len(columns) > 1 and "value" not in columns:
            raise ConfigError(f"which of {', '.join(columns)[:120]} is the value?", where=self._where, do="Name that column value.")
        if len(set(columns)) < len(columns):
            raise ConfigError("two columns have one name", where=self._where, do="Name them apart with AS.")
        if not rows:
            raise NoData("the query has no rows", where=self._where)
        if len(rows) > LARGEST:
            raise Unavailable(f"the query has more than {LARGEST} rows", where=self._where, do="Let it aggregate.")
        place = columns.index("value") if "value" in columns else 0
        empty = sum(row[place] is None for row in rows)
        if empty == len(rows):
            raise NoData("the value is NULL", where=self._where)
        if empty:
            raise Unavailable(f"{empty} of {len(rows)} rows have no value", where=self._where, do="Leave such rows out in the query, or give them a value.")
        return rows

    def _sample(self, row: Mapping[str, Any], columns: Sequence[str], now: float) -> Sample:
        value = self._number(row["value"] if "value" in row else row[columns[0]], "value")
        n: Optional[int] = None
        if "requests" in row and len(columns) > 1:
            counted = self._number(row["requests"], "requests")
            if not (counted >= 0 and counted == math.floor(counted)):
                raise Unavailable(f"{counted:g} is no number of requests", where=self._where)
            n = int(counted)
        at = now
        if "time" in row and len(columns) > 1:
            told = row["time"]
            if not isinstance(told, datetime.datetime) or told.tzinfo is None:
                raise Unavailable("the column time is not a timestamp with time zone", where=self._where, do="Cast it: (...)::timestamptz AS time.")
            at = told.timestamp()
            fresh(at, now, self.max_age, self._where)
        labels = {name: str(value) for name, value in row.items() if name not in ("value", "requests", "time")} if len(columns) > 1 else {}
        return Sample((Point(at, value, n),), labels)

    def _number(self, value: Any, what: str) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float, decimal.Decimal)):
            kind = "NULL" if value is None else type(value).__name__
            raise Unavailable(f"{what} is {kind}, not a number", where=self._where, do="Cast it in the query, as ::float or ::int.")
        try:
            number = float(value)
        except (OverflowError, ValueError):  # an integer beyond all floats; a signalling NaN
            number = math.inf
        said = isinstance(value, float) or (isinstance(value, decimal.Decimal) and value.is_infinite())
        if math.isinf(number) and not said:
            raise Unavailable(f"{what} is too large a number", where=self._where)
        return number

    def _asked(self, text: str, bound: Mapping[str, Any]) -> tuple[list[str], list[tuple[Any, ...]], float]:
        """(names of the columns, at most LARGEST + 1 rows, the server's time in seconds since the epoch)."""
        psycopg = driver()
        seconds = max(2, math.ceil(self.timeout))
        settings = {"application_name": "progressive.delivery", **self.settings, "connect_timeout": seconds}
        cut = threading.Event()
        try:
            dsn = os.environ.get(self.dsn_env, "") if self.dsn_env else ""
            with psycopg.connect(dsn, **settings) as connection, _hung_up(connection, self.timeout + GRACE, cut):
                return self._answer(connection, text, bound)
        except psycopg.Error as error:
            if cut.is_set():
                silent = f"no word from the server for {self.timeout + GRACE:g} s"
                raise Unavailable(silent, where=self._where, do="Is it reachable, and is it alive?") from None
            raise self._translated(error, psycopg) from None
        except UnicodeError:
            raise Unavailable("an answer is not text", where=self._where) from None

    def _answer(self, connection: Any, text: str, bound: Mapping[str, Any]) -> tuple[list[str], list[tuple[Any, ...]], float]:
        connection.read_only = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true), extract(epoch FROM now())::float8", [str(max(1, int(self.timeout * 1000)))])
            now = float(cursor.fetchone()[1])
        # A cursor of the server's: one SELECT and nothing else, and no more rows than are asked for.
        with connection.cursor(name="progressive_delivery") as cursor:
            cursor.execute(text, bound or None)
            rows = cursor.fetchmany(LARGEST + 1)
            columns = [column.name for column in cursor.description or ()]
        connection.rollback()
        return columns, rows, now

    def _translated(self, error: Any, psycopg: Any) -> Exception:
        """The database's error as one of ours. Its text names servers, users and columns, never the password."""
        lines = str(error).strip().splitlines() or [type(error).__name__]
        said, state = lines[0][:200], getattr(error, "sqlstate", None) or ""
        if state == "57014":
            return Unavailable(f"no answer within {self.timeout:g} s", where=self._where, do="Make the query cheaper, or raise timeout.")
        if state == "42501":
            return Unavailable(said, where=self._where, do="Grant SELECT on it to the user.")
        if state == "25006":
            return ConfigError(f"a metric only reads: {said}", where=self._where)
        if state.startswith(("0A", "42", "22P")):
            return ConfigError(f"the database refuses the query: {said}", where=self._where)
        if isinstance(error, psycopg.ProgrammingError) and not state:
            return ConfigError("the connection's settings are not understood", where=self._where)
        return Unavailable(said, where=self._where)


@contextlib.contextmanager
def _hung_up(connection: Any, seconds: float, cut: threading.Event) -> Iterator[None]:
    """Shut the connection down after ``seconds``, and say so by ``cut``: the server's own limit does not help where the server hangs or is out of reach."""
    line = socket.socket(fileno=os.dup(connection.fileno()))

    def shut() -> None:
        cut.set()
        with contextlib.suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, shut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        line.close()


def prepared(query: str, window: Window) -> tuple[str, dict[str, Any]]:
    """The query with ``%(name)s`` in the place of placeholders, and what is bound to them.

    Raises ConfigError for a name we do not know and for a placeholder within quotes, Unavailable for one that has no value.
    """
    start, end = (datetime.datetime.fromtimestamp(at, datetime.timezone.utc) for at in (window.start, window.end))
    labels: dict[str, Any] = {**window_labels(window), "start": start, "end": end}
    bound: dict[str, Any] = {}

    def one(match: re.Match[str]) -> str:
        name = match[2]
        if match[1] or match[3]:
            raise ConfigError(f"${{{name}}} stands within quotes", where="query", do="Leave the quotes away: it is bound as a value, not pasted.")
        if name not in KNOWN:
            raise unknown("placeholder", "${" + name + "}", ["${" + each + "}" for each in KNOWN], where="query")
        if not labels.get(name):
            raise Unavailable("${" + name + "} has no value here", where="query")
        bound[name] = labels[name]
        return f"%({name})s" + ("::interval" if name == "window" else "")

    parts, last = [], 0
    has = _PLACE.search(query) is not None
    for match in _PLACE.finditer(query):
        parts += [query[last : match.start()].replace("%", "%%"), one(match)]
        last = match.end()
    rest = query[last:]
    parts.append(rest.replace("%", "%%") if has else rest)
    return "".join(parts).strip().rstrip(";"), bound


def driver() -> Any:
    """psycopg. Raises MissingDependency."""
    try:
        import psycopg
    except ImportError:  # also where the library of PostgreSQL is not found
        raise MissingDependency("psycopg[binary]", needed_for="metrics of SQL databases") from None
    return psycopg
