# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole releases of one namespace by the collection's playbooks: a release file, and the ansible-playbook beside the Python of the tests.

    site = Site(namespace, release)              # release: the rollout_ variables, such as release_rig.Shop(namespace).file
    done = site.run("rolling", "2")              # progressive.delivery.rolling -e @shop.yml with VERSION=2, without a terminal
    done.status, done.outcome, done.code, done.stats, done.text, done.message()
    running = site.start("rollout", "2"); site.until(..., running); running.send_all(signal.SIGINT); running.end()
    site.writes()                                # uid and resourceVersion of all that is in the namespace; two are equal when nothing was written between

No run may ever print a traceback: ``run`` sees to that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube import Kube
from ansible_collections.progressive.delivery.plugins.module_utils.stores.kubernetes import KubernetesStore
from ansible_collections.progressive.delivery.tests.cluster.cluster import Namespace
from ansible_collections.progressive.delivery.tests.matrix import rig

KINDS = "deployments,replicasets,statefulsets,daemonsets,controllerrevisions,services,configmaps,leases,horizontalpodautoscalers,poddisruptionbudgets"
"""What a release could write. Not Pods and Endpoints, which change by themselves."""


class Site(rig.Site):
    """What a user has: a folder with an inventory of nobody but localhost, and one release file. ``folder``: its own, below the namespace's."""

    def __init__(self, space: Namespace, release: Mapping[str, Any], name: str = "site") -> None:
        self.space = space
        folder = Path(space.folder) / name
        folder.mkdir()
        super().__init__(folder, stable=(), canary=(), release={**release, "rollout_report": {"directory": str(folder / "reports"), "formats": ["json"]}})

    def __post_init__(self) -> None:
        self.release.setdefault("rollout_version", "{{ lookup('env', 'VERSION') }}")
        self.write_inventory()

    def write_inventory(self) -> None:
        local = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
        (self.folder / "inventory.yml").write_text(yaml.safe_dump({"all": {"hosts": {"localhost": local}}}))

    def writes(self, kinds: str = KINDS) -> dict[str, str]:
        """What is in the namespace, and in which state, as the server counts it."""
        found = json.loads(self.space.kubectl("get", kinds, "-o", "json"))["items"]
        return {f"{item['kind']} {item['metadata']['name']}": f"{item['metadata']['uid']} {item['metadata']['resourceVersion']}" for item in found}

    def stored(self, key: str) -> dict[str, Any]:
        """A document of the release's state: record, lease, requests."""
        kube = Kube.from_options({"kubeconfig": str(self.space.cluster.kubeconfig), "namespace": self.space.name})
        found = KubernetesStore(self.release["rollout_name"], kube).load(key)
        kube.close()
        return dict(found.value) if found else {}
