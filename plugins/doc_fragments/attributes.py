# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    """What every module of this collection supports."""

    DOCUMENTATION = r"""
options: {}
attributes:
  action:
    description: Runs on the controller where the backend can be reached from there, and is shipped to the host otherwise.
    support: full
  check_mode:
    description: Writes nothing in check mode and returns what would change.
    support: full
  diff_mode:
    description: Returns before and after.
    support: full
"""
