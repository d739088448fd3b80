# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hooks through real ansible-playbook runs: those that answer to an ending, and one that was killed in its middle."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.progressive.delivery.tests.matrix.rig import Site, ended


def hook(folder: Path, name: str, more: str = "") -> dict[str, str]:
    """A hook that adds a line with its name to the file `told`, and does `more` behind that."""
    (folder / f"{name}.yml").write_text(f"- ansible.builtin.shell: echo {name} >> {folder / 'told'}; {more or 'true'}\n")
    return {"name": name, "tasks": f"{name}.yml", "timeout": "10m"}


def told(site: Site) -> list[str]:
    file = site.folder / "told"
    return file.read_text().split() if file.exists() else []


def test_a_pause_is_told_once_however_often_it_is_resumed(site: Site) -> None:
    site.release["rollout_hooks"] = {"on_pause": [hook(site.folder, "paused")], "on_abort": [hook(site.folder, "aborted")]}
    site.release["rollout_steps"] = [{"set_weight": 20}, {"pause": {}}, {"set_weight": 50}, {"pause": {}}]
    for playbook, expected in (("rollout", 1), ("resume", 1), ("rollout", 1), ("promote", 2), ("resume", 2)):
        assert site.run(playbook, "2").outcome == "paused"
        assert told(site) == ["paused"] * expected, playbook
    assert site.run("abort", "2").outcome == "aborted"
    assert told(site) == ["paused", "paused", "aborted"]


def test_a_hook_that_was_killed_midway_is_for_people_to_look_at(site: Site) -> None:
    site.release["rollout_hooks"] = {"before_step": [hook(site.folder, "half", "sleep 600")], "on_pause": [hook(site.folder, "paused")]}
    run = site.start("rollout", "2")
    with ended(run):
        site.until(lambda: told(site) == ["half"], run, "the hook")
        run.kill()
    site.bury(run)
    paused = site.run("resume", "2")
    assert (paused.status, paused.outcome) == (0, "paused"), paused.text
    assert told(site) == ["half", "paused"]
    assert "nobody knows whether hook half ran" in site.run("status", "2").text


def test_a_hook_that_fails_takes_the_release_back_or_pauses_it(site: Site) -> None:
    site.release["rollout_steps"] = [{"set_weight": 20}, {"set_weight": 100}]
    failing = hook(site.folder, "broken", "false")
    site.release["rollout_hooks"] = {"before_promotion": [failing]}
    done = site.run("rollout", "2")
    assert (done.outcome, site.weights) == ("rolled_back", {"stable": 100, "canary": 0}), done.text
    assert site.record["reason"].startswith("hook broken")
    site.release["rollout_hooks"] = {"before_promotion": [{**failing, "failure": "pause"}]}
    assert site.run("rollout", "3").outcome == "paused"
    assert site.run("abort", "3").outcome == "aborted" and site.weights == {"stable": 100, "canary": 0}
    site.release["rollout_hooks"] = {"before_promotion": [{**failing, "failure": "ignore"}]}
    assert site.run("rollout", "4").outcome == "promoted"
    assert told(site) == ["broken"] * 3
