# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VirtualServices of Istio: weights, match routes and mirrors, between two Services or two subsets of one.

A VirtualService says nothing of itself; the Envoys of the gateway, where they are named, say whether it is in force and how many requests each slot gets.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Optional

from ..clients import destination_rule, istio_envoys, istio_streams, virtual_service
from ..clients.clock import SystemClock
from ..clients.envoy import EnvoyAdmin
from ..clients.gateway_envoys import Count, check_clusters, counted
from ..clients.kube import KUBE_OPTIONS, Kube
from ..clients.kube_edit import Manifest, changed, changed_by, each_on_its_own, fence_of, found, rehearsed, writer_of
from ..clients.kube_resources import DESTINATIONRULES, VIRTUALSERVICES
from ..clients.kube_slots import SLOTS, Slots, pods_of, ready_endpoints, ready_pods
from ..clients.virtual_service import Destination, Layout
from ..core.affinity import AFFINITY, DRAWN, Cookie
from ..core.errors import ConfigError, Conflict, DeliveryError, Unavailable, Unsupported
from ..core.kube_rights import HOLDING, ROUTER, Rights
from ..core.lease import Marker
from ..core.model import CANARY, FULL, STABLE, Capability, Observation, Routes
from ..core.options import Option, Options
from ..core.ports import Clock
from ..core.settle import difference
from ..core.units import duration, show_duration

ONLY_HTTP = frozenset({Capability.HEADER, Capability.COOKIE, Capability.QUERY, Capability.PATH, Capability.MIRROR})

HEARD = 20.0
"""Seconds that a write waits for the Envoys to know a subset that it made. Short, as every operation is that goes on without a renewal of the lease."""
LOOK_EVERY = 0.2
UNSEEN = 5.0
"""The same where no Envoy is named: nobody can look."""

Labels = Mapping[str, str]


@dataclass(frozen=True)
class _Holder:
    """A DestinationRule that holds sessions. ``manifest``: as it is, empty where it is to be made; ``edit`` makes of any state of it what it shall be."""

    name: str
    manifest: Manifest
    wanted: Manifest
    edit: Callable[[Manifest], Manifest]


