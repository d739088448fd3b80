# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pretended world of the ``memory`` adapters, in a JSON file where several processes share it."""

from __future__ import annotations

import json
import os
import tempfile
from typing import Any

from ..core.errors import Unavailable


def load(path: str, world: dict[str, Any]) -> dict[str, Any]:
    """The world in the file ``path``; ``world`` itself without a path, or before the first save. Raises Unavailable."""
    if not path or not os.path.exists(path):
        return world
    try:
        with open(path, encoding="utf-8") as source:
            found: dict[str, Any] = json.load(source)
            return found
    except (OSError, ValueError) as error:
        raise Unavailable(f"cannot be read ({error})", where=path) from None


def save(path: str, world: dict[str, Any]) -> None:
    """Write the file whole; nothing without a path. Raises Unavailable."""
    if not path:
        return
    try:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=os.path.dirname(path) or ".", delete=False) as target:
            json.dump(world, target, indent=1)
        os.replace(target.name, path)
    except OSError as error:
        raise Unavailable(f"cannot be written ({error})", where=path) from None
