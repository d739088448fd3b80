# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases by every strategy through real ansible-playbook runs: what the hosts and the router hold afterwards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.progressive.delivery.tests.matrix.rig import ANALYSIS, Site
from ansible_collections.progressive.delivery.tests.ports import closed_port


def test_canary_swaps_slots_and_goes_back_without_a_deploy(site: Site) -> None:
    first = site.run("rollout", "2")
    assert (first.status, first.outcome, first.code) == (0, "promoted", 0)
    assert site.history == [20, 50, 100]
    assert site.versions == {"s1": "1", "s2": "1", "c1": "2", "c2": "2"}

    again = site.run("rollout", "2")
    assert (again.status, again.outcome, again.code, again.changed) == (0, "unchanged", 0, 0)

    second = site.run("rollout", "3")
    assert (second.status, second.outcome) == (0, "promoted")
    assert site.history == [20, 50, 100, 80, 50, 0]
    assert site.versions == {"s1": "3", "s2": "3", "c1": "2", "c2": "2"}
    assert site.deploys("c1") == ["deploy 2 canary"] and site.deploys("s1") == ["deploy 3 stable"]

    back = site.run("rollback", "3")
    assert (back.status, back.outcome, back.code) == (0, "rolled_back", 10)
    assert site.weights == {"stable": 0, "canary": 100}
    assert site.deploys("c1") == ["deploy 2 canary"], "the idle slot still held the version"
    assert site.record["stable"] == {"slot": "canary", "version": "2"}
    assert site.holder == ""

    again = site.run("rollback", "3")
    assert (again.status, again.outcome) == (0, "rolled_back"), again.text
    assert site.record["stable"]["version"] == "1", "a version that was gone back from is not good any more"
    assert [good["version"] for good in site.record["good"]] == ["1"]


def test_canary_with_a_small_group_takes_stable_hosts_over_and_home_again(tmp_path: Path) -> None:
    site = Site(tmp_path, stable=("s1", "s2", "s3"), canary=("c1",))
    done = site.run("rollout", "2")
    assert (done.status, done.outcome) == (0, "promoted"), done.text
    assert set(site.versions.values()) == {"2"}
    assert all(len(site.deploys(host)) == 1 for host in (*site.stable, *site.canary))
    assert site.members == {"stable": {"s1": 100, "s2": 100, "s3": 100}, "canary": {"c1": 100}}
    assert site.weights == {"stable": 100, "canary": 0}
    assert max(site.history) == 100 and 20 in site.history and 50 in site.history
    rise = site.history[: site.history.index(100) + 1]
    assert rise == sorted(rise)
    carried = [(entry, len(entry["members"]["canary"])) for entry in site.world["history"][: len(rise)]]
    assert all(float(entry["weights"]["canary"].partition("/")[0]) <= 100 * hosts for entry, hosts in carried if isinstance(entry["weights"]["canary"], str))


ROLLING = {"rollout_strategy": "rolling", "rollout_rolling": {"batches": [1, 2]}}


def pool(folder: Path) -> Site:
    """Four hosts in one group: batches of one, two and one."""
    return Site(folder, stable=("s1", "s2", "s3", "s4"), canary=(), release=dict(ROLLING))


def test_rolling_goes_batch_by_batch(tmp_path: Path) -> None:
    site = pool(tmp_path)
    done = site.run("rollout", "2")
    assert (done.status, done.outcome) == (0, "promoted"), done.text
    assert site.order[0] == "s1" and set(site.order[1:3]) == {"s2", "s3"} and site.order[3] == "s4"
    assert site.away == [{"s1"}, set(), {"s2", "s3"}, set(), {"s4"}, set()]
    assert set(site.versions.values()) == {"2"}
    assert done.changed >= 4


@pytest.mark.parametrize("broken, touched", [("s1", ["s1"]), ("s3", ["s1", "s2", "s3"]), ("s4", ["s1", "s2", "s3", "s4"])], ids=["first", "second", "last"])
def test_rolling_takes_every_touched_host_back_when_one_fails(tmp_path: Path, broken: str, touched: list[str]) -> None:
    site = pool(tmp_path)
    (site.host(broken) / "fail-2").touch()
    done = site.run("rollout", "2")
    assert done.status == 2 and (done.outcome, done.code) == ("rolled_back", 10), done.text
    assert broken in done.message() and "non-zero return code: no room left" in done.message()
    assert set(site.versions.values()) == {"1"}
    assert [host for host in site.stable if site.deploys(host)] == touched
    assert all(site.deploys(host)[-1] == "rollback 1 stable" for host in touched)
    assert site.members["stable"] == dict.fromkeys(site.stable, 100)
    assert site.holder == ""


@pytest.mark.parametrize("gone", ["s1", "s3"], ids=["batch-of-one", "last-of-two"])
def test_rolling_names_a_host_that_is_gone_and_takes_the_others_back(tmp_path: Path, gone: str) -> None:
    site = pool(tmp_path)
    (site.host(gone) / "unreachable").touch()
    done = site.run("rollout", "2")
    assert done.status != 0 and (done.outcome, done.code) == ("partial", 15), done.text
    assert gone in site.record["reason"]
    others = [host for host in site.stable if host != gone]
    assert {site.versions[host] for host in others} == {"1"}
    assert all(site.members["stable"][host] == 100 for host in others)
    assert site.members["stable"][gone] == 0
    assert site.holder == ""


def test_rolling_does_not_count_a_host_as_done_that_is_lost_during_its_deploy(tmp_path: Path) -> None:
    site = pool(tmp_path)
    (site.host("s3") / "unreachable-2").touch()
    done = site.run("rollout", "2")
    assert done.status != 0 and done.outcome == "partial", done.text
    assert site.versions == {"s1": "1", "s2": "1", "s3": "2", "s4": "1"}
    assert site.members["stable"] == {"s1": 100, "s2": 100, "s3": 0, "s4": 100}


