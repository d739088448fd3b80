# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service that lives on a table, in two versions: each request changes, adds or reads one of its users, under the one column that its version knows.

``release.json`` says which ``column`` that is, and the ``database`` (arguments of psycopg.connect). A statement that fails, a user who is not there and one
without a name are answered with 500 and a line in the app's log. Started and restarted as the demo's service is.
"""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any, Optional

import psycopg

from ansible_collections.progressive.delivery.examples.demo import app

LINKS = 3
"""Connections to the database of one process."""


class UsersApp(app.App):
    """The version ``column`` of the users: what it writes says which version wrote it. ``else_column``: what it reads where nobody has filled its own yet."""

    def __init__(self, name: str, release: dict[str, Any]) -> None:
        super().__init__(name, release)
        self.column, self.rows, self.database = release["column"], release["rows"], release["database"]
        self.read = f"coalesce({self.column}, {release['else_column']})" if "else_column" in release else self.column
        self.links: asyncio.Queue[Optional[psycopg.AsyncConnection[Any]]] = asyncio.Queue()
        for _number in range(LINKS):
            self.links.put_nowait(None)

    async def answer(self, path: str) -> tuple[int, str, bytes]:
        status, kind, body = await super().answer(path)
        if path != "/" or status != 200:
            return status, kind, body
        link = await self.links.get()
        try:
            if link is None:
                link = await psycopg.AsyncConnection.connect(**self.database, autocommit=True)
            wrong = await self.ask(link)
        except psycopg.Error as error:
            wrong, link = str(error), None
        finally:
            self.links.put_nowait(link)
        if not wrong:
            return status, kind, body
        print(f"{self.version}: {wrong}", flush=True)
        return 500, kind, (json.dumps({"version": self.version, "host": self.name, "error": wrong}) + "\n").encode()

    async def ask(self, link: psycopg.AsyncConnection[Any]) -> str:
        """One statement on a user by chance; what is wrong with its result, or nothing."""
        who, chance, value = random.randint(1, self.rows), random.random(), f"by {self.version}, {random.getrandbits(40):x}"
        if chance < 0.4:
            changed = await link.execute(f"UPDATE users SET {self.column} = %s WHERE id = %s", (value, who))
            return "" if changed.rowcount == 1 else f"user {who} is not there"
        if chance < 0.5:
            await link.execute(f"INSERT INTO users ({self.column}) VALUES (%s)", (value,))
            return ""
        row = await (await link.execute(f"SELECT {self.read} FROM users WHERE id = %s", (who,))).fetchone()
        return "" if row and row[0] else f"user {who} has no {self.column}"


def restart(root: Path, port: int) -> None:
    """As the demo's service."""
    app.restart(root, port, __file__)


if __name__ == "__main__":
    app.main(UsersApp, __file__)
