# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of an HTTPRoute (Gateway API) that a release owns. Pure: manifests in, manifests out.

Owned is *one rule*, the one whose backends hold both slots, and of it only the weights; and, right before it, rules of our own, which the
annotation :data:`MARK` lists. Ours are copies of the rule with other matches and backends, so that its filters and timeouts hold for them too.

Which rule of a route takes a request is not a matter of order: the longer path wins, then a method, then more headers, then more query
parameters, and only then the order. Everything we write is written as the API server stores it, with its defaults.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Optional

from ..core.affinity import Cookie, held_otherwise
from ..core.codec import decode, encode
from ..core.errors import ConfigError, Unsupported
from ..core.model import CANARY, FULL, STABLE, Condition, MatchRoute, Mirror, Routes
from ..core.options import NAME
from ..core.parts import cookie, divide, no_source, pattern

Manifest = Mapping[str, Any]
Rule = dict[str, Any]
MARK = "progressive.delivery/routes"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
ROOT = {"path": {"type": "PathPrefix", "value": "/"}}
"""What a rule without matches means."""
HOLDS = "sessionPersistence"


@dataclass(frozen=True)
class Layout:
    """``backends``: slot to the name of its Service. ``rule``: name or index of the rule, where several hold both. ``total``: parts of a whole.
    ``cookie``: what holds sessions, where a release says it."""

    backends: Mapping[str, str]
    port: Optional[int] = None
    rule: str = ""
    total: int = 100
    mirror_unsafe: bool = False
    cookie: Optional[Cookie] = None


def edit(manifest: Manifest, want: Routes, layout: Layout) -> dict[str, Any]:
    """The manifest with ``want`` in it; equal to ``manifest`` when that holds already. Raises ConfigError, Unsupported."""
    kept, rule = _parted(manifest, layout)
    weighted = _with_weights(rule, _parts(rule, want, layout, manifest), layout, manifest)
    if layout.cookie is not None:
        weighted = _held(rule, weighted, layout.cookie, layout, manifest, lenient=FULL in want.weights.values())
    position = next(index for index, each in enumerate(kept) if each is rule)
    mirror = want.mirror if want.mirror is not None and want.mirror.percentage > 0 else None
    marks: list[dict[str, Any]] = []
    ours: list[Rule] = []
    for match in want.matches:
        ours.append(match_rule(weighted, match, layout, manifest, mirrored=mirror is not None and not layout.mirror_unsafe))
        marks.append({"match": encode(match), "matches": ours[-1]["matches"]})
    if mirror is not None:
        if layout.cookie is not None:
            raise Unsupported("a mirror is a rule of its own, and two rules share no session", where=where(manifest), do="Leave out affinity, or the mirror.")
        others = [each for each in kept if each is not rule]
        ours.append(mirror_rule(weighted, mirror, layout, manifest, others))
        marks.append({"mirror": encode(mirror), "matches": ours[-1]["matches"]})
    _check_free(ours, [each for each in kept if each is not rule], manifest)
    return _assembled(manifest, [*kept[:position], *ours, weighted, *kept[position + 1 :]], marks)


def read(manifest: Manifest, layout: Layout) -> Routes:
    """The routes as the manifest has them. A marked rule that is no longer what we wrote does not count."""
    _kept, rule = _parted(manifest, layout)
    weights: dict[str, int] = {}
    for ref in rule["backendRefs"]:
        name = _slot(ref, layout, manifest) or _other(ref, layout)
        weights[name] = weights.get(name, 0) + _weight(ref)
    total = sum(weights.values())
    if not total:
        raise ConfigError("the weights of its backends sum to 0", where=where(manifest), do=f"Give {layout.backends[STABLE]} all of it.")
    rules, matches, mirror = manifest["spec"]["rules"], [], None
    marks = _marks(manifest)
    copies = any("mirror" in mark for mark in marks) and not layout.mirror_unsafe
    for mark in marks:
        if "match" in mark:
            match = decode(MatchRoute, mark["match"], where(manifest))
            if match_rule(rule, match, layout, manifest, mirrored=copies) in rules:
                matches.append(match)
        else:
            found = decode(Mirror, mark["mirror"], where(manifest))
            mirror = found if mirror_rule(rule, found, layout, manifest, []) in rules else None
    return Routes({name: Fraction(100 * weight, total) for name, weight in weights.items()}, matches=tuple(matches), mirror=mirror)


