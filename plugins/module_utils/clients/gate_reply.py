# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON from the API of a system that decides gates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.errors import Unavailable
from .json_reply import document
from .web import fetch

MAX_BYTES = 1024 * 1024
MEANT = {401: "it does not know the token", 403: "the token may not read this", 404: "there is no such thing there, or the token may not see it"}


def asked(url: str, where: str, access: Mapping[str, Any]) -> Any:
    """The JSON document at the URL. Raises Unavailable, naming the host alone."""
    response = fetch(url, max_bytes=MAX_BYTES, **access)
    if not 200 <= response.status < 300:
        meant = MEANT.get(response.status)
        raise Unavailable(f"HTTP {response.status}" + (f": {meant}" if meant else ""), where=where)
    return document(response, where)


def mapping(value: Any, where: str) -> Mapping[str, Any]:
    """The value, which must be a mapping. Raises Unavailable."""
    if not isinstance(value, dict):
        raise Unavailable("the answer is not of the form that the API has", where=where)
    return value
