# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The JSON in an answer over HTTP, read strictly, and what time it was at the server."""

from __future__ import annotations

import email.utils
import json
import re
from typing import Any

from ..core.errors import Unavailable
from .web import Response


def document(response: Response, where: str) -> Any:
    """The whole body as JSON. Raises Unavailable for anything else, for NaN and Infinity as bare words, and for an object with a key twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise Unavailable("the answer has an object with the same key twice", where=where)
        return found

    try:
        return json.loads(response.body.decode("utf-8"), parse_constant=_refuse, object_pairs_hook=unique)
    except (ValueError, RecursionError):
        kind = response.headers.get("content-type", "of no type")[:60]
        raise Unavailable(f"the body is not JSON ({kind}); a login page, perhaps", where=where) from None


def refusal(response: Response) -> str:
    """``HTTP 429``, and how long the server asks to wait."""
    wait = response.headers.get("retry-after", "")
    return f"HTTP {response.status}" + (f", asks to wait {wait} s" if re.fullmatch(r"\d{1,6}", wait) else "")


def served(response: Response, ours: float) -> float:
    """The server's time, and what a cache on the way adds to it; ``ours`` where it does not say."""
    try:
        date = email.utils.parsedate_to_datetime(response.headers["date"]).timestamp()
    except (KeyError, TypeError, ValueError, IndexError, OverflowError):
        return ours
    age = response.headers.get("age", "")
    return date + (int(age) if re.fullmatch(r"\d{1,9}", age) else 0)


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")
