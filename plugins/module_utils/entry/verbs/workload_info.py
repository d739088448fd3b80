# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which version a host runs, by its own account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...clients.version import READERS
from ...core.errors import ConfigError, Unavailable
from ...core.options import Option, Options
from ...core.target import fill, targets_from
from ...core.units import duration
from ..catalog import WORKLOADS
from ..context import Context

OPTIONS: Options = {
    "version_from": replace(WORKLOADS["pool"].OPTIONS["version_from"], required=True),
    "address": Option("str", "What C(${address}) in an address means. Default: the loopback.", default="127.0.0.1"),
    "host": Option("str", "What C(${host}) in an address means.", default="localhost"),
    "wanted": Option("str", "The version that it should run. Default: any."),
    "wait": Option("duration", "How long to ask again over HTTP and by a command, while there is no answer or another version than O(wanted).", default="0s"),
}

STARTING = ("http", "command")
"""Ways to ask that a service answers when it has started; a file or link says at once what there is."""
AGAIN = 1.0
"""Seconds between two questions."""


def run(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Returns ``version``; '' where a file or link does not exist yet."""
    given = {kind: value for kind, value in params["version_from"].items() if value}
    if len(given) != 1:
        raise ConfigError("exactly one of http, command, file and symlink is wanted", where="version_from")
    [(kind, value)] = given.items()
    if kind == "http":
        value = fill(value, *targets_from({params["host"]: params["address"]}, "address"), url=True)
    until = context.clock.now() + (duration(params.get("wait") or "0s") if kind in STARTING else 0.0)
    while True:
        left = until - context.clock.now()
        try:
            version = READERS[kind](value).strip()
            if left <= 0 or version == (params.get("wanted") or version):
                return {"changed": False, "version": version}
        except Unavailable:
            if left <= 0:
                raise
        context.clock.sleep(min(AGAIN, left))
