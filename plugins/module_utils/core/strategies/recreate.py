# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recreate: every host at once, with downtime. For development."""

from __future__ import annotations

from ..plan import Kind, Step
from .brief import Brief
from .transfer import short


def steps(brief: Brief) -> tuple[str, list[Step]]:
    """(slot that is stable afterwards, steps)."""
    hosts = tuple(brief.home[brief.live])
    result = [Step(f"deploy {short(hosts) or brief.live}", Kind.DEPLOY, hosts=hosts, track=brief.live, version=brief.version)]
    if brief.health:
        result.append(Step(f"health {short(hosts) or brief.live}", Kind.HEALTH, hosts=hosts, track=brief.live))
    result.append(Step("promote", Kind.PROMOTE))
    return brief.live, result