def held(manifest: Manifest, layout: Layout) -> dict[str, Any]:
    """The manifest with the cookie and nothing else of a release. Raises ConfigError where something else holds sessions already."""
    kept, rule = _parted(manifest, layout)
    if layout.cookie is None:
        return dict(manifest)
    mine = _held(rule, rule, layout.cookie, layout, manifest, lenient=False)
    return {**manifest, "spec": {**manifest["spec"], "rules": [mine if each is rule else each for each in manifest["spec"]["rules"]]}}


def bare(manifest: Manifest) -> dict[str, Any]:
    """The manifest without what holds sessions."""
    rules = [{name: value for name, value in rule.items() if name != HOLDS} for rule in manifest["spec"].get("rules") or ()]
    return {**manifest, "spec": {**manifest["spec"], "rules": rules}}


def holding(manifest: Manifest, layout: Layout) -> dict[str, Any]:
    """What holds the sessions of the rule now; empty where nothing does."""
    _kept, rule = _parted(manifest, layout)
    return dict(rule.get(HOLDS) or {})


def unowned(manifest: Manifest, layout: Layout) -> dict[str, Any]:
    """The manifest without the rules that are ours; weights stay."""
    kept, _rule = _parted(manifest, layout)
    return _assembled(manifest, kept, [])


def parts_of(rule: Mapping[str, Any], layout: Layout, manifest: Manifest) -> tuple[dict[str, int], dict[str, Fraction]]:
    """What a rule does: parts by slot (``''`` for others'), and percent of copies by slot."""
    parts: dict[str, int] = {}
    for ref in rule.get("backendRefs") or ():
        slot = _slot(ref, layout, manifest)
        parts[slot] = parts.get(slot, 0) + _weight(ref)
    copies: dict[str, Fraction] = {}
    for mirror in (each.get("requestMirror") for each in rule.get("filters") or ()):
        slot = _slot((mirror or {}).get("backendRef") or {}, layout, manifest)
        if mirror and slot:
            part = mirror.get("fraction") or {"numerator": mirror.get("percent", 100)}
            copies[slot] = Fraction(100 * part["numerator"], part.get("denominator", 100))
    return parts, copies


def port(manifest: Manifest, slot: str, layout: Layout) -> int:
    """The port of the slot's backend."""
    _kept, rule = _parted(manifest, layout)
    return int(_ref(rule, slot, layout, manifest).get("port") or 80)


def match_rule(rule: Rule, match: MatchRoute, layout: Layout, manifest: Manifest, *, mirrored: bool) -> Rule:
    """The rule for what ``match`` asks for, on top of the rule's own matches.

    ``mirrored``: a mirror takes requests by their method, which would win over headers; so the safe methods are named here, too.
    """
    if not NAME.match(match.name):
        raise ConfigError(f"{match.name[:80]!r} is not a name for a match route", do="Letters, digits, '.', '_', ':' and '-'.")
    if match.track not in layout.backends:
        raise ConfigError(f"match route {match.name} goes to the unknown track {match.track!r}", do=f"Known: {', '.join(sorted(layout.backends))}.")
    matches = [_with(own, conditions) for conditions in match.alternatives for own in _matches(rule)]
    if mirrored:
        matches += [{**each, "method": method} for each in matches if "method" not in each for method in SAFE_METHODS]
    own = _copy(rule)
    if layout.cookie is not None:
        own.pop(HOLDS, None)  # of two rules with a session of one name, implementations may refuse both
    return {**own, "matches": matches, "backendRefs": [{**_ref(rule, match.track, layout, manifest), "weight": 1}]}


