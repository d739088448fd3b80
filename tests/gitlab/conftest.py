# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""gitlab-ci-local, for whoever starts pytest by hand: the stage has installed it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[1] / "tools" / "node_tools.py"


@pytest.fixture(scope="session", autouse=True)
def gitlab_ci_local() -> None:
    if "GITLAB_CI_LOCAL" not in os.environ:
        command = subprocess.run([sys.executable, str(TOOLS)], check=True, capture_output=True, text=True).stdout.splitlines()
        os.environ["GITLAB_CI_LOCAL"] = json.dumps(command)
