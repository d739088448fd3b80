# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run does in its last seconds when it was told to end."""

from __future__ import annotations

from typing import Any

from ..core.advance import Result, Seen
from ..core.codec import encode
from ..core.errors import DeliveryError
from ..core.plan import TRAFFIC, Kind
from . import build
from .context import Context
from .finish import close
from .run import Run

WHY = "this run was told to end"


def interrupt(current: Run, context: Context) -> dict[str, Any]:
    """Record that the run stopped here, and give the lease back so that nobody has to wait for it. Returns what is to be noted of that.

    With ``rollout_on_interrupt: abort`` stable gets its traffic back first, as far as that needs no deploy: hosts that must
    be taken back wait for ``resume``, which finds the release on its way back.
    """
    if current.record.outcome is None and current.spec.get("on_interrupt") == "abort" and not current.record.promoted:
        current.advance(Seen(current.record.position, Result.ABORTED, WHY, back=current.record.back))
        while current.step is not None and (current.step.kind in TRAFFIC or current.step.kind is Kind.HEALTH):
            if current.step.kind in TRAFFIC and not _written(current, context):
                break
            current.advance(Seen(current.record.position, Result.DONE, back=current.record.back))
    if current.record.outcome is None:
        current.advance(Seen(current.record.position, Result.INTERRUPTED, WHY, back=current.record.back))
    # A release that goes on is counted when it ends.
    return close(current, counted=not current.record.running).noted(current)


def _written(current: Run, context: Context) -> bool:
    """Whether the load balancer took the step's routes. If it did not, ``resume`` finds the rest."""
    spec, before, want = current.spec["router"], current.routes, current.target
    router = current.router()
    try:
        router.write(want)
    except DeliveryError as error:
        context.say(f"{current.label}: {error}")
        return False
    current.event("write", step=current.index, target=build.written(router, spec), before=encode(before), after=encode(want), fence=current.session.fence)
    return True