class IstioRouter:
    """Implements the port ``TrafficRouter`` for the slots stable and canary. Several VirtualServices are written one after the other."""

    SUMMARY: ClassVar[str] = "Istio's VirtualServices: weights, match routes, mirrors, between Services or between subsets of one."
    OPTIONS: ClassVar[Options] = {
        "virtual_service": Option("name", "The VirtualService that the users' requests go through."),
        "virtual_services": Option("list", "Several, instead: all of them split the same way.", elements="name"),
        "stable": Option("name", "The Service of stable; with C(host), its subset. Default: the name of its workload; with C(host), V(stable)."),
        "canary": Option("name", "The Service of canary; with C(host), its subset. Default: the name of its workload; with C(host), V(canary)."),
        "host": Option("name", "The one Service whose subsets the slots are."),
        "destination_rule": Option("dict", "The DestinationRule that has the subsets.", options={
            "name": Option("name", "What it is called. Default: like the host."),
            "stable": Option("dict", "Labels of stable's Pods: with them a subset that is not there is made before anything leads to it.", open=True),
            "canary": Option("dict", "The same of canary's.", open=True),
        }),
        "routes": Option("list", "The rules that are meant, where several hold both: http/NAME or http/NUMBER (from 0), tls/SNI-HOST, tls/NUMBER,"
                                 " tcp/NUMBER. All of them split the same way.", elements="str"),
        "port": Option("int", "The port of the Services, where rules name them with several.", minimum=1, maximum=65535),
        "total": Option("int", "Parts of a whole, where no third destination has any: 100 for whole per cents, 1000 for tenths.", default=100,
                        choices=(100, 1000, 10000)),
        "mirror_unsafe": Option("bool", "Mirror requests of every method, not only GET, HEAD and OPTIONS.", default=False),
        "affinity": AFFINITY,
        "envoys": Option(
            "list",
            "The Envoys of the gateway. With them a change is done when it is in force there, and the share is measured.",
            elements="dict",
            options={"admin": Option("str", "The admin interface as this controller reaches it, such as http://127.0.0.1:15000.", required=True)},
        ),
        "clusters": Option("dict", "Slot to the name of its cluster in those Envoys. Default: as Istio calls them.", open=True),
        "timeout": Option("duration", "Longest wait for one answer of an Envoy.", default="5s"),
        "workload": Option("dict", "The workloads of the slots. Default: those of the release.", open=True),
        **KUBE_OPTIONS,
    }  # fmt: skip
    capabilities: frozenset[Capability] = ONLY_HTTP | {Capability.WEIGHT, Capability.MEASURE}
    """All that one may have; one without Envoys measures nothing, and tls and tcp know neither match routes nor mirrors."""
    resolution: int = 100

    def __init__(
        self, kube: Kube, names: tuple[str, ...], layout: Layout, *, rule: str = "", labels: Optional[Mapping[str, Labels]] = None,
        admins: tuple[EnvoyAdmin, ...] = (), clusters: Optional[Mapping[str, str]] = None, cookie: Optional[Cookie] = None,
        clock: Optional[Clock] = None,
    ) -> None:  # fmt: skip
        self.kube = kube
        self.clock = clock or SystemClock()
        self.names = names
        self.layout = layout
        self.rule = rule
        self.labels = dict(labels or {})
        self.admins = admins
        self.clusters = dict(clusters or {})
        self.cookie = cookie
        self.marker: Optional[Marker] = None
        self._read: dict[str, Manifest] = {}
        self._http = not layout.routes or any(not route.startswith(("tls/", "tcp/")) for route in layout.routes)
        lacks = (frozenset() if self._http else ONLY_HTTP) | (frozenset() if admins else {Capability.MEASURE})
        self.capabilities = IstioRouter.capabilities - lacks
        self.resolution = layout.total
        self.objects = tuple(f"virtualservice/{name}" for name in names)

    @classmethod
    def from_options(cls, options: Mapping[str, Any], tracks: Mapping[str, tuple[str, ...]], kube: Optional[Kube] = None) -> IstioRouter:
        """Raises ConfigError for objects that are not named, or named twice."""
        names = (*([options["virtual_service"]] if options.get("virtual_service") else []), *(options.get("virtual_services") or []))
        if not names:
            raise ConfigError("no VirtualService is named", where="istio.virtual_service")
        if len(set(names)) < len(names):
            raise ConfigError("a VirtualService is named twice", where="istio.virtual_services", do="Name each once.")
        layout = Layout(_slots(options), options.get("port"), tuple(options.get("routes") or ()), options["total"], options["mirror_unsafe"])
        rule = options.get("destination_rule") or {}
        if rule and not options.get("host"):
            raise ConfigError("a DestinationRule has subsets of one Service", where="istio.destination_rule", do="Name that Service: host.")
        labels = {layout.slots[slot].subset: {str(name): str(value) for name, value in rule[slot].items()} for slot in SLOTS if rule.get(slot)}
        seconds = duration(options["timeout"])
        admins = tuple(EnvoyAdmin(each["admin"], seconds) for each in options.get("envoys") or ())
        if len({admin.name for admin in admins}) < len(admins):
            raise ConfigError("two of them have the same admin interface", where="istio.envoys")
        return cls(
            kube or Kube.from_options(options), names, layout, rule=(rule.get("name") or options["host"]) if options.get("host") else "",
            labels=labels, admins=admins, clusters=check_clusters(options.get("clusters") or {}, SLOTS, "istio.clusters"),
            cookie=Cookie.from_option(options.get("affinity"), "istio"),
        )  # fmt: skip

    def read(self) -> Routes:
        """The routes of the first VirtualService. Raises ConfigError for one that has not exactly the rules that are meant."""
        self._subsets()
        self._read = {name: found(self.kube, VIRTUALSERVICES, name) for name in self.names}
        routes = [virtual_service.read(self._read[name], self.layout) for name in self.names]
        return routes[0]

    def write(self, want: Routes) -> None:
        """Subsets before anything leads to them, and not before the Envoys know them; nothing is written before all is worked out, and nothing to a slot
        that nobody answers for."""
        read, self._read = self._read, {}
        live = {name: read.get(name) or found(self.kube, VIRTUALSERVICES, name) for name in self.names}
        edit = partial(self._edited, routes=want)
        if any(edit(live[name]) != live[name] for name in self.names):
            why = self._unready(want, live)
            if why:
                raise Unavailable(why, where=f"VirtualService {self.kube.namespace}/{self.names[0]}", do="It gets requests when its Pods are ready.")
        if self.rule and self.labels:
            made, _rule = changed(self.kube, DESTINATIONRULES, self.rule, self._with_subsets)
            self._await_subset(want, live, made=made)
        if _shared(want):
            self._hold(want)
        for name in self.names:
            changed(self.kube, VIRTUALSERVICES, name, edit, known=live[name], marker=self.marker)
        if not _shared(want):  # a way back waits for nobody's cookie
            with contextlib.suppress(ConfigError, Conflict, Unavailable):
                self._hold(want)

    def write_reachable(self, want: Routes) -> dict[str, DeliveryError]:
        """Write every VirtualService that is there and has the rules; what went wrong, by name. Raises DeliveryError where that is all of them."""
        why = self._silent([slot for slot in SLOTS if want.weight(slot)])
        if why:
            raise Unavailable(why, where=f"VirtualService {self.kube.namespace}/{self.names[0]}")
        edit = partial(self._edited, routes=want)
        return each_on_its_own(self.names, lambda name: changed(self.kube, VIRTUALSERVICES, name, edit, marker=self.marker), self.names)

    def rehearse(self, want: Routes) -> None:
        """The server's own words, those of Istio's webhook among them."""
        if self.rule and self.labels:
            manifest = found(self.kube, DESTINATIONRULES, self.rule)
            wanted = self._with_subsets(manifest)
            if wanted != manifest:
                rehearsed(self.kube, DESTINATIONRULES, manifest, wanted)
        for holder in self._holders(want):
            if not holder.manifest:
                self.kube.create(DESTINATIONRULES, holder.wanted, dry_run=True)
            elif holder.wanted != holder.manifest:
                rehearsed(self.kube, DESTINATIONRULES, holder.manifest, holder.wanted)
        for name in self.names:
            manifest = found(self.kube, VIRTUALSERVICES, name)
            rehearsed(self.kube, VIRTUALSERVICES, manifest, self._edited(manifest, want))

    def unready(self, want: Routes) -> str:
        """A slot that would get more and has nobody to answer."""
        return self._unready(want, {name: found(self.kube, VIRTUALSERVICES, name) for name in self.names})

    def observe(self, want: Routes) -> Observation:
        """Applied when every VirtualService is as wanted, and in force as far as that can be seen; and somebody answers."""
        live = {name: found(self.kube, VIRTUALSERVICES, name) for name in self.names}
        why, by = self._unlike(want, live)
        why = why or (self._loose(want) if _shared(want) else "")
        standing = not why
        why = why or self._lagging(want, live)
        count = Count()
        if self.admins:
            try:
                first = live[self.names[0]]
                count = (istio_streams.counted if istio_streams.are_meant(first, self.layout) else counted)(self.admins, self._clusters(first))
            except ConfigError as error:  # a cluster that is not there yet
                why = why or str(error)
        if want.mirror is not None:  # copies are counted like requests: such counters say nothing of shares
            count = Count(epoch=count.epoch)
        return Observation(not why, why, count.requests, count.failed, epoch=count.epoch, standing=standing, by=by)

    def release(self) -> None:
        """Take our own rules out. Weights stay, and so do subsets: the rules name them."""
        for name in self.names:
            changed(self.kube, VIRTUALSERVICES, name, partial(virtual_service.unowned, layout=self.layout), marker=self.marker)

    def rights(self) -> Rights:
        rights = ROUTER["istio"]
        if self.rule:
            rights = (*rights, (str(DESTINATIONRULES), "get"), ("pods", "list"))
        if self.cookie and not self.rule:
            rights = (*rights, *HOLDING)
        return (*rights, (str(DESTINATIONRULES), "patch")) if self.labels or (self.cookie and self.rule) else rights

    def mark(self, marker: Marker) -> None:
        self.marker = marker

    def highest_fence(self) -> int:
        return max(fence_of(self._read.get(name) or found(self.kube, VIRTUALSERVICES, name)) for name in self.names)

    def warnings(self) -> list[str]:
        """Slots that are no two."""
        try:
            answering = {slot: self._answering(slot) for slot in SLOTS}
        except DeliveryError:
            return []
        shared = sorted(set.intersection(*answering.values()))
        if not shared:
            return []
        what = f"{' and '.join(map(str, self.layout.slots.values()))} lead to the same Pods ({', '.join(shared[:3])})"
        return [f"{what}: a share of one is no share of a version. Give each a selector, or labels, of its own"]

    def sessions(self) -> list[str]:
        """What holds them, or shall. Raises ConfigError where that cannot be, Unsupported where no rule reads requests."""
        if self.cookie is None:
            return []
        if Capability.COOKIE not in self.capabilities:
            raise Unsupported("rules of tls and tcp see no cookie", where="istio.affinity", do="Leave it out.")
        lines = []
        for holder in self._holders():
            now = destination_rule.balancing(holder.manifest) if holder.manifest else "not there yet"
            then = f", instead of {now}" if now and holder.manifest and holder.wanted != holder.manifest else ""
            made = "is made" if not holder.manifest else "is changed" if holder.wanted != holder.manifest else "stands already"
            lines.append(f"DestinationRule {holder.name}, which holds sessions by the cookie {self.cookie.name}, {made}{then}; it stays after the release")
        return [*lines, DRAWN]

    def _await_subset(self, want: Routes, live: Mapping[str, Manifest], *, made: bool) -> None:
        """Wait until the Envoys know canary's subset, if it is to get requests. Raises Unavailable when one does not in time.

        istiod tells of a new subset and of the rules that lead there in one go; an Envoy follows rules at once, and has a cluster only when it has asked for
        its servers, too. What it is led to meanwhile it answers with 503.
        """
        gaining = [manifest for manifest in live.values() if _gains(CANARY, virtual_service.read(manifest, self.layout), want)]
        if self.layout.slots[CANARY].subset not in self.labels or not gaining:
            return
        if not self.admins:
            self.clock.sleep(UNSEEN if made else 0.0)
            return
        names = {self._clusters(manifest)[CANARY] for manifest in gaining}
        until = self.clock.now() + HEARD
        for admin in self.admins:
            while True:
                try:
                    admin.clusters(names)
                    break
                except ConfigError as error:
                    if self.clock.now() >= until:
                        raise Unavailable(
                            f"envoy {admin.name} has no {' and no '.join(sorted(names))} after {show_duration(HEARD)}",
                            where=f"DestinationRule {self.kube.namespace}/{self.rule}",
                            do="Look whether istiod runs; nothing leads to the subset yet.",
                        ) from error
                self.clock.sleep(LOOK_EVERY)

    def _edited(self, manifest: Manifest, routes: Routes) -> dict[str, Any]:
        if any(routes.members.values()):
            raise Unsupported("a VirtualService has no weights of single servers", where=virtual_service.where(manifest))
        if routes.assignment is not None:
            do = "Have your edge or app name the variant in a header, and match that."
            raise Unsupported("a VirtualService has no hash to split users by", where=virtual_service.where(manifest), do=do)
        return virtual_service.edit(manifest, routes, self.layout)

    def _with_subsets(self, manifest: Manifest) -> dict[str, Any]:
        return destination_rule.edit(manifest, self.layout.slots[STABLE].host, self.labels)

    def _holders(self, want: Optional[Routes] = None) -> list[_Holder]:
        """The DestinationRules that hold sessions, as they are and as they shall be, with ``want`` or as the traffic is now. Raises ConfigError."""
        if self.cookie is None:
            return []
        there = self._rules()
        lead = self._lead(there, want)
        # They are the cookie's, and go where it goes: who falls silent has no place for them.
        said = [destination_rule.attributes_of(there[slot], self.layout.slots[slot].subset, self._asked) for slot in SLOTS if there[slot]]
        attributes = next(filter(None, said), ())

        def edited(manifest: Manifest, slots: Iterable[str]) -> Manifest:
            for slot in slots:
                to = self.layout.slots[slot]
                manifest = destination_rule.held(
                    manifest, to.host, to.subset, self._asked, speaks=slot == lead, port=self.layout.port or 0, attributes=attributes
                )
            return manifest

        if self.rule:
            manifest = there[STABLE]
            return [_Holder(self.rule, manifest, edited(self._with_subsets(manifest), SLOTS), lambda live: edited(self._with_subsets(live), SLOTS))]
        made = []
        for slot, manifest in there.items():
            host = self.layout.slots[slot].host
            name = manifest["metadata"]["name"] if manifest else virtual_service.service_of(host, self.kube.namespace)[0]
            wanted = edited(manifest, [slot]) if manifest else destination_rule.binding(name, host, self.cookie, speaks=slot == lead, attributes=attributes)
            made.append(_Holder(name, manifest, wanted, partial(edited, slots=[slot])))
        return made

    @property
    def _asked(self) -> Cookie:
        if self.cookie is None:
            raise ConfigError("no cookie is named", where="istio.affinity")
        return self.cookie

    def _rules(self) -> dict[str, Manifest]:
        """Slot to its DestinationRule, empty where there is none. Raises ConfigError for two of one Service."""
        if self.rule:
            return dict.fromkeys(SLOTS, found(self.kube, DESTINATIONRULES, self.rule))
        home = self.kube.namespace
        result: dict[str, Manifest] = {}
        there = self.kube.list(DESTINATIONRULES)
        for slot, to in self.layout.slots.items():
            service = virtual_service.service_of(to.host, home)
            own = [each for each in there if virtual_service.service_of(str(each["spec"].get("host", "")), home) == service]
            if len(own) > 1:
                names = ", ".join(sorted(each["metadata"]["name"] for each in own))
                raise ConfigError(f"{to.host} has {len(own)} DestinationRules: {names}", where="istio.affinity", do="Make one of them.")
            result[slot] = own[0] if own else {}
        return result

    def _lead(self, there: Mapping[str, Manifest], want: Optional[Routes]) -> str:
        """The slot whose destination names the cookie: the one with all requests; while they are split, the one that had them."""
        now = want or virtual_service.read(found(self.kube, VIRTUALSERVICES, self.names[0]), self.layout)
        full = next((slot for slot in SLOTS if now.weight(slot) == FULL), "")
        if full:
            return full
        speaking = [slot for slot in SLOTS if there[slot] and destination_rule.speaking(there[slot], self.layout.slots[slot].subset, self._asked)]
        if len(speaking) == 1:
            return speaking[0]
        before = virtual_service.read(found(self.kube, VIRTUALSERVICES, self.names[0]), self.layout)
        return max(SLOTS, key=before.weight)

    def _hold(self, want: Routes) -> None:
        """Have sessions held. Those DestinationRules that are not there are made."""
        for holder in self._holders(want):
            if holder.manifest:
                changed(self.kube, DESTINATIONRULES, holder.name, holder.edit, known=holder.manifest)
            else:
                self.kube.create(DESTINATIONRULES, holder.wanted)

    def _loose(self, want: Routes) -> str:
        """Which sessions are not held though they shall be; empty when all are, as far as that is written."""
        try:
            holder = next((each for each in self._holders(want) if each.wanted != each.manifest), None)
        except ConfigError as error:
            return str(error)
        if holder is None:
            return ""
        by = changed_by(holder.manifest, "spec") if holder.manifest else ""
        return f"DestinationRule {holder.name} does not hold sessions by the cookie {self._asked.name}{by}"

    def _subsets(self) -> dict[str, Labels]:
        """Slot to the labels of its subset. Raises ConfigError for one that is not there and cannot be made."""
        if not self.rule:
            return {}
        manifest = found(self.kube, DESTINATIONRULES, self.rule)
        made = self._with_subsets(manifest)
        return {slot: destination_rule.labels_of(made, to.subset) for slot, to in self.layout.slots.items()}

    def _answering(self, slot: str) -> set[str]:
        """Names of the Pods that answer for the slot."""
        name, space = virtual_service.service_of(self.layout.slots[slot].host, self.kube.namespace)
        behind = ready_endpoints(self.kube, name, space)
        return behind & ready_pods(pods_of(self.kube, self._labels(slot), space)) if self.rule else behind

    def _labels(self, slot: str) -> Labels:
        """Those of this slot's subset: that the other's is gone, or is not as it was, is in nobody's way back. Raises ConfigError."""
        subset = self.layout.slots[slot].subset
        manifest = found(self.kube, DESTINATIONRULES, self.rule)
        there = {each.get("name") for each in manifest["spec"].get("subsets") or ()}
        return self.labels[subset] if subset in self.labels and subset not in there else destination_rule.labels_of(manifest, subset)

    def _unready(self, want: Routes, live: Mapping[str, Manifest]) -> str:
        now = [virtual_service.read(live[name], self.layout) for name in self.names]
        return self._silent([slot for slot in SLOTS if any(_gains(slot, each, want) for each in now)])

    def _silent(self, slots: list[str]) -> str:
        for slot in slots:
            if not self._answering(slot):
                to = self.layout.slots[slot]
                return f"Service {to.host}{f', subset {to.subset}' if to.subset else ''} ({slot}) has no ready endpoint"
        return ""

    def _unlike(self, want: Routes, live: Mapping[str, Manifest]) -> tuple[str, str]:
        """What of ``want`` is not written, and who else wrote there last; empty when all of it stands."""
        for name, manifest in live.items():
            wanted = self._edited(manifest, want)
            if wanted != manifest:
                section = next((each for each in virtual_service.SECTIONS if wanted["spec"].get(each) != manifest["spec"].get(each)), "http")
                what = difference(want, virtual_service.read(manifest, self.layout)) or "its rules are not as wanted"
                return f"VirtualService {name}: {what}{changed_by(manifest, 'spec', section)}", writer_of(manifest, "spec", section)
        return "", ""

    def _lagging(self, want: Routes, live: Mapping[str, Manifest]) -> str:
        """What does not follow what is written; empty when everything does."""
        if self.admins:
            for manifest in live.values():
                why = istio_envoys.missing(manifest, self.layout, self.admins, self._clusters(manifest)) if self._http else ""
                why = why or istio_streams.missing(manifest, self.layout, self.admins, self.clusters)
                if why:
                    return why
                why = istio_envoys.loose(manifest, self.admins, self._clusters(manifest), self.cookie) if self.cookie and _shared(want) else ""
                if why:
                    return why
        return self._silent([slot for slot in SLOTS if want.weight(slot) or _led_to(slot, want)])

    def _clusters(self, manifest: Manifest) -> dict[str, str]:
        return istio_envoys.cluster_names(manifest, self.layout, self.clusters)


def _slots(options: Mapping[str, Any]) -> dict[str, Destination]:
    """Slot to destination. Raises ConfigError."""
    given = {slot: options.get(slot) or "" for slot in SLOTS}
    if options.get("host"):
        made = {slot: Destination(options["host"], given[slot] or slot) for slot in SLOTS}
    else:
        if not all(given.values()):
            names = Slots.from_option(options.get("workload") or {}, "istio.workload").names
            given = {slot: given[slot] or names[slot] for slot in SLOTS}
        made = {slot: Destination(given[slot]) for slot in SLOTS}
    if made[STABLE] == made[CANARY]:
        raise ConfigError("stable and canary are the same destination", where="istio", do="Give each slot a Service, or a subset, of its own.")
    return made


def _shared(want: Routes) -> bool:
    """Whether both slots get requests."""
    return FULL not in want.weights.values()


def _led_to(slot: str, routes: Routes) -> bool:
    return any(match.track == slot for match in routes.matches) or (routes.mirror is not None and routes.mirror.track == slot)


def _gains(slot: str, now: Routes, want: Routes) -> bool:
    return want.weight(slot) > now.weight(slot) or (_led_to(slot, want) and not _led_to(slot, now))
