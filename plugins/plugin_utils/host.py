# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Another host of the inventory, reached from within one task by that host's own Ansible connection."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from ansible import constants as C
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import become_loader, connection_loader

from ..module_utils.core import errors


class Host:
    """Runs modules of this collection on one host. Connects once, at the first call."""

    def __init__(self, action: ActionBase, task_vars: Mapping[str, Any], name: str) -> None:
        self.name = name
        self._action = action
        self._task_vars = task_vars
        found = (task_vars.get("hostvars") or {}).get(name)
        if found is None:
            raise errors.ConfigError(f"the inventory has no host {name!r}", where="hosts")
        self.variables = {key: found[key] for key in found if str(key).startswith("ansible_") or key == "inventory_hostname"}
        self._ready: ActionBase | None = None

    @property
    def transport(self) -> str:
        chosen = str(self.variables.get("ansible_connection") or C.DEFAULT_TRANSPORT)
        return "ssh" if chosen == "smart" else chosen

    @property
    def become(self) -> bool:
        """Whether modules run as another user there. What an INI inventory or C(-e) says is text: false, no."""
        return bool(boolean(self.variables.get("ansible_become") or False, strict=False))

    def run(self, module: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """The module's result. Raises Unavailable for a host that does not answer, and what the module raised there."""
        try:
            if self._ready is None:
                self._ready = self._connected()
            variables = {key: value for key, value in self._task_vars.items() if not str(key).startswith("ansible_")}
            result: dict[str, Any] = self._ready._execute_module(module_name=module, module_args=arguments, task_vars={**variables, **self.variables})
        except (AnsibleConnectionFailure, AnsibleError) as error:
            raise errors.Unavailable(f"cannot be reached: {error}", where=self.name) from None
        if result.get("unreachable"):
            raise errors.Unavailable(f"cannot be reached: {result.get('msg', '')}", where=self.name)
        if result.get("failed"):
            kind = getattr(errors, str(result.get("error", "")), errors.Unavailable)
            raise _made(kind, str(result.get("msg") or result.get("module_stderr") or "the module failed"), self.name)
        return result

    def _connected(self) -> ActionBase:
        """A copy of our action that speaks to this host instead of the task's."""
        play_context = self._action._play_context.copy()
        play_context.remote_addr = str(self.variables.get("ansible_host") or self.name)
        play_context.connection = self.transport
        connection = connection_loader.get(self.transport, play_context, None)
        if connection is None:
            raise errors.Unavailable(f"there is no connection plugin {self.transport!r}", where=self.name)
        become = None
        if self.become:
            become = become_loader.get(str(self.variables.get("ansible_become_method") or C.DEFAULT_BECOME_METHOD))
        connection.set_become_plugin(become)
        for kind, plugin in (("connection", connection), ("shell", connection._shell), ("become", become)):
            if plugin is not None:
                names = C.config.get_plugin_vars(kind, plugin._load_name)
                plugin.set_options(var_options={name: self.variables[name] for name in names if name in self.variables})
        task = self._action._task.copy()
        task.delegate_to = None
        other = copy.copy(self._action)
        other._connection, other._play_context, other._task = connection, play_context, task
        return other


def _made(kind: Any, message: str, host: str) -> errors.DeliveryError:
    if isinstance(kind, type) and issubclass(kind, errors.DeliveryError) and kind is not errors.MissingDependency:
        made: errors.DeliveryError = kind(message, where=host)
        return made
    return errors.Unavailable(message, where=host)
