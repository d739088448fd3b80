# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of an Istio VirtualService that a release owns. Pure: manifests in, manifests out.

Owned are the weights of the rules whose destinations hold both slots (of ``http``, ``tls`` and ``tcp``); and, right before each such rule of ``http``,
rules of our own, which the annotation :data:`MARK` lists by name. Ours are copies of the rule with other matches and destinations, so that its
timeouts, retries, faults and headers hold for them too. In a VirtualService the first rule that matches takes the request.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Optional

from ..core.codec import decode, encode
from ..core.errors import ConfigError, Unsupported
from ..core.model import STABLE, Condition, MatchRoute, Mirror, Routes
from ..core.options import NAME
from ..core.parts import cookie, divide, no_source, pattern

Manifest = Mapping[str, Any]
Rule = dict[str, Any]
MARK = "progressive.delivery/routes"
SECTIONS = ("http", "tls", "tcp")
SAFE_METHODS = "GET|HEAD|OPTIONS"
MIRRORS = ("mirror", "mirrors", "mirrorPercentage", "mirrorPercent", "mirror_percent")
_LONG = re.compile(r"([^.]+)\.([^.]+)\.svc(?:\..+)?\Z")


@dataclass(frozen=True)
class Destination:
    """A Service, or a subset of one."""

    host: str
    subset: str = ""

    def __str__(self) -> str:
        return f"{self.host}/{self.subset}" if self.subset else self.host


@dataclass(frozen=True)
class Layout:
    """``slots``: slot to where its requests go. ``routes``: the rules that are meant, each ``section/which``; empty: the only one. ``total``: parts of
    a whole, where no other destination has any."""

    slots: Mapping[str, Destination]
    port: Optional[int] = None
    routes: tuple[str, ...] = ()
    total: int = 100
    mirror_unsafe: bool = False


@dataclass(frozen=True)
class Place:
    """A rule that holds both slots: ``rule`` is the ``index``-th of its section, ours not counted."""

    section: str
    index: int
    rule: Rule


def edit(manifest: Manifest, want: Routes, layout: Layout) -> dict[str, Any]:
    """The manifest with ``want`` in it; equal to ``manifest`` when that holds already. Raises ConfigError, Unsupported."""
    places = find(manifest, layout)
    mirror = want.mirror if want.mirror is not None and want.mirror.percentage > 0 else None
    if (want.matches or mirror) and not any(place.section == "http" for place in places):
        raise Unsupported("rules of tls and tcp know neither match routes nor mirrors", where=where(manifest))
    spec, names = dict(manifest["spec"]), []
    for section in SECTIONS:
        if section not in spec:
            continue
        edited: list[Rule] = []
        for index, rule in enumerate(_kept(manifest, section)):
            number = next((count for count, place in enumerate(places) if (place.section, place.index) == (section, index)), None)
            if number is None:
                edited.append(rule)
                continue
            weighted = _with_weights(rule, _parts(rule, want, layout, manifest), layout, manifest)
            ours = [] if section != "http" else list(own_rules(weighted, want.matches, mirror, layout, manifest, number))
            names += [each["name"] for each in ours]
            edited += [*ours, weighted]
        spec[section] = edited
    mark = {"names": names, "matches": [encode(match) for match in want.matches], "mirror": encode(mirror)} if names else None
    return _assembled(manifest, spec, mark)


def read(manifest: Manifest, layout: Layout) -> Routes:
    """The routes as the manifest has them, by the first rule that is meant. Rules of ours that are no longer what we wrote do not count."""
    places = find(manifest, layout)
    weights: dict[str, int] = {}
    for entry in _entries(places[0].rule):
        name = _slot(entry, layout, manifest) or _other(entry, layout)
        weights[name] = weights.get(name, 0) + _weight(entry, places[0].rule)
    total = sum(weights.values())
    if not total:
        raise ConfigError("the weights of its destinations sum to 0", where=where(manifest), do=f"Give {layout.slots[STABLE]} all of it.")
    mark = _mark(manifest)
    present = manifest["spec"].get("http") or []
    matches = tuple(decode(MatchRoute, each, where(manifest)) for each in mark.get("matches") or ())
    mirror = decode(Mirror, mark["mirror"], where(manifest)) if mark.get("mirror") else None
    kept = [match for match in matches if _stands(present, places, layout, manifest, matches=(match,))]
    copies = mirror if mirror is not None and _stands(present, places, layout, manifest, mirror=mirror) else None
    return Routes({name: Fraction(100 * weight, total) for name, weight in weights.items()}, matches=tuple(kept), mirror=copies)


