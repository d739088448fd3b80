# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.core.units import (
    count_or_percent,
    duration,
    from_iso,
    iso,
    percent,
    plain,
    show_duration,
    show_percent,
    shown,
)
from ansible_collections.progressive.delivery.tests.unit.module_utils.core.plans import bounded

HUGE = 10**6000
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(max_size=4), st.just([]), st.just({}))


@pytest.mark.parametrize(
    "value, seconds",
    [
        (30, 30),
        ("30", 30),
        ("30s", 30),
        ("5m", 300),
        ("1h", 3600),
        ("1h30m", 5400),
        ("250ms", 0.25),
        (" 5m ", 300),
        (0, 0),
        ("1.5h", 5400),
        ("720h", 2592000),
        (0.5, 0.5),
        ("1m30s", 90),
        ("1s500ms", 1.5),
    ],
)
def test_durations(value, seconds):
    assert duration(value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "5 m",
        "m",
        "5x",
        "-5s",
        -1,
        "1d",
        "721h",
        1e300,
        math.nan,
        math.inf,
        -math.inf,
        True,
        None,
        [],
        {},
        "5m1h",
        "1e3",
        "٣s",
        "5s\n5s",
        pytest.param(HUGE, id="huge"),
        b"5s",
        "9" * 5000,
        "9" * 5000 + "s",
        ".5s",
        "1:30",
    ],
)
def test_no_durations(value):
    with pytest.raises(ConfigError, match=r"^here: "):
        duration(value, "here")


@pytest.mark.parametrize(
    "value, wanted",
    [
        (5, 5),
        ("5", 5),
        ("5%", 5),
        ("10 %", 10),
        (33.3, Fraction(333, 10)),
        ("33.3", Fraction(333, 10)),
        (0.01, Fraction(1, 100)),
        (1e-05, Fraction(1, 100000)),
        ("100/3", Fraction(100, 3)),
        (100, 100),
        (0, 0),
        (1e-07, Fraction(1, 10**7)),
        (12.5, Fraction(25, 2)),
    ],
)
def test_percentages_are_exact(value, wanted):
    assert percent(value) == wanted


@pytest.mark.parametrize(
    "value",
    [
        101,
        -1,
        100.01,
        "101%",
        "-0.1",
        "",
        "%",
        "5%%",
        "five",
        True,
        None,
        [],
        {},
        math.nan,
        math.inf,
        "1/0",
        "33.3/2",
        "1e1",
        "٣",
        pytest.param(HUGE, id="huge"),
        "9" * 5000,
        b"5",
        "5\n6",
    ],
)
def test_no_percentages(value):
    with pytest.raises(ConfigError, match=r"^here: "):
        percent(value, "here")


@bounded(100)
@given(st.decimals(0, 100, places=4))
def test_a_percentage_survives_the_plain_form(value):
    number = percent(str(value))
    assert percent(plain(number)) == number == Fraction(value)


@pytest.mark.parametrize("value, up, down", [("25%", 3, 2), (3, 3, 3), ("3", 3, 3), ("0%", 0, 0), ("100%", 10, 10), ("1%", 1, 0), (0, 0, 0), ("33.3%", 4, 3)])
def test_counts_round_as_asked(value, up, down):
    assert (count_or_percent(value, 10, round_up=True), count_or_percent(value, 10, round_up=False)) == (up, down)


@pytest.mark.parametrize("value", ["", "x", -1, "-1", 1.5, True, None, "101%", "%", pytest.param(HUGE, id="huge"), [], "9" * 5000, "٣"])
def test_no_counts(value):
    with pytest.raises(ConfigError, match=r"^here: "):
        count_or_percent(value, 10, round_up=True, where="here")


@bounded(100)
@given(scalars)
def test_anything_is_read_or_refused_in_one_way(value):
    for read in (duration, percent, lambda item: count_or_percent(item, 7, round_up=True)):
        with contextlib.suppress(ConfigError):
            found = read(value)
            assert math.isfinite(found) and found >= 0


@bounded(100)
@given(st.integers(0, 4_000_000_000_000))
def test_times_survive_their_text(millis):
    assert round(from_iso(iso(millis / 1000)) * 1000) == pytest.approx(millis, abs=1)


@pytest.mark.parametrize("seconds, text", [(0.85, "850 ms"), (12, "12 s"), (12.5, "12.5 s"), (130, "2:10"), (3730, "1:02:10"), (0, "0 ms")])
def test_durations_for_people(seconds, text):
    assert show_duration(seconds) == text


@pytest.mark.parametrize("number, text", [(5, "5 %"), (Fraction(333, 10), "33.3 %"), (Fraction(100, 3), "33.33 %"), (0, "0 %"), (100, "100 %")])
def test_percentages_for_people(number, text):
    assert show_percent(number).replace("\u00a0", " ") == text


def test_what_a_message_quotes_is_never_long():
    assert shown("x" * 1000).endswith("...") and len(shown("x" * 1000)) == 80
    assert shown(HUGE) == "something far too large"
