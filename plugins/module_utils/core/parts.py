# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shares as whole parts on the destinations of one rule, and conditions as regular expressions: what routers of requests have in common. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction

from .errors import ConfigError, Unsupported
from .model import FULL, Condition
from .units import show_percent


def divide(current: Mapping[str, int], shares: Mapping[str, Fraction], rest: str, base: int, where: str) -> dict[str, int]:
    """The parts of each destination, from the parts that they have. ``shares``: percent of those that are ours, of which ``rest`` takes what is left.

    What is right already stays. A third destination with parts keeps its own, and the sum stays then; else there are ``base`` parts.
    Raises Unsupported for a share that is no whole number of parts, ConfigError when nothing is left.
    """
    total = sum(current.values())
    if total and all(current[name] * FULL == share * total for name, share in shares.items()):
        return dict(current)
    others = {name: parts for name, parts in current.items() if name not in shares}
    if not any(others.values()):
        total = base
    result = dict(others)
    for name, share in shares.items():
        if name != rest:
            exact = share * total / FULL
            if exact.denominator != 1:
                step = f"Weights here come in steps of {show_percent(FULL / total)}."
                raise Unsupported(f"{show_percent(share)} is no whole number of {total} parts", where=where, do=step)
            result[name] = int(exact)
    result[rest] = total - sum(result.values())
    if result[rest] < 0:
        raise ConfigError(f"{', '.join(others)} and the other tracks take more than all of it", where=where)
    return result


def pattern(condition: Condition) -> str:
    """A regular expression (RE2) for the whole value, or for its beginning where the condition is a prefix. Raises Unsupported."""
    if condition.how not in ("exact", "prefix", "regex"):
        raise Unsupported(f"a condition cannot be {condition.how!r}", do="It is exact, prefix or regex.")
    return f"(?:{condition.value})" if condition.how == "regex" else re.escape(condition.value)


def cookie(condition: Condition) -> str:
    """A regular expression for the whole header ``Cookie``."""
    tail = "[^;]*" if condition.how == "prefix" else ""
    return rf"(?:.*;\s*)?{re.escape(condition.name)}={pattern(condition)}{tail}(?:\s*;.*)?"


def no_source(condition: Condition) -> Unsupported:
    return Unsupported(f"a condition cannot look at {condition.source!r}", do="It looks at a header, a cookie, the query or the path.")
