# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A/B tests by ansible-playbook whose users stay with their variant: HAProxy's own hash, Envoy's own hash, both under load without retries."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core import sticky
from ansible_collections.progressive.delivery.tests.contract.harness_haproxy import EXAMPLE
from ansible_collections.progressive.delivery.tests.integration.pool_rig import EnvoyShop, HaproxyShop, Shop, settled

GROUPS = {"blue": ("web1", "web2"), "green": ("web3", "web4")}
KEYS = [f"user-{number}" for number in range(200)]
VIP = {"name": "vip", "variant": "a", "match": [{"header_name": "user-tier", "header_value": {"exact": "vip"}}]}
NEW = {"name": "new", "variant": "b", "match": [{"header_name": "user-type", "header_value": {"exact": "new"}}]}


class SplitShop(HaproxyShop):
    """Each group is a backend of its own, behind the example's lines of configuration."""

    def __init__(self, folder: pathlib.Path) -> None:
        super().__init__(folder, GROUPS, by_map=True)

    def _body(self, folder: pathlib.Path) -> str:
        (folder / "split.map").write_text("shop 0:green:blue\n", encoding="utf-8")
        lines = EXAMPLE.read_text(encoding="utf-8").replace("/etc/haproxy/split.map", str(folder / "split.map")).replace("bind :80", "bind 127.0.0.1:{port}")
        _front, _backend, backends = super()._body(folder).partition("\nbackend ")
        return f"{lines}\nbackend {backends}"

    @property
    def router(self) -> dict[str, Any]:
        split = {"path": str(self.planes[0].folder / "split.map"), "key": "shop", "backends": {"stable": "blue", "canary": "green"},
                 "users": "cookie:user_id", "rules": ["header:user-tier", "header:user-type"]}  # fmt: skip
        return {"haproxy": {"endpoints": [self.planes[0].socket], "split": split}}


def asked(shop: Shop, share: int) -> None:
    shop.release["rollout_workload"]["pool"].update(stable="blue", canary="green")
    test = {"share": share, "max_duration": "2s", "promote": "manual", "rules": [VIP, NEW], "assignment": {"hash": {"cookie": "user_id"}}}
    shop.release.update(rollout_router=shop.router, rollout_strategy="ab_test", rollout_ab_test=test)


def seen(shop: Shop, keys: Iterable[str], **headers: str) -> list[str]:
    """The version that each user gets."""
    return [shop.answer(f"{shop.urls[0]}/", Cookie=f"user_id={key}", **headers)["version"] for key in keys]


def predicted(share: int) -> list[str]:
    return ["2" if sticky.is_candidate(key, "shop", Fraction(share)) else "1" for key in KEYS]


@pytest.mark.parametrize("make", [SplitShop, lambda folder: EnvoyShop(folder, GROUPS)], ids=["haproxy", "envoy"])
def test_users_stay_with_their_variant_until_somebody_decides(tmp_path: pathlib.Path, make: Any) -> None:
    with make(tmp_path) as shop:
        asked(shop, 40)
        paused = shop.run("ab_test", "2", "-e", "rollout_wait=exit")
        assert (paused.status, paused.outcome) == (0, "paused"), paused.text
        assert seen(shop, KEYS) == predicted(40)
        assert seen(shop, KEYS) == predicted(40)
        assert set(seen(shop, KEYS[:40], user_tier="vip")) == {"1"}
        assert set(seen(shop, KEYS[:40], user_type="new")) == {"2"}
        assert {shop.answer(f"{shop.urls[0]}/")["version"] for _each in range(40)} == {"1"}, "nobody is split who carries no key"
        done = shop.run("promote", "2")
        settled()
        assert (done.status, done.outcome) == (0, "promoted"), done.text
        assert set(seen(shop, KEYS)) == set(seen(shop, KEYS[:40], user_tier="vip")) == {"2"}, "everybody is everybody"
        assert shop.failures() == []


def test_an_abort_leaves_no_rule_behind(tmp_path: pathlib.Path) -> None:
    with SplitShop(tmp_path) as shop:
        asked(shop, 50)
        paused = shop.run("ab_test", "2", "-e", "rollout_wait=exit")
        assert paused.outcome == "paused", paused.text
        shop.run("abort", "2")
        settled()
        assert set(seen(shop, KEYS[:60])) == set(seen(shop, KEYS[:40], user_type="new")) == {"1"}
        assert (shop.planes[0].folder / "split.map").read_text(encoding="utf-8") == "shop 0:green:blue\n"
        assert shop.failures() == []


def test_a_configuration_that_hashes_something_else_is_refused_by_plan(tmp_path: pathlib.Path) -> None:
    with SplitShop(tmp_path) as shop:
        asked(shop, 50)
        shop.release["rollout_ab_test"]["assignment"] = {"hash": {"header": "x-user"}}
        refused = shop.run("ab_test", "2")
        assert refused.status == 2 and not shop.deploys
        assert "its configuration hashes cookie:user_id (haproxy.split.users), not header:x-user" in refused.message(), refused.text
