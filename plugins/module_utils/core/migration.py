# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Migrations of PostgreSQL that both versions of a program live through: what is dangerous, what must run by itself, and what was run already. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from .errors import ConfigError

EXPAND, CONTRACT = "expand", "contract"
_LITERAL = re.compile(r"--[^\n]*|/\*.*?\*/|\b[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\$(\w*)\$.*?\$\1\$", re.DOTALL)
_NAME = r'(?:"[^"]+"|[\w$]+)(?:\.(?:"[^"]+"|[\w$]+))?'
_COLUMN = r"\bADD\s+(?:COLUMN\s+)?(?!CONSTRAINT\b|CHECK\b|FOREIGN\b|UNIQUE\b|PRIMARY\b|EXCLUDE\b|VALUE\b)(?:IF\s+NOT\s+EXISTS\s+)?" + _NAME + r"\s.*"
_VOLATILE = r"\b(?:random|clock_timestamp|timeofday|gen_random_uuid|uuid_generate_v\w+|nextval)\s*\("

RULES: Sequence[tuple[str, str, str, tuple[str, ...]]] = (
    ("transaction", r"^(?:BEGIN|START|COMMIT|ROLLBACK|SAVEPOINT|END|ABORT)\b", "transactions are made here. Leave it out", (EXPAND, CONTRACT)),
    ("session", r"^(?:SET|RESET|DISCARD)\b", "it would stay set for the statements behind it. Leave it out: timeouts are options", (EXPAND, CONTRACT)),
    ("drop", r"^DROP\s+(?!INDEX\b)|\bDROP\s+(?:COLUMN\b|(?!CONSTRAINT|DEFAULT|NOT\b|IDENTITY|EXPRESSION|INDEX)(?=[\w\"]))",
     "the version that serves still uses it. Drop it in contract", (EXPAND,)),
    ("rename", r"\bRENAME\b", "the version that serves knows the old name. Add the new one beside it, drop the old one in contract", (EXPAND,)),
    ("truncate", r"^TRUNCATE\b", "the data of the version that serves is gone", (EXPAND,)),
    ("set-not-null", r"\bSET\s+NOT\s+NULL\b",
     ("the version that serves may write NULL, and the whole table is read under an exclusive lock."
      " Add CHECK (... IS NOT NULL) NOT VALID, validate it, set it in contract"), (EXPAND,)),
    ("type", r"\bALTER\s+(?:COLUMN\s+)?" + _NAME + r"\s+(?:SET\s+DATA\s+)?TYPE\b",
     ("it may rewrite the whole table under an exclusive lock."
      " Add a column of the new type, and fill it in batches"), (EXPAND, CONTRACT)),
    ("index", r"^CREATE\s+(?:UNIQUE\s+)?INDEX\s+(?!CONCURRENTLY\b)", "it blocks every write while it is built. CREATE INDEX CONCURRENTLY", (EXPAND, CONTRACT)),
    ("drop-index", r"^DROP\s+INDEX\s+(?!CONCURRENTLY\b)", "it waits for readers and blocks those behind it. DROP INDEX CONCURRENTLY", (EXPAND, CONTRACT)),
    ("reindex", r"^REINDEX\b(?!.*\bCONCURRENTLY\b)", "it blocks writes. REINDEX ... CONCURRENTLY", (EXPAND, CONTRACT)),
    ("volatile-default", r"\bADD\b(?!\s+CONSTRAINT).*\bDEFAULT\b.*" + _VOLATILE,
     ("each row gets its own value, so the table is rewritten under an exclusive lock."
      " Add the column without it, set the default, fill old rows in batches"), (EXPAND, CONTRACT)),
    ("serial", r"\bADD\b.*\b(?:SMALL|BIG)?SERIAL\b|\bADD\b.*\bGENERATED\b", "the table is rewritten under an exclusive lock", (EXPAND, CONTRACT)),
    ("not-null", r"\bADD\s+(?:COLUMN\b)?(?!\s*CONSTRAINT)(?!.*\bDEFAULT\b)(?!.*\bCHECK\b).*\bNOT\s+NULL\b",
     "the version that serves inserts without it, and fails. Give it a DEFAULT", (EXPAND, CONTRACT)),
    ("constraint", r"\bADD\s+(?:CONSTRAINT\s+" + _NAME + r"\s+)?(?:CHECK|FOREIGN\s+KEY)\b(?!.*\bNOT\s+VALID\b)|" + _COLUMN + r"\b(?:CHECK|REFERENCES)\b",
     "every row is checked under a lock. Add it NOT VALID, then VALIDATE CONSTRAINT in a statement of its own", (EXPAND, CONTRACT)),
    ("unique", (rf"\bADD\s+(?:CONSTRAINT\s+{_NAME}\s+)?(?:UNIQUE|PRIMARY\s+KEY|EXCLUDE)\b(?!.*\bUSING\s+INDEX\b)"
                rf"|{_COLUMN}\b(?:UNIQUE|PRIMARY\s+KEY)\b"),
     "its index is built under an exclusive lock. CREATE UNIQUE INDEX CONCURRENTLY first, then ADD ... USING INDEX", (EXPAND, CONTRACT)),
    ("every-row", r"^(?:UPDATE|DELETE)\b(?!.*\bWHERE\b)", "all rows are locked until it ends. Do it in batches, by table and key",
     (EXPAND, CONTRACT)),
    ("rewrite", r"\bSET\s+(?:UN)?LOGGED\b|\bSET\s+TABLESPACE\b|\bSET\s+ACCESS\s+METHOD\b", "the table is written anew under an exclusive lock",
     (EXPAND, CONTRACT)),
    ("again", r"^DROP\s+INDEX\s+CONCURRENTLY\s+(?!IF\b)|^ALTER\s+TYPE\b.*\bADD\s+VALUE\s+(?!IF\b)",
     "it runs in no transaction, so that after a crash it may run once more, and fail. Write IF EXISTS or IF NOT EXISTS", (EXPAND, CONTRACT)),
    ("lock", r"^(?:LOCK|CLUSTER)\b|^VACUUM\s*\(?\s*FULL\b", "it locks everybody out", (EXPAND, CONTRACT)),
    ("refresh", r"^REFRESH\s+MATERIALIZED\s+VIEW\s+(?!CONCURRENTLY\b)", "readers wait. REFRESH MATERIALIZED VIEW CONCURRENTLY", (EXPAND, CONTRACT)),
)
"""By code: what is looked for in a statement without its literals, what is wrong with that, and in which phases."""

