#!/usr/bin/python
# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: database_migration
short_description: Change a PostgreSQL database while both versions of a program use it
version_added: 0.1.0
description:
  - Refuses statements that would break the version that serves, or hold up its requests.
  - Runs the others with short locks that are tried for again, and each of them once; a table in the database remembers.
  - With C(--diff) it shows the statements.
requirements:
  - psycopg
author:
  - The progressive.delivery authors (@progressive-delivery)
extends_documentation_fragment:
  - progressive.delivery.attributes
  - progressive.delivery.database_migration
"""

EXAMPLES = r"""
- name: Make room for the new version
  progressive.delivery.database_migration:
    phase: expand
    dsn_env: SHOP_DATABASE
    migrations:
      - name: 2026-11-nickname
        phase: expand
        statements:
          - ALTER TABLE users ADD COLUMN nickname text
          - {sql: "UPDATE users SET nickname = name WHERE {range} AND nickname IS NULL", table: users, key: id, batch: 1000}
          - CREATE INDEX CONCURRENTLY users_nickname ON users (nickname)
"""

RETURN = r"""
applied:
  description: Names of the migrations that had something left to run.
  returned: success
  type: list
  elements: str
pending:
  description: Names of those that would run; empty outside of check mode.
  returned: success
  type: list
  elements: str
"""

from ansible_collections.progressive.delivery.plugins.module_utils.entry.module import main
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import database_migration

if __name__ == "__main__":
    main(database_migration)
