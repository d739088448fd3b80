# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of an Envoy route configuration that a release owns. Pure: documents in, documents out.

Owned is *one rule*, the route whose weighted clusters hold every track, and of it only the weights; and, right before it, routes of our
own. Ours are copies of the rule with all weight on one track and more conditions, named ``progressive-<name>`` and marked in their
metadata, so that everything else the rule says (timeouts, retries, filters, headers to add) holds for them too. Everything else in the
document survives unchanged, in order, in the spelling it has (Envoy reads ``weighted_clusters`` and ``weightedClusters`` alike).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from ..core.affinity import Cookie, held_otherwise
from ..core.codec import decode, encode
from ..core.errors import ConfigError, Unsupported
from ..core.model import FULL, STABLE, Assignment, Condition, MatchRoute, Mirror, Routes
from ..core.options import NAME
from ..core.parts import cookie, divide, no_source, pattern
from ..core.sticky import split_point
from ..core.units import show_percent

Document = dict[str, Any]
MARK = "progressive.delivery"
BASE = 10000
"""Parts that a rule without a third destination is split into: hundredths of a per cent."""

MILLION = 1_000_000
SAFE_METHODS = "GET|HEAD|OPTIONS"


@dataclass(frozen=True)
class Layout:
    """Where the rule is and what its clusters mean. ``clusters`` and ``mirrors``: track to cluster name; empty names: the only one. ``cookie``: what
    holds sessions, where a release says it."""

    clusters: Mapping[str, str]
    route_config: str = ""
    virtual_host: str = ""
    route: str = ""
    mirrors: Mapping[str, str] = field(default_factory=dict)
    mirror_unsafe: bool = False
    cookie: Cookie | None = None

    @property
    def owner(self) -> str:
        """What marks the routes of this rule, so that several rules of one virtual host can each have theirs."""
        return ",".join(sorted(self.clusters.values()))


@dataclass(frozen=True)
class Rule:
    """A rule in its place: ``routes[index]`` of the virtual host, inside the document it was found in."""

    routes: list[Document]
    index: int
    route_config: str
    where: str

    @property
    def route(self) -> Document:
        return self.routes[self.index]

    @property
    def entries(self) -> list[Document]:
        """Its weighted clusters."""
        return _entries(self.route)


def edit(document: Document, want: Routes, layout: Layout) -> Document:
    """``document`` with ``want`` in it; equal to ``document`` when that holds already. Raises ConfigError, Unsupported."""
    result = copy.deepcopy(document)
    rule = find(result, layout)
    route = rule.route
    wanted = parts(rule, want, layout)
    _set_weights(route, wanted)
    if layout.cookie is not None:
        hold(route, layout.cookie, rule.where, lenient=FULL in want.weights.values())
    ours = [each for match in want.matches for each in match_routes(route, match, layout)]
    if want.assignment is not None:
        ours.extend(assignment_routes(route, want.assignment, layout))
    if want.mirror is not None and want.mirror.percentage > 0:
        if want.assignment is not None:
            raise Unsupported("a mirror beside a split of users would take their requests", where=rule.where, do="Mirror first, and begin the test afterwards.")
        ours.append(mirror_route(route, want.mirror, layout))
    kept = [each for each in rule.routes if not _is_ours(each, layout)]
    position = next(index for index, each in enumerate(kept) if each is route)
    rule.routes[:] = [*kept[:position], *ours, *kept[position:]]
    return result


def read(document: Document, layout: Layout) -> Routes:
    """The routes as the document has them. A marked route that is no longer what we wrote does not count."""
    rule = find(document, layout)
    names = {cluster: track for track, cluster in layout.clusters.items()}
    total = sum(_weight(entry) for entry in rule.entries)
    if not total:
        raise ConfigError("the weights of its clusters sum to 0", where=rule.where, do="Give the stable cluster all of it.")
    weights = {names.get(_name(entry), _name(entry)): Fraction(100 * _weight(entry), total) for entry in rule.entries}
    present = [route for route in rule.routes if _is_ours(route, layout)]
    matches, mirror, assignment = [], None, None
    for route in present:
        mark = _mark(route)
        if "match" in mark:
            match = decode(MatchRoute, mark["match"], rule.where)
            if all(each in present for each in match_routes(rule.route, match, layout)):
                matches.append(match)
        elif "assignment" in mark:
            users = decode(Assignment, mark["assignment"], rule.where)
            assignment = users if all(each in present for each in assignment_routes(rule.route, users, layout)) else None
        elif "mirror" in mark:
            found = decode(Mirror, mark["mirror"], rule.where)
            mirror = found if found.track in layout.mirrors and mirror_route(rule.route, found, layout) == route else None
    return Routes(weights, matches=tuple(matches), mirror=mirror, assignment=assignment)