# ------------------------------------------------------------------------------------------------------------------------ blue-green, gates


def gated(site: Site, **options: object) -> Site:
    site.release.update(rollout_strategy="blue_green", rollout_blue_green={"auto_promotion_enabled": False, **options})
    return site


def test_what_nobody_looked_at_is_not_called_good(site: Site) -> None:
    site.release.update(rollout_strategy="blue_green", rollout_analysis=ANALYSIS)
    assert site.run("rollout", "2").outcome == "promoted"
    assert [event["reason"] for event in site.events("outcome")] == ["2 serves every request"]


def test_a_gate_pauses_until_it_is_promoted(site: Site) -> None:
    gated(site)
    paused = site.run("rollout", "2")
    assert (paused.status, paused.outcome, paused.code) == (0, "paused", 12), paused.text
    assert site.versions["c1"] == "2" and site.holder == ""
    assert not (site.folder / "router.json").exists() or site.weights["canary"] == 0

    resumed = site.run("resume", "2")
    assert (resumed.status, resumed.outcome) == (0, "paused"), resumed.text

    promoted = site.run("promote", "2")
    assert (promoted.status, promoted.outcome) == (0, "promoted"), promoted.text
    assert site.history == [100] and site.deploys("c1") == ["deploy 2 canary"]
    assert any(event["decision"] == "promoted" for event in site.events("gate"))


# ------------------------------------------------------------------------------------------------------------ a way back that failed, an abort


def paused_at_20(site: Site) -> Site:
    site.release.update(rollout_steps=[{"set_weight": 20}, {"pause": {}}])
    assert site.run("rollout", "2").outcome == "paused"
    return site


def test_a_way_back_that_failed_is_tried_again_by_abort(site: Site) -> None:
    paused_at_20(site)
    world = site.folder / "router.json"
    world.write_text(json.dumps({**site.world, "faults": {"unreachable": True}}))
    stuck = site.run("abort", "2")
    assert stuck.status != 0 and stuck.outcome == "partial", stuck.text
    world.write_text(json.dumps({**site.world, "faults": {}}))
    assert site.weights == {"stable": 80, "canary": 20}
    assert "progressive.delivery.abort -i " in site.run("status", "2").text

    done = site.run("abort", "2")
    assert (done.status, done.outcome) == (0, "aborted"), done.text
    assert site.weights == {"stable": 100, "canary": 0} and site.holder == ""


def test_to_go_back_no_metrics_are_needed(site: Site) -> None:
    paused_at_20(site)
    metrics = [{"name": "errors", "query": "errors", "failure_condition": "result > 0.01"}]
    site.release["rollout_analysis"] = {"provider": {"prometheus": {"url": f"http://127.0.0.1:{closed_port()}"}}, "metrics": metrics}
    done = site.run("abort", "2")
    assert (done.status, done.outcome) == (0, "aborted"), done.text
    assert site.weights == {"stable": 100, "canary": 0}


def test_a_begin_that_cannot_write_its_journal_leaves_no_release(site: Site) -> None:
    (site.folder / "file").touch()
    site.release["rollout_report"]["directory"] = str(site.folder / "file" / "reports")
    refused = site.run("rollout", "2")
    assert refused.status != 0 and "rollout_report.directory" in refused.message(), refused.text
    assert site.record == {} and site.holder == ""
    assert "no release was ever recorded" in site.run("status", "2").text


@pytest.mark.parametrize("playbook, outcome", [("abort", "aborted"), ("promote", "promoted")])
def test_a_journal_that_cannot_be_written_any_more_is_gone_on_with_elsewhere(site: Site, playbook: str, outcome: str) -> None:
    paused_at_20(site)
    (site.folder / "reports").rename(site.folder / "moved")
    (site.folder / "reports").touch()
    site.release["rollout_report"]["directory"] = str(site.folder / "elsewhere")
    done = site.run(playbook, "2")
    assert (done.status, done.outcome) == (0, outcome), done.text
    assert [event["outcome"] for event in site.events("outcome")] == [outcome]


# ------------------------------------------------------------------------------------------------------------------------------- check mode


def test_check_mode_writes_nothing_and_shows_every_weight(site: Site) -> None:
    site.run("rollout", "2")
    before = site.fingerprint()
    dry = site.run("rollout", "3", "--check", "--diff")
    assert dry.status == 0, dry.text
    assert site.fingerprint() == before
    for text in ("stable 0 % -> 20 %", "stable 20 % -> 50 %", "stable 50 % -> 100 %", "before 20 %", "after 50 %", "deploy s1, s2"):
        assert text in dry.text, f"{text!r} is not shown:\n{dry.text}"
    assert '"stable": 20' in dry.text or '"stable": "20' in dry.text


def test_a_role_by_itself_ships_what_is_changed_through_an_api(site: Site) -> None:
    site.release["rollout_workload"] = {"memory": {"path": str(site.folder / "work.json"), "replicas": 4}}
    site.release["rollout_scale_down_delay"] = "0s"
    (site.folder / "own.yml").write_text("- hosts: localhost\n  gather_facts: false\n  roles: [progressive.delivery.canary]\n")
    looked = site.run("own.yml", "2", "--check", "--diff")
    assert looked.status == 0 and not (site.folder / "work.json").exists(), looked.text
    done = site.run("own.yml", "2")
    assert (done.status, done.outcome) == (0, "promoted"), done.text
    assert json.loads((site.folder / "work.json").read_text())["tracks"]["stable"]["version"] == "2"
    assert site.run("own.yml", "2").outcome == "unchanged"
