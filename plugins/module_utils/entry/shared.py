# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the Kubernetes adapters of one release file share: said once, in ``rollout_kubernetes``, and the names of the workload in its router."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..clients.kube import KUBE_OPTIONS
from ..core.options import one_key
from .catalog import PROVIDERS, ROUTERS, STORES, WORKLOADS, family

PORTS: Mapping[str, dict[str, Any]] = {"workload": WORKLOADS, "router": ROUTERS, "store": STORES}
SLOTS = ("stable", "canary", "namespace")


def completed(spec: dict[str, Any], *, store_given: bool) -> dict[str, Any]:
    """The release file with ``rollout_kubernetes`` in every adapter that takes part, and with Kubernetes' own store where its workload is."""
    defaults = {name: value for name, value in (spec.get("kubernetes") or {}).items() if value is not None}
    [(kind, _options)] = spec["workload"].items()
    if not store_given and takes_part(WORKLOADS[kind]):
        chosen, inner = one_key({"kubernetes": {}}, family(STORES), "rollout_store", "store")
        spec["store"] = {chosen: inner}
    for port, adapters in PORTS.items():
        if spec.get(port):
            [(kind, options)] = spec[port].items()
            spec[port] = {kind: _with_defaults(adapters[kind], options, defaults)}
    analysis = spec.get("analysis")
    if analysis:
        spec["analysis"] = {**_measured(analysis, defaults), "metrics": [_measured(metric, defaults) for metric in analysis.get("metrics") or ()]}
    return _with_workload(spec)


def _measured(item: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """An analysis or a metric with its provider's defaults."""
    if not item.get("provider"):
        return dict(item)
    [(kind, options)] = item["provider"].items()
    return {**item, "provider": {kind: _with_defaults(PROVIDERS[kind], options or {}, defaults)}}


def takes_part(adapter: Any) -> bool:
    """Whether an adapter speaks to a Kubernetes API."""
    return set(KUBE_OPTIONS) <= set(adapter.OPTIONS)


def _with_defaults(adapter: Any, options: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    if not takes_part(adapter):
        return dict(options)
    return {**options, **{name: value for name, value in defaults.items() if options.get(name) is None}}


def _with_workload(spec: dict[str, Any]) -> dict[str, Any]:
    """A router that must know what runs the slots is told, unless the file says otherwise."""
    if not spec.get("router"):
        return spec
    [(kind, options)] = spec["router"].items()
    if "workload" in ROUTERS[kind].OPTIONS and not options.get("workload"):
        [(workload, about)] = spec["workload"].items()
        names = {name: about[name] for name in SLOTS if about.get(name)}
        spec["router"] = {kind: {**options, "workload": {workload: names}}}
    return spec
