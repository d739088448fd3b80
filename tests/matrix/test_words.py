# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run says when it ends: how, and what to type, which can be pasted as it stands."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.progressive.delivery.tests.matrix.rig import ANALYSIS, LONGEST, Finished, Site, ended

PROGRESS = {"ANSIBLE_CALLBACKS_ENABLED": "progressive.delivery.progress"}
BAD = {**ANALYSIS, "provider": {"memory": {"values": {"errors": [0.5]}}}}
STEPS = [{"set_weight": 20}, {"gate": {"name": "half"}}, {"set_weight": 100}]


@pytest.fixture
def gated(site: Site) -> Site:
    """A release that ends at a gate, because nobody is at a terminal."""
    site.release.update(rollout_steps=STEPS)
    del site.release["rollout_canary"]
    return site


def typed(text: str, playbook: str) -> list[str]:
    """The commands for this playbook among the printed words."""
    return re.findall(rf"ansible-playbook progressive\.delivery\.{playbook}\b.*", text)


def paste(site: Site, command: str) -> Finished:
    """A printed command in a shell of its own, where nothing but the collection is known."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_") or name == "ANSIBLE_COLLECTIONS_PATH"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(command, shell=True, cwd=site.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LONGEST, check=False,
                          env={**kept, "PATH": path, "LC_ALL": "C.UTF-8", "ANSIBLE_HOME": str(site.folder / "ansible"), "ANSIBLE_SHOW_CUSTOM_STATS": "True"})
    return Finished(done.returncode, done.stdout + done.stderr)


def test_a_printed_command_is_pasted_and_works(gated: Site) -> None:
    """The release is spread over files, one of them in a vault; a value of the command line is a secret."""
    site = gated
    (site.folder / "pass word").write_text("sesame\n")
    (site.folder / "more.yml").write_text("rollout_store: " + str(site.release.pop("rollout_store")).replace("'", '"') + "\n")
    vault = [str(Path(sys.executable).with_name("ansible-vault")), "encrypt", "--vault-password-file", "pass word", "more.yml"]
    subprocess.run(vault, cwd=site.folder, check=True, capture_output=True, timeout=LONGEST)
    site.arguments = ("-e", "@more.yml", "--vault-password-file", "pass word", "-e", "api_key=hunter2")
    paused = site.run("rollout", "2")
    assert (paused.status, paused.outcome) == (0, "paused"), paused.text

    status = site.run("status", "2")
    [command] = typed(status.text, "abort")
    assert command == "ansible-playbook progressive.delivery.abort -i inventory.yml -e @shop.yml -e @more.yml --vault-password-file 'pass word'"
    assert "with the -e values of this run: api_key" in status.text and "hunter2" not in status.text + str(site.journal)

    done = paste(site, command)
    assert (done.status, done.outcome) == (0, "aborted"), done.text
    assert site.weights == {"stable": 100, "canary": 0}


def lines_of(text: str, start: str) -> list[str]:
    """The printed lines that begin so, however far they are indented."""
    return [line.strip() for line in text.splitlines() if line.strip().startswith(start)]


def test_a_pause_says_so_and_what_to_type_once(gated: Site) -> None:
    site = gated
    paused = site.run("rollout", "2")
    assert paused.outcome == "paused", paused.text
    [line] = lines_of(paused.text, "shop 2: paused")
    assert "at step" in line and "half" in line
    assert len(typed(paused.text, "promote")) == len(typed(paused.text, "abort")) == 1, paused.text
    assert "this run ended before" not in paused.text

    promoted = paste(site, typed(paused.text, "promote")[0])
    assert (promoted.status, promoted.outcome) == (0, "promoted"), promoted.text
    assert lines_of(promoted.text, "shop 2: promoted: 2 serves every request"), promoted.text
    assert not typed(promoted.text, "[a-z]+"), promoted.text


def test_a_way_back_says_why_and_that_stable_has_everything(site: Site) -> None:
    site.release.update(rollout_canary={"step_weights": [20, 100], "bake": "2s"}, rollout_analysis=BAD)
    back = site.run("rollout", "2")
    assert (back.status, back.outcome) == (2, "rolled_back"), back.text
    [line] = lines_of(back.text, "shop 2: rolled back: ")
    assert "errors" in line and "stable carries 100 %" in line
    assert len(typed(back.text, "status")) == 1 and not typed(back.text, "resume"), back.text


def test_a_batch_that_is_held_says_what_to_type_once(site: Site) -> None:
    site.release.update(rollout_strategy="rolling", rollout_rolling={"on_failure": "hold"})
    del site.release["rollout_canary"]
    (site.host("s1") / "fail-2").touch()
    held = site.run("rollout", "2")
    assert (held.status, held.outcome) == (2, "held"), held.text
    assert len(lines_of(held.text, "shop 2: held")) == 1 and len(typed(held.text, "resume")) == len(typed(held.text, "abort")) == 1, held.text


def test_beside_the_tree_an_ending_is_not_said_twice(gated: Site) -> None:
    paused = gated.run("rollout", "2", **PROGRESS)
    assert paused.outcome == "paused" and "shop 2: paused" not in paused.text, paused.text
    done = gated.run("promote", "2", **PROGRESS)
    assert done.outcome == "promoted" and "shop 2: promoted" not in done.text and done.text.count("promoted: 2 serves every request") == 1, done.text


@pytest.mark.parametrize("number, group", [(signal.SIGINT, True), (signal.SIGTERM, False)], ids=["INT", "TERM"])
@pytest.mark.parametrize("environment", [{}, PROGRESS], ids=["default", "tree"])
def test_a_run_that_goes_back_when_it_is_stopped_says_that_it_did(site: Site, number: int, group: bool, environment: dict[str, str]) -> None:
    site.release.update(rollout_canary={"step_weights": [20, 100], "bake": "30m"}, rollout_analysis=ANALYSIS, rollout_on_interrupt="abort")
    run = site.start("rollout", "2", **environment)
    with ended(run):
        site.until_look(run)
        (run.send_all if group else run.send)(number)
        stopped = run.end()
    site.until(lambda: site.holder == "", what="the lease given back")  # ansible-playbook waits 10 s for its worker, which may not run in that time
    assert site.weights == {"stable": 100, "canary": 0} and site.record["outcome"] == "aborted", stopped.text
    [outcome] = site.events("outcome")
    assert (outcome["outcome"], outcome["requests_failed"]) == ("aborted", 0) and outcome["requests_total"] > 0
    [line] = lines_of(stopped.text, "shop 2: aborted")
    assert "stable carries 100 %" in line, stopped.text
    words = stopped.text[stopped.text.index(line):]
    assert len(typed(words, "status")) == 1 and not typed(words, "resume") and not typed(words, "abort"), stopped.text


def test_hosts_that_must_be_taken_back_wait_for_resume(site: Site) -> None:
    site.release.update(rollout_strategy="rolling", rollout_rolling={"bake_first": "30m"}, rollout_analysis=ANALYSIS, rollout_on_interrupt="abort")
    del site.release["rollout_canary"]
    run = site.start("rollout", "2")
    with ended(run):
        site.until_look(run)
        run.send_all(signal.SIGINT)
        stopped = run.end()
    site.until(lambda: site.holder == "", what="the lease given back")
    assert site.record["outcome"] == "interrupted" and site.record["back"], stopped.text
    assert [event["outcome"] for event in site.events("outcome")] == ["interrupted"]
    [command] = typed(stopped.text, "resume")
    assert not typed(stopped.text, "abort"), stopped.text
    done = paste(site, command)
    assert done.outcome == "aborted" and site.versions == {"s1": "1", "s2": "1", "c1": "", "c2": ""}, done.text
