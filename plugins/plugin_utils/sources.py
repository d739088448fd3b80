# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user gave to ansible-playbook: where in those files a variable stands, and what another ansible-playbook needs to be given too."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml
from ansible import constants as C
from ansible.errors import AnsibleError
from ansible.parsing.splitter import parse_kv

CONNECTION = (
    ("-u", "remote_user", C.DEFAULT_REMOTE_USER), ("--private-key", "private_key_file", C.DEFAULT_PRIVATE_KEY_FILE),
    ("-k", "ask_pass", C.DEFAULT_ASK_PASS), ("--connection-password-file", "connection_password_file", C.CONNECTION_PASSWORD_FILE),
    ("-b", "become", C.DEFAULT_BECOME), ("--become-method", "become_method", C.DEFAULT_BECOME_METHOD), ("--become-user", "become_user", None),
    ("-K", "become_ask_pass", C.DEFAULT_BECOME_ASK_PASS), ("--become-password-file", "become_password_file", C.BECOME_PASSWORD_FILE),
    ("-J", "ask_vault_pass", C.DEFAULT_ASK_VAULT_PASS),
)
"""Options without which hosts could not be reached, or files not be read: how each is written, its name in CLIARGS, what it is by itself."""


def release_files(extra_vars: Iterable[str]) -> list[str]:
    """The files given as ``-e @file``."""
    return [os.path.expanduser(item[1:]) for item in extra_vars if isinstance(item, str) and item.startswith("@")]


def repeated(cli: Mapping[str, Any], runner: str = "") -> list[str]:
    """The arguments of this ansible-playbook that one which resumes or aborts the release needs too. Paths are as short as they can be.

    ``runner``: the artifacts' folder of ansible-runner (and so of AWX), whose inventory and variables are gone when the job is.
    """
    private = os.path.dirname(os.path.dirname(os.path.abspath(runner))) if runner else ""
    gone = tuple(os.path.join(private, name) + os.sep for name in ("inventory", "env")) if runner else ()
    inventories = [str(source) for source in cli.get("inventory") or ()]
    given = [("-i", source, "") for source in inventories if inventories != [str(source) for source in C.DEFAULT_HOST_LIST]]
    given += [("-e", item[1:], "@") for item in cli.get("extra_vars") or () if isinstance(item, str) and item.startswith("@")]
    given += [("--vault-id", str(item), "") for item in cli.get("vault_ids") or ()]
    given += [("--vault-password-file", str(item), "") for item in cli.get("vault_password_files") or ()]
    result: list[str] = []
    for option, value, mark in given:
        if not f"{value}{os.sep}".startswith(gone):
            result += [option, mark + _shortest(value)]
    for option, name, default in CONNECTION:
        chosen = cli.get(name)
        if chosen and chosen != default:
            result += [option] if chosen is True else [option, _shortest(str(chosen))]
    return result


def _shortest(path: str) -> str:
    return min(path, os.path.relpath(path), key=len) if os.path.isabs(path) else path


def left_out(extra_vars: Iterable[Any]) -> list[str]:
    """Names of the variables given as ``-e name=value`` or ``-e '{...}'``. Their values may be secrets, so nobody repeats them."""
    names: dict[str, None] = {}
    for item in extra_vars:
        try:
            found = yaml.safe_load(item) if str(item).startswith(("{", "[")) else {} if str(item).startswith("@") else parse_kv(str(item))
        except (AnsibleError, yaml.YAMLError):
            continue
        names.update(dict.fromkeys(str(name) for name in found if not str(name).startswith("_")))
    return list(names)


def inventory_folders(sources: Iterable[str]) -> list[str]:
    """Where relative paths begin: the folders of the inventories given with ``-i``. The implicit localhost knows of none itself."""
    found = [os.path.abspath(source) for source in sources if "," not in source and os.path.exists(source)]
    return list(dict.fromkeys(source if os.path.isdir(source) else os.path.dirname(source) for source in found))


def whereabouts(path: str, files: Iterable[str]) -> str:
    """``shop.yml:7`` for a path such as ``rollout_steps[2].set_weight``; '' when no file holds it."""
    parts: list[str | int] = [int(index) if index else name for name, index in re.findall(r"([A-Za-z0-9_-]+)|\[(\d+)\]", path)]
    if not parts or not str(parts[0]).startswith("rollout_"):
        return ""
    for name in files:
        try:
            with open(name, encoding="utf-8") as handle:
                node = yaml.compose(handle, Loader=yaml.SafeLoader)
        except (OSError, ValueError, yaml.YAMLError):
            continue
        line = _line(node, parts)
        if line:
            return f"{os.path.basename(name)}:{line}"
    return ""


def _line(node: yaml.Node | None, parts: list[str | int]) -> int:
    """The line of the deepest part that exists; 0 when even the first does not."""
    line = 0
    for part in parts:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == part), None)
            if found is None:
                return line
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            return line
    return line
