# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The peers' environment: community.general and kubernetes.core from the package ``ansible``, in the user's cache, so that an install happens once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ansible_collections.progressive.delivery.tests.tools import environments

BUNDLES = {(3, 11): "ansible>=12,<13", (3, 12): "ansible>=14,<15"}
"""The package ``ansible`` by Python version: the newest that runs there; later Pythons take the last one."""
LIBRARY = "kubernetes"
"""What kubernetes.core's modules import."""


def playbook() -> tuple[Path, bool, str]:
    """(ansible-playbook, whether community.general comes with it, versions). Without the package: our own ansible-playbook."""
    bundle = BUNDLES.get(sys.version_info[:2], BUNDLES[max(BUNDLES)])
    folder = environments.CACHE / f"bench-python{sys.version_info[0]}.{sys.version_info[1]}"
    program = folder / "bin" / "ansible-playbook"
    if not program.exists():
        print(f"Installing the peers, {bundle}, into {folder}: once, some minutes", flush=True)
    try:
        environments.build(folder, str(getattr(sys, "_base_executable", None) or sys.executable), [bundle, LIBRARY])
    except (subprocess.CalledProcessError, OSError) as error:
        print(f"peer missing: {bundle} cannot be installed ({error})", flush=True)
    found = program.exists()
    chosen = program if found else Path(sys.executable).with_name("ansible-playbook")
    python = chosen.with_name("python")
    ask = "import importlib.metadata as m; print(*(f'{n} {m.version(n)}' for n in ('ansible-core', 'ansible') if any(d.name == n for d in m.distributions())))"
    return chosen, found, subprocess.run([str(python), "-c", ask], capture_output=True, text=True, check=True).stdout.strip()
