# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a rollback goes: back from what is stable, never further than somebody asked for, never forward."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.core.lease import RECORD
from ansible_collections.progressive.delivery.plugins.module_utils.core.record import to_json
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import rollback
from ansible_collections.progressive.delivery.tests.unit.module_utils.entry.service import Service

BROKEN = {"100 %": {"result": "failed", "reason": "it broke"}}


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """1, 2 and 3 were stable one after the other; 3 is."""
    made = Service(tmp_path, rollout_steps=[{"set_weight": 20}, {"set_weight": 100}])
    for version in ("2", "3"):
        assert made.run("rollout", version)["outcome"] == "promoted"
    return made


def stable(service: Service) -> str:
    assert service.record.stable is not None
    return service.record.stable.version


def good(service: Service) -> list[str]:
    return [entry.version for entry in service.record.good]


def named(service: Service) -> str:
    """What the module rollback answers."""
    answer: dict[str, Any] = rollback.run({"release": service.plan("resume")["release"]}, service.context())
    return str(answer["version"])


def test_a_rollback_goes_to_the_last_good_version_before_and_the_next_one_further_back(service: Service) -> None:
    assert service.run("rollback")["outcome"] == "rolled_back"
    assert (stable(service), good(service)) == ("2", ["1", "2"])
    assert service.run("rollback")["outcome"] == "rolled_back"
    assert (stable(service), good(service)) == ("1", ["1"])
    with pytest.raises(ConfigError, match="an earlier version is not known to be good"):
        service.run("rollback")


def test_behind_a_contracted_database_nobody_goes_back_unless_told_to(service: Service) -> None:
    window = {"rollout_rollback_window": {"revisions": 3}}
    assert service.plan("rollout", "2", **window)["release"].get("quick") is True
    stored = service.store.load(RECORD)
    assert stored
    before = tuple(replace(each, contracted="" if each.version == "3" else "2026-11-27T12:00:00Z") for each in service.record.good)
    service.store.save(RECORD, {**stored.value, **to_json(replace(service.record, good=before))}, stored.token)
    with pytest.raises(ConfigError, match="the database was contracted at 2026-11-27T12:00:00Z: 2 may need what is gone"):
        service.run("rollback")
    assert not service.plan("rollout", "2", **window)["release"].get("quick"), "it is tried like any other"
    assert stable(service) == "3"
    assert service.run("rollback", rollout_force=True)["outcome"] == "rolled_back"
    assert stable(service) == "2"


def test_versions_that_a_rollback_passed_over_are_not_gone_back_to(service: Service) -> None:
    service.run("rollback", rollout_to_version="1")
    assert (stable(service), good(service)) == ("1", ["1"])


@pytest.mark.parametrize("ended", ["rolled_back", "aborted"])
def test_after_a_release_that_went_back_stable_is_where_a_rollback_wants_to_be(service: Service, ended: str) -> None:
    result = "failed" if ended == "rolled_back" else "aborted"
    assert service.run("rollout", "4", seen={"20 %": {"result": result, "reason": "it broke"}})["outcome"] == ended
    before = service.record
    assert named(service) == "3"
    done = service.run("rollback")
    assert (done["outcome"], done["code"], done["failed_run"]) == ("unchanged", 0, False)
    assert done["reason"] == "stable is 3 already, which the last release went back to; to go further back name it: -e rollout_to_version=2"
    assert service.record == before
    assert service.begin("rollback", check_mode=True)["outcome"] == "unchanged"
    assert service.run("rollback", rollout_to_version="2")["outcome"] == "rolled_back"
    assert (stable(service), good(service)) == ("2", ["1", "2"])


def test_where_nothing_older_is_good_no_version_is_named(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.run("rollout", "2", seen={"20 %": {"result": "failed", "reason": "it broke"}})
    assert service.run("rollback")["reason"] == "stable is 1 already, which the last release went back to; no older version is known to be good"


def test_a_rollback_that_failed_is_tried_again_and_loses_no_good_version(service: Service) -> None:
    first = next(step["name"] for step in service.plan("rollback")["rows"] if step["kind"] == "weight")
    service.run("rollback", seen={first: {"result": "failed", "reason": "it broke"}})
    assert (stable(service), good(service)) == ("3", ["1", "2", "3"])
    assert service.run("rollback")["outcome"] == "rolled_back"
    assert stable(service) == "2"


def test_after_a_way_back_that_failed_it_says_what_helps_instead_of_going_further(service: Service) -> None:
    failing = {"20 %": {"result": "failed", "reason": "it broke"}, "all traffic to stable": {"result": "failed", "reason": "lb1 is silent"}}
    broken = service.run("rollout", "4", seen=failing)
    assert broken["outcome"] == "partial"
    with pytest.raises(ConfigError, match=r"abort tries it once more.*rollout_to_version=2"):
        service.run("rollback")
