# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The example of a canary behind a Gateway, by ansible-playbook, before Istio's control plane and a real Envoy, with users all the while."""

from __future__ import annotations

import contextlib

from ansible_collections.progressive.delivery.tests.kubernetes.mesh_story import StoryShop, tell, watched


class Shop(StoryShop):
    example, kind, rules = "kubernetes-canary-gateway.yml", "gateway_api", "rules"


def test_a_good_canary_is_promoted_and_a_bad_one_taken_back_and_users_notice_the_bad_one_alone(cluster, namespace, mesh, tmp_path):
    with contextlib.closing(Shop(namespace, mesh)) as shop, watched(shop, cluster, tmp_path) as prometheus:
        tell(shop, shop.site(prometheus))
