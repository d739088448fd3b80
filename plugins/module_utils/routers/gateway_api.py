# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTPRoutes of the Gateway API: weights, match routes and mirrors, whatever serves the Gateway.

The conditions of the HTTPRoute and of its Gateway say whether it was taken; the Envoys of the Gateway, where they are named, whether it is in force
and how many requests each slot gets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Optional

from ..clients import http_route
from ..clients.envoy import EnvoyAdmin
from ..clients.gateway_envoys import Count, GatewayEnvoys, check_clusters
from ..clients.http_route import Layout
from ..clients.kube import KUBE_OPTIONS, Kube
from ..clients.kube_edit import Manifest, changed, changed_by, each_on_its_own, fence_of, found, merge_patch, rehearsed, writer_of
from ..clients.kube_errors import Forbidden
from ..clients.kube_resources import GATEWAYS, HTTPROUTES
from ..clients.kube_slots import SLOTS, Slots, ready_endpoints
from ..core import gateway_status
from ..core.affinity import AFFINITY, Cookie
from ..core.errors import ConfigError, DeliveryError, Unavailable, Unsupported
from ..core.kube_rights import ROUTER, Rights
from ..core.lease import Marker
from ..core.model import CANARY, FULL, STABLE, Capability, Observation, Routes
from ..core.options import Option, Options
from ..core.settle import difference
from ..core.units import duration


