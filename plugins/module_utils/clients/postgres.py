# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Migrations on a real PostgreSQL, through psycopg: short locks tried again, indexes without locks, and a table that remembers each statement."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Optional

from ..core.errors import ConfigError, MissingDependency, TimedOut, Unavailable
from ..core.migration import Done, Migration, Statement, left

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
    except ImportError:
        raise MissingDependency("psycopg[binary]", needed_for="database migrations") from None
    return psycopg


class Migrator:
    """One database. ``settings``: arguments of psycopg.connect; ``lock_timeout``: how long others may be held up behind a lock that is waited for."""

    def __init__(self, settings: Mapping[str, Any], dsn_env: str = "", *, lock_timeout: float = 0.5, retries: int = 60, statement_timeout: float = 5.0,
                 long_timeout: float = 7200.0, say: Callable[[str], None] = lambda line: None) -> None:
        self._psycopg = driver()
        self._settings, self._dsn_env = dict(settings), dsn_env
        self.lock_timeout, self.retries, self.statement_timeout, self.long_timeout, self._say = lock_timeout, retries, statement_timeout, long_timeout, say
        self._link = self._connect()

    def close(self) -> None:
        self._link.close()

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
        if self._one("SELECT to_regclass(%s)", TABLE) is None:
            return {}
        rows = self._link.execute(f"SELECT name, checksum, statements, finished IS NOT NULL FROM {TABLE}").fetchall()
        return {name: Done(checksum, statements, finished) for name, checksum, statements, finished in rows}

    def run(self, migrations: list[Migration]) -> list[str]:
        """Run what is left of them, in order, and nothing twice; the names of those that had something left. Raises ConfigError, TimedOut, Unavailable."""
        try:
            return self._run(migrations)
        except self._psycopg.Error as error:
            raise _translated(error, self._psycopg) from None

    def _run(self, migrations: list[Migration]) -> list[str]:
        self._only_one()
        try:
            self._link.execute(f"CREATE TABLE IF NOT EXISTS {TABLE} (name text PRIMARY KEY, phase text NOT NULL, checksum text NOT NULL,"
                               " statements integer NOT NULL, started timestamptz NOT NULL DEFAULT now(), finished timestamptz)")
            known = self.done()
            todo = {migration.name: left(migration, known.get(migration.name)) for migration in migrations}  # all are looked at before one is run
            changed = []
            for migration in migrations:
                if migration.name in known and known[migration.name].finished:
                    continue
                self._link.execute(f"INSERT INTO {TABLE} (name, phase, checksum, statements) VALUES (%s, %s, %s, 0) ON CONFLICT DO NOTHING",
                                   (migration.name, migration.phase, migration.checksum))
                for number in todo[migration.name]:
                    self._say(f"{migration.name}: statement {number + 1} of {len(migration.statements)}")
                    self._statement(migration, number)
                self._link.execute(f"UPDATE {TABLE} SET finished = now() WHERE name = %s", (migration.name,))
                changed.append(migration.name)
            return changed
        finally:
            if not self._link.closed:
                self._link.execute("SELECT pg_advisory_unlock(%s)", (LOCK,))

    def _only_one(self) -> None:
        until = time.monotonic() + self.long_timeout
        while not self._one("SELECT pg_try_advisory_lock(%s)", LOCK):
            if time.monotonic() > until:
                raise TimedOut("another run migrates this database", where="the database", do="Wait for it, or look at pg_stat_activity.")
            time.sleep(LOOK)

    # One statement

    def _statement(self, migration: Migration, number: int) -> None:
        statement = migration.statements[number]
        while True:
            if statement.alone:
                self._alone(statement, migration.name)
                self._link.execute(f"UPDATE {TABLE} SET statements = %s WHERE name = %s", (number + 1, migration.name))
                return
            rows = self._patiently(statement, migration.name, number)
            if not statement.repeat or rows == 0:
                return

    def _patiently(self, statement: Statement, name: str, number: int) -> int:
        """In one transaction with the note that it was run. A lock that does not come is let go of at once, and tried for again later."""
        for attempt in range(1, self.retries + 1):
            try:
                with self._link.transaction():
                    self._limits(self.lock_timeout, self.long_timeout if statement.patient else self.statement_timeout)
                    rows = int(self._link.execute(statement.sql).rowcount)
                    if not statement.repeat or rows == 0:
                        self._link.execute(f"UPDATE {TABLE} SET statements = %s WHERE name = %s", (number + 1, name))
                    return rows
            except self._psycopg.Error as error:
                if error.sqlstate not in (LOCKED, DEADLOCK) or attempt == self.retries:
                    raise
                if attempt in (1, 10, 30):
                    self._say(f"{name}: others hold the table, trying again ({attempt} of {self.retries})")
                time.sleep(random.uniform(0.5, 1.5) * min(self.lock_timeout * attempt, 5.0))
        return 0

    def _alone(self, statement: Statement, name: str) -> None:
        """In no transaction. It waits for others without being in their way, so that no lock timeout cuts it."""
        for attempt in range(1, self.retries + 1):
            if statement.index and self._is_there(*statement.index, name):
                return
            try:
                self._link.execute(f"SET lock_timeout = 0; SET statement_timeout = {round(self.long_timeout * 1000)}")
                self._watched(statement, name)
                return
            except self._psycopg.Error as error:
                if error.sqlstate != DEADLOCK or attempt == self.retries:
                    raise
                self._say(f"{name}: a deadlock, trying again")
            finally:
                if not self._link.closed:
                    self._link.execute("RESET lock_timeout; RESET statement_timeout")

    def _is_there(self, index: str, table: str, name: str) -> bool:
        """Whether the index is built. What a run that was cut left invalid is removed."""
        place = f"{table.rsplit('.', 1)[0]}.{index}" if "." in table and "." not in index else index
        valid = self._one("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", place)
        if valid is False:
            self._say(f"{name}: index {index} is invalid, left by a run that was cut: removed, and built anew")
            self._link.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {place}")
        return valid is True

    def _watched(self, statement: Statement, name: str) -> None:
        """Run it, and say from a second connection how far it is."""
        failed: list[BaseException] = []

        def work() -> None:
            try:
                self._link.execute(statement.sql)
            except self._psycopg.Error as error:
                failed.append(error)

        thread = threading.Thread(target=work, daemon=True)
        pid, said = self._link.info.backend_pid, 0.0
        thread.start()
        watcher: Optional[Any] = None
        try:
            while thread.is_alive():
                thread.join(LOOK)
                if thread.is_alive() and time.monotonic() - said >= SAY:
                    watcher = watcher or self._connect()
                    said = time.monotonic()
                    row = watcher.execute("SELECT phase, coalesce(100 * blocks_done / nullif(blocks_total, 0), 100 * tuples_done / nullif(tuples_total, 0))"
                                          " FROM pg_stat_progress_create_index WHERE pid = %s", (pid,)).fetchone()
                    if row:
                        self._say(f"{name}: {row[0]}" + (f", {row[1]} %" if row[1] is not None else ""))
        finally:
            if watcher is not None:
                watcher.close()
        if failed:
            raise failed[0]

    def _limits(self, lock: float, statement: float) -> None:
        self._link.execute(f"SET LOCAL lock_timeout = {max(1, round(lock * 1000))}; SET LOCAL statement_timeout = {round(statement * 1000)}")

    def _one(self, sql: str, *values: Any) -> Any:
        row = self._link.execute(sql, values).fetchone()
        return row[0] if row else None


def _said(error: Any) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _translated(error: Any, psycopg: Any) -> Exception:
    if error.sqlstate in (LOCKED, DEADLOCK):
        return TimedOut("the lock did not come: others hold the table all the time", where="the database", do="Look at pg_stat_activity; run it again later.")
    if error.sqlstate == CANCELLED:
        return TimedOut("a statement took too long and was undone", where="the database", do="Do it in smaller parts, or raise statement_timeout.")
    if isinstance(error, psycopg.OperationalError):
        return Unavailable(_said(error), where="the database", do="Run it again: it goes on where it was.")
    return ConfigError(f"the database refuses: {_said(error)}", where="the database")
