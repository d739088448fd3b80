# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that are asked which version they run, at whatever address they have."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import FakeClock
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.entry.context import Context
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import plan, workload_info
from ansible_collections.progressive.delivery.tests.unit.module_utils.entry.service import GROUPS, Service

ADDRESSES = [("10.0.0.1", "http://10.0.0.1:8080/version?of=s1"), ("fd00::1", "http://[fd00::1]:8080/version?of=s1")]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    urls: list[str] = []

    def answer(url: str) -> str:
        urls.append(url)
        return "1"

    monkeypatch.setattr(plan, "over_http", answer)
    monkeypatch.setitem(workload_info.READERS, "http", answer)
    return urls


@pytest.mark.parametrize(("address", "url"), ADDRESSES)
def test_a_plan_asks_a_host_at_its_address(tmp_path: Path, asked: list[str], address: str, url: str) -> None:
    service = Service(tmp_path)
    service.file.pop("rollout_previous_version")
    service.file["rollout_version"] = "2"
    service.file["rollout_workload"]["pool"]["version_from"] = {"http": "http://${address}:8080/version?of=${host}"}
    params: dict[str, Any] = {"variables": service.file, "groups": {**GROUPS, "blue": ["s1"]}, "addresses": {"s1": address}, "purpose": "rollout",
                              "asked": "rollout", "probe": True, "show": False}  # fmt: skip
    release = plan.run(params, service.context())["release"]
    assert (asked, release["plan"]["previous"]) == ([url], "1")


@pytest.mark.parametrize(("address", "url"), ADDRESSES)
def test_a_host_is_asked_at_its_address_after_its_deploy(asked: list[str], address: str, url: str) -> None:
    params = {"version_from": {"http": "http://${address}:8080/version?of=${host}"}, "address": address, "host": "s1"}
    assert workload_info.run(params, Context(FakeClock(), lambda line: None, who="ann")) == {"changed": False, "version": "1"}
    assert asked == [url]


@pytest.mark.parametrize(("answers", "asked", "previous"), [(["1", "1", "1"], 3, "1"), (["", "1", "1"], 1, ""), (["1", "2", "1"], 2, "")])
def test_a_plan_asks_no_further_than_it_must(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: list[str], asked: int, previous: str) -> None:
    service, answer, urls = Service(tmp_path), Starting(*answers, "1"), list[str]()
    service.file.pop("rollout_previous_version")
    service.file["rollout_version"] = "2"
    service.file["rollout_workload"]["pool"]["version_from"] = {"http": "http://${address}:8080/version"}
    monkeypatch.setattr(plan, "over_http", lambda url: (urls.append(url), answer(url))[1])
    params: dict[str, Any] = {"variables": service.file, "groups": {"blue": ["s1", "s2", "s3"], "green": ["c1", "c2", "c3"]}, "purpose": "rollout",
                              "asked": "rollout", "probe": True, "show": False}  # fmt: skip
    assert plan.run(params, service.context())["release"]["plan"].get("previous", "") == previous
    assert len(urls) == asked


class Starting:
    """A service that does not listen at first, and then still says the old version for a while."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)

    def __call__(self, _place: object) -> str:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not answer:
            raise Unavailable("connection refused")
        return answer


def ask(kind: str, clock: FakeClock, **params: str) -> str:
    asked = {"version_from": {kind: "x"}, "address": "10.0.0.1", "host": "s1", **params}
    return str(workload_info.run(asked, Context(clock, lambda line: None, who="ann"))["version"])


@pytest.mark.parametrize("kind", ["http", "command"])
def test_a_service_that_starts_is_asked_again_until_it_runs_what_it_should(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setitem(workload_info.READERS, kind, Starting("", "", "1", "2"))
    clock = FakeClock()
    assert ask(kind, clock, wanted="2", wait="60s") == "2"
    assert clock.now() == 3


@pytest.mark.parametrize(("answer", "ends"), [("", pytest.raises(Unavailable)), ("1", contextlib.nullcontext())])
def test_one_that_never_does_is_not_waited_for_any_longer(monkeypatch: pytest.MonkeyPatch, answer: str, ends: contextlib.AbstractContextManager[Any]) -> None:
    monkeypatch.setitem(workload_info.READERS, "http", Starting(answer))
    clock = FakeClock()
    with ends:
        assert ask("http", clock, wanted="2", wait="60s") == "1"
    assert clock.now() == 60


def test_a_link_says_at_once_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(workload_info.READERS, "symlink", Starting("1", "2"))
    clock = FakeClock()
    assert (ask("symlink", clock, wanted="2", wait="60s"), clock.now()) == ("1", 0)
