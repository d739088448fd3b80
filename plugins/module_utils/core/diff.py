# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each step of a plan changes in the routes, in the form that ``--diff`` prints."""

from __future__ import annotations

import json
from typing import Any

from .codec import encode
from .plan import Plan, apply


def changes(plan: Plan) -> list[dict[str, Any]]:
    """What each traffic step would change, in the form that ``--diff`` prints."""
    changes: list[dict[str, Any]] = []
    routes = plan.start
    for step in plan.steps:
        following = apply(routes, step, plan)
        if following != routes:
            changes.append({"before_header": f"before {step.name}", "after_header": f"after {step.name}",
                            "before": json.dumps(encode(routes), indent=1, sort_keys=True) + "\n",
                            "after": json.dumps(encode(following), indent=1, sort_keys=True) + "\n"})
        routes = following
    return changes
