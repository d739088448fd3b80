# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gates that a backend decides: who is asked when, and what wins."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core import gate as gates
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Conflict
from ansible_collections.progressive.delivery.plugins.module_utils.core.plan import Kind
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import gate, release
from ansible_collections.progressive.delivery.tests.contract.scripted_server import ScriptedServer, reply
from ansible_collections.progressive.delivery.tests.unit.module_utils.entry.service import Service


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(answer("pending")) as running:
        yield running


def answer(decision: str, **more: str) -> bytes:
    return reply(json.dumps({"decision": decision, **more}))


class Gated(Service):
    """A release that has come to a gate with backends."""

    def __init__(self, folder: Path, **options: Any) -> None:
        super().__init__(folder, rollout_steps=[{"set_weight": 20}, {"gate": {"name": "half", **options}}])
        self.begun = self.begin("rollout", "2")
        while self.next is not None and self.next.kind is not Kind.GATE:
            self.step(self.begun)

    def wait(self, how: str = "exit") -> dict[str, Any]:
        return gate.run({"release": self.begun["release"], "step": None, "wait": how}, self.context())

    def paused(self) -> None:
        """The process that came to the gate has ended."""
        release.run({"operation": "checkpoint", "release": self.begun["release"], "seen": self.wait()["seen"], "deployed": None}, self.context())
        release.run({"operation": "finish", "release": self.begun["release"], "verified": True}, self.context())
        assert self.record.outcome is not None and self.record.outcome.value == "paused"

    def go_on(self, purpose: str) -> dict[str, Any]:
        self.begun = self.begin(purpose)
        return self.wait()

    @property
    def decision(self) -> Any:
        found = gates.find(self.store, "half", self.record.release.id)
        return found and found.decision


def test_a_waiting_process_asks_until_it_is_decided_and_not_all_the_time(tmp_path: Path, server: ScriptedServer) -> None:
    service = Gated(tmp_path, http={"url": server.url})
    service.clock.after(60, lambda: setattr(server, "reply", answer("promote", who="ann")))
    found = service.wait("inline")
    assert (found["decision"], found["who"], found["channel"], found["seen"]["result"]) == ("promote", "ann", "http", "done")
    assert len(server.requests) == 13
    assert any(line.endswith(f"waits for a decision; decide at {server.url}") for line in service.said)


def test_one_that_fails_is_said_once_and_asked_again(tmp_path: Path, server: ScriptedServer) -> None:
    server.reply = reply("oops", "500 Internal Server Error")
    service = Gated(tmp_path, http={"url": server.url})
    service.clock.after(60, lambda: setattr(server, "reply", answer("abort")))
    assert service.wait("inline")["decision"] == "abort"
    assert [line for line in service.said if "HTTP 500" in line] == [f"shop gate \"half\": gate half stays closed: {server.url}: HTTP 500"]


def test_the_first_abort_of_one_look_wins(tmp_path: Path, server: ScriptedServer) -> None:
    server.reply = answer("promote", who="ann")
    service = Gated(tmp_path, http={"url": server.url}, file=str(tmp_path / "decision"))
    (tmp_path / "decision").write_text("abort bob\n", encoding="utf-8")
    os.utime(tmp_path / "decision", (service.clock.time() + 1,) * 2)
    found = service.wait()
    assert (found["decision"], found["who"], found["channel"]) == ("abort", "bob", "file")


def test_an_approval_of_another_candidate_opens_nothing(tmp_path: Path, server: ScriptedServer) -> None:
    server.reply = answer("promote", who="ann", digest="b" * 64)
    service = Gated(tmp_path, http={"url": server.url})
    assert service.wait()["decision"] == "" and any("made for bbbbbbbbbbbb" in line for line in service.said)
    server.reply = answer("promote", who="ann", digest=service.record.release.digest)
    assert service.wait()["decision"] == "promote"


