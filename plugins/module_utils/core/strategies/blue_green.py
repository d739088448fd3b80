# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Blue-green: the new version is complete beside the old one, is tested there, and takes all traffic in one switch.

The old colour stays untouched until the post-promotion analysis and the scale-down delay are over, so that the way back is one switch too.
"""

from __future__ import annotations

from ..capacity import carries
from ..errors import ConfigError
from ..model import FULL
from ..plan import GateSpec, Kind, Step
from .brief import Brief
from .transfer import short


def steps(brief: Brief) -> tuple[str, list[Step]]:
    """(slot that is stable afterwards, steps)."""
    live, spare = brief.live, brief.spare
    hosts = tuple(brief.home.get(spare, ()))
    if not hosts:
        raise ConfigError("the idle colour has no hosts", where="rollout_workload.pool.canary", do="Blue-green needs a second group of hosts.")
    if carries(len(hosts), len(brief.home[live])) < FULL and not brief.allow_overload:
        raise ConfigError(
            f"the idle colour has {len(hosts)} hosts, the active one {len(brief.home[live])}: it cannot carry everything",
            where="rollout_workload.pool", do="Make both groups equally large, or set rollout_allow_overload: true.",
        )
    options = brief.options
    result: list[Step] = []
    if not brief.present:
        result.append(Step(f"deploy {short(hosts) or spare}", Kind.DEPLOY, hosts=hosts, track=spare, version=brief.version))
    if brief.health:
        result.append(Step(f"health {short(hosts) or spare}", Kind.HEALTH, hosts=hosts, track=spare))
    # The steps of a canary, run as blue-green: its bakes would watch an idle colour, so only its hooks and gates are kept.
    staged = any(spec.weight is not None for spec in brief.steps)
    result.extend(spec.step for spec in brief.steps if spec.step is not None and not (staged and spec.step.kind is Kind.BAKE))
    if not options.get("auto_promotion_enabled", True):
        result.append(Step('gate "switch"', Kind.GATE, gate=GateSpec("switch", timeout=options.get("auto_promotion_seconds"), on_timeout="promote")))
    elif options.get("auto_promotion_seconds"):
        result.append(Step("wait before the switch", Kind.BAKE, duration=options["auto_promotion_seconds"], watch=False))
    result.append(Step("switch", Kind.WEIGHT, weight=FULL))
    post = options.get("post_promotion_seconds", 0.0)
    if post:
        result.append(Step("post-promotion bake", Kind.BAKE, duration=post, watch=brief.watch))
    result.append(Step("promote", Kind.PROMOTE))
    result.append(Step("clean up", Kind.CLEAN, track=spare))
    result.append(Step("retire the old version", Kind.RETIRE, track=live))
    return spare, result
