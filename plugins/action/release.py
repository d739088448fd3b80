# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any, Optional

from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import release
from ansible_collections.progressive.delivery.plugins.plugin_utils.base_action import DeliveryAction


class ActionModule(DeliveryAction):
    """The steps of a release are the items of one task, so one process goes through them."""

    verb = release
    ships = False
    ended = False
    """Whether a step of this process ended the run: the items after it have nothing to add."""

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        a_step = self._task.args.get("operation") == "step"
        if a_step and ActionModule.ended:
            return {"changed": False, "skipped": True, "skip_reason": "this run has ended"}
        result = super().run(tmp, task_vars)
        ActionModule.ended = a_step and bool(result.get("failed"))
        return result
