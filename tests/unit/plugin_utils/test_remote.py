# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On which host a port is built."""

from __future__ import annotations

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.stores.kubernetes import KubernetesStore
from ansible_collections.progressive.delivery.plugins.plugin_utils.host import Host
from ansible_collections.progressive.delivery.plugins.plugin_utils.remote import Remote, is_here


def test_the_host_of_an_api_server_is_no_inventory_host():
    store = Remote(None, {}).store({"kubernetes": {"host": "https://10.0.0.1:6443", "api_key": "t"}}, "shop")
    assert isinstance(store, KubernetesStore)


@pytest.mark.parametrize(("said", "here"), [(None, True), (False, True), ("false", True), ("no", True), ("", True), (True, False), ("yes", False)])
def test_a_host_whose_inventory_says_become_in_words_is_understood(said, here):
    variables = {"ansible_connection": "local"} | ({} if said is None else {"ansible_become": said})
    assert is_here(Host(None, {"hostvars": {"lb": variables}}, "lb")) is here
