# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guide's migration, by its shell and by our role, in turn, under both versions of a program: through to its end, and killed while it builds the index.

A report's transaction stays open in front of the column for :data:`IN_FRONT` seconds. ``N`` rounds (3), ``BENCH_ROWS`` rows (a million here).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import yaml

from ansible_collections.progressive.delivery.plugins.module_utils.clients.postgres import TABLE
from ansible_collections.progressive.delivery.tests.bench import migrations, plays
from ansible_collections.progressive.delivery.tests.bench.guide_chapters import SHELL
from ansible_collections.progressive.delivery.tests.integration.postgres_rig import PASSWORD, Postgres
from ansible_collections.progressive.delivery.tests.matrix.rig import Running, Site

N = int(os.environ.get("N", "3"))
ROWS = int(os.environ.get("BENCH_ROWS", "1000000"))
IN_FRONT = 6.0
HELD = 3.0
"""Seconds after the kill for which a transaction keeps the index from being done."""
COLUMN = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'users' AND column_name = 'new_field'"
INDEX = """SELECT CASE WHEN indisvalid THEN 'index valid' ELSE 'index not valid' END FROM pg_index WHERE indexrelid = to_regclass('idx_users_new_field')"""
BUILDING = "SELECT count(*) FROM pg_stat_progress_create_index"
PLAY = [{"name": "Expand", "hosts": "localhost", "gather_facts": False, "tasks": [
    {"name": "Expand", "ansible.builtin.include_role": {"name": "progressive.delivery.database_migration"}}]}]  # fmt: skip
WAYS = {"guide": "the guide's shell", "ours": "**this collection**"}


class Users:
    """A server with the table, and the command of each way."""

    def __init__(self, server: Postgres, folder: Path) -> None:
        self.server, self.folder = server, folder
        given = {"database_migration_connection": {"dsn_env": "SHOP_DATABASE"},
                 "database_migration_migrations": [{"name": "guide", "phase": "expand", "statements": list(migrations.GUIDE)}]}  # fmt: skip
        (folder / "site").mkdir()
        self.site = Site(folder / "site", stable=(), canary=(), release=given)
        (self.site.folder / "expand.yml").write_text(yaml.safe_dump(PLAY))
        self.count = 0

    def value(self, sql: str) -> Any:
        with psycopg.connect(**self.server.admin) as link:
            row = link.execute(sql).fetchone()
            return row[0] if row else None

    def begin(self, way: str) -> Running:
        if way == "ours":
            return self.site.start("expand.yml", "2", SHOP_DATABASE=f"host=127.0.0.1 port={self.server.port} user=admin password='{PASSWORD}' dbname=postgres")
        self.count += 1
        log = self.folder / f"run-{self.count}.txt"
        url = f"postgresql://admin:{urllib.parse.quote(PASSWORD)}@127.0.0.1:{self.server.port}/postgres"
        with log.open("wb") as output:
            process = subprocess.Popen(["bash", str(SHELL / "zero-downtime.sh"), "database-migration"], stdin=subprocess.DEVNULL, stdout=output,
                                       stderr=subprocess.STDOUT, start_new_session=True, env={**os.environ, "DATABASE_URL": url})  # fmt: skip
        return Running(process, log)

    def fresh(self) -> None:
        """The table as it was; nothing of a run before goes on."""
        self.server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'",
                            "DROP INDEX IF EXISTS idx_users_new_field", "ALTER TABLE users DROP COLUMN IF EXISTS new_field",
                            f"DROP TABLE IF EXISTS {TABLE}", "CHECKPOINT")  # fmt: skip

    def state(self) -> str:
        words = ["column" if self.value(COLUMN) else "no column", self.value(INDEX) or "no index", "being built" if self.value(BUILDING) else ""]
        return ", ".join(word for word in words if word)

    @contextlib.contextmanager
    def report(self) -> Iterator[None]:
        """A transaction that has read the table, and stays open for a while."""
        link, timer = psycopg.connect(**self.server.admin), threading.Event()
        link.execute("SELECT name FROM users WHERE id = 1")
        thread = threading.Thread(target=lambda: (timer.wait(IN_FRONT), link.close()))
        thread.start()
        yield
        thread.join()

    def through(self, way: str) -> tuple[float, float, int, int, int, str]:
        """(seconds, longest statement, statements, failed, exit status, state)"""
        codes: list[int] = []

        def change() -> None:
            with self.report():
                codes.append(self.begin(way).end(300).status)

        took, slowest, count, failed = migrations.under_load(self.server, [(migrations.OLD, "old"), (migrations.NEW, "new_field")], change)
        return took, slowest, count, failed, codes[0], self.state()

    def killed(self, way: str) -> tuple[str, int, str]:
        """(state after the kill, exit status of the second run, state then)"""
        running = self.begin(way)
        holder = psycopg.connect(**self.server.admin)
        while not self.value(COLUMN):
            assert running.process.poll() is None, running.text
            time.sleep(0.02)
        holder.execute("UPDATE users SET old = 'y' WHERE id = 1")
        while not self.value(BUILDING):
            assert running.process.poll() is None, running.text
            time.sleep(0.02)
        time.sleep(0.5)
        running.kill()
        ending = threading.Timer(HELD, holder.rollback)
        ending.start()
        time.sleep(1)
        after = self.state()
        again = self.begin(way).end(300)
        ending.join()
        holder.close()
        return after, again.status, self.state()


