# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module half of a verb: options, one call, one result. Runs where Ansible puts it."""

from __future__ import annotations

import getpass
import socket
from types import ModuleType
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..clients.clock import SystemClock
from ..core.errors import DeliveryError
from ..core.options import argument_spec, given
from .context import Context


def who() -> str:
    """Who runs this, as user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def main(verb: ModuleType) -> None:
    """Run ``verb`` (a module of ``entry/verbs`` with OPTIONS and run) as an Ansible module."""
    module = AnsibleModule(argument_spec=argument_spec(verb.OPTIONS), supports_check_mode=True)
    context = Context(clock=SystemClock(), check_mode=module.check_mode, who=who())
    try:
        result: dict[str, Any] = verb.run({**dict.fromkeys(verb.OPTIONS), **given(module.params)}, context)
    except DeliveryError as error:
        module.fail_json(msg=str(error), error=type(error).__name__)
    module.exit_json(**result)