def mirror_rule(rule: Rule, mirror: Mirror, layout: Layout, manifest: Manifest, others: list[Rule]) -> Rule:
    """The rule once more, for requests that may safely be sent twice, with copies to the track. ``others`` are the rules that are not ours."""
    own = _matches(rule)
    if not layout.mirror_unsafe:
        paths = [each.get("path", ROOT["path"]) for each in own]
        if any("method" not in each and each.get("path", ROOT["path"]) in paths for other in others for each in _matches(other)):
            raise Unsupported(
                "another rule has the same path, and a mirror for safe methods would take its requests",
                where=where(manifest),
                do="Give that rule methods, put it into an HTTPRoute of its own, or set mirror_unsafe: true.",
            )
        own = [{**each, "method": method} for each in own for method in SAFE_METHODS if each.get("method", method) == method]
        if not own:
            raise Unsupported("the rule takes no GET, HEAD or OPTIONS", where=where(manifest), do="Only with mirror_unsafe: true others are mirrored.")
    backend = {name: value for name, value in _ref(rule, mirror.track, layout, manifest).items() if name not in ("weight", "filters")}
    part = mirror.percentage / FULL
    share: dict[str, Any] = {"percent": int(mirror.percentage)} if mirror.percentage.denominator == 1 else {
        "fraction": {"numerator": part.numerator, "denominator": part.denominator}}  # fmt: skip
    copies = {"type": "RequestMirror", "requestMirror": {"backendRef": backend, **({} if part == 1 else share)}}
    return {**_copy(rule), "matches": own, "filters": [*(rule.get("filters") or ()), copies]}


def where(manifest: Manifest) -> str:
    meta = manifest["metadata"]
    return f"HTTPRoute {meta.get('namespace', '')}/{meta['name']}"


def _parted(manifest: Manifest, layout: Layout) -> tuple[list[Rule], Rule]:
    """The rules that are not ours, and the one of them that holds both slots. Raises ConfigError for none and for several."""
    marks = _marks(manifest)
    kept = [rule for rule in manifest["spec"].get("rules") or () if not any(_is_ours(rule, mark, layout) for mark in marks)]
    whole, partial = [], []
    for index, rule in enumerate(kept):
        label = str(rule.get("name") or index)
        if layout.rule and layout.rule not in (label, str(index)):
            continue
        slots = [slot for slot in (_slot(ref, layout, manifest) for ref in rule.get("backendRefs") or ()) if slot]
        if len(set(slots)) < len(slots):
            raise ConfigError(f"a backend stands in rule {label} twice", where=where(manifest), do="Name each destination of a rule once.")
        if len(slots) == len(layout.backends):
            whole.append((label, rule))
        elif slots:
            partial.append(f"rule {label} has only {layout.backends[slots[0]]}")
    if len(whole) == 1:
        return kept, whole[0][1]
    both = " and ".join(layout.backends.values())
    if whole:
        raise ConfigError(f"{len(whole)} rules hold {both}: {', '.join(label for label, _rule in whole)}", where=where(manifest), do="Say which: rule.")
    hint = f"{', '.join(partial)}: name both as backendRefs, weight 0 is enough." if partial else f"Looked at {len(kept)} rules."
    raise ConfigError(f"no rule{f' {layout.rule}' if layout.rule else ''} holds {both}", where=where(manifest), do=hint)


def _marks(manifest: Manifest) -> list[dict[str, Any]]:
    text = (manifest["metadata"].get("annotations") or {}).get(MARK)
    try:
        marks = json.loads(text) if text else []
        return [mark for mark in marks if "matches" in mark and ("match" in mark or "mirror" in mark)]
    except (TypeError, ValueError):
        raise ConfigError(f"the annotation {MARK} is not ours any more", where=where(manifest), do="Remove it, and the rules that a release left.") from None


def _is_ours(rule: Rule, mark: Mapping[str, Any], layout: Layout) -> bool:
    if rule.get("matches") != mark["matches"]:
        return False
    if "match" in mark:
        return [ref["name"] for ref in rule.get("backendRefs") or ()] == [layout.backends.get(mark["match"].get("track", CANARY))]
    copied = [(each.get("requestMirror") or {}).get("backendRef") or {} for each in rule.get("filters") or ()]
    return any(ref.get("name") == layout.backends.get(mark["mirror"].get("track", CANARY)) for ref in copied)


