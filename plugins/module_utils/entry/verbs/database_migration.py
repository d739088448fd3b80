# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Change a database around a release: expand before the new version, contract when nobody goes back any more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...clients.postgres import Migrator
from ...core import migration as rules
from ...core.errors import ConfigError, Conflict
from ...core.lease import RECORD
from ...core.moment import moment
from ...core.options import Option, Options
from ...core.ports import StateStore, Stored
from ...core.record import Outcome, from_json, to_json
from ...core.units import duration, iso
from .. import build
from ..context import Context

OPTIONS: Options = {
    "phase": Option("str", "V(expand) before the new version, V(contract) when nobody goes back any more.", required=True,
                    choices=(rules.EXPAND, rules.CONTRACT)),
    "migrations": Option("list", "All migrations, in their order. Those of the other phase are passed over.", elements="dict", required=True, options={
        "name": Option("name", "Its name, for ever.", required=True),
        "phase": Option("str", "When it is run.", required=True, choices=(rules.EXPAND, rules.CONTRACT)),
        "statements": Option("list", "Statements, each as text, or as a mapping: C(sql) with C(repeat) (again until it changes no row),"
                             " or with C(table), C(key) and C(batch) (for so many rows at a time, where C({range}) stands).", elements="raw", required=True),
        "allow": Option("list", "Codes of dangers that somebody has thought about.", elements="str"),
    }),
    "dsn_env": Option("str", "Name of an environment variable with a connection string. The options here win over it."),
    "host": Option("str", "The server."), "port": Option("int", "Its port.", minimum=1, maximum=65535), "database": Option("str", "The database."),
    "user": Option("str", "Who connects."), "password": Option("str", "With which password.", secret=True),
    "lock_timeout": Option("duration", "How long a lock is waited for, and others are held up behind it, before it is tried for again later.", default="500ms"),
    "lock_retries": Option("int", "How often.", default=60, minimum=1, maximum=10000),
    "statement_timeout": Option("duration", "The longest a statement may take that may hold a lock.", default="5s"),
    "long_timeout": Option("duration", "The longest for what blocks nobody: concurrent indexes, VALIDATE CONSTRAINT.", default="2h"),
    "release": Option("dict", "With contract: the release, as M(progressive.delivery.plan) returns it. Its version must be promoted.", open=True),
    "rollback_window": Option("duration", "With contract: how long after the promotion somebody may still go back.", default="24h"),
    "force": Option("bool", "With contract: do not ask the release.", default=False),
}  # fmt: skip


def run(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Returns ``applied``, and ``pending`` in check mode, names of migrations, and as ``diff`` the statements."""
    migrations = [item for item in rules.read(params["migrations"]) if item.phase == params["phase"]]
    found = [sentence for item in migrations for _code, sentence in rules.dangers(item)]
    if found:
        raise ConfigError(f"{found[0]}" + (f" (and {len(found) - 1} more)" if len(found) > 1 else ""), where="migrations",
                          do="Change it, or name the code in allow.")
    asked = None
    if params["phase"] == rules.CONTRACT and migrations and not params["force"]:
        asked = _nobody_goes_back(params, context)
    names = {"database": "dbname"}
    settings = {names.get(name, name): params[name] for name in ("host", "port", "database", "user", "password") if params.get(name)}
    migrator = Migrator(settings, params.get("dsn_env") or "", lock_timeout=duration(params["lock_timeout"]), retries=params["lock_retries"],
                        statement_timeout=duration(params["statement_timeout"]), long_timeout=duration(params["long_timeout"]), say=context.say,
                        pause=context.clock.sleep)
    try:
        known = migrator.done()
        left = {item: rules.left(item, known.get(item.name)) for item in migrations}
        pending = [item.name for item in migrations if item.name not in known or not known[item.name].finished]
        diff = {"before": "", "after": "".join(rules.script(item, left[item]) for item in migrations if item.name in pending),
                "before_header": "run already", "after_header": "statements to run"}
        if context.check_mode:
            return {"changed": bool(pending), "applied": [], "pending": pending, "diff": diff}
        if asked and pending:
            _remember(*asked, context)
        applied = migrator.run(migrations) if pending else []
        return {"changed": bool(applied), "applied": applied, "pending": [], "diff": diff}
    finally:
        migrator.close()


def _nobody_goes_back(params: Mapping[str, Any], context: Context) -> tuple[StateStore, Stored]:
    """The store and the record in it. Raises ConfigError while the version before may still be needed."""
    spec = params.get("release")
    if not spec:
        raise ConfigError("contract asks the release whether it was promoted", where="release", do="Give it, or force: true.")
    store = build.store(spec["store"], spec["name"], context)
    stored = store.load(RECORD)
    record = from_json(stored.value) if stored else None
    if stored is None or record is None or record.outcome is not Outcome.PROMOTED or not record.good:
        state = "was never begun" if record is None else record.outcome.value if record.outcome else "is under way"
        raise ConfigError(f"the last release of {spec['name']} {state}: the version before may still be needed", where="contract",
                          do="Wait until it is promoted, or force: true.")
    closes = moment(record.good[-1].at) + duration(params["rollback_window"])
    if context.clock.time() < closes:
        raise ConfigError(f"somebody may still go back until {iso(closes)}", where="rollback_window", do="Run it again later, or shorten the window.")
    return store, stored


def _remember(store: StateStore, stored: Stored, context: Context) -> None:
    """Note at every earlier version that the database is no longer what it was: before it is true, as nobody could note it after a crash."""
    record, now = from_json(stored.value), iso(context.clock.time())
    current = record.good[-1].version
    good = tuple(each if each.version == current or each.contracted else replace(each, contracted=now) for each in record.good)
    if good == record.good:
        return
    try:
        store.save(RECORD, {**stored.value, **to_json(replace(record, good=good))}, stored.token)
    except Conflict:
        raise ConfigError("a release has begun meanwhile", where="contract", do="Run it again when that is over.") from None
