# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VirtualServices of Istio: weights, match routes and mirrors, between two Services or two subsets of one.

A VirtualService says nothing of itself; the Envoys of the gateway, where they are named, say whether it is in force and how many requests each slot gets.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Optional

from ..clients import destination_rule, istio_envoys, virtual_service
from ..clients.envoy import EnvoyAdmin
from ..clients.gateway_envoys import Count, check_clusters, counted
from ..clients.kube import KUBE_OPTIONS, Kube
from ..clients.kube_edit import Manifest, changed, changed_by, fence_of, found, rehearsed, writer_of
from ..clients.kube_resources import DESTINATIONRULES, VIRTUALSERVICES
from ..clients.kube_slots import SLOTS, Slots, pods_of, ready_endpoints, ready_pods
from ..clients.virtual_service import Destination, Layout
from ..core.errors import ConfigError, DeliveryError, Unavailable, Unsupported
from ..core.kube_rights import ROUTER, Rights
from ..core.lease import Marker
from ..core.model import CANARY, STABLE, Capability, Observation, Routes
from ..core.options import Option, Options
from ..core.settle import difference
from ..core.units import duration

ONLY_HTTP = frozenset({Capability.HEADER, Capability.COOKIE, Capability.QUERY, Capability.PATH, Capability.MIRROR, Capability.MEASURE})

Labels = Mapping[str, str]


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
    capabilities: frozenset[Capability] = ONLY_HTTP | {Capability.WEIGHT}
    """All that one may have; one without Envoys measures nothing, and tls and tcp know weights only."""
    resolution: int = 100

    def __init__(
        self, kube: Kube, names: tuple[str, ...], layout: Layout, *, rule: str = "", labels: Optional[Mapping[str, Labels]] = None,
        admins: tuple[EnvoyAdmin, ...] = (), clusters: Optional[Mapping[str, str]] = None,
    ) -> None:  # fmt: skip
        self.kube = kube
        self.names = names
        self.layout = layout
        self.rule = rule
        self.labels = dict(labels or {})
        self.admins = admins
        self.clusters = dict(clusters or {})
        self.marker: Optional[Marker] = None
        self._read: dict[str, Manifest] = {}
        http = not layout.routes or any(not route.startswith(("tls/", "tcp/")) for route in layout.routes)
        lacks = (frozenset() if http else ONLY_HTTP) | (frozenset() if admins else {Capability.MEASURE})
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
        )  # fmt: skip

    def read(self) -> Routes:
        """The routes of the first VirtualService. Raises ConfigError for one that has not exactly the rules that are meant."""
        self._subsets()
        self._read = {name: found(self.kube, VIRTUALSERVICES, name) for name in self.names}
        routes = [virtual_service.read(self._read[name], self.layout) for name in self.names]
        return routes[0]

    def write(self, want: Routes) -> None:
        """Subsets before anything leads to them; nothing is written before all is worked out, and nothing to a slot that nobody answers for."""
        read, self._read = self._read, {}
        live = {name: read.get(name) or found(self.kube, VIRTUALSERVICES, name) for name in self.names}
        edit = partial(self._edited, routes=want)
        if any(edit(live[name]) != live[name] for name in self.names):
            why = self._unready(want, live)
            if why:
                raise Unavailable(why, where=f"VirtualService {self.kube.namespace}/{self.names[0]}", do="It gets requests when its Pods are ready.")
        if self.rule and self.labels:
            changed(self.kube, DESTINATIONRULES, self.rule, self._with_subsets)
        for name in self.names:
            changed(self.kube, VIRTUALSERVICES, name, edit, known=live[name], marker=self.marker)

    def rehearse(self, want: Routes) -> None:
        """The server's own words, those of Istio's webhook among them."""
        if self.rule and self.labels:
            manifest = found(self.kube, DESTINATIONRULES, self.rule)
            wanted = self._with_subsets(manifest)
            if wanted != manifest:
                rehearsed(self.kube, DESTINATIONRULES, manifest, wanted)
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
        standing = not why
        why = why or self._lagging(want, live)
        count = Count()
        if self.admins and Capability.MEASURE in self.capabilities:
            try:
                count = counted(self.admins, self._clusters(live[self.names[0]]))
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
        return (*rights, (str(DESTINATIONRULES), "patch")) if self.labels else rights

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

    def _edited(self, manifest: Manifest, routes: Routes) -> dict[str, Any]:
        if any(routes.members.values()):
            raise Unsupported("a VirtualService has no weights of single servers", where=virtual_service.where(manifest))
        if routes.assignment is not None:
            do = "Have your edge or app name the variant in a header, and match that."
            raise Unsupported("a VirtualService has no hash to split users by", where=virtual_service.where(manifest), do=do)
        return virtual_service.edit(manifest, routes, self.layout)

    def _with_subsets(self, manifest: Manifest) -> dict[str, Any]:
        return destination_rule.edit(manifest, self.layout.slots[STABLE].host, self.labels)

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
        return behind & ready_pods(pods_of(self.kube, self._subsets()[slot], space)) if self.rule else behind

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
        if self.admins and Capability.MEASURE in self.capabilities:
            for manifest in live.values():
                why = istio_envoys.missing(manifest, self.layout, self.admins, self._clusters(manifest))
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


def _led_to(slot: str, routes: Routes) -> bool:
    return any(match.track == slot for match in routes.matches) or (routes.mirror is not None and routes.mirror.track == slot)


def _gains(slot: str, now: Routes, want: Routes) -> bool:
    return want.weight(slot) > now.weight(slot) or (_led_to(slot, want) and not _led_to(slot, now))
