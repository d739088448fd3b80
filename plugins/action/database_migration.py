# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import database_migration
from ansible_collections.progressive.delivery.plugins.plugin_utils.base_action import DeliveryAction


class ActionModule(DeliveryAction):
    verb = database_migration
    ships = False
