# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the journal: whatever stands in the file, a report must come of it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.progressive.delivery.plugins.module_utils.core.codec import encode
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Routes
from ansible_collections.progressive.delivery.plugins.module_utils.core.report import journal as j
from ansible_collections.progressive.delivery.plugins.module_utils.core.report.html import render
from ansible_collections.progressive.delivery.tests.unit.module_utils.core.report import scenarios

LOOK = {"at": "2026-03-04T08:00:00.250Z", "kind": "look", "step": 1, "metric": "p95", "value": 41.5, "n": 12, "phase": "running"}


def test_what_event_and_line_write_is_read_back() -> None:
    routes = encode(Routes({"canary": 5, "stable": 95}))  # type: ignore[dict-item]
    text = j.line(j.event("write", 1772611200.25, step=0, target="lb1", before={}, after=routes, fence=7, seconds=0.01))
    [write] = j.parse(text).all(j.Write)
    assert write == j.Write(1772611200.25, 0, "lb1", {}, {"weights": {"canary": 5, "stable": 95}}, 7, 0.01)


def test_an_event_with_a_misspelt_field_is_refused_where_it_is_made() -> None:
    with pytest.raises(TypeError, match="no field 'metrics'"):
        j.event("look", 0.0, metrics="p95")


def test_a_line_cut_off_in_the_middle_is_counted_and_the_rest_is_read() -> None:
    text = json.dumps(LOOK) + "\n" + json.dumps(LOOK)[:40]
    journal = j.parse(text)
    assert (len(journal.all(j.Look)), journal.unreadable) == (1, 1)


def test_an_unknown_kind_is_kept_as_it_was_written() -> None:
    journal = j.from_events([{"at": "2026-03-04T08:00:00.000Z", "kind": "weather", "sun": 1}])
    assert [(item.kind, item.raw["sun"], item.known) for item in journal.events] == [("weather", 1, None)]


def test_fields_of_the_wrong_shape_read_as_empty_and_the_rest_as_written() -> None:
    wrong = {**LOOK, "value": "many", "n": [1], "threshold": 3, "low": float("nan"), "at": "yesterday", "extra": 1}
    [look] = j.from_events([LOOK, wrong]).all(j.Look)[1:]
    assert (look.metric, look.value, look.n, look.threshold, look.low) == ("p95", None, None, "3", None)
    assert look.at == j.from_events([LOOK]).all(j.Look)[0].at  # it keeps its place


def test_exact_weights_are_read() -> None:
    [share] = j.from_events([{"at": "x", "kind": "share", "asked": {"canary": "100/3", "stable": 66.5}, "measured": None}]).all(j.Share)
    assert share.asked["canary"] == pytest.approx(33.3333, abs=1e-3)
    assert (share.asked["stable"], share.measured) == (66.5, None)


@pytest.mark.parametrize("text", ["1/0", "1e999999999", "9" * 5000, "0x10/2", "nan", "-inf", "", "1/2/3"])
def test_numbers_that_are_none(text: str) -> None:
    assert j.number(text) is None


def test_control_and_bidirectional_characters_never_get_through() -> None:
    assert j.clean("a\x1b[31mb\u202ec\x00d\ud800e\r\n") == "a [31mb c d e"


def test_a_resumed_run_goes_on_with_the_same_attempt_and_an_outcome_before_it_is_no_longer_the_last() -> None:
    events = scenarios.paused()
    assert j.from_events(events).outcome.outcome == "paused"  # type: ignore[union-attr]
    resumed = j.from_events([*events, {**events[0], "at": "2026-03-04T09:00:00.000Z"}])
    assert resumed.outcome is None
    assert resumed.started == j.from_events(events).started
    assert len(resumed.all(j.Begin)) == 2


def test_a_new_attempt_starts_afresh_and_remembers_how_the_earlier_one_ended() -> None:
    second = scenarios.Story(attempt=2).events
    journal = j.from_events([*scenarios.rolled_back(), *second])
    assert [item.outcome for item in journal.earlier] == ["rolled_back"]
    assert (journal.begin.release.attempt, journal.all(j.Look), journal.outcome) == (2, (), None)


def test_a_time_no_calendar_has_is_shown_all_the_same() -> None:
    events = [{"at": "2026-03-04T08:00:00.000Z", "kind": "deploy", "hosts": ["web5"], "seconds": seconds} for seconds in (1e18, -1e18)]
    assert "web5" in render(j.from_events(events[:1])) and "web5" in render(j.from_events(events[1:]))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["weights", "canary", "stable", "name", "healthy"]), inner, max_size=3),
    max_leaves=8,
)
FIELDS = sorted({name for kind in j.KINDS.values() for name in kind.__dataclass_fields__})


@settings(max_examples=30)  # each is large: all fields of all kinds
@given(st.lists(st.fixed_dictionaries({"kind": st.sampled_from([*j.KINDS, "other"])}, optional=dict.fromkeys(FIELDS, ANYTHING)), max_size=6))
def test_a_report_comes_of_any_events(events: list[dict[str, object]]) -> None:
    page = render(j.from_events(events))
    assert page.startswith("<!DOCTYPE html>")
    page.encode()


@given(st.text(max_size=200))
def test_any_text_is_a_journal(text: str) -> None:
    j.parse(text)
