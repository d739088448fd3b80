# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""100,000 broken replies of metric servers, made up at random: how long it takes to take them, and that each is numbers or an error of ours."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from ansible_collections.progressive.delivery.tests.bench import plays

N = int(os.environ.get("N", "100000"))
SUITE = Path(__file__).resolve().parents[1] / "contract" / "test_bad_replies.py"


def run(folder: Path) -> None:
    """The suite's own tests of made-up replies, with more of them."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(SUITE), "-k", "anything_anywhere or bytes_of"]
    began = time.perf_counter()
    done = subprocess.run(command, env={**os.environ, "PROGRESSIVE_REPLIES": str(N)}, cwd=folder, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"a reply was taken for what it is not:\n{done.stdout[-3000:]}")
    plays.table("Replies made up at random", ("", "replies", "s", "ms each", "neither numbers nor an error of ours"),
                [("all providers over HTTP", f"{N:,}", f"{seconds:.0f}", f"{1000 * seconds / N:.1f}", "0")])
