# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What InfluxDB answers, taken apart: the JSON of InfluxQL (1.x) and the annotated CSV of Flux (2.x). Pure.

Anything that is not exactly what the APIs promise is Unavailable. A table is one series: its rows stay together.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional, Union

from .errors import NoData, Unavailable

Cell = Union[float, str, None]

_FLOAT = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_INFINITE = {"+Inf": math.inf, "Inf": math.inf, "-Inf": -math.inf, "NaN": math.nan}
NUMBERS = ("double", "long", "unsignedLong")
"""The data types of Flux that are numbers."""
OWN_COLUMNS = ("", "result", "table")
"""What stands in every row of annotated CSV beside the data."""


@dataclass(frozen=True)
class Table:
    """One series: its rows by column, and the tags that it was grouped by."""

    rows: tuple[Mapping[str, Cell], ...]
    tags: Mapping[str, str] = field(default_factory=dict)

    def row(self, where: str) -> Mapping[str, Cell]:
        """The one row. Raises Unavailable for several: which of them was meant would be a guess."""
        if len(self.rows) != 1:
            raise Unavailable(f"a series of {len(self.rows)} rows, and one is wanted", where=where, do="Aggregate over the window, without GROUP BY time.")
        return self.rows[0]


def number(row: Mapping[str, Cell], column: str, where: str) -> float:
    """The number in a column. Raises NoData for null; Unavailable for a column that is not there, and for what is not a number."""
    if column not in row:
        raise Unavailable(f"no column {column}, only {', '.join(sorted(row))[:200]}", where=where, do="Set value_column and count_column.")
    value = row[column]
    if value is None:
        raise NoData(f"{column} is null", where=where)
    if isinstance(value, str):
        raise Unavailable(f"{column} is {value[:40]!r}, not a number", where=where)
    return value


def influxql(reply: Any, where: str) -> tuple[tuple[Table, ...], str]:
    """The tables of the one statement, and in what way the answer is partial."""
    if not isinstance(reply, dict):
        raise Unavailable("JSON that is not an answer of the query API", where=where)
    if "error" in reply:
        raise Unavailable(f"the server could not answer: {str(reply['error'])[:300]}", where=where)
    results = reply.get("results")
    if not isinstance(results, list) or len(results) != 1 or not isinstance(results[0], dict):
        raise Unavailable("an answer that is not of one statement", where=where)
    [result] = results
    if "error" in result:
        raise Unavailable(f"the server could not answer: {str(result['error'])[:300]}", where=where)
    series = result.get("series")
    if series is not None and not isinstance(series, list):
        raise Unavailable("series that are no list", where=where)
    partial = _messages(result.get("messages"))
    if result.get("partial") or any(isinstance(each, dict) and each.get("partial") for each in series or []):
        partial.append("rows were left out, there were too many")
    return tuple(_series(each, where) for each in series or []), "; ".join(partial)


def _messages(messages: Any) -> list[str]:
    """What the server says besides, but for mere information."""
    if not messages:
        return []
    if not isinstance(messages, list):
        return [str(messages)[:200]]
    told = [each for each in messages if not (isinstance(each, dict) and each.get("level") == "info")]
    return [str(each.get("text") if isinstance(each, dict) else each)[:200] for each in told]


def _series(series: Any, where: str) -> Table:
    if not isinstance(series, dict):
        raise Unavailable("a series that is no object", where=where)
    columns, values, tags = series.get("columns"), series.get("values"), series.get("tags") or {}
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns) or len(set(columns)) < len(columns):
        raise Unavailable("a series without columns, or with the same one twice", where=where)
    if not isinstance(values, list) or not all(isinstance(row, list) and len(row) == len(columns) for row in values):
        raise Unavailable("a row that has not one value for each column", where=where)
    if not isinstance(tags, dict):
        raise Unavailable("tags that are no object", where=where)
    rows = tuple({name: _cell(value, where) for name, value in zip(columns, row)} for row in values)
    return Table(rows, {str(name): str(value) for name, value in tags.items()})


def _cell(value: Any, where: str) -> Cell:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if math.isinf(found):
        raise Unavailable("a value that is too large", where=where)
    return found


def flux(text: str, where: str) -> tuple[Table, ...]:
    """The tables of annotated CSV, with the annotations datatype, group and default. Raises Unavailable for an error in the middle of them, too."""
    if text and not text.endswith("\n"):
        raise Unavailable("the answer was cut off in the middle of a row", where=where)
    tables: dict[tuple[str, str], list[dict[str, Cell]]] = {}
    tags: dict[tuple[str, str], dict[str, str]] = {}
    header: Optional[_Header] = None
    try:
        rows = list(csv.reader(text.splitlines(), strict=True))
    except csv.Error as error:
        raise Unavailable(f"the answer is not CSV: {error}", where=where) from None
    for row in rows:
        if not any(row):
            header = None  # an empty line ends a block of tables of one shape
            continue
        if header is None or (row[0].startswith("#") and header.names):
            header = _Header({}, [])
        if row[0].startswith("#"):
            header.annotations[row[0][1:]] = row
        elif not header.names:
            header.names = _names(row, where)
        else:
            key, cells, grouped = _row(row, header, where)
            tables.setdefault(key, []).append(cells)
            tags[key] = grouped
    if len({result for result, _table in tables}) > 1:
        raise Unavailable("several results", where=where, do="Let one yield() be enough.")
    return tuple(Table(tuple(found), tags[key]) for key, found in tables.items())


@dataclass
class _Header:
    """What stands above the rows of a block: annotations by name, then the names of the columns."""

    annotations: dict[str, list[str]]
    names: list[str]

    def of(self, annotation: str, index: int) -> str:
        found = self.annotations.get(annotation, [])
        return found[index] if index < len(found) else ""


def _names(row: list[str], where: str) -> list[str]:
    if not {"result", "table"} <= set(row) and "error" not in row:
        raise Unavailable("not the annotated CSV of Flux; a login page, perhaps", where=where)
    if len(set(row)) < len(row):
        raise Unavailable("a column that is there twice", where=where)
    return row


def _row(row: list[str], header: _Header, where: str) -> tuple[tuple[str, str], dict[str, Cell], dict[str, str]]:
    """A row's table, its cells, and the tags among them."""
    if len(row) != len(header.names):
        raise Unavailable("a row that has not one value for each column", where=where)
    texts = {name: value or header.of("default", index) for index, (name, value) in enumerate(zip(header.names, row))}
    if "error" in texts and "table" not in texts:
        raise Unavailable(f"the server could not answer: {texts['error'][:300]}", where=where)
    cells: dict[str, Cell] = {}
    grouped: dict[str, str] = {}
    for index, name in enumerate(header.names):
        if name in OWN_COLUMNS:
            continue
        kind = header.of("datatype", index)
        if not kind:
            raise Unavailable(f"the column {name[:40]} has no data type", where=where)
        cells[name] = _typed(texts[name], kind, where)
        if header.of("group", index) == "true" and name not in ("_start", "_stop"):
            grouped[name] = texts[name]
    return (texts["result"], texts["table"]), cells, grouped


def _typed(text: str, kind: str, where: str) -> Cell:
    if text == "" and kind != "string":
        return None
    if kind not in NUMBERS:
        return text
    if kind == "double" and text in _INFINITE:
        return _INFINITE[text]
    pattern = _FLOAT if kind == "double" else re.compile(r"[+-]?\d+", re.ASCII)
    if not pattern.fullmatch(text) or math.isinf(float(text)):
        raise Unavailable(f"{text[:40]!r} is not a {kind}", where=where)
    return float(text)