def unowned(manifest: Manifest, layout: Layout) -> dict[str, Any]:
    """The manifest without the rules that are ours; weights stay."""
    find(manifest, layout)
    return _assembled(manifest, {**manifest["spec"], **{section: _kept(manifest, section) for section in SECTIONS if section in manifest["spec"]}}, None)


def find(manifest: Manifest, layout: Layout) -> list[Place]:
    """The rules that are meant. Raises ConfigError for none, for several without a name, and for one that is not whole."""
    whole: list[Place] = []
    partial: list[str] = []
    delegates: list[str] = []
    both = " and ".join(map(str, layout.slots.values()))
    for section in SECTIONS:
        for index, rule in enumerate(_kept(manifest, section)):
            label = f"{section}/{rule.get('name') or index}"
            slots = [slot for slot in (_slot(entry, layout, manifest) for entry in _entries(rule)) if slot]
            if rule.get("delegate"):
                delegates.append(f"{rule['delegate'].get('namespace') or 'this namespace'}/{rule['delegate'].get('name')}")
            if len(set(slots)) < len(slots):
                raise ConfigError(f"a destination stands in rule {label} twice", where=where(manifest), do="Name each destination of a rule once.")
            if len(slots) == len(layout.slots):
                whole.append(Place(section, index, rule))
            elif slots:
                partial.append(f"rule {label} has only {layout.slots[slots[0]]}")
    if layout.routes:
        return [_named(route, whole, both, manifest) for route in layout.routes]
    if len(whole) == 1:
        return whole
    if whole:
        labels = ", ".join(f"{place.section}/{place.rule.get('name') or place.index}" for place in whole)
        raise ConfigError(f"{len(whole)} rules hold {both}: {labels}", where=where(manifest), do="Say which: routes.")
    hint = f"{', '.join(partial)}: name both as destinations, weight 0 is enough." if partial else "It has no rule with either of them."
    if delegates and not partial:
        hint = f"It delegates to {', '.join(delegates)}: name that VirtualService."
    raise ConfigError(f"no rule holds {both}", where=where(manifest), do=hint)


def own_rules(rule: Rule, matches: tuple[MatchRoute, ...], mirror: Optional[Mirror], layout: Layout, manifest: Manifest, number: int) -> Iterator[Rule]:
    """The rules of ours that stand before ``rule``, the ``number``-th that is meant."""
    suffix = f".{number + 1}" if number else ""
    for match in matches:
        if not NAME.match(match.name):
            raise ConfigError(f"{match.name[:80]!r} is not a name for a match route", do="Letters, digits, '.', '_', ':' and '-'.")
        if match.track not in layout.slots:
            raise ConfigError(f"match route {match.name} goes to the unknown track {match.track!r}", do=f"Known: {', '.join(sorted(layout.slots))}.")
        both = [_with(own, conditions) for conditions in match.alternatives for own in rule.get("match") or [{}]]
        only = {name: value for name, value in _entry(rule, match.track, layout, manifest).items() if name != "weight"}
        yield {**_copy(rule), "name": f"progressive-{match.name}{suffix}", "match": both, "route": [copy.deepcopy(only)]}
    if mirror is not None:
        if any(rule.get(name) for name in MIRRORS[:2]):
            raise Unsupported("the rule has a mirror of its own", where=where(manifest), do="Take it out while the release mirrors.")
        if mirror.track not in layout.slots:
            raise ConfigError(f"the mirror goes to the unknown track {mirror.track!r}", do=f"Known: {', '.join(sorted(layout.slots))}.")
        to = copy.deepcopy(_entry(rule, mirror.track, layout, manifest)["destination"])
        share = mirror.percentage
        percentage = {"value": int(share) if share.denominator == 1 else float(share)}
        made = {**_copy(rule), "name": f"progressive-mirror{suffix}", "mirror": to, "mirrorPercentage": percentage}
        if not layout.mirror_unsafe:
            own = rule.get("match") or [{}]
            if any("method" in each for each in own):
                raise Unsupported("the rule looks at the method itself", where=where(manifest), do="Only with mirror_unsafe: true it can be mirrored.")
            made["match"] = [{**copy.deepcopy(each), "method": {"regex": SAFE_METHODS}} for each in own]
        yield made


