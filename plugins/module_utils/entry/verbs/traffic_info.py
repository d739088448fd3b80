# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where requests go now, and what the data plane counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...core.codec import encode
from ...core.options import Options
from .. import build
from ..context import Context
from .traffic import ROUTER

OPTIONS: Options = {**ROUTER}


def run(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Returns ``routes``, ``observation`` and what the router can do."""
    tracks = {track: tuple(servers) for track, servers in (params.get("tracks") or {}).items()}
    router = build.router(params["router"], tracks, context)
    routes = router.read()
    return {"changed": False, "routes": encode(routes), "observation": encode(router.observe(routes)),
            "capabilities": sorted(item.value for item in router.capabilities), "resolution": router.resolution}
