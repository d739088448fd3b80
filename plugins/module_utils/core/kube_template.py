# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a version gets into the Pod template of a workload, and how it is read back. Pure: manifests in, manifests out."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional, Union

from .errors import ConfigError, unknown
from .kube_config import renamed
from .kube_merge import covers, strategic

VERSION = "progressive.delivery/version"
IMAGE = "progressive.delivery/image"
MANIFEST = "progressive.delivery/manifest"
"""Annotations of a Pod template: its version; the image that makes this true; a hash of the manifest it was made from."""
HASH = "pod-template-hash"
"""The label that a Deployment gives to the template of each ReplicaSet."""
DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
PLACEHOLDER = "${version}"

Manifest = Mapping[str, Any]


def tag(image: str) -> str:
    """``2.4.1`` of ``registry:5000/shop:2.4.1``; the digest where there is no tag, ``latest`` where there is neither."""
    name, _at, digest = image.partition("@")
    _path, colon, text = name.rpartition(":")
    return text if colon and "/" not in text else digest or "latest"


def template_of(manifest: Manifest) -> dict[str, Any]:
    """The Pod template of a workload; empty when it has none."""
    found: dict[str, Any] = (manifest.get("spec") or {}).get("template") or {}
    return found


def containers(template: Manifest, kind: str = "containers") -> list[dict[str, Any]]:
    return list((template.get("spec") or {}).get(kind) or ())


def main_container(template: Manifest, name: str = "", where: str = "") -> dict[str, Any]:
    """The container that the version is about: the one named, else kubectl's default one, else the first. Raises ConfigError."""
    known = {container["name"]: container for container in containers(template)}
    if name and name not in known:
        raise unknown("container", name, known, where=where)
    default = str(((template.get("metadata") or {}).get("annotations") or {}).get(DEFAULT_CONTAINER, ""))
    chosen = known.get(name or default) or next(iter(known.values()), None)
    if chosen is None:
        raise ConfigError("its Pod template has no container", where=where)
    return chosen


def version_of(template: Manifest, container: str = "") -> str:
    """The version that a template says it holds: ours, as long as the image is the one it was said of; else the image's tag; '' without a container."""
    names = {item["name"] for item in containers(template)}
    if not names:
        return ""
    image = str(main_container(template, container if container in names else "").get("image", ""))
    notes = (template.get("metadata") or {}).get("annotations") or {}
    return str(notes[VERSION]) if notes.get(VERSION) and same_image(image, str(notes.get(IMAGE))) else tag(image)


def same_image(image: str, noted: str) -> bool:
    """Whether an image is the one that was noted, perhaps with its digest added since, as admission does that pins tags."""
    return image == noted or image.startswith(f"{noted}@")


def int_or_string(bound: Union[int, str]) -> Union[int, str]:
    """A number of Pods, or a percentage, as the API wants it: ``"1"`` is 1, ``"25%"`` stays."""
    return int(bound) if str(bound).isdigit() else bound


def check_shape(manifest: Any, where: str, *, whole: bool = False) -> None:
    """Raise ConfigError for a manifest, or a patch of one, that is not shaped as a workload is. ``whole``: each container has a name."""
    found, path = manifest, where
    for name in ("spec", "template", "spec"):
        for part in ("metadata", name):
            inner = found.get(part)
            if inner is not None and not isinstance(inner, Mapping):
                raise ConfigError(f"{inner!r} is no mapping", where=f"{path}.{part}", do="Write it as kubectl get -o yaml shows it.")
        found, path = found.get(name) or {}, f"{path}.{name}"
    for kind in ("initContainers", "containers"):
        given = found.get(kind) or ()
        if not isinstance(given, (list, tuple)) or not all(isinstance(item, Mapping) for item in given):
            raise ConfigError("it is no list of containers", where=f"{path}.{kind}", do="Write it as kubectl get -o yaml shows it.")
        for number, item in enumerate(given if whole else ()):
            if not isinstance(item.get("name"), str):
                raise ConfigError("it has no name", where=f"{path}.{kind}[{number}]")


def filled(value: Any, version: str) -> Any:
    """``value`` with ``${version}`` replaced in every text of it."""
    if isinstance(value, str):
        return value.replace(PLACEHOLDER, version)
    if isinstance(value, Mapping):
        return {key: filled(item, version) for key, item in value.items()}
    return [filled(item, version) for item in value] if isinstance(value, (list, tuple)) else value


@dataclass(frozen=True)
class Recipe:
    """What a version is, as the release file says: images, changes to the live object, or a whole manifest that takes its place.

    ``image`` belongs to ``container`` (else the main one), ``images`` to containers by name; ``${version}`` is filled in everywhere.
    ``configs``: what the ConfigMaps of this release are called, by the name that the template knows them by.
    """

    container: str = ""
    image: str = ""
    images: Mapping[str, str] = field(default_factory=dict)
    patch: Mapping[str, Any] = field(default_factory=dict)
    manifest: Optional[Mapping[str, Any]] = None
    configs: Mapping[str, str] = field(default_factory=dict)

    @property
    def by_image(self) -> bool:
        """Whether any version can be made, since its image follows from its name."""
        return PLACEHOLDER in self.image or any(PLACEHOLDER in image for image in self.images.values())


