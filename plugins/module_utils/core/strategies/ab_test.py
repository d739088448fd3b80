# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A/B: two variants serve side by side for a fixed share and time, then a person or a verdict says which one stays."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from ..plan import GateSpec, Kind, Step
from . import canary
from .brief import Brief, StepSpec

DEFAULT_SHARE = Fraction(50)
DEFAULT_DURATION = 7 * 86400.0


def steps(brief: Brief) -> tuple[str, list[Step]]:
    """(slot that is stable afterwards, steps)."""
    return canary.steps(as_canary(brief))


def as_canary(brief: Brief) -> Brief:
    """A canary with one long look and a decision before promotion."""
    share = Fraction(brief.options.get("share", DEFAULT_SHARE))
    duration = float(brief.options.get("max_duration", DEFAULT_DURATION))
    wanted = brief.steps or (
        StepSpec(weight=share, where="rollout_ab_test.share"),
        StepSpec(step=Step("experiment", Kind.BAKE, duration=duration)),
        StepSpec(step=Step('gate "winner"', Kind.GATE, gate=GateSpec("winner"))),
    )
    return replace(brief, steps=wanted)
