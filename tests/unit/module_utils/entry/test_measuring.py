# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What fills the placeholders of a query: the release's name for a pool, the object and its namespace on Kubernetes."""

from __future__ import annotations

import json
import pathlib

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.entry.measuring import labels_of

POOL = {"name": "shop", "workload": {"pool": {"stable": "blue", "canary": "green"}}}


def on_kubernetes(folder: pathlib.Path, kind: str = "deployment", namespace: str = "", **more: str):
    path = folder / "kubeconfig"
    path.write_text(json.dumps({
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}], "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "of-the-context"}}], "current-context": "x",
    }))
    options = {"kubeconfig": str(path), "stable": "shop-stable", **({"namespace": namespace} if namespace else {}), **more}
    return {"name": "shop", "workload": {kind: options}}


def test_a_pool_is_called_by_the_name_of_its_release() -> None:
    assert labels_of(POOL, "canary", "2") == {"track": "canary", "workload": "shop", "version": "2"}
    assert labels_of(POOL, "stable", "")["version"] == "unknown"


def test_on_kubernetes_the_workload_is_the_object_of_the_slot(tmp_path: pathlib.Path) -> None:
    labels = labels_of(on_kubernetes(tmp_path, namespace="shop", canary="shop-canary", container="app"), "canary", "2")
    assert labels == {"track": "canary", "workload": "shop-canary", "namespace": "shop", "version": "2", "kind": "deployment", "container": "app"}


def test_without_a_second_object_all_tracks_are_the_one(tmp_path: pathlib.Path) -> None:
    assert labels_of(on_kubernetes(tmp_path, "statefulset"), "canary", "2")["workload"] == "shop-stable"


def test_a_namespace_that_is_not_given_is_that_of_the_context(tmp_path: pathlib.Path) -> None:
    assert labels_of(on_kubernetes(tmp_path), "stable", "1")["namespace"] == "of-the-context"


def test_a_kubeconfig_that_is_not_there_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        labels_of({"name": "shop", "workload": {"deployment": {"stable": "shop", "kubeconfig": str(tmp_path / "nowhere")}}}, "stable", "1")
