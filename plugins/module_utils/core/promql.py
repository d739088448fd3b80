# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Just enough of PromQL to know which series a query reads: its vector selectors. Pure.

The server answers an expression with the time of evaluation, not with the time of the newest sample; how old the data is can only be asked
of the selectors themselves (``timestamp(selector)``).
"""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"(?P<space>\s+|#[^\n]*)"
    r"|(?P<braces>\{(?:[^{}\"'`]|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|`[^`]*`)*\})"
    r"|(?P<text>\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|`[^`]*`)"
    r"|(?P<range>\[[^\]]*\])"
    r"|(?P<number>(?:\d[\w.]*|\.\d[\w]*))"
    r"|(?P<name>[a-zA-Z_:][\w:]*)"
    r"|(?P<sign>.)",
    re.DOTALL,
)
_LISTS = ("by", "group_left", "group_right", "ignoring", "on", "without")
_KEYWORDS = (*_LISTS, "and", "atan2", "bool", "end", "inf", "nan", "offset", "or", "start", "unless")


def selectors(query: str) -> list[str]:
    """The vector selectors of ``query`` without range, offset and ``@``, each once, in order: ``['a{x="1"}', 'b']``."""
    tokens = [(match.lastgroup or "", match[0]) for match in _TOKEN.finditer(query) if match.lastgroup != "space"]
    found: list[str] = []
    index = 0
    while index < len(tokens):
        kind, text = tokens[index]
        following = tokens[index + 1] if index + 1 < len(tokens) else ("", "")
        index += 1
        if kind == "name" and text.lower() in _KEYWORDS:
            if text.lower() in _LISTS and following[1] == "(":
                while index < len(tokens) and tokens[index][1] != ")":
                    index += 1
        elif kind == "name" and following[0] == "braces":
            found.append(text + following[1])
            index += 1
        elif kind == "braces" or (kind == "name" and following[1] != "(" and following[1].lower() not in ("by", "without")):
            found.append(text)
    return list(dict.fromkeys(found))
