# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.kube_selector import labels_of, sibling


@pytest.mark.parametrize("labels, made", [
    ({"app": "shop", "track": "stable"}, {"app": "shop", "track": "canary"}),  # app is what a Service in front of both looks for
    ({"app": "shop"}, {"app": "shop-canary"}),
    ({"app": "other"}, None),
])
def test_the_label_that_names_the_slot_changes_and_what_both_have_in_common_stays(labels: dict[str, str], made: Any) -> None:
    template = {"metadata": {"labels": labels}, "spec": {"containers": []}}
    shop = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shop"}, "spec": {"selector": {"matchLabels": labels}, "template": template}}
    found = sibling(shop, "shop-canary", "shop-canary")
    assert (labels_of(found) if found else None) == made