def parts_of(rule: Mapping[str, Any], layout: Layout, manifest: Manifest) -> tuple[dict[str, int], dict[str, Fraction]]:
    """What a rule does: parts by slot (``''`` for others'), and percent of copies by slot."""
    parts: dict[str, int] = {}
    for entry in _entries(rule):
        slot = _slot(entry, layout, manifest)
        parts[slot] = parts.get(slot, 0) + _weight(entry, rule)
    copies: dict[str, Fraction] = {}
    slot = _slot({"destination": rule["mirror"]}, layout, manifest) if rule.get("mirror") else ""
    if slot:
        copies[slot] = Fraction(str((rule.get("mirrorPercentage") or {"value": 100}).get("value", 0)))
    return parts, copies


def is_ours(rule: Mapping[str, Any], manifest: Manifest) -> bool:
    return rule.get("name") in (_mark(manifest).get("names") or ())


def service_of(host: str, namespace: str) -> tuple[str, str]:
    """Name and namespace of the Service that a host is. A short name is one of the VirtualService's own namespace."""
    long = _LONG.match(host)
    return (long[1], long[2]) if long else (host, namespace)


def port_of(manifest: Manifest, slot: str, layout: Layout) -> int:
    """The port of the slot's destination; where nobody names it, the usual one."""
    place = find(manifest, layout)[0]
    entry = _entry(place.rule, slot, layout, manifest)
    return int((entry["destination"].get("port") or {}).get("number") or layout.port or (443 if place.section == "tls" else 80))


def where(manifest: Manifest) -> str:
    meta = manifest["metadata"]
    return f"VirtualService {meta.get('namespace', '')}/{meta['name']}"


def _named(route: str, whole: list[Place], both: str, manifest: Manifest) -> Place:
    section, slash, which = route.partition("/")
    if not slash:
        section, which = "http", route
    for place in whole:
        hosts = [host for match in place.rule.get("match") or () for host in match.get("sniHosts") or ()]
        if place.section == section and which in (str(place.rule.get("name") or ""), str(place.index), *hosts):
            return place
    known = ", ".join(f"{place.section}/{place.rule.get('name') or place.index}" for place in whole)
    raise ConfigError(f"no rule {route} holds {both}", where=where(manifest), do=f"These do: {known}." if known else "Name both as destinations of it.")


def _mark(manifest: Manifest) -> dict[str, Any]:
    text = (manifest["metadata"].get("annotations") or {}).get(MARK)
    try:
        mark = json.loads(text) if text else {}
        return {"names": list(mark.get("names") or ()), "matches": list(mark.get("matches") or ()), "mirror": mark.get("mirror")} if mark else {}
    except (AttributeError, TypeError, ValueError):
        raise ConfigError(f"the annotation {MARK} is not ours any more", where=where(manifest), do="Remove it, and the rules that a release left.") from None


def _kept(manifest: Manifest, section: str) -> list[Rule]:
    """The rules that are not ours."""
    rules = manifest["spec"].get(section) or []
    return [rule for rule in rules if section != "http" or not is_ours(rule, manifest)]


def _stands(
    present: list[Rule], places: list[Place], layout: Layout, manifest: Manifest, *, matches: tuple[MatchRoute, ...] = (), mirror: Optional[Mirror] = None
) -> bool:
    """Whether what we would write before each rule stands there."""
    wanted = [
        each for number, place in enumerate(places) if place.section == "http" for each in own_rules(place.rule, matches, mirror, layout, manifest, number)
    ]
    return bool(wanted) and all(each in present for each in wanted)


def _assembled(manifest: Manifest, spec: Mapping[str, Any], mark: Optional[Mapping[str, Any]]) -> dict[str, Any]:
    meta = dict(manifest["metadata"])
    annotations = {name: value for name, value in (meta.get("annotations") or {}).items() if name != MARK}
    if mark:
        annotations[MARK] = json.dumps(mark, sort_keys=True)
    if annotations:
        meta["annotations"] = annotations
    elif meta.get("annotations"):
        del meta["annotations"]
    return {**manifest, "metadata": meta, "spec": dict(spec)}


