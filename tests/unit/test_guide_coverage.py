# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of the guide's snippets is whole, and what it names is there."""

from __future__ import annotations

import re
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = CHECKOUT / "docs" / "guide-coverage.md"
SNIPPETS = {
    "1.2": 1, "2.1": 1, "2.2": 1, "2.3": 2, "3.1": 1, "3.2": 1, "3.3": 3, "3.4": 1, "4.1": 1, "4.2": 1, "4.3": 1, "4.4": 1,
    "5.1": 1, "5.2": 1, "5.3": 1, "5.4": 1, "6.2": 2, "6.3": 1, "7.2": 2, "7.3": 1, "7.4": 1, "8.2": 1, "8.3": 1,
}  # fmt: skip
"""Section of the guide to its number of snippets."""


def rows() -> list[list[str]]:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if re.match(r"\| \d", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_snippet_has_its_row() -> None:
    assert [int(row[0]) for row in rows()] == list(range(1, sum(SNIPPETS.values()) + 1))
    counted = [row[1] for row in rows()]
    assert counted == [section for section, number in SNIPPETS.items() for _each in range(number)]


def test_what_is_named_is_there() -> None:
    for number, _section, _snippet, here, shown, page in rows():
        for path in re.findall(r"`((?:examples|tests|templates)/[^` ]+)`", f"{here} {shown}"):
            assert (CHECKOUT / path).exists(), f"row {number}: {path}"
        for link in re.findall(r"\]\(([^)]+)\)", f"{here} {page}"):
            assert (CHECKOUT / "docs" / link).exists(), f"row {number}: {link}"
        for playbook in re.findall(r"playbook `(\w+)`", here):
            assert (CHECKOUT / "playbooks" / f"{playbook}.yml").exists(), f"row {number}: {playbook}"
