# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What plan asks beforehand: whether every metric has an answer, and whether enough requests come."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, NoData, Stale, Unavailable, Unsupported
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Capability, Point, Sample, Series, Window
from ansible_collections.progressive.delivery.plugins.module_utils.entry import measuring
from ansible_collections.progressive.delivery.plugins.module_utils.routers.memory import MemoryRouter
from ansible_collections.progressive.delivery.tests.unit.module_utils.entry.service import Service

ERRORS = {"name": "errors", "builtin": "error_rate", "failure_condition": "result > 0.01"}
ORDERS = {"name": "orders", "query": "rate(orders[1m])", "failure_condition": "result > 5"}
STEPS = [{"set_weight": 20}, {"bake": {"duration": "2m"}}]

Answer = Callable[[str, Window], Any]


class Provider:
    """Answers with a number, a (number, requests) pair, or an error; what it was asked stands in ``asked``."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str]] = []

    def probe(self) -> None:
        pass

    def query(self, query: str, window: Window) -> Series:
        self.asked.append((window.track, window.builtin or query))
        found = self.answer(window.builtin or query, window)
        if isinstance(found, Exception):
            raise found
        value, n = found if isinstance(found, tuple) else (found, None)
        return Series((Sample((Point(window.end, value, n),)),))


class Knowing(Provider):
    def why_no_data(self, query: str, window: Window) -> str:
        return f"nothing has the labels of {window.track}"


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., tuple[dict[str, Any], Provider, Service]]:
    def plan(answer: Answer, *metrics: dict[str, Any], **file: Any) -> tuple[dict[str, Any], Provider, Service]:
        provider = Provider(answer)
        monkeypatch.setattr(measuring.build, "provider", lambda options, tracks, allow: provider)
        given = {"rollout_steps": STEPS, "rollout_analysis": {"provider": {"memory": {"values": {"x": 1}}}, "metrics": list(metrics or (ERRORS,))}, **file}
        service = Service(tmp_path, **given)
        return service.plan("rollout", "2"), provider, service

    return plan


def notes(planned: dict[str, Any]) -> str:
    return "\n".join(planned["notes"])


def test_every_metric_is_asked_of_both_sides(ask: Any) -> None:
    planned, provider, _service = ask(lambda asked, window: 0.001, ERRORS, ORDERS)
    assert provider.asked == [("stable", "error_rate"), ("canary", "error_rate"), ("stable", "rate(orders[1m])")]
    assert "data" not in notes(planned)


@pytest.mark.parametrize("error", [
    ConfigError("the server refuses the query: bad_data: 1:5: unexpected", where="http://prometheus"), Unavailable("HTTP 404", where="http://shop"),
    Unsupported("no built-in metric conversion for this convention"),
])
@pytest.mark.parametrize("metrics, place", [((ORDERS,), r"metrics\[0\]"), ((ERRORS, ORDERS), r"metrics\[1\]")])
def test_a_question_that_cannot_be_answered_is_refused_in_the_servers_words(ask: Any, error: Exception, metrics: Any, place: str) -> None:
    with pytest.raises(ConfigError, match=rf"^rollout_analysis\.{place}: orders cannot be measured: .*({error.args[0][:20]})"):
        ask(lambda asked, window: error if "orders" in asked else 0.001, *metrics)


def test_a_provider_that_knows_why_there_is_no_data_is_quoted(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "Provider", Knowing)
    planned, _provider, _service = ask(lambda asked, window: NoData("no series"), ERRORS)
    assert "errors has no data now: nothing has the labels of stable" in planned["notes"]
    planned, _provider, _service = ask(lambda asked, window: Stale("10 min old"), ERRORS)
    assert any(note.startswith("errors has no data now: 10 min old") for note in planned["notes"]), "the question is not to blame"


@pytest.mark.parametrize("error", [NoData("no series"), Unavailable("HTTP 404"), Stale("10 min old")])
def test_a_candidate_without_data_is_a_note(ask: Any, error: Exception) -> None:
    planned, _provider, _service = ask(lambda asked, window: error if window.track == "canary" else 0.001)
    assert "no data of 2 yet, which is as it should be before it serves: errors" in planned["notes"]


def test_a_candidate_without_a_selector_is_refused(ask: Any) -> None:
    with pytest.raises(ConfigError, match=r"metrics\[0\]: errors cannot be measured: prometheus.selectors: unknown track"):
        ask(lambda asked, window: ConfigError("unknown track 'canary'", where="prometheus.selectors") if window.track == "canary" else 0.001)


@pytest.mark.parametrize("error", [NoData("no series"), Stale("the newest sample is 10 min old")])
def test_a_stable_without_data_is_a_note_that_says_why(ask: Any, error: Exception) -> None:
    planned, _provider, _service = ask(lambda asked, window: error, ORDERS)
    assert f"orders has no data now: {error}" in planned["notes"]


def test_what_neither_side_has_is_said_once(ask: Any) -> None:
    planned, _provider, _service = ask(lambda asked, window: NoData("no series"))
    assert [note for note in planned["notes"] if "data" in note] == ["errors has no data now: no series"]


def test_counters_get_a_second_look(ask: Any) -> None:
    answers = [NoData("this is the first look"), 0.001]
    planned, _provider, service = ask(lambda asked, window: answers.pop(0), ORDERS)
    assert "data" not in notes(planned)
    assert service.clock.slept == [1.0]


def test_an_answer_without_a_count_cannot_meet_min_requests(ask: Any) -> None:
    with pytest.raises(ConfigError, match=r"metrics\[0\]: orders has min_requests, and its answer does not say"):
        ask(lambda asked, window: 0.001, {**ORDERS, "min_requests": 10})


def test_the_first_deploy_asks_only_what_it_will_ask(ask: Any) -> None:
    planned, _provider, _service = ask(lambda asked, window: NoData("nothing"), rollout_previous_version="none")
    assert "has no data now" not in notes(planned)


def counting(rate: float, needed: Any = 300) -> tuple[Answer, dict[str, Any]]:
    """A provider that counts ``rate`` requests a second on stable, and a metric that needs 300."""
    def answer(asked: str, window: Window) -> Any:
        if window.track == "canary":
            return NoData("nothing yet")
        return (rate, int(rate * 100)) if asked == "request_rate" else (0.001, 1000)

    return answer, {**ERRORS, "min_requests": needed}


def test_a_bake_with_too_few_requests_a_look_is_a_warning(ask: Any) -> None:
    answer, metric = counting(50)
    planned, _provider, _service = ask(answer, metric)
    assert "bake at 20 %: errors needs 300 requests, gets about 100 in 10 s at 50 requests/s: give it interval: 30s, or start at 60 %" in notes(planned)


def test_a_bake_that_can_never_have_enough_is_refused_unless_allowed(ask: Any) -> None:
    answer, metric = counting(2)
    steps = [{"set_weight": 1}, {"bake": {"duration": "1m"}}]
    with pytest.raises(ConfigError, match=r"too few requests to judge by: bake at 1 %: errors needs 300 requests.*rollout_allow_few_requests: true") as caught:
        ask(answer, metric, rollout_steps=steps)
    assert caught.value.where == "rollout_steps"
    planned, _provider, _service = ask(answer, metric, rollout_steps=steps, rollout_allow_few_requests=True)
    assert "needs 300 requests" in notes(planned)


def test_a_bake_that_will_probably_end_undecided_is_a_warning(ask: Any) -> None:
    """By the share that stable has now, and what the first bake may spend."""
    answer, _metric = counting(50)
    metric = {"name": "errors", "builtin": "error_rate", "judge": "sequential"}
    planned, _provider, _service = ask(answer, metric)
    found = re.search(r"at 20 %: errors needs about ([\d,]+) requests to tell, gets about 1,200 in 2:00 at 50 requests/s: bake (\d+)m, or it", notes(planned))
    assert found and 1200 < int(found[1].replace(",", "")) < 2500 and int(found[2]) > 2
    planned, _provider, _service = ask(counting(500)[0], metric)
    assert "to tell" not in notes(planned)
    planned, _provider, _service = ask(answer, {**metric, "judge": {"sequential": {"mde": 0.1}}})
    assert "to tell" not in notes(planned)


def test_the_router_counts_where_the_provider_does_not(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(asked: str, window: Window) -> Any:
        return Unsupported("no such builtin") if asked == "request_rate" else (0.001, 1000)

    made = MemoryRouter.__init__
    monkeypatch.setattr(MemoryRouter, "__init__", lambda self, tracks, world: made(self, tracks, world, traffic=40))
    planned, _provider, _service = ask(answer, {**ERRORS, "min_requests": 300})
    assert "errors needs 300 requests, gets about 80 in 10 s at 40 requests/s" in notes(planned)


def test_nothing_is_claimed_where_nobody_counts_or_comes(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(asked: str, window: Window) -> Any:
        return Unsupported("no such builtin") if asked == "request_rate" else (0.001, 1000)

    planned, _provider, _service = ask(answer, {**ERRORS, "min_requests": 300})
    assert "no request came in 1 s: whether enough will come for errors is not known" in planned["notes"]
    monkeypatch.setattr(MemoryRouter, "capabilities", frozenset(Capability) - {Capability.MEASURE})
    planned, _provider, _service = ask(answer, {**ERRORS, "min_requests": 300})
    assert "request came" not in notes(planned) and "needs" not in notes(planned)


def test_a_weight_that_the_router_cannot_make_is_refused_by_plan(ask: Any) -> None:
    with pytest.raises(ConfigError, match=r"step '33.33 %' wants 33.33 %: this router's weights come in steps of 0.01 %"):
        ask(lambda asked, window: 0.001, rollout_steps=[{"set_weight": "33.333"}])


def test_a_release_that_has_begun_is_not_stopped_by_a_metric(ask: Any) -> None:
    answers: list[Any] = [0.001, 0.001, 0.001, 0.001]
    _planned, provider, service = ask(lambda asked, window: answers.pop(0) if answers else Unavailable("HTTP 404"))
    service.begin("rollout", "2")
    asked = list(provider.asked)
    service.plan("resume")
    assert provider.asked == asked
