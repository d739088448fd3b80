# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two controllers for one release: one is busy, an abort from elsewhere is honoured, and both end truthfully."""

from __future__ import annotations

import signal
import time

import pytest

from ansible_collections.progressive.delivery.tests.matrix.rig import ANALYSIS, Site, ended

BAKE = 2
"""Index of the bake after the first weight."""


@pytest.fixture
def baking(site: Site) -> Site:
    """A release with a long bake at 20 % and a lease that is soon given up for lost."""
    site.release.update(rollout_canary={"step_weights": [20, 100], "bake": "10m"}, rollout_analysis=ANALYSIS, rollout_lease={"ttl": "6s"})
    return site


def test_of_two_runs_at_once_one_is_busy(baking: Site) -> None:
    site = baking
    first = site.start("rollout", "2")
    with ended(first):
        site.until_look(first, BAKE)
        other = site.run("rollout", "3")
        assert other.status != 0 and (other.outcome, other.code) == ("busy", 13), other.text
        assert len(other.failures) == 1 and "2 is under way" in other.message()
        same = site.start("rollout", "2")
        with ended(same):
            told = same.end()
        assert (told.outcome, told.code) == ("busy", 13) and told.status != 0, told.text
        assert len(told.failures) == 1 and "busy: held by" in told.message()
        assert first.process.poll() is None and site.weights == {"stable": 80, "canary": 20}
        first.send(signal.SIGINT)
        first.end(20)
    assert site.deploys("c1") == ["deploy 2 canary"] and site.history == [20]


def test_two_runs_started_together_ship_once(site: Site) -> None:
    runs = [site.start("rollout", "2") for nth in range(2)]
    with ended(*runs):
        done = [run.end() for run in runs]
    assert sorted(run.outcome for run in done) in (["busy", "promoted"], ["promoted", "unchanged"]), "\n\n".join(run.text for run in done)
    assert site.deploys("c1") == ["deploy 2 canary"] and site.history == [20, 50, 100]


def test_an_abort_from_elsewhere_ends_a_live_run_within_seconds(baking: Site) -> None:
    site = baking
    site.release["rollout_reason"] = "the phones ring"
    first = site.start("rollout", "2")
    with ended(first):
        site.until_look(first, BAKE)
        begun = time.monotonic()
        abort = site.start("abort", "2")
        with ended(abort):
            site.until(lambda: site.weights["stable"] == 100, first, "all traffic on stable")
            taken = time.monotonic() - begun
            holder, asker = first.end(), abort.end()
    assert taken < 40, f"{taken:.0f} s"
    assert (holder.status, holder.outcome, holder.code) == (2, "aborted", 11), holder.text
    assert (asker.status, asker.outcome, asker.code) == (0, "aborted", 11), asker.text
    assert "the phones ring" in holder.message()
    assert site.history == [20, 0] and site.holder == ""


def test_a_live_run_whose_lease_is_short_is_not_taken_over(baking: Site) -> None:
    """The holder renews in time: a contender that waits for twice the term stays outside."""
    site = baking
    first = site.start("rollout", "2")
    with ended(first):
        site.until_look(first, BAKE)
        resumed = site.run("resume", "2")
        assert resumed.outcome == "busy", resumed.text
        assert first.process.poll() is None
        first.send(signal.SIGINT)
        first.end(20)


def test_kill_9_during_a_deploy_leaves_a_release_that_resumes(site: Site) -> None:
    site.release.update(rollout_lease={"ttl": "6s"}, rollout_deploy_timeout="8s")
    for host in site.canary:
        (site.host(host) / "sleep-2").write_text("4")
    run = site.start("rollout", "2")
    with ended(run):
        site.until(lambda: bool(site.record) and "Put the version in place" in run.text, run, "the deploy")
        time.sleep(0.5)
        run.kill()
    for host in site.canary:
        (site.host(host) / "sleep-2").unlink()
    done = site.run("resume", "2")
    assert (done.status, done.outcome) == (0, "promoted"), done.text
    assert site.versions["c1"] == site.versions["c2"] == "2" and site.history == [20, 50, 100]


def test_kill_9_on_the_way_back_goes_on_going_back(baking: Site) -> None:
    site = baking
    site.release["rollout_analysis"] = {**ANALYSIS, "provider": {"memory": {"values": {"errors": [0.001, 0.5]}}}}
    site.release["rollout_hooks"] = {}
    site.release["rollout_router"]["memory"]["traffic"] = 1
    site.release["rollout_propagation_timeout"] = "3s"
    run = site.start("rollout", "2")
    with ended(run):
        site.until(lambda: bool(site.record.get("back")), run, "the way back")
        run.kill()
    done = site.run("resume", "2")
    assert done.outcome == "rolled_back" and done.code == 10, done.text
    assert site.weights["stable"] == 100
