# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which version a host runs, by its own account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...clients.version import READERS
from ...core.errors import ConfigError
from ...core.options import Option, Options
from ...core.target import fill, targets_from
from ..catalog import WORKLOADS
from ..context import Context

OPTIONS: Options = {
    "version_from": replace(WORKLOADS["pool"].OPTIONS["version_from"], required=True),
    "address": Option("str", "What C(${address}) in an address means. Default: the loopback.", default="127.0.0.1"),
    "host": Option("str", "What C(${host}) in an address means.", default="localhost"),
}


def run(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Returns ``version``; '' where a file or link does not exist yet."""
    given = {kind: value for kind, value in params["version_from"].items() if value}
    if len(given) != 1:
        raise ConfigError("exactly one of http, command, file and symlink is wanted", where="version_from")
    [(kind, value)] = given.items()
    if kind == "http":
        value = fill(value, *targets_from({params["host"]: params["address"]}, "address"), url=True)
    return {"changed": False, "version": READERS[kind](value).strip()}
