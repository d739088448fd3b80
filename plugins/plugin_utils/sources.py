# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where in the user's files a variable stands, so that an error can name the line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

import yaml


def release_files(extra_vars: Iterable[str]) -> list[str]:
    """The files given as ``-e @file``."""
    return [os.path.expanduser(item[1:]) for item in extra_vars if isinstance(item, str) and item.startswith("@")]


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
