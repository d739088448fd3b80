# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a strategy gets to know: everything it may decide on, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Optional

from ..model import FULL, Capability, Member, Routes
from ..plan import HookSpec, Step


@dataclass(frozen=True)
class Scale:
    """How many pods the candidate shall have, whatever its share: so many, as many as ``weight`` percent need, or as its share needs."""

    replicas: Optional[int] = None
    weight: Optional[Fraction] = None
    match_traffic_weight: bool = False


@dataclass(frozen=True)
class StepSpec:
    """One step as the user wrote it, already checked: the steps it stands for, before a strategy places them."""

    weight: Optional[Fraction] = None
    step: Optional[Step] = None
    scale: Optional[Scale] = None
    where: str = ""


@dataclass(frozen=True)
class Brief:
    """The facts and wishes a plan is compiled from.

    ``home``: hosts per slot, as the inventory has them. ``live``: the slot that carries the traffic now. ``previous``:
    the version it runs ('' when unknown or when this is the first deploy). ``options``: the strategy's own, checked.
    ``present``: the spare slot holds the version already, so that it need not be deployed; ``revision``: it is put back from the cluster's own history;
    ``ask``: somebody decides before anything changes. ``replicas``: pods per slot, for workloads that have them;
    ``called``: the name of the object that is a slot.
    ``resolution``: the router's.
    """

    strategy: str
    version: str
    home: Mapping[str, tuple[str, ...]]
    live: str = "stable"
    previous: str = ""
    first: bool = False
    present: bool = False
    revision: str = ""
    ask: bool = False
    capabilities: frozenset[Capability] = frozenset()
    resolution: int = 0
    routed: bool = True
    by_hosts: bool = True  # the version is put in place on hosts, by the user's tasks
    replicas: Mapping[str, int] = field(default_factory=dict)
    called: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[StepSpec, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    hooks: Mapping[str, tuple[HookSpec, ...]] = field(default_factory=dict)
    health: bool = True
    watch: bool = True
    allow_overload: bool = False

    @property
    def spare(self) -> str:
        """The slot that receives the new version."""
        return next((slot for slot in self.home if slot != self.live), self.live)

    @property
    def full(self) -> int:
        """Hosts or pods that carry all traffic now."""
        return len(self.home[self.live]) if self.by_hosts else max(1, self.replicas.get(self.live, 1))

    @property
    def moves(self) -> bool:
        """Whether single hosts can change sides."""
        return Capability.MEMBERS in self.capabilities

    @property
    def start(self) -> Routes:
        """All traffic on the live slot."""
        weights = {slot: (FULL if slot == self.live else Fraction(0)) for slot in self.home}
        members = {slot: tuple(Member(host) for host in hosts) for slot, hosts in self.home.items()} if self.moves and self.by_hosts else {}
        pods = {slot: (self.full if slot == self.live else 0) for slot in self.home} if Capability.PODS in self.capabilities and not self.by_hosts else {}
        return Routes(weights=weights, members=members, pods=pods)