VALIDATE = ("validate", "it is checked under the lock of the others. VALIDATE CONSTRAINT in a statement of its own")
RANGE = "{range}"
"""Where the condition on the key stands in a statement that is run for some rows at a time."""

ALONE = re.compile(r"\bCONCURRENTLY\b|^VACUUM\b|^ALTER\s+TYPE\b.*\bADD\s+VALUE\b")
"""What PostgreSQL runs in no transaction of ours."""
_TABLE = r"^ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?" + _NAME + r"\s+"
PATIENT = re.compile(r"\bCONCURRENTLY\b|^VACUUM\b|" + _TABLE + r"VALIDATE\s+CONSTRAINT\s+" + _NAME + r"$")
"""What takes long and blocks nobody meanwhile."""
INDEX = re.compile(
    r"^CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+(?:IF\s+NOT\s+EXISTS\s+)?(?!ON\b)(" + _NAME + r")\s+ON\s+(?:ONLY\s+)?(" + _NAME + r")", re.IGNORECASE
)


@dataclass(frozen=True)
class Statement:
    """One statement. ``repeat``: again, each time in a transaction of its own, until it changes no row. ``key`` of ``table``: for ``batch`` rows at a time."""

    sql: str
    repeat: bool = False
    table: str = ""
    key: str = ""
    batch: int = 0

    @property
    def bare(self) -> str:
        """Upper case, without comments and literals, on one line."""
        return bare(self.sql).upper()

    @property
    def alone(self) -> bool:
        return bool(ALONE.search(self.bare))

    @property
    def patient(self) -> bool:
        return bool(PATIENT.search(self.bare))

    @property
    def checksum(self) -> str:
        """Changes with what is run, not with comments and white space."""
        told = " ".join(_LITERAL.sub(lambda found: " " if found[0].startswith(("--", "/*")) else found[0], self.sql).split()).rstrip("; ")
        return hashlib.sha256(json.dumps([told, self.repeat, self.table, self.key]).encode()).hexdigest()[:32]

    @property
    def actions(self) -> list[str]:
        """What it does to a table, one by one; by itself when it is no ALTER TABLE of several."""
        text = bare(self.sql)
        return _split(text) if re.match(r"ALTER\s+TABLE\b", text, re.IGNORECASE) else [text]

    @property
    def index(self) -> Optional[tuple[str, str]]:
        """(name, table) of the index that it builds concurrently."""
        found = INDEX.search(bare(self.sql))
        return (found.group(1), found.group(2)) if found else None


@dataclass(frozen=True)
class Migration:
    """Statements under one name, in one phase. ``allow``: codes of dangers that somebody has thought about."""

    name: str
    phase: str
    statements: tuple[Statement, ...]
    allow: tuple[str, ...] = ()

    @property
    def checksums(self) -> tuple[str, ...]:
        return tuple(statement.checksum for statement in self.statements)


@dataclass(frozen=True)
class Done:
    """What the database remembers of a migration: the checksums of the statements that were run."""

    statements: tuple[str, ...]
    finished: bool


def bare(sql: str) -> str:
    """``sql`` on one line, without comments, and with nothing in its literals."""
    return " ".join(_LITERAL.sub(_emptied, sql).split()).rstrip("; ")


def _emptied(found: re.Match[str]) -> str:
    if found[0].startswith('"'):
        return found[0].replace(";", "_")  # a name stays, but ends no statement
    return " " if found[0].startswith(("--", "/*")) else "''"


