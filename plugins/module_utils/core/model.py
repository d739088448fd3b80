# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nouns of a release, as frozen data. No dict travels past ``entry/build.py``; :mod:`.codec` writes these as JSON and reads them back.

Weights are percent of requests as :class:`fractions.Fraction`; ``Fraction(5) == 5`` holds, so tests may write plain numbers.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Optional

from .errors import ConfigError

FULL = Fraction(100)
STABLE = "stable"
CANARY = "canary"


class Capability(str, enum.Enum):
    """What a router can do beyond holding weights. ``plan`` refuses a step whose capability is missing."""

    WEIGHT = "weight"  # any split, not only 0 and 100
    MEMBERS = "members"  # addresses single servers: hosts may move between tracks
    DRAIN = "drain"  # takes a single server out of rotation and reports what is still in flight
    CUT = "cut"  # ends what a drain left in flight
    HEADER = "header"
    COOKIE = "cookie"
    QUERY = "query"
    PATH = "path"
    MIRROR = "mirror"
    MEASURE = "measure"  # counts requests per track in the data plane
    PODS = "pods"  # splits by the number of pods: the share of a track is its share of the pods
    PREVIEW = "preview"  # has a second entry that leads to the slot without traffic
    STICKY = "sticky"  # splits users by a hash, so that each stays with one track, instead of splitting requests


@dataclass(frozen=True)
class Member:
    """One server behind a router. ``ramp`` is the percent of its full share it takes; 0 is out of rotation."""

    name: str
    ramp: Fraction = FULL


@dataclass(frozen=True)
class Condition:
    """One test on a request. ``source``: header, cookie, query or path; ``how``: exact, prefix or regex."""

    source: str
    name: str
    how: str
    value: str


@dataclass(frozen=True)
class MatchRoute:
    """Requests that meet any of ``alternatives`` (each a tuple of conditions that must all hold) go to ``track``.

    In a step of a plan ``stable`` stands for the side that serves when the release begins, and ``canary`` for the other, whichever slots those are.
    """

    name: str
    alternatives: tuple[tuple[Condition, ...], ...]
    track: str = CANARY


@dataclass(frozen=True)
class Mirror:
    """A copy of ``percentage`` of the requests goes to ``track``; its answers are thrown away."""

    percentage: Fraction
    track: str = CANARY


SOURCES = ("header", "cookie", "query")


@dataclass(frozen=True)
class Assignment:
    """Users are split, not requests: ``track`` gets those whose bucket (:mod:`.sticky`) is below its weight, and keeps them as that grows.

    ``source`` (header, cookie or query) and ``name`` say where a request carries the user's key. Requests without one go to
    ``others``, a track; empty: by chance, as the weights say.
    """

    source: str
    name: str
    salt: str
    track: str = CANARY
    others: str = STABLE


@dataclass(frozen=True)
class Routes:
    """Where requests go: absolute, not a change. ``weights`` sum to exactly 100.

    ``members`` says which servers make up a track, for routers with the MEMBERS capability; empty means that the
    router's own configuration knows. ``pods`` says how many pods each track has, for routers with the PODS capability.
    Match routes come first, in their order; then the ``assignment``, where there is one; then chance.
    """

    weights: Mapping[str, Fraction]
    members: Mapping[str, tuple[Member, ...]] = field(default_factory=dict)
    matches: tuple[MatchRoute, ...] = ()
    mirror: Optional[Mirror] = None
    pods: Mapping[str, int] = field(default_factory=dict)
    assignment: Optional[Assignment] = None

    def __post_init__(self) -> None:
        if sum(self.weights.values(), Fraction(0)) != FULL or any(weight < 0 for weight in self.weights.values()):
            shown = ", ".join(f"{track} {float(weight):g}" for track, weight in self.weights.items())
            raise ConfigError(f"weights must sum to 100 and none may be negative: {shown or 'none given'}")

    def weight(self, track: str) -> Fraction:
        return self.weights.get(track, Fraction(0))

    def with_weight(self, track: str, weight: Fraction, rest: str) -> Routes:
        """``track`` gets ``weight``; ``rest`` takes what is left; any third track keeps its own."""
        others = {name: share for name, share in self.weights.items() if name not in (track, rest)}
        left = FULL - weight - sum(others.values(), Fraction(0))
        return replace(self, weights={**others, rest: left, track: weight})


@dataclass(frozen=True)
class MemberView:
    """One server as the load balancer itself sees it. ``state``: up, down, drain, maint or unknown."""

    state: str
    in_flight: int = 0
    requests: int = 0


