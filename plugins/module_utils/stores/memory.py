# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Release state in memory, for tests: shared between stores that are given the same dict, with faults on demand."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Optional

from ..core.errors import ConfigError, Conflict
from ..core.options import Options
from ..core.ports import Stored

Hook = Callable[[str, str], None]
"""Called with the operation (``load`` or ``save``) and the key. What it raises is what the caller of the store sees."""


def _nothing(operation: str, key: str) -> None:
    """The hook that does nothing."""


class MemoryStore:
    """Implements the port ``StateStore``.

    ``before`` runs before an operation (a store that is down, a process that is slow), ``after`` once it has taken effect
    (an answer that was lost, somebody who writes right behind us).
    """

    on_one_host: ClassVar[bool] = False
    SUMMARY: ClassVar[str] = "Nowhere but in this process: for tests."
    OPTIONS: ClassVar[Options] = {}

    def __init__(self, documents: Optional[dict[str, tuple[str, str]]] = None, *, before: Hook = _nothing, after: Hook = _nothing) -> None:
        self.documents = {} if documents is None else documents
        self.before = before
        self.after = after
        self._lock = threading.Lock()

    @classmethod
    def from_options(cls, options: Mapping[str, Any], name: str) -> MemoryStore:
        return cls()

    def load(self, key: str) -> Optional[Stored]:
        self.before("load", key)
        found = self.documents.get(key)
        self.after("load", key)
        return Stored(json.loads(found[1]), found[0]) if found else None

    def save(self, key: str, value: Mapping[str, Any], expect: Optional[str]) -> str:
        try:
            text = json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{key} holds something that JSON cannot say: {error}") from None
        self.before("save", key)
        with self._lock:
            found = self.documents.get(key)
            if (found[0] if found else None) != expect:
                raise Conflict(f"{key} was changed by somebody else meanwhile")
            token = str(int(found[0]) + 1 if found else 1)
            self.documents[key] = (token, text)
        self.after("save", key)
        return token
