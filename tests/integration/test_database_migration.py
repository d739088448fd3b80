# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Migrations on a real PostgreSQL, with writers that must not notice. PROGRESSIVE_ROWS sets the size of the table; 5,000,000 for the figures."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import yaml

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import FakeClock
from ansible_collections.progressive.delivery.plugins.module_utils.clients.postgres import TABLE, Migrator
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, TimedOut
from ansible_collections.progressive.delivery.plugins.module_utils.core.migration import read
from ansible_collections.progressive.delivery.plugins.module_utils.entry.context import Context
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import database_migration
from ansible_collections.progressive.delivery.tests.integration.postgres_rig import PASSWORD, Postgres
from ansible_collections.progressive.delivery.tests.matrix.rig import Site

ROWS = int(os.environ.get("PROGRESSIVE_ROWS", "100000"))
EXPAND: dict[str, Any] = {"name": "nickname", "phase": "expand", "statements": [
    "ALTER TABLE users ADD COLUMN nickname text", "CREATE INDEX CONCURRENTLY users_nickname ON users (nickname)",
    "ALTER TABLE users ADD CONSTRAINT named CHECK (name IS NOT NULL) NOT VALID", "ALTER TABLE users VALIDATE CONSTRAINT named",
    {"sql": "UPDATE users SET nickname = name WHERE id IN (SELECT id FROM users WHERE nickname IS NULL LIMIT 2000)", "repeat": True}]}
CONTRACT: dict[str, Any] = {"name": "drop-old", "phase": "contract", "statements": ["ALTER TABLE users DROP COLUMN old"]}


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    made = Postgres()
    yield made
    made.close()


@pytest.fixture
def users(server: Postgres) -> Postgres:
    server.execute("DROP TABLE IF EXISTS users", f"DROP TABLE IF EXISTS {TABLE}", "CREATE TABLE users (id bigint PRIMARY KEY, name text, old text)",
                   f"INSERT INTO users SELECT n, 'name ' || n, 'x' FROM generate_series(1, {ROWS}) n")
    return server


def params(server: Postgres, phase: str = "expand", **more: Any) -> dict[str, Any]:
    given = {"phase": phase, "migrations": [EXPAND, CONTRACT], "host": "127.0.0.1", "port": server.port, "database": "postgres", "user": "admin",
             "password": PASSWORD, **more}
    return {**{name: option.default for name, option in database_migration.OPTIONS.items()}, **given}


def value(server: Postgres, sql: str) -> Any:
    with psycopg.connect(**server.admin) as link:
        row = link.execute(sql).fetchone()
        return row[0] if row else None


class Writers:
    """The old version of the program, which writes all the time. ``slowest``: its longest statement, in seconds."""

    def __init__(self, server: Postgres) -> None:
        self.server, self.over, self.slowest, self.count, self.failed = server, threading.Event(), 0.0, 0, list[str]()
        self.threads = [threading.Thread(target=self._write, args=(seed,), daemon=True) for seed in range(3)]

    def _write(self, seed: int) -> None:
        with psycopg.connect(**self.server.admin, autocommit=True) as link:
            while not self.over.is_set():
                began = time.monotonic()
                try:
                    link.execute("UPDATE users SET name = 'new ' || id WHERE id = %s", ((self.count * 7919 + seed) % ROWS + 1,))
                except psycopg.Error as error:
                    self.failed.append(str(error))
                self.slowest = max(self.slowest, time.monotonic() - began)
                self.count += 1

    def __enter__(self) -> Writers:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(60)


