# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes when each task began and ended, as JSON lines, to the file that BENCH_TIMINGS names."""

from __future__ import annotations

import json
import os
import time

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: timing
type: aggregate
short_description: when each task began and ended
description: For the bench.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "timing"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._file = open(os.environ["BENCH_TIMINGS"], "w", buffering=1)  # noqa: SIM115  it lives as long as the process
        self._began = time.perf_counter()
        self._name = self._action = ""

    def v2_playbook_on_task_start(self, task, is_conditional) -> None:
        self._began, self._name, self._action = time.perf_counter(), task.name, task.action

    def v2_playbook_on_include(self, included_file) -> None:
        self._write("included", {})

    def v2_runner_on_ok(self, result) -> None:
        self._write("ok", result._result)

    def v2_runner_on_skipped(self, result) -> None:
        self._write("skipped", {})

    def v2_runner_on_failed(self, result, ignore_errors=False) -> None:
        self._write("failed", result._result)

    def _write(self, status: str, result: dict) -> None:
        entry = {"task": self._name, "action": self._action, "status": status, "began": self._began, "ended": time.perf_counter(), "msg": result.get("msg", "")}
        self._file.write(json.dumps(entry, default=str) + "\n")
