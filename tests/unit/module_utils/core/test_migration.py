# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which statements are dangerous, which run by themselves, and what is left of a migration that was cut."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.core.migration import CONTRACT, EXPAND, Done, Statement, dangers, left, read, script


def made(*statements: Any, phase: str = EXPAND, **more: Any) -> Any:
    return read([{"name": "m", "phase": phase, "statements": list(statements), **more}])[0]


@pytest.mark.parametrize("sql, code", [
    ("ALTER TABLE users DROP COLUMN old", "drop"), ("alter table users drop old", "drop"), ("DROP TABLE users", "drop"),
    ("ALTER TABLE users RENAME COLUMN a TO b", "rename"), ("TRUNCATE users", "truncate"), ("ALTER TABLE users ALTER COLUMN a SET NOT NULL", "set-not-null"),
    ("ALTER TABLE users ALTER a TYPE bigint", "type"), ("ALTER TABLE users ALTER COLUMN a SET DATA TYPE bigint", "type"),
    ("CREATE INDEX users_a ON users (a)", "index"), ("CREATE UNIQUE INDEX ON users (a)", "index"), ("DROP INDEX users_a", "drop-index"),
    ("REINDEX TABLE users", "reindex"), ("ALTER TABLE users ADD COLUMN a uuid DEFAULT gen_random_uuid()", "volatile-default"),
    ("ALTER TABLE users ADD a float /* x */ DEFAULT random()", "volatile-default"), ("ALTER TABLE users ADD COLUMN a bigserial", "serial"),
    ("ALTER TABLE users ADD COLUMN a int GENERATED ALWAYS AS (b + 1) STORED", "serial"), ("ALTER TABLE users ADD COLUMN a int NOT NULL", "not-null"),
    ("ALTER TABLE users ADD CONSTRAINT c CHECK (a > 0)", "constraint"), ("ALTER TABLE o ADD FOREIGN KEY (u) REFERENCES users", "constraint"),
    ("ALTER TABLE users ADD CONSTRAINT c UNIQUE (a)", "unique"), ("ALTER TABLE users ADD PRIMARY KEY (a)", "unique"), ("UPDATE users SET a = 1", "every-row"),
    ("ALTER TABLE users ADD COLUMN a int DEFAULT 0, ADD b int NOT NULL", "not-null"), ("ALTER TABLE users ADD COLUMN a int REFERENCES o (id)", "constraint"),
    ("ALTER TABLE users ADD COLUMN IF NOT EXISTS a int CHECK (a > 0)", "constraint"), ("ALTER TABLE users ADD COLUMN a int UNIQUE", "unique"),
    ("ALTER TABLE users ADD CONSTRAINT e EXCLUDE USING gist (a WITH &&)", "unique"), ("ALTER TABLE users SET UNLOGGED", "rewrite"),
    ("ALTER TABLE users ADD COLUMN a int, VALIDATE CONSTRAINT c", "validate"), ("SET lock_timeout = 0", "session"),
    ("DROP INDEX CONCURRENTLY i", "again"), ("ALTER TYPE mood ADD VALUE 'calm'", "again"), ("DELETE FROM users", "every-row"),
    ("ALTER TABLE users ADD COLUMN \"a,(b\" int, DROP COLUMN c", "drop"), ('ALTER TABLE users DROP "old"', "drop"),
    ("LOCK TABLE users", "lock"), ("VACUUM (FULL) users", "lock"), ("REFRESH MATERIALIZED VIEW v", "refresh"), ("BEGIN", "transaction"),
])
def test_what_is_dangerous(sql: str, code: str) -> None:
    assert code in [found for found, _sentence in dangers(made(sql))], sql
    assert code not in [found for found, _sentence in dangers(made(sql, allow=[code]))], sql


@pytest.mark.parametrize("sql", [
    "ALTER TABLE users ADD COLUMN new_field VARCHAR(255) DEFAULT 'default_value'",
    "CREATE INDEX CONCURRENTLY i ON users (a)", "CREATE TABLE t (a int NOT NULL)",
    "ALTER TABLE users ADD COLUMN a int NOT NULL DEFAULT 0", "ALTER TABLE users ADD COLUMN at timestamptz DEFAULT now()",
    "ALTER TABLE users ADD CONSTRAINT c CHECK (a > 0) NOT VALID", "ALTER TABLE users VALIDATE CONSTRAINT c", "DROP INDEX CONCURRENTLY IF EXISTS i",
    "ALTER TYPE mood ADD VALUE IF NOT EXISTS 'calm'", "ALTER TABLE users ADD COLUMN a numeric(10, 2) DEFAULT 0, ADD COLUMN b text",
    r"INSERT INTO t VALUES (E'it\'s; DROP TABLE x')", 'ALTER TABLE users ADD COLUMN "x; y" int',
    "ALTER TABLE users ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES o NOT VALID",
    "ALTER TABLE users ADD CONSTRAINT c UNIQUE USING INDEX i", "INSERT INTO t VALUES ('DROP TABLE users; -- RENAME')", "UPDATE users SET a = 1 WHERE a IS NULL",
    "ALTER TABLE users ALTER COLUMN a DROP DEFAULT", "ALTER TABLE users ALTER COLUMN a DROP NOT NULL",
])
def test_what_is_not(sql: str) -> None:
    assert list(dangers(made(sql))) == []


