# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changing one object of a cluster: only our fields, only if nobody else changed it meanwhile, and nothing when nothing differs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Optional

from ..core.errors import ConfigError, Conflict, DeliveryError, Fenced, Unsupported
from ..core.lease import Marker
from .kube import MANAGER, Kube
from .kube_resources import Resource

Manifest = Mapping[str, Any]

RELEASE, STEP, FENCE = (f"progressive.delivery/{name}" for name in ("release", "step", "fence"))
"""Annotations of an object that splits traffic: who wrote it last."""

TRIES = 5
"""How often an object is read again when somebody else was faster."""


def found(kube: Kube, resource: Resource, name: str, namespace: str = "") -> dict[str, Any]:
    """The object. Raises ConfigError when there is none."""
    manifest = kube.get(resource, name, namespace)
    if manifest is None:
        place = namespace or kube.namespace
        raise ConfigError(f"there is no {resource.kind} {name} in namespace {place}", where=kube.where,
                          do=f"See what there is: kubectl -n {place} get {resource.plural}")
    return manifest


def change(
    kube: Kube, resource: Resource, name: str, edit: Callable[[Manifest], Manifest], namespace: str = "", marker: Optional[Marker] = None,
) -> bool:  # fmt: skip
    """Make the object what ``edit`` says of it; whether that was a change. Raises Conflict when others change it all the time, Fenced."""
    return changed(kube, resource, name, edit, namespace, marker=marker)[0]


def changed(
    kube: Kube, resource: Resource, name: str, edit: Callable[[Manifest], Manifest], namespace: str = "", known: Optional[Manifest] = None,
    marker: Optional[Marker] = None,
) -> tuple[bool, Manifest]:  # fmt: skip
    """The same, and the object as it is then. ``known``: the object as it was a moment ago; the server says if it is that no more."""
    for attempt in range(1, TRIES + 1):
        manifest = known if known is not None and attempt == 1 else found(kube, resource, name, namespace)
        wanted = edit(manifest)
        body = merge_patch(manifest, wanted if marker is None else marked(manifest, wanted, marker))
        if not body:
            return False, manifest
        body["metadata"] = {**body.get("metadata", {}), "resourceVersion": manifest["metadata"]["resourceVersion"]}
        try:
            return True, kube.patch(resource, name, body, namespace)
        except Conflict:
            if attempt == TRIES:
                raise
    return False, manifest


def each_on_its_own(names: Iterable[str], write: Callable[[str], object], needed: Sequence[str]) -> dict[str, DeliveryError]:
    """``write`` every object, whatever became of the others; what went wrong, by name. Raises the first one's error where none of ``needed`` was written."""
    failed: dict[str, DeliveryError] = {}
    for name in names:
        try:
            write(name)
        except (ConfigError, Conflict, Unsupported) as error:
            failed[name] = error
    if set(needed) <= set(failed):
        raise failed[needed[0]]
    return failed


def rehearsed(kube: Kube, resource: Resource, manifest: Manifest, wanted: Manifest, namespace: str = "") -> None:
    """What the server says to such a change, marked as a release marks it: validation, admission, rights. Nothing is written."""
    body = merge_patch(manifest, marked(manifest, wanted, Marker("plan", 0, fence_of(manifest))))
    kube.patch(resource, manifest["metadata"]["name"], body, namespace, dry_run=True)


def marked(manifest: Manifest, wanted: Manifest, marker: Marker) -> dict[str, Any]:
    """``wanted`` with the marker. Nothing is noted where all but the step stands there already. Raises Fenced for the marker of a later run."""
    live = fence_of(manifest)
    if live > marker.fence:
        raise Fenced(f"a later run wrote it (fence {live}, ours is {marker.fence})", where=f"{manifest.get('kind', '')} {manifest['metadata']['name']}",
                     do="This run writes nothing more; look with the status playbook.")
    meta = wanted.get("metadata") or {}
    notes = meta.get("annotations") or {}
    if wanted == manifest and live == marker.fence and notes.get(RELEASE) == marker.release:
        return dict(wanted)
    noted = {**notes, RELEASE: marker.release, STEP: str(marker.step), FENCE: str(marker.fence)}
    return {**wanted, "metadata": {**meta, "annotations": noted}}


def fence_of(manifest: Manifest) -> int:
    """The fence that the object carries; 0 where it carries none that could be one."""
    text = str((manifest["metadata"].get("annotations") or {}).get(FENCE) or "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def merge_patch(before: Manifest, after: Manifest) -> dict[str, Any]:
    """The smallest JSON merge patch (RFC 7396) from one to the other; lists are replaced as a whole."""
    patch: dict[str, Any] = {name: None for name in before if name not in after}
    for name, value in after.items():
        old = before.get(name)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            inner = merge_patch(old, value)
            if inner:
                patch[name] = inner
        elif name not in before or old != value:
            patch[name] = value
    return patch


def changed_by(manifest: Manifest, *path: str) -> str:
    """`` (last changed by kubectl-edit at 2026-01-02T03:04:05Z)`` where somebody else wrote the field last, else nothing."""
    last = _last_writer(manifest, path)
    return f" (last changed by {last.get('manager')} at {last.get('time')})" if last else ""


def writer_of(manifest: Manifest, *path: str) -> str:
    """The field manager who wrote the field last, where that was not us."""
    return str(_last_writer(manifest, path).get("manager") or "")


def _last_writer(manifest: Manifest, path: tuple[str, ...]) -> Manifest:
    writers = [entry for entry in manifest["metadata"].get("managedFields") or () if _holds(entry.get("fieldsV1") or {}, path)]
    # Times are whole seconds: of two writers in one, it is the other who undid what we wrote.
    last: Manifest = max(writers, key=lambda entry: (str(entry.get("time", "")), entry.get("manager") != MANAGER), default={})
    return {} if last.get("manager") == MANAGER else last


def _holds(fields: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    inner: Any = fields
    for name in path:
        inner = inner.get(f"f:{name}")
        if inner is None:
            return False
    return True
