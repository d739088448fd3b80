# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ConfigMaps that belong to a version: named by their content, so that going back to a version finds the configuration it had. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

LABEL = "progressive.delivery/config"
"""Label of a ConfigMap of ours: the name without the hash."""
MANAGED = {"app.kubernetes.io/managed-by": "progressive.delivery"}
OWNER = "progressive.delivery/workload"
"""Annotation of a ConfigMap of ours: whose it is. No other workload uses it, though it may have one of the same name and content."""
KEEP = 5
"""Versions of one ConfigMap that are kept whatever refers to them."""

_REFERENCES = frozenset({"configMapRef", "configMapKeyRef", "configMap"})
_HASH = re.compile(r"-[0-9a-f]{10}\Z")


def named(name: str, data: Mapping[str, str], owner: str) -> str:
    """``settings-3f9a01cc2e``: another content, or the same of another owner, another name."""
    return f"{name}-{hashlib.sha256(json.dumps([owner, data], sort_keys=True).encode()).hexdigest()[:10]}"


def config_map(name: str, data: Mapping[str, str], owner: str) -> dict[str, Any]:
    """The object; it can never change."""
    meta = {"name": named(name, data, owner), "labels": {**MANAGED, LABEL: name}, "annotations": {OWNER: owner}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": dict(data), "immutable": True}


def renamed(value: Any, names: Mapping[str, str]) -> Any:
    """``value`` (a Pod template, or any part of one) with every reference to one of ``names``, or to an earlier version of it, led to the new name."""
    if not names:
        return value
    if isinstance(value, list):
        return [renamed(item, names) for item in value]
    if not isinstance(value, Mapping):
        return value
    return {key: _led(item, names) if key in _REFERENCES and isinstance(item, Mapping) else renamed(item, names) for key, item in value.items()}


def references(value: Any) -> set[str]:
    """The names of all ConfigMaps that a template refers to."""
    if isinstance(value, list):
        return {name for item in value for name in references(item)}
    if not isinstance(value, Mapping):
        return set()
    own = {str(item["name"]) for key, item in value.items() if key in _REFERENCES and isinstance(item, Mapping) and item.get("name")}
    return own | {name for item in value.values() for name in references(item)}


def unwanted(config_maps: Iterable[Mapping[str, Any]], used: Iterable[str], owner: str) -> list[str]:
    """Names of the owner's that no template, of now or of before, refers to, and that are not among the newest of their kind."""
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for item in config_maps:
        if (item["metadata"].get("annotations") or {}).get(OWNER) != owner:
            continue  # what another workload needs we cannot tell
        by_name.setdefault(item["metadata"]["labels"][LABEL], []).append(item)
    needed = set(used)
    found: list[str] = []
    for group in by_name.values():
        group.sort(key=lambda item: (str(item["metadata"].get("creationTimestamp", "")), item["metadata"]["name"]), reverse=True)
        found += [item["metadata"]["name"] for item in group[KEEP:] if item["metadata"]["name"] not in needed]
    return sorted(found)


def _led(reference: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    name = str(reference.get("name", ""))
    base = name if name in names else _HASH.sub("", name)
    return {**reference, "name": names[base]} if base in names else dict(reference)
