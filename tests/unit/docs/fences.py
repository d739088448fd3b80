# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages of the documentation, and the fences on them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
DOCS = CHECKOUT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *(CHECKOUT / "examples").rglob("*.md"), *(path for path in CHECKOUT.glob("*.md") if path.stem != "CHANGELOG")])


@dataclass(frozen=True)
class Fence:
    """A fenced block: what it says that it is, and its text without what it is indented by."""

    path: Path
    line: int
    info: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.path.relative_to(CHECKOUT)}:{self.line}"


def fences(path: Path) -> Iterator[Fence]:
    """Every fence of a page, from top to bottom."""
    lines = path.read_text(encoding="utf-8").splitlines()
    number = 0
    while number < len(lines):
        opened = re.match(r"( *)(```+|~~~+)(.*)", lines[number])
        if opened:
            indent, marks, info = opened.groups()
            end = next((at for at in range(number + 1, len(lines)) if re.fullmatch(rf" *{marks[0]}{{{len(marks)},}} *", lines[at])), len(lines))
            yield Fence(path, number + 1, info.strip(), "".join(f"{line[len(indent) :]}\n" for line in lines[number + 1 : end]))
            number = end
        number += 1


def prose(path: Path) -> str:
    """A page without its fences, each of which leaves its lines empty."""
    lines = path.read_text(encoding="utf-8").splitlines()
    for fence in fences(path):
        size = fence.text.count("\n")
        lines[fence.line - 1 : fence.line + size + 1] = [""] * len(lines[fence.line - 1 : fence.line + size + 1])
    return "\n".join(lines)


ALL = [fence for page in PAGES for fence in fences(page)]
