# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fold the log of a GitLab job into one section a step of the release."""

from __future__ import annotations

DOCUMENTATION = """
name: gitlab
type: aggregate
short_description: Folds the log of a GitLab job into one section a step
version_added: "1.0.0"
author: the progressive.delivery authors (@progressive-delivery)
description:
  - Puts the tasks of each step of a release into a collapsible section of the GitLab job log, with the step's name and duration.
  - Does nothing outside of GitLab CI, that is when E(GITLAB_CI) is not set.
  - A section is closed when the step's checkpoint reports. List this callback before P(progressive.delivery.progress#callback),
    and the tree stands between the sections, always visible.
options:
  collapsed:
    description: Whether the sections are folded when the log is opened.
    type: bool
    default: false
    env:
      - name: PROGRESSIVE_DELIVERY_GITLAB_COLLAPSED
    ini:
      - section: callback_progressive_delivery_gitlab
        key: collapsed
requirements:
  - enabled with C(callbacks_enabled = progressive.delivery.gitlab) in ansible.cfg, or by E(ANSIBLE_CALLBACKS_ENABLED)
"""

import os
import re
import time
from typing import Any

from ansible.plugins.callback import CallbackBase

from ansible_collections.progressive.delivery.plugins.module_utils.core.report.journal import parse
from ansible_collections.progressive.delivery.plugins.module_utils.core.report.note import Note, notes
from ansible_collections.progressive.delivery.plugins.module_utils.core.report.view import Row, view

CLEAR = "\r\033[0K"
"""Return and clear the line, so that GitLab's marks are not seen."""
NOTHING = ("", "")
"""Header and name of the section that comes when the release goes no further."""


class CallbackModule(CallbackBase):
    """Opens a section at the first task after a checkpoint, closes it at the next checkpoint."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "progressive.delivery.gitlab"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._open = ""
        self._coming = NOTHING
        self._opened = 0
        if not os.environ.get("GITLAB_CI"):
            self.disabled = True

    def v2_runner_on_ok(self, result: Any) -> None:
        self._guarded(result)

    def v2_runner_item_on_ok(self, result: Any) -> None:
        """A step: the loop over them is one task."""
        self._guarded(result)
        self._start()

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._guarded(result)

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self._start()

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        self._start()

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._end()

    def _guarded(self, result: Any) -> None:
        """A release must never fail because its log could not be folded."""
        try:
            for note in notes(result.result if hasattr(result, "result") else result._result):
                self._checkpoint(note)
        except Exception as error:  # noqa: BLE001  whatever it is, it is said, and the release goes on
            self._display.warning(f"progressive.delivery.gitlab could not fold the log: {error}")

    def _checkpoint(self, note: Note) -> None:
        with open(note.event_log, encoding="utf-8", errors="replace") as journal:
            seen = view(parse(journal.read()))
        row = None if seen.outcome or note.outcome else _next(seen.rows)
        coming = (f"{seen.release.name or 'release'} {row.label}", seen.release.name or "release") if row else NOTHING
        if coming != self._coming or not self._open:
            self._end()
            self._coming = coming

    def _start(self) -> None:
        if self._coming == NOTHING or self._open:
            return
        header, name = self._coming
        self._opened += 1
        self._open = re.sub(r"[^A-Za-z0-9_.-]+", "_", f"pd_{name}_{self._opened}")
        folded = "[collapsed=true]" if self.get_option("collapsed") else ""
        self._display.display(f"section_start:{int(time.time())}:{self._open}{folded}{CLEAR}{header}")

    def _end(self) -> None:
        if self._open:
            self._display.display(f"section_end:{int(time.time())}:{self._open}{CLEAR}")
            self._open = ""


def _next(rows: tuple[Row, ...]) -> Row | None:
    """The step that is being worked on, or the one that comes next."""
    return next((row for row in rows if row.state == "current"), None) or next((row for row in rows if row.state == "todo"), None)
