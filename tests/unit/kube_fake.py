# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Kubernetes API in a dict, for unit tests of adapters: the methods of ``clients.kube.Kube`` and no controllers.

Nothing happens by itself: no ReplicaSet follows a Deployment, no status is filled in. A test puts objects with :meth:`FakeKube.put` and
changes them with :meth:`FakeKube.edit`, as a controller would. ``writes`` lists every write that was not a dry run.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Optional

from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube import Answer
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_errors import Request, absent, changed, forbidden, no_such_resource
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_resources import ACCESS_REVIEWS, DEPLOYMENTS, Resource
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError

MERGE_KEYS = {
    "containers": "name", "initContainers": "name", "ephemeralContainers": "name", "env": "name", "volumes": "name", "volumeMounts": "mountPath",
    "imagePullSecrets": "name", "hostAliases": "ip", "topologySpreadConstraints": "topologyKey", "ownerReferences": "uid", "conditions": "type",
}  # fmt: skip
"""Lists that a strategic merge patch merges by a key of their items. ``ports``: containerPort in a container, port in a Service."""

Key = tuple[str, str, str]


class FakeKube:
    """``before`` is called with (verb, resource, name) ahead of every request: what it raises is what the caller sees."""

    def __init__(self, namespace: str = "shop", *, absent: tuple[Resource, ...] = ()) -> None:
        self.namespace = namespace
        self.where = "the fake cluster"
        self.objects: dict[Key, dict[str, Any]] = {}
        self.writes: list[tuple[str, str, str, Any]] = []
        """(verb, plural, name, body) of every write."""
        self.reads: list[tuple[str, str, str]] = []
        self.events: dict[Key, list[dict[str, Any]]] = {}
        """What :meth:`watch` gives next, by object; a test queues states with :meth:`queue`."""
        self.answers: dict[str, Answer] = {}
        """What :meth:`raw` answers, by path without its query; else 404."""
        self.before: Callable[[str, Resource, str], None] = lambda verb, resource, name: None
        self._absent = set(absent)
        self._forbidden: set[tuple[str, str]] = set()
        self._version = 100

    # What a test does to the world

    def put(self, resource: Resource, body: Mapping[str, Any]) -> dict[str, Any]:
        """Make or overwrite an object, status and all, as it is. Returns a copy of what is stored."""
        body = copy.deepcopy(dict(body))
        meta = body.setdefault("metadata", {})
        if resource.namespaced:
            meta.setdefault("namespace", self.namespace)
        meta.setdefault("generation", 1)
        meta.setdefault("uid", f"uid-{resource.plural}-{meta['name']}")
        meta["resourceVersion"] = self._next()
        body = {"apiVersion": resource.api, "kind": resource.kind, **body}
        self.objects[self._key(resource, meta["name"], meta.get("namespace", ""))] = body
        return copy.deepcopy(body)

    def edit(self, resource: Resource, name: str, change: Callable[[dict[str, Any]], Any], namespace: str = "") -> dict[str, Any]:
        """Change an object in place, as a controller or a person would; nothing is written to ``writes``."""
        body = self.objects[self._key(resource, name, namespace)]
        change(body)
        body["metadata"]["resourceVersion"] = self._next()
        return copy.deepcopy(body)

    def remove(self, resource: Resource, name: str, namespace: str = "") -> None:
        del self.objects[self._key(resource, name, namespace)]

    def queue(self, resource: Resource, name: str, *states: Mapping[str, Any], namespace: str = "") -> None:
        """States that :meth:`watch` will give; each also becomes what :meth:`get` finds once it was given."""
        self.events.setdefault(self._key(resource, name, namespace), []).extend(copy.deepcopy(dict(state)) for state in states)

    def forbid(self, verb: str, plural: str) -> None:
        """``plural`` may be ``pods/log`` or ``deployments/scale``."""
        self._forbidden.add((verb, plural))

    # The methods of Kube

    def get(self, resource: Resource, name: str, namespace: str = "") -> Optional[dict[str, Any]]:
        self._allow("get", resource, name, namespace)
        return copy.deepcopy(self.objects.get(self._key(resource, name, namespace)))

    def list(self, resource: Resource, namespace: str = "", labels: str = "", fields: str = "") -> list[dict[str, Any]]:
        self._allow("list", resource, None, namespace)
        place = namespace or self.namespace
        found = [body for (plural, where, _name), body in sorted(self.objects.items()) if plural == str(resource) and where in ("", place)]
        return [copy.deepcopy(body) for body in found if _labelled(body, labels) and _fielded(body, fields)]

    def create(self, resource: Resource, body: Mapping[str, Any], namespace: str = "", dry_run: bool = False) -> dict[str, Any]:
        name = body["metadata"]["name"]
        self._allow("create", resource, name, namespace)
        key = self._key(resource, name, namespace)
        if key in self.objects:
            raise changed(Request("create", resource, key[1], name), f'{resource} "{name}" already exists')
        made = copy.deepcopy(dict(body))
        json.dumps(made, allow_nan=False)
        if resource.namespaced:
            made["metadata"].setdefault("namespace", key[1])
        made["metadata"].update(generation=1, uid=f"uid-{resource.plural}-{name}")
        return self._store("create", resource, key, {"apiVersion": resource.api, "kind": resource.kind, **made}, body, dry_run)

    def replace(self, resource: Resource, body: Mapping[str, Any], namespace: str = "", dry_run: bool = False) -> dict[str, Any]:
        name = body["metadata"]["name"]
        self._allow("update", resource, name, namespace)
        if self._key(resource, name, namespace) not in self.objects:
            raise changed(Request("update", resource, namespace or self.namespace, name), "it was deleted meanwhile")
        key, current = self._current(resource, name, namespace)
        self._compare(resource, key, current, body["metadata"].get("resourceVersion", ""))
        wanted = {**copy.deepcopy(dict(body)), "apiVersion": resource.api, "kind": resource.kind}
        wanted["metadata"].update({field: current["metadata"].get(field) for field in ("namespace", "uid", "generation")})
        if "status" in current:
            wanted["status"] = copy.deepcopy(current["status"])
        return self._store("update", resource, key, wanted, body, dry_run)

    def patch(
        self, resource: Resource, name: str, body: Any, namespace: str = "", how: str = "merge", dry_run: bool = False, subresource: str = "",
    ) -> dict[str, Any]:  # fmt: skip
        self._allow("patch", resource, name, namespace, subresource)
        key, current = self._current(resource, name, namespace)
        wanted = copy.deepcopy(current)
        if how == "json":
            for step in body:
                _json_step(wanted, step)
        else:
            self._compare(resource, key, current, (body.get("metadata") or {}).get("resourceVersion", ""))
            wanted = _merged(wanted, body, strategic=how == "strategic")
        if subresource != "status" and "status" in current:
            wanted["status"] = copy.deepcopy(current["status"])
        wanted["metadata"]["resourceVersion"] = current["metadata"]["resourceVersion"]
        return self._store("patch", resource, key, wanted, body, dry_run)

    def delete(self, resource: Resource, name: str, namespace: str = "", body: Optional[Mapping[str, Any]] = None) -> bool:
        self._allow("delete", resource, name, namespace)
        found = self.objects.pop(self._key(resource, name, namespace), None)
        if found is not None:
            self.writes.append(("delete", resource.plural, name, body))
        return found is not None

    def watch(self, resource: Resource, name: str, since: str, seconds: float, namespace: str = "") -> Iterator[dict[str, Any]]:
        """What was queued for the object, then the end."""
        self._allow("watch", resource, name, namespace)
        key = self._key(resource, name, namespace)
        while self.events.get(key):
            state = self.events[key].pop(0)
            yield self.put(resource, state)

    def allowed(self, resource: Resource, verb: str, namespace: str = "", name: str = "", subresource: str = "") -> bool:
        self._allow("create", ACCESS_REVIEWS, None, "")
        plural = f"{resource.plural}/{subresource}" if subresource else resource.plural
        return (verb, plural) not in self._forbidden

    def raw(
        self, method: str, path: str, *, query: Optional[Mapping[str, str]] = None, body: Optional[bytes] = None,
        headers: Optional[Mapping[str, str]] = None, timeout: float = 10.0,
    ) -> Answer:  # fmt: skip
        self.reads.append((method, "raw", path))
        return self.answers.get(path, Answer(404, {}, b"not found"))

    def close(self) -> None:
        """Nothing is open."""

    # Insides

    def _next(self) -> str:
        self._version += 1
        return str(self._version)

    def _key(self, resource: Resource, name: str, namespace: str) -> Key:
        return str(resource), (namespace or self.namespace) if resource.namespaced else "", name

    def _allow(self, verb: str, resource: Resource, given: Optional[str], namespace: str, subresource: str = "") -> None:
        resource.path(namespace or self.namespace, given, subresource)
        name = given or ""
        if verb in ("get", "list", "watch"):
            self.reads.append((verb, resource.plural, name))
        self.before(verb, resource, name)
        if resource in self._absent:
            raise no_such_resource(Request(verb, resource), self.where)
        plural = f"{resource.plural}/{subresource}" if subresource else resource.plural
        if (verb, plural) in self._forbidden:
            raise forbidden(Request(verb, resource, namespace or self.namespace, name, subresource), user="tester", where=self.where)

    def _current(self, resource: Resource, name: str, namespace: str) -> tuple[Key, dict[str, Any]]:
        key = self._key(resource, name, namespace)
        if key not in self.objects:
            raise absent(Request("patch", resource, key[1], name), self.where)
        return key, self.objects[key]

    def _compare(self, resource: Resource, key: Key, current: Mapping[str, Any], expected: str) -> None:
        if expected and expected != current["metadata"]["resourceVersion"]:
            raise changed(Request("update", resource, key[1], key[2]))

    def _store(self, verb: str, resource: Resource, key: Key, wanted: dict[str, Any], body: Any, dry_run: bool) -> dict[str, Any]:
        current = self.objects.get(key)
        if current is not None:
            wanted["metadata"]["resourceVersion"] = current["metadata"]["resourceVersion"]
            if wanted == current:  # as the server: what changes nothing is no new version
                if not dry_run:
                    self.writes.append((verb, resource.plural, key[2], copy.deepcopy(body)))
                return copy.deepcopy(current)
            noted = resource == DEPLOYMENTS and wanted["metadata"].get("annotations") != current["metadata"].get("annotations")
            if noted or wanted.get("spec") != current.get("spec"):  # a Deployment's annotations count, alone of all kinds
                wanted["metadata"]["generation"] = current["metadata"].get("generation", 1) + 1
        wanted["metadata"]["resourceVersion"] = self._next()
        if not dry_run:
            self.objects[key] = wanted
            self.writes.append((verb, resource.plural, key[2], copy.deepcopy(body)))
        return copy.deepcopy(wanted)


