# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A database is contracted when nobody goes back any more, and every earlier version is told before it is: the gate, with a database that only listens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.core.migration import Done, Migration
from ansible_collections.progressive.delivery.plugins.module_utils.entry.stored import stored_record
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import database_migration, plan
from ansible_collections.progressive.delivery.tests.unit.module_utils.entry.service import GROUPS, Service

MIGRATIONS = [{"name": "add", "phase": "expand", "statements": ["ALTER TABLE users ADD COLUMN nickname text"]},
              {"name": "drop", "phase": "contract", "statements": ["ALTER TABLE users DROP COLUMN name"]}]  # fmt: skip


class Database:
    """Stands for the migrator: what was run, and what the release's record said then about the versions before."""

    def __init__(self, service: Service) -> None:
        self.service, self.ran, self.noted = service, list[str](), dict[str, bool]()
        self.known: dict[str, Done] = {}

    def __call__(self, *_settings: Any, **_more: Any) -> Database:
        return self

    def done(self) -> dict[str, Done]:
        return self.known

    def run(self, migrations: Sequence[Migration]) -> list[str]:
        record = stored_record(self.service.store)
        self.noted = {entry.version: bool(entry.contracted) for entry in record.good} if record else {}
        self.ran += [item.name for item in migrations]
        self.known.update({item.name: Done(item.checksums, True) for item in migrations})
        return [item.name for item in migrations]

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path, rollout_steps=[{"set_weight": 50}, {"set_weight": 100}])


@pytest.fixture
def database(service: Service, monkeypatch: pytest.MonkeyPatch) -> Database:
    made = Database(service)
    monkeypatch.setattr(database_migration, "Migrator", made)
    return made


def migrate(service: Service, phase: str = "contract", *, check_mode: bool = False, **more: Any) -> dict[str, Any]:
    """As the role does it."""
    variables = {**service.file, "rollout_version": "2"}
    given = {name: option.default for name, option in database_migration.OPTIONS.items()}
    asked = {}
    if phase == "contract" and not more.get("force"):
        planned = {"variables": variables, "groups": GROUPS, "purpose": "status", "asked": "rollout", "probe": False}
        asked = {"release": plan.run(planned, service.context())["release"]}
    return database_migration.run({**given, "phase": phase, "migrations": MIGRATIONS, **asked, **more}, service.context(check_mode=check_mode))


def test_while_somebody_may_go_back_nothing_is_contracted(service: Service, database: Database) -> None:
    with pytest.raises(ConfigError, match="the last release of shop was never begun: the version before may still be needed"):
        migrate(service)
    begun = service.begin("rollout", "2")
    while service.record.steps[service.record.position].weight != 100:
        service.step(begun)
    with pytest.raises(ConfigError, match="the last release of shop is under way"):
        migrate(service, rollback_window="0s")
    service.step(begun, {"100 %": {"result": "failed", "reason": "it broke"}})
    while service.next is not None:
        service.step(begun)
    with pytest.raises(ConfigError, match="the last release of shop (is under way|rolled_back)"):
        migrate(service, rollback_window="0s")
    assert database.ran == []


def test_the_window_opens_with_the_promotion_and_closes_to_the_second(service: Service, database: Database) -> None:
    assert service.run("rollout", "2")["outcome"] == "promoted"
    service.clock.sleep(3599)
    for check_mode in (True, False):
        with pytest.raises(ConfigError, match=r"somebody may still go back until .*Run it again later, or shorten the window"):
            migrate(service, rollback_window="1h", check_mode=check_mode)
    assert (database.ran, [entry.contracted for entry in service.record.good]) == ([], ["", ""])
    service.clock.sleep(1)
    assert migrate(service, rollback_window="1h", check_mode=True)["pending"] == ["drop"]
    assert (database.ran, [entry.contracted for entry in service.record.good]) == ([], ["", ""]), "check mode says so and no more"
    assert migrate(service, rollback_window="1h")["applied"] == ["drop"]
    assert (database.ran, database.noted) == (["drop"], {"1": True, "2": False}), "told before it is done: a crash between the two leaves nobody in the dark"
    with pytest.raises(ConfigError, match="the database was contracted at"):
        service.run("rollback")


def test_contracted_once(service: Service, database: Database) -> None:
    service.run("rollout", "2")
    assert migrate(service, rollback_window="0s")["changed"]
    noted = service.record.good
    service.clock.sleep(60)
    again = migrate(service, rollback_window="0s")
    assert (again["changed"], again["applied"], database.ran, service.record.good) == (False, [], ["drop"], noted)


def test_forced_it_asks_no_release_and_notes_nothing(service: Service, database: Database) -> None:
    service.run("rollout", "2")
    assert migrate(service, force=True)["applied"] == ["drop"]
    assert database.noted == {"1": False, "2": False}


def test_expand_asks_no_release(service: Service, database: Database) -> None:
    assert migrate(service, "expand")["applied"] == ["add"]
    assert database.ran == ["add"]
