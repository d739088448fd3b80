# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read, change, compare-and-swap, and once more when somebody else was quicker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Optional

from .errors import Conflict
from .ports import Clock, StateStore

TRIES = 50
"""Lost swaps after which we give up: far more than contenders exist, so it means a store that lies."""

Change = Callable[[Mapping[str, Any]], Optional[Mapping[str, Any]]]
"""The new document, made from the stored one ({} when there is none); None leaves it as it is. Called once per try."""


def swap(store: StateStore, clock: Clock, key: str, change: Change) -> Mapping[str, Any]:
    """Apply ``change`` to the document ``key`` and return what is stored now. Raises Conflict after :data:`TRIES`, and what ``change`` raises."""
    for lost in range(TRIES):
        stored = store.load(key)
        value = stored.value if stored else {}
        wanted = change(value)
        if wanted is None:
            return value
        try:
            store.save(key, wanted, stored.token if stored else None)
            return wanted
        except Conflict:
            back_off(clock, lost)
    raise Conflict(f"{key} was changed by others {TRIES} times in a row", do="Look who else writes the state of this release.")


def back_off(clock: Clock, lost: int) -> None:
    """A short pause after a lost swap, longer with every loss."""
    clock.sleep(min(0.01 * (lost + 1), 0.25))
