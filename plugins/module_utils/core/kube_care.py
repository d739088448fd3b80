# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Give a workload what it needs to lose no request: probes, preStop, grace period and a disruption budget. Pure: manifest in, manifest out.

What is there already is a person's decision and stays, except where it contradicts what was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Optional

from .kube_lint import GRACE, lint
from .kube_selector import labels_of, selects
from .kube_template import main_container, template_of

Manifest = Mapping[str, Any]
PROBES = {"readiness": "readinessProbe", "liveness": "livenessProbe", "startup": "startupProbe"}
DEFAULTS: Mapping[str, Mapping[str, int]] = {
    "readiness": {"periodSeconds": 5, "timeoutSeconds": 3, "failureThreshold": 2},
    "liveness": {"periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 3},
    "startup": {"periodSeconds": 5, "timeoutSeconds": 3, "failureThreshold": 30},
}
"""Readiness reacts fast, liveness slowly, and a program has 150 seconds to start before either counts."""
SHUTDOWN = 15
"""Seconds that a program has to end by itself behind its preStop hook."""


@dataclass(frozen=True)
class Care:
    """What was asked for. ``probes``: by name an HTTP path and a port; ``pre_stop``: seconds to sleep, or a path to call."""

    container: str = ""
    probes: Mapping[str, tuple[str, Any]] = field(default_factory=dict)
    sleep: int = 0
    pre_stop_path: str = ""
    pre_stop_port: Any = None
    grace: int = 0
    max_unavailable: str = ""


def findings(manifest: Manifest, container: str, pdbs: Optional[Iterable[Manifest]]) -> Iterator[str]:
    """What ``plan`` says of it, and what a look at leisure finds besides."""
    yield from lint(manifest, container, pdbs)
    name, main = manifest["metadata"]["name"], main_container(template_of(manifest), container)
    readiness, liveness = main.get("readinessProbe") or {}, main.get("livenessProbe") or {}
    if not liveness:
        yield f"{name}: container {main['name']} has no livenessProbe, so a program that hangs is never started anew. Add one that asks nothing else"
    elif not main.get("startupProbe") and int(liveness.get("initialDelaySeconds", 0)) >= 30:
        yield (f"{name}: livenessProbe waits {liveness['initialDelaySeconds']} s after each start, and a program that hangs then is not seen for so long."
               " Use a startupProbe instead")
    if readiness and liveness and readiness.get("httpGet") == liveness.get("httpGet") and readiness.get("httpGet"):
        yield (f"{name}: readiness and liveness ask the same page, so what should only take a Pod out of rotation restarts it."
               " Let liveness ask a page that depends on nothing else")


def cared(manifest: Manifest, care: Care) -> dict[str, Any]:
    """``manifest`` with what was asked for and is not there. Raises ConfigError for a container that is not there."""
    wanted: dict[str, Any] = deepcopy(dict(manifest))
    template = template_of(wanted)
    main = main_container(template, care.container)
    for probe, (path, port) in care.probes.items():
        if not main.get(PROBES[probe]):
            main[PROBES[probe]] = {"httpGet": {"path": path, "port": port}, **DEFAULTS[probe]}
    if (care.sleep or care.pre_stop_path) and not (main.get("lifecycle") or {}).get("preStop"):
        hook = {"httpGet": {"path": care.pre_stop_path, "port": care.pre_stop_port}} if care.pre_stop_path else {"sleep": {"seconds": care.sleep}}
        main["lifecycle"] = {**(main.get("lifecycle") or {}), "preStop": hook}
    spec = template["spec"]
    slept = int((((main.get("lifecycle") or {}).get("preStop") or {}).get("sleep") or {}).get("seconds", 0))
    needed = max(care.grace, slept + SHUTDOWN if slept and care.sleep else 0)
    if needed and int(spec.get("terminationGracePeriodSeconds", GRACE)) < needed:
        spec["terminationGracePeriodSeconds"] = needed
    return wanted


def budget(manifest: Manifest, care: Care, pdbs: Iterable[Manifest]) -> Optional[dict[str, Any]]:
    """The PodDisruptionBudget to make; None where none was asked for or one selects these Pods already, since two of them block every eviction."""
    selector = (manifest["spec"].get("selector") or {}).get("matchLabels") or {}
    if not care.max_unavailable or not selector or any(selects(pdb["spec"].get("selector") or {}, labels_of(manifest)) for pdb in pdbs):
        return None
    text = care.max_unavailable
    return {
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": manifest["metadata"]["name"]},
        "spec": {"maxUnavailable": int(text) if text.isdigit() else text, "selector": {"matchLabels": dict(selector)}},
    }  # fmt: skip
