# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A shop whose service lives on a table of a real PostgreSQL: the old version knows the column ``name``, every other one ``nickname``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.progressive.delivery.tests.integration import users_app
from ansible_collections.progressive.delivery.tests.integration.pool_rig import HaproxyShop
from ansible_collections.progressive.delivery.tests.integration.postgres_rig import PASSWORD, Postgres

TABLE = "CREATE TABLE users (id bigserial PRIMARY KEY, name text NOT NULL)"
GROUPS = {"blue": ("web1", "web2"), "green": ("web3", "web4")}


def fill(rows: int) -> str:
    return f"INSERT INTO users (name) SELECT 'name ' || n FROM generate_series(1, {rows}) n"


class UsersShop(HaproxyShop):
    """Two hosts and two more behind one HAProxy, on ``rows`` users. ``others``: what the versions after the first are like, beside that."""

    app = users_app

    def __init__(self, folder: Path, server: Postgres, rows: int, others: Mapping[str, Any] | None = None) -> None:
        super().__init__(folder, GROUPS)
        self.release["rollout_workload"]["pool"].update(stable="blue", canary="green")
        self.dsn = {"SHOP_DATABASE": f"host=127.0.0.1 port={server.port} user={server.admin['user']} password='{PASSWORD}' dbname=postgres"}
        for host, versions in self.releases.items():
            for version, knobs in versions.items():
                knobs.update({"column": "name"} if version == "1" else {"column": "nickname", **(others or {})}, rows=rows, database=server.admin)
            (folder / "hosts" / host / "releases" / "1" / "release.json").write_text(json.dumps(versions["1"]))
