# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers of requests as sources say them."""

from __future__ import annotations

import math

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.counted import whole
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import DeliveryError, NoData, Unavailable


@pytest.mark.parametrize(("count", "n"), [(0.5, 1), (1.0, 1), (1.4, 1), (300.0, 300), (1e15, 10**15)])
def test_counted(count: float, n: int) -> None:
    assert whole(count, "there") == n


@pytest.mark.parametrize(("count", "error"), [(0.0, NoData), (0.49, NoData), (-1.0, Unavailable), (math.nan, Unavailable), (math.inf, Unavailable)])
def test_not_counted(count: float, error: type[DeliveryError]) -> None:
    with pytest.raises(error, match="^there: "):
        whole(count, "there")
