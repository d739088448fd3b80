# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_access import RESOURCES, check, may
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.core.kube_rights import ROUTER, ROWS, STORE, Rights, needed
from ansible_collections.progressive.delivery.tests.unit.kube_fake import FakeKube


@dataclass
class Part:
    kube: Any
    wanted: Rights

    def rights(self) -> Rights:
        return self.wanted


def parts(kube: FakeKube) -> list[Any]:
    return [Part(kube, STORE), Part(kube, needed("deployment", ())), Part(kube, ROUTER["service"])]


def test_nothing_is_said_where_nothing_lacks() -> None:
    check(parts(FakeKube()))
    check([])


def test_all_that_lacks_is_named_at_once_with_the_fewest_files() -> None:
    kube = FakeKube()
    kube.forbid("patch", "services")
    kube.forbid("list", "replicasets")
    kube.forbid("create", "leases")
    with pytest.raises(ConfigError) as refused:
        check(parts(kube))
    assert "this user may not create leases.coordination.k8s.io, list replicasets.apps, patch services in namespace shop" in str(refused.value)
    assert "Add examples/rbac/blue-green.yaml to its Roles." in str(refused.value)


def test_one_right_leads_to_the_smallest_file() -> None:
    kube = FakeKube()
    kube.forbid("create", "pods/proxy")
    kube.forbid("patch", "services")
    with pytest.raises(ConfigError, match=r"Add examples/rbac/drain.yaml and examples/rbac/router-service.yaml to its Roles\."):
        check([Part(kube, needed("deployment", ("drain",))), Part(kube, ROUTER["service"])])


def test_who_may_not_ask_finds_out_by_trying() -> None:
    kube = FakeKube()
    kube.forbid("create", "selfsubjectaccessreviews")
    assert may(kube, ("services", "patch"))  # type: ignore[arg-type]


def test_every_right_of_the_table_is_of_a_resource_that_is_known() -> None:
    for row in ROWS.values():
        for resource, _verb in row.rights:
            path, _dot, group = resource.partition(".")
            plural = path.partition("/")[0]
            assert (f"{plural}.{group}" if group else plural) in RESOURCES
