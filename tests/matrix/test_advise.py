# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The advice through ansible-playbook: in a pipe, at a terminal, and its release file in a real plan."""

from __future__ import annotations

import contextlib
import os
import pty
import select

import yaml

from ansible_collections.progressive.delivery.tests.matrix.rig import PLAYBOOK, Site


def test_in_a_pipe_it_asks_nothing_and_its_file_passes_a_plan(site: Site) -> None:
    done = site.run("advise", "2", "-e", "advise_downtime=no", "-e", "advise_risk=high", "-e", "advise_platform=pool", "-e", "advise_to=advised.yml")
    assert done.status == 0, done.text
    assert "strategy: canary" in done.text
    assert "because a bad version must reach few users" in done.text
    assert "\x1b" not in done.text
    advised = yaml.safe_load((site.folder / "advised.yml").read_text())
    mine = {key: site.release[key] for key in ("rollout_workload", "rollout_router", "rollout_store", "rollout_report")}
    site.release = {**advised, **mine, "rollout_previous_version": "1"}  # the names of this site, as a user puts in theirs
    before = site.fingerprint()
    planned = site.run("plan", "2")
    assert planned.status == 0, planned.text
    assert site.fingerprint() == before


def test_a_wrong_answer_is_one_clear_error(site: Site) -> None:
    done = site.run("advise", "2", "-e", "advise_risk=huge")
    assert done.status != 0
    assert "value of risk must be one of: low, medium, high, unknown, got: huge" in done.text


def test_at_a_terminal_it_asks_what_was_not_given(site: Site) -> None:
    words = [str(PLAYBOOK), "progressive.delivery.advise", "-e", "advise_capacity=double", "-e", f"advise_to={site.folder}/asked.yml"]
    child, terminal = pty.fork()
    if child == 0:
        os.execve(words[0], words, {**{name: value for name, value in os.environ.items() if name != "CI"}, "ANSIBLE_NOCOLOR": "1"})
    text = ""
    with os.fdopen(terminal, "r+b", buffering=0) as screen:
        while True:
            if not select.select([screen], [], [], 0.3)[0]:
                # Keys that were pressed before a question are thrown away, and nobody can see from here when it listens: so press until it goes on.
                if asked := text.count("or nothing)"):
                    with contextlib.suppress(OSError):  # it has ended meanwhile
                        screen.write(b"no\r" if asked == 1 else b"\r")
                continue
            try:
                part = screen.read(4096)
            except OSError:  # the child has closed its end
                break
            if not part:
                break
            text += part.decode(errors="replace")
    _pid, status = os.waitpid(child, 0)
    assert (os.waitstatus_to_exitcode(status), text.count("or nothing)")) == (0, 6), text
    assert yaml.safe_load((site.folder / "asked.yml").read_text())["rollout_strategy"] == "blue_green"