def in_force(document: Document, config: Mapping[str, Any], layout: Layout) -> str:
    """Why ``config``, a route configuration that Envoy shows, is not the one of ``document``; empty when it is."""
    wanted, shown = find(document, layout), find({"resources": [dict(config)]}, layout)
    for entry in wanted.entries:
        live = {_name(other): _weight(other) for other in shown.entries}.get(_name(entry))
        if live != _weight(entry):
            return f"cluster {_name(entry)} has weight {live}, not {_weight(entry)}"
    expected, live_names = ([route.get("name") for route in rule.routes if _is_ours(route, layout)] for rule in (wanted, shown))
    return "" if expected == live_names else f"its own routes are {live_names or 'none'}, not {expected or 'none'}"


def find(document: Document, layout: Layout) -> Rule:
    """The one rule that holds every track. Raises ConfigError for none, for several, and for one that is not whole."""
    whole: list[Rule] = []
    partial: list[str] = []
    wanted = set(layout.clusters.values())
    hosts = _virtual_hosts(document, layout)
    for config, host in hosts:
        routes = _get(host, "routes", [])
        for index, route in enumerate(routes):
            if _mark(route) or (layout.route and route.get("name") != layout.route):
                continue
            label = f"{config}/{host.get('name', '')}/{route.get('name') or index}"
            names = [_name(entry) for entry in _entries(route)] or [str(_get(route, "route", {}).get("cluster", ""))]
            if wanted <= set(names):
                if len(set(names)) != len(names):
                    raise ConfigError("a cluster stands in it twice", where=label, do="Each destination of a rule is named once.")
                whole.append(Rule(routes, index, config, label))
            elif wanted & set(names):
                partial.append(f"{label} lacks {', '.join(sorted(wanted - set(names)))}")
    if len(whole) == 1:
        return whole[0]
    clusters = " and ".join(sorted(wanted))
    if whole:
        raise ConfigError(f"{len(whole)} rules hold {clusters}: {', '.join(rule.where for rule in whole)}", do="Say which: route_config, virtual_host, route.")
    hint = f"{', '.join(partial)}: write it as weighted clusters, weight 0 is enough." if partial else f"Looked in {len(hosts)} virtual hosts."
    raise ConfigError(f"no rule holds {clusters} as weighted clusters", do=hint)


def parts(rule: Rule, want: Routes, layout: Layout) -> dict[str, int]:
    """The weight of each cluster of the rule. A third destination keeps its own, and stable takes the rest; the sum stays then.

    Raises Unsupported for a share that is no whole number of parts, ConfigError for an unknown track or when nothing is left for stable.
    """
    current = {_name(entry): _weight(entry) for entry in rule.entries}
    ours = set(layout.clusters.values())
    others = {name: weight for name, weight in current.items() if name not in ours}
    for track, weight in want.weights.items():
        if weight and track not in layout.clusters and track not in others:
            raise ConfigError(f"unknown track {track!r}", where=rule.where, do=f"Known: {', '.join(sorted({*layout.clusters, *others}))}.")
    shares = {cluster: want.weight(track) for track, cluster in layout.clusters.items()}
    base = int(_get(_get(_get(rule.route, "route", {}), "weighted_clusters", {}), "total_weight", BASE))
    rest = layout.clusters[STABLE if STABLE in layout.clusters else next(iter(layout.clusters))]
    return divide(current, shares, rest, base, rule.where)


def held(document: Document, layout: Layout) -> Document:
    """``document`` with the cookie and nothing else of a release. Raises ConfigError where something else holds sessions already."""
    result = copy.deepcopy(document)
    rule = find(result, layout)
    if layout.cookie is not None:
        hold(rule.route, layout.cookie, rule.where)
    return result


def hold(route: Document, cookie: Cookie, where: str, *, lenient: bool = False) -> None:
    """Have the route hash this cookie, and set it where a request has none. Which cluster a request goes to is chosen before, by weight alone.

    Raises ConfigError where it hashes something else already; ``lenient`` leaves that, since a way back waits for nobody.
    """
    action = _get(route, "route", {})
    field = _spelled(action, "hash_policy")
    policies = action.get(field, [])
    others = [each for each in policies if each.get("cookie", {}).get("name") != cookie.name]
    if others:
        if lenient:
            return
        kind = next((name for name in others[0] if name != "terminal"), "nothing")
        raise held_otherwise(kind, cookie, where, "Take its hash_policy out, or affinity.")
    wanted = {"name": cookie.name, "ttl": f"{cookie.seconds}s", "path": cookie.path or "/"}
    if not policies or any(policies[0]["cookie"].get(name) != value for name, value in wanted.items()):
        action[field] = [{**(policies[0] if policies else {}), "cookie": {**(policies[0]["cookie"] if policies else {}), **wanted}}]