class GatewayApiRouter:
    """Implements the port ``TrafficRouter`` for the slots stable and canary. Several HTTPRoutes are written one after the other."""

    SUMMARY: ClassVar[str] = "HTTPRoutes of the Kubernetes Gateway API: weights, match routes, mirrors."
    OPTIONS: ClassVar[Options] = {
        "http_route": Option("name", "The HTTPRoute that the users' requests go through."),
        "http_routes": Option("list", "Several, instead: all of them split the same way.", elements="name"),
        "stable": Option("name", "The Service of stable. Default: the name of its workload."),
        "canary": Option("name", "The Service of canary. Default: the name of its workload."),
        "rule": Option("str", "The name or the number (from 0) of the rule, where several hold both Services."),
        "port": Option("int", "The port of the Services, where a rule names them with several.", minimum=1, maximum=65535),
        "total": Option("int", "Parts of a whole, where no third Service has any: 100 for whole per cents, 1000 for tenths.", default=100,
                        choices=(100, 1000, 10000)),
        "mirror_unsafe": Option("bool", "Mirror requests of every method, not only GET, HEAD and OPTIONS.", default=False),
        "affinity": AFFINITY,
        "preview": Option("name", "An HTTPRoute of its own, such as one for another host name: it leads to the slot that has no traffic."),
        "envoys": Option(
            "list",
            "The Envoys that serve the Gateway. With them a change is done when it is in force there, and the share is measured.",
            elements="dict",
            options={"admin": Option("str", "The admin interface as this controller reaches it, such as http://127.0.0.1:15000.", required=True)},
        ),
        "clusters": Option("dict", "Slot to the name of its cluster in those Envoys. Default: as Istio calls them.", open=True),
        "timeout": Option("duration", "Longest wait for one answer of an Envoy.", default="5s"),
        "workload": Option("dict", "The workloads of the slots. Default: those of the release.", open=True),
        **KUBE_OPTIONS,
    }  # fmt: skip
    capabilities: frozenset[Capability] = frozenset({
        Capability.WEIGHT, Capability.HEADER, Capability.COOKIE, Capability.QUERY, Capability.PATH, Capability.MIRROR, Capability.MEASURE, Capability.PREVIEW,
    })  # fmt: skip
    """All that one may have; one without Envoys measures nothing, one without a preview route has none."""
    resolution: int = 100

    def __init__(self, kube: Kube, names: tuple[str, ...], layout: Layout, *, preview: str = "", envoys: Optional[GatewayEnvoys] = None) -> None:
        self.kube = kube
        self.names = names
        self.layout = layout
        self.preview = preview
        self.envoys = envoys
        self.marker: Optional[Marker] = None
        self._read: dict[str, Manifest] = {}
        # Who comes with a cookie goes where it says: what is counted then says nothing of the weights.
        measured = envoys and layout.cookie is None
        lacks = {capability for capability, given in ((Capability.MEASURE, measured), (Capability.PREVIEW, preview)) if not given}
        self.capabilities = GatewayApiRouter.capabilities - lacks
        self.resolution = layout.total
        self.objects = tuple(f"httproute/{name}" for name in self._all())

    @classmethod
    def from_options(cls, options: Mapping[str, Any], tracks: Mapping[str, tuple[str, ...]], kube: Optional[Kube] = None) -> GatewayApiRouter:
        """Raises ConfigError for routes or Services that are not named, or named twice."""
        names = (*([options["http_route"]] if options.get("http_route") else []), *(options.get("http_routes") or []))
        preview = options.get("preview") or ""
        if not names:
            raise ConfigError("no HTTPRoute is named", where="gateway_api.http_route")
        if len({*names, preview}) <= len(names):
            raise ConfigError("an HTTPRoute is named twice", where="gateway_api", do="Name each once, the preview's is one of its own.")
        cookie = Cookie.from_option(options.get("affinity"), "gateway_api")
        if cookie is not None and cookie.path:
            raise ConfigError("the Gateway API does not let one say a path", where="gateway_api.affinity.cookie.path", do="Leave it out.")
        layout = Layout(_services(options), options.get("port"), options.get("rule") or "", options["total"], options["mirror_unsafe"], cookie)
        seconds = duration(options["timeout"])
        admins = [EnvoyAdmin(each["admin"], seconds) for each in options.get("envoys") or ()]
        if len({admin.name for admin in admins}) < len(admins):
            raise ConfigError("two of them have the same admin interface", where="gateway_api.envoys")
        envoys = GatewayEnvoys(admins, check_clusters(options.get("clusters") or {}, SLOTS)) if admins else None
        return cls(kube or Kube.from_options(options), names, layout, preview=preview, envoys=envoys)

    def read(self) -> Routes:
        """The routes of the first HTTPRoute. Raises ConfigError for one that has not exactly one rule with both Services."""
        self._read = {name: found(self.kube, HTTPROUTES, name) for name in self._all()}
        routes = [http_route.read(self._read[name], self.layout) for name in self._all()]
        return routes[0]

    def write(self, want: Routes) -> None:
        """Nothing is written before every HTTPRoute has been worked out, and nothing to a Service that nobody answers for. Raises Unavailable then."""
        read, self._read = self._read, {}
        live = {name: read.get(name) or found(self.kube, HTTPROUTES, name) for name in self._all()}
        edits = {name: partial(self._edited, routes=routes) for name, routes in self._aims(want).items()}
        if any(edit(live[name]) != live[name] for name, edit in edits.items()):
            why = self._unready(want, live)
            if why:
                raise Unavailable(why, where=f"HTTPRoute {self.kube.namespace}/{self.names[0]}", do="It gets requests when its Pods are ready.")
        for name in edits:
            self._put(name, want, live[name])

    def write_reachable(self, want: Routes) -> dict[str, DeliveryError]:
        """Write every HTTPRoute that is there and has both Services; what went wrong, by name. Raises DeliveryError where that is all of them."""
        why = self._silent([slot for slot in SLOTS if want.weight(slot)])
        if why:
            raise Unavailable(why, where=f"HTTPRoute {self.kube.namespace}/{self.names[0]}")
        return each_on_its_own(self._all(), lambda name: self._put(name, want), self.names)

    def _put(self, name: str, want: Routes, known: Optional[Manifest] = None) -> None:
        edit = partial(self._edited, routes=self._aims(want)[name])
        try:
            changed(self.kube, HTTPROUTES, name, edit, known=known, marker=self.marker)
        except ConfigError:
            if not self._alone(want):
                raise
            # A way back waits for nobody's cookie: without it, if it was that.
            changed(self.kube, HTTPROUTES, name, partial(edit, held=False), marker=self.marker)

    def rehearse(self, want: Routes) -> None:
        for name, routes in self._aims(want).items():
            manifest = found(self.kube, HTTPROUTES, name)
            why = gateway_status.refused(manifest)
            if why:
                raise ConfigError(f"it is not in force now, so no change of it would be: {why}", where=http_route.where(manifest))
            rehearsed(self.kube, HTTPROUTES, manifest, self._edited(manifest, routes))

    def unready(self, want: Routes) -> str:
        """A Service that would get more and has no ready endpoint."""
        return self._unready(want, {name: found(self.kube, HTTPROUTES, name) for name in self.names})

    def observe(self, want: Routes) -> Observation:
        """Applied when every HTTPRoute is as wanted, accepted in that state, and in force as far as that can be seen; and somebody answers."""
        live = {name: found(self.kube, HTTPROUTES, name) for name in self._all()}
        why, by = self._unlike(want, live)
        standing = not why
        why = why or self._lagging(want, live)
        count = Count()
        if self.envoys is not None and Capability.MEASURE in self.capabilities:
            try:
                count = self.envoys.count(live[self.names[0]], self.layout)
            except ConfigError as error:  # a cluster that is not there yet
                why = why or str(error)
        if want.mirror is not None:  # copies are counted like requests: such counters say nothing of shares
            count = Count(epoch=count.epoch)
        return Observation(not why, why, count.requests, count.failed, epoch=count.epoch, standing=standing, by=by)

    def release(self) -> None:
        """Take our own rules out. Weights stay."""
        for name in self._all():
            changed(self.kube, HTTPROUTES, name, partial(http_route.unowned, layout=self.layout), marker=self.marker)

    def rights(self) -> Rights:
        return ROUTER["gateway_api"]

    def mark(self, marker: Marker) -> None:
        self.marker = marker

    def highest_fence(self) -> int:
        return max(fence_of(self._read.get(name) or found(self.kube, HTTPROUTES, name)) for name in self._all())

    def warnings(self) -> list[str]:
        """What is not looked at, and Services that are no two."""
        try:
            lines = []
            endpoints = {name: ready_endpoints(self.kube, name) for name in self.layout.backends.values()}
            shared = sorted(set.intersection(*endpoints.values()))
            if shared:
                what = f"Services {' and '.join(endpoints)} lead to the same Pods ({', '.join(shared[:3])})"
                lines.append(f"{what}: a share of one is no share of a version. Give each a selector of its own")
            if self.layout.cookie is None:
                for name in self.names:
                    if http_route.holding(found(self.kube, HTTPROUTES, name), self.layout):
                        lines.append(
                            f"HTTPRoute {name} holds sessions (sessionPersistence), by the API's rules even at 0 %: users who met the canary stay"
                            " there until its Pods are gone. Say affinity in rollout_router, and a release sends them back at once"
                        )
            for name in [] if self.envoys else self.names:
                for space, gateway in gateway_status.gateways(found(self.kube, HTTPROUTES, name)):
                    if not self._may_read(space, gateway):
                        lines.append(f"may not get Gateway {space}/{gateway}: whether it is programmed is not looked at")
            return lines
        except DeliveryError:
            return []

    def sessions(self) -> list[str]:
        """What holds them, or shall. Raises Unsupported where this cluster's HTTPRoutes have no such field, ConfigError where something else holds them."""
        if self.layout.cookie is None:
            return []
        lines = []
        for name in self.names:
            manifest = found(self.kube, HTTPROUTES, name)
            wanted = http_route.held(manifest, self.layout)
            body = merge_patch(manifest, wanted)
            taken = self.kube.patch(HTTPROUTES, name, body, dry_run=True) if body else manifest
            if not http_route.holding(taken, self.layout):
                raise Unsupported("HTTPRoutes of this cluster have no sessionPersistence", where=http_route.where(manifest),
                                  do="It is in the Gateway API's experimental channel. Install that, or leave affinity out.")  # fmt: skip
            lines.append(f"HTTPRoute {name} holds sessions by the cookie {self.layout.cookie.name} {'from the first weight on' if body else 'already'}, and"
                         " stays so; that your gateway does it cannot be seen from here")  # fmt: skip
        interplay = "a session stays with the version that it met: shares are those of new sessions, and are not measured; at 0 % sessions begin anew"
        return [*lines, interplay]

    def _alone(self, want: Routes) -> bool:
        """Whether sessions shall be held, and one slot has everything: then that comes first, and whether they are held second."""
        return self.layout.cookie is not None and FULL in want.weights.values()

    def _all(self) -> tuple[str, ...]:
        return (*self.names, *([self.preview] if self.preview else []))

    def _aims(self, want: Routes) -> dict[str, Routes]:
        """Each HTTPRoute with what it shall do. The preview leads to the slot that has not everything yet."""
        aims = dict.fromkeys(self.names, want)
        if self.preview:
            spare = STABLE if want.weight(CANARY) == FULL else CANARY
            aims[self.preview] = Routes({slot: FULL * (slot == spare) for slot in SLOTS})
        return aims

    def _edited(self, manifest: Manifest, routes: Routes, held: bool = True) -> dict[str, Any]:
        if any(routes.members.values()):
            raise Unsupported("an HTTPRoute has no weights of single servers", where=http_route.where(manifest))
        if routes.assignment is not None:
            do = "Have your edge or app name the variant in a header, and match that."
            raise Unsupported("the Gateway API has no hash to split users by", where=http_route.where(manifest), do=do)
        plain = not held or manifest["metadata"]["name"] == self.preview
        return http_route.edit(manifest, routes, replace(self.layout, cookie=None) if plain else self.layout)

    def _unready(self, want: Routes, live: Mapping[str, Manifest]) -> str:
        now = [http_route.read(live[name], self.layout) for name in self.names]
        gaining = [slot for slot in SLOTS if any(_gains(slot, each, want) for each in now)]
        return self._silent(gaining)

    def _silent(self, slots: list[str]) -> str:
        for slot in slots:
            service = self.layout.backends[slot]
            if not ready_endpoints(self.kube, service):
                return f"Service {service} ({slot}) has no ready endpoint"
        return ""

    def _unlike(self, want: Routes, live: Mapping[str, Manifest]) -> tuple[str, str]:
        """What of ``want`` is not written, and who else wrote there last; empty when all of it stands."""
        for name, routes in self._aims(want).items():
            manifest = live[name]
            wanted = self._edited(manifest, routes)
            if (http_route.bare(wanted) != http_route.bare(manifest)) if self._alone(want) else wanted != manifest:
                what = difference(routes, http_route.read(manifest, self.layout)) or "its rules are not as wanted"
                return f"HTTPRoute {name}: {what}{changed_by(manifest, 'spec', 'rules')}", writer_of(manifest, "spec", "rules")
        return "", ""

    def _lagging(self, want: Routes, live: Mapping[str, Manifest]) -> str:
        """What does not follow what is written; empty when everything does."""
        for manifest in live.values():
            why = gateway_status.unaccepted(manifest) or self._not_in_force(manifest)
            if why:
                return why
        return self._silent([slot for slot in SLOTS if want.weight(slot) or _led_to(slot, want)])

    def _not_in_force(self, manifest: Manifest) -> str:
        if self.envoys is not None:
            return self.envoys.missing(manifest, self.layout)
        for space, name in gateway_status.gateways(manifest):
            try:
                gateway = self.kube.get(GATEWAYS, name, space)
            except Forbidden:
                continue  # warnings() has said so
            why = gateway_status.unprogrammed(gateway) if gateway else f"there is no Gateway {space}/{name}"
            if why:
                return why
        return ""

    def _may_read(self, space: str, name: str) -> bool:
        try:
            self.kube.get(GATEWAYS, name, space)
        except Forbidden:
            return False
        return True


def _services(options: Mapping[str, Any]) -> dict[str, str]:
    """Slot to Service. Raises ConfigError."""
    given = {slot: options.get(slot) or "" for slot in SLOTS}
    if not all(given.values()):
        names = Slots.from_option(options.get("workload") or {}, "gateway_api.workload").names
        given = {slot: given[slot] or names[slot] for slot in SLOTS}
    if given[STABLE] == given[CANARY]:
        raise ConfigError("stable and canary are the same Service", where="gateway_api", do="Give each slot a Service of its own.")
    return given


def _led_to(slot: str, routes: Routes) -> bool:
    return any(match.track == slot for match in routes.matches) or (routes.mirror is not None and routes.mirror.track == slot)


def _gains(slot: str, now: Routes, want: Routes) -> bool:
    return want.weight(slot) > now.weight(slot) or (_led_to(slot, want) and not _led_to(slot, now))
