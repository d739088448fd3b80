# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print the release as a tree after each step, and at the end of a run that left it open what to type next."""

from __future__ import annotations

DOCUMENTATION = """
name: progress
type: aggregate
short_description: Shows a progressive delivery as a tree that grows with each step
version_added: "1.0.0"
author: the progressive.delivery authors (@progressive-delivery)
description:
  - After each step of a release this callback prints the release anew - its steps, the share of requests asked for and measured,
    what the analysis saw, how it ended and what to do next. It only appends lines, so it reads the same on a screen, in a pipe and in the log of a CI job.
  - Colours are used on a terminal only. E(NO_COLOR), E(ANSIBLE_NOCOLOR) and E(ANSIBLE_FORCE_COLOR) are respected. With the locale C only ASCII is written.
  - When the run ends while the release is still open, the commands that resume it and abort it are printed last.
  - It works beside any stdout callback. Beside one that prints JSON its lines go to standard error.
  - Set as the stdout callback itself (E(ANSIBLE_STDOUT_CALLBACK)) it shows the release and what failed, and nothing else of Ansible's own lines.
requirements:
  - enabled with C(callbacks_enabled = progressive.delivery.progress) in ansible.cfg, or by E(ANSIBLE_CALLBACKS_ENABLED)
"""

import atexit
import os
import sys
from typing import Any

from ansible import constants as C
from ansible.plugins.callback import CallbackBase

from ansible_collections.progressive.delivery.plugins.module_utils.core.report.journal import parse
from ansible_collections.progressive.delivery.plugins.module_utils.core.report.note import Note, notes
from ansible_collections.progressive.delivery.plugins.module_utils.core.report.view import View, view
from ansible_collections.progressive.delivery.plugins.module_utils.core.report.wording import OPEN_OUTCOMES
from ansible_collections.progressive.delivery.plugins.module_utils.core.tree import tree


class CallbackModule(CallbackBase):
    """Reads the journal named in a result's ``progressive_delivery`` and prints what it tells."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "progressive.delivery.progress"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._printed: dict[str, list[str]] = {}
        self._last: dict[str, Note] = {}
        self._process = os.getpid()
        self._alone = self.CALLBACK_NAME == C.DEFAULT_STDOUT_CALLBACK
        atexit.register(self._at_exit)

    def v2_runner_on_ok(self, result: Any) -> None:
        self._guarded(result)

    def v2_runner_item_on_ok(self, result: Any) -> None:
        """A step: the loop over them is one task."""
        self._guarded(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._guarded(result)
        if self._alone and not ignore_errors:
            self._failure(result, "failed")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        if self._alone:
            self._failure(result, "unreachable")

    def v2_playbook_on_no_hosts_matched(self) -> None:
        """A play over no hosts is an ordinary part of a release."""

    def _failure(self, result: Any, how: str) -> None:
        """What failed, in one line, where no other callback says it: unless the tree has just said the same."""
        found = result.result if hasattr(result, "result") else result._result
        task, host = (result.task, result.host) if hasattr(result, "result") else (result._task, result._host)
        message = str(found.get("msg") or found.get("stderr") or "no message").strip()
        reason = message.split(": ", 1)[-1]
        if any(reason and reason in line for lines in self._printed.values() for line in lines):
            return
        mark = "\u2718" if _unicode() else "x"
        for line in f"{mark} {task.get_name()} {how} on {host}: {message}".splitlines():
            self._display.display(line, color=C.COLOR_ERROR, stderr=True)

    def _guarded(self, result: Any) -> None:
        """A release must never fail because it could not be shown."""
        try:
            for note in notes(result.result if hasattr(result, "result") else result._result):
                self._last[note.event_log] = note
                if note.print == "tree":
                    self._show(note)
        except Exception as error:  # noqa: BLE001  whatever it is, it is said, and the release goes on
            self._display.warning(f"progressive.delivery.progress could not show the release: {error}")

    def _show(self, note: Note) -> None:
        colour, unicode = _colour(), _unicode()
        lines = tree(_view(note), colour, unicode)
        if self._printed.get(note.event_log) != lines:
            self._printed[note.event_log] = lines
            self._say(["", *lines])

    def _say(self, lines: list[str]) -> None:
        for line in lines:
            self._display.display(line, stderr="json" in str(C.DEFAULT_STDOUT_CALLBACK))

    def _at_exit(self) -> None:
        """The two lines to type next, for every release this run leaves open."""
        if os.getpid() != self._process:
            return
        try:
            for note in self._last.values():
                seen = _view(note)
                outcome = seen.outcome.outcome if seen.outcome else note.outcome
                # A pause is decided by promote; resume would only pause again.
                go_on = "promote" if outcome == "paused" else "resume"
                commands = [(go_on, seen.resume_command.replace(".resume", f".{go_on}")), ("abort", seen.abort_command)]
                if outcome in OPEN_OUTCOMES and any(command for _verb, command in commands):
                    place = f" at {seen.position}" if seen.position else ""
                    self._say([f"{seen.release.name or 'The release'} is {outcome or 'not finished'}{place}. To go on or to go back, type:"])
                    self._say([f"  {verb + ':':8} {command}" for verb, command in commands if command])
        except Exception as error:  # noqa: BLE001  the interpreter is ending: say it and end
            self._display.warning(f"progressive.delivery.progress could not say what to do next: {error}")


def _view(note: Note) -> View:
    with open(note.event_log, encoding="utf-8", errors="replace") as journal:
        return view(parse(journal.read()), resume_command=note.resume_command, abort_command=note.abort_command)


def _colour() -> bool:
    if C.ANSIBLE_NOCOLOR or os.environ.get("NO_COLOR"):
        return False
    return bool(C.ANSIBLE_FORCE_COLOR) or sys.stdout.isatty()


def _unicode() -> bool:
    """Whether the person's locale and the stream can show more than ASCII. (Python makes UTF-8 out of C for itself, so it is not asked.)"""
    if "utf" not in (getattr(sys.stdout, "encoding", "") or "").lower():
        return False
    wanted = os.environ.get("LC_ALL") or os.environ.get("LANG") or "unset"
    return wanted not in ("C", "POSIX")
