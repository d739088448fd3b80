# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The terminal tree: the lines a person reads, letter by letter where they matter."""

from __future__ import annotations

import re

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core import tree as t
from ansible_collections.progressive.delivery.plugins.module_utils.core.report.journal import Look, event
from ansible_collections.progressive.delivery.plugins.module_utils.core.report.view import View, from_events
from ansible_collections.progressive.delivery.tests.unit.module_utils.core.report import scenarios


def shown(name: str, **more: object) -> View:
    return from_events(scenarios.SCENARIOS[name](), **more)


def test_a_running_release() -> None:
    lines = t.tree(shown("running"), colour=False, unicode=True)
    assert lines[0] == "shop 2.4.0 \u2192 2.4.1   canary \u00b7 haproxy lb1, lb2 \u00b7 release 01J9\u20267Q \u00b7 plan 6f3a"
    assert lines[2] == "  \u2714 deploy     web5, web6 \u00b7 healthy in 8 s"
    assert re.match(r"  \u2714  5 %       measured 5\.\d % \(\d+ of 2,320\)   error-rate 0\.\d\d % < 1 %   p95 \d+ ms \u2264 1\.5 \u00d7 38 ms$", lines[3])
    assert re.match(r"  \u25cf 20 %       measured 19\.7 %   bake 2:11 of 5:00   error-rate 0\.\d\d % \(n 6,560, 95 % 0\.\d\d\u20130\.\d\d\)   p95", lines[4])
    assert lines[5] == f"               {scenarios.NEEDS}"
    assert lines[6:8] == ['  \u25cb 50 %       gate "half" first', "  \u25cb promote"]
    assert lines[8] == f"  next look in 10 s \u00b7 about 3 min to go \u00b7 stop: {scenarios.ABORT}"


def test_when_it_goes_wrong_the_reason_comes_first_then_what_was_done_then_what_to_do() -> None:
    assert t.outcome_lines(shown("rolled_back", report="reports/shop.html")) == [
        f"\u2718 rolled back at 20 %: {scenarios.REASON}",
        "  2.4.0 carries 100 % again after 1.4 s (measured) \u00b7 21 users' requests failed, 0.2 % of all \u00b7 left running for a look: web5, web6",
        "  report: reports/shop.html",
        "  next: fix and run again, or `ansible-playbook progressive.delivery.status` for details",
    ]


def test_a_failed_comparison_is_not_shown_as_true() -> None:
    [line] = [line for line in t.tree(shown("rolled_back"), False, True) if "error-rate 6.3 %" in line and "\u2718 20 %" in line]
    assert "error-rate 6.3 % not < 1 % (n 318, 95 %" in line


def test_a_gate_is_named_as_it_is_called_and_has_a_line_while_nobody_waits_with_it() -> None:
    steps = [{"index": 0, "name": 'gate "switch"', "kind": "gate"}, {"index": 1, "name": "switch", "kind": "weight", "weight": 100}]
    begin = event("begin", 0.0, release={"name": "shop", "version": "2"}, steps=steps)
    assert '  \u25cb switch     gate "switch" first' in t.tree(from_events([begin]), False, True)
    paused = [event("step", 1.0, step=0, status="started"), event("gate", 2.0, step=0, name="switch", decision="opened"),
              event("step", 3.0, step=0, status="paused")]  # fmt: skip
    lines = t.tree(from_events([begin, *paused]), False, True)
    assert '  \u25cf gate "switch"  waits for a decision' in lines and "  \u25cb switch" in lines


def test_a_place_that_the_reason_begins_with_is_not_said_twice() -> None:
    steps = [{"index": 0, "name": 'gate "switch"', "kind": "gate"}]
    story = [event("begin", 0.0, release={"name": "shop", "version": "2"}, steps=steps), event("step", 1.0, step=0, status="paused"),
             event("outcome", 2.0, outcome="paused", code=12, reason='gate "switch" is open')]  # fmt: skip
    assert '\u25cf paused: gate "switch" is open' in t.tree(from_events(story), False, True)


