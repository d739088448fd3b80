# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole releases of a Deployment, step by step through the verbs, over an API in a dict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import FakeClock
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube import Kube
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_resources import DEPLOYMENTS
from ansible_collections.progressive.delivery.plugins.module_utils.core import requests
from ansible_collections.progressive.delivery.plugins.module_utils.core.kube_template import template_of
from ansible_collections.progressive.delivery.plugins.module_utils.entry.stored import stored_record
from ansible_collections.progressive.delivery.tests.unit.kube_controllers import FakeControllers, manifest
from ansible_collections.progressive.delivery.tests.unit.module_utils.entry.test_managed_release import Shop

ENV = {"spec": {"template": {"spec": {"containers": [{"name": "app", "env": [{"name": "NEW", "value": "1"}]}]}}}}


class Calling(FakeClock):
    """Time in which somebody calls a release off after a minute of it."""

    def __init__(self, shop: Shop) -> None:
        super().__init__()
        self.shop = shop

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        record = stored_record(self.shop.store)
        if self.now() > 60 and record is not None and not record.back:
            requests.ask(self.shop.store, self, id="a1", kind=requests.ABORT, release=record.release.id, who="bob")


class KubeShop(Shop):
    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, **file: Any) -> None:
        self.kube = FakeControllers()
        monkeypatch.setattr(Kube, "from_options", lambda *_args, **_more: self.kube)
        for name, replicas in (("shop-stable", 3), ("shop-canary", 0)):
            self.kube.put(DEPLOYMENTS, manifest("deployment", name, replicas=replicas))
        workload = {"stable": "shop-stable", "canary": "shop-canary", "image": "registry.test/shop:${version}", **file.pop("deployment", {})}
        super().__init__(folder, rollout_workload={"deployment": workload}, **file)
        self.clock = Calling(self)

    def template(self, name: str = "shop-stable") -> dict[str, Any]:
        found = self.kube.get(DEPLOYMENTS, name)
        assert found is not None
        return template_of(found)


ROLLING: dict[str, Any] = {"rollout_strategy": "rolling", "rollout_router": None, "rollout_rolling": {"monitor": "5m"}}


@pytest.mark.parametrize("version", ["1", "2"])
def test_what_ran_before_comes_back_though_it_had_the_same_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """Only the configuration is another one: the version says nothing of which of the two is meant."""
    shop = KubeShop(tmp_path, monkeypatch, deployment={"patch": ENV}, **ROLLING)
    before = shop.template()
    assert shop.run("rollout", version)["outcome"] == "aborted"
    assert shop.template() == before
