# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for what has to come, on a machine of any speed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

SLOWER = 4
"""How many times slower than a quiet machine the one may be that runs the tests, beside other tests."""


def wait_until(true: Callable[[], Any], seconds: float = 60, says: Callable[[], Any] = lambda: "") -> Any:
    """Wait until ``true`` gives something that counts as true, and return that; fail with ``says`` when it does not within ``seconds`` of a quiet machine."""
    deadline = time.monotonic() + SLOWER * seconds
    while not (found := true()):
        assert time.monotonic() < deadline, f"not within {SLOWER * seconds:g} s: {says()}"
        time.sleep(0.1)
    return found
