# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook watch through real ansible-playbook runs: it goes back from what is not well, and from nothing else."""

from __future__ import annotations

import io
import json
import signal
from pathlib import Path

import pytest

from ansible_collections.progressive.delivery.tests.matrix.rig import Site

WATCH = {"rollout_watch": {"duration": "2s", "interval": "500ms"}}
LONG = {"duration": "30m", "interval": "500ms"}
"""Until something is seen, however seldom this machine comes to look."""


@pytest.fixture
def shop(tmp_path: Path) -> Site:
    """Version 2 is promoted, and version 1 was good before it. What is measured stands in a file."""
    site = Site(tmp_path, release={
        "rollout_analysis": {"interval": "500ms", "error_hold": "1s", "provider": {"memory": {"file": str(tmp_path / "values.json")}},
                             "metrics": [{"name": "errors", "query": "errors", "failure_condition": "result > 0.01"}]},
        "rollout_canary": {"step_weights": [50, 100], "bake": "1s"}, **WATCH,
    })  # fmt: skip
    say(site, [0.001])
    assert site.run("rollout", "2").outcome == "promoted"
    return site


def say(site: Site, values: object) -> None:
    fresh = site.folder / "values.json.fresh"
    fresh.write_text(json.dumps({"errors": values}))
    fresh.replace(site.folder / "values.json")  # a run may be reading it


def test_what_is_well_stays_and_what_is_not_goes_back(shop: Site) -> None:
    well = shop.run("watch")
    assert (well.status, well.outcome, well.code, well.changed) == (0, "unchanged", 0, 0), well.text
    assert "2 is well: errors good in" in well.text and shop.weights == {"stable": 0, "canary": 100}

    say(shop, [0.001, 0.2])
    shop.release["rollout_watch"] = {**LONG, "dry_run": True}
    only = shop.run("watch")
    assert (only.status, only.outcome) == (2, "failed") and "nothing is taken back" in only.text and shop.weights["canary"] == 100

    shop.release["rollout_watch"] = LONG
    bad = shop.run("watch")
    assert (bad.status, bad.outcome, bad.code) == (2, "rolled_back", 10), bad.text
    assert "2 is not well" in bad.text and "above the limit" in shop.record["reason"] and shop.record["reason"].startswith("back to 1: ")
    assert shop.weights == {"stable": 100, "canary": 0} and shop.record["stable"]["version"] == "1" and shop.holder == ""

    again = shop.run("watch")
    assert again.status == 2 and "there is nothing to go back to" in again.text and again.outcome == "invalid", again.text
    assert shop.weights == {"stable": 100, "canary": 0}


def test_of_two_at_once_one_goes_back_and_the_other_leaves_it_alone(shop: Site) -> None:
    shop.release["rollout_watch"] = LONG
    pair = [shop.start("watch"), shop.start("watch")]
    for run in pair:
        shop.until(lambda run=run: "watching 2 for" in run.text, run)
    say(shop, [0.2])
    ends = [run.end() for run in pair]
    told = "\n".join(end.text for end in ends)
    assert sorted(end.outcome for end in ends) == ["busy", "rolled_back"], told
    assert all(end.status == 2 for end in ends) and "Traceback" not in told
    assert shop.weights == {"stable": 100, "canary": 0} and shop.record["stable"]["version"] == "1" and shop.holder == ""
    assert [past["outcome"] for past in shop.record["history"]] == ["promoted"], "one way back"


def test_metrics_that_are_away_take_nothing_back(shop: Site) -> None:
    say(shop, [0.001, {"error": "the server is down"}])
    shop.release["rollout_watch"] = LONG
    done = shop.run("watch")
    assert (done.status, done.outcome, done.code) == (2, "held", 17), done.text
    assert "2 stays, nobody can tell how it is" in done.text and shop.weights["canary"] == 100 and shop.record["outcome"] == "promoted"


def test_a_release_under_way_is_left_alone(shop: Site) -> None:
    shop.release["rollout_steps"] = [{"set_weight": 20}, {"gate": {"name": "half"}}, {"set_weight": 100}]
    assert shop.run("rollout", "3").outcome == "paused"
    before = shop.record
    done = shop.run("watch", "3")
    assert (done.status, done.outcome, done.code) == (2, "busy", 13) and "3 is under way (paused), and watches itself" in done.text, done.text
    assert shop.record == before


def test_a_release_that_begins_meanwhile_ends_the_watch(shop: Site) -> None:
    shop.release["rollout_watch"] = LONG
    watching = shop.start("watch")
    shop.until(lambda: "watching 2 for" in watching.text, watching)
    assert shop.run("rollout", "3").outcome == "promoted"
    done = watching.end()
    assert done.outcome == "busy" and "a release of 3 began" in done.text, done.text
    assert shop.record["release"]["version"] == "3" and shop.record["outcome"] == "promoted"


def test_ctrl_c_ends_a_watch_and_changes_nothing(shop: Site) -> None:
    shop.release["rollout_watch"] = LONG
    watching = shop.start("watch")
    shop.until(lambda: watching.text.count("errors") > 2, watching)
    assert len(watching.text) < io.DEFAULT_BUFFER_SIZE / 2, "a line comes when it is said, not when a buffer is full"
    watching.send_all(signal.SIGINT)
    done = watching.end()
    assert done.status != 0 and "Traceback" not in done.text
    assert shop.weights["canary"] == 100 and shop.record["outcome"] == "promoted" and shop.holder == ""


def test_what_cannot_be_watched_is_said(tmp_path: Path) -> None:
    site = Site(tmp_path, release=WATCH)
    never = site.run("watch")
    assert never.status == 2 and "no release of shop was ever promoted" in never.text
    assert site.run("rollout", "2").outcome == "promoted"
    nothing = site.run("watch")
    assert nothing.status == 2 and "there is nothing to watch. Give rollout_analysis or rollout_health" in nothing.text, nothing.text
    typo = site.run("watch", "2", "-e", '{"rollout_watch": {"duraton": "2s"}}')
    assert typo.status == 2 and "Did you mean duration?" in typo.text


def test_a_watch_too_short_to_see_anybody_ill_is_refused(tmp_path: Path) -> None:
    site = Site(tmp_path)
    assert site.run("rollout", "2").outcome == "promoted"
    site.release["rollout_health"] = {"http": {"url": "http://${address}:1/health"}, "interval": "500ms", "retries": 3}
    site.release["rollout_watch"] = {"duration": "500ms"}
    short = site.run("watch")
    assert (short.status, short.outcome) == (2, "invalid") and "is too short to see somebody ill" in short.text, short.text
    site.release["rollout_watch"] = LONG
    ill = site.run("watch")
    assert "2 is not well" in ill.text and "unhealthy" in ill.text and ill.outcome != "unchanged", ill.text
