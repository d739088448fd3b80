# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every test has a site of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.progressive.delivery.tests.matrix.rig import Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Two stable hosts with version 1, two canary hosts, a router and no release yet."""
    return Site(tmp_path)
