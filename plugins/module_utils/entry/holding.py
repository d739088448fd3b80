# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run does while the server that everything goes through is away: nothing, and the same task again once it answers.

Every try takes the release up anew, as ``resume`` would: it proves first that the lease is still this run's, and reads where the release is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..clients.kube_errors import Forbidden
from ..core.errors import Away, Lapsed
from ..core.units import show_duration
from .context import Context

HOLD = 600.0
"""Seconds from the first failure after which a run waits no more."""
AGAIN = 2.0
"""The shortest pause between two tries."""
SAY_EVERY = 60.0
RETURN = 30.0
"""Seconds after it was away in which a server's "may not" is not believed: an API server answers before it has read its own rules."""


def held(work: Callable[[bool], dict[str, Any]], context: Context, label: str) -> dict[str, Any]:
    """The result of ``work``, which is told whether this is its last try. Raises what that raises; Fenced at once when the release is another run's."""
    clock = context.clock
    began = said = away = None
    while True:
        last = began is not None and clock.now() - began >= HOLD
        try:
            return work(last)
        except Forbidden:
            if away is None or clock.now() - away > RETURN:
                raise
            clock.sleep(AGAIN)
        except (Away, Lapsed) as error:
            now = clock.now()
            began, away = (now if began is None else began), now
            if last or isinstance(error, Away) and now + error.wait - began > HOLD:
                raise
            if said is None or now - said >= SAY_EVERY:
                said = now
                why = str(error.__cause__ if isinstance(error.__cause__, Away) else error).rstrip(".")
                context.say(f"{label}: nothing moves: {why}. Looking again for {show_duration(round(began + HOLD - now))}")
            clock.sleep(max(AGAIN, error.wait if isinstance(error, Away) else 0.0))
