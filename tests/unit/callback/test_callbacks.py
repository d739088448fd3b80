# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The callbacks in real runs of ansible-playbook: tiny plays whose results carry ``progressive_delivery``."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.report import journal as j
from ansible_collections.progressive.delivery.tests.unit.module_utils.core.report import scenarios

BESIDE = Path(sys.executable).with_name("ansible-playbook")
PLAYBOOK = BESIDE if BESIDE.exists() else shutil.which("ansible-playbook")
LAST = "is not finished at 20 %. To go on or to go back, type:"


def note(log: Path, **more: Any) -> dict[str, Any]:
    return {"event_log": str(log), "release": {"resume_command": scenarios.RESUME, "abort_command": scenarios.ABORT}, "print": "tree", **more}


def journal(path: Path, events: list[dict[str, Any]]) -> Path:
    path.write_text("".join(map(j.line, events)), encoding="utf-8")
    return path


def command(tmp_path: Path, tasks: list[dict[str, Any]]) -> list[str]:
    (tmp_path / "play.yml").write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
    return [str(PLAYBOOK), "-i", "localhost,", "-c", "local", str(tmp_path / "play.yml")]


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "LC_", "GITLAB_", "NO_COLOR"))}
    ours = {"ANSIBLE_CALLBACKS_ENABLED": "progressive.delivery.progress", "ANSIBLE_HOME": str(tmp_path / "home"), "LANG": "C.UTF-8"}
    return {**kept, **ours, "ANSIBLE_LOCALHOST_WARNING": "false", "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false", **more}


def run(tmp_path: Path, tasks: list[dict[str, Any]], **more: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command(tmp_path, tasks), env=environment(tmp_path, **more), cwd=tmp_path, capture_output=True, check=False, timeout=600)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())  # carriage returns kept as they are


ALONE = {"ANSIBLE_STDOUT_CALLBACK": "progressive.delivery.progress", "ANSIBLE_CALLBACKS_ENABLED": "progressive.delivery.gitlab"}


def says(value: dict[str, Any], name: str = "checkpoint", **more: Any) -> dict[str, Any]:
    """A task whose result holds ``value`` under the key the callbacks look for."""
    return {"name": name, "ansible.builtin.debug": {"var": "progressive_delivery"}, "vars": {"progressive_delivery": value}, **more}


def test_the_tree_is_printed_once_for_each_change_and_the_next_lines_last(tmp_path: Path) -> None:
    log = journal(tmp_path / "journal.jsonl", scenarios.running())
    other = {"name": "somebody else's task", "ansible.builtin.debug": {"msg": "hello"}}
    done = run(tmp_path, [says(note(log)), other, says(note(log))])
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("shop 2.4.0 \u2192 2.4.1   canary") == 1
    assert "  \u2714 deploy     web5, web6" in done.stdout
    assert done.stdout.rstrip().splitlines()[-3:] == [f"shop {LAST}", f"  resume:  {scenarios.RESUME}", f"  abort:   {scenarios.ABORT}"]
    assert "\033" not in done.stdout


@pytest.mark.parametrize("where", ["loop", "facts", "failed"])
def test_the_note_is_found_in_loops_in_facts_and_in_failures(tmp_path: Path, where: str) -> None:
    log = journal(tmp_path / "journal.jsonl", scenarios.rolled_back())
    value = note(log, outcome="rolled_back")
    tasks = {
        "loop": says(value, loop=[1, 2]),
        "facts": {"ansible.builtin.set_fact": {"progressive_delivery": value}},
        "failed": says(value, failed_when=True),
    }
    done = run(tmp_path, [tasks[where]])
    assert done.stdout.count(f"\u2718 rolled back at 20 %: {scenarios.REASON}") == 1, done.stdout + done.stderr
    assert "To go on or to go back" not in done.stdout


def test_a_quiet_task_prints_no_tree_and_an_open_gate_still_says_what_to_type(tmp_path: Path) -> None:
    log = journal(tmp_path / "journal.jsonl", scenarios.paused())
    done = run(tmp_path, [says(note(log, print="none"))])
    assert "2.4.0 \u2192 2.4.1" not in done.stdout
    assert "shop is paused at 20 %. To go on or to go back, type:" in done.stdout
    assert f"  promote: {scenarios.RESUME.replace('.resume', '.promote')}" in done.stdout, "resume would only pause again"


@pytest.mark.parametrize("value", [{"event_log": "/nowhere/journal.jsonl"}, {"event_log": 5}, {"event_log": "/nowhere/journal.jsonl", "release": "shop"}, {}])
def test_what_cannot_be_shown_never_fails_the_run(tmp_path: Path, value: dict[str, Any]) -> None:
    done = run(tmp_path, [says(value)])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_the_locale_c_gets_ascii(tmp_path: Path) -> None:
    log = journal(tmp_path / "journal.jsonl", scenarios.rolled_back())
    done = run(tmp_path, [says(note(log, outcome="rolled_back"))], LANG="C")
    tree = done.stdout[done.stdout.index("shop 2.4.0 -> 2.4.1") : done.stdout.index("PLAY RECAP")]
    assert tree.isascii()
    assert "x rolled back at 20 %" in tree


