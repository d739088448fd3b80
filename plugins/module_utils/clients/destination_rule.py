# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The subsets of an Istio DestinationRule that are a release's slots, and the cookie that keeps sessions at a Pod. Pure: manifests in, manifests out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.affinity import Cookie, held_otherwise
from ..core.errors import ConfigError
from .virtual_service import service_of

Manifest = Mapping[str, Any]
Labels = Mapping[str, str]
KEYS = ("httpHeaderName", "httpCookie", "useSourceIp", "httpQueryParameterName")
"""What a consistentHash looks at: one of these."""
SILENT = "progressive-delivery-silent"
"""A header that nobody sends."""


def where(manifest: Manifest) -> str:
    meta = manifest["metadata"]
    return f"DestinationRule {meta.get('namespace', '')}/{meta['name']}"


def labels_of(manifest: Manifest, subset: str) -> Labels:
    """What the Pods of a subset have. Raises ConfigError where there is none, with the lines to add."""
    for each in manifest["spec"].get("subsets") or ():
        if each.get("name") == subset:
            return {str(name): str(value) for name, value in (each.get("labels") or {}).items()}
    line = f"- {{name: {subset}, labels: {{...}}}}"
    raise ConfigError(f"there is no subset {subset}", where=where(manifest), do=f"Add to spec.subsets: {line}, or say its labels in destination_rule.")


def edit(manifest: Manifest, host: str, wanted: Mapping[str, Labels]) -> dict[str, Any]:
    """The manifest with these subsets (name to labels): one that is missing is added, one that is there is left as it is. Raises ConfigError."""
    _check_host(manifest, host)
    subsets = list(manifest["spec"].get("subsets") or ())
    present = {each.get("name"): each for each in subsets}
    for name, labels in wanted.items():
        if name not in present:
            subsets.append({"name": name, "labels": dict(labels)})
        elif dict(present[name].get("labels") or {}) != dict(labels):
            raise ConfigError(
                f"subset {name} has the labels {present[name].get('labels') or {}}, not {dict(labels)}",
                where=where(manifest),
                do="Change one of them: a subset that others may use is not rewritten.",
            )
    return {**manifest, "spec": {**manifest["spec"], "subsets": subsets}} if any(name not in present for name in wanted) else dict(manifest)


def held(
    manifest: Manifest, host: str, subset: str, cookie: Cookie, *, speaks: bool, port: int = 0, attributes: Sequence[Manifest] = ()
) -> dict[str, Any]:
    """The manifest with this cookie in the load balancing of the host or, where one is named, of its subset; nothing else changes.

    Istio makes one hash of what all destinations of a rule look at. Two that name the same cookie have another one than either alone, so that every
    session would change its Pod when a split begins, and again when it ends. Therefore one side ``speaks``, and the other looks at a header that nobody
    sends: both use the hash of the cookie. ``attributes`` are the cookie's where the other side spoke so far.
    Raises ConfigError for a rule of another host, and where something else holds sessions already.
    """
    _check_host(manifest, host)
    spec, place, by = manifest["spec"], where(manifest), _By(cookie, speaks, tuple(attributes))
    if not subset:
        wanted = {**spec, "trafficPolicy": _policy(spec.get("trafficPolicy") or {}, {}, by, port, place)}
    else:
        labels_of(manifest, subset)
        top = spec.get("trafficPolicy") or {}
        if any(port in (0, _port(each)) for each in top.get("portLevelSettings") or ()):
            raise ConfigError("its portLevelSettings hold for every subset", where=place, do="Give them to the subsets, or to the host as a whole.")
        place = f"{place}, subset {subset}"
        wanted = {**spec, "subsets": [
            {**each, "trafficPolicy": _policy(each.get("trafficPolicy") or {}, top, by, port, place)} if each.get("name") == subset else each
            for each in spec["subsets"]
        ]}  # fmt: skip
    return {**manifest, "spec": wanted} if wanted != spec else dict(manifest)