def _labelled(body: Mapping[str, Any], selector: str) -> bool:
    """Whether the labels match ``a=b,c!=d,e,!f,g in (x, y),h notin (z)``."""
    labels = body["metadata"].get("labels") or {}
    for term in re.findall(r"[^,(]+(?:\([^)]*\))?", selector):
        term = term.strip()
        among = re.fullmatch(r"(\S+)\s+(in|notin)\s+\(([^)]*)\)", term)
        if among:
            inside = labels.get(among.group(1)) in [item.strip() for item in among.group(3).split(",")]
            good = inside == (among.group(2) == "in")
        elif "!=" in term:
            name, value = term.split("!=")
            good = labels.get(name) != value
        elif "=" in term:
            name, value = re.split("==?", term)
            good = labels.get(name) == value
        else:
            good = (term.lstrip("!") in labels) != term.startswith("!")
        if not good:
            return False
    return True


def _fielded(body: Mapping[str, Any], selector: str) -> bool:
    for term in filter(None, selector.split(",")):
        path, _equals, value = term.partition("=")
        found: Any = body
        for step in path.rstrip("!").split("."):
            found = (found or {}).get(step)
        if (str(found or "") == value.lstrip("=")) == path.endswith("!"):
            return False
    return True


def _merged(target: Any, patch: Any, *, strategic: bool, key: str = "", inside: str = "") -> Any:
    """A merge patch (RFC 7396), or a strategic one: lists by their merge key, ``$patch: delete`` and ``replace``."""
    if isinstance(patch, Mapping):
        directive = patch.get("$patch") if strategic else None
        if directive == "replace":
            return {name: copy.deepcopy(value) for name, value in patch.items() if name != "$patch"}
        result = dict(target) if isinstance(target, Mapping) else {}
        for name, value in patch.items():
            if value is None:
                result.pop(name, None)
            else:
                result[name] = _merged(result.get(name), value, strategic=strategic, key=name, inside=key)
        return result
    merge_key = ("containerPort" if inside == "containers" else "port") if key == "ports" else MERGE_KEYS.get(key, "")
    if strategic and isinstance(patch, list) and merge_key:
        return _merged_list(target or [], patch, merge_key, key)
    return copy.deepcopy(patch)


