# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that is told to stop, or is killed, in the middle: where traffic stays, what is recorded, and that resume and abort go on from there."""

from __future__ import annotations

import re
import signal

import pytest

from ansible_collections.progressive.delivery.tests.matrix.rig import ANALYSIS, Site, ended

BAKE = 2
"""Index of the bake after the first weight: deploy, weight, bake."""


@pytest.fixture
def baking(site: Site) -> Site:
    """A release with a bake at 20 % that lasts until the test ends it, watched twice a second."""
    site.release.update(rollout_canary={"step_weights": [20, 100], "bake": "30m"}, rollout_analysis=ANALYSIS)
    return site


def quick(site: Site) -> None:
    """Shorten what is still to be baked: nobody looks at the rest of this release."""
    record = site.folder / "state" / "shop" / "record.json"
    text, shortened = re.subn(r'"duration": ?1800\b', '"duration":1', record.read_text())
    assert shortened
    record.write_text(text)


@pytest.mark.parametrize("number, group", [(signal.SIGINT, True), (signal.SIGTERM, True), (signal.SIGTERM, False)], ids=["INT", "TERM-group", "TERM"])
def test_a_signal_in_a_bake_is_recorded_and_resume_goes_on(baking: Site, number: int, group: bool) -> None:
    site = baking
    run = site.start("rollout", "2")
    with ended(run):
        site.until_look(run, BAKE)
        (run.send_all if group else run.send)(number)
        stopped = run.end()
    assert stopped.status != 0 and "Traceback" not in stopped.text, stopped.text
    site.until(lambda: site.holder == "", what="the lease given back")
    assert site.record["outcome"] == "interrupted" and site.record["position"] == BAKE
    assert site.weights == {"stable": 80, "canary": 20}
    for playbook in ("resume", "abort"):
        assert stopped.text.count(f"ansible-playbook progressive.delivery.{playbook} -i inventory.yml -e @shop.yml") == 1, stopped.text

    quick(site)
    resumed = site.run("resume", "2")
    assert (resumed.status, resumed.outcome) == (0, "promoted"), resumed.text
    assert site.history == [20, 100] and site.deploys("c1") == ["deploy 2 canary"]


@pytest.mark.parametrize("playbook, outcome, history", [("resume", "promoted", [20, 100]), ("abort", "aborted", [20, 0])])
def test_kill_9_in_a_bake_leaves_a_release_that_can_go_on_or_back(baking: Site, playbook: str, outcome: str, history: list[float]) -> None:
    site = baking
    run = site.start("rollout", "2")
    with ended(run):
        site.until_look(run, BAKE)
        run.kill()
    site.until(lambda: not run.left(), what="the end of the killed run's workers")
    site.bury(run)
    assert site.weights == {"stable": 80, "canary": 20}
    quick(site)
    after = site.run(playbook, "2")
    assert (after.status, after.outcome) == (0, outcome), after.text
    assert site.history == history
    assert site.deploys("c1") == ["deploy 2 canary"] and site.holder == ""


def test_rollback_of_a_release_that_stopped_midway_is_refused_and_ships_nothing(baking: Site) -> None:
    site = baking
    long, site.release["rollout_canary"] = site.release["rollout_canary"], {"step_weights": [100], "bake": "1s"}
    assert site.run("rollout", "2").outcome == "promoted"
    site.release["rollout_canary"] = long
    before = len(site.history)
    run = site.start("rollout", "3")
    with ended(run):
        site.until(lambda: site.record["release"]["version"] == "3", run, "the record of the next release")
        site.until_look(run, BAKE)
        run.send_all(signal.SIGINT)
        run.end()
    site.until(lambda: site.holder == "", what="the lease given back")
    weights = site.weights
    quick(site)
    back = site.run("rollback", "3")
    assert (back.status, back.outcome) == (2, "busy"), back.text
    assert "3 is under way" in back.message() and "abort" in back.message()
    assert site.weights == weights and len(site.history) == before + 1
    assert site.record["outcome"] == "interrupted"