def binding(name: str, host: str, cookie: Cookie, *, speaks: bool, attributes: Sequence[Manifest] = ()) -> dict[str, Any]:
    """A DestinationRule that does nothing else."""
    return held({"metadata": {"name": name}, "spec": {"host": host}}, host, "", cookie, speaks=speaks, attributes=attributes)


def speaking(manifest: Manifest, subset: str, cookie: Cookie) -> bool:
    """Whether the host, or its subset, names the cookie itself."""
    return _cookie(manifest, subset).get("name") == cookie.name


def attributes_of(manifest: Manifest, subset: str, cookie: Cookie) -> tuple[Manifest, ...]:
    """What the cookie has beside name, path and ttl, such as SameSite, where the host, or its subset, names it itself."""
    return tuple(_cookie(manifest, subset).get("attributes") or ()) if speaking(manifest, subset, cookie) else ()


def _cookie(manifest: Manifest, subset: str) -> Manifest:
    policy = manifest["spec"].get("trafficPolicy") or {}
    if subset:
        own = next((each.get("trafficPolicy") or {} for each in manifest["spec"].get("subsets") or () if each.get("name") == subset), {})
        policy = own if own.get("loadBalancer") else policy
    hashed = (policy.get("loadBalancer") or {}).get("consistentHash") or {}
    return dict(hashed.get("httpCookie") or {})


def balancing(manifest: Manifest) -> str:
    """How the host's requests are spread now, in the object's own words; empty where it does not say."""
    found = (manifest["spec"].get("trafficPolicy") or {}).get("loadBalancer") or {}
    return str(found.get("simple") or "") or (json.dumps(found, sort_keys=True) if found else "")


@dataclass(frozen=True)
class _By:
    """What sessions are held by, and whether this side says it to the user."""

    cookie: Cookie
    speaks: bool
    attributes: tuple[Manifest, ...]


def _policy(policy: Manifest, above: Manifest, by: _By, port: int, place: str) -> dict[str, Any]:
    """``above``: what it inherits where it does not say itself. A port inherits nothing."""
    now = policy.get("loadBalancer") or above.get("loadBalancer") or {}
    result = {**policy, "loadBalancer": _balancer(now, by, place)}
    if policy.get("portLevelSettings"):
        result["portLevelSettings"] = [
            {**each, "loadBalancer": _balancer(each.get("loadBalancer") or {}, by, f"{place}, port {_port(each)}")}
            if port in (0, _port(each)) else each
            for each in policy["portLevelSettings"]
        ]  # fmt: skip
    return result


def _balancer(now: Manifest, by: _By, place: str) -> dict[str, Any]:
    """One ``loadBalancer`` with the cookie: all but ``simple`` stays, and so does how the ring is made."""
    hashed, cookie = now.get("consistentHash") or {}, by.cookie
    given = {name: value for name, value in hashed.items() if name in KEYS and value and (name, value) != ("httpHeaderName", SILENT)}
    mine = given.pop("httpCookie", {})
    if given or mine.get("name", cookie.name) != cookie.name:
        what = f"the cookie {mine['name']}" if mine else ", ".join(f"{name} {value}" for name, value in given.items())
        raise held_otherwise(what, cookie, place, "Take that out, or say the same in affinity.")
    more = mine.get("attributes") or by.attributes
    # Without a path it would be for the folder of the page that was asked for, and without a ttl it is never set.
    said = {"name": cookie.name, "path": cookie.path or "/", "ttl": f"{cookie.seconds}s", **({"attributes": list(more)} if more else {})}
    return {**{name: value for name, value in now.items() if name != "simple"},
            "consistentHash": {**{name: value for name, value in hashed.items() if name not in KEYS},
                               **({"httpCookie": said} if by.speaks else {"httpHeaderName": SILENT})}}  # fmt: skip


def _port(setting: Manifest) -> int:
    return int((setting.get("port") or {}).get("number") or 0)


def _check_host(manifest: Manifest, host: str) -> None:
    home = str(manifest["metadata"].get("namespace", ""))
    if service_of(str(manifest["spec"].get("host", "")), home) != service_of(host, home):
        raise ConfigError(f"it is about {manifest['spec'].get('host')}, not {host}", where=where(manifest), do="Name the DestinationRule of that host.")
