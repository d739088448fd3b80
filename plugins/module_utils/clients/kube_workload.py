# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the workload adapters of Kubernetes have in common: one object per slot, changed with one compare-and-swap PATCH."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Optional

from ..core import kube_history
from ..core.errors import ConfigError, Conflict, Unavailable
from ..core.kube_history import Revision
from ..core.kube_pods import is_ready, is_running
from ..core.kube_rights import Rights, needed
from ..core.kube_selector import sibling, text
from ..core.kube_template import (
    IMAGE,
    VERSION,
    Recipe,
    bare,
    check_shape,
    fresh,
    main_container,
    release,
    replaced_template,
    same_image,
    same_template,
    template_of,
    version_of,
)
from ..core.model import CANARY, STABLE, Asked, Progress, Track
from ..core.options import Option, Options
from ..core.plan import Kind
from ..core.ports import Clock, Former
from ..core.rollout import Update
from .clock import SystemClock
from .kube import KUBE_OPTIONS, Kube
from .kube_config_maps import ConfigMaps
from .kube_drain import DRAIN, Drain, ask
from .kube_edit import Manifest, change, changed_by, found
from .kube_errors import Forbidden
from .kube_foresight import foresee
from .kube_hpa import Autoscalers
from .kube_reasons import reasoned
from .kube_resources import PODS, Resource

CALM = 0.3
"""Seconds after a change until the next look: a controller writes several states at once."""

WORKLOAD_OPTIONS: Options = {
    **KUBE_OPTIONS,
    "stable": Option("str", "Name of the object that serves now (or served first).", required=True),
    "canary": Option("str", "Name of the object that receives the new version; not needed for rolling and recreate."),
    "container": Option("str", "Container that the version is about. Default: the one that kubectl takes, else the first."),
    "image": Option("str", "Image of that container; C(${version}) is filled in."),
    "images": Option("dict", "Image per container, init containers too; C(${version}) is filled in.", open=True),
    "patch": Option("dict", "Strategic merge patch of the object, such as C({spec: {template: ...}}); C(${version}) is filled in.", open=True),
    "manifest": Option("raw", "The object itself, or the path of a YAML file that holds it (what Helm or kustomize wrote): its Pod template replaces the live"
                              " one. Name, selector and replicas stay; C(${version}) is filled in."),
    "create_missing": Option("bool", "Make an object that is not there, of C(manifest) or like the other slot's.", default=False),
    "hpa": Option("str", "HorizontalPodAutoscaler of the object. Default: found by itself, where autoscalers may be listed."),
    "config_maps": Option("dict", "ConfigMaps of this version: key and text, or the path of a file or folder. They are named by their content, the Pod template"
                                  " is led to them, and a rollback finds those of its version.", open=True),
    "drain": Option("dict", "How Pods that lost their traffic are asked to finish before they are scaled away, until none of their connections is open or"
                            " the drain timeout is over.", options=DRAIN),
}  # fmt: skip


