# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run records and notes in its last seconds, and when it ends by itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.lease import read
from ansible_collections.progressive.delivery.plugins.module_utils.core.record import Outcome
from ansible_collections.progressive.delivery.plugins.module_utils.entry.finish import finish
from ansible_collections.progressive.delivery.plugins.module_utils.entry.interrupt import interrupt
from ansible_collections.progressive.delivery.plugins.module_utils.entry.run import Run
from ansible_collections.progressive.delivery.plugins.module_utils.routers.memory import MemoryRouter
from ansible_collections.progressive.delivery.tests.unit.module_utils.entry.service import Service


def stopped(service: Service, at: str) -> tuple[dict[str, Any], Run]:
    """A release whose steps before ``at`` are done, and the run that is told to end there."""
    begun = service.begin("rollout", "2")
    current = Run.open(begun["release"], service.context())
    while current.doing.name != at:
        current.record = replace(current.record, position=current.record.position + 1)
    current.save()
    return begun, current


def outcomes(service: Service) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in Path(service.record.journal).read_text().splitlines()]
    return [line for line in lines if line["kind"] == "outcome"]


def test_a_run_that_goes_back_writes_and_notes_that_it_did(tmp_path: Path) -> None:
    service = Service(tmp_path, rollout_on_interrupt="abort")
    _begun, current = stopped(service, "20 %")
    noted = interrupt(current, service.context())
    assert service.record.outcome is Outcome.ABORTED and not read(service.store).holder
    [event] = outcomes(service)
    assert (event["outcome"], event["code"], event["requests_failed"]) == ("aborted", 11, 0)
    words = noted["last_words"]
    assert not words["open"] and not words["settling"] and noted["outcome"] == "aborted"
    assert words["lines"][0].startswith("shop 2: aborted: this run was told to end; stable carries 100 %; no ")
    assert [line.split()[2] for line in words["lines"][1:]] == ["progressive.delivery.status"]


def test_a_load_balancer_that_does_not_answer_leaves_the_way_back_to_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(self: MemoryRouter, want: Any) -> None:
        raise Unavailable("lb1 does not answer")

    service = Service(tmp_path, rollout_on_interrupt="abort")
    _begun, current = stopped(service, "20 %")
    monkeypatch.setattr(MemoryRouter, "write", silent)
    noted = interrupt(current, service.context())
    assert service.record.outcome is Outcome.INTERRUPTED and service.record.back and not read(service.store).holder
    assert any("lb1 does not answer" in line for line in service.said)
    assert "stable carries" not in noted["last_words"]["lines"][0]
    assert [line.split()[5] for line in noted["last_words"]["lines"][1:]] == ["progressive.delivery.resume"]


def test_a_run_that_holds_leaves_both_ways_open(tmp_path: Path) -> None:
    service = Service(tmp_path)
    begun, current = stopped(service, "20 %")
    before = begun["progressive_delivery"]["last_words"]
    assert before["open"] and not before["settling"] and "the weights stay as they are" in before["lines"][0]
    words = interrupt(current, service.context())["last_words"]
    assert [event["outcome"] for event in outcomes(service)] == ["interrupted"]
    assert words["lines"][0].startswith("shop 2: interrupted at step ") and words["open"]
    assert [line.split("progressive.delivery.")[1] for line in words["lines"][1:]] == ["resume", "abort"]


@pytest.mark.parametrize("tree", [False, True])
def test_an_ending_is_said_unless_a_tree_shows_it(tmp_path: Path, tree: bool) -> None:
    service = Service(tmp_path)
    begun, current = stopped(service, "20 %")
    current.record = replace(current.record, outcome=Outcome.PAUSED, reason="somebody is to look")
    current.save()
    service.said.clear()
    result = finish({"release": begun["release"], "verified": True}, service.context(tree=tree))
    words = result["progressive_delivery"]["last_words"]
    assert words["said"] and service.said == ([] if tree else words["lines"])
    assert words["lines"][0].startswith("shop 2: paused at step ") and "somebody is to look" in words["lines"][0]
    assert result["outcome"] == "paused" and not result["failed_run"]
