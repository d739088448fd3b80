# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a verb may use of the place it runs in: a clock, a line to the user, and whether it may write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from ..core.ports import Clock, StateStore, TrafficRouter


@dataclass
class Context:
    """The surroundings of one task.

    ``say`` prints one progress line (nothing, in a module on another host). ``stores`` and ``routers`` build the ports whose
    files or sockets live on another host; None builds them right here. ``ask`` reads one line from the user's terminal and is
    None without one. ``who`` names the person or job that started this run. ``tree``: a callback shows the release after each step,
    and how it ended, so that this need not be said.
    """

    clock: Clock
    say: Callable[[str], None] = lambda line: None
    check_mode: bool = False
    who: str = ""
    tree: bool = False
    ask: Optional[Callable[[str, float], Optional[str]]] = None
    stores: Optional[Callable[[Mapping[str, Any], str], StateStore]] = None
    routers: Optional[Callable[[Mapping[str, Any], Mapping[str, tuple[str, ...]]], TrafficRouter]] = None
    facts: Mapping[str, Any] = field(default_factory=dict)
