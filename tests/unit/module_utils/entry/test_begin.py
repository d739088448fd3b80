# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a begin leaves behind, and what one that was refused does not."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients import journal as clients_journal
from ansible_collections.progressive.delivery.plugins.module_utils.core import requests
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.lease import read as read_lease
from ansible_collections.progressive.delivery.plugins.module_utils.core.plan import Kind
from ansible_collections.progressive.delivery.plugins.module_utils.core.record import Outcome
from ansible_collections.progressive.delivery.plugins.module_utils.entry.interrupt import interrupt
from ansible_collections.progressive.delivery.plugins.module_utils.entry.run import Run
from ansible_collections.progressive.delivery.plugins.module_utils.entry.stored import stored_record
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import release
from ansible_collections.progressive.delivery.tests.unit.module_utils.entry.service import Service

GATED = {"rollout_steps": [{"set_weight": 20}, {"pause": {}}]}


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path)


def without_a_journal(service: Service) -> dict[str, object]:
    """A release file whose reports would lie below a file."""
    (service.folder / "file").touch()
    return {"rollout_report": {"directory": str(service.folder / "file" / "reports")}}


def test_a_first_begin_that_cannot_write_its_journal_leaves_no_release(service: Service) -> None:
    with pytest.raises(Unavailable, match=r"rollout_report\.directory"):
        service.begin("rollout", "2", **without_a_journal(service))
    assert stored_record(service.store) is None
    assert read_lease(service.store).holder == ""
    assert service.run("rollout", "2")["outcome"] == "promoted"


def test_a_begin_that_cannot_write_its_journal_leaves_the_release_before_as_it_was(service: Service) -> None:
    service.run("rollout", "2")
    before = service.record
    with pytest.raises(Unavailable):
        service.begin("rollout", "3", **without_a_journal(service))
    assert service.record == before


def test_a_promote_that_cannot_write_its_journal_decides_nothing(service: Service) -> None:
    service.file.update(GATED)
    assert service.run("rollout", "2", seen={"pause": {"result": "paused"}})["outcome"] == "paused"
    before = dict(service.store.documents)
    (service.folder / "reports").rename(service.folder / "elsewhere")
    with pytest.raises(Unavailable):
        service.begin("promote", **without_a_journal(service))
    after = dict(service.store.documents)
    assert {key: text for key, (_token, text) in after.items() if key != "lease"} == {key: text for key, (_token, text) in before.items() if key != "lease"}


NO_ROOM = "No space left on device"


