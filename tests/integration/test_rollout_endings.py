# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases that end otherwise than hoped for, and hooks, through real ansible-playbook runs."""

from __future__ import annotations

import pytest

from ansible_collections.progressive.delivery.tests.matrix.rig import ANALYSIS, Site


def gated(site: Site, **options: object) -> Site:
    site.release.update(rollout_strategy="blue_green", rollout_blue_green={"auto_promotion_enabled": False, **options})
    return site


def test_canary_whose_metric_turns_bad_goes_back_to_stable(site: Site) -> None:
    site.release.update(rollout_canary={"step_weights": [20, 50], "bake": "10m"}, rollout_analysis={
        **ANALYSIS, "provider": {"memory": {"values": {"errors": [0.001, 0.001, 0.2]}}}})
    done = site.run("rollout", "2")
    assert done.status == 2 and (done.outcome, done.code) == ("rolled_back", 10)
    assert site.history == [20, 0]
    assert "errors" in done.message()
    assert site.record["stable"] == {"slot": "stable", "version": "1"} and site.holder == ""


def test_canary_whose_deploy_fails_never_gets_a_request(site: Site) -> None:
    (site.host("c2") / "fail-2").touch()
    done = site.run("rollout", "2")
    assert done.status == 2 and done.outcome == "rolled_back"
    assert "c2" in done.message()
    assert not (site.folder / "router.json").exists() or site.history in ([], [0])


def test_recreate(site: Site) -> None:
    site.release["rollout_strategy"] = "recreate"
    done = site.run("rollout", "2")
    assert (done.status, done.outcome) == (0, "promoted"), done.text
    assert site.versions == {"s1": "2", "s2": "2", "c1": "", "c2": ""}


def test_first_deploy(site: Site) -> None:
    site.release["rollout_previous_version"] = "none"
    done = site.run("rollout", "2")
    assert (done.status, done.outcome) == (0, "promoted"), done.text
    assert site.versions == {"s1": "2", "s2": "2", "c1": "", "c2": ""}
    assert site.weights == {"stable": 100, "canary": 0} if (site.folder / "router.json").exists() else True
    assert "first deploy" in site.run("plan", "2").text or site.record["stable"]["version"] == "2"


def test_a_gate_pauses_until_it_is_aborted(site: Site) -> None:
    gated(site).run("rollout", "2")
    aborted = site.run("abort", "2")
    assert (aborted.status, aborted.outcome, aborted.code) == (0, "aborted", 11), aborted.text
    assert not (site.folder / "router.json").exists() or site.weights["stable"] == 100
    after = site.run("abort", "2")
    assert after.status == 2 and "over: aborted" in after.message()


def test_an_expired_gate_does_what_it_was_told_to(site: Site) -> None:
    site.release.update(rollout_strategy="blue_green", rollout_steps=[{"gate": {"name": "half", "timeout": "1s", "on_timeout": "abort"}}])
    assert site.run("rollout", "2").outcome == "paused"
    expired = site.run("resume", "2")
    assert (expired.outcome, expired.code) == ("aborted", 11) and expired.status == 2, expired.text
    assert '"half"' in expired.message()


def test_check_mode_of_a_first_use_makes_not_even_a_folder(site: Site) -> None:
    dry = site.run("rollout", "2", "--check")
    assert dry.status == 0, dry.text
    assert not any((site.folder / name).exists() for name in ("router.json", "state", "reports", "order"))


FAILING = "- name: Smoke test\n  ansible.builtin.command: test -e never\n  changed_when: false\n"


@pytest.mark.parametrize("failure, status, outcome, history", [
    ("abort", 2, "rolled_back", []), ("pause", 0, "paused", []), ("ignore", 0, "promoted", [100]),
])
def test_a_failing_hook_before_the_switch(site: Site, failure: str, status: int, outcome: str, history: list[float]) -> None:
    (site.folder / "smoke.yml").write_text(FAILING)
    site.release.update(rollout_strategy="blue_green", rollout_steps=[{"hook": {"name": "smoke", "tasks": "smoke.yml", "failure": failure}}])
    done = site.run("rollout", "2")
    assert (done.status, done.outcome) == (status, outcome), done.text
    assert ([share for share in site.history if share] if (site.folder / "router.json").exists() else []) == history
    if failure != "ignore":
        assert "hook smoke" in site.record["reason"]
    assert site.holder == ""
