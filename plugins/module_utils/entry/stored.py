# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record, as the store has it."""

from __future__ import annotations

from typing import Optional

from ..core.lease import RECORD
from ..core.ports import StateStore
from ..core.record import Outcome, Record, from_json


def stored_record(store: StateStore) -> Optional[Record]:
    """The record of the last release of this name."""
    stored = store.load(RECORD)
    return from_json(stored.value) if stored else None


def last_state(record: Optional[Record]) -> str:
    """Which release was the last one and how it ended: what a plan was made on, to be seen again once the lease is ours."""
    if record is None:
        return ""
    state = Outcome.PROMOTED if record.tidying else record.outcome
    return f"{record.release.id} {state.value if state else 'running'}"
