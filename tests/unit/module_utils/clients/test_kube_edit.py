# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_edit import merge_patch
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_resources import SERVICES
from ansible_collections.progressive.delivery.tests.unit.kube_fake import FakeKube

leaves = st.integers(0, 3) | st.text("ab", max_size=2) | st.lists(st.integers(0, 2), max_size=2)
trees = st.recursive(leaves, lambda inner: st.dictionaries(st.text("ab", max_size=2), inner, max_size=3))
objects = st.dictionaries(st.text("abc", min_size=1, max_size=2), trees)


@given(objects, objects)
def test_a_patch_makes_the_one_the_other(before, after):
    kube = FakeKube()
    kube.put(SERVICES, {"metadata": {"name": "shop"}, "spec": before})
    patch = merge_patch(before, after)
    assert bool(patch) == (before != after)
    assert kube.patch(SERVICES, "shop", {"spec": patch})["spec"] == after
