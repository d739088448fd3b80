# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Conditions: Argo's expressions, and everything that is not one."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.progressive.delivery.plugins.module_utils.core.conditions import DEEPEST, FUNCTIONS, LONGEST, Condition
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, DeliveryError, NoData, Unavailable

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("text", "result", "holds"),
    [
        ("result > 1", 2.0, True),
        ("result >= 0.95", 0.95, True),
        ("result == 5", 5.0, True),
        ("result != 5", 5.0, False),
        ("result[0] < 0.05", [0.01], True),
        ("result[0] < 0.05", 0.01, True),
        ("result[1] < 0.05", [1.0, 0.01], True),
        ("result < 0.05", [0.01], True),
        ("len(result) == 0 || result[0] <= 0.95", [0.9], True),
        ("len(result) == 2", [1.0, 2.0], True),
        ("len(result) == 0", [], True),
        ("len(result) == 0", None, True),
        ("all(result, # < 1)", [0.5, 0.6], True),
        ("all(result, # < 1)", [0.5, 1.6], False),
        ("all(result, {# < 1})", [0.5], True),
        ("any(result, # > 1 && # < 3)", [0.0, 2.0], True),
        ("first(result) > 1", [2.0, 0.0], True),
        ("isNaN(result)", NAN, True),
        ("isNaN(result) || result < 5", NAN, True),
        ("isInf(result)", -INF, True),
        ("isInf(result)", 1.0, False),
        ("isNil(result)", None, True),
        ("isNil(result)", 0.0, False),
        ("default(result, 0) < 0.05", None, True),
        ("default(result[0], 9) < 0.05", [], False),
        ("default(result, 0) < 0.05", 1.0, False),
        ("asInt(result) == 3", 3.9, True),
        ("asInt(result / 2) % 2 == 1", 3.0, True),
        ("asFloat(result) == 3.5", 3.5, True),
        ("result > 1 and not (result > 3) or result == 9", 2.0, True),
        ("!(result > 1)", 2.0, False),
        ("(result > 1) == (result > 2)", 3.0, True),
        ("(result > 1) != (result > 2)", 1.5, True),
        ("-result < 0", 1.0, True),
        ("result * 100 - 1 > 2 + 3 * 4", 0.2, True),
        ("2 - 1 - 1 == result", 0.0, True),
        (".5e1 == result", 5.0, True),
        ("result > 1 || result < 0 && result < -5", 2.0, True),
    ],
)
def test_holds(text: str, result: object, holds: bool) -> None:
    assert Condition.parse(text).evaluate(result) is holds


@pytest.mark.parametrize("sign", ["==", "!=", "<", "<=", ">", ">="])
def test_every_comparison_with_nan_is_false(sign: str) -> None:
    assert Condition.parse(f"result {sign} 1").evaluate(NAN) is False
    assert Condition.parse(f"1 {sign} result").evaluate(NAN) is False


@pytest.mark.parametrize(
    ("text", "result", "error"),
    [
        ("result > 1", None, NoData),
        ("result > 1", [], NoData),
        ("result[0] > 1", [], NoData),
        ("all(result, # < 1)", [], NoData),
        ("!any(result, # > 1)", [], NoData),
        ("first(result) > 1", None, NoData),
        ("result[3] > 1", [1.0], Unavailable),
        ("result > 1", [1.0, 2.0], Unavailable),
        ("1 / result > 1", 0.0, Unavailable),
        ("5 % result > 1", 0.0, Unavailable),
        ("asInt(result) > 1", NAN, Unavailable),
        ("asInt(result) > 1", INF, Unavailable),
    ],
)
def test_no_value_is_never_a_value(text: str, result: object, error: type[DeliveryError]) -> None:
    with pytest.raises(error):
        Condition.parse(text).evaluate(result)


REFUSED = [
    "", " ", "true", "1 < 2", "result", "result + 1", "result > ", "> result", "result >> 1", "result = 1", "result === 1", "result > 1 extra",
    "result > (1", "result > 1)", "result[0] > 1 && result > 2", "isNaN(result) || result[0] < 1", "0x10 > result", "1_000 < result",
    "result > 1e400", "result.ok", "result.ok > 1", "resul > 1", "Result > 1", "NaN > result", "inf > result", "result > nil", "all(result) > 1",
    "all(result, 1)", "all(1, # > 1)", "any(result, result)", "1 < result < 5", "all(result, any(result, # > 1))", "# > 1 && result > 1",
    "result == 'a'", 'result == "a"', "__import__('os')", "result.__class__ > 1", "result[-1] > 1", "result[result] > 1", "result[1.5] > 1",
    "result[0][0] > 1", "default(result) > 1", "default(result, 0)", "len(1) > 1", "isNaN() || result > 1", "isNaN(result, 1)", "result > 5%",
    "result > 1; result < 2", "lambda: result > 1", "result ** 2 > 1", "result > 1 ? 1 : 0", "result > 1 &", "!result > 1", "not result",
    "(result > 1) + 1 > 0", "result && result > 1", "exec(result)", "{{ result }} > 1", "result > \x00", "result > \u0663",
]


@pytest.mark.parametrize("text", REFUSED)
def test_refused_when_read(text: str) -> None:
    with pytest.raises(ConfigError):
        Condition.parse(text, "metrics[0].success_condition")


def test_bounded() -> None:
    with pytest.raises(ConfigError, match="characters"):
        Condition.parse("result > 1" + " && result > 1" * LONGEST)
    with pytest.raises(ConfigError, match="levels"):
        Condition.parse("(" * (DEEPEST + 1) + "result > 1" + ")" * (DEEPEST + 1))
    long = "result > 0" + "+1" * ((LONGEST - 10) // 2)
    assert Condition.parse(long).evaluate(1000.0) is True


def test_error_names_place_and_suggests() -> None:
    with pytest.raises(ConfigError, match=r"metrics\[0\].*unknown name 'isNan'.*Did you mean isNaN"):
        Condition.parse("isNan(result)", "metrics[0]")


@given(
    st.text(alphabet="result[]()0123456789.<>=!&|+-*/%,# {}anoNisIflemdtuF", max_size=60),
    st.one_of(st.floats(), st.none(), st.lists(st.floats(), max_size=3)),
)
def test_any_text_is_a_bool_or_an_error_of_ours(text: str, result: object) -> None:
    with contextlib.suppress(DeliveryError):
        assert Condition.parse(text).evaluate(result) in (True, False)


@given(st.sampled_from(sorted(FUNCTIONS)))
def test_functions_are_reported(name: str) -> None:
    text = {"all": "all(result, # > 1)", "any": "any(result, # > 1)", "default": "default(result, 0) > 1", "isNil": "isNil(result)"}
    text.update({"isNaN": "isNaN(result)", "isInf": "isInf(result)"})
    assert Condition.parse(text.get(name, f"{name}(result) > 1")).asks == {name}
