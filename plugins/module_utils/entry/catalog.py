# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which adapters there are. The only file that names one: a new backend is one adapter file and two lines here.

Each adapter is imported when it is first asked for: a module that was shipped to a host needs one or two of these thirty, and compiles what it imports.
"""

from __future__ import annotations

from collections import UserDict
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..core.options import Option, Options

if TYPE_CHECKING:  # Ansible ships to a host what the imports of a module name, wherever they stand: the tables' names alone would leave the adapters behind
    from ..judges.kayenta import KayentaJudge
    from ..judges.mann_whitney import MannWhitneyJudge
    from ..metrics.cloudwatch import CloudwatchProvider
    from ..metrics.command import CommandProvider
    from ..metrics.envoy import EnvoyProvider
    from ..metrics.graphite import GraphiteProvider
    from ..metrics.haproxy import HaproxyProvider
    from ..metrics.influxdb import InfluxdbProvider
    from ..metrics.kubernetes import KubernetesProvider
    from ..metrics.memory import MemoryProvider
    from ..metrics.nginx import NginxProvider
    from ..metrics.prometheus import PrometheusProvider
    from ..metrics.sql import SqlProvider
    from ..metrics.traefik import TraefikProvider
    from ..metrics.web import WebProvider
    from ..routers.envoy import EnvoyRouter
    from ..routers.gateway_api import GatewayApiRouter
    from ..routers.haproxy import HaproxyRouter
    from ..routers.istio import IstioRouter
    from ..routers.memory import MemoryRouter
    from ..routers.replica_ratio import ReplicaRatioRouter
    from ..routers.service import ServiceRouter
    from ..stores.file import FileStore
    from ..stores.kubernetes import KubernetesStore
    from ..stores.memory import MemoryStore
    from ..workloads.daemonset import DaemonSetWorkload
    from ..workloads.deployment import DeploymentWorkload
    from ..workloads.memory import MemoryWorkload
    from ..workloads.pool import PoolWorkload
    from ..workloads.statefulset import StatefulSetWorkload


class Adapters(UserDict[str, Any]):
    """The classes of one port by the name that a release file gives them."""

    def __getitem__(self, name: str) -> Any:
        found = super().__getitem__(name)
        if isinstance(found, str):
            module, _dot, cls = found.rpartition(".")
            found = self.data[name] = getattr(import_module(f"...{module}", __name__), cls)
        return found


ROUTERS = Adapters({
    "envoy": "routers.envoy.EnvoyRouter",
    "gateway_api": "routers.gateway_api.GatewayApiRouter",
    "haproxy": "routers.haproxy.HaproxyRouter",
    "istio": "routers.istio.IstioRouter",
    "memory": "routers.memory.MemoryRouter",
    "replica_ratio": "routers.replica_ratio.ReplicaRatioRouter",
    "service": "routers.service.ServiceRouter",
})

PROVIDERS = Adapters({
    "cloudwatch": "metrics.cloudwatch.CloudwatchProvider",
    "command": "metrics.command.CommandProvider",
    "envoy": "metrics.envoy.EnvoyProvider",
    "graphite": "metrics.graphite.GraphiteProvider",
    "haproxy": "metrics.haproxy.HaproxyProvider",
    "influxdb": "metrics.influxdb.InfluxdbProvider",
    "kubernetes": "metrics.kubernetes.KubernetesProvider",
    "memory": "metrics.memory.MemoryProvider",
    "nginx": "metrics.nginx.NginxProvider",
    "prometheus": "metrics.prometheus.PrometheusProvider",
    "sql": "metrics.sql.SqlProvider",
    "traefik": "metrics.traefik.TraefikProvider",
    "web": "metrics.web.WebProvider",
})

WORKLOADS = Adapters({
    "daemonset": "workloads.daemonset.DaemonSetWorkload",
    "deployment": "workloads.deployment.DeploymentWorkload",
    "memory": "workloads.memory.MemoryWorkload",
    "pool": "workloads.pool.PoolWorkload",
    "statefulset": "workloads.statefulset.StatefulSetWorkload",
})

STORES = Adapters({
    "file": "stores.file.FileStore",
    "kubernetes": "stores.kubernetes.KubernetesStore",
    "memory": "stores.memory.MemoryStore",
})

JUDGES = Adapters({
    "exact": "core.exact.ExactJudge",
    "kayenta": "judges.kayenta.KayentaJudge",
    "mann_whitney": "judges.mann_whitney.MannWhitneyJudge",
    "sequential": "core.sequential.SequentialJudge",
})

POINTS: Options = {
    "relative": Option("dict", "The point judge: max_ratio and max_delta of this metric.", options={}),
    "threshold": Option("dict", "The point judge: conditions and threshold_range of this metric.", options={}),
}
"""Names for what judges a metric that has no statistical judge."""

ON: Options = {
    "hosts": Option("list", "Inventory hosts or groups that hold the sockets or files named here. Default: this controller.", elements="str"),
}
"""What every router takes beside its own options."""

FOR_TESTS = "memory"
"""The adapter of each port that no message offers."""


def load() -> None:
    """Import them all, for the many processes that are forked from this one: what one of those imports itself, the next has to import again."""
    for adapters in (ROUTERS, PROVIDERS, WORKLOADS, STORES, JUDGES):
        tuple(adapters.values())


class Family(Mapping[str, Option]):
    """The options of every adapter of one port, one key each. No adapter is imported before its own key is read."""

    def __init__(self, adapters: Adapters) -> None:
        self._adapters = adapters
        self._common = ON if adapters is ROUTERS else {}
        self._beside = POINTS if adapters is JUDGES else {}

    def __getitem__(self, name: str) -> Option:
        if name in self._beside:
            return self._beside[name]
        adapter = self._adapters[name]
        return Option("dict", adapter.SUMMARY, options={**adapter.OPTIONS, **self._common}, hidden=name == FOR_TESTS)

    def __iter__(self) -> Iterator[str]:
        yield from self._adapters
        yield from self._beside

    def __len__(self) -> int:
        return len(self._adapters) + len(self._beside)
