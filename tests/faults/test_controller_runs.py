# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two controllers for one release: one is busy, an abort from elsewhere is honoured, and both end truthfully."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from ansible_collections.progressive.delivery.tests.matrix.rig import ANALYSIS, Site, ended

BAKE = 2
"""Index of the bake after the first weight."""


@pytest.fixture
def baking(site: Site) -> Site:
    """A release with a bake at 20 % that lasts until the test ends it."""
    site.release.update(rollout_canary={"step_weights": [20, 100], "bake": "30m"}, rollout_analysis=ANALYSIS)
    return site


def test_of_two_runs_at_once_one_is_busy(baking: Site) -> None:
    site = baking
    first = site.start("rollout", "2")
    with ended(first):
        site.until_look(first, BAKE)
        other = site.run("rollout", "3")
        assert other.status != 0 and (other.outcome, other.code) == ("busy", 13), other.text
        assert len(other.failures) == 1 and "2 is under way" in other.message()
        site.release["rollout_lease"] = {"ttl": "5s"}  # it says how long this run waits for the other's lease
        same = site.start("rollout", "2")
        with ended(same):
            told = same.end()
        assert (told.outcome, told.code) == ("busy", 13) and told.status != 0, told.text
        assert len(told.failures) == 1 and "busy: held by" in told.message()
        assert first.process.poll() is None and site.weights == {"stable": 80, "canary": 20}
        first.send(signal.SIGINT)
        first.end()
    assert site.deploys("c1") == ["deploy 2 canary"] and site.history == [20]


def test_two_runs_started_together_ship_once(site: Site) -> None:
    runs = [site.start("rollout", "2") for nth in range(2)]
    with ended(*runs):
        done = [run.end() for run in runs]
    assert sorted(run.outcome for run in done) in (["busy", "promoted"], ["promoted", "unchanged"]), "\n\n".join(run.text for run in done)
    assert site.deploys("c1") == ["deploy 2 canary"] and site.history == [20, 50, 100]


def test_an_abort_from_elsewhere_ends_a_live_run(baking: Site) -> None:
    site = baking
    site.release["rollout_reason"] = "the phones ring"
    first = site.start("rollout", "2")
    with ended(first):
        site.until_look(first, BAKE)
        abort = site.start("abort", "2")
        with ended(abort):
            site.until(lambda: site.weights["stable"] == 100, first, "all traffic on stable")
            holder, asker = first.end(), abort.end()
    assert (holder.status, holder.outcome, holder.code) == (2, "aborted", 11), holder.text
    assert (asker.status, asker.outcome, asker.code) == (0, "aborted", 11), asker.text
    assert "the phones ring" in holder.message()
    assert site.history == [20, 0] and site.holder == ""


def test_a_live_run_whose_lease_is_short_is_not_taken_over(baking: Site) -> None:
    """The holder renews in time: a contender that waits for longer than the term stays outside."""
    site = baking
    site.release["rollout_lease"] = {"ttl": "20s"}
    first = site.start("rollout", "2")
    with ended(first):
        site.until_look(first, BAKE)
        resumed = site.run("resume", "2")
        assert resumed.outcome == "busy", resumed.text
        assert first.process.poll() is None
        first.send(signal.SIGINT)
        first.end()


def test_kill_9_during_a_deploy_leaves_a_release_that_resumes(site: Site) -> None:
    for host in site.canary:
        (site.host(host) / "sleep-2").touch()
    run = site.start("rollout", "2")
    with ended(run):
        site.until(lambda: all((site.host(host) / "asleep").exists() for host in site.canary), run, "the deploy")
        assert site.stored("lease")["stretch"] > 90, "the holder says for how long it may be silent"
        run.kill()
    site.bury(run)
    for host in site.canary:
        (site.host(host) / "sleep-2").unlink()
    done = site.run("resume", "2")
    assert (done.status, done.outcome) == (0, "promoted"), done.text
    assert site.versions["c1"] == site.versions["c2"] == "2" and site.history == [20, 50, 100]


def test_kill_9_on_the_way_back_goes_on_going_back(tmp_path: Path) -> None:
    """It dies while the first host gets its version back."""
    site = Site(tmp_path, canary=(), release={"rollout_strategy": "rolling", "rollout_rolling": {"bake_first": "30m"}})
    site.release["rollout_analysis"] = {**ANALYSIS, "provider": {"memory": {"values": {"errors": [0.001, 0.5]}}}}
    (site.host("s1") / "sleep-1").touch()
    run = site.start("rollout", "2")
    with ended(run):
        site.until((site.host("s1") / "asleep").exists, run, "the way back")
        assert site.record["back"] and site.versions["s1"] == "2"
        run.kill()
    site.bury(run)
    (site.host("s1") / "sleep-1").unlink()
    done = site.run("resume", "2")
    assert done.outcome == "rolled_back" and done.code == 10, done.text
    assert site.versions == {"s1": "1", "s2": "1"} and site.deploys("s1") == ["deploy 2 stable", "rollback 1 stable"]
    assert site.members["stable"] == {"s1": 100, "s2": 100} and site.holder == ""