def _merged_list(target: list[Any], patch: list[Any], merge_key: str, key: str) -> list[Any]:
    result = copy.deepcopy(target)
    if any(item.get("$patch") == "replace" for item in patch):
        return [copy.deepcopy(item) for item in patch if "$patch" not in item]
    for item in patch:
        index = next((index for index, old in enumerate(result) if old.get(merge_key) == item.get(merge_key)), None)
        if item.get("$patch") == "delete":
            if index is not None:
                result.pop(index)
        elif index is None:
            result.append(_merged({}, item, strategic=True, key=key))
        else:
            result[index] = _merged(result[index], item, strategic=True, key=key)
    return result


def _json_step(target: Any, step: Mapping[str, Any]) -> None:
    """One operation of a JSON patch (RFC 6902): add, remove, replace, test."""
    *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in step["path"].split("/")[1:]]
    for part in parents:
        target = target[int(part) if isinstance(target, list) else part]
    where: Any = len(target) if last == "-" else int(last) if isinstance(target, list) else last
    operation = step["op"]
    if operation == "add" and isinstance(target, list):
        target.insert(where, copy.deepcopy(step["value"]))
    elif operation == "add":
        target[where] = copy.deepcopy(step["value"])
    elif operation in ("remove", "replace", "test") and (where not in target if isinstance(target, Mapping) else where >= len(target)):
        raise ConfigError(f"the JSON patch names {step['path']}, which is not there")
    elif operation == "remove":
        del target[where]
    elif operation == "replace":
        target[where] = copy.deepcopy(step["value"])
    elif operation == "test" and target[where] != step["value"]:
        raise ConfigError(f"the JSON patch's test of {step['path']} failed")
