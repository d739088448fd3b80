# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may go wrong with a release of a Kubernetes workload, found out before anything changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Optional

from ..core import kube_rights
from ..core.capacity import unavailable_and_surge
from ..core.errors import ConfigError, Unavailable
from ..core.kube_lint import kept_connections, lint
from ..core.kube_quota import shortage
from ..core.kube_selector import overlap
from ..core.kube_template import template_of
from ..core.plan import WORKLOAD, Kind, Plan, Step
from ..core.strategies.managed import peak
from .kube_access import may
from .kube_edit import merge_patch
from .kube_errors import Forbidden, NoSuchResource
from .kube_resources import PDBS, QUOTAS, Resource

if TYPE_CHECKING:
    from .kube_workload import KubeWorkload

Objects = Mapping[str, "dict[str, Any]"]


def foresee(workload: KubeWorkload, plan: Plan) -> list[str]:
    """Notes for people. Raises ConfigError, Unsupported for what cannot go well. Writes nothing."""
    steps = [step for step in plan.steps if step.kind in WORKLOAD]
    slots = list(dict.fromkeys(step.track for step in steps))
    names = {slot: workload.name(slot) for slot in slots}
    objects = {slot: found for slot, name in names.items() if (found := workload.kube.get(workload.RESOURCE, name)) is not None}
    notes = [*_missing(workload, steps, objects), *_lacking(workload)]
    _paused(workload, objects)
    _apart(workload, objects)
    for step in steps:
        _rehearsed(workload, step, objects)
        notes += _forgotten(workload, step, objects)
    for slot, manifest in objects.items():
        notes += [*_autoscaled(workload, slot, manifest, steps), *workload.hints(manifest)]
    if plan.stable in objects:
        notes += _unwell(workload, plan, objects[plan.stable])
        notes += lint(objects[plan.stable], workload.recipe.container, _readable(workload, PDBS))
        notes += _kept(workload, plan, steps, objects)
        notes += _room(workload, plan, objects)
    return notes


def _lacking(workload: KubeWorkload) -> Iterator[str]:
    wanted = {right: lost for right, lost in kube_rights.NICE.items() if right not in workload.SPARED}
    lacks = [f"{verb} {resource} ({lost})" for (resource, verb), lost in wanted.items() if not may(workload.kube, (resource, verb))]
    if lacks:
        yield f"not allowed, and done without: {'; '.join(lacks)}"


def _missing(workload: KubeWorkload, steps: list[Step], objects: Objects) -> Iterator[str]:
    kind, namespace = workload.RESOURCE.kind, workload.kube.namespace
    for step in steps:
        name = workload.name(step.track)
        if step.track in objects or step.kind is not Kind.DEPLOY:
            continue
        if not workload.create_missing:
            image = workload.recipe.image.replace("${version}", step.version)
            line = f"kubectl -n {namespace} create deployment {name} --image={image} --replicas=0" if workload.KIND == "deployment" and image else ""
            raise ConfigError(f"there is no {kind} {name} in namespace {namespace}", where=f"{workload.where}.{step.track}",
                              do=f"Make it ({line or 'kubectl apply'}), or set create_missing: true.")
        made = workload.made(step.track, step.version, step.replicas)
        _apart(workload, {**objects, step.track: made})
        workload.kube.create(workload.RESOURCE, made, dry_run=True)
        yield f"{kind} {name} is not there and will be made"


def _paused(workload: KubeWorkload, objects: Objects) -> None:
    for manifest in objects.values():
        if manifest["spec"].get("paused"):
            name = manifest["metadata"]["name"]
            raise ConfigError("it is paused: nothing it is told would happen", where=f"{workload.RESOURCE.kind} {name}",
                              do=f"kubectl -n {workload.kube.namespace} rollout resume {workload.KIND}/{name}")