def fill_disk(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """No more room on the disk that ``folder`` lies on."""
    really, names = os.write, dict[int, str]()

    def opened(path: str, *args: int) -> int:
        handle = open_(path, *args)
        names[handle] = str(path)
        return handle

    def write(handle: int, content: bytes) -> int:
        if names[handle].startswith(str(folder)):
            raise OSError(errno.ENOSPC, NO_ROOM)
        return really(handle, content)

    open_ = os.open
    monkeypatch.setattr(clients_journal, "os", SimpleNamespace(**{**vars(os), "open": opened, "write": write}))


def test_a_disk_without_room_for_the_journal_stops_no_way_back(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    service.file.update({"rollout_steps": [{"set_weight": 20}]})
    begun = service.begin("rollout", "2")
    while service.next is not None and service.next.name != "20 %":
        service.step(begun)
    fill_disk(monkeypatch, service.folder / "reports")
    service.step(begun, {"20 %": {"result": "failed", "reason": "it hurts"}})
    while service.next is not None:
        service.step(begun)
    ended = release.run({"operation": "finish", "release": begun["release"], "verified": True}, service.context(tree=True))
    assert ended["outcome"] == "rolled_back"
    assert [line for line in service.said if line.startswith("shop 2: rolled back")]  # the tree cannot know
    assert read_lease(service.store).holder == ""
    assert [line for line in service.said if NO_ROOM in line]


def test_a_disk_without_room_for_the_journal_stops_nobody_who_aborts(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    service.file.update(GATED)
    assert service.run("rollout", "2", seen={"pause": {"result": "paused"}})["outcome"] == "paused"
    fill_disk(monkeypatch, service.folder / "reports")
    assert service.run("abort")["outcome"] == "aborted"
    assert [line for line in service.said if NO_ROOM in line]


def test_a_journal_without_room_is_gone_on_with_where_the_reports_go_now(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    service.file.update(GATED)
    assert service.run("rollout", "2", seen={"pause": {"result": "paused"}})["outcome"] == "paused"
    fill_disk(monkeypatch, service.folder / "reports")
    with pytest.raises(Unavailable, match=NO_ROOM):
        service.begin("resume")
    elsewhere = {"rollout_report": {"directory": str(service.folder / "elsewhere")}}
    ended = service.run("promote", **elsewhere)
    assert ended["outcome"] == "promoted"
    assert ended["journal"].startswith(str(service.folder / "elsewhere"))


def test_promote_of_a_run_that_was_killed_passes_over_no_deploy_and_no_share(service: Service) -> None:
    begun = service.begin("rollout", "2")
    while service.next is not None and service.next.kind is not Kind.WEIGHT:
        service.step(begun)
    before = service.record.position
    service.store.documents.pop("lease")  # its holder is gone
    service.begin("promote")
    assert service.record.position == before


def test_a_pause_that_was_told_is_known_as_such_even_when_a_run_dies_between(service: Service) -> None:
    service.file.update(GATED)
    first = service.run("rollout", "2", seen={"pause": {"result": "paused"}})
    assert first["paused_at"] is None
    resumed = service.begin("resume")
    assert resumed["paused_at"] == service.record.position
    service.store.documents.pop("lease")  # the one that resumed is gone, with its bake or gate half done
    assert service.begin("resume")["paused_at"] == service.record.position


def test_a_pause_of_a_run_that_died_before_its_end_is_told_by_the_next_one(service: Service) -> None:
    service.file.update(GATED)
    begun = service.begin("rollout", "2")
    while service.next is not None:
        service.step(begun, {"pause": {"result": "paused"}})
    assert service.begin("resume")["paused_at"] is None


@pytest.mark.parametrize(("purpose", "ends"), [("resume", "rolled on"), ("abort", "rolled on"), ("rollout", "busy"), ("promote", "busy")])
def test_a_run_that_died_in_a_deploy_is_taken_over_by_whoever_asks_for_that(service: Service, purpose: str, ends: str) -> None:
    """With the numbers that a release has by itself: a deploy may take a quarter of an hour, and whoever takes it over must have looked for that long."""
    begun = service.begin("rollout", "2")
    release.run({"operation": "stretch", "release": begun["release"], "seconds": "15m"}, service.context())
    service.clock.advance(3600)
    before = service.clock.now()
    taken = service.begin(purpose, "2")
    if ends == "busy":
        assert taken["outcome"] == "busy" and service.clock.now() - before < 110
        assert "the resume playbook takes it over after 15:00 of silence" in taken["reason"], taken["reason"]
    else:
        assert taken["outcome"] == "" and 900 <= service.clock.now() - before < 910, taken
        assert read_lease(service.store).fence == 2


def test_a_run_that_lives_through_its_deploy_is_not_waited_for_any_longer_than_that(service: Service) -> None:
    begun = service.begin("rollout", "2")
    holder = Run.open(begun["release"], service.context())
    holder.session.stretch(900, "deploy")
    service.clock.after(300, holder.session.unstretch)
    for beat in range(310, 1500, 15):
        service.clock.after(beat, holder.session.renew)
    before = service.clock.now()
    assert service.begin("resume", "2")["outcome"] == "busy"
    assert service.clock.now() - before < 310


def hooked(service: Service, **hook: object) -> None:
    (service.folder / "mail.yml").touch()
    service.file["rollout_hooks"] = {"before_rollout": [{"name": "mail", "tasks": str(service.folder / "mail.yml"), **hook}]}


@pytest.mark.parametrize("purpose", ["rollout", "resume"])
@pytest.mark.parametrize("stopped", ["killed", "interrupted"])
def test_a_hook_that_nobody_knows_of_whether_it_ran_does_not_run_again_however_often_one_asks(service: Service, purpose: str, stopped: str) -> None:
    """Also where it is the very first step, and where the run was told to end in the task after it."""
    hooked(service)
    begun = service.begin("rollout", "2")
    assert service.next is not None and service.next.kind is Kind.HOOK and service.record.position == 0
    if stopped == "killed":
        service.store.documents.pop("lease")
    else:
        interrupt(Run.open(begun["release"], service.context()), service.context())
    for _time in range(2):
        again = service.begin(purpose, "2")
        assert again["outcome"] == "paused" and "nobody knows whether hook mail ran" in again["reason"], again
        service.store.documents.pop("lease")
    assert service.run("promote", "2")["outcome"] == "promoted"


def test_a_hook_that_may_run_again_does(service: Service) -> None:
    hooked(service, idempotent=True)
    service.begin("rollout", "2")
    service.store.documents.pop("lease")
    assert service.begin("rollout", "2")["legs"][0]["hook"]["name"] == "hook mail"


def test_a_hook_that_failed_and_pauses_is_run_again_by_resume(service: Service) -> None:
    hooked(service, failure="pause")
    assert service.run("rollout", "2", seen={"hook mail": {"result": "paused", "reason": "no mail today"}})["outcome"] == "paused"
    assert service.begin("resume", "2")["legs"][0]["hook"]["name"] == "hook mail"


def test_a_hook_is_over_for_others_as_well_however_it_ended(service: Service) -> None:
    """The term of its hook would keep everybody waiting for a run that died long after it."""
    hooked(service)
    begun = service.begin("rollout", "2")
    release.run({"operation": "stretch", "release": begun["release"], "seconds": "1h"}, service.context())
    service.step(begun, {"hook mail": {"result": "failed", "reason": "no mail today"}})
    assert read_lease(service.store).stretch == 0


def test_promote_decides_the_gate_of_a_run_that_was_told_to_end_while_it_waited(service: Service) -> None:
    service.file["rollout_steps"] = [{"set_weight": 20}, {"gate": {"name": "half"}}]
    begun = service.begin("rollout", "2")
    while service.next is not None and service.next.kind is not Kind.GATE:
        service.step(begun)
    release.run({"operation": "step", "release": begun["release"], "step": service.record.position, "back": False}, service.context())
    release.run({"operation": "finish", "release": begun["release"], "verified": True}, service.context())
    begun = service.begin("resume")
    interrupt(Run.open(begun["release"], service.context()), service.context())
    assert service.record.outcome is Outcome.INTERRUPTED
    begun = service.begin("promote")
    release.run({"operation": "step", "release": begun["release"], "step": service.record.position, "back": False}, service.context())
    assert service.record.outcome is None and service.next is not None and service.next.kind is not Kind.GATE


def test_a_newer_version_takes_the_place_of_one_that_died_in_its_hook(service: Service) -> None:
    """Whether that hook ran matters to nobody who goes back."""
    hooked(service)
    service.file.update(rollout_on_new_revision="supersede", rollout_hooks={"after_step": service.file["rollout_hooks"]["before_rollout"]})
    begun = service.begin("rollout", "2")
    while service.next is not None and service.next.kind is not Kind.HOOK:
        service.step(begun)
    service.store.documents.pop("lease")
    assert service.begin("rollout", "3")["outcome"] == "" and service.record.back


@pytest.mark.parametrize("file", [
    {"rollout_steps": [{"set_weight": 20}, {"gate": {"name": "half"}}, {"set_weight": 50}, {"gate": {"name": "half"}}]},
    {"rollout_strategy": "blue_green", "rollout_blue_green": {"auto_promotion_enabled": False}, "rollout_steps": [{"gate": {"name": "switch"}}]},
    {"rollout_strategy": "ab_test", "rollout_steps": [{"gate": {"name": "winner"}}]},
])
def test_one_decision_never_opens_two_gates(service: Service, file: dict[str, object]) -> None:
    """A strategy's own gates have names as well."""
    with pytest.raises(ConfigError, match=r"rollout_steps: gate '\w+' stands there twice"):
        service.begin("rollout", "2", **file)


@pytest.mark.parametrize(("file", "during"), [
    ({"rollout_strategy": "blue_green"}, "deploy c1, c2"), ({"rollout_strategy": "blue_green"}, "switch"), ({"rollout_strategy": "blue_green"}, "promote"),
    ({"rollout_strategy": "rolling", "rollout_rolling": {"batches": [1]}}, "deploy s1"),
    ({"rollout_strategy": "rolling", "rollout_rolling": {"batches": [1]}}, "join s2"),
])
def test_a_request_to_abort_is_heard_where_no_step_of_the_plan_listens(service: Service, file: dict[str, object], during: str) -> None:
    """Without a health check and a bake there is nobody but the end of each step to hear it; the version went on to be promoted."""
    service.file.update(file)
    begun = service.begin("rollout", "2")
    while service.next is not None:
        if service.next.name == during and not service.record.back:
            requests.ask(service.store, service.clock, id="1", kind=requests.ABORT, release=service.record.release.id, who="bob", reason="support is overrun")
        service.step(begun)
    assert service.record.outcome is Outcome.ABORTED, service.record
    assert service.record.reason == "bob asked to abort: support is overrun" and service.record.plan.steps[service.record.turned_at].name == during
    assert requests.pending(service.store, service.record.release.id) is None
    assert service.record.stable is not None and service.record.stable.version == "1"


def test_what_is_promoted_already_is_not_aborted(service: Service) -> None:
    service.file.update(rollout_strategy="blue_green")
    begun = service.begin("rollout", "2")
    while service.next is not None:
        if service.next.name == "clean up":
            requests.ask(service.store, service.clock, id="1", kind=requests.ABORT, release=service.record.release.id, who="bob")
        service.step(begun)
    assert service.record.outcome is Outcome.PROMOTED


def test_promote_in_full_asks_nothing_more_wherever_the_run_before_ended(service: Service) -> None:
    service.file["rollout_steps"] = [{"set_weight": 20}, {"bake": {"duration": "5m"}}, {"set_weight": 50}, {"gate": {"name": "half"}}]
    begun = service.begin("rollout", "2")
    while service.next is not None and service.next.kind is not Kind.WEIGHT:
        service.step(begun)
    interrupt(Run.open(begun["release"], service.context()), service.context())
    service.begin("promote", rollout_promote_full=True)
    assert [step.kind for step in service.record.plan.steps if step.kind in (Kind.BAKE, Kind.GATE)] == []
    assert service.next is not None and service.next.name == "20 %", "a share that is not taken yet is taken"


def test_who_wants_to_go_back_from_a_first_release_that_waits_is_sent_to_abort(service: Service) -> None:
    service.file.update(GATED)
    service.run("rollout", "2", seen={"pause": {"result": "paused"}})
    with pytest.raises(ConfigError, match=r"2 is under way and not promoted yet, 1 is stable\. Take it back with the abort playbook"):
        service.begin("rollback")
