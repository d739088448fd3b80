# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Label selectors: what they match, as text, and whether two workloads stand in each other's way. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from .kube_template import template_of

Manifest = Mapping[str, Any]

TRACKED = frozenset({"app.kubernetes.io/instance", "argocd.argoproj.io/instance"})
"""Labels by which a GitOps controller knows what it made, and removes what its source does not have."""

OTHER_SIDE = {"stable": "canary", "canary": "stable", "blue": "green", "green": "blue", "primary": "canary"}
"""Values of a label that tell two slots apart."""


def labels_of(manifest: Manifest) -> dict[str, str]:
    """The labels of the workload's Pods."""
    return dict((template_of(manifest).get("metadata") or {}).get("labels") or {})


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a selector with matchLabels and matchExpressions matches. An empty one matches everything."""
    if any(labels.get(name) != value for name, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_holds(term, labels) for term in selector.get("matchExpressions") or ())


def text(selector: Mapping[str, Any]) -> str:
    """As a labelSelector of the API: ``app=shop,tier in (a,b),!old``."""
    terms = [f"{name}={value}" for name, value in sorted((selector.get("matchLabels") or {}).items())]
    for term in selector.get("matchExpressions") or ():
        name, operator, values = term["key"], term["operator"], ",".join(term.get("values") or ())
        terms.append({"Exists": name, "DoesNotExist": f"!{name}"}.get(operator, f"{name} {operator.lower()} ({values})"))
    return ",".join(terms)


def overlap(one: Manifest, other: Manifest) -> bool:
    """Whether one's selector also matches the Pods of the other."""
    return selects(one["spec"].get("selector") or {}, labels_of(other)) or selects(other["spec"].get("selector") or {}, labels_of(one))


def sibling(manifest: Manifest, name: str, to: str) -> Optional[dict[str, Any]]:
    """A copy of a workload as the other slot: labels of its selector that name its slot name the other; else those that name itself. None where none does."""
    old = manifest["metadata"]["name"]
    labels = (manifest["spec"].get("selector") or {}).get("matchLabels") or {}
    # What both have in common, such as app, stays: a Service in front of both looks for it.
    changed = {key: OTHER_SIDE[value] for key, value in labels.items() if value in OTHER_SIDE} or {key: to for key, value in labels.items() if value == old}
    if not changed:
        return None
    template = template_of(manifest)
    inner = template.get("metadata") or {}
    notes = {key: value for key, value in (inner.get("annotations") or {}).items() if not key.startswith("progressive.delivery/")}
    made = {**template, "metadata": {**inner, "annotations": notes, "labels": {**(inner.get("labels") or {}), **changed}}}
    selector = {**manifest["spec"]["selector"], "matchLabels": {**labels, **changed}}
    own = {key: value for key, value in (manifest["metadata"].get("labels") or {}).items() if key not in TRACKED}
    meta = {"name": name, "labels": {**own, **changed}}
    return {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "metadata": meta,
            "spec": {**manifest["spec"], "selector": selector, "template": made}}


def _holds(term: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    name, operator, values = term["key"], str(term["operator"]), term.get("values") or ()
    if operator == "In":
        return labels.get(name) in values
    if operator == "NotIn":
        return labels.get(name) not in values
    return (name in labels) == (operator == "Exists")