def test_expand_under_load_then_nothing_twice_then_contract(users: Postgres) -> None:
    said: list[str] = []
    context = Context(FakeClock(), said.append)
    checked = database_migration.run(params(users), Context(FakeClock(), check_mode=True))
    assert checked == {"changed": True, "applied": [], "pending": ["nickname"]}
    assert value(users, f"SELECT to_regclass('{TABLE}')") is None
    with Writers(users) as writers:
        began = time.monotonic()
        done = database_migration.run(params(users), context)
        took = time.monotonic() - began
    assert done == {"changed": True, "applied": ["nickname"], "pending": []}
    assert writers.failed == []
    assert writers.count > 0
    assert value(users, "SELECT count(*) FROM users WHERE nickname IS NULL") == 0
    assert value(users, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'users_nickname'::regclass") is True
    print(f"{ROWS} rows, {took:.1f} s, {writers.count} writes, slowest {writers.slowest * 1000:.0f} ms")
    if os.environ.get("PROGRESSIVE_FIGURES"):
        assert writers.slowest < 1.0
    assert database_migration.run(params(users), context) == {"changed": False, "applied": [], "pending": []}
    contracted = database_migration.run(params(users, "contract", force=True), context)
    assert contracted["applied"] == ["drop-old"]
    assert value(users, "SELECT count(*) FROM information_schema.columns WHERE table_name = 'users' AND column_name = 'old'") == 0


def test_a_lock_that_is_held_is_let_go_of_and_tried_for_again(users: Postgres) -> None:
    said: list[str] = []
    [migration] = read([{"name": "a", "phase": "expand", "statements": ["ALTER TABLE users ADD COLUMN a int"]}])
    holder = psycopg.connect(**users.admin)
    holder.execute("SELECT count(*) FROM users WHERE id = 1")  # a transaction that stays open
    impatient = Migrator(users.admin, lock_timeout=0.05, retries=3, say=said.append)
    with pytest.raises(TimedOut, match="the lock did not come"):
        impatient.run([migration])
    assert value(users, "SELECT count(*) FROM users WHERE id = 1") == 1, "nobody queues behind what gave up"
    impatient.close()

    def release(line: str) -> None:
        said.append(line)
        if "trying again" in line:
            holder.close()

    patient = Migrator(users.admin, lock_timeout=0.05, retries=60, say=release)
    assert patient.run([migration]) == ["a"]
    patient.close()
    assert any("trying again" in line for line in said)


def test_an_index_that_was_left_invalid_is_built_anew(users: Postgres) -> None:
    said: list[str] = []
    users.execute("UPDATE users SET old = 'same' WHERE id < 3")
    with pytest.raises(psycopg.errors.UniqueViolation):
        users.execute("CREATE UNIQUE INDEX CONCURRENTLY users_old ON users (old)")
    assert value(users, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'users_old'::regclass") is False
    [migration] = read([{"name": "i", "phase": "expand", "statements": ["CREATE INDEX CONCURRENTLY users_old ON users (old)"]}])
    migrator = Migrator(users.admin, say=said.append)
    assert migrator.run([migration]) == ["i"]
    migrator.close()
    assert value(users, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'users_old'::regclass") is True
    assert any("is invalid" in line for line in said)


def test_what_was_cut_goes_on_behind_its_last_statement(users: Postgres) -> None:
    broken = {"name": "cut", "phase": "expand", "statements": ["ALTER TABLE users ADD COLUMN b int", "SELECT missing FROM users"]}
    migrator = Migrator(users.admin)
    with pytest.raises(ConfigError, match="missing"):
        migrator.run(read([broken]))
    migrator.close()
    assert value(users, f"SELECT statements FROM {TABLE} WHERE name = 'cut'") == 1
    users.execute("ALTER TABLE users ADD COLUMN missing int")
    again = Migrator(users.admin)
    assert again.run(read([broken])) == ["cut"], "the first statement would fail if it ran twice"
    with pytest.raises(ConfigError, match="was changed after it was applied"):
        again.run(read([{**broken, "statements": ["SELECT 1"]}]))
    again.close()


def test_what_is_dangerous_never_reaches_the_database(users: Postgres) -> None:
    bad = {"name": "bad", "phase": "expand", "statements": ["CREATE INDEX i ON users (name)"]}
    with pytest.raises(ConfigError, match=r"CREATE INDEX CONCURRENTLY \[index\]"):
        database_migration.run(params(users, migrations=[bad]), Context(FakeClock()))
    with pytest.raises(ConfigError, match="asks the release"):
        database_migration.run(params(users, "contract"), Context(FakeClock()))
    assert value(users, f"SELECT to_regclass('{TABLE}')") is None


def test_the_role_expands_before_a_release_and_contracts_only_when_nobody_goes_back(users: Postgres, site: Site) -> None:
    dsn = f"host=127.0.0.1 port={users.port} user=admin password='{PASSWORD}' dbname=postgres"
    role: dict[str, Any] = {"database_migration_connection": {"dsn_env": "SHOP_DATABASE"}, "database_migration_migrations": [EXPAND, CONTRACT],
                            "database_migration_phase": "{{ lookup('env', 'PHASE') or 'expand' }}",
                            "database_migration_rollback_window": "{{ lookup('env', 'WINDOW') or '24h' }}"}
    task = {"ansible.builtin.include_role": {"name": "progressive.delivery.database_migration"}, "vars": role}
    (site.folder / "migrate.yml").write_text(yaml.safe_dump([task]))
    (site.folder / "contract.yml").write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": [task]}]))
    site.release["rollout_hooks"] = {"before_rollout": [{"name": "expand", "tasks": "migrate.yml"}]}
    early = site.run("contract.yml", "2", PHASE="contract", SHOP_DATABASE=dsn)
    assert early.status != 0
    assert "was never begun" in early.text
    released = site.run("rollout", "2", SHOP_DATABASE=dsn)
    assert released.outcome == "promoted", released.text
    assert value(users, "SELECT count(*) FROM users WHERE nickname IS NULL") == 0
    still = site.run("contract.yml", "2", PHASE="contract", SHOP_DATABASE=dsn)
    assert still.status != 0
    assert "somebody may still go back until" in still.text
    done = site.run("contract.yml", "2", PHASE="contract", WINDOW="0s", SHOP_DATABASE=dsn)
    assert (done.status, done.changed) == (0, 1), done.text
    assert value(users, "SELECT count(*) FROM information_schema.columns WHERE table_name = 'users' AND column_name = 'old'") == 0
    assert PASSWORD not in early.text + released.text + still.text + done.text
