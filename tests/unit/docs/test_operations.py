# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The operations handbook has a page for each outcome, and says of it what the code does: its code, its name in the last words, what is printed to be typed."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.record import Outcome
from ansible_collections.progressive.delivery.plugins.module_utils.core.report.wording import outcome_words
from ansible_collections.progressive.delivery.plugins.module_utils.entry.following import as_asked, next_lines, overtaken_words

DOCS = Path(__file__).resolve().parents[3] / "docs"
HANDBOOK = DOCS / "operations"
HEADINGS = ["What happened", "Where the traffic is", "What to look at", "What to type", "What not to do", "What it looks like"]
ARGUMENTS = ["-i", "inventory.yml", "-e", "@shop.yml"]
OTHERS = {"orphaned", "going-back", "kubernetes"}
"""Pages that are no outcome's; orphaned is built like one."""


def page(name: str) -> str:
    return (HANDBOOK / f"{name}.md").read_text(encoding="utf-8")


def outputs(text: str) -> list[str]:
    """Lines of all that the page says is printed, without what they are indented by."""
    return [line.strip() for block in re.findall(r"^```output\n(.*?)^```", text, re.MULTILINE | re.DOTALL) for line in block.splitlines()]


def test_there_is_a_page_for_each_outcome_and_none_for_another() -> None:
    assert {path.stem for path in HANDBOOK.glob("*.md")} - OTHERS == {outcome.value for outcome in Outcome}


@pytest.mark.parametrize("outcome", Outcome, ids=lambda outcome: outcome.value)
def test_a_page_names_its_outcome_and_the_right_code(outcome: Outcome) -> None:
    text = page(outcome.value)
    assert text.startswith(f"# {outcome.value}: ")
    assert re.findall(r"`rollout_outcome` is `(\w+)`, `rollout_code` (\d+)", text) == [(outcome.value, str(outcome.code))]


@pytest.mark.parametrize("name", [*(outcome.value for outcome in Outcome), "orphaned"])
def test_a_page_answers_the_same_questions_in_the_same_order(name: str) -> None:
    parts = re.split(r"^## (.*)\n", page(name), flags=re.MULTILINE)
    assert parts[1::2] == HEADINGS
    assert all(part.strip() for part in parts[2::2])


@pytest.mark.parametrize("outcome", Outcome, ids=lambda outcome: outcome.value)
def test_the_exit_status_is_what_the_playbooks_end_with(outcome: Outcome) -> None:
    [said] = re.findall(r"`ansible-playbook` ends with (\d+)", page(outcome.value))
    # Whoever is told to abort, or asks for a rollback, wants that outcome; the others are about rollout.
    asked = {Outcome.ABORTED: "abort"}.get(outcome, "rollout")
    expected = {Outcome.INTERRUPTED: 99}.get(outcome, 0 if as_asked(outcome, {"asked": asked}) else 2)
    assert int(said) == expected


@pytest.mark.parametrize("outcome", Outcome, ids=lambda outcome: outcome.value)
def test_the_last_words_call_an_outcome_as_its_page_is_called(outcome: Outcome) -> None:
    words = outcome_words(outcome.value)[0]
    assert outcome.value.replace("_", " ") in words
    assert words == outcome.value.replace("_", " ") or words in page(outcome.value)


@pytest.mark.parametrize("outcome", Outcome, ids=lambda outcome: outcome.value)
def test_a_page_shows_all_that_is_printed_to_be_typed(outcome: Outcome) -> None:
    shown = outputs(page(outcome.value))
    spec: dict[str, Any] = {"name": "shop", "version": "2.4.1", "arguments": ARGUMENTS}
    for back, promoted, stuck, testing in itertools.product((False, True), repeat=4):
        if stuck and outcome is not Outcome.PARTIAL or back and promoted or testing and (back or promoted):
            continue  # only a way back that failed is stuck, what is promoted does not go back, and an A/B test is before either
        record: Any = SimpleNamespace(back=back, promoted=promoted, stuck=stuck, testing=testing)
        for line in next_lines(outcome, record, spec):
            assert line in shown, f"{outcome.value}: {line}"


def test_a_fenced_run_says_so() -> None:
    spec = {"name": "shop", "version": "2.4.1", "arguments": ARGUMENTS}
    assert [line.strip() for line in overtaken_words(spec)["lines"]] == outputs(page("fenced"))[:2]


def test_the_index_lists_every_page_with_its_code() -> None:
    text = (DOCS / "operations.md").read_text(encoding="utf-8")
    for outcome in Outcome:
        assert re.search(rf"^\| \[`{outcome.value}`\]\(operations/{outcome.value}\.md\) \| {outcome.code} \|", text, re.MULTILINE), outcome.value
    assert all(f"](operations/{name}.md)" in text for name in OTHERS)
