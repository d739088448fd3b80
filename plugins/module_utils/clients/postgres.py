# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Migrations on a real PostgreSQL, through psycopg: short locks tried again, indexes without locks, and a table that remembers each statement."""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Optional

from ..core.errors import ConfigError, Interrupted, MissingDependency, TimedOut, Unavailable
from ..core.migration import RANGE, Done, Migration, Statement, left

TABLE = "progressive_migrations"
LOCK = 7_305_801_991_234
"""Key of the advisory lock: one run at a time."""
LOCKED, DEADLOCK, CANCELLED = "55P03", "40P01", "57014"
LOOK = 1.0
SAY = 5.0
"""Seconds between two looks at how far an index is, and between two lines about it."""


def driver() -> Any:
    try:
        import psycopg
        import psycopg.sql  # noqa: F401
    except ImportError:
        raise MissingDependency("psycopg[binary]", needed_for="database migrations") from None
    return psycopg


class Migrator:
    """One database. ``settings``: arguments of psycopg.connect; ``lock_timeout``: how long others may be held up behind a lock that is waited for.

    ``pause`` sleeps, and raises when this process was asked to end: what the database is doing is cancelled then.
    """

    def __init__(self, settings: Mapping[str, Any], dsn_env: str = "", *, lock_timeout: float = 0.5, retries: int = 60, statement_timeout: float = 5.0,
                 long_timeout: float = 7200.0, say: Callable[[str], None] = lambda line: None, pause: Callable[[float], None] = time.sleep) -> None:
        self._psycopg = driver()
        self._settings, self._dsn_env = dict(settings), dsn_env
        self.lock_timeout, self.retries, self.statement_timeout, self.long_timeout = lock_timeout, retries, statement_timeout, long_timeout
        self._say, self._pause = say, pause
        self._link = self._connect()
        self._watcher: Any = None
        self._blockers = ""
        """Who was last seen in the way, as text."""

    def close(self) -> None:
        for link in (self._link, self._watcher):
            if link is not None:
                link.close()

    def _connect(self) -> Any:
        if self._dsn_env and not os.environ.get(self._dsn_env):
            raise ConfigError(f"the environment variable {self._dsn_env[:80]} is not set here", where="dsn_env", do="Set it to a connection string.")
        dsn = os.environ.get(self._dsn_env, "") if self._dsn_env else ""
        try:
            return self._psycopg.connect(dsn, **{"application_name": "progressive.delivery", "connect_timeout": 10, **self._settings}, autocommit=True)
        except self._psycopg.ProgrammingError:
            raise ConfigError("the connection's settings are not understood", where="dsn_env" if dsn else "host") from None
        except self._psycopg.Error as error:
            raise Unavailable(_said(error), where="the database") from None

    # What it remembers

    def done(self) -> dict[str, Done]:
        """By name, what was run already."""
        try:
            if self._one("SELECT to_regclass(%s)", TABLE) is None:
                return {}
            rows = self._link.execute(f"SELECT name, statements, finished IS NOT NULL FROM {TABLE}").fetchall()
        except self._psycopg.Error as error:
            raise self._translated(error, f"the table {TABLE}") from None
        return {name: Done(tuple(statements), finished) for name, statements, finished in rows}

    def run(self, migrations: list[Migration]) -> list[str]:
        """Run what is left of them, in order, and nothing twice; the names of those that had something left. Raises ConfigError, TimedOut, Unavailable."""
        try:
            return self._run(migrations)
        except self._psycopg.Error as error:
            raise self._translated(error, "the database") from None

    def _run(self, migrations: list[Migration]) -> list[str]:
        self._only_one()
        try:
            self._watcher = self._watcher or self._connect()
            self._link.execute(f"CREATE TABLE IF NOT EXISTS {TABLE} (name text PRIMARY KEY, phase text NOT NULL, statements text[] NOT NULL DEFAULT '{{}}',"
                               " reached text, started timestamptz NOT NULL DEFAULT now(), finished timestamptz)")
            known = self.done()
            todo = {migration.name: left(migration, known.get(migration.name)) for migration in migrations}  # all are looked at before one is run
            changed = []
            for migration in migrations:
                if migration.name in known and known[migration.name].finished:
                    continue
                self._link.execute(f"INSERT INTO {TABLE} (name, phase) VALUES (%s, %s) ON CONFLICT DO NOTHING", (migration.name, migration.phase))
                for number in todo[migration.name]:
                    self._say(f"{migration.name}: statement {number + 1} of {len(migration.statements)}")
                    try:
                        self._statement(migration, number)
                    except self._psycopg.Error as error:
                        raise self._translated(error, f"{migration.name}, statement {number + 1}") from None
                self._link.execute(f"UPDATE {TABLE} SET finished = now() WHERE name = %s", (migration.name,))
                changed.append(migration.name)
            return changed
        finally:
            with contextlib.suppress(self._psycopg.Error):  # the session's end gives it back as well, and what went wrong before is what is told
                self._link.execute("SELECT pg_advisory_unlock(%s)", (LOCK,))

    def _only_one(self) -> None:
        """Polled: who sleeps in the lock itself is what the other's concurrent index would wait for."""
        until, said = time.monotonic() + self.long_timeout, False
        while not self._one("SELECT pg_try_advisory_lock(%s)", LOCK):
            who = self._sessions("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND (classid::bigint << 32 | objid::bigint) = %s"
                                 " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())", LOCK)
            if time.monotonic() > until:
                raise TimedOut(f"another run migrates this database: {who}", where="the database", do="Wait for it, or end it: pg_terminate_backend(pid).")
            if not said:
                self._say(f"another run migrates this database: waiting for {who}")
                said = True
            self._pause(LOOK)

    # One statement

    def _statement(self, migration: Migration, number: int) -> None:
        statement = migration.statements[number]
        if statement.alone:
            self._alone(statement, migration.name)
            self._note(migration, number)
            return
        said = time.monotonic()
        changed = 0
        while True:
            rows = self._patiently(migration, number)
            if rows is None:
                return
            changed += rows
            if time.monotonic() - said >= SAY:
                said = time.monotonic()
                self._say(f"{migration.name}: {changed} rows")
            self._pause(0)

    def _note(self, migration: Migration, number: int) -> None:
        self._link.execute(f"UPDATE {TABLE} SET statements = array_append(statements, %s::text), reached = NULL WHERE name = %s",
                           (migration.statements[number].checksum, migration.name))

    def _patiently(self, migration: Migration, number: int) -> Optional[int]:
        """In one transaction with the note that it was run. A lock that does not come is let go of at once, and tried for again later.

        The number of rows where there may be more to do, else None.
        """
        statement, attempt = migration.statements[number], 0
        while True:
            attempt += 1
            try:
                with self._link.transaction():
                    longest = self.long_timeout if statement.patient else self.statement_timeout
                    self._link.execute(f"SET LOCAL lock_timeout = {_ms(self.lock_timeout)}; SET LOCAL statement_timeout = {_ms(longest)}")
                    sql = self._next_rows(statement, migration.name) if statement.key else statement.sql
                    rows = self._watched(sql, migration.name, self.lock_timeout / 2) if sql else 0
                    if sql and (statement.key or (statement.repeat and rows)):
                        return rows
                    self._note(migration, number)
                    return None
            except self._psycopg.Error as error:
                if error.sqlstate not in (LOCKED, DEADLOCK) or attempt >= self.retries:
                    raise
                if attempt in (1, 10, 30):
                    self._say(f"{migration.name}: {self._blockers or 'others'} in the way, trying again ({attempt} of {self.retries})")
                self._pause(random.uniform(0.5, 1.5) * min(self.lock_timeout * attempt, 5.0))

    def _next_rows(self, statement: Statement, name: str) -> str:
        """The statement for the next rows by key, or nothing when there are none; where it got to is noted."""
        reached = self._one(f"SELECT reached FROM {TABLE} WHERE name = %s", name)
        behind = f"{statement.key} > {self._quoted(reached)}" if reached is not None else ""
        upto = self._one(f"SELECT {statement.key}::text FROM (SELECT {statement.key} FROM {statement.table} {'WHERE ' + behind if behind else ''}"
                         f" ORDER BY {statement.key} LIMIT {statement.batch}) AS rows ORDER BY rows.{statement.key} DESC LIMIT 1")
        if upto is None:
            return ""
        self._link.execute(f"UPDATE {TABLE} SET reached = %s WHERE name = %s", (upto, name))
        return statement.sql.replace(RANGE, f"({behind + ' AND ' if behind else ''}{statement.key} <= {self._quoted(upto)})")

    def _quoted(self, value: str) -> str:
        return str(self._psycopg.sql.Literal(value).as_string(self._link))

    def _alone(self, statement: Statement, name: str) -> None:
        """In no transaction. It waits for others without being in their way, so that no lock timeout cuts it."""
        for attempt in range(1, self.retries + 1):
            if statement.index and self._is_there(*statement.index, name):
                return
            try:
                self._link.execute(f"SET lock_timeout = 0; SET statement_timeout = {_ms(self.long_timeout)}")
                self._watched(statement.sql, name, LOOK)
                return
            except self._psycopg.Error as error:
                if error.sqlstate != DEADLOCK or attempt == self.retries:
                    raise
                self._say(f"{name}: a deadlock, trying again")
            finally:
                with contextlib.suppress(self._psycopg.Error):
                    self._link.execute("RESET lock_timeout; RESET statement_timeout")

    def _is_there(self, index: str, table: str, name: str) -> bool:
        """Whether the index is built. What a run that was cut left invalid is removed; what somebody else is building is waited for."""
        place = f"{table.rsplit('.', 1)[0]}.{index}" if "." in table and "." not in index else index
        said, until = False, time.monotonic() + self.long_timeout
        while True:
            row = self._link.execute("SELECT indisvalid, indrelid = to_regclass(%s), indrelid::regclass::text FROM pg_index WHERE indexrelid = to_regclass(%s)",
                                     (table, place)).fetchone()
            if row is None:
                return False
            if row[1] is False:
                raise ConfigError(f"there is an index {index} already, on {row[2]}", where=name, do="Give this one another name.")
            if row[0]:
                return True
            builder = self._sessions("SELECT pid FROM pg_stat_progress_create_index WHERE index_relid = to_regclass(%s)", place)
            if not builder:
                self._say(f"{name}: index {index} is invalid, left by a run that was cut: removed, and built anew")
                self._link.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {place}")
                return False
            if time.monotonic() > until:
                raise TimedOut(f"index {index} is being built by somebody else: {builder}", where=name, do="Wait for it, and run this again.")
            if not said:
                self._say(f"{name}: index {index} is being built already: waiting for {builder}")
                said = True
            self._pause(LOOK)

    def _watched(self, sql: str, name: str, first: float) -> int:
        """Run it, while a second connection looks who is in its way and how far it is; the number of rows."""
        over, asked = threading.Event(), list[Interrupted]()
        thread = threading.Thread(target=self._watch, args=(name, first, over, asked), daemon=True)
        self._blockers = ""
        thread.start()
        try:
            return int(self._link.execute(sql).rowcount)
        except self._psycopg.Error:
            if asked:
                raise asked[0] from None
            raise
        finally:
            over.set()
            thread.join()

    def _watch(self, name: str, first: float, over: threading.Event, asked: list[Interrupted]) -> None:
        pid, said, wait = self._link.info.backend_pid, time.monotonic() - SAY, first
        while not over.wait(wait):
            wait = min(LOOK, max(first, 0.05))
            try:
                self._pause(0)
            except Interrupted as error:
                asked.append(error)
                self._link.cancel()
                return
            try:
                self._blockers = self._sessions("SELECT unnest(pg_blocking_pids(%s))", pid, link=self._watcher) or self._blockers
                if time.monotonic() - said >= SAY:
                    said = self._progress(name, pid, said)
            except self._psycopg.Error:
                return  # what it sees is a courtesy: the statement itself says what went wrong

    def _progress(self, name: str, pid: int, said: float) -> float:
        row = self._watcher.execute("SELECT phase, coalesce(100 * blocks_done / nullif(blocks_total, 0), 100 * tuples_done / nullif(tuples_total, 0)),"
                                    " current_locker_pid FROM pg_stat_progress_create_index WHERE pid = %s", (pid,)).fetchone()
        if row is None:
            return said
        locker = self._sessions("SELECT %s::int", row[2], link=self._watcher) if row[2] else ""
        self._say(f"{name}: {row[0]}" + (f": {locker}" if locker else f", {row[1]} %" if row[1] is not None else ""))
        return time.monotonic()

    def _sessions(self, pids: str, *values: Any, link: Optional[Any] = None) -> str:
        """The sessions whose pids this query returns, in words."""
        rows = (link or self._link).execute("SELECT pid, usename, state, round(extract(epoch FROM now() - coalesce(xact_start, query_start))), left(query, 80)"
                                            f" FROM pg_stat_activity WHERE pid IN ({pids}) ORDER BY pid", values).fetchall()
        return "; ".join(f"pid {pid} ({user}, {state or 'unknown'}{f' for {seconds:.0f} s' if seconds is not None else ''}): {' '.join((query or '?').split())}"
                         for pid, user, state, seconds, query in rows)

    def _one(self, sql: str, *values: Any) -> Any:
        row = self._link.execute(sql, values or None).fetchone()
        return row[0] if row else None

    def _translated(self, error: Any, where: str) -> Exception:
        who = f", {self._blockers}" if self._blockers else ""
        if error.sqlstate in (LOCKED, DEADLOCK):
            return TimedOut(f"the lock did not come in {self.retries} attempts: others hold the table{who}", where=where,
                            do="End that session with pg_terminate_backend(pid), or run this again later.")
        if error.sqlstate == CANCELLED:
            return TimedOut(f"a statement took too long and was undone{who}", where=where, do="Do it in smaller parts, or raise statement_timeout.")
        if isinstance(error, self._psycopg.OperationalError):
            return Unavailable(_said(error), where=where, do="Run it again: it goes on where it was.")
        return ConfigError(f"the database refuses: {_said(error)}", where=where, do="Nothing of this statement is done. Correct it, and run it again.")


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _said(error: Any) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
