# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The exposition format: what is read, and what is refused."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.progressive.delivery.plugins.module_utils.clients.exposition import Metric, buckets, number, parse, quantile, total
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import Unavailable

TEXT = """\
# HELP rq Requests. {not="labels"}
# TYPE rq counter
rq{code="200",path="/a\\"b\\\\c\\nd,}"} 12
rq{code="500",} 3 1700000000000
 rq { code = "200" , } 1e2
up 1
nothing{} NaN
"""


def test_parse_reads_labels_escapes_timestamps_and_spaces() -> None:
    metrics = parse(TEXT)
    assert metrics[0] == Metric("rq", {"code": "200", "path": '/a"b\\c\nd,}'}, 12.0)
    assert [metric.value for metric in metrics[1:4]] == [3.0, 100.0, 1.0]
    assert metrics[4].labels == {} and math.isnan(metrics[4].value)
    assert total(metrics, "rq", {"code": "200"}) == 112 and total(metrics, "rq", {}) == 115 and total(metrics, "absent", {}) is None


@pytest.mark.parametrize(
    "text, value", [("1", 1.0), ("-2.5", -2.5), ("+3", 3.0), (".5", 0.5), ("4.", 4.0), ("1e-3", 0.001), ("+Inf", math.inf), ("-Inf", -math.inf)]
)
def test_numbers(text: str, value: float) -> None:
    assert number(text) == value


@pytest.mark.parametrize("text", ["0x10", "1_000", "", "null", "1e", "--1", "infinity", "1,5", "\u0661", "0x1p-2", "nan1"])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(ValueError):
        number(text)


@pytest.mark.parametrize(
    "line", ["<html>", "rq", 'rq{code="200" 1', "rq{code=200} 1", 'rq{code="2\n00"} 1', "rq 1 2 3", "rq 0x1F", "rq 1 1.5", '{a="b"} 1', 'rq{a="b"c="d"} 1']
)
def test_half_an_answer_is_no_answer(line: str) -> None:
    with pytest.raises(Unavailable, match="line 2 .*format"):
        parse(f"up 1\n{line}\n", where="http://lb/metrics")


@given(st.text())
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        parse(text)
    except Unavailable:
        pass


@given(st.text(), st.floats(allow_nan=False))
def test_labels_survive(value: str, amount: float) -> None:
    value = value.replace("\r", "")
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    assert parse(f'm{{l="{escaped}"}} {amount!r}') == [Metric("m", {"l": value}, amount)]


def test_buckets_are_differences_summed_over_other_labels() -> None:
    text = "".join(f'h_bucket{{c="a",le="{le}",i="{i}"}} {count}\n' for i in (1, 2) for le, count in (("+Inf", 10), ("5", 4), ("10", 9)))
    assert buckets(parse(text), "h", {"c": "a"}) == {(0.0, 5.0): 8, (5.0, 10.0): 10, (10.0, math.inf): 2}
    assert buckets(parse(text), "h", {"c": "b"}) == {}


@pytest.mark.parametrize("text", ['h_bucket{le="1"} 5\nh_bucket{le="2"} 4', 'h_bucket{x="1"} 5', 'h_bucket{le="0x1"} 5'])
def test_broken_buckets(text: str) -> None:
    with pytest.raises(Unavailable):
        buckets(parse(text), "h", {})


def test_quantile_interpolates() -> None:
    histogram = {(0.0, 10.0): 50.0, (10.0, 20.0): 50.0, (20.0, math.inf): 0.0}
    assert quantile(histogram, 0.5) == 10 and quantile(histogram, 0.75) == 15 and quantile(histogram, 1) == 20
    assert quantile({(20.0, math.inf): 3.0}, 0.9) == 20 and quantile({}, 0.5) is None and quantile({(0.0, 1.0): 0.0}, 0.5) is None
