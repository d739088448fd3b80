# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What status says of an open gate, and that it settles one whose time is over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core import gate as gates
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import Conflict
from ansible_collections.progressive.delivery.plugins.module_utils.core.plan import Kind
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import gate, release
from ansible_collections.progressive.delivery.tests.unit.module_utils.entry.service import Service


def at_the_gate(folder: Path, **options: Any) -> tuple[Service, dict[str, Any]]:
    """A release whose gate was opened and looked at once; and the release, as its run has it."""
    service = Service(folder, rollout_steps=[{"set_weight": 20}, {"gate": {"name": "half", "timeout": "1h", **options}}])
    begun = service.begin("rollout", "2")
    while service.next is not None and service.next.kind is not Kind.GATE:
        service.step(begun)
    spec = begun["release"]
    looked = gate.run({"release": spec, "step": service.record.position, "wait": "exit"}, service.context())
    now = release.run({"operation": "checkpoint", "release": spec, "seen": looked["seen"], "deployed": None}, service.context())
    assert now["outcome"] == "paused"
    return service, spec


def ended(service: Service, spec: dict[str, Any]) -> None:
    release.run({"operation": "finish", "release": spec, "verified": True}, service.context())


def status(service: Service, **more: Any) -> tuple[str, bool]:
    spec = service.plan("resume")["release"]
    found = release.run({"operation": "status", "release": spec}, service.context(**more))
    return "\n".join(found["text"]), found["changed"]


def stored(service: Service) -> gates.Gate:
    found = gates.find(service.store, "half", service.record.release.id)
    assert found is not None
    return found


def test_an_open_gate_is_said_and_left_alone(tmp_path: Path) -> None:
    service, spec = at_the_gate(tmp_path)
    ended(service, spec)
    text, changed = status(service)
    assert 'gate "half" is open until 20' in text and ", then: abort" in text and "promote" in text
    assert not changed and stored(service).decision is None


@pytest.mark.parametrize("what", ["abort", "promote"])
def test_a_gate_whose_time_is_over_takes_its_on_timeout(tmp_path: Path, what: str) -> None:
    service, spec = at_the_gate(tmp_path, on_timeout=what)
    ended(service, spec)
    service.clock.advance(3601)
    text, changed = status(service)
    assert changed and f"and took its on_timeout: {what}" in text
    assert "carry it out: ansible-playbook progressive.delivery.resume" in text and "delivery.promote" not in text
    decision = stored(service).decision
    assert decision is not None and (decision.what, decision.channel) == (what, "timeout")
    again, changed = status(service)
    assert not changed and again == text
    resumed = service.begin("resume")
    looked = gate.run({"release": resumed["release"], "step": None, "wait": "exit"}, service.context())
    assert looked["decision"] == what


def test_a_decision_after_the_time_is_too_late_and_changes_nothing(tmp_path: Path) -> None:
    service, spec = at_the_gate(tmp_path)
    ended(service, spec)
    service.clock.advance(3601)
    before = service.record
    with pytest.raises(Conflict, match=r"too late: .* took its on_timeout, abort. Carry it out: ansible-playbook progressive.delivery.resume"):
        service.begin("promote")
    assert service.record == before
    resumed = service.begin("resume")
    assert gate.run({"release": resumed["release"], "step": None, "wait": "exit"}, service.context())["decision"] == "abort"


def test_a_promote_after_the_time_carries_out_what_the_time_decided(tmp_path: Path) -> None:
    service, spec = at_the_gate(tmp_path, on_timeout="promote", require_other=True)
    ended(service, spec)
    service.clock.advance(3601)
    promoted = service.begin("promote")
    looked = gate.run({"release": promoted["release"], "step": None, "wait": "exit"}, service.context())
    assert (looked["decision"], looked["channel"], looked["seen"]["result"]) == ("promote", "timeout", "done")


def test_a_promote_before_the_gate_was_opened_goes_on_to_it(tmp_path: Path) -> None:
    service = Service(tmp_path, rollout_steps=[{"set_weight": 20}, {"gate": {"name": "half"}}])
    begun = service.begin("rollout", "2")
    while service.next is not None and service.next.kind is not Kind.GATE:
        service.step(begun)
    service.store.documents.pop("lease")  # its holder is gone
    promoted = service.begin("promote")
    looked = gate.run({"release": promoted["release"], "step": None, "wait": "exit"}, service.context())
    assert looked["seen"]["result"] == "paused"


def test_one_that_holds_stays_open(tmp_path: Path) -> None:
    service, spec = at_the_gate(tmp_path, on_timeout="hold")
    ended(service, spec)
    service.clock.advance(3601)
    text, changed = status(service)
    assert "stays open for a late decision" in text and "delivery.promote" in text
    assert not changed and stored(service).decision is None


def test_the_gate_of_a_release_that_a_run_holds_is_left_to_that_run(tmp_path: Path) -> None:
    service, _spec = at_the_gate(tmp_path)
    service.clock.advance(3601)
    text, changed = status(service)
    assert "its on_timeout, abort, comes as soon as a run looks" in text
    assert not changed and stored(service).decision is None


def test_check_mode_settles_nothing(tmp_path: Path) -> None:
    service, spec = at_the_gate(tmp_path)
    ended(service, spec)
    service.clock.advance(3601)
    _text, changed = status(service, check_mode=True)
    assert not changed and stored(service).decision is None


def test_after_a_swap_slots_are_named_with_the_version_in_them(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.run("rollout", "2")
    text, _changed = status(service)
    assert "1 (slot stable) 100 %, 2 (slot canary) 0 %" in text  # nobody moved this router
    assert "stable: 2 (slot canary); good: 1, 2" in text
