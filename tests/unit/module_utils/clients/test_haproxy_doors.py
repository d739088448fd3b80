# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.haproxy_doors import open_doors
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Unavailable

ADDRESSES = {
    "ipv4@0.0.0.0:9999": True, "ipv4@10.0.0.5:9999": True, "ipv6@[::]:9999": True, "ipv6@[2001:db8::1]:9999": True,
    "ipv4@127.0.0.1:9999": False, "ipv4@127.0.0.2:9999": False, "ipv6@[::1]:9999": False, "unix@/nowhere/admin.sock": False, "abns@admin": False,
    "sockpair@5": False, "fd@3": False, "ipv4@localhost:9999": False, "nonsense": False,
}


class Plane:
    """Answers ``show cli sockets``."""

    endpoint, path = "lb1:9999", ""

    def __init__(self, answer):
        self._answer = answer

    def ask(self, commands):
        assert commands == ["show cli sockets"]
        if isinstance(self._answer, Exception):
            raise self._answer
        return [self._answer]


@pytest.mark.parametrize("address", ADDRESSES)
def test_only_admins_that_strangers_reach_are_named(address):
    found = open_doors(Plane(f"# socket lvl processes\n{address} admin all\n{address} operator all\n{address} user 1\n\n"))
    assert len(found) == ADDRESSES[address]
    assert all(address.partition("@")[2] in line and line.startswith("HAProxy lb1:9999: ") for line in found)


@pytest.mark.parametrize("answer", ["", "\n", "# socket lvl processes", "ipv4@0.0.0.0:1", Unavailable("silent"), ConfigError("Permission denied")])
def test_one_that_does_not_say_is_not_complained_about(answer):
    assert open_doors(Plane(answer)) == []