def test_contract_may_drop_and_rename() -> None:
    assert list(dangers(made("ALTER TABLE users DROP COLUMN old", "ALTER TABLE users RENAME a TO b", phase=CONTRACT))) == []


def test_how_a_statement_is_run() -> None:
    assert Statement("-- first\nCREATE INDEX CONCURRENTLY IF NOT EXISTS i ON shop.users (a)").alone
    assert Statement("CREATE UNIQUE INDEX CONCURRENTLY i ON shop.users (a)").index == ("i", "shop.users")
    assert Statement("ALTER TABLE users VALIDATE CONSTRAINT c").patient
    assert not Statement("ALTER TABLE users VALIDATE CONSTRAINT c").alone
    assert not Statement("SELECT 'CONCURRENTLY'").alone
    assert not Statement("ALTER TABLE users ADD COLUMN a int, VALIDATE CONSTRAINT c").patient, "it holds an exclusive lock"


@pytest.mark.parametrize("statements, what", [
    ([""], "no statement"), (["-- nothing"], "no statement"), (["SELECT 1; SELECT 2"], "more than one"),
    (["CREATE INDEX CONCURRENTLY ON users (a)"], "has no name"),
    ([{"sql": "CREATE TABLE t (a int)", "repeat": True}], "can be repeated"), ([1], "expected text"), ([], "no statements"),
])
def test_what_cannot_be_read(statements: list[Any], what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        made(*statements)


def test_nothing_twice_and_nothing_changed_behind_its_back() -> None:
    migration = made("SELECT 1", "SELECT 2")
    first, second = migration.checksums
    assert list(left(migration, None)) == [0, 1]
    assert list(left(migration, Done((first,), False))) == [1]
    assert list(left(migration, Done((first, second), True))) == []
    assert made("SELECT  1 -- said\n", "SELECT 2;").checksums == migration.checksums
    assert made("SELECT '1 -- a'").checksums != made("SELECT '1 -- b'").checksums
    assert list(left(made("SELECT 1", "SELECT 3"), Done((first,), False))) == [1], "what never ran may be corrected"


@pytest.mark.parametrize("statements, finished, wrong", [
    (["SELECT 0", "SELECT 2"], False, 1), (["SELECT 1", "SELECT 3"], True, 2), (["SELECT 1"], True, 2), (["SELECT 1", "SELECT 2", "SELECT 3"], True, 3),
    (["SELECT 1"], False, 2),
])
def test_what_was_run_stays_as_it_was(statements: list[str], finished: bool, wrong: int) -> None:
    done = Done(made("SELECT 1", "SELECT 2").checksums, finished)
    with pytest.raises(ConfigError, match=f"was changed after it was applied: statement {wrong} "):
        left(made(*statements), done)


def test_some_rows_at_a_time() -> None:
    [statement] = made({"sql": "UPDATE users SET a = b WHERE {range} AND a IS NULL", "table": "shop.users", "key": "id", "batch": 50}).statements
    assert (statement.table, statement.key, statement.batch) == ("shop.users", "id", 50)


@pytest.mark.parametrize("changed, what", [
    ({"sql": "UPDATE users SET a = 1 WHERE b"}, "must stand in it once"), ({"table": "users; DROP"}, "expected a name"), ({"key": "a b"}, "expected a name"),
    ({"batch": 0}, "number of rows"), ({"batch": True}, "number of rows"), ({"repeat": True}, "with nothing else"), ({"sql": "SELECT {range}"}, "changes rows"),
])
def test_batches_that_cannot_be(changed: dict[str, Any], what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        made({"sql": "UPDATE users SET a = 1 WHERE {range}", "table": "users", "key": "id", **changed})


def test_what_would_run_can_be_read() -> None:
    migration = made("SELECT 1", {"sql": "UPDATE users SET a = 1 WHERE {range}", "table": "users", "key": "id"},
                     {"sql": "DELETE FROM t WHERE a", "repeat": True})
    assert script(migration, [1, 2]) == ("-- m (expand)\nUPDATE users SET a = 1 WHERE {range}; -- for 1000 rows at a time by id\n"
                                         "DELETE FROM t WHERE a; -- until it changes no row\n")
