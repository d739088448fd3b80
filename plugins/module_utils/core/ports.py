# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the world can do, as the core sees it. Adapters implement these, one file each; ``tests/contract`` holds one suite per port."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional, Protocol, runtime_checkable

from .errors import DeliveryError
from .model import Asked, Capability, Observation, Progress, Routes, Series, Track, Verdict, Window


class TrafficRouter(Protocol):
    """Splits requests between tracks. Several load balancers that serve the same users are one router (see ``core/fleet.py``)."""

    capabilities: frozenset[Capability]
    """What this very router can do: its options may narrow what its kind can."""
    resolution: int
    """Parts a whole is split into: 100 for whole per cents, 256 for HAProxy weights, 10000 for hundredths of a per cent."""

    def read(self) -> Routes:
        """The live routes, normalised. Raises Unavailable, ConfigError (no such backend)."""

    def write(self, want: Routes) -> None:
        """Make ``want`` so: absolute and idempotent, nothing written when nothing differs.

        The receiver is raised before the giver is lowered; the sum of weights is never 0 in between.
        Raises Unsupported, Unavailable, Conflict.
        """

    def observe(self, want: Routes) -> Observation:
        """What the data plane does now, held against ``want``."""

    def release(self) -> None:
        """Remove what this router created and nobody needs any more; weights stay as they are."""


@runtime_checkable
class Reaching(Protocol):
    """What a TrafficRouter of several load balancers, or of several objects, has besides."""

    def write_reachable(self, want: Routes) -> Mapping[str, DeliveryError]:
        """Write all that can be written; what went wrong, by name. For a way back, which waits for none of them. Raises DeliveryError where nothing could."""


@runtime_checkable
class Cutting(Protocol):
    """What a TrafficRouter with the CUT capability has besides."""

    def cut(self, servers: Iterable[str]) -> int:
        """End every session that the drained ``servers`` still have, and how many those were. They stay out of rotation. Raises Unavailable, ConfigError."""


@runtime_checkable
class Wary(Protocol):
    """What a TrafficRouter may have besides: an eye on its own control interface."""

    def warnings(self) -> list[str]:
        """One line for each way in which a stranger could move the traffic, with what to do. Never raises for a plane that does not say."""


@runtime_checkable
class Addressed(Protocol):
    """What a TrafficRouter may have besides: the objects that it writes, as people name them."""

    objects: tuple[str, ...]


@runtime_checkable
class Heedful(Protocol):
    """What a TrafficRouter may have besides: it gives a track no requests before somebody can answer them, and its write refuses until then."""

    def unready(self, want: Routes) -> str:
        """Who would get more with ``want`` and has nobody to answer; empty when all can. Raises Unavailable, ConfigError."""


@runtime_checkable
class Rehearsing(Protocol):
    """What a TrafficRouter may have besides: it can ask beforehand whether a write would be taken."""

    def rehearse(self, want: Routes) -> None:
        """Have the server say what it would say to this write; nothing is written. Raises what the write would raise."""


@runtime_checkable
class Assigning(Protocol):
    """What a TrafficRouter may have besides: rules and assignments of users that it takes only in part, as its options or its version have it."""

    def unassignable(self, want: Routes) -> str:
        """Why it cannot send users as the match routes and the assignment of ``want`` say; empty when it can. Raises Unavailable."""


@runtime_checkable
class Holding(Protocol):
    """What a TrafficRouter may have besides: sessions stay with the server that answered them (``affinity``, see :mod:`.affinity`).

    A track at 0 % has no session left once that is in force, whatever held it; and nothing about sessions makes a write fail that gives one track everything.
    """

    def sessions(self) -> list[str]:
        """What holds sessions, or shall, one line each; empty where no affinity is asked for. Raises ConfigError, Unsupported where it cannot be had."""


@runtime_checkable
class Parting(Protocol):
    """What a TrafficRouter may have besides: drained servers that still get requests of sessions which a cookie binds to them."""

    def let_go(self, servers: Iterable[str]) -> None:
        """No cookie leads to these drained ``servers`` any more; what they have in flight they finish. Raises Unavailable, ConfigError."""


class MetricProvider(Protocol):
    """Measures. Every answer is a Series with at least one value, or an error; NoData is an error, never 0."""

    def probe(self) -> None:
        """Raise Unavailable or ConfigError when this provider could not answer a query now."""

    def query(self, query: str, window: Window) -> Series:
        """Answer ``query`` (already rendered), or ``window.builtin`` when that is set.

        Raises NoData, Unavailable (unreachable, partial rubbish, stale), Unsupported (no such builtin), ConfigError.
        """


@runtime_checkable
class Explaining(Protocol):
    """What a MetricProvider may have besides: it knows why a question has no data."""

    def why_no_data(self, query: str, window: Window) -> str:
        """A sentence where the question is to blame, such as labels that nothing has; empty where it is not, or cannot be said. Never raises NoData."""


