# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How an A/B test begins: rules first, then the users' own buckets, before there is a share that anybody could be left to."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from ..capacity import carries, needed
from ..errors import ConfigError
from ..model import STABLE
from ..plan import Kind, Step
from ..units import show_percent
from .brief import Brief, Scale, StepSpec


def assigned(brief: Brief, share: Fraction) -> Iterator[StepSpec]:
    """Nobody sees B before all of these are done but those whom a rule sends there, so that nobody changes sides."""
    if brief.options.get("named_only"):
        yield from _carried(brief, share)
    for rule in brief.options.get("rules") or ():
        variant = "A" if rule.track == STABLE else "B"
        yield StepSpec(step=Step(f"{rule.name} sees {variant}", Kind.MATCH, match=rule, bind=rule.name), where="rollout_ab_test.rules")
    assignment = brief.options.get("assignment")
    if assignment is not None:
        name = f"users split by {assignment.source} {assignment.name}"
        yield StepSpec(step=Step(name, Kind.ASSIGN, assignment=assignment), where="rollout_ab_test.assignment")


def _carried(brief: Brief, share: Fraction) -> Iterator[StepSpec]:
    """Weights stay at 0 where only named users see B; what carries them is made all the same."""
    if not brief.by_hosts:
        yield StepSpec(scale=Scale(weight=share), where="rollout_ab_test.share")
        return
    hosts = len(brief.home.get(brief.spare, ()))
    if share > carries(hosts, brief.full) and not brief.allow_overload:
        what = f"{show_percent(share)} needs {needed(share, brief.full)} hosts in the canary group, there are {hosts}"
        raise ConfigError(what, where="rollout_ab_test.share", do="Put more hosts into it, or set rollout_allow_overload: true.")
