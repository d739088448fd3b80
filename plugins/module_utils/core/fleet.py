# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several load balancers that serve the same users, as one router.

A step is done when all confirm. All must answer before the first is written; a refusal puts back those that took the step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .errors import Conflict, DeliveryError, Unavailable
from .model import MemberView, Observation, Routes
from .ports import Assigning, Cutting, Holding, Parting, TrafficRouter, Wary
from .settle import difference


class Fleet:
    """The TrafficRouter port over ``routers``, by the name each load balancer goes by in messages.

    ``capabilities`` and ``resolution`` are those that all of them have.
    Sequential: one load balancer costs a few milliseconds.
    """

    def __init__(self, routers: Mapping[str, TrafficRouter]) -> None:
        if not routers:
            raise ValueError("a fleet has at least one load balancer")
        self._routers = dict(routers)
        members = list(self._routers.values())
        own = frozenset.intersection(*(frozenset(router.capabilities) for router in members))
        self.capabilities = own
        self.resolution = min(router.resolution for router in members)

    def read_each(self) -> dict[str, Routes]:
        """The live routes of each. Raises Unavailable naming all that do not answer. For resume, which repairs a step that stopped half-way."""
        live: dict[str, Routes] = {}
        silent: dict[str, DeliveryError] = {}
        for name, router in self._routers.items():
            try:
                live[name] = router.read()
            except Unavailable as error:
                silent[name] = error
        if silent:
            raise _unavailable(silent, "so no load balancer was changed")
        return live

    def read(self) -> Routes:
        """What all agree on. Raises Conflict naming the first that differs and in what."""
        live = self.read_each()
        [(first, routes), *others] = live.items()
        for name, other in others:
            what = difference(routes, other)
            if what:
                raise Conflict(f"the load balancers differ: compared with {first}, {what}", where=name, do="A resume or an abort brings them together.")
        return routes

    def write(self, want: Routes) -> None:
        """Write all, or none: the first refusal puts back those that took it, itself included, and is raised with its name."""
        before = self.read_each()
        taken: list[str] = []
        for name, router in self._routers.items():
            taken.append(name)
            try:
                router.write(want)
            except DeliveryError as error:
                lost = self._put_back({done: before[done] for done in reversed(taken)})
                what = f"{error.what}; the others were put back" if not lost else f"{error.what}; not put back: {', '.join(lost)}"
                raise type(error)(what, where=_where(name, error), do=error.do) from error

    def write_reachable(self, want: Routes) -> dict[str, DeliveryError]:
        """Write every load balancer that answers; what went wrong, by name. For a rollback, which must not wait for a dead one."""
        failed: dict[str, DeliveryError] = {}
        for name, router in self._routers.items():
            try:
                router.write(want)
            except DeliveryError as error:
                failed[name] = error
        if len(failed) == len(self._routers):
            raise _unavailable(failed, "so no load balancer took the routes")
        return failed

    def observe(self, want: Routes) -> Observation:
        """All looks in one: applied only where all confirm, counters summed, the epoch joined, servers merged by :func:`merge`."""
        looks = {name: router.observe(want) for name, router in self._routers.items()}
        views: dict[str, list[MemberView]] = {}
        for look in looks.values():
            for member, view in look.members.items():
                views.setdefault(member, []).append(view)
        return Observation(
            applied=all(look.applied for look in looks.values()),
            why="; ".join(f"{name}: {look.why}" for name, look in looks.items() if not look.applied),
            requests=_sum(look.requests for look in looks.values()),
            failed=_sum(look.failed for look in looks.values()),
            members={member: merge(seen) for member, seen in views.items()},
            epoch=" ".join(f"{name}={look.epoch}" for name, look in looks.items()),
        )

    def release(self) -> None:
        for router in self._routers.values():
            router.release()

    def cut(self, servers: Iterable[str]) -> int:
        """On every load balancer; the sessions of all of them."""
        names = list(servers)
        return sum(router.cut(names) for router in self._routers.values() if isinstance(router, Cutting))

    def let_go(self, servers: Iterable[str]) -> None:
        names = list(servers)
        for router in self._routers.values():
            if isinstance(router, Parting):
                router.let_go(names)

    def warnings(self) -> list[str]:
        """Those of every load balancer, each once."""
        return list(dict.fromkeys(line for router in self._routers.values() if isinstance(router, Wary) for line in router.warnings()))

    def sessions(self) -> list[str]:
        """Those of every load balancer, each once."""
        return list(dict.fromkeys(line for router in self._routers.values() if isinstance(router, Holding) for line in router.sessions()))

    def unassignable(self, want: Routes) -> str:
        """The first that cannot, with its name."""
        for name, router in self._routers.items():
            why = router.unassignable(want) if isinstance(router, Assigning) else ""
            if why:
                return f"{name}: {why}"
        return ""

    def _put_back(self, before: Mapping[str, Routes]) -> list[str]:
        """Restore; the names of those that would not."""
        lost = []
        for name, routes in before.items():
            try:
                self._routers[name].write(routes)
            except DeliveryError as error:
                lost.append(f"{name} ({error.what})")
        return lost


def merge(views: Iterable[MemberView]) -> MemberView:
    """One server as several load balancers see it: the worst state, but ``unknown`` (neither healthy nor drained) when only some send to it."""
    seen = list(views)
    states = {view.state for view in seen}
    mixed = "up" in states and len(states) > 1
    state = "unknown" if mixed else next(state for state in ("unknown", "down", "maint", "drain", "up") if state in states)
    return MemberView(state, sum(view.in_flight for view in seen), sum(view.requests for view in seen))


def _sum(counters: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for counter in counters:
        for track, count in counter.items():
            total[track] = total.get(track, 0) + count
    return total


def _where(name: str, error: DeliveryError) -> str:
    return error.where if name in error.where else f"{name}: {error.where}".rstrip(": ")


def _unavailable(failed: Mapping[str, DeliveryError], outcome: str) -> Unavailable:
    """One line for all that failed; a single one is named by ``where`` alone."""
    first = next(iter(failed.values()))
    causes = first.what if len(failed) == 1 else "; ".join(f"{name}: {error.what}" for name, error in failed.items())
    return Unavailable(f"{causes}; {outcome}", where=", ".join(failed), do=first.do)