@pytest.mark.parametrize(("more", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"ANSIBLE_NOCOLOR": "1"}, False)])
def test_colours_on_a_terminal_only_and_not_where_they_are_unwanted(tmp_path: Path, more: dict[str, str], coloured: bool) -> None:
    log = journal(tmp_path / "journal.jsonl", scenarios.rolled_back())
    ours, theirs = pty.openpty()
    tasks = [says(note(log, outcome="rolled_back"))]
    terminal = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    with subprocess.Popen(command(tmp_path, tasks), env=environment(tmp_path, TERM="xterm", **more), cwd=tmp_path, **terminal) as done:
        os.close(theirs)
        output = b""
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # the other side is closed: the run is over
                break
            if not chunk:
                break
            output += chunk
    os.close(ours)
    assert done.returncode == 0, output
    assert ("\033[31m\u2718".encode() in output) is coloured, output.decode()


GITLAB = {"ANSIBLE_CALLBACKS_ENABLED": "progressive.delivery.gitlab,progressive.delivery.progress", "GITLAB_CI": "true"}


def test_gitlab_gets_one_closed_section_a_step_with_the_tree_between_them(tmp_path: Path) -> None:
    first = journal(tmp_path / "begun.jsonl", scenarios.Story().events)
    second = journal(tmp_path / "running.jsonl", scenarios.running())
    third = journal(tmp_path / "end.jsonl", scenarios.rolled_back())
    work = {"name": "work", "ansible.builtin.debug": {"msg": "working"}}
    done = run(tmp_path, [says(note(first)), work, says(note(second)), work, says(note(third, outcome="rolled_back")), work], **GITLAB)
    marks = re.findall(r"section_(start|end):\d+:(\w+)\r\033\[0K(.*)", done.stdout)
    assert marks == [("start", "pd_shop_1", "shop 5 %"), ("end", "pd_shop_1", ""), ("start", "pd_shop_2", "shop 20 %"), ("end", "pd_shop_2", "")], done.stdout
    last = done.stdout.rindex("section_end")
    assert last < done.stdout.index("\u2718 rolled back at 20 %")


def test_outside_of_gitlab_nothing_is_folded(tmp_path: Path) -> None:
    log = journal(tmp_path / "journal.jsonl", scenarios.running())
    done = run(tmp_path, [says(note(log)), says(note(log))], ANSIBLE_CALLBACKS_ENABLED="progressive.delivery.gitlab")
    assert "section_" not in done.stdout
    assert done.returncode == 0


def test_beside_json_on_stdout_the_lines_go_to_stderr(tmp_path: Path) -> None:
    (tmp_path / "callbacks").mkdir()
    (tmp_path / "callbacks" / "tinyjson.py").write_text(
        'DOCUMENTATION = """\nname: tinyjson\ntype: stdout\nshort_description: prints one JSON object\ndescription: [for a test]\n"""\n'
        "import json\n"
        "from ansible.plugins.callback import CallbackBase\n\n\n"
        "class CallbackModule(CallbackBase):\n"
        '    CALLBACK_VERSION = 2.0\n    CALLBACK_TYPE = "stdout"\n    CALLBACK_NAME = "tinyjson"\n\n'
        "    def v2_playbook_on_stats(self, stats):\n"
        '        self._display.display(json.dumps({"ok": dict(stats.ok)}))\n',
        encoding="utf-8",
    )
    log = journal(tmp_path / "journal.jsonl", scenarios.running())
    more = {"ANSIBLE_STDOUT_CALLBACK": "tinyjson", "ANSIBLE_CALLBACK_PLUGINS": str(tmp_path / "callbacks")}
    done = run(tmp_path, [says(note(log))], **more)
    assert json.loads(done.stdout) == {"ok": {"localhost": 1}}, done.stdout
    assert "2.4.0 \u2192 2.4.1" in done.stderr


def test_alone_it_shows_the_release_and_what_failed_and_nothing_else(tmp_path: Path) -> None:
    log = journal(tmp_path / "journal.jsonl", scenarios.running())
    broken = {"name": "Plan", "ansible.builtin.fail": {"msg": "rollout_router.haproxi: unknown router"}}
    done = run(tmp_path, [says(note(log)), broken], **ALONE)
    assert done.returncode == 2
    assert "PLAY" not in done.stdout and "TASK" not in done.stdout
    assert done.stdout.count("shop 2.4.0 \u2192 2.4.1   canary") == 1
    [said] = [line for line in done.stderr.splitlines() if "haproxi" in line]
    assert said.startswith("\u2718 Plan failed on localhost: ")


def test_alone_it_does_not_repeat_a_reason_that_the_tree_has_said(tmp_path: Path) -> None:
    log = journal(tmp_path / "journal.jsonl", scenarios.rolled_back())
    reason = j.parse(log.read_text(encoding="utf-8")).outcome.reason
    ending = {"name": "The outcome", "ansible.builtin.fail": {"msg": f"rolled_back: {reason}"}}
    done = run(tmp_path, [says(note(log)), ending], **ALONE)
    assert done.returncode == 2
    assert "The outcome" not in done.stderr
