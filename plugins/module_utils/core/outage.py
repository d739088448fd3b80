# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics that cannot be asked, said when that begins or changes and then at growing intervals, instead of at every look."""

from __future__ import annotations

import re
from typing import Optional

from .bake import Look
from .units import show_duration

FIRST, LONGEST = 30.0, 120.0
"""Seconds from the first line about an error to the second, and the most between two lines."""


class Outages:
    """Follows the looks of one bake. ``acts`` says what happens when a metric is away too long, such as ``rolls back``."""

    def __init__(self, acts: str) -> None:
        self._acts = acts
        self._errors: dict[str, str] = {}
        """By metric, the error it has now, without its times: 1.2 s instead of 1.3 s is no other error."""
        self._due: dict[str, tuple[float, float]] = {}
        """By error, when it is said again, and how long after that the next time."""

    def line(self, look: Look) -> Optional[str]:
        """What to say of this look: nothing (an empty text) when it would only repeat what was said, None when the metric was answered."""
        error = look.reason.partition(": ")[2] or look.reason
        key = re.sub(r"\d[\d.]*(?= m?s\b)", "", error)
        if look.outage is None:
            self._errors.pop(look.metric, None)
        else:
            self._errors[look.metric] = key
        self._due = {known: due for known, due in self._due.items() if known in self._errors.values()}
        if look.outage is None:
            return None
        at, wait = self._due.get(key, (look.at, FIRST))
        if look.at < at and look.left != 0:
            return ""
        self._due[key] = (look.at + wait, min(2 * wait, LONGEST))
        names = ", ".join(metric for metric, known in self._errors.items() if known == key)
        lasted = f" for {show_duration(round(look.outage))}" if look.outage >= 1 else ""
        soon = "" if look.left is None else f", {self._acts} in {show_duration(round(look.left))}" if look.left else f", {self._acts}"
        return f"{names} away{lasted}{soon}: {error}"
