# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The site of the playbook tests, here as well."""

from __future__ import annotations

from ansible_collections.progressive.delivery.tests.matrix import conftest as matrix

site = matrix.site
