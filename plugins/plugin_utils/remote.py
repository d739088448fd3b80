# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports whose files or sockets live on another host: the same adapter, shipped there as a module, one Ansible connection per host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase

from ..module_utils.core.errors import ConfigError
from ..module_utils.core.ports import StateStore, TrafficRouter
from ..module_utils.entry import build


class Remote:
    """Builds ports for one task: right here where the host is this one, else over the host's own connection."""

    def __init__(self, action: ActionBase, task_vars: Mapping[str, Any]) -> None:
        self._action = action
        self._vars = task_vars

    def store(self, options: Mapping[str, Any], name: str) -> StateStore:
        self._only_here(options, "rollout_store")
        return build.local_store(options, name)

    def router(self, options: Mapping[str, Any], tracks: Mapping[str, tuple[str, ...]]) -> TrafficRouter:
        self._only_here(options, "rollout_router")
        return build.local_router(options, tracks)

    def _only_here(self, options: Mapping[str, Any], where: str) -> None:
        for kind, inner in options.items():
            host = (inner or {}).get("host")
            if host and str(self._hostvars(host).get("ansible_connection", "ssh")) != "local":
                raise ConfigError(f"{kind} on {host} is another machine", where=where, do="Use a path of the controller.")

    def _hostvars(self, host: str) -> Mapping[str, Any]:
        found = (self._vars.get("hostvars") or {}).get(host)
        return found or {}
