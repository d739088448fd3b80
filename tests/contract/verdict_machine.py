# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole bake over what a provider answers, in no time: whatever a source may say, what is not a number must not become a pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ansible_collections.progressive.delivery.plugins.module_utils.core.bake import Ports, bake
from ansible_collections.progressive.delivery.plugins.module_utils.core.metric import Metric
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Phase, Series, Window


class Leaping:
    """A clock that begins now and leaps instead of sleeping."""

    def __init__(self) -> None:
        self._began, self._slept = time.time(), 0.0

    def now(self) -> float:
        return self._slept

    def time(self) -> float:
        return self._began + self._slept

    def sleep(self, seconds: float) -> None:
        self._slept += seconds


def never_passes(measure: Callable[[Metric, Window], Series], **options: Any) -> None:
    """Bake for 20 s with a condition that any number fulfils, and with the kindest of limits. The result must not be a pass.

    Only errors of ours are verdicts: anything else that ``measure`` raises fails the test.
    """
    given = {
        "name": "told",
        "query": "q",
        "success_condition": "result < 1e9 || result >= 0",
        "failure_limit": 5,
        "consecutive_error_limit": 9,
        "no_data_timeout": "15s",
        **options,
    }
    metric = Metric.from_options(given, "m")
    result = bake((metric,), Ports(measure, Leaping()), duration=20.0, interval=10.0, error_hold=15.0)
    assert result.phase is not Phase.SUCCESSFUL, f"successful: {result.reason}"
    assert result.decision("pause", "abort") in ("pause", "abort"), result.reason
    assert result.looks and not any(look.phase is Phase.SUCCESSFUL for look in result.looks)
