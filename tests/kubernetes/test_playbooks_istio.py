# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The example of a canary in a VirtualService, by ansible-playbook, before Istio's control plane and a real Envoy, with users all the while.

Sessions are held as examples/releases/kubernetes-canary-sessions.yml says.
"""

from __future__ import annotations

import contextlib

import yaml

from ansible_collections.progressive.delivery.tests.kubernetes.istio_rig import IstioShop
from ansible_collections.progressive.delivery.tests.kubernetes.mesh_story import EXAMPLES, StoryShop, tell, watched


class Shop(StoryShop, IstioShop):
    example, kind, rules = "kubernetes-canary-istio.yml", "istio", "http"


def test_a_good_canary_is_promoted_and_a_bad_one_taken_back_and_users_notice_the_bad_one_alone(cluster, namespace, mesh, tmp_path):
    users = []
    sessions = yaml.safe_load((EXAMPLES / "kubernetes-canary-sessions.yml").read_text(encoding="utf-8"))["rollout_router"]["istio"]["affinity"]

    def one_pod_of_each_version():
        users.extend(shop.begin(8))
        assert all(len(pods) == 1 for user in shop.pods(users, 12) for pods in user.values()), "one Pod of each version, for each session"

    def one_pod_of_stable():
        assert all(set(user) == {"2"} and len(user["2"]) == 1 for user in shop.pods(users)), "no cookie leads to the bad one, and each to one Pod of stable"

    with contextlib.closing(Shop(namespace, mesh)) as shop, watched(shop, cluster, tmp_path) as prometheus:
        tell(shop, shop.site(prometheus, affinity=sessions), one_pod_of_each_version, one_pod_of_stable)
