# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbooks made on the spot, and how long each of their tasks took."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parents[2]
CALLBACKS = Path(__file__).with_name("callback_plugins")


@dataclass(frozen=True)
class Task:
    """One finished task on one host; ``began`` and ``ended`` in seconds of one clock."""

    task: str
    action: str
    status: str
    began: float
    ended: float
    msg: str

    @property
    def ms(self) -> float:
        return (self.ended - self.began) * 1000


def run(program: Path, folder: Path, playbook: str, arguments: Iterable[str] = (), **environment: str) -> list[Task]:
    """Run ansible-playbook and return its tasks in order. Raises SystemExit with the end of its output when it fails."""
    timings = folder / "timings.jsonl"
    collections = folder / "collections"
    link = collections / "ansible_collections" / "progressive" / "delivery"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(PACKAGE)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_") and name != "PYTHONPATH"}
    ended = subprocess.run(
        [str(program), "-i", "inventory.json", playbook, *arguments], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        env={**kept, "ANSIBLE_HOME": str(folder / "ansible"), "ANSIBLE_COLLECTIONS_PATH": str(collections), "ANSIBLE_PIPELINING": "True",
             "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS), "ANSIBLE_CALLBACKS_ENABLED": "timing", "BENCH_TIMINGS": str(timings),
             "ANSIBLE_LOCALHOST_WARNING": "False", "LC_ALL": "C.UTF-8", **environment})
    if ended.returncode:
        raise SystemExit(f"the bench's playbook failed:\n{ended.stdout[-3000:]}\n{ended.stderr[-1000:]}")
    return [Task(**json.loads(line)) for line in timings.read_text().splitlines()]


def write(folder: Path, plays: list[dict[str, Any]], hosts: Mapping[str, Mapping[str, Any]]) -> str:
    """Inventory and playbook; JSON is YAML. Every host is this machine."""
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    inventory = {"all": {"hosts": {name: {**local, **variables} for name, variables in {"localhost": {}, **hosts}.items()}}}
    (folder / "inventory.json").write_text(json.dumps(inventory))
    (folder / "play.yml").write_text(json.dumps(plays))
    return "play.yml"


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """A table that reads in a terminal and in Markdown."""
    lines = [[str(cell) for cell in row] for row in [list(columns), *map(list, rows)]]
    widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))]
    print(f"\n### {title}\n")
    for number, line in enumerate(lines):
        print("| " + " | ".join(cell.ljust(width) if not index else cell.rjust(width) for index, (cell, width) in enumerate(zip(line, widths))) + " |")
        if not number:
            print("|" + "|".join("-" * (width + 2) if not index else "-" * (width + 1) + ":" for index, width in enumerate(widths)) + "|")
    print(flush=True)


def spread(samples: list[float], digits: int = 0) -> tuple[str, str]:
    """(shortest, median), as text."""
    return f"{min(samples):,.{digits}f}", f"{statistics.median(samples):,.{digits}f}"
