# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times as systems write them, and what is too old."""

from __future__ import annotations

import math
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import Stale, Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.moment import fresh, moment

T = 1_700_000_000


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (T, T), (T + 0.5, T + 0.5), (T * 1000, T), (1.7e12, T), (T * 1000 + 250, T + 0.25), (T * 10**6, T), (T * 10**9, T), (0, 0), (str(T), T), (f"{T}000", T),
        ("1.7E12", T), ("2023-11-14T22:13:20Z", T), ("2023-11-14T22:13:20.500Z", T + 0.5), ("2023-11-14T22:13:20.123456789Z", T + 0.123456789),
        ("2023-11-14T23:13:20+01:00", T), ("2023-11-14T16:43:20-0530", T), ("2023-11-14 22:13:20 +00:00", T), ("2023-11-14t22:13:20z", T),
    ],
)  # fmt: skip
def test_read(written: Any, seconds: float) -> None:
    assert moment(written) == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize(
    "written",
    ["", "now", "2023-11-14", "2023-11-14T22:13:20", "2023-13-14T22:13:20Z", "2023-11-14T25:13:20Z", "14.11.2023 22:13:20", None, True, -1, [T], {}, math.nan,
     math.inf, 1e20, 10**400, "1_700_000_000", "0x65", "\u0661\u0667"],
)  # fmt: skip
def test_refused(written: Any) -> None:
    with pytest.raises(Unavailable):
        moment(written)


def test_no_zone_is_said() -> None:
    with pytest.raises(Unavailable, match="time zone"):
        moment("2023-11-14T22:13:20")


@pytest.mark.parametrize(
    ("age", "message"), [(60, ""), (0, ""), (-60, ""), (60.1, "1:00 old: more than 1:00"), (-61, "ahead of the server's clock"), (1e9, "old")]
)
def test_age(age: float, message: str) -> None:
    if not message:
        return fresh(T - age, T, 60)
    with pytest.raises(Stale, match=message):
        fresh(T - age, T, 60)
