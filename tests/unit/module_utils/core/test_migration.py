# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which statements are dangerous, which run by themselves, and what is left of a migration that was cut."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.core.migration import CONTRACT, EXPAND, Done, Statement, dangers, left, read


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
    ("LOCK TABLE users", "lock"), ("VACUUM (FULL) users", "lock"), ("REFRESH MATERIALIZED VIEW v", "refresh"), ("BEGIN", "transaction"),
])
def test_what_is_dangerous(sql: str, code: str) -> None:
    assert code in [found for found, _sentence in dangers(made(sql))], sql
    assert code not in [found for found, _sentence in dangers(made(sql, allow=[code]))], sql


@pytest.mark.parametrize("sql", [
    "ALTER TABLE users ADD COLUMN new_field VARCHAR(255) DEFAULT 'default_value'",
    "CREATE INDEX CONCURRENTLY i ON users (a)", "CREATE TABLE t (a int NOT NULL)",
    "ALTER TABLE users ADD COLUMN a int NOT NULL DEFAULT 0", "ALTER TABLE users ADD COLUMN at timestamptz DEFAULT now()",
    "ALTER TABLE users ADD CONSTRAINT c CHECK (a > 0) NOT VALID", "ALTER TABLE users VALIDATE CONSTRAINT c", "DROP INDEX CONCURRENTLY i",
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
    assert list(left(migration, None)) == [0, 1]
    assert list(left(migration, Done(migration.checksum, 1, False))) == [1]
    assert list(left(migration, Done(migration.checksum, 2, True))) == []
    assert made("SELECT  1 -- said\n", "SELECT 2").checksum == migration.checksum
    with pytest.raises(ConfigError, match="was changed after"):
        left(made("SELECT 1", "SELECT 3"), Done(migration.checksum, 1, False))
