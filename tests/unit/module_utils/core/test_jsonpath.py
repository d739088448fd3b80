# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers out of JSON by path."""

from __future__ import annotations

import math
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, NoData, Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.jsonpath import numbers, places, same, there

DOCUMENT = {
    "a": {"b": [1, "2.5", True]}, "b c": 3, "rows": [{"v": 1}, {"v": 2}], "none": None, "empty": [], "text": "x", "object": {}, "nan": "NaN", "big": 10**400,
    "points": [[10, 9], [20, 8]],
    "named": [{"name": "a", "v": 5, "deep": [{"on": True}]}, {"name": "b", "v": 6, "deep": [{"on": 1}]}, {"name": "c", "v": 7, "none": None}, {"v": 4}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("{$.a.b[0]}", [1.0]), ("$.a.b[1]", [2.5]), ("{ $.a.b[2] }", [1.0]), ("{$.a.b}", [1.0, 2.5, 1.0]), ("{$['b c']}", [3.0]), ('{$["a"].b[0]}', [1.0]),
        ("{$.rows[*].v}", [1.0, 2.0]), ("{$.rows[1].v}", [2.0]), ("{$.a.b[-1]}", [1.0]), ("{$.a.b[-3]}", [1.0]), ("{$.rows[-1].v}", [2.0]),
        ("{$.points[-1][1]}", [8.0]), ("{$.named[?(@.name=='b')].v}", [6.0]), ("{$.named[?( @['name'] != \"b\" )].v}", [5.0, 7.0]),
        ("{$.named[?(@.deep[0].on==true)].v}", [5.0]), ("{$.points[?(@[0] == 20.0)][1]}", [8.0]), ("{$.named[?(@.none==null)].v}", [7.0]),
        ("{$.a.b[?(@==1)]}", [1.0]),
    ],
)  # fmt: skip
def test_found(path: str, found: list[float]) -> None:
    assert numbers(DOCUMENT, path) == found


@pytest.mark.parametrize(
    "path",
    ["{$.none}", "{$.none.deeper}", "{$.empty}", "{$.empty[*]}", "{$.empty[0]}", "{$.empty[-1].v}", "{$.empty[?(@.v==1)]}", "{$.named[?(@.name=='z')].v}"],
)
def test_no_data(path: str) -> None:
    with pytest.raises(NoData):
        numbers(DOCUMENT, path)


@pytest.mark.parametrize(
    "path",
    [
        "{$.missing}",
        "{$.a.b[9]}",
        "{$.a[0]}",
        "{$.a.b.c}",
        "{$.text}",
        "{$.object}",
        "{$}",
        "{$.rows[*].w}",
        "{$.rows}",
        "{$.big}",
        "{$.a.b[-4]}",
        "{$.a[-1]}",
        "{$.text[-1]}",
        "{$.a[?(@.v==1)]}",
        "{$.missing[-1]}",
    ],
)
def test_unavailable(path: str) -> None:
    with pytest.raises(Unavailable):
        numbers(DOCUMENT, path)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "a.b",
        "{$.a",
        "{$..a}",
        "{$.a[-]}",
        "{$.a[--1]}",
        "{$.a[?(@.x)]}",
        "{$.a[?(@.x=~'y')]}",
        "{$.a[?(@.x==y)]}",
        "{$.a[?(@..x==1)]}",
        "{$.a[0:2]}",
        "{$.a b}",
        "{$.a[x]}",
        "$." + "a" * 600,
    ],
)
def test_no_path(path: str) -> None:
    with pytest.raises(ConfigError):
        numbers(DOCUMENT, path)


def test_nan_is_said_as_text_only() -> None:
    assert math.isnan(numbers(DOCUMENT, "{$.nan}")[0])
    wrong: Any = {"v": math.inf}
    with pytest.raises(Unavailable):
        numbers(wrong, "{$.v}")


def test_places_are_demanded_or_not() -> None:
    assert places(DOCUMENT, "{$.text}") == ["x"]
    assert places(DOCUMENT, "{$.none}") == [None]
    assert there(DOCUMENT, "{$.named[*].none}") == [None]
    assert there(DOCUMENT, "{$.missing.deeper[-1]}") == there(DOCUMENT, "{$.empty[0]}") == []
    with pytest.raises(Unavailable):
        places(DOCUMENT, "{$.named[*].none}")


@pytest.mark.parametrize(
    ("one", "two", "equal"),
    [
        (0, 0.0, True), (0, False, False), (1, True, False), (True, True, True), (0, "0", False), (None, None, True), (None, 0, False), (None, False, False),
        ([1, True], [1.0, True], True), ([1], [True], False), ({"a": 0}, {"a": False}, False), ({"a": [1]}, {"a": [1]}, True), ([], {}, False),
    ],
)  # fmt: skip
def test_equality_is_of_json(one: Any, two: Any, equal: bool) -> None:
    assert same(one, two) is same(two, one) is equal
