# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node of ``tests/cluster``, or the cluster that PROGRESSIVE_DELIVERY_KUBECONFIG names, for this folder's suite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ansible_collections.progressive.delivery.tests.cluster import cluster as fixtures
from ansible_collections.progressive.delivery.tests.kubernetes import mesh_rig

cluster = fixtures.cluster
namespace = fixtures.namespace


@pytest.fixture(scope="session")
def mesh(cluster: fixtures.Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[mesh_rig.Mesh]:
    """Istio's control plane and its gateway, for all tests that ask for it."""
    with mesh_rig.mesh(cluster, tmp_path_factory.mktemp("mesh")) as made:
        yield made
