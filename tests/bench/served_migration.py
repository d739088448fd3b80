# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release on a big table: both versions of the app serve half of the users each, behind a real HAProxy, while every row of it is filled.

``BENCH_ROWS`` makes the table smaller. The server is as durable as PostgreSQL is by itself: what the disk costs is in the times.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.progressive.delivery.examples.demo import load
from ansible_collections.progressive.delivery.tests.bench import plays
from ansible_collections.progressive.delivery.tests.integration import users_rig
from ansible_collections.progressive.delivery.tests.integration.pool_rig import settled
from ansible_collections.progressive.delivery.tests.integration.postgres_rig import Postgres

ROWS = int(os.environ.get("BENCH_ROWS", "5000000"))
LONGEST = 3600.0
"""Seconds after which the release is called hanging."""
EXAMPLE = plays.PACKAGE / "examples" / "releases" / "database-migration.yml"
PHASES = (("column", "column and trigger, the old version serves"), ("rows", "every row filled, and the index, both versions serve"))


def hook(migrations: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """Tasks that migrate, and leave behind when they began and when they were done."""
    began, done = ({"name": f"Note when {name} {when}", "changed_when": False,
                    "ansible.builtin.command": {"argv": ["touch", f"{{{{ bench_folder }}}}/{name}.{when}"], "creates": f"{{{{ bench_folder }}}}/{name}.{when}"}}
                   for when in ("began", "done"))  # fmt: skip
    role = {"name": f"Migrate {name}", "ansible.builtin.include_role": {"name": "progressive.delivery.database_migration"},
            "vars": {"database_migration_migrations": migrations}}  # fmt: skip
    return [began, role, done]


def felt(shop: users_rig.UsersShop, name: str) -> tuple[float, list[dict[str, Any]]]:
    """(seconds that the hook took, the requests that were due meanwhile)"""
    began, done = (os.stat(shop.folder / f"{name}.{when}").st_mtime for when in ("began", "done"))
    return done - began, [dict(entry) for entry in load.entries(shop.log(0)) if began <= float(str(entry["t"])) < done]


def run(folder: Path) -> None:
    server = Postgres(fsync="on", full_page_writes="on", synchronous_commit="on", max_wal_size="4GB", shared_buffers="512MB")
    try:
        print(f"  {ROWS:,} rows ...", flush=True)
        server.execute(users_rig.TABLE, users_rig.fill(ROWS), "VACUUM ANALYZE users", "CHECKPOINT")
        with users_rig.UsersShop(folder, server, ROWS, {"else_column": "name"}) as shop:
            released(shop)
            table(shop)
    finally:
        server.close()


def released(shop: users_rig.UsersShop) -> None:
    """The example's migration in two: what both versions need before the new one comes, and what takes long with both of them."""
    example = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    [expand] = [item for item in example["database_migration_migrations"] if item["phase"] == "expand"]
    statements = {"column": expand["statements"][:3], "rows": expand["statements"][3:]}
    for name, some in statements.items():
        (shop.folder / f"{name}.yml").write_text(yaml.safe_dump(hook([{**expand, "name": name, "statements": some}], name), sort_keys=False))
    shop.release.update(
        rollout_router=shop.router, rollout_steps=[{"set_weight": 50}, {"bake": {"duration": "10s"}}], bench_folder=str(shop.folder),
        rollout_hooks={"before_rollout": [{"name": "column", "tasks": "column.yml", "timeout": "1h"}],
                       "after_step": [{"name": "rows", "tasks": "rows.yml", "timeout": "3h"}]},
        database_migration_connection=example["database_migration_connection"], database_migration_lock_retries=1000)  # fmt: skip
    done = shop.begin("canary", "2", **shop.dsn).end(LONGEST)
    settled()
    if done.outcome != "promoted":
        raise SystemExit(f"the bench's release failed:\n{done.text[-3000:]}")


def table(shop: users_rig.UsersShop) -> None:
    rows = []
    for name, label in PHASES:
        took, entries = felt(shop, name)
        slowest = sorted(float(entry["ms"]) for entry in entries)
        middle = slowest[int(len(slowest) * 0.99)] if slowest else 0.0
        failed = sum(not entry["s"] or int(entry["s"]) >= 500 for entry in entries)
        rows.append((label, f"{took:.1f}", f"{middle:,.0f}", f"{slowest[-1] if slowest else 0.0:,.0f}", f"{len(entries):,}", str(failed)))
    whole = shop.users()
    print(f"  over the whole release: {whole.failed} of {whole.total:,} requests failed", flush=True)
    plays.table(f"A release on a table of {ROWS:,} rows", ("", "s", "p99 of the requests, ms", "longest request, ms", "requests", "failed"), rows)