def test_what_was_seen_stands_apart_from_a_long_label() -> None:
    steps = [{"index": 0, "name": "deploy 2.10.0-rc.1 to shop-canary", "kind": "deploy"}, {"index": 1, "name": "scale it to 3", "kind": "scale"}]
    story = [event("begin", 0.0, release={"name": "shop", "version": "2"}, steps=steps)]
    story += [event("ready", 2.0, step=step, name="shop-canary", ready=3, wanted=3, seconds=1.0) for step in (0, 1)]
    lines = t.tree(from_events(story), False, True)
    assert all("  3 of 3 Pods" in line for line in lines[2:4])


def test_a_gate_has_its_own_line_once_it_is_open() -> None:
    lines = t.tree(shown("paused"), False, True)
    assert "  \u25cf gate half  waits for a decision" in lines
    assert '\u25cf paused at 20 %: gate "half" waits for a decision' in lines
    assert lines[-2:] == ["  next: ansible-playbook progressive.delivery.promote -e @shop.yml", f"        {scenarios.ABORT}"]


@pytest.mark.parametrize("name", scenarios.SCENARIOS)
@pytest.mark.parametrize("unicode", [True, False])
def test_no_line_is_too_long_or_carries_anything_but_text(name: str, unicode: bool) -> None:
    lines = t.tree(shown(name), colour=False, unicode=unicode)
    for line in lines:
        assert len(line) <= t.WIDTH or "ansible-playbook" in line
        assert not re.search("[\x00-\x1f\x7f-\x9f\u202e]", line)
        assert unicode or line.isascii()


def test_colours_change_nothing_but_colours() -> None:
    view = shown("rolled_back")
    plain, coloured = t.tree(view, False, True), t.tree(view, True, True)
    assert "\033[31m" in "".join(coloured)
    assert [re.sub(r"\033\[\d+m", "", line) for line in coloured] == plain


def test_wide_characters_count_twice() -> None:
    events = scenarios.Story().end("failed", 18, "\u9519 " * 100)
    assert all(sum(2 if char == "\u9519" else 1 for char in line) <= t.WIDTH for line in t.tree(from_events(events), False, True))


def test_a_look_names_service_and_step() -> None:
    look = Look(0.0, 3, "error-rate", "running", 0.0012, 0.001, "< 1 %", 1644, "needs 310 more requests", 0.0003, 0.0036, "share")
    line = t.look_line(look, service="shop", step="20 %")
    assert line == "  shop 20 %   error-rate 0.12 % (n 1,644, 95 % 0.03\u20130.36)   needs 310 more requests"
    assert t.look_line(look, unicode=False).isascii()


def test_the_headline_of_nothing_and_of_a_first_deploy() -> None:
    assert t.headline(from_events([])) == "release"
    assert t.headline(shown("first_deploy")).startswith("shop 2.4.1, first deploy   canary")


def test_a_resumed_release_is_in_flight_again() -> None:
    events = scenarios.paused()
    view = from_events([*events, {**events[0], "at": "2026-03-04T09:00:00.000Z"}])
    assert t.outcome_lines(view) == []


def test_a_release_that_goes_back_has_nothing_ahead_and_cannot_be_stopped_by_going_back() -> None:
    lines = t.tree(shown("going_back"), False, True)
    assert lines[-1] == "  going back to 2.4.0"
    assert not [line for line in lines if "to go" in line or "stop:" in line or "next look" in line]


def test_what_is_promoted_is_not_offered_to_be_stopped() -> None:
    story = scenarios.Story()
    assert "stop:" in t.tree(from_events(story.events), False, True)[-1]
    story.start(6, "promote")
    story.done(6, "promote")
    assert "stop:" not in "".join(t.tree(from_events(story.events), False, True))


def test_a_rollback_that_somebody_asked_for_is_a_success_and_one_that_failed_is_none() -> None:
    assert t.outcome_lines(shown("wanted_rollback"))[0] == "\u2714 rolled back to 2.4.0, as ann asked"
    assert t.outcome_lines(shown("failed_rollback"))[0] == "\u2718 rolled back at health: web1 does not answer"