@dataclass(frozen=True)
class Observation:
    """What the data plane says now. ``requests`` and ``failed`` are counters per track since the plane started.

    ``epoch`` changes when the plane restarted, so that a counter that began again is not taken for a small one.
    ``applied`` is whether every load balancer confirms the wanted routes; ``why`` says what is missing. ``standing``: what was written still stands,
    the plane only has to follow, so that to write it again would help nobody. ``by`` is who else wrote it last, where that can be known.
    """

    applied: bool
    why: str = ""
    requests: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)
    members: Mapping[str, MemberView] = field(default_factory=dict)
    epoch: str = ""
    standing: bool = False
    by: str = ""


@dataclass(frozen=True)
class Settlement:
    """Whether the data plane does what the control plane says. ``measured`` is percent per track over ``requests``; ``by``: who else writes it."""

    settled: bool
    why: str
    measured: Optional[Mapping[str, Fraction]] = None
    requests: int = 0
    by: str = ""


@dataclass(frozen=True)
class Track:
    """A running version: who runs it, and how much of it is ready."""

    name: str
    version: str
    replicas: int
    ready: int
    members: tuple[str, ...] = ()


@dataclass(frozen=True)
class Asked:
    """What a replica answered that was asked to finish. ``connections``: its users' open ones, None where it does not count them; ``error``: why it
    cannot be asked."""

    connections: Optional[int] = None
    error: str = ""

    @property
    def busy(self) -> bool:
        """Worth waiting for: it has connections, or may have some."""
        return not self.error and self.connections != 0


@dataclass(frozen=True)
class Progress:
    """One look at a track that is changing. ``why`` says what is waited for, or, with ``failed``, what will not get better by waiting. ``version``: what the
    track is told to run, where that is known; ``by``: who else told it so last, in brackets."""

    done: bool
    why: str
    failed: bool = False
    ready: int = 0
    wanted: int = 0
    version: str = ""
    by: str = ""


@dataclass(frozen=True)
class Point:
    """One measured value. ``time``: seconds since the epoch by the server's clock; ``n``: requests it was made from, if known."""

    time: float
    value: float
    n: Optional[int] = None


@dataclass(frozen=True)
class Sample:
    """One labelled series of a reply."""

    points: tuple[Point, ...]
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Series:
    """A metrics reply: one or more samples. A reply without any value is the error NoData, never an empty Series.

    ``partial`` carries the server's warning when it says that it did not see everything. ``query`` is what was sent.
    ``scalar`` says that the source means one number (a ``count`` of events and the like come as such).
    """

    samples: tuple[Sample, ...]
    partial: str = ""
    query: str = ""


@dataclass(frozen=True)
class Window:
    """What a query is asked about: ``track`` between ``start`` and ``end`` (seconds since the epoch).

    ``labels`` fill ``${...}`` in a query: track, workload, namespace, version; ``window`` is derived. ``builtin`` and
    ``quantile`` are set when one of the built-in metrics is asked for instead of a query of the user's; ``slower_than`` (seconds) with the share of
    slow requests. With ``resolution`` a value is wanted every so many seconds, each made from the ``lookback`` seconds before it and from nothing
    before ``start``; without it one value of the whole window.
    """

    track: str
    start: float
    end: float
    labels: Mapping[str, str] = field(default_factory=dict)
    builtin: str = ""
    quantile: float = 0.95
    slower_than: float = 0.0
    resolution: float = 0.0
    lookback: float = 0.0

    @property
    def seconds(self) -> float:
        return max(0.0, self.end - self.start)


class Phase(str, enum.Enum):
    """The verdict of one metric or of a run, from best to worst."""

    SUCCESSFUL = "successful"
    RUNNING = "running"
    PENDING = "pending"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"
    FAILED = "failed"

    @property
    def rank(self) -> int:
        return list(Phase).index(self)


@dataclass(frozen=True)
class Verdict:
    """One judgement, with the evidence and one sentence of reason. ``value`` may be absent when nothing was measured.

    Statistical judges say more: ``low`` and ``high`` bound the value with ``confidence`` percent, ``limit`` is the largest good value, ``p`` the
    chance of such evidence without any difference, ``score`` that of a group; ``label`` is what a judge that scores groups calls a metric, and
    ``critical`` that it decides alone.
    """

    phase: Phase
    reason: str
    value: Optional[float] = None
    baseline: Optional[float] = None
    threshold: str = ""
    n: Optional[int] = None
    low: Optional[float] = None
    high: Optional[float] = None
    confidence: Optional[float] = None
    limit: Optional[float] = None
    p: Optional[float] = None
    score: Optional[float] = None
    label: str = ""
    critical: bool = False
