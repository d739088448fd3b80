# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

from ansible_collections.progressive.delivery.plugins.module_utils.core.options import documentation
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs.database_migration import OPTIONS


class ModuleDocFragment:
    """The options of database_migration, from the table that its argument spec is made of."""

    DOCUMENTATION: str = json.dumps({"options": documentation(OPTIONS)})  # annotated: ansible-test takes a plain assignment for a literal
