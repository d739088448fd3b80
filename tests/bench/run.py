# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bench: what things cost beside their peers, printed as tables. ``make bench``, or ``run.py tasks losses`` for some of it.

Nothing here is asserted: times belong to the machine. What must be 0, requests that fail, is also held by the integration tests.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import tempfile
import time
from pathlib import Path

from ansible_collections.progressive.delivery.examples.demo.proxy import envoy_binary
from ansible_collections.progressive.delivery.tests.bench import (
    envoy_changes,
    guide,
    guide_migration,
    kube_losses,
    kubernetes,
    losses,
    migrations,
    overhead,
    replies,
    served_migration,
    weights,
)
from ansible_collections.progressive.delivery.tests.integration.haproxy_rig import BINARY

PARTS = {
    "tasks": weights.as_tasks, "weights": weights.as_pools_grow, "envoy": envoy_changes.run, "losses": losses.run, "overhead": overhead.run,
    "kube_tasks": kubernetes.tasks, "kube_blue_green": kubernetes.blue_green, "kube_canary": kubernetes.canary, "kube_losses": kube_losses.run,
    "migrations": migrations.run, "replies": replies.run, "guide": guide.run, "guide_migration": guide_migration.run,
    "served_migration": served_migration.run,
}


def first_line(command: list[str]) -> str:
    text = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return text.splitlines()[0] if text else "missing"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition(".")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all of them when none is named")
    arguments = parser.parse_args()
    for part in arguments.parts:
        if part not in PARTS:
            parser.error(f"no part {part!r}: {', '.join(PARTS)}")
    haproxy = " ".join(first_line([BINARY, "-v"]).split()[:3])
    envoy = first_line([envoy_binary(), "--version"]).rpartition("version: ")[2].split("/")[1:2]
    print(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}, {haproxy}, "
          f"Envoy {envoy[0] if envoy else '?'}", flush=True)
    for part in arguments.parts or PARTS:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            PARTS[part](Path(folder))


if __name__ == "__main__":
    main()
