# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The example that says "no request is lost" has a manifest that keeps it: nothing in it is what `plan` would warn of."""

from __future__ import annotations

from pathlib import Path

import yaml

from ansible_collections.progressive.delivery.plugins.module_utils.core.kube_lint import kept_connections, lint

RELEASES = Path(__file__).resolve().parents[2] / "examples" / "releases"


def test_the_zero_downtime_manifest_loses_no_request() -> None:
    deployment = yaml.safe_load((RELEASES / "kubernetes-zero-downtime.yml").read_text(encoding="utf-8"))["rollout_workload"]["deployment"]
    manifest = yaml.safe_load((RELEASES / deployment["manifest"]).read_text(encoding="utf-8"))
    assert list(lint(manifest, "app", None)) == []
    path = deployment["drain"]["http"]["path"]
    assert list(kept_connections(manifest, "app", path, "rollout_workload.deployment", retired=False)) == [], "a rolling update asks nobody but the kubelet"