def match_routes(rule: Document, match: MatchRoute, layout: Layout) -> list[Document]:
    """One route for each alternative of ``match``. An alternative's conditions come on top of the rule's own."""
    if not NAME.match(match.name):
        raise ConfigError(f"{match.name[:80]!r} is not a name for a match route", do="Letters, digits, '.', '_', ':' and '-'.")
    if match.track not in layout.clusters:
        raise ConfigError(f"match route {match.name} goes to the unknown track {match.track!r}", do=f"Known: {', '.join(sorted(layout.clusters))}.")
    routes = []
    for number, conditions in enumerate(match.alternatives, 1):
        mark: dict[str, Any] = {"owner": layout.owner}
        if number == 1:
            mark["match"] = encode(match)
        route = _own_copy(rule, match.name if number == 1 else f"{match.name}#{number}", mark)
        for condition in conditions:
            _add(route["match"], condition)
        _set_weights(route, {cluster: BASE if track == match.track else 0 for track, cluster in layout.clusters.items()}, others=0)
        routes.append(route)
    return routes


def assignment_routes(rule: Document, users: Assignment, layout: Layout) -> list[Document]:
    """The rule once more for requests that carry a key, split by its hash as :mod:`..core.sticky` does; and, unless those are left to chance, one for
    the others.

    Envoy takes XXH64 of what its hash policy names, modulo the sum of the weights, and walks the clusters in their order: so the first of them has
    the lowest buckets, and keeps them as it grows.
    """
    for track in (users.track, *filter(None, [users.others])):
        if track not in layout.clusters:
            raise ConfigError(f"users shall go to the unknown track {track!r}", do=f"Known: {', '.join(sorted(layout.clusters))}.")
    header, carries, key = _key(users)
    split = _own_copy(rule, "users", {"owner": layout.owner, "assignment": encode(users)})
    split["match"].setdefault("headers", []).append(_header(header, {"safe_regex": {"regex": carries}}))
    action = _get(split, "route", {})
    clusters = _get(action, "weighted_clusters", {})
    total = sum(_weight(entry) for entry in _entries(split))
    for entry in _entries(split):
        entry["weight"] = split_point(Fraction(100 * _weight(entry), total))
    _entries(split).sort(key=lambda entry: _name(entry) != layout.clusters[users.track])
    for name in ("total_weight", "header_name"):
        clusters.pop(_spelled(clusters, name), None)
    clusters[_spelled(clusters, "use_hash_policy")] = True
    policy = {"header": {"header_name": header, "regex_rewrite": {"pattern": {"regex": f"^{key}$"}, "substitution": rf"{users.salt}:\1"}}, "terminal": True}
    field = _spelled(action, "hash_policy")
    action[field] = [policy, *action.get(field, [])]
    if not users.others:
        return [split]
    others = _own_copy(rule, "others", {"owner": layout.owner})
    _set_weights(others, {cluster: BASE if track == users.others else 0 for track, cluster in layout.clusters.items()}, others=0)
    return [split, others]


def _key(users: Assignment) -> tuple[str, str, str]:
    """The header that the key stands in, a regular expression for one that has it, and one whose group is the key. The first of a name counts."""
    name = re.escape(users.name)
    if users.source == "header":
        return users.name, ".+", "(.+)"
    if users.source == "cookie":
        return "cookie", rf"(?:.*;\s*)?{name}=[^;]+.*", rf"(?:.*?;\s*)??{name}=([^;]+).*"
    return ":path", rf"[^?]*\?(?:.*&)?{name}=[^&#]+.*", rf"[^?]*\?(?:.*?&)??{name}=([^&#]+).*"


