# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Migrations on a real PostgreSQL, with writers that must not notice. The bench has a big table, and measures."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import FakeClock
from ansible_collections.progressive.delivery.plugins.module_utils.clients.postgres import TABLE, Migrator
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Interrupted, TimedOut, Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.migration import read
from ansible_collections.progressive.delivery.plugins.module_utils.entry.context import Context
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import database_migration
from ansible_collections.progressive.delivery.tests.integration import users_rig
from ansible_collections.progressive.delivery.tests.integration.pool_rig import settled
from ansible_collections.progressive.delivery.tests.integration.postgres_rig import PASSWORD, Postgres
from ansible_collections.progressive.delivery.tests.matrix.rig import Site
from ansible_collections.progressive.delivery.tests.waiting import wait_until

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "releases"
ROWS = 100_000
EXPAND: dict[str, Any] = {"name": "nickname", "phase": "expand", "statements": [
    "ALTER TABLE users ADD COLUMN nickname text", "CREATE INDEX CONCURRENTLY users_nickname ON users (nickname)",
    "ALTER TABLE users ADD CONSTRAINT named CHECK (name IS NOT NULL) NOT VALID", "ALTER TABLE users VALIDATE CONSTRAINT named",
    {"sql": "UPDATE users SET nickname = name WHERE {range} AND nickname IS NULL", "table": "users", "key": "id", "batch": 2000},
    {"sql": "UPDATE users SET nickname = '-' WHERE id IN (SELECT id FROM users WHERE nickname IS NULL LIMIT 2000)", "repeat": True}]}
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
             "password": PASSWORD, "statement_timeout": "2m", **more}
    return {**{name: option.default for name, option in database_migration.OPTIONS.items()}, **given}


def value(server: Postgres, sql: str) -> Any:
    with psycopg.connect(**server.admin) as link:
        row = link.execute(sql).fetchone()
        return row[0] if row else None


def migrator_of(settings: dict[str, Any], **options: Any) -> Migrator:
    """One whose statements may take what a busy machine takes."""
    return Migrator(settings, **{"statement_timeout": 120.0, **options})


