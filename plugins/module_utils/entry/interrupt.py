# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run does in its last seconds when it was told to end."""

from __future__ import annotations

from ..core.advance import Result, Seen
from ..core.plan import TRAFFIC, Kind
from . import build
from .context import Context
from .run import Run

WHY = "the run was interrupted"


def interrupt(current: Run, context: Context) -> None:
    """Record that the run stopped here, and give the lease back so that nobody has to wait for it.

    With ``rollout_on_interrupt: abort`` stable gets its traffic back first, as far as that needs no deploy: hosts that must
    be taken back wait for ``resume``, which finds the release on its way back.
    """
    if current.record.outcome is None and current.spec.get("on_interrupt") == "abort" and not current.record.promoted:
        current.advance(Seen(current.record.position, Result.ABORTED, WHY, back=current.record.back))
        while current.step is not None and (current.step.kind in TRAFFIC or current.step.kind is Kind.HEALTH):
            if current.step.kind in TRAFFIC:
                build.router(current.spec["router"], current.tracks, context).write(current.target)
            current.advance(Seen(current.record.position, Result.DONE, back=current.record.back))
    if current.record.outcome is None:
        current.advance(Seen(current.record.position, Result.INTERRUPTED, WHY, back=current.record.back))
    current.session.release()
