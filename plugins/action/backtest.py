# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import backtest
from ansible_collections.progressive.delivery.plugins.plugin_utils.base_action import DeliveryAction


class ActionModule(DeliveryAction):
    """Adds the release's variables, which only the controller sees."""

    verb = backtest
    ships = False

    def prepare(self, params: dict[str, Any], task_vars: Mapping[str, Any]) -> dict[str, Any]:
        if params["variables"] is None:
            names = [name for name in task_vars if name.startswith("rollout_")]
            params["variables"] = {name: self._templar.template(task_vars[name]) for name in names}
        return params