class Judge(Protocol):
    """Turns all looks of a step into a verdict. Pure: the same evidence gives the same verdict.

    ``KIND`` is what it weighs, see :mod:`.evidence`. FAILED once the evidence is there, SUCCESSFUL only with evidence, RUNNING until then,
    PENDING without data, ERROR for what cannot be judged; it never raises for what was measured.
    """

    KIND: str

    def judge(self, criterion: Any, candidate: Series, baseline: Optional[Series]) -> Verdict: ...


@runtime_checkable
class GroupJudge(Protocol):
    """What a Judge may have besides: one score of all metrics that it judges. Its verdict on one metric is a label; the score is what decides."""

    def scored(self, criterion: Any, labels: Sequence[tuple[Any, Verdict]]) -> Verdict:
        """The verdict on all of ``labels``, each a metric with the verdict on it."""


@runtime_checkable
class Knowing(Protocol):
    """What a Judge may have besides: evidence of its own, such as that of a wait which is taken up again."""

    def evidence(self, started: float) -> Any:
        """The Evidence that a wait begins with, whose windows reach back to ``started`` at least."""


class Workload(Protocol):
    """Knows what runs a track."""

    def read(self) -> Mapping[str, Track]:
        """Every track that exists, by name."""


class ManagedWorkload(Workload, Protocol):
    """A workload changed through an API. (A pool of hosts is changed by the user's own tasks, in a play.)

    Every change is absolute and idempotent, and returns whether something was written. Raises ConfigError (no such object, refused by the
    server), Unavailable, Conflict.
    """

    def foresee(self, plan: Any) -> list[str]:
        """What may go wrong with this :class:`~.plan.Plan`, as notes. Raises ConfigError for what must. Writes nothing."""

    def deploy(self, track: str, version: str, replicas: Optional[int] = None) -> bool:
        """Give ``track`` the version: the release's own, or one that ran before; with ``replicas``, that many."""

    def scale(self, track: str, replicas: int) -> bool: ...

    def retire(self, track: str) -> bool:
        """Nothing of ``track`` runs any more, and what was held for the release is given back."""

    def progress(self, track: str) -> Progress:
        """One look at how far the last change has come."""

    def addresses(self, track: str) -> Mapping[str, str]:
        """Name and address of each ready replica, for health checks; empty where they have none."""

    def await_change(self, track: str, seconds: float) -> None:
        """Return when something about ``track`` has changed, or after ``seconds``."""


@runtime_checkable
class Draining(Protocol):
    """What a ManagedWorkload may have besides: its replicas can be asked to finish what they do."""

    @property
    def drains(self) -> bool:
        """Whether this very one knows how to ask."""

    def ask_to_finish(self, track: str, left: float) -> Iterator[tuple[str, Asked]]:
        """Tell every running replica of ``track`` that it will be gone in ``left`` seconds; name and answer of each. Raises Unavailable."""


@dataclass(frozen=True)
class Former:
    """Something that a track ran, as the cluster remembers it. ``name``: of what it is remembered by; ``current``: it is what runs now."""

    version: str
    name: str
    number: int
    current: bool


@runtime_checkable
class Remembering(Protocol):
    """What a ManagedWorkload may have besides: a history of its own, with the way back of ``kubectl rollout undo``."""

    def former(self, track: str, to: int) -> Former:
        """Revision ``to`` of the track; 0 is the one before the present. Raises ConfigError."""

    def present(self, track: str) -> str:
        """What the template that the track has now is remembered by; '' where it is not."""

    def restore(self, track: str, name: str) -> bool:
        """Put back what is remembered under this name; whether something was written. Raises ConfigError."""

    def compared(self, plan: Any) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """What a replica that serves is made from now, and once this :class:`~.plan.Plan` is done."""


@dataclass(frozen=True)
class Stored:
    """A stored value and the token that a later save must present."""

    value: Mapping[str, Any]
    token: str


class StateStore(Protocol):
    """Remembers small JSON documents of one release name, by key (record, lease, requests, gates), with compare-and-swap."""

    def load(self, key: str) -> Optional[Stored]:
        """The document, or None when there is none. Raises Unavailable; ConfigError when it is not ours or not readable."""

    def save(self, key: str, value: Mapping[str, Any], expect: Optional[str]) -> str:
        """Store ``value`` if the current token is ``expect`` (None: if there is none) and return the new token.

        Durable when it returns. Raises Conflict, Unavailable.
        """


class Clock(Protocol):
    """Time. The fake one never sleeps."""

    def now(self) -> float:
        """Monotonic seconds."""

    def time(self) -> float:
        """Seconds since the epoch."""

    def sleep(self, seconds: float) -> None:
        """Wait. Raises Interrupted when the process is asked to end meanwhile."""
