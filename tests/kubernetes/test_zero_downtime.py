# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role zero_downtime on a real cluster: looks, shows, adds once, and the Pods really run with it."""

from __future__ import annotations

import yaml

from ansible_collections.progressive.delivery.tests.cluster.cluster import Namespace, deployment
from ansible_collections.progressive.delivery.tests.kubernetes.playbook_rig import Site


def test_it_looks_adds_and_is_then_content(namespace: Namespace) -> None:
    bare = deployment("shop", replicas=2)
    del bare["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]
    namespace.apply(bare)
    namespace.available("shop")
    site = Site(namespace, {})
    workload = {"kubeconfig": str(namespace.cluster.kubeconfig), "namespace": namespace.name, "name": "shop", "readiness": {"path": "/ready", "port": "http"},
                "liveness": {"path": "/health", "port": "http"}, "pre_stop": {"sleep": 3}, "pdb": {"max_unavailable": 1}}
    tasks = [{"ansible.builtin.include_role": {"name": "progressive.delivery.zero_downtime"},
              "vars": {"zero_downtime_workload": workload, "zero_downtime_apply": "{{ lookup('env', 'APPLY') == 'yes' }}", "zero_downtime_strict": True}}]
    (site.folder / "care.yml").write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    looked = site.run("care.yml")
    assert looked.status != 0, looked.text
    assert "no preStop hook" in looked.text
    before = namespace.get("deployment", "shop")
    assert before is not None
    assert "readinessProbe" not in before["spec"]["template"]["spec"]["containers"][0]
    checked = site.run("care.yml", "1", "--check", APPLY="yes")
    assert checked.status == 0, checked.text
    assert namespace.get("pdb", "shop") is None
    added = site.run("care.yml", APPLY="yes")
    assert added.status == 0, added.text
    assert added.changed == 1
    namespace.kubectl("rollout", "status", "deployment/shop", "--timeout=480s")
    after = namespace.get("deployment", "shop")
    assert after is not None
    app = after["spec"]["template"]["spec"]["containers"][0]
    assert app["lifecycle"]["preStop"] == {"sleep": {"seconds": 3}}
    assert app["livenessProbe"]["httpGet"]["path"] == "/health"
    assert after["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 18
    pdb = namespace.get("pdb", "shop")
    assert pdb is not None
    assert pdb["spec"]["maxUnavailable"] == 1
    again = site.run("care.yml", APPLY="yes")
    assert (again.status, again.changed) == (0, 0), again.text
