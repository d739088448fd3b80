# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs on a host: release folders with a link, switched at once and pruned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...clients.release_dir import ReleaseDir
from ...core.options import Option, Options
from ..context import Context

OPTIONS: Options = {
    "base": Option("path", "Folder that holds releases/ and the link current.", required=True),
    "version": Option("str", "The release that current must point to; its folder must be there.", required=True),
    "keep_releases": Option("int", "Old releases to keep.", default=5, minimum=1),
}


def run(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Point ``current`` at the version and remove what is too old."""
    folder = ReleaseDir(params["base"])
    before = folder.current()
    unwanted = folder.unwanted(params["version"], int(params["keep_releases"]))
    changed = before != params["version"] or bool(unwanted)
    if changed and not context.check_mode:
        folder.switch(params["version"])
        folder.remove(unwanted)
    state = {"before": {"version": before}, "after": {"version": params["version"]}}
    return {"changed": changed, **state, "removed": unwanted, "diff": state}
