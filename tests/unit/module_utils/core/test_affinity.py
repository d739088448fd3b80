# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.affinity import AFFINITY, Cookie
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import check


def asked(**cookie):
    return Cookie.from_option(check({"cookie": cookie}, AFFINITY, "rollout_router.istio.affinity"), "istio")


def test_a_cookie_holds_for_an_hour_unless_something_else_is_said():
    assert asked(name="SRV") == Cookie("SRV", "", 3600)
    assert asked(name="SRV", path="/shop", ttl="0s") == Cookie("SRV", "/shop", 0)
    assert asked(name="a.b_c-1", ttl="1h30m").seconds == 5400
    assert Cookie.from_option(None, "istio") is None


@pytest.mark.parametrize(("cookie", "where", "said"), [
    ({}, "affinity.cookie", "name is missing"),
    ({"name": "a b"}, "affinity.cookie.name", "is not a name for a cookie"),
    ({"name": "a;Domain=evil"}, "affinity.cookie.name", "is not a name for a cookie"),
    ({"name": "a\n"}, "affinity.cookie.name", "is not a name for a cookie"),
    ({"name": "a", "path": "shop"}, "affinity.cookie.path", "is not the path of a cookie"),
    ({"name": "a", "path": "/;Secure"}, "affinity.cookie.path", "is not the path of a cookie"),
    ({"name": "a", "ttl": "1500ms"}, "affinity.cookie.ttl", "Whole seconds"),
    ({"name": "a", "ttl": "forever"}, "affinity.cookie.ttl", "is not a duration"),
    ({"nmae": "a"}, "affinity.cookie", "Did you mean name"),
])
def test_what_cannot_be_a_cookie_is_said_with_its_place(cookie, where, said):
    with pytest.raises(ConfigError, match=said) as caught:
        asked(**cookie)
    assert where in caught.value.where


def test_there_is_one_way_to_hold_sessions_and_it_has_to_be_named():
    with pytest.raises(ConfigError, match="cookie is missing"):
        check({}, AFFINITY, "affinity")
