# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A provider whose answers are written down beforehand, for tests and for trying out an analysis."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from ..core.errors import ConfigError, DeliveryError, NoData, Unavailable
from ..core.model import Point, Sample, Series, Window
from ..core.options import Option, Options

SPECIAL = {"NaN": math.nan, "+Inf": math.inf, "-Inf": -math.inf}


class MemoryProvider:
    """The MetricProvider port over a script.

    ``script`` maps ``track/query`` (or the built-in's name), else ``query``, to a list of answers; each question takes the next, the last is
    repeated. An answer is a number, ``"NaN"``, ``"+Inf"``, ``"-Inf"``, None (no data), ``{"value": number, "n": count}``, a list of numbers
    (several series), ``{"error": text}`` or a DeliveryError. ``asked`` holds every window that was asked about, in order.
    """

    SUMMARY: ClassVar[str] = "Answers written down beforehand, for tests and trials."
    OPTIONS: ClassVar[Options] = {
        "values": Option(
            "dict", "Query, or V(track/query), to a list of answers; each measurement takes the next, the last is repeated.", default={}, open=True
        ),
        "file": Option("path", "JSON file with the same content as C(rollout_analysis.provider.memory.values), read anew for each measurement."),
    }

    def __init__(self, script: Mapping[str, Sequence[Any]] | Callable[[], Mapping[str, Sequence[Any]]], clock: Callable[[], float] = time.time) -> None:
        self._script = script
        self._clock = clock
        self._taken: dict[str, int] = {}
        self.asked: list[tuple[str, Window]] = []

    @classmethod
    def from_options(cls, options: Mapping[str, Any], tracks: Mapping[str, tuple[str, ...]]) -> MemoryProvider:
        """``tracks`` does not matter here. Raises ConfigError for a script that is not one."""
        if bool(options.get("values")) == bool(options.get("file")):
            raise ConfigError("give either values or file", where="memory")
        if options.get("file"):
            path = Path(os.path.expanduser(options["file"]))
            return cls(lambda: _script(_load(path), str(path)))
        return cls(_script(options["values"], "memory.values"))

    def probe(self) -> None:
        """Raise Unavailable when the script cannot be read."""
        self._read()

    def query(self, query: str, window: Window) -> Series:
        """The next answer. Raises NoData, Unavailable, or the error that is written down."""
        asked = window.builtin or query
        self.asked.append((asked, window))
        script = self._read()
        key = next((name for name in (f"{window.track}/{asked}", asked) if name in script), "")
        if not key or not script[key]:
            raise NoData(f"nothing is written down for {asked!r}", where="memory")
        turn = self._taken.get(key, 0)
        self._taken[key] = turn + 1
        return self._series(script[key][min(turn, len(script[key]) - 1)], asked)

    def _read(self) -> Mapping[str, Sequence[Any]]:
        return self._script() if callable(self._script) else self._script

    def _series(self, answer: Any, asked: str) -> Series:
        if isinstance(answer, DeliveryError):
            raise answer
        if answer is None or answer == []:
            raise NoData(f"{asked}: no data", where="memory")
        if isinstance(answer, Mapping) and "error" in answer:
            raise Unavailable(str(answer["error"]), where="memory")
        n = answer.get("n") if isinstance(answer, Mapping) else None
        values = [answer.get("value")] if isinstance(answer, Mapping) else answer if isinstance(answer, list) else [answer]
        now = self._clock()
        return Series(tuple(Sample((Point(now, _number(value), n),)) for value in values), query=asked)


def _number(value: Any) -> float:
    if isinstance(value, str) and value in SPECIAL:
        return SPECIAL[value]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Unavailable(f"{str(value)[:40]!r} is not a number", where="memory")
    return float(value)


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Unavailable(f"cannot be read: {type(error).__name__}", where=str(path)) from None


def _script(value: Any, where: str) -> Mapping[str, Sequence[Any]]:
    """Each query with its list of answers; one answer may stand alone."""
    if not isinstance(value, Mapping):
        raise ConfigError("the script maps queries to answers", where=where)
    return {str(query): answers if isinstance(answers, list) else [answers] for query, answers in value.items()}
