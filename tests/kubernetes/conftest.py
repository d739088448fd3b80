# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node of ``tests/cluster``, or the cluster that PROGRESSIVE_DELIVERY_KUBECONFIG names, for this folder's suite."""

from __future__ import annotations

from ansible_collections.progressive.delivery.tests.cluster import cluster as fixtures

cluster = fixtures.cluster
namespace = fixtures.namespace
