# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run says when it ends: how, and what to type, which can be pasted as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.progressive.delivery.tests.matrix.rig import LONGEST, Finished, Site

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