def _slot(entry: Mapping[str, Any], layout: Layout, manifest: Manifest) -> str:
    """The slot that a destination is; '' when it is another's."""
    to = entry.get("destination") or {}
    home = str(manifest["metadata"].get("namespace", ""))
    number = (to.get("port") or {}).get("number")
    if layout.port is not None and number is not None and number != layout.port:
        return ""
    for slot, wanted in layout.slots.items():
        if service_of(str(to.get("host", "")), home) == service_of(wanted.host, home) and str(to.get("subset") or "") == wanted.subset:
            return slot
    return ""


def _other(entry: Mapping[str, Any], layout: Layout) -> str:
    """A destination that is no slot, by a name that no slot has."""
    to = entry.get("destination") or {}
    name = "/".join(str(part) for part in (to.get("host", ""), to.get("subset"), (to.get("port") or {}).get("number")) if part)
    return f"{name}/" if name in layout.slots else name


def _entries(rule: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list(rule.get("route") or ())


def _entry(rule: Rule, slot: str, layout: Layout, manifest: Manifest) -> dict[str, Any]:
    return next(entry for entry in _entries(rule) if _slot(entry, layout, manifest) == slot)


def _weight(entry: Mapping[str, Any], rule: Mapping[str, Any]) -> int:
    """A single destination without a weight has everything, one of several has nothing."""
    return int(entry.get("weight", 100 if len(_entries(rule)) == 1 else 0))


def _parts(rule: Rule, want: Routes, layout: Layout, manifest: Manifest) -> dict[str, int]:
    current: dict[str, int] = {}
    for entry in _entries(rule):
        slot = _slot(entry, layout, manifest)
        name = f"slot {slot}" if slot else _other(entry, layout)
        current[name] = current.get(name, 0) + _weight(entry, rule)
    known = {*layout.slots, *(_other(entry, layout) for entry in _entries(rule) if not _slot(entry, layout, manifest))}
    for track, weight in want.weights.items():
        if weight and track not in known:
            raise ConfigError(f"unknown track {track!r}", where=where(manifest), do=f"Known: {', '.join(sorted(known))}.")
    shares = {f"slot {slot}": want.weight(slot) for slot in layout.slots}
    return divide(current, shares, f"slot {STABLE}", layout.total, where(manifest))


def _with_weights(rule: Rule, parts: Mapping[str, int], layout: Layout, manifest: Manifest) -> Rule:
    def weighted(entry: dict[str, Any]) -> dict[str, Any]:
        slot = _slot(entry, layout, manifest)
        return entry if not slot or entry.get("weight", 0) == parts[f"slot {slot}"] else {**entry, "weight": parts[f"slot {slot}"]}

    return {**rule, "route": [weighted(entry) for entry in _entries(rule)]}


def _copy(rule: Rule) -> Rule:
    return {name: copy.deepcopy(value) for name, value in rule.items() if name != "name"}


def _with(match: Mapping[str, Any], conditions: tuple[Condition, ...]) -> dict[str, Any]:
    """A match with conditions on top of its own. Raises Unsupported for what a VirtualService cannot say."""
    result = copy.deepcopy(dict(match))
    for condition in conditions:
        pattern(condition)
        test = {condition.how: condition.value}
        if condition.source == "header":
            _add(result, "headers", condition.name.lower(), test)
        elif condition.source == "cookie":
            _add(result, "headers", "cookie", {"regex": cookie(condition)})
        elif condition.source == "query":
            _add(result, "queryParams", condition.name, test)
        elif condition.source == "path":
            own = result.get("uri")
            inside = own is None or ("prefix" in own and condition.how != "regex" and condition.value.startswith(own["prefix"]))
            if not inside and own != test:
                raise Unsupported(f"the path {condition.value} does not lie inside the rule's own, {json.dumps(own)}", do="A match has one path only.")
            result["uri"] = test
        else:
            raise no_source(condition)
    return result


def _add(match: dict[str, Any], what: str, name: str, test: Mapping[str, str]) -> None:
    if name in (match.get(what) or {}):
        raise Unsupported(f"{name} would be tested twice in one match", do="A VirtualService tests each header and each parameter once.")
    match[what] = {**(match.get(what) or {}), name: dict(test)}
