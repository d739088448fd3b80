# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A/B: two variants serve side by side for a fixed share until the test says which one stays, or, where nothing is counted, until a person does."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from ..plan import GateSpec, Kind, Step
from . import canary
from .assigned import assigned
from .brief import Brief, StepSpec

DEFAULT_SHARE = Fraction(50)
DEFAULT_DURATION = 7 * 86400.0
WINNER = "winner"
"""The gate at which a person decides; and what promotes without one."""


def steps(brief: Brief) -> tuple[str, list[Step]]:
    """(slot that is stable afterwards, steps)."""
    return canary.steps(as_canary(brief))


def as_canary(brief: Brief) -> Brief:
    """A canary with one long look, and a decision before promotion unless the test decides. The user's own steps come before the test."""
    share = Fraction(brief.options.get("share", DEFAULT_SHARE))
    duration = float(brief.options.get("max_duration", DEFAULT_DURATION))
    trial = bool(brief.options.get("trial"))
    wanted = [
        *assigned(brief, share),
        *brief.steps,
        *(() if brief.options.get("named_only") else [StepSpec(weight=share, where="rollout_ab_test.share")]),
        StepSpec(step=Step("experiment", Kind.BAKE, duration=duration, trial=trial)),
    ]
    if not trial or brief.options.get("promote") == "manual":
        wanted.append(StepSpec(step=Step(f'gate "{WINNER}"', Kind.GATE, gate=GateSpec(WINNER))))
    return replace(brief, steps=tuple(wanted))
