# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The advice: the common situations get the strategy that is known to fit them, and the release file it comes with compiles."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import FakeClock
from ansible_collections.progressive.delivery.plugins.module_utils.core.advice import PRICE, QUESTIONS, RULED_OUT, STRATEGIES, UNKNOWN, WEIGHS, advise, starter
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.core.plan import Kind
from ansible_collections.progressive.delivery.plugins.module_utils.core.strategies import compile as strategies
from ansible_collections.progressive.delivery.plugins.module_utils.entry.context import Context
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import advise as verb
from ansible_collections.progressive.delivery.tests.cluster import pki
from ansible_collections.progressive.delivery.tests.unit.docs.releases import EXAMPLES, compiled, variables

SITUATIONS = [
    ("a web shop: must not stop, many orders, money for machines", {"downtime": "no", "capacity": "double", "risk": "medium"}, "blue_green"),
    ("the API of a mobile app: users everywhere, checked bit by bit", {"downtime": "no", "users": "wide", "risk": "medium"}, "rolling"),
    ("a game: players feel everything, so it is tried on few", {"downtime": "no", "risk": "high"}, "canary"),
    ("an internal system: stability first, resources plenty", {"downtime": "no", "capacity": "double", "budget": "high", "risk": "low"}, "blue_green"),
    ("development: fast, and few are hurt", {"downtime": "yes", "iteration": "fast", "risk": "low"}, "recreate"),
]
NEEDS = [
    ("no downtime", {"downtime": "no"}, "blue_green"), ("resources are short", {"capacity": "none"}, "rolling"),
    ("sensitive to risk", {"risk": "high"}, "canary"), ("a feature is to be tested", {"experiment": "yes"}, "ab_test"),
    ("fast iteration", {"iteration": "fast"}, "recreate"),
]


@pytest.mark.parametrize("situation, answers, strategy", SITUATIONS + NEEDS)
def test_known_situations(situation: str, answers: dict[str, str], strategy: str) -> None:
    advice = advise(answers)
    assert advice.strategy == strategy, situation
    assert all(advice.reasons)
    assert {choice.strategy for choice in advice.others} == set(STRATEGIES) - {strategy}


def test_every_word_of_the_tables_is_one_that_can_be_answered() -> None:
    known = {(name, value) for name, (_text, values) in QUESTIONS.items() for value in values}
    assert set(WEIGHS) | set(RULED_OUT) <= known
    assert set(STRATEGIES) == set(PRICE) == set(strategies.STRATEGIES)


def test_whatever_is_answered_there_is_an_advice_that_nothing_rules_out() -> None:
    for values in itertools.product(*((*values, UNKNOWN) for _text, values in QUESTIONS.values())):
        answers = dict(zip(QUESTIONS, values))
        advice = advise(answers)
        forbidden = {strategy for item in answers.items() for strategy in RULED_OUT.get(item, {})}
        assert advice.strategy not in forbidden, answers
        assert not (answers["downtime"] == "no" and advice.strategy == "recreate")
    assert advise({}).strategy == "rolling"


@pytest.mark.parametrize("platform", verb.PLATFORMS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_release_file_to_begin_with_compiles(strategy: str, platform: str, tmp_path: Path) -> None:
    kubeconfig = pki.kubeconfig(tmp_path / "kubeconfig", "https://127.0.0.1:1", {}, {"token": "none"})
    text = verb.written(starter(strategy, "shop", platform), ("because",))
    plan, _metrics = compiled(variables(text), [EXAMPLES / "pool"], kubeconfig)
    assert plan.strategy == strategy
    assert plan.steps
    if strategy == "canary":
        assert [step.weight for step in plan.steps if step.weight is not None][-1] == 100
    if strategy in ("canary", "blue_green", "ab_test"):
        assert any(step.kind is Kind.GATE for step in plan.steps), "somebody decides"


def answering(**answers: str) -> dict[str, Any]:
    return {**{name: option.default for name, option in verb.OPTIONS.items()}, **answers}


def test_what_is_not_given_is_asked_at_a_terminal_only() -> None:
    said: list[str] = []
    given = iter(["maybe", "n", "", "", "fast", "", ""])
    asked: list[str] = []

    def ask(text: str, _seconds: float) -> str:
        asked.append(text)
        return next(given)

    found = verb.run(answering(capacity="double"), Context(FakeClock(), said.append, ask=ask))
    assert found["answers"] == {"downtime": "no", "capacity": "double", "risk": UNKNOWN, "experiment": UNKNOWN, "iteration": "fast", "users": UNKNOWN,
                                "budget": UNKNOWN}
    assert found["strategy"] == "blue_green"
    assert any("unknown answer 'maybe'" in line for line in said)
    assert not any("room" in text for text in asked), "what was given is not asked"
    silent = verb.run(answering(), Context(FakeClock()))
    assert set(silent["answers"].values()) == {UNKNOWN}
    assert silent["strategy"] == "rolling"


def test_the_file_is_written_once_and_never_over_anothers(tmp_path: Path) -> None:
    dest = tmp_path / "shop.yml"
    params = answering(risk="high", dest=str(dest))
    assert verb.run(params, Context(FakeClock(), check_mode=True))["changed"]
    assert not dest.exists()
    assert verb.run(params, Context(FakeClock()))["changed"]
    assert yaml.safe_load(dest.read_text())["rollout_strategy"] == "canary"
    assert not verb.run(params, Context(FakeClock()))["changed"]
    with pytest.raises(ConfigError, match="a file already"):
        verb.run(answering(downtime="yes", dest=str(dest)), Context(FakeClock()))
    assert verb.run(answering(downtime="yes", dest=str(dest), force=True), Context(FakeClock()))["changed"]
    assert yaml.safe_load(dest.read_text())["rollout_strategy"] == "recreate"