def _assembled(manifest: Manifest, rules: list[Rule], marks: list[dict[str, Any]]) -> dict[str, Any]:
    meta = dict(manifest["metadata"])
    annotations = {name: value for name, value in (meta.get("annotations") or {}).items() if name != MARK}
    if marks:
        annotations[MARK] = json.dumps(marks, sort_keys=True)
    if annotations:
        meta["annotations"] = annotations
    elif meta.get("annotations"):
        del meta["annotations"]
    return {**manifest, "metadata": meta, "spec": {**manifest["spec"], "rules": rules}}


def _slot(ref: Mapping[str, Any], layout: Layout, manifest: Manifest) -> str:
    """The slot that a backend is; '' when it is another's."""
    home = manifest["metadata"].get("namespace")
    is_service = ref.get("kind", "Service") == "Service" and not ref.get("group") and ref.get("namespace", home) == home
    if not is_service or (layout.port is not None and ref.get("port") != layout.port):
        return ""
    return next((slot for slot, name in layout.backends.items() if name == ref.get("name")), "")


def _other(ref: Mapping[str, Any], layout: Layout) -> str:
    """A backend that is no slot, by a name that no slot has."""
    name = str(ref["name"])
    return f"{name}:{ref.get('port', '')}" if name in layout.backends or name in layout.backends.values() else name


def _check_free(ours: list[Rule], others: list[Rule], manifest: Manifest) -> None:
    """Raise ConfigError when a rule that is not ours asks for exactly what one of ours does: only one of them would get the requests."""
    wanted = [match for rule in ours for match in rule["matches"]]
    for other in others:
        match = next((each for each in _matches(other) if each in wanted), None)
        if match:
            raise ConfigError(
                f"another rule matches {json.dumps(match, sort_keys=True)} already", where=where(manifest), do="Remove that rule, or ask otherwise."
            )


def _ref(rule: Rule, slot: str, layout: Layout, manifest: Manifest) -> dict[str, Any]:
    return next(ref for ref in rule["backendRefs"] if _slot(ref, layout, manifest) == slot)


def _weight(ref: Mapping[str, Any]) -> int:
    return int(ref.get("weight", 1))


def _parts(rule: Rule, want: Routes, layout: Layout, manifest: Manifest) -> dict[str, int]:
    current: dict[str, int] = {}
    for ref in rule["backendRefs"]:
        name = ref["name"] if _slot(ref, layout, manifest) else f"another backend ({_other(ref, layout)})"
        current[name] = current.get(name, 0) + _weight(ref)
    known = {*layout.backends, *(_other(ref, layout) for ref in rule["backendRefs"] if not _slot(ref, layout, manifest))}
    for track, weight in want.weights.items():
        if weight and track not in known:
            raise ConfigError(f"unknown track {track!r}", where=where(manifest), do=f"Known: {', '.join(sorted(known))}.")
    shares = {name: want.weight(slot) for slot, name in layout.backends.items()}
    return divide(current, shares, layout.backends[STABLE], layout.total, where(manifest))


def _with_weights(rule: Rule, parts: Mapping[str, int], layout: Layout, manifest: Manifest) -> Rule:
    def weighted(ref: dict[str, Any]) -> dict[str, Any]:
        same = not _slot(ref, layout, manifest) or _weight(ref) == parts[ref["name"]]
        return ref if same else {**ref, "weight": parts[ref["name"]]}

    return {**rule, "backendRefs": [weighted(ref) for ref in rule["backendRefs"]]}


