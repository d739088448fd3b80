# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at a workload of Kubernetes for what loses requests, show what would be added, and add it when asked to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from ...clients.kube import KUBE_OPTIONS, Kube
from ...clients.kube_edit import changed, found, merge_patch
from ...clients.kube_errors import Forbidden
from ...clients.kube_resources import DAEMONSETS, DEPLOYMENTS, PDBS, STATEFULSETS
from ...core.errors import ConfigError
from ...core.kube_care import PROBES, Care, budget, cared, findings
from ...core.options import Option, Options
from ..context import Context

KINDS = {"deployment": DEPLOYMENTS, "statefulset": STATEFULSETS, "daemonset": DAEMONSETS}
OPTIONS: Options = {
    **KUBE_OPTIONS,
    "kind": Option("str", "What it is.", default="deployment", choices=tuple(KINDS)),
    "name": Option("name", "Its name.", required=True),
    "container": Option("str", "The container that serves. Default: kubectl's default container, else the first."),
    **{probe: Option("dict", f"A {PROBES[probe]} to add where there is none.", options={
        "path": Option("str", "The page it asks.", required=True),
        "port": Option("raw", "Number or name of the port.", required=True),
    }) for probe in PROBES},
    "pre_stop": Option("dict", "A preStop hook to add where there is none: a sleep, or a page that is called.", options={
        "sleep": Option("int", "Seconds. Kubernetes 1.30 or later.", minimum=1, maximum=3600),
        "path": Option("str", "The page, such as the one that drains."),
        "port": Option("raw", "Number or name of its port."),
    }),
    "grace_period": Option("int", "The least terminationGracePeriodSeconds. A preStop sleep of this task raises it by itself, to 15 seconds more.", minimum=1),
    "pdb": Option("dict", "A PodDisruptionBudget to make where none selects the Pods.", options={
        "max_unavailable": Option("count_or_percent", "How many Pods may be taken at once.", default="1"),
    }),
    "apply": Option("bool", "Whether what lacks is added. A changed Pod template is a rolling update.", default=False),
}  # fmt: skip


def run(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Returns ``findings`` (as it is), ``remaining`` (as it would be), ``before``, ``after`` and ``diff``."""
    kube = Kube.from_options({name: params.get(name) for name in KUBE_OPTIONS})
    try:
        return looked(kube, params, context)
    finally:
        kube.close()


def looked(kube: Kube, params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """The same, through a client that is there."""
    care, resource, name = _care(params), KINDS[params["kind"]], params["name"]
    manifest = found(kube, resource, name)
    pdbs = _budgets(kube)
    told = list(findings(manifest, care.container, pdbs))
    wanted = cared(manifest, care)
    made = budget(manifest, care, pdbs) if pdbs is not None else None
    remaining = list(findings(wanted, care.container, None if pdbs is None else [*pdbs, *([made] if made else [])]))
    change = merge_patch(manifest, wanted)
    for line in told:
        context.say(line + ("" if line in remaining else "  (would be added)" if not params["apply"] or context.check_mode else "  (added)"))
    if params["apply"] and not context.check_mode:
        if change:
            changed(kube, resource, name, lambda live: cared(live, care), known=manifest)
        if made:
            kube.create(PDBS, made)
    before, after = _shown(manifest, None), _shown(wanted, made)
    # Without apply nothing is going to change: a diff is shown, and nobody is told of a change.
    return {"changed": bool(params["apply"] and (change or made)), "findings": told, "remaining": remaining, "before": before, "after": after,
            "diff": {"before": before, "after": after, "before_header": f"{params['kind']} {name}", "after_header": f"{params['kind']} {name}"}}


def _budgets(kube: Kube) -> Optional[list[dict[str, Any]]]:
    try:
        return kube.list(PDBS)
    except Forbidden:
        return None  # what may not be read is not judged, and no second one is made beside it


def _shown(manifest: Mapping[str, Any], pdb: Optional[Mapping[str, Any]]) -> dict[str, Any]:
    """What this is about, of the whole object."""
    template = manifest["spec"]["template"]["spec"]
    names = (*PROBES.values(), "lifecycle")
    containers = {item["name"]: {name: item[name] for name in names if name in item} for item in template["containers"]}
    return {"containers": containers, "terminationGracePeriodSeconds": template.get("terminationGracePeriodSeconds", 30), **({"pdb": dict(pdb)} if pdb else {})}


def _care(params: Mapping[str, Any]) -> Care:
    stop = params.get("pre_stop") or {}
    if stop and bool(stop.get("sleep")) == bool(stop.get("path")):
        raise ConfigError("give one of sleep and path", where="pre_stop")
    if stop.get("path") and not stop.get("port"):
        raise ConfigError("port is missing", where="pre_stop", do="The page is called on this port of the Pod.")
    probes = {probe: (params[probe]["path"], _port(params[probe]["port"], f"{probe}.port")) for probe in PROBES if params.get(probe)}
    for probe, (path, _where) in probes.items():
        if not path.startswith("/"):
            raise ConfigError(f"{path} is no path", where=f"{probe}.path", do="It begins with a slash.")
    stop_port = _port(stop["port"], "pre_stop.port") if stop.get("port") else None
    away = (params.get("pdb") or {}).get("max_unavailable") or ("1" if params.get("pdb") is not None else "")
    return Care(params.get("container") or "", probes, stop.get("sleep") or 0, stop.get("path") or "", stop_port, params.get("grace_period") or 0, away)


def _port(value: Any, where: str) -> Any:
    """A number or a name: 8080 as text is the number."""
    text = str(value).strip()
    if text.isdigit():
        if not 0 < int(text) < 65536:
            raise ConfigError(f"{text} is no port", where=where)
        return int(text)
    if not text.replace("-", "").isalnum() or len(text) > 15:
        raise ConfigError("that is no port", where=where, do="A number, or the name of a port of the container.")
    return text
