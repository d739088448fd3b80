# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The subsets of an Istio DestinationRule that are a release's slots. Pure: manifests in, manifests out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.errors import ConfigError
from .virtual_service import service_of

Manifest = Mapping[str, Any]
Labels = Mapping[str, str]


def where(manifest: Manifest) -> str:
    meta = manifest["metadata"]
    return f"DestinationRule {meta.get('namespace', '')}/{meta['name']}"


def labels_of(manifest: Manifest, subset: str) -> Labels:
    """What the Pods of a subset have. Raises ConfigError where there is none, with the lines to add."""
    for each in manifest["spec"].get("subsets") or ():
        if each.get("name") == subset:
            return {str(name): str(value) for name, value in (each.get("labels") or {}).items()}
    line = f"- {{name: {subset}, labels: {{...}}}}"
    raise ConfigError(f"there is no subset {subset}", where=where(manifest), do=f"Add to spec.subsets: {line}, or say its labels in destination_rule.")


def edit(manifest: Manifest, host: str, wanted: Mapping[str, Labels]) -> dict[str, Any]:
    """The manifest with these subsets (name to labels): one that is missing is added, one that is there is left as it is. Raises ConfigError."""
    home = str(manifest["metadata"].get("namespace", ""))
    if service_of(str(manifest["spec"].get("host", "")), home) != service_of(host, home):
        raise ConfigError(f"it is about {manifest['spec'].get('host')}, not {host}", where=where(manifest), do="Name the DestinationRule of that host.")
    subsets = list(manifest["spec"].get("subsets") or ())
    present = {each.get("name"): each for each in subsets}
    for name, labels in wanted.items():
        if name not in present:
            subsets.append({"name": name, "labels": dict(labels)})
        elif dict(present[name].get("labels") or {}) != dict(labels):
            raise ConfigError(
                f"subset {name} has the labels {present[name].get('labels') or {}}, not {dict(labels)}",
                where=where(manifest),
                do="Change one of them: a subset that others may use is not rewritten.",
            )
    return {**manifest, "spec": {**manifest["spec"], "subsets": subsets}} if any(name not in present for name in wanted) else dict(manifest)
