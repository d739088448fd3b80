# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An inventory that changed while a release was under way."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.tests.unit.module_utils.entry import service as module
from ansible_collections.progressive.delivery.tests.unit.module_utils.entry.service import Service


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """A rolling update of s1 and s2 whose run died when s1 had the new version."""
    made = Service(tmp_path, rollout_strategy="rolling", rollout_rolling={"batches": [1]})
    made.file["rollout_workload"]["pool"].pop("canary")
    begun = made.begin("rollout", "2")
    while made.next is not None and made.next.name != "drain s2":
        made.step(begun)
    made.store.documents.pop("lease")
    return made


@pytest.mark.parametrize(("purpose", "version"), [("resume", ""), ("rollout", "2")])
def test_a_host_that_is_gone_from_the_inventory_gets_no_deploy(service: Service, monkeypatch: pytest.MonkeyPatch, purpose: str, version: str) -> None:
    monkeypatch.setitem(module.GROUPS, "blue", ["s1", "web2"])
    before = service.record
    with pytest.raises(ConfigError, match="s2, not in the inventory any more"):
        service.begin(purpose, version)
    assert service.record == before
    monkeypatch.undo()
    assert service.run(purpose, version)["outcome"] == "promoted"


def test_a_host_that_has_its_version_may_go(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(module.GROUPS, "blue", ["s2"])
    assert service.run("resume")["outcome"] == "promoted"


def test_abort_does_not_ask_for_a_host_that_is_gone(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(module.GROUPS, "blue", ["s1"])
    assert service.run("abort")["outcome"] == "aborted"


def test_a_newer_version_takes_the_place_of_a_release_whose_host_is_gone(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(module.GROUPS, "blue", ["s1", "s3"])
    assert service.run("rollout", "3", rollout_on_new_revision="supersede")["outcome"] == "superseded"