def test_resume_asks_once(tmp_path: Path, server: ScriptedServer) -> None:
    service = Gated(tmp_path, http={"url": server.url})
    service.paused()
    assert len(server.requests) == 1
    server.reply = answer("promote", who="ann")
    assert service.go_on("resume")["who"] == "ann" and len(server.requests) == 2


def test_status_asks_once_and_says_what_it_heard(tmp_path: Path, server: ScriptedServer) -> None:
    service = Gated(tmp_path, http={"url": server.url})
    service.paused()
    spec = service.plan("resume")["release"]
    assert not release.run({"operation": "status", "release": spec}, service.context())["changed"]
    server.reply = answer("promote", who="ann")
    assert not release.run({"operation": "status", "release": spec}, service.context(check_mode=True))["changed"]
    found = release.run({"operation": "status", "release": spec}, service.context())
    assert found["changed"] and 'gate "half" is decided: promote by ann (http)' in found["text"]
    assert len(server.requests) == 3
    assert service.go_on("promote")["who"] == "ann"


def test_promote_asks_before_it_decides(tmp_path: Path, server: ScriptedServer) -> None:
    service = Gated(tmp_path, http={"url": server.url})
    service.paused()
    server.reply = answer("abort", who="bob")
    with pytest.raises(Conflict, match=r"already decided: abort by bob .*\(http\). Carry it out: ansible-playbook progressive.delivery.resume"):
        service.begin("promote")
    assert service.decision.what == "abort" and service.go_on("resume")["decision"] == "abort"


def test_promote_goes_on_when_the_backend_is_away(tmp_path: Path, server: ScriptedServer) -> None:
    service = Gated(tmp_path, http={"url": server.url})
    service.paused()
    server.reply = b""
    found = service.go_on("promote")
    assert (found["decision"], found["who"], found["channel"]) == ("promote", "ann", "playbook")
    assert any("stays closed" in line for line in service.said)


def test_no_token_is_stored(tmp_path: Path, server: ScriptedServer) -> None:
    service = Gated(tmp_path, http={"url": f"{server.url}/s3cret", "token": "s3cret", "headers": {"X-Key": "s3cret"}})
    service.paused()
    assert {name.lower() for name in server.requests[0].headers} >= {"authorization", "x-key"}
    assert not any("s3cret" in text for _token, text in service.store.documents.values())
    assert "s3cret" not in Path(service.record.journal).read_text(encoding="utf-8") + "\n".join(service.said)


@pytest.mark.parametrize("options, words", [
    ({"http": {"url": "ftp://approvals"}}, "Only http"),
    ({"http": {"url": "http://approvals/${version}"}}, "unknown placeholder"),
    ({"http": {}}, r"rollout_steps\[1\].gate.http: url is missing"),
    ({"http": {"url": "http://approvals"}}, "rollout_url_allow"),
    ({"file": "decision"}, "not an absolute path"),
    ({"config_map": {"name": "decisions"}}, r"rollout_steps\[1\].gate.config_map: key is missing"),
    ({"config_map": {"name": "decisions", "key": "half", "kubeconfig": "/nowhere/config"}}, "/nowhere/config"),
])
def test_a_backend_that_cannot_work_is_refused_before_anything_changes(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    service = Service(tmp_path, rollout_steps=[{"set_weight": 20}, {"gate": {"name": "half", **options}}], rollout_url_allow=["example.com"])
    with pytest.raises(ConfigError, match=words):
        service.plan("rollout", "2")


def test_what_all_kubernetes_adapters_have_in_common_holds_for_gates(tmp_path: Path) -> None:
    options = {"config_map": {"name": "decisions", "key": "half"}}
    service = Service(tmp_path, rollout_steps=[{"set_weight": 20}, {"gate": {"name": "half", **options}}], rollout_kubernetes={"kubeconfig": "/nowhere/config"})
    with pytest.raises(ConfigError, match="/nowhere/config"):
        service.plan("rollout", "2")
