# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ran before, as the cluster remembers it: ReplicaSets of a Deployment, ControllerRevisions of the others. As ``kubectl rollout undo``. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from .errors import ConfigError
from .kube_template import version_of

REVISION = "deployment.kubernetes.io/revision"
KEPT_ANNOTATIONS = frozenset({
    "kubectl.kubernetes.io/last-applied-configuration", REVISION, "deployment.kubernetes.io/revision-history",
    "deployment.kubernetes.io/desired-replicas", "deployment.kubernetes.io/max-replicas", "deprecated.deployment.rollback.to",
})  # fmt: skip
"""Annotations of a Deployment that an undo leaves as they are; all others come from the revision."""

Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class Revision:
    """One template that a workload had. ``annotations``: those of the workload at that time, where they are remembered."""

    number: int
    name: str
    template: Mapping[str, Any]
    annotations: Mapping[str, str]


def owned(objects: Iterable[Manifest], owner: Manifest) -> list[Manifest]:
    """Those whose controller is ``owner`` itself, not merely something of its name."""
    uid = owner["metadata"].get("uid")
    return [item for item in objects
            if any(ref.get("uid") == uid and ref.get("controller") for ref in item["metadata"].get("ownerReferences") or ())]


def of_replicasets(deployment: Manifest, replicasets: Iterable[Manifest]) -> list[Revision]:
    """By rising number. Those without a number are not finished yet, and left out."""
    found = []
    for item in owned(replicasets, deployment):
        notes = item["metadata"].get("annotations") or {}
        if str(notes.get(REVISION, "")).isdigit():
            found.append(Revision(int(notes[REVISION]), item["metadata"]["name"], item["spec"]["template"], notes))
    return sorted(found, key=lambda revision: revision.number)


def of_controller_revisions(owner: Manifest, revisions: Iterable[Manifest]) -> list[Revision]:
    """By rising number."""
    found = []
    for item in owned(revisions, owner):
        template = ((item.get("data") or {}).get("spec") or {}).get("template")
        if template:
            bare = {key: value for key, value in template.items() if key != "$patch"}
            found.append(Revision(int(item["revision"]), item["metadata"]["name"], bare, {}))
    return sorted(found, key=lambda revision: revision.number)


def chosen(revisions: Sequence[Revision], to: int, where: str = "") -> Revision:
    """The revision of number ``to``; 0 is the one before the last. Raises ConfigError."""
    if to < 0:
        raise ConfigError(f"{to} is no revision", where=where, do="Use 0 for the one before, or a number from kubectl rollout history.")
    if to == 0:
        if len(revisions) < 2:
            raise ConfigError("there is no revision before this one", where=where, do="Nothing else was ever rolled out, or revisionHistoryLimit is 0.")
        return revisions[-2]
    found = next((revision for revision in revisions if revision.number == to), None)
    if found is None:
        known = ", ".join(str(revision.number) for revision in revisions) or "none"
        raise ConfigError(f"there is no revision {to}", where=where, do=f"Known: {known}.")
    return found


def of_version(revisions: Sequence[Revision], version: str, container: str = "") -> Optional[Revision]:
    """The newest revision that held this version."""
    return next((revision for revision in reversed(revisions) if version_of(revision.template, container) == version), None)


def undone_annotations(deployment: Manifest, revision: Revision) -> dict[str, str]:
    """The annotations of a Deployment after an undo to ``revision``."""
    now = deployment["metadata"].get("annotations") or {}
    kept = {name: value for name, value in now.items() if name in KEPT_ANNOTATIONS}
    return {**kept, **{name: value for name, value in revision.annotations.items() if name not in KEPT_ANNOTATIONS}}
