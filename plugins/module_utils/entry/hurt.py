# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What users felt, as the data plane counted it between the beginning and the end of a release."""

from __future__ import annotations

from typing import Any, Optional

from ..core.errors import DeliveryError
from ..core.model import Capability, Observation
from .run import Run


def counted(current: Run) -> dict[str, Any]:
    """The counters now, to be kept in the record; empty where the plane does not count."""
    now = _observed(current)
    return {} if now is None else {"epoch": now.epoch, "requests": dict(now.requests), "failed": dict(now.failed)}


def hurt(current: Run) -> tuple[Optional[int], Optional[int]]:
    """(failed, all) requests since the release began; None where the plane did not count, or began anew meanwhile."""
    start = current.record.counters
    now = _observed(current) if start else None
    if now is None or start["epoch"] != now.epoch:
        return None, None
    total = sum(now.requests.values()) - sum(start["requests"].values())
    failed = sum(now.failed.values()) - sum(start["failed"].values())
    return (failed, total) if total >= 0 and failed >= 0 else (None, None)


def _observed(current: Run) -> Optional[Observation]:
    if not current.spec.get("router"):
        return None
    try:
        router = current.router()
        return router.observe(current.routes) if Capability.MEASURE in router.capabilities else None
    except DeliveryError:
        # A count for the report must never fail a release.
        return None