class KubeWorkload:
    """Implements the ports ``ManagedWorkload``, ``Draining`` and ``Remembering``.

    A kind says what its status means, where its history is, and which Pods are its newest.

    ``names``: the object of each slot. ``version``: the release's own, which ``recipe`` makes. ``back``: it ran before, so what the cluster remembers of it
    comes first, for the recipe may be that of another version.
    """

    by_hosts: ClassVar[bool] = False
    OPTIONS: ClassVar[Options] = WORKLOAD_OPTIONS
    KIND: ClassVar[str]
    RESOURCE: ClassVar[Resource]
    SPARED: ClassVar[frozenset[tuple[str, str]]] = frozenset()
    """Rights that would be nice to have for other kinds."""

    def __init__(self, kube: Kube, names: Mapping[str, str], version: str, recipe: Recipe, *, update: Optional[Update] = None, hpa: str = "",
                 configs: Optional[ConfigMaps] = None, drain: Optional[Drain] = None, create_missing: bool = False, back: bool = False,
                 clock: Optional[Clock] = None) -> None:
        self.kube = kube
        self.names = names
        self.version = version
        self.recipe = recipe
        self.update = update
        self.hpas = Autoscalers(kube, self.RESOURCE, hpa)
        self.configs = configs or ConfigMaps(kube, {})
        self.drain = drain
        self.create_missing = create_missing
        self.back = back
        self.clock = clock or SystemClock()
        self.where = f"rollout_workload.{self.KIND}"
        self._seen: dict[str, str] = {}

    @classmethod
    def from_options(cls, options: Mapping[str, Any], version: str = "", update: Optional[Update] = None, kube: Optional[Kube] = None, *,
                     back: bool = False) -> Any:
        """``options``: validated ones of :data:`WORKLOAD_OPTIONS`. Nothing is asked yet. Raises ConfigError."""
        kube = kube or Kube.from_options({name: options.get(name) for name in KUBE_OPTIONS})
        where = f"rollout_workload.{cls.KIND}"
        configs = ConfigMaps.from_option(kube, options.get("config_maps") or {}, version, f"{cls.KIND}/{options['stable']}")
        recipe = Recipe(options.get("container") or "", options.get("image") or "", options.get("images") or {}, options.get("patch") or {},
                        _manifest(options.get("manifest"), cls.RESOURCE.kind, f"{where}.manifest"), configs.names)
        check_shape(recipe.patch, f"{where}.patch")
        names = {slot: options[slot] for slot in (STABLE, CANARY) if options.get(slot)}
        if len(set(names.values())) < len(names):
            raise ConfigError(f"{names[STABLE]} is both slots", where=where, do="stable and canary are two objects.")
        return cls(kube, names, version, recipe, update=update, hpa=options.get("hpa") or "", configs=configs,
                   drain=Drain.from_option(options["drain"]) if options.get("drain") else None,
                   create_missing=bool(options.get("create_missing")), back=back)

    @staticmethod
    def slots(options: Mapping[str, Any], groups: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        """The slots, none of which is made of hosts."""
        return {STABLE: (), CANARY: ()}

    # What a kind says

    def status(self, manifest: Manifest) -> Progress:
        """One look at the object alone, as ``kubectl rollout status`` takes it."""
        raise NotImplementedError

    def history(self, manifest: Manifest) -> list[Revision]:
        """Templates it had, by rising number, the present one last."""
        raise NotImplementedError

    def newest(self, manifest: Manifest, pods: Sequence[Manifest]) -> list[Manifest]:
        """Those of its Pods that were made from its present template."""
        raise NotImplementedError

    def strategy(self, update: Update, manifest: Manifest) -> dict[str, Any]:
        """Fields of the spec that make its controller replace Pods so. Raises Unsupported."""
        raise NotImplementedError

    def hints(self, manifest: Manifest) -> Iterator[str]:
        """What people should know of this object before it changes."""
        yield from ()

    # The port

    def read(self) -> Mapping[str, Track]:
        tracks: dict[str, Track] = {}
        for slot, name in self.names.items():
            manifest = self.kube.get(self.RESOURCE, name)
            if manifest is not None:
                look = self.status(manifest)
                tracks[slot] = Track(slot, version_of(template_of(manifest), self.recipe.container), look.wanted, look.ready)
        return tracks

    def rights(self) -> Rights:
        used = {"config_maps": self.configs.names, "drain": self.drain, "create_missing": self.create_missing, "hpa": self.hpas.named}
        return needed(self.KIND, tuple(use for use, given in used.items() if given))

    def foresee(self, plan: Any) -> list[str]:
        return foresee(self, plan)

    def deploy(self, track: str, version: str, replicas: Optional[int] = None) -> bool:
        name = self.name(track)
        if version == self.version and not self.back:
            self.configs.ensure()
        if replicas:
            for other in set(self.names.values()) - {name}:
                self._hold(other)
        manifest = self.kube.get(self.RESOURCE, name)
        if manifest is None and self.create_missing:
            self.kube.create(self.RESOURCE, self.made(track, version, replicas))
            return True
        if replicas and manifest is not None:
            self.hpas.hold(name, replicas)
        changed = self._change(name, self.editing(version, replicas), "template")
        self.configs.prune(self._templates())
        return changed

    def scale(self, track: str, replicas: int) -> bool:
        name = self.name(track)
        held = replicas > 0 and self.hpas.hold(name, replicas)
        return self._change(name, lambda manifest: self._scaled(manifest, replicas), "replicas") or held

    def retire(self, track: str) -> bool:
        name = self.name(track)
        manifest = self.kube.get(self.RESOURCE, name)
        # First to 0, where an autoscaler leaves it alone: one that gets its minimum back before would shrink it while we do.
        changed = manifest is not None and self._change(name, lambda manifest: self._scaled(manifest, 0), "replicas")
        for each in self.names.values():
            self.hpas.give_back(each)
        if manifest is None:
            return False
        self.configs.prune(self._templates())
        return changed

    @property
    def drains(self) -> bool:
        return self.drain is not None

    def ask_to_finish(self, track: str, left: float) -> Iterator[tuple[str, Asked]]:
        manifest = self.kube.get(self.RESOURCE, self.name(track))
        if manifest is None or self.drain is None:
            return
        for pod in self.pods(manifest):
            if is_running(pod):
                yield pod["metadata"]["name"], ask(self.kube, pod["metadata"]["name"], self.drain, left)

    def progress(self, track: str) -> Progress:
        name = self.name(track)
        manifest = self.kube.get(self.RESOURCE, name)
        if manifest is None:
            return Progress(False, f"there is no {self.RESOURCE.kind} {name}", failed=True)
        self._seen[track] = manifest["metadata"]["resourceVersion"]
        look = replace(self.status(manifest), version=version_of(template_of(manifest), self.recipe.container), by=changed_by(manifest, "spec", "template"))
        foreign = self._foreign(manifest)
        if foreign:
            return replace(look, done=False, failed=True, why=foreign)
        if look.done:
            return look
        return reasoned(self.kube, manifest, look, self.newest(manifest, self.pods(manifest)), self.clock.time())

    def addresses(self, track: str) -> Mapping[str, str]:
        manifest = found(self.kube, self.RESOURCE, self.name(track))
        return {pod["metadata"]["name"]: pod["status"]["podIP"] for pod in self.pods(manifest) if is_ready(pod) and pod["status"].get("podIP")}

    def await_change(self, track: str, seconds: float) -> None:
        started = self.clock.now()
        try:
            for _state in self.kube.watch(self.RESOURCE, self.name(track), self._seen.get(track, ""), seconds):
                self.clock.sleep(CALM)
                return
        except (Forbidden, Unavailable):
            pass  # looking now and then does as well
        left = seconds - (self.clock.now() - started)
        if left > 0:
            self.clock.sleep(left)

    # The way back of kubectl

    def revisions(self, track: str = STABLE) -> list[Revision]:
        """What the cluster remembers of the track, by rising number. Raises ConfigError."""
        return self.history(found(self.kube, self.RESOURCE, self.name(track)))

    def former(self, track: str, to: int) -> Former:
        manifest = found(self.kube, self.RESOURCE, self.name(track))
        self._refuse_paused(manifest)
        revision = kube_history.chosen(self.history(manifest), to, where=f"{self.RESOURCE.kind} {self.name(track)}")
        same = same_template(revision.template, template_of(manifest))
        return Former(version_of(revision.template, self.recipe.container), revision.name, revision.number, same)

    def present(self, track: str) -> str:
        manifest = found(self.kube, self.RESOURCE, self.name(track))
        return next((item.name for item in reversed(self.history(manifest)) if same_template(item.template, template_of(manifest))), "")

    def restore(self, track: str, name: str) -> bool:
        return self._change(self.name(track), self.restoring(name), "template")

    def undo(self, to: int = 0, track: str = STABLE) -> bool:
        """As ``kubectl rollout undo``: the template of revision ``to`` (0: the one before) takes the place of the present one. Raises ConfigError."""
        return self.restore(track, self.former(track, to).name)

    def restoring(self, revision: str) -> Callable[[Manifest], Manifest]:
        """What puts the template of the revision of that name in place of the present one, as kubectl does it."""

        def edit(manifest: Manifest) -> Manifest:
            self._refuse_paused(manifest)
            name = manifest["metadata"]["name"]
            chosen = next((item for item in self.history(manifest) if item.name == revision), None)
            if chosen is None:
                raise ConfigError(f"{revision} is not remembered any more", where=name, do="See kubectl rollout history, and revisionHistoryLimit.")
            if same_template(chosen.template, template_of(manifest)):
                return manifest
            back = replaced_template(manifest, chosen.template)
            notes = kube_history.undone_annotations(manifest, chosen) if chosen.annotations else manifest["metadata"].get("annotations") or {}
            return {**back, "metadata": {**manifest["metadata"], "annotations": notes}}

        return edit

    def _refuse_paused(self, manifest: Manifest) -> None:
        name = manifest["metadata"]["name"]
        if manifest["spec"].get("paused"):
            raise ConfigError("it is paused, so nothing would be rolled back", where=name, do=f"kubectl rollout resume {self.KIND}/{name}")

    def compared(self, plan: Any) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        now = found(self.kube, self.RESOURCE, self.name(plan.stable))
        then: Manifest = found(self.kube, self.RESOURCE, self.name(plan.after))
        for step in plan.steps:
            if step.kind is Kind.DEPLOY and step.track == plan.after:
                then = self.edit_of(step)(then)
        return bare(template_of(now)), bare(template_of(then))

    def edit_of(self, step: Any) -> Callable[[Manifest], Manifest]:
        """What a deploy step makes of its object."""
        return self.restoring(step.revision) if step.revision else self.editing(step.version, step.replicas)

    def forgotten(self, manifest: Manifest, version: str) -> bool:
        """Whether a version that ran before is nowhere to be found any more, so that only its image can be brought back."""
        remembered = [template_of(manifest), *(revision.template for revision in self.history(manifest))]
        return self.back and all(version_of(template, self.recipe.container) != version for template in remembered)

    # Parts

    def name(self, track: str) -> str:
        if track not in self.names:
            raise ConfigError(f"no {self.RESOURCE.kind} is named for the slot {track}", where=self.where, do=f"Set {track}.")
        return self.names[track]

    def pods(self, manifest: Manifest) -> list[dict[str, Any]]:
        """Every Pod that its selector matches."""
        return self.kube.list(PODS, labels=text(manifest["spec"].get("selector") or {}))

    def editing(self, version: str, replicas: Optional[int] = None) -> Callable[[Manifest], Manifest]:
        """What makes the object hold ``version``."""

        def edit(manifest: Manifest) -> Manifest:
            wanted = self._versioned(manifest, version)
            if self.update is not None:
                wanted = {**wanted, "spec": {**wanted["spec"], **self.strategy(self.update, manifest)}}
            return wanted if replicas is None else self._scaled(wanted, replicas)

        return edit

    def made(self, track: str, version: str, replicas: Optional[int]) -> dict[str, Any]:
        """The object that a slot lacks. Raises ConfigError when there is nothing to make it of."""
        name = self.name(track)
        shipped = version == self.version and not self.back
        if not shipped and not self.recipe.by_image:
            raise ConfigError(f"it is not there, and nothing says what version {version} was", where=f"{self.RESOURCE.kind} {name}",
                              do="The release file is that of another version. Make it yourself, with the version that it shall have.")
        like: Optional[Mapping[str, Any]] = None
        if self.recipe.manifest is None:
            others = [self.kube.get(self.RESOURCE, other) for slot, other in self.names.items() if slot != track]
            like = next((sibling(other, name, name) for other in others if other is not None), None)
            if like is None:
                raise ConfigError(f"{name} cannot be made: no label of the other slot's selector says which slot it is", where=f"{self.where}.create_missing",
                                  do="Give manifest, or make the object yourself with a selector of its own.")
        stated = (self.recipe.manifest or {}).get("spec", {}).get("replicas", 1)
        recipe = self.recipe if shipped else replace(self.recipe, patch={})
        return fresh(like or {}, name, recipe, version, stated if replicas is None else replicas, self.where)

    def _versioned(self, manifest: Manifest, version: str) -> Manifest:
        if version == self.version and not self.back:
            if self.recipe == Recipe(container=self.recipe.container, configs=self.recipe.configs):
                raise ConfigError("nothing says what a version is", where=self.where, do="Give image, images, patch or manifest.")
            return release(manifest, self.recipe, version, self.where)
        if version_of(template_of(manifest), self.recipe.container) == version:
            return manifest
        former = kube_history.of_version(self.history(manifest), version, self.recipe.container)
        if former is not None:
            return replaced_template(manifest, former.template)
        if not self.recipe.by_image:
            raise ConfigError(f"the cluster remembers no template of version {version}", where=f"{self.RESOURCE.kind} {manifest['metadata']['name']}",
                              do="Ship it as a release of its own, or raise revisionHistoryLimit for the next time.")
        return release(manifest, replace(self.recipe, patch={}, manifest=None, configs={}), version, self.where)

    def _scaled(self, manifest: Manifest, replicas: int) -> Manifest:
        """An autoscaler's number is written only to switch it off and on: 0, and back from 0."""
        if not replicas or not manifest["spec"].get("replicas", 1) or self.hpas.of(manifest["metadata"]["name"]) is None:
            return {**manifest, "spec": {**manifest["spec"], "replicas": replicas}}
        return manifest

    def _hold(self, name: str) -> None:
        """While traffic moves away from it, a track keeps what it has: it may get its traffic back at once."""
        manifest = self.kube.get(self.RESOURCE, name) if self.hpas.of(name) is not None else None
        if manifest is not None and manifest["spec"].get("replicas", 1):
            self.hpas.hold(name, int(manifest["spec"].get("replicas", 1)))

    def _change(self, name: str, edit: Callable[[Manifest], Manifest], field: str) -> bool:
        """Write what ``edit`` says. Raises Conflict when somebody else changed this very ``field`` of the spec between reading and writing."""
        seen: list[Any] = []

        def careful(manifest: Manifest) -> Manifest:
            now, wanted = manifest["spec"].get(field), edit(manifest)
            if seen and now != seen[0] and now != wanted["spec"].get(field):
                raise Conflict(f"somebody else changed spec.{field} at the same time{changed_by(manifest, 'spec', field)}",
                               where=f"{self.RESOURCE.kind} {name}", do="Only one may ship at a time: find out who else does.")
            seen[:] = [now]
            return wanted

        return change(self.kube, self.RESOURCE, name, careful)

    def _foreign(self, manifest: Manifest) -> str:
        """Who put another image where this release had put its own; '' when nobody did."""
        template = template_of(manifest)
        notes = (template.get("metadata") or {}).get("annotations") or {}
        if notes.get(VERSION) != self.version or not notes.get(IMAGE):
            return ""
        image = main_container(template, self.recipe.container, self.where)["image"]
        if same_image(image, notes[IMAGE]):
            return ""
        return f"somebody else set its image to {image}, this release had set {notes[IMAGE]}{changed_by(manifest, 'spec', 'template')}"

    def _templates(self) -> list[Mapping[str, Any]]:
        """Every template that runs, or that the cluster remembers."""
        if not self.configs.names:
            return []
        manifests = [manifest for name in self.names.values() if (manifest := self.kube.get(self.RESOURCE, name)) is not None]
        return [template_of(manifest) for manifest in manifests] + [revision.template for manifest in manifests for revision in self.history(manifest)]


def _manifest(given: Any, kind: str, where: str) -> Optional[dict[str, Any]]:
    """The one object of this kind. Raises ConfigError."""
    if given is None:
        return None
    documents: Sequence[Any] = [given] if isinstance(given, Mapping) else _documents(str(given), where)
    mine = [document for document in documents if isinstance(document, Mapping) and document.get("kind") == kind]
    for document in mine:
        check_shape(document, where, whole=True)
    if len(mine) != 1 or not template_of(mine[0]):
        raise ConfigError(f"one {kind} is wanted there, found {len(mine)}", where=where, do=f"Give the manifest of one {kind} with its Pod template.")
    return dict(mine[0])


def _documents(path: str, where: str) -> list[Any]:
    import yaml  # as ansible-core has it

    try:
        with open(os.path.expanduser(path), encoding="utf-8") as file:
            return list(yaml.safe_load_all(file))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read {path}: {' '.join(str(error).split())}", where=where) from None