def read(items: Any, where: str = "migrations") -> list[Migration]:
    """The migrations from validated options. Raises ConfigError."""
    found: list[Migration] = []
    for index, item in enumerate(items):
        at = f"{where}[{index}]"
        statements = tuple(_statement(each, f"{at}.statements[{number}]") for number, each in enumerate(item["statements"]))
        made = Migration(item["name"], item["phase"], statements, tuple(item.get("allow") or ()))
        if not statements:
            raise ConfigError("it has no statements", where=at)
        if any(other.name == made.name for other in found):
            raise ConfigError(f"there are two migrations {made.name}", where=at, do="Each has a name of its own, for ever.")
        known = {VALIDATE[0], *(rule[0] for rule in RULES)}
        if set(made.allow) - known:
            raise ConfigError(f"unknown danger {min(set(made.allow) - known)!r}", where=f"{at}.allow", do=f"Known: {', '.join(sorted(known))}.")
        found.append(made)
    return found


def _statement(item: Any, where: str) -> Statement:
    if isinstance(item, Mapping):
        made = _mapped(item, where)
    elif isinstance(item, str):
        made = Statement(item)
    else:
        raise ConfigError("expected text, or a mapping with sql", where=where)
    if not made.bare or "\x00" in made.sql:
        raise ConfigError("that is no statement", where=where)
    if ";" in made.bare:
        raise ConfigError("that is more than one statement", where=where, do="Give each as an item of its own.")
    if (made.repeat or made.key) and (made.alone or not re.match(r"UPDATE|DELETE|INSERT|WITH|MERGE", made.bare)):
        raise ConfigError("only what changes rows can be repeated or done in batches", where=where)
    if re.match(r"CREATE\s+(UNIQUE\s+)?INDEX\s+CONCURRENTLY", made.bare) and made.index is None:
        raise ConfigError("the index has no name", where=where, do="Name it, so that one left invalid can be found and built anew.")
    return made


def _mapped(item: Mapping[str, Any], where: str) -> Statement:
    ways = set(item) - {"sql"}
    if not isinstance(item.get("sql"), str) or ways not in (set(), {"repeat"}, {"table", "key"}, {"table", "key", "batch"}):
        raise ConfigError("expected sql, with nothing else, with repeat, or with table, key and batch", where=where)
    if "key" not in item:
        return Statement(item["sql"], item.get("repeat") is True)
    for name in ("table", "key"):
        if not re.fullmatch(_NAME, str(item[name])):
            raise ConfigError(f"expected a name, not {item[name]!r}", where=f"{where}.{name}")
    batch = item.get("batch", 1000)
    if not isinstance(batch, int) or isinstance(batch, bool) or not 1 <= batch <= 100_000:
        raise ConfigError("expected a number of rows from 1 to 100000", where=f"{where}.batch")
    if item["sql"].count(RANGE) != 1:
        raise ConfigError(f"{RANGE} must stand in it once, where the condition on {item['key']} belongs", where=where,
                          do=f"Such as: UPDATE {item['table']} SET ... WHERE {RANGE} AND ...")
    return Statement(item["sql"], False, str(item["table"]), str(item["key"]), batch)


def _split(text: str) -> list[str]:
    """The parts of ``text`` between commas that stand in no brackets and no quoted name."""
    parts, depth, quoted = [""], 0, False
    for sign in text:
        quoted ^= sign == '"'
        depth += 0 if quoted else (sign == "(") - (sign == ")")
        if sign == "," and depth == 0 and not quoted:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts]


def dangers(migration: Migration) -> Iterator[tuple[str, str]]:
    """(code, sentence) of all that is dangerous and was not allowed."""
    for number, statement in enumerate(migration.statements, 1):
        actions = statement.actions
        found = [(code, why) for code, pattern, why, phases in RULES
                 if migration.phase in phases and any(re.search(pattern, action, re.IGNORECASE) for action in actions)]
        if len(actions) > 1 and any(re.search(r"\bVALIDATE\s+CONSTRAINT\b", action, re.IGNORECASE) for action in actions):
            found.append(VALIDATE)
        for code, why in found:
            if code not in migration.allow:
                yield code, f"{migration.name}, statement {number} ({' '.join(statement.sql.split())[:60]}): {why} [{code}]"


def left(migration: Migration, done: Optional[Done]) -> range:
    """The numbers of the statements that are to be run. Raises ConfigError when what was run already was changed; what never ran may be corrected."""
    ran, now = (done.statements if done else ()), migration.checksums
    if ran != (now if done and done.finished else now[: len(ran)]):
        wrong = next((number for number, (one, other) in enumerate(zip(ran, now), 1) if one != other), min(len(ran), len(now)) + 1)
        raise ConfigError(f"migration {migration.name} was changed after it was applied: statement {wrong} is not what was run", where=migration.name,
                          do="Leave it as it was, and add another one.")
    return range(len(ran), len(now))


def script(migration: Migration, numbers: Sequence[int]) -> str:
    """What would be run, to be read."""
    lines = [f"-- {migration.name} ({migration.phase})"]
    for number in numbers:
        statement = migration.statements[number]
        how = " -- until it changes no row" if statement.repeat else f" -- for {statement.batch} rows at a time by {statement.key}" if statement.key else ""
        lines.append(f"{statement.sql.strip().rstrip(';')};{how}")
    return "\n".join(lines) + "\n"
