# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What controllers say of an HTTPRoute and of its Gateways. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Manifest = Mapping[str, Any]
GROUP = "gateway.networking.k8s.io"


def unaccepted(route: Manifest) -> str:
    """Why the route as it is now is not in force, in the words of its controller; empty when every parent has accepted it."""
    return next((why for why, _definite in _faults(route)), "")


def refused(route: Manifest) -> str:
    """The same, of what will not get better by waiting for the controller."""
    return next((why for why, definite in _faults(route) if definite), "")


def _faults(route: Manifest) -> Iterator[tuple[str, bool]]:
    """What is wrong, and whether its controller has said so of this very generation."""
    meta = route["metadata"]
    generation = int(meta.get("generation") or 0)
    said = (route.get("status") or {}).get("parents") or ()
    for parent in route["spec"].get("parentRefs") or ():
        name = f"HTTPRoute {meta['name']}"
        found = [each for each in said if _same(each.get("parentRef") or {}, parent, str(meta.get("namespace", "")))]
        if not found:
            yield f"no controller has said anything of {name} at {_named(parent)}: is there such a Gateway, and does its class have a controller?", False
        for status in found:
            for why, definite in _untrue(status.get("conditions") or (), ("Accepted", "ResolvedRefs"), generation):
                yield f"{name} at {_named(parent)}: {why}", definite
    if not route["spec"].get("parentRefs"):
        yield f"HTTPRoute {meta['name']} names no parentRefs, so no Gateway serves it", True


def gateways(route: Manifest) -> Iterator[tuple[str, str]]:
    """Namespace and name of each Gateway that the route hangs on, each once."""
    home = str(route["metadata"].get("namespace", ""))
    parents = [ref for ref in route["spec"].get("parentRefs") or () if ref.get("kind", "Gateway") == "Gateway" and ref.get("group", GROUP) == GROUP]
    yield from dict.fromkeys((str(ref.get("namespace") or home), str(ref["name"])) for ref in parents)


def unprogrammed(gateway: Manifest) -> str:
    """Why the Gateway is not in the data plane, in its controller's words; empty when it is."""
    meta = gateway["metadata"]
    said = _untrue((gateway.get("status") or {}).get("conditions") or (), ("Programmed",), int(meta.get("generation") or 0))
    return next((f"Gateway {meta.get('namespace', '')}/{meta['name']}: {why}" for why, _definite in said), "")


def _untrue(conditions: Iterable[Mapping[str, Any]], types: tuple[str, ...], generation: int) -> Iterator[tuple[str, bool]]:
    by_type = {str(condition.get("type")): condition for condition in conditions}
    for kind in types:
        condition = by_type.get(kind)
        if condition is None:
            yield f"its controller has not said {kind} yet", False
        elif int(condition.get("observedGeneration") or 0) < generation:
            seen = condition.get("observedGeneration", 0)
            yield f"its controller has not seen the last change yet ({kind} is about generation {seen} of {generation})", False
        elif condition.get("status") != "True":
            message = " ".join(str(condition.get("message") or "").split())[:400]
            why = f"{kind} is {condition.get('status')}: {condition.get('reason', '')}{f': {message}' if message else ''}"
            yield why, condition.get("status") == "False"


def _same(one: Mapping[str, Any], other: Mapping[str, Any], home: str) -> bool:
    """Whether two references mean the same part of the same parent, with their defaults."""
    return _full(one, home) == _full(other, home)


def _full(ref: Mapping[str, Any], home: str) -> tuple[Any, ...]:
    return ref.get("group", GROUP), ref.get("kind", "Gateway"), ref.get("namespace") or home, ref.get("name"), ref.get("sectionName"), ref.get("port")


def _named(ref: Mapping[str, Any]) -> str:
    section = f" ({ref['sectionName']})" if ref.get("sectionName") else ""
    return f"{ref.get('kind', 'Gateway')} {ref['name']}{section}"