def mirror_route(rule: Document, mirror: Mirror, layout: Layout) -> Document:
    """The rule once more, for requests that may safely be sent twice, with copies to the track's mirror cluster."""
    if mirror.track not in layout.mirrors:
        raise Unsupported(f"no mirror cluster for the track {mirror.track!r} is named", do="Name it in mirror_clusters: copies are counted apart.")
    route = _own_copy(rule, "mirror", {"owner": layout.owner, "mirror": encode(mirror)})
    if not layout.mirror_unsafe:
        route["match"].setdefault("headers", []).append(_header(":method", {"safe_regex": {"regex": SAFE_METHODS}}))
    hundredths, millionths = mirror.percentage * 100, mirror.percentage * 10000
    if millionths.denominator != 1:
        raise Unsupported(f"{show_percent(mirror.percentage)} cannot be mirrored exactly", do="Envoy mirrors in millionths.")
    if hundredths.denominator == 1:
        share = {"numerator": int(hundredths), "denominator": "TEN_THOUSAND"}
    else:
        share = {"numerator": int(millionths), "denominator": "MILLION"}
    policy = {"cluster": layout.mirrors[mirror.track], "runtime_fraction": {"default_value": share}}
    action = _get(route, "route", {})
    action.setdefault(_spelled(action, "request_mirror_policies"), []).append(policy)
    return route


def unowned(document: Document, layout: Layout) -> Document:
    """``document`` without the routes that are ours; weights stay."""
    result = copy.deepcopy(document)
    rule = find(result, layout)
    rule.routes[:] = [route for route in rule.routes if not _is_ours(route, layout)]
    return result


def _own_copy(rule: Document, name: str, mark: Mapping[str, Any]) -> Document:
    route = copy.deepcopy(rule)
    route["name"] = f"progressive-{name}"
    metadata = route.setdefault("metadata", {})
    metadata.setdefault(_spelled(metadata, "filter_metadata"), {})[MARK] = dict(mark)
    return route


def _add(match: Document, condition: Condition) -> None:
    """One more condition in a route's match. A path is tested as the pseudo-header ``:path``, so that the rule's own path stays."""
    value, whole = condition.value, pattern(condition)
    plain: dict[str, Any] = {"safe_regex": {"regex": value}} if condition.how == "regex" else {condition.how: value}
    if condition.source == "header":
        match.setdefault("headers", []).append(_header(condition.name, plain))
    elif condition.source == "cookie":
        match.setdefault("headers", []).append(_header("cookie", {"safe_regex": {"regex": cookie(condition)}}))
    elif condition.source == "query":
        key = _spelled(match, "query_parameters")
        match.setdefault(key, []).append({"name": condition.name, "string_match": plain})
    elif condition.source == "path":
        tail = ".*" if condition.how == "prefix" else r"(?:\?.*)?"
        match.setdefault("headers", []).append(_header(":path", {"safe_regex": {"regex": whole + tail}}))
    else:
        raise no_source(condition)


def _header(name: str, matcher: Mapping[str, Any]) -> Document:
    return {"name": name, "string_match": dict(matcher)}


def _set_weights(route: Document, weights: Mapping[str, int], others: int | None = None) -> None:
    """Write weights by cluster name; ``others`` is for clusters that are not named, None leaves those."""
    for entry in _entries(route):
        value = weights.get(_name(entry), others)
        if value is not None and (entry.get("weight") is None or _weight(entry) != value):
            entry["weight"] = value


def _virtual_hosts(document: Document, layout: Layout) -> list[tuple[str, Document]]:
    hosts = [
        (str(config.get("name", "")), host)
        for config in document.get("resources", [])
        if not layout.route_config or config.get("name") == layout.route_config
        for host in _get(config, "virtual_hosts", [])
        if not layout.virtual_host or host.get("name") == layout.virtual_host
    ]
    if not hosts:
        asked = " ".join(name for name in (layout.route_config, layout.virtual_host) if name)
        raise ConfigError(f"there is no virtual host {asked}".rstrip(), do="Check route_config and virtual_host.")
    return hosts


def _entries(route: Document) -> list[Document]:
    entries: list[Document] = _get(_get(_get(route, "route", {}), "weighted_clusters", {}), "clusters", [])
    return entries


def _name(entry: Mapping[str, Any]) -> str:
    return str(entry.get("name") or _get(entry, "cluster_header", ""))


def _weight(entry: Mapping[str, Any]) -> int:
    return int(entry.get("weight") or 0)


def _mark(route: Mapping[str, Any]) -> Mapping[str, Any]:
    mark: Mapping[str, Any] = _get(_get(route, "metadata", {}), "filter_metadata", {}).get(MARK, {})
    return mark


def _is_ours(route: Mapping[str, Any], layout: Layout) -> bool:
    return _mark(route).get("owner") == layout.owner


def _spelled(holder: Mapping[str, Any], name: str) -> str:
    """The spelling of a field that ``holder`` uses."""
    camel = re.sub(r"_([a-z])", lambda found: found[1].upper(), name)
    return camel if camel in holder else name


def _get(holder: Mapping[str, Any], name: str, default: Any) -> Any:
    return holder.get(_spelled(holder, name), default)
