# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ansible import context as cli

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import DeliveryError
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import plan
from ansible_collections.progressive.delivery.plugins.plugin_utils.base_action import DeliveryAction
from ansible_collections.progressive.delivery.plugins.plugin_utils.sources import inventory_folders, left_out, release_files, repeated, whereabouts


class ActionModule(DeliveryAction):
    """Adds what only the controller sees: the release's variables, the inventory's groups and the hosts' addresses."""

    verb = plan
    ships = False

    def prepare(self, params: dict[str, Any], task_vars: Mapping[str, Any]) -> dict[str, Any]:
        if params["variables"] is None:
            names = [name for name in task_vars if name.startswith("rollout_")]
            params["variables"] = {name: self._templar.template(task_vars[name]) for name in names}
        hostvars = task_vars.get("hostvars", {})  # it is empty, and knows the implicit localhost all the same
        if params["groups"] is None:
            params["groups"] = {group: list(hosts) for group, hosts in (task_vars.get("groups") or {}).items()}
        if params["arguments"] is None:
            arguments = repeated(cli.CLIARGS, os.environ.get("AWX_ISOLATED_DATA_DIR", ""))
            # The user's own playbook says it: ours, which would be typed, would not know.
            known = "rollout_name" in hostvars.get(task_vars.get("inventory_hostname"), {})
            params["arguments"] = arguments if known else [*arguments, "-e", "@RELEASE.yml"]
        if params["left_out"] is None:
            params["left_out"] = left_out(cli.CLIARGS.get("extra_vars") or ())
        if params["folders"] is None:
            inventories = inventory_folders(task_vars.get("ansible_inventory_sources") or ())
            params["folders"] = [folder for folder in (*inventories, os.getcwd(), task_vars.get("playbook_dir")) if folder]
        if params["addresses"] is None:
            params["addresses"] = self._addresses(params, hostvars)
        return params

    def _addresses(self, params: Mapping[str, Any], hostvars: Mapping[str, Any]) -> dict[str, str]:
        """Where each host of the pool is asked. Only those: other hosts may lack the variables that theirs are made of."""
        workload = params["variables"].get("rollout_workload")
        pool = workload.get("pool") if isinstance(workload, Mapping) else None
        if not isinstance(pool, Mapping):
            return {}
        named = {key: value for key, value in pool.items() if isinstance(value, str) and value}  # what is no name is for the plan to refuse
        variable = named.get("address_variable", "ansible_host")
        hosts = [host for key in ("stable", "canary", "hosts") if key in named for host in params["groups"].get(named[key], [])]
        return {host: str(hostvars[host].get(variable, host)) for host in hosts if host in hostvars}

    def explained(self, error: DeliveryError) -> str:
        place = whereabouts(error.where, release_files(cli.CLIARGS.get("extra_vars") or ()))
        return f"{error}    {place}" if place else str(error)