def _apart(workload: KubeWorkload, objects: Objects) -> None:
    if len(objects) == 2 and overlap(*objects.values()):
        one, other = (manifest["metadata"]["name"] for manifest in objects.values())
        raise ConfigError(f"the selector of one of {one} and {other} also matches the Pods of the other", where=workload.where,
                          do="Give each a label of its own, such as track, in spec.selector and in the Pod template (selectors cannot be changed later).")


def _rehearsed(workload: KubeWorkload, step: Step, objects: Objects) -> None:
    """The server says what it would say to this step's write: validation, admission, quota of the object itself."""
    if step.kind is not Kind.DEPLOY or step.track not in objects:
        return
    manifest = objects[step.track]
    body = merge_patch(manifest, workload.edit_of(step)(manifest))
    if body:
        workload.kube.patch(workload.RESOURCE, manifest["metadata"]["name"], body, dry_run=True)


def _forgotten(workload: KubeWorkload, step: Step, objects: Objects) -> Iterator[str]:
    if step.kind is Kind.DEPLOY and not step.revision and step.track in objects and workload.forgotten(objects[step.track], step.version):
        name = objects[step.track]["metadata"]["name"]
        yield (f"{name}: the cluster remembers no template of version {step.version}, so its image is put into the present one. "
               "Raise revisionHistoryLimit for the next time")


def _autoscaled(workload: KubeWorkload, slot: str, manifest: Mapping[str, Any], steps: list[Step]) -> Iterator[str]:
    name = manifest["metadata"]["name"]
    hpa = workload.hpas.of(name)
    if hpa is None:
        return
    workload.hpas.check(name, max((step.replicas or 0 for step in steps if step.track == slot), default=0))
    yield f"{name} belongs to autoscaler {hpa['metadata']['name']}: its minReplicas is raised while traffic moves, and given back"
    owner: dict[str, Any] = next(iter(hpa["metadata"].get("ownerReferences") or ()), {})
    if owner.get("kind") == "ScaledObject":
        yield f"KEDA sets {hpa['metadata']['name']} back to its own minimum: raise minReplicaCount of ScaledObject {owner.get('name')} for the release"


def _unwell(workload: KubeWorkload, plan: Plan, manifest: Mapping[str, Any]) -> Iterator[str]:
    look = workload.progress(plan.stable)
    if not look.done:
        yield f"{manifest['metadata']['name']}, which serves now, is not well: {look.why}"


def _kept(workload: KubeWorkload, plan: Plan, steps: list[Step], objects: Objects) -> Iterator[str]:
    retired = dict.fromkeys(step.track for step in steps if step.kind is Kind.RETIRE and step.track in objects)
    path = workload.drain.path if workload.drain else ""
    for slot in retired or (plan.stable,):
        yield from kept_connections(objects[slot], workload.recipe.container, path, workload.where, retired=bool(retired))


def _room(workload: KubeWorkload, plan: Plan, objects: Objects) -> Iterator[str]:
    """Room in the quotas for the most Pods of this plan. An update in place can do with less, and takes longer."""
    manifest = objects[plan.stable]
    looks = {slot: workload.status(found) for slot, found in objects.items()}
    more = peak(plan, looks[plan.stable].wanted) - sum(look.wanted for look in looks.values())
    if workload.update is not None and not workload.update.recreate:
        more = unavailable_and_surge(workload.update.max_unavailable, workload.update.max_surge, looks[plan.stable].wanted)[1]
    quotas = _readable(workload, QUOTAS)
    lack = shortage(quotas, template_of(manifest), more) if quotas and more > 0 else ""
    if lack and workload.update is None:
        raise ConfigError(lack, where=f"namespace {workload.kube.namespace}", do="Make room, or take smaller steps.")
    if lack:
        yield lack


def _readable(workload: KubeWorkload, resource: Resource) -> Optional[list[dict[str, Any]]]:
    try:
        return workload.kube.list(resource)
    except (Forbidden, NoSuchResource, Unavailable):
        return None
