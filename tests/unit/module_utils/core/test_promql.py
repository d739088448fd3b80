# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which series a PromQL query reads."""

from __future__ import annotations

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.promql import selectors


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("up", ["up"]),
        ('rate(a{code=~"5..",b="}"}[5m]) / rate(a[5m])', ['a{code=~"5..",b="}"}', "a"]),
        ("sum by (le, x) (rate(b_bucket[1m] offset 5m))", ["b_bucket"]),
        ('histogram_quantile(0.9, sum(rate(a{x="1"}[1m])) by (le)) * 1e3', ['a{x="1"}']),
        ('{__name__="x"} and on (a) y', ['{__name__="x"}', "y"]),
        ("1 + 2", []),
        ("vector(1)", []),
        ("a or b unless c", ["a", "b", "c"]),
        ("count(a > bool 5) without (z)", ["a"]),
        ("a @ start()", ["a"]),
        ("sum without(i)(a[5m:1m])", ["a"]),
        ("a # b{c}\n + d", ["a", "d"]),
        ("a{x=`}`} * on(j) group_left(k) b", ["a{x=`}`}", "b"]),
        ("a + a", ["a"]),
        ("job:rate:sum{x='{'} > 0.5", ["job:rate:sum{x='{'}"]),
        ("", []),
    ],
)
def test_selectors(query: str, found: list[str]) -> None:
    assert selectors(query) == found
