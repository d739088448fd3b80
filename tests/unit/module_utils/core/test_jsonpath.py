# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers out of JSON by path."""

from __future__ import annotations

import math
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, NoData, Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.jsonpath import numbers

DOCUMENT = {
    "a": {"b": [1, "2.5", True]}, "b c": 3, "rows": [{"v": 1}, {"v": 2}], "none": None, "empty": [], "text": "x", "object": {}, "nan": "NaN", "big": 10**400,
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("{$.a.b[0]}", [1.0]), ("$.a.b[1]", [2.5]), ("{ $.a.b[2] }", [1.0]), ("{$.a.b}", [1.0, 2.5, 1.0]), ("{$['b c']}", [3.0]), ('{$["a"].b[0]}', [1.0]),
        ("{$.rows[*].v}", [1.0, 2.0]), ("{$.rows[1].v}", [2.0]),
    ],
)  # fmt: skip
def test_found(path: str, found: list[float]) -> None:
    assert numbers(DOCUMENT, path) == found


@pytest.mark.parametrize("path", ["{$.none}", "{$.none.deeper}", "{$.empty}", "{$.empty[*]}"])
def test_no_data(path: str) -> None:
    with pytest.raises(NoData):
        numbers(DOCUMENT, path)


@pytest.mark.parametrize(
    "path", ["{$.missing}", "{$.a.b[9]}", "{$.a[0]}", "{$.a.b.c}", "{$.text}", "{$.object}", "{$}", "{$.rows[*].w}", "{$.rows}", "{$.big}"]
)
def test_unavailable(path: str) -> None:
    with pytest.raises(Unavailable):
        numbers(DOCUMENT, path)


@pytest.mark.parametrize("path", ["", "a.b", "{$.a", "{$..a}", "{$.a[-1]}", "{$.a[?(@.x)]}", "{$.a[0:2]}", "{$.a b}", "{$.a[x]}", "$." + "a" * 600])
def test_no_path(path: str) -> None:
    with pytest.raises(ConfigError):
        numbers(DOCUMENT, path)


def test_nan_is_said_as_text_only() -> None:
    assert math.isnan(numbers(DOCUMENT, "{$.nan}")[0])
    wrong: Any = {"v": math.inf}
    with pytest.raises(Unavailable):
        numbers(wrong, "{$.v}")