class Writers:
    """The old version of the program, which writes all the time."""

    def __init__(self, server: Postgres) -> None:
        self.server, self.over, self.count, self.failed = server, threading.Event(), 0, list[str]()
        self.threads = [threading.Thread(target=self._write, args=(seed,), daemon=True) for seed in range(3)]

    def _write(self, seed: int) -> None:
        with psycopg.connect(**self.server.admin, autocommit=True) as link:
            while not self.over.is_set():
                try:
                    link.execute("UPDATE users SET name = 'new ' || id WHERE id = %s", ((self.count * 7919 + seed) % ROWS + 1,))
                except psycopg.Error as error:
                    self.failed.append(str(error))
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
    shown = checked.pop("diff")["after"]
    assert checked == {"changed": True, "applied": [], "pending": ["nickname"]}
    assert "CREATE INDEX CONCURRENTLY users_nickname ON users (nickname);" in shown
    assert value(users, f"SELECT to_regclass('{TABLE}')") is None
    with Writers(users) as writers:
        done = database_migration.run(params(users), context)
    assert (done["changed"], done["applied"], done["pending"]) == (True, ["nickname"], [])
    assert writers.failed == []
    assert writers.count > 0
    assert value(users, "SELECT count(*) FROM users WHERE nickname IS NULL") == 0
    assert value(users, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'users_nickname'::regclass") is True
    again = database_migration.run(params(users), context)
    assert (again["changed"], again["applied"], again["diff"]["after"]) == (False, [], "")
    contracted = database_migration.run(params(users, "contract", force=True), context)
    assert contracted["applied"] == ["drop-old"]
    assert value(users, "SELECT count(*) FROM information_schema.columns WHERE table_name = 'users' AND column_name = 'old'") == 0


def test_a_lock_that_is_held_is_let_go_of_and_tried_for_again(users: Postgres) -> None:
    said: list[str] = []
    [migration] = read([{"name": "a", "phase": "expand", "statements": ["ALTER TABLE users ADD COLUMN a int"]}])
    holder = psycopg.connect(**users.admin)
    holder.execute("SELECT count(*) FROM users WHERE id = 1")  # a transaction that stays open
    impatient = migrator_of(users.admin, lock_timeout=0.05, retries=3, say=said.append)
    with pytest.raises(TimedOut, match="the lock did not come"):
        impatient.run([migration])
    assert value(users, "SELECT count(*) FROM users WHERE id = 1") == 1, "nobody queues behind what gave up"
    impatient.close()

    def release(line: str) -> None:
        said.append(line)
        if "trying again" in line:
            holder.close()

    patient = migrator_of(users.admin, lock_timeout=0.05, retries=60, say=release)
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
    migrator = migrator_of(users.admin, say=said.append)
    assert migrator.run([migration]) == ["i"]
    migrator.close()
    assert value(users, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'users_old'::regclass") is True
    assert any("is invalid" in line for line in said)


def test_what_was_cut_goes_on_behind_its_last_statement(users: Postgres) -> None:
    broken = {"name": "cut", "phase": "expand", "statements": ["ALTER TABLE users ADD COLUMN b int", "SELECT missing FROM users"]}
    migrator = migrator_of(users.admin)
    with pytest.raises(ConfigError, match="missing"):
        migrator.run(read([broken]))
    migrator.close()
    assert value(users, f"SELECT cardinality(statements) FROM {TABLE} WHERE name = 'cut'") == 1
    users.execute("ALTER TABLE users ADD COLUMN missing int")
    again = migrator_of(users.admin)
    assert again.run(read([broken])) == ["cut"], "the first statement would fail if it ran twice"
    with pytest.raises(ConfigError, match="was changed after it was applied"):
        again.run(read([{**broken, "statements": ["SELECT 1"]}]))
    again.close()


def test_what_is_dangerous_never_reaches_the_database(users: Postgres) -> None:
    bad = {"name": "bad", "phase": "expand", "statements": ["CREATE INDEX i ON users (name)"]}
    with pytest.raises(ConfigError, match=r"CREATE INDEX CONCURRENTLY \[index\]"):
        database_migration.run(params(users, migrations=[bad]), Context(FakeClock()))
    early = {**CONTRACT, "phase": "expand", "statements": ["ALTER TABLE users ADD COLUMN nickname text", *CONTRACT["statements"]]}
    with pytest.raises(ConfigError, match=r"drop-old, statement 2 .*: the version that serves still uses it. Drop it in contract \[drop\]"):
        database_migration.run(params(users, migrations=[early]), Context(FakeClock()))
    with pytest.raises(ConfigError, match="asks the release"):
        database_migration.run(params(users, "contract"), Context(FakeClock()))
    assert value(users, f"SELECT to_regclass('{TABLE}')") is None


INDEX: dict[str, Any] = {"name": "i", "phase": "expand", "statements": ["CREATE INDEX CONCURRENTLY users_old ON users (old)"]}
CHILD = """
import json, sys
from ansible_collections.progressive.delivery.plugins.module_utils.clients.postgres import Migrator
from ansible_collections.progressive.delivery.plugins.module_utils.core.migration import read
settings, migrations = json.loads(sys.argv[1])
print(json.dumps(Migrator(settings, statement_timeout=120.0, say=lambda line: print(line, file=sys.stderr)).run(read(migrations))))
"""


@contextlib.contextmanager
def child(server: Postgres, *migrations: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    """A run in a process of its own, which may be killed."""
    process = subprocess.Popen([sys.executable, "-c", CHILD, json.dumps([server.admin, migrations])], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)})  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def killed_while_it_builds(server: Postgres) -> psycopg.Connection[Any]:
    """An index that waits for the transaction returned, built for a client that was killed."""
    holder = psycopg.connect(**server.admin)
    holder.execute("UPDATE users SET old = 'y' WHERE id = 1")
    with child(server, INDEX) as process:
        wait_until(lambda: process.poll() is not None or value(server, "SELECT count(*) FROM pg_stat_progress_create_index") == 1, 120)
        assert process.poll() is None, process.communicate()
        process.kill()
        process.wait()
    return holder


def test_killed_while_an_index_is_built_which_the_server_goes_on_with(users: Postgres) -> None:
    holder = killed_while_it_builds(users)
    said: list[str] = []

    def let_it(line: str) -> None:
        said.append(line)
        if "another run migrates this database: waiting for pid" in line:
            holder.rollback()

    again = migrator_of(users.admin, say=let_it)
    assert again.run(read([INDEX])) == ["i"]
    again.close()
    holder.close()
    assert "CREATE INDEX CONCURRENTLY users_old" in said[0], "it is told what it waits for"
    assert value(users, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'users_old'::regclass") is True


def test_killed_with_its_session_while_an_index_is_built(users: Postgres) -> None:
    holder = killed_while_it_builds(users)
    users.execute("SELECT pg_terminate_backend(pid, 120000) FROM pg_stat_progress_create_index")
    assert value(users, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'users_old'::regclass") is False
    holder.close()
    said: list[str] = []
    again = migrator_of(users.admin, say=said.append)
    assert again.run(read([INDEX])) == ["i"]
    again.close()
    assert "i: index users_old is invalid, left by a run that was cut: removed, and built anew" in said
    assert value(users, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'users_old'::regclass") is True


def test_a_server_that_goes_away_is_told_and_the_next_run_goes_on(users: Postgres) -> None:
    steps = {**INDEX, "statements": ["ALTER TABLE users ADD COLUMN c int", *INDEX["statements"]]}
    holder, stopped = psycopg.connect(**users.admin), threading.Event()

    def stop() -> None:
        wait_until(lambda: value(users, "SELECT count(*) FROM pg_stat_progress_create_index") == 1, 120)
        users.stop()
        stopped.set()

    def stop_while_it_builds(line: str) -> None:
        if "statement 2" in line:
            holder.execute("UPDATE users SET old = 'y' WHERE id = 1")  # which the index waits for
            threading.Thread(target=stop).start()

    migrator = migrator_of(users.admin, say=stop_while_it_builds)
    with pytest.raises(Unavailable, match="i, statement 2.*it goes on where it was"):
        migrator.run(read([steps]))
    assert stopped.wait(120)
    migrator.close()
    users.start()
    again = migrator_of(users.admin)
    assert again.run(read([steps])) == ["i"], "its first statement would fail if it ran twice"
    again.close()


def test_two_at_once_run_each_statement_once(users: Postgres) -> None:
    statements = ["ALTER TABLE users ADD COLUMN d int", "CREATE INDEX CONCURRENTLY users_d ON users (d)", "ALTER TABLE users ADD COLUMN e int"]
    steps = {"name": "once", "phase": "expand", "statements": statements}
    with child(users, steps) as one, child(users, steps) as two:
        answers = [process.communicate(timeout=300) for process in (one, two)]
        assert [one.returncode, two.returncode] == [0, 0], answers
    assert sorted(json.loads(out) for out, _err in answers) in ([[], ["once"]], [["once"], ["once"]])
    assert value(users, f"SELECT cardinality(statements) FROM {TABLE}") == 3


def test_who_holds_the_lock_is_named(users: Postgres) -> None:
    holder = psycopg.connect(**users.admin, application_name="shop")
    holder.execute("SELECT name AS of_the_report FROM users WHERE id = 1")
    migrator = migrator_of(users.admin, lock_timeout=1.0, retries=2)
    with pytest.raises(TimedOut) as refused:
        migrator.run(read([{"name": "a", "phase": "expand", "statements": ["ALTER TABLE users ADD COLUMN a int"]}]))
    migrator.close()
    named = rf"a, statement 1.* pid {holder.info.backend_pid} \(admin, idle in transaction for \d+ s\): SELECT name AS of_the_report"
    assert re.search(named, str(refused.value))
    holder.close()


def test_asked_to_end_it_cancels_what_runs(users: Postgres) -> None:
    holder = psycopg.connect(**users.admin)
    holder.execute("UPDATE users SET old = 'y' WHERE id = 1")
    ended: list[float] = []

    def pause(seconds: float) -> None:
        if value(users, "SELECT count(*) FROM pg_stat_progress_create_index"):
            ended.append(seconds)
            raise Interrupted("this process was asked to end")

    migrator = migrator_of(users.admin, pause=pause)
    with pytest.raises(Interrupted):
        migrator.run(read([INDEX]))
    assert ended
    migrator.close()
    assert value(users, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
    holder.close()


def test_what_the_database_refuses(users: Postgres) -> None:
    account = users.account("guest", "CREATE ON SCHEMA public", "SELECT ON users")
    guest = migrator_of(account)
    with pytest.raises(ConfigError, match="p, statement 1: the database refuses: must be owner of table users"):
        guest.run(read([{"name": "p", "phase": "expand", "statements": ["ALTER TABLE users ADD COLUMN a int"]}]))
    guest.close()
    users.execute(f"DROP TABLE {TABLE}", "DROP OWNED BY guest", "DROP ROLE guest")
    wrong = {"name": "s", "phase": "expand", "statements": ["SELECT 1", "ALTER TABLE users ADDD COLUMN a int"]}
    migrator = migrator_of(users.admin)
    with pytest.raises(ConfigError, match='s, statement 2: the database refuses: syntax error at or near "ADDD"'):
        migrator.run(read([wrong]))
    assert migrator.run(read([{**wrong, "statements": ["SELECT 1", "ALTER TABLE users ADD COLUMN a int"]}])) == ["s"], "what never ran may be corrected"
    users.execute("CREATE TABLE others (old text)", "CREATE INDEX users_old ON others (old)")
    with pytest.raises(ConfigError, match="there is an index users_old already, on others"):
        migrator.run(read([INDEX]))
    migrator.close()
    users.execute("DROP TABLE others")


def test_rows_by_key_each_once_and_on_from_where_it_was(users: Postgres) -> None:
    rows = {"sql": "UPDATE users SET old = old || '%s!' WHERE {range}", "table": "users", "key": "id", "batch": 30_000}
    fill = {"name": "fill", "phase": "expand", "statements": [rows]}
    seen = 0

    def pause(_seconds: float) -> None:
        nonlocal seen
        seen = value(users, "SELECT count(*) FROM users WHERE old = 'x%s!'")
        if seen >= 60_000:
            raise Interrupted("this process was asked to end")

    cut = migrator_of(users.admin, pause=pause)
    with pytest.raises(Interrupted):
        cut.run(read([fill]))
    cut.close()
    assert seen == 60_000
    again = migrator_of(users.admin)
    assert again.run(read([fill])) == ["fill"]
    again.close()
    assert value(users, "SELECT array_agg(DISTINCT old) FROM users") == ["x%s!"], "each row once, none left out"


@pytest.mark.parametrize("kind, made", [("text", r"'it''s \' || n || ' %'"), ("uuid", "md5(n::text)::uuid"), ("timestamptz", "now() + n * interval '1 ms'")])
def test_keys_that_are_no_numbers(users: Postgres, kind: str, made: str) -> None:
    users.execute("DROP TABLE IF EXISTS things", f'CREATE TABLE things ("Key" {kind} PRIMARY KEY, seen int DEFAULT 0)',
                  f'INSERT INTO things ("Key") SELECT {made} FROM generate_series(1, 250) n')
    rows = {"sql": "UPDATE things SET seen = seen + 1 WHERE {range}", "table": "public.things", "key": '"Key"', "batch": 100}
    migrator = migrator_of(users.admin)
    assert migrator.run(read([{"name": "seen", "phase": "expand", "statements": [rows]}])) == ["seen"]
    migrator.close()
    assert value(users, "SELECT array_agg(DISTINCT seen) FROM things") == [1]
    users.execute("DROP TABLE things")


NAMED = 20_000


def kept(server: Postgres) -> Any:
    """What the database remembers of its migrations."""
    with psycopg.connect(**server.admin) as link:
        return link.execute(f"SELECT * FROM {TABLE} ORDER BY name").fetchall()


def test_a_release_on_a_table_that_both_versions_use(server: Postgres, tmp_path: Path) -> None:
    """Expanded by a hook, both versions behind HAProxy, taken back, tried again and promoted; contracted when nobody goes back any more. No request fails."""
    server.execute("DROP TABLE IF EXISTS users", f"DROP TABLE IF EXISTS {TABLE}", users_rig.TABLE, users_rig.fill(NAMED))
    shop = users_rig.UsersShop(tmp_path, server, NAMED)
    example = yaml.safe_load((EXAMPLES / "database-migration.yml").read_text(encoding="utf-8"))
    shop.release.update({name: example[name] for name in example if name.startswith("database_migration") or name == "rollout_hooks"})
    contract = yaml.safe_load((EXAMPLES / "database-contract.yml").read_text(encoding="utf-8"))
    contract[0]["tasks"][0]["vars"]["database_migration_rollback_window"] = "{{ lookup('env', 'WINDOW') or '24h' }}"
    (tmp_path / "contract.yml").write_text(yaml.safe_dump(contract))
    columns = "SELECT string_agg(column_name, ' ' ORDER BY column_name) FROM information_schema.columns WHERE table_name = 'users'"
    apart = "SELECT count(*) FROM users WHERE name IS DISTINCT FROM nickname"
    wrote = "SELECT count(DISTINCT split_part(nickname, ',', 1)) FROM users WHERE nickname LIKE 'by %%'"
    with shop:
        shop.release.update(rollout_router=shop.router, rollout_steps=[{"set_weight": 50}, {"bake": {"duration": "10m"}}])
        running = shop.begin("canary", "2", **shop.dsn)
        shop.until(lambda: any(asked == 50 for asked, _measured, _requests in shop.shares()), running, "a half of the requests at each version", 300)
        early = shop.run("contract.yml", "2", WINDOW="0s", **shop.dsn)
        assert early.status != 0 and "the last release of shop is under way: the version before may still be needed" in early.text, early.text
        aborted = shop.run("abort", "2", **shop.dsn)
        taken_back = running.end()
        assert (aborted.status, taken_back.status, taken_back.outcome) == (0, 2, "aborted"), aborted.text + taken_back.text
        back = settled()
        expanded = kept(server)
        assert (value(server, columns), value(server, apart), value(server, wrote)) == ("id name nickname", 0, 2)

        shop.until_users(back, {"1"})
        shop.release["rollout_steps"] = [{"set_weight": 50}]
        released = shop.run("canary", "2", **shop.dsn)
        assert (released.status, released.outcome) == (0, "promoted"), released.text
        assert kept(server) == expanded, "the second release found it expanded"
        settled()
        assert value(server, apart) == 0, "each version sees what the other one wrote"

        still = shop.run("contract.yml", "2", **shop.dsn)
        assert still.status != 0 and "somebody may still go back until" in still.text, still.text
        assert value(server, columns) == "id name nickname"
        done = shop.run("contract.yml", "2", WINDOW="0s", **shop.dsn)
        assert (done.status, len(kept(server)), value(server, columns)) == (0, 2, "id nickname"), done.text
        shop.until_users(settled(), {"2"})
        gone = shop.run("rollback", "2", **shop.dsn)
        assert gone.status != 0 and "the database was contracted at" in gone.text, gone.text
        settled()
        assert shop.failures() == []
        assert {version for version, tally in shop.users().versions.items() if tally.requests > 100} == {"1", "2"}
    for run in (early, aborted, taken_back, released, still, done, gone):
        assert PASSWORD not in run.text


def test_a_migration_that_fails_ends_the_release_before_anything_changed(users: Postgres, site: Site) -> None:
    site.release.update(
        rollout_hooks={"before_rollout": [{"name": "expand", "role": "progressive.delivery.database_migration"}]},
        database_migration_connection={"dsn_env": "SHOP_DATABASE"},
        database_migration_migrations=[{"name": "bad", "phase": "expand", "statements": ["SELECT 1", "ALTER TABLE nobody ADD COLUMN a int"]}],
    )  # fmt: skip
    dsn = f"host=127.0.0.1 port={users.port} user=admin password='{PASSWORD}' dbname=postgres"
    failed = site.run("rollout", "2", SHOP_DATABASE=dsn)
    assert failed.status != 0
    assert 'bad, statement 2: the database refuses: relation "nobody" does not exist' in failed.text
    assert "Traceback" not in failed.text
    assert (site.host("c1") / "version").exists() is False
    assert PASSWORD not in failed.text
