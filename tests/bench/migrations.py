# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A big table under both versions of a program while it is migrated: the longest that one of their statements took, beside bare psql.

``BENCH_ROWS`` makes the table smaller. The server is as durable as PostgreSQL is by itself: what the disk costs is in the times.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg

from ansible_collections.progressive.delivery.plugins.module_utils.clients.postgres import Migrator
from ansible_collections.progressive.delivery.plugins.module_utils.core.migration import dangers, read
from ansible_collections.progressive.delivery.tests.bench import plays
from ansible_collections.progressive.delivery.tests.integration.postgres_rig import PASSWORD, Postgres

ROWS = int(os.environ.get("BENCH_ROWS", "5000000"))
IN_FRONT = 15.0
"""Seconds that a report's transaction holds the table in front of the change."""
GUIDE = ("ALTER TABLE users ADD COLUMN new_field VARCHAR(255) DEFAULT 'default_value'", "CREATE INDEX CONCURRENTLY idx_users_new_field ON users(new_field)")
PHASES: list[dict[str, Any]] = [
    {"name": "the guide's column and index", "phase": "expand", "statements": list(GUIDE)},
    {"name": "a constraint, validated", "phase": "expand", "statements": [
        "ALTER TABLE users ADD CONSTRAINT named CHECK (name IS NOT NULL) NOT VALID", "ALTER TABLE users VALIDATE CONSTRAINT named"]},
    {"name": "every row filled, 1,000 at a time", "phase": "expand", "statements": [
        {"sql": "UPDATE users SET new_field = name WHERE {range} AND new_field = 'default_value'", "table": "users", "key": "id", "batch": 1000}]},
]
CONTRACT: dict[str, Any] = {"name": "the old column dropped", "phase": "contract", "statements": ["ALTER TABLE users DROP COLUMN old"]}
OLD = ("UPDATE users SET name = 'old ' || id, old = 'y' WHERE id = %s", "SELECT name, old FROM users WHERE id = %s")
NEW = ("UPDATE users SET name = 'new ' || id, new_field = 'n' WHERE id = %s", "SELECT name, new_field FROM users WHERE id = %s")


def write(settings: dict[str, Any], statements: tuple[str, ...], needs: str, seed: int, ready: Any, over: Any, answers: Any) -> None:
    """One process of a version: its statements on rows by chance, from when the column is there that it needs."""
    choice, slowest, count, failed = random.Random(seed), 0.0, 0, list[str]()
    with psycopg.connect(**settings, autocommit=True, prepare_threshold=None) as link:
        ready.release()
        while not over.is_set() and not link.execute(
                "SELECT 1 FROM information_schema.columns WHERE table_name = 'users' AND column_name = %s", (needs,)).fetchone():
            over.wait(0.2)
        while not over.is_set():
            began = time.monotonic()
            try:
                link.execute(statements[count % len(statements)], (choice.randint(1, ROWS),))
            except psycopg.Error as error:
                failed.append(str(error))
            slowest = max(slowest, time.monotonic() - began)
            count += 1
            over.wait(0.002)
    answers.put((slowest, count, failed))


def under_load(server: Postgres, versions: list[tuple[tuple[str, ...], str]], change: Callable[[], object]) -> tuple[float, float, int, int]:
    """(seconds that the change took, the longest statement, statements, failed)"""
    fresh = multiprocessing.get_context("spawn")
    ready, over, answers = fresh.Semaphore(0), fresh.Event(), fresh.Queue()
    writers = [fresh.Process(target=write, args=(server.admin, *version, seed, ready, over, answers)) for seed, version in enumerate(versions * 2)]
    for writer in writers:
        writer.start()
    for _writer in writers:
        assert ready.acquire(timeout=120)
    time.sleep(2)
    began = time.monotonic()
    try:
        change()
    finally:
        took = time.monotonic() - began
        time.sleep(1)
        over.set()
        told = [answers.get(timeout=120) for _writer in writers]
        for writer in writers:
            writer.join()
    for sentence in {failure for _slowest, _count, failed in told for failure in failed}:
        print(f"failed: {sentence}")
    return took, max(one[0] for one in told), sum(one[1] for one in told), sum(len(one[2]) for one in told)


@contextlib.contextmanager
def report_in_front(server: Postgres) -> Iterator[None]:
    """A transaction that has read the table, and stays open."""
    link, over = psycopg.connect(**server.admin), threading.Event()
    link.execute("SELECT name FROM users WHERE id = 1")

    def end() -> None:
        over.wait(IN_FRONT)
        link.close()

    thread = threading.Thread(target=end)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def ours(server: Postgres, *migrations: dict[str, Any]) -> None:
    todo = read(migrations)
    assert not [sentence for item in todo for _code, sentence in dangers(item)]
    migrator = Migrator(server.admin, say=lambda line: print(f"  {line}", flush=True))
    try:
        migrator.run(todo)
    finally:
        migrator.close()


def guides(server: Postgres) -> None:
    for statement in GUIDE:
        subprocess.run(["psql", "-q", "-h", "127.0.0.1", "-p", str(server.port), "-U", "admin", "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-c", statement],
                       env={**os.environ, "PGPASSWORD": PASSWORD}, check=True)


def run(_folder: Path) -> None:
    server = Postgres(fsync="on", full_page_writes="on", synchronous_commit="on", max_wal_size="4GB", shared_buffers="512MB")
    rows: list[tuple[str, ...]] = []
    old, new = (OLD, "old"), (NEW, "new_field")

    def measured(what: str, versions: list[tuple[tuple[str, ...], str]], change: Callable[[], object]) -> None:
        took, slowest, count, failed = under_load(server, versions, change)
        rows.append((what, f"{took:.1f}", f"{slowest * 1000:,.0f}", f"{count:,}", str(failed)))
        print(rows[-1], flush=True)

    def behind_a_report(change: Callable[[], object]) -> None:
        with report_in_front(server):
            change()

    try:
        server.execute("CREATE TABLE users (id bigint PRIMARY KEY, name text, old text)",
                       f"INSERT INTO users SELECT n, 'name ' || n, 'x' FROM generate_series(1, {ROWS}) n", "VACUUM ANALYZE users", "CHECKPOINT")
        measured("nothing, 15 s", [old], lambda: time.sleep(15))
        measured("psql, the guide's column and index, behind a report", [old, new], lambda: behind_a_report(lambda: guides(server)))
        server.execute("DROP INDEX idx_users_new_field", "ALTER TABLE users DROP COLUMN new_field", "VACUUM ANALYZE users", "CHECKPOINT")
        measured("**this collection**, the same, behind a report", [old, new], lambda: behind_a_report(lambda: ours(server, PHASES[0])))
        for phase in PHASES[1:]:
            measured(f"**this collection**, {phase['name']}", [old, new], lambda phase=phase: ours(server, phase))  # type: ignore[misc]
        measured(f"**this collection**, {CONTRACT['name']}, behind a report", [new], lambda: behind_a_report(lambda: ours(server, CONTRACT)))
    finally:
        server.close()
    plays.table(f"A table of {ROWS:,} rows, migrated under load", ("", "s", "longest statement, ms", "statements", "failed"), rows)
