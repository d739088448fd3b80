# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A/B tests through real ansible-playbook runs: who wins gets everything, who does not goes, and the files that a CI picks up say why."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.progressive.delivery.tests.matrix.rig import Site, ended


def totals(share: float, each: int = 400, looks: int = 400) -> dict[str, list[float]]:
    """Who converted and who came, so far, look by look: as even as can be."""
    return {"bought": [round(share * each * look) for look in range(looks)], "came": [each * look for look in range(looks)]}


def site(folder: Path, base: float, own: float, **options: Any) -> Site:
    """A service whose versions convert ``base`` and ``own`` of their visitors."""
    values = {f"{track}/{name}": counts for track, share in (("stable", base), ("canary", own)) for name, counts in totals(share).items()}
    (folder / "counts.json").write_text(json.dumps({**values, "errors": [0.001]}))
    provider = {"memory": {"file": str(folder / "counts.json")}}
    return Site(folder, release={
        "rollout_ab_test": {"mde": 0.02, "max_duration": "5m", "conversion": {
            "query": "bought", "total_query": "came", "cumulative": True, "interval": "200ms"}, **options},
        "rollout_analysis": {"interval": "500ms", "provider": provider, "metrics": [
            {"name": "errors", "query": "errors", "failure_condition": "result > 0.01"}]},
        "rollout_report": {"directory": str(folder / "reports"), "formats": ["html", "json", "junit"]},
    })


def report(where: Site) -> dict[str, Any]:
    [file] = (where.folder / "reports").glob("*.ab_test_report.json")
    return dict(json.loads(file.read_text()))


def test_the_better_version_wins_and_serves_everybody(tmp_path: Path) -> None:
    where = site(tmp_path, 0.10, 0.16)
    done = where.run("ab_test", "2")
    assert (done.status, done.outcome, done.code) == (0, "promoted", 0), done.text
    assert where.history == [50, 100] and where.versions == {"s1": "1", "s2": "1", "c1": "2", "c2": "2"}
    assert "A/B test: how many convert now is not known from totals" in where.run("plan", "3", "-e", "rollout_strategy=ab_test").text
    assert "win: converts more, by " in done.text
    found = report(where)
    assert (found["verdict"], found["decision"], found["outcome"]) == ("win", "promote", "promoted")
    assert found["version_a"]["conversion_rate"] < found["version_b"]["conversion_rate"] and found["difference"]["low"] > 0
    assert "A/B test" in next((tmp_path / "reports").glob("*.html")).read_text()
    assert 'classname="shop.experiment" name="conversion"' in next((tmp_path / "reports").glob("*.xml")).read_text()


def test_the_worse_version_goes_and_the_playbook_did_what_it_is_for(tmp_path: Path) -> None:
    where = site(tmp_path, 0.16, 0.10)
    done = where.run("ab_test", "2")
    assert (done.status, done.outcome, done.code) == (0, "kept", 21), done.text
    assert where.history == [50, 0] and where.weights["stable"] == 100
    assert where.record["stable"]["version"] == "1" and where.holder == ""
    assert report(where)["verdict"] == "lose" and "stable kept" in done.text
    assert "<failure" not in next((tmp_path / "reports").glob("*.xml")).read_text()


def test_equal_versions_do_not_win(tmp_path: Path) -> None:
    where = site(tmp_path, 0.12, 0.12, max_duration="4s")
    done = where.run("ab_test", "2")
    assert (done.status, done.outcome) == (0, "kept"), done.text
    assert report(where)["verdict"] == "no_difference"


def test_a_person_decides_where_that_is_asked_for(tmp_path: Path) -> None:
    where = site(tmp_path, 0.10, 0.16, promote="manual")
    done = where.run("ab_test", "2")
    assert (done.status, done.outcome) == (0, "paused"), done.text
    assert "win: converts more, by " in done.text.partition("waits for a decision")[2], "the finding is shown to whoever decides"
    assert where.weights["canary"] == 50
    promoted = where.run("promote", "2")
    assert (promoted.status, promoted.outcome) == (0, "promoted"), promoted.text
    assert where.history == [50, 100]


def test_a_task_looks_at_a_test(tmp_path: Path) -> None:
    where = Site(tmp_path)
    counts = "{conversions: %d, visitors: %d}"
    tasks = [
        {"name": "First", "progressive.delivery.experiment": yaml.safe_load(f"{{stable: {counts % (100, 1000)}, candidate: {counts % (130, 1000)}}}"),
         "register": "first"},
        {"name": "Then", "progressive.delivery.experiment": {
            **yaml.safe_load(f"{{stable: {counts % (1000, 10000)}, candidate: {counts % (1300, 10000)}}}"), "state": "{{ first.state }}"}, "register": "then"},
        {"name": "Told", "ansible.builtin.debug": {"msg": "{{ first.verdict }}, then {{ then.verdict }} with {{ then.state.looks }} looks"}},
    ]
    (tmp_path / "look.yml").write_text(yaml.safe_dump([{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}]))
    done = where.run("look.yml", "2", "--check")
    assert done.status == 0 and "continue, then win with 2 looks" in done.text, done.text
    assert done.changed == 0


def test_the_role_by_itself_tests_what_is_changed_through_an_api(tmp_path: Path) -> None:
    where = site(tmp_path, 0.10, 0.16)
    where.release["rollout_workload"] = {"memory": {"path": str(tmp_path / "work.json"), "replicas": 4}}
    where.release["rollout_scale_down_delay"] = "0s"
    (tmp_path / "own.yml").write_text("- hosts: localhost\n  gather_facts: false\n  roles: [progressive.delivery.ab_test]\n")
    done = where.run("own.yml", "2")
    assert (done.status, done.outcome) == (0, "promoted"), done.text
    assert json.loads((tmp_path / "work.json").read_text())["tracks"]["stable"]["version"] == "2"
    assert report(where)["verdict"] == "win"


def test_a_test_that_is_ended_goes_on_with_what_it_has_seen(tmp_path: Path) -> None:
    where = site(tmp_path, 0.10, 0.16, min_duration="10s")
    running = where.start("ab_test", "2")
    with ended(running):
        where.until(lambda: len(where.events("trial")) >= 3, running, "some looks of the test")
        running.send(signal.SIGTERM)
        stopped = running.end()
    where.until(lambda: where.holder == "", what="the lease given back")
    assert stopped.status != 0 and where.record["outcome"] == "interrupted" and where.weights["canary"] == 50, stopped.text
    seen = where.record["trial"]
    assert seen["looks"] >= 3 and seen["total"]["requests"] >= 800
    done = where.run("resume", "2")
    assert (done.status, done.outcome) == (0, "promoted"), done.text
    after = where.record["trial"]
    assert after["began"] == seen["began"] and after["looks"] > seen["looks"] and after["total"]["requests"] > seen["total"]["requests"]
    assert report(where)["verdict"] == "win" and report(where)["test_seconds"] >= 10
