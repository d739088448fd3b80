# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings for every suite."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# No deadlines, and examples may take long to make: a busy machine is not a bug. In CI always the same examples, so that a red build is the change's doing.
settings.register_profile(
    "progressive", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=bool(os.environ.get("CI")), print_blob=True
)
settings.load_profile("progressive")
