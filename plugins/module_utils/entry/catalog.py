# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which adapters there are. The only file that names one: a new backend is one adapter file and one line here."""

from __future__ import annotations

from typing import Any

from ..core.exact import ExactJudge
from ..core.options import Option, Options
from ..core.sequential import SequentialJudge
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

ROUTERS: dict[str, Any] = {
    "envoy": EnvoyRouter,
    "gateway_api": GatewayApiRouter,
    "haproxy": HaproxyRouter,
    "istio": IstioRouter,
    "memory": MemoryRouter,
    "replica_ratio": ReplicaRatioRouter,
    "service": ServiceRouter,
}

PROVIDERS: dict[str, Any] = {
    "cloudwatch": CloudwatchProvider,
    "command": CommandProvider,
    "envoy": EnvoyProvider,
    "graphite": GraphiteProvider,
    "haproxy": HaproxyProvider,
    "influxdb": InfluxdbProvider,
    "kubernetes": KubernetesProvider,
    "memory": MemoryProvider,
    "nginx": NginxProvider,
    "prometheus": PrometheusProvider,
    "sql": SqlProvider,
    "traefik": TraefikProvider,
    "web": WebProvider,
}

WORKLOADS: dict[str, Any] = {
    "daemonset": DaemonSetWorkload,
    "deployment": DeploymentWorkload,
    "memory": MemoryWorkload,
    "pool": PoolWorkload,
    "statefulset": StatefulSetWorkload,
}

STORES: dict[str, Any] = {
    "file": FileStore,
    "kubernetes": KubernetesStore,
    "memory": MemoryStore,
}

JUDGES: dict[str, Any] = {
    "exact": ExactJudge,
    "kayenta": KayentaJudge,
    "mann_whitney": MannWhitneyJudge,
    "sequential": SequentialJudge,
}

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


def family(adapters: dict[str, Any]) -> Options:
    """The options of every adapter of one port, one key each."""
    common = ON if adapters is ROUTERS else {}
    return {name: Option("dict", adapter.SUMMARY, options={**adapter.OPTIONS, **common}, hidden=name == FOR_TESTS) for name, adapter in adapters.items()}
