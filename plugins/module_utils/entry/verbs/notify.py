# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell receivers something by hand, in the words and formats that a release uses. A receiver that does not listen fails nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ...core.errors import ConfigError
from ...core.notify.notice import EVENTS, Notice
from ...core.options import Option, Options
from ...core.units import iso
from .. import notifying
from ..context import Context

OPTIONS: Options = {
    "targets": Option("list", "Who is told, as in C(rollout_notify): each item has exactly one key, the kind of receiver.", elements="dict", required=True,
                      options=notifying.TARGETS, one_of=True),
    "name": Option("name", "The service.", required=True),
    "version": Option("str", "Its version.", required=True),
    "event": Option("str", "What happened. It decides the colour, and which receivers are told.", required=True, choices=tuple(EVENTS)),
    "headline": Option("str", "A headline instead of the usual one."),
    "reason": Option("str", "One sentence more."),
    "url_allow": Option("list", "Host patterns that receivers are limited to.", elements="str"),
}


def run(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Returns ``deliveries``, a dict for everybody who was told or could not be. Raises ConfigError for receivers that can never be told."""
    targets = notifying.read(params["targets"], "targets")
    within = params.get("url_allow") or ()
    notifying.check(targets, within, "targets")
    if not params["version"].strip():
        raise ConfigError("version is empty", where="version")
    if context.check_mode:
        return {"changed": False, "deliveries": []}
    now = time.time()
    notice = Notice(params["event"], params["name"], params["version"], iso(now), reason=params.get("reason") or "", who=context.who,
                    message=params.get("headline") or "")
    found = notifying.send(targets, notice, within, stamp=int(now))
    notifying.told(found, context, params["name"])
    return {"changed": any(item.delivered for item in found),
            "deliveries": [{"where": item.where, "delivered": item.delivered, "reason": item.reason} for item in found]}
