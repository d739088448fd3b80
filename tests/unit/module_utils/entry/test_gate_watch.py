# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""While a process waits at a gate the analysis goes on, and can take the release back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core import gate as gates
from ansible_collections.progressive.delivery.plugins.module_utils.core.plan import Kind
from ansible_collections.progressive.delivery.plugins.module_utils.core.units import iso
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import gate
from ansible_collections.progressive.delivery.tests.unit.module_utils.entry.service import Service


class Waiting(Service):
    """A release that has come to its gate, with a metric that answers ``values`` look by look."""

    def __init__(self, folder: Path, values: list[Any], *, weight: int = 20, metric: dict[str, Any] | None = None, **analysis: Any) -> None:
        measured = {"name": "errors", "query": "errors", "failure_condition": "result > 0.01", **(metric or {})}
        super().__init__(folder, rollout_steps=[{"set_weight": weight}, {"gate": {"name": "half", "timeout": "1h"}}],
                         rollout_analysis={"provider": {"memory": {"values": {"errors": [0.0], "canary/errors": values}}}, "metrics": [measured], **analysis})
        self.begun = now = self.begin("rollout", "2")
        while self.record.steps[self.record.position].kind is not Kind.GATE:
            now = self.step(self.begun, now)

    def wait(self, how: str = "inline", **more: Any) -> dict[str, Any]:
        return gate.run({"release": self.begun["release"], "step": self.record.position, "wait": how}, self.context(**more))

    def decide_in(self, seconds: float, what: str) -> None:
        decision = gates.Decision(what, "bob", iso(self.clock.time() + seconds), "playbook", self.record.release.digest)
        self.clock.after(seconds, lambda: gates.decide(self.store, self.clock, "half", decision))

    @property
    def looks(self) -> int:
        lines = Path(self.record.journal).read_text(encoding="utf-8").splitlines()
        return sum(1 for line in lines if json.loads(line)["kind"] == "look")


def test_a_metric_that_turns_bad_takes_the_release_back(tmp_path: Path) -> None:
    service = Waiting(tmp_path, [0.001, 0.001, 0.5])
    found = service.wait()
    assert (found["decision"], found["who"], found["channel"]) == ("abort", "analysis", "analysis")
    assert found["seen"]["result"] == "failed" and "errors" in found["seen"]["reason"] and "0.5" in found["seen"]["reason"]
    assert service.looks == 3


@pytest.mark.parametrize("what, result", [("promote", "done"), ("abort", "aborted")])
def test_whoever_decides_ends_it_while_all_is_well(tmp_path: Path, what: str, result: str) -> None:
    service = Waiting(tmp_path, [0.001])
    service.decide_in(65, what)
    found = service.wait()
    assert (found["decision"], found["who"], found["seen"]["result"]) == (what, "bob", result)
    assert service.looks == 6


def test_time_decides_as_ever(tmp_path: Path) -> None:
    service = Waiting(tmp_path, [0.001])
    found = service.wait()
    assert (found["decision"], found["channel"], found["seen"]["result"]) == ("abort", "timeout", "aborted")
    assert service.looks >= 350


def test_what_is_unclear_is_for_whoever_decides(tmp_path: Path) -> None:
    service = Waiting(tmp_path, [0.001, 0.015], metric={"success_condition": "result < 0.01", "failure_condition": "result > 0.02"})
    service.decide_in(300, "promote")
    assert service.wait()["decision"] == "promote"


def test_metrics_without_data_do_as_the_analysis_says(tmp_path: Path) -> None:
    gone = Waiting(tmp_path, [None], no_data_timeout="1m")
    found = gone.wait()
    assert (found["decision"], found["channel"], found["seen"]["result"]) == ("abort", "analysis", "failed")
    waits = Waiting(tmp_path, [None], no_data_timeout="1m", on_no_data="pause")
    waits.decide_in(600, "promote")
    assert waits.wait()["decision"] == "promote"
    assert any("nothing is measured any more" in line for line in waits.said)


def test_nothing_is_measured_before_the_new_version_has_traffic_nor_by_a_process_that_does_not_wait(tmp_path: Path) -> None:
    before = Waiting(tmp_path, [0.5], weight=0)
    before.decide_in(100, "promote")
    assert before.wait()["decision"] == "promote"
    passing = Waiting(tmp_path, [0.5])
    assert passing.wait("exit")["decision"] == ""
    assert (before.looks, passing.looks) == (0, 0)


def test_a_person_is_asked_and_the_metrics_too(tmp_path: Path) -> None:
    service = Waiting(tmp_path, [0.001])
    answers = iter([None, None, None, None, "promote"])

    def ask(text: str, seconds: float) -> str | None:
        service.clock.advance(seconds)
        return next(answers)

    found = service.wait(ask=ask)
    assert (found["decision"], found["channel"]) == ("promote", "prompt")
    assert service.looks >= 3