def run(folder: Path) -> None:
    server = Postgres(fsync="on", full_page_writes="on", synchronous_commit="on", max_wal_size="4GB", shared_buffers="512MB")
    through: dict[str, list[Any]] = {way: [] for way in WAYS}
    killed: dict[str, list[Any]] = {way: [] for way in WAYS}
    os.environ["BENCH_ROWS"] = str(ROWS)  # for the writers, which are processes of their own
    try:
        server.execute(
            "CREATE TABLE users (id bigint PRIMARY KEY, name text, old text)",
            f"INSERT INTO users SELECT n, 'name ' || n, 'x' FROM generate_series(1, {ROWS}) n",
            "VACUUM ANALYZE users",
            "CHECKPOINT",
        )
        users = Users(server, folder)
        for number in range(N):
            for way in list(WAYS) if number % 2 == 0 else list(WAYS)[::-1]:
                for told, what in ((through, users.through), (killed, users.killed)):
                    users.fresh()
                    told[way].append(what(way))
                    print(f"  load {os.getloadavg()[0]:.1f} {way} {told[way][-1]}", flush=True)
    finally:
        server.close()
        kept = os.environ.get("GUIDE_LOGS")
        for log in [*folder.rglob("run-*.txt")] if kept else []:
            shutil.copy(log, Path(kept or "") / f"migration-{log.parent.name}-{log.name}")
    columns = ("", "s", "longest statement, ms", "statements", "failed", "exit status", "state")
    plays.table(f"The guide's migration of {ROWS:,} rows, behind a report of {IN_FRONT:g} s", columns, [
        (label, spread([one[0] for one in through[way]], 1), spread([one[1] * 1000 for one in through[way]]), spread([one[2] for one in through[way]]),
         spread([one[3] for one in through[way]]), *("; ".join(sorted({str(one[at]) for one in through[way]})) for at in (4, 5)))
        for way, label in WAYS.items()])  # fmt: skip
    plays.table(
        "Killed while the index is built",
        ("", "after the kill", "exit status of the second run", "state then"),
        [(label, *("; ".join(sorted({str(one[at]) for one in killed[way]})) for at in (0, 1, 2))) for way, label in WAYS.items()],
    )


def spread(values: list[float], digits: int = 0) -> str:
    low, middle, high = sorted(values)[0], sorted(values)[len(values) // 2], sorted(values)[-1]
    return f"{middle:,.{digits}f} ({low:,.{digits}f}-{high:,.{digits}f})"