def release(manifest: Manifest, recipe: Recipe, version: str, where: str = "") -> dict[str, Any]:
    """The object with the release's own version in it. Its name, selector and replicas stay. Raises ConfigError.

    An object that holds the version already is left as it is, our annotations included: nothing restarts for their sake.
    """
    if recipe.manifest is not None:
        return _replaced(manifest, recipe, version, where)
    wanted = with_images(strategic(manifest, _without_fixed(filled(recipe.patch, version)), f"{where}.patch"), recipe, version, where)
    template = renamed(template_of(wanted), recipe.configs)
    if template == template_of(manifest) and version_of(template, recipe.container) == version:
        return wanted
    return _with_template(wanted, annotated(template, version, recipe.container))


def with_images(manifest: Manifest, recipe: Recipe, version: str, where: str = "") -> dict[str, Any]:
    """The object with the recipe's images for ``version``. Raises ConfigError for a container that it does not have."""
    template = copy.deepcopy(template_of(manifest))
    named = dict(recipe.images)
    if recipe.image:
        named[main_container(template, recipe.container, f"{where}.container")["name"]] = recipe.image
    known = {item["name"]: item for kind in ("initContainers", "containers") for item in containers(template, kind)}
    for name, image in named.items():
        if name not in known:
            raise unknown("container", name, known, where=f"{where}.images")
        known[name]["image"] = filled(image, version)
    return _with_template(manifest, template)


def annotated(template: Manifest, version: str, container: str = "") -> dict[str, Any]:
    """The template with its version noted on it."""
    main = main_container(template, container)
    if not main.get("image"):
        raise ConfigError(f"container {main['name']} has no image", do="Say it in the manifest, or give image.")
    notes = {VERSION: version, IMAGE: main["image"]}
    noted: dict[str, Any] = strategic(template, {"metadata": {"annotations": notes}})
    return noted


def fresh(like: Manifest, name: str, recipe: Recipe, version: str, replicas: int, where: str = "") -> dict[str, Any]:
    """A new object called ``name``, made of the recipe's manifest, or like another one. Raises ConfigError."""
    source = filled(recipe.manifest, version) if recipe.manifest is not None else like
    kept = {key: source[key] for key in ("apiVersion", "kind") if key in source}
    meta = {key: value for key, value in source.get("metadata", {}).items() if key == "labels"}
    spec = {**source["spec"], "replicas": replicas}
    patch = _without_fixed(filled(recipe.patch, version))
    made = with_images(strategic({**kept, "metadata": {**meta, "name": name}, "spec": spec}, patch, f"{where}.patch"), recipe, version, where)
    return _with_template(made, annotated(renamed(template_of(made), recipe.configs), version, recipe.container))


def replaced_template(manifest: Manifest, template: Manifest) -> dict[str, Any]:
    """The object with another template in place of its own, the labels that its selector needs kept."""
    labels = (manifest["spec"].get("selector") or {}).get("matchLabels") or {}
    bare = strategic(template, {"metadata": {"labels": {HASH: None, **labels}}})
    return _with_template(manifest, bare)


def same_template(one: Manifest, other: Manifest) -> bool:
    """Whether two templates are the same but for the label that a ReplicaSet adds."""
    return bool(bare(one) == bare(other))


def _replaced(manifest: Manifest, recipe: Recipe, version: str, where: str) -> dict[str, Any]:
    given: dict[str, Any] = _without_fixed(filled(recipe.manifest, version))
    given = with_images(strategic(given, _without_fixed(filled(recipe.patch, version)), f"{where}.patch"), recipe, version, where)
    template = annotated(renamed(template_of(given), recipe.configs), version, recipe.container)
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:16]
    given.pop("status", None)
    given["spec"] = {key: value for key, value in given["spec"].items() if key != "template"}
    given["metadata"] = {key: given.get("metadata", {})[key] for key in ("labels", "annotations") if given.get("metadata", {}).get(key)}
    wanted = strategic(manifest, given)
    made = replaced_template(wanted, strategic(template, {"metadata": {"annotations": {MANIFEST: digest}}}))
    # What the server filled in by itself is no difference.
    return wanted if covers(template_of(manifest), template_of(made)) else made


FIXED = ("replicas", "selector", "serviceName", "podManagementPolicy", "volumeClaimTemplates")
"""Fields of a spec that a release never changes: the number of replicas is the plan's or an autoscaler's, the others cannot be changed."""


def _without_fixed(given: Any) -> Any:
    spec = given.get("spec")
    return {**given, "spec": {key: value for key, value in spec.items() if key not in FIXED}} if isinstance(spec, Mapping) else given


def _with_template(manifest: Manifest, template: Manifest) -> dict[str, Any]:
    return {**manifest, "spec": {**manifest.get("spec", {}), "template": dict(template)}}


def bare(template: Manifest) -> Any:
    """A template without what the server and a ReplicaSet add to it."""
    meta = {key: value for key, value in (template.get("metadata") or {}).items() if key != "creationTimestamp"}
    labels = {key: value for key, value in (meta.get("labels") or {}).items() if key != HASH}
    return {**template, "metadata": {**meta, "labels": labels}}