def _held(live: Rule, rule: Rule, cookie: Cookie, layout: Layout, manifest: Manifest, *, lenient: bool) -> Rule:
    """``rule`` with what holds its sessions.

    By the API's rules a session stays with its server "even if the weight is set to 0". So when a backend that had requests in ``live`` gets none in
    ``rule``, the session gets another name: no cookie of before is known any more, and everybody goes where the weights lead. ``lenient``: what somebody
    else has put there stays, instead of being refused, since a way back waits for nobody.
    """
    now = live.get(HOLDS) or {}
    named = re.fullmatch(re.escape(cookie.name) + r"(?:-([0-9]{1,9}))?", str(now.get("sessionName") or ""))
    if now and (named is None or now.get("type", "Cookie") != "Cookie"):
        if lenient:
            return rule
        what = f"the {now.get('type', 'Cookie').lower()} {now.get('sessionName') or 'without a name'}"
        raise held_otherwise(what, cookie, where(manifest), f"Take {HOLDS} out of the rule, or say the same name in affinity.")
    before, after = (parts_of(each, layout, manifest)[0] for each in (live, rule))
    left = any(before.get(slot) and not after.get(slot) for slot in layout.backends)
    number = int(named[1] or 1) + left if named else 1
    lifetime = {"absoluteTimeout": _gateway_duration(cookie.seconds)} if cookie.seconds else {}
    kind = {"cookieConfig": {"lifetimeType": "Permanent" if cookie.seconds else "Session"}}
    own = {name: value for name, value in now.items() if name != "absoluteTimeout"}  # such as idleTimeout
    return {**rule, HOLDS: {**own, "sessionName": cookie.name if number == 1 else f"{cookie.name}-{number}", "type": "Cookie", **lifetime, **kind}}


def _gateway_duration(seconds: int) -> str:
    """As the Gateway API writes it: ``1h30m``, no part of more than five digits."""
    hours, rest = divmod(seconds, 3600)
    parts = ((hours, "h"), (rest // 60, "m"), (rest % 60, "s"))
    return "".join(f"{count}{unit}" for count, unit in parts if count)


def _copy(rule: Rule) -> Rule:
    return {name: copy.deepcopy(value) for name, value in rule.items() if name != "name"}


def _matches(rule: Rule) -> list[dict[str, Any]]:
    return copy.deepcopy(rule.get("matches") or [ROOT])


def _with(match: Mapping[str, Any], conditions: tuple[Condition, ...]) -> dict[str, Any]:
    """A match with conditions on top of its own. Raises Unsupported for what the Gateway API cannot say."""
    result = copy.deepcopy(dict(match))
    for condition in conditions:
        value = pattern(condition)
        regex = {"exact": None, "prefix": f"{value}.*", "regex": condition.value}[condition.how]
        test = {"type": "Exact", "value": condition.value} if regex is None else {"type": "RegularExpression", "value": regex}
        if condition.source == "header":
            _add(result, "headers", {"name": condition.name, **test})
        elif condition.source == "cookie":
            _add(result, "headers", {"name": "cookie", "type": "RegularExpression", "value": cookie(condition)})
        elif condition.source == "query":
            _add(result, "queryParams", {"name": condition.name, **test})
        elif condition.source == "path":
            result["path"] = _path(result.get("path", ROOT["path"]), condition)
        else:
            raise no_source(condition)
    return result


def _add(match: dict[str, Any], what: str, test: dict[str, Any]) -> None:
    fold = str.lower if what == "headers" else str
    if fold(test["name"]) in [fold(each["name"]) for each in match.get(what) or ()]:
        raise Unsupported(f"{test['name']} would be tested twice in one match", do="The Gateway API tests each header and each parameter once.")
    match[what] = [*(match.get(what) or ()), test]


def _path(own: Mapping[str, Any], condition: Condition) -> dict[str, str]:
    """The narrower of both paths. A prefix is one of whole segments, as everywhere in the Gateway API."""
    kind = {"exact": "Exact", "prefix": "PathPrefix", "regex": "RegularExpression"}[condition.how]
    base = own["value"].rstrip("/")
    inside = own["type"] == "PathPrefix" and (not base or (kind != "RegularExpression" and re.match(rf"{re.escape(base)}(/|\Z)", condition.value)))
    if not inside and dict(own) != {"type": kind, "value": condition.value}:
        raise Unsupported(f"the path {condition.value} does not lie inside the rule's own, {own['type']} {own['value']}", do="A match has one path only.")
    return {"type": kind, "value": condition.value}
