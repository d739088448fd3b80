# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may write now: a lease that is data in the state store, and the fence that tells an old holder's writes from the new one's.

* A lease is compared and swapped, never locked. It is emptied, never deleted, so that the fence only rises.
* A contender takes a held lease only after it has watched it unchanged for the whole term on its *own* monotonic clock. No wall clock
  is compared with another machine's; ``renewed`` is there to be read by people.
* The holder stops by itself when it could not renew for :data:`RENEW_DEADLINE`: with one operation of at most 30 s under way it is
  silent before anybody may take over (50 + 30 < 90).
* ``holder`` names one run, not a release or a person: two runs that present the same name would both be let in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Optional, Protocol, runtime_checkable

from .codec import decode, encode
from .errors import ConfigError, Conflict, Fenced, Lapsed, Unavailable
from .ports import Clock, StateStore, Stored
from .swap import TRIES, back_off
from .units import iso, show_duration

KEY = "lease"
RECORD = "record"
TTL = 90.0
"""Seconds of silence after which a lease may be taken over."""
RENEW_EVERY = 15.0
RENEW_DEADLINE = 50.0
"""Seconds without a successful renewal after which the holder writes nothing more. Scales with a longer term, see :class:`Session`."""
LOOK_EVERY = 2.0
"""Seconds between two looks at a lease that somebody holds."""
SAY_EVERY = 30.0
SAVES = 6
"""How often a save of the record is tried while others touch the object that it lies in."""


@dataclass(frozen=True)
class Lease:
    """The stored lease. ``holder`` is empty when nobody holds it.

    ``renewed`` is the holder's wall clock, for people. ``beat`` rises with every renewal: a lease that did not change was not renewed.
    ``stretch`` is how many seconds ``phase`` may last without a renewal; 0 outside such a phase.
    """

    holder: str = ""
    who: str = ""
    release: str = ""
    fence: int = 0
    ttl: float = TTL
    renewed: str = ""
    beat: int = 0
    stretch: float = 0.0
    phase: str = ""

    @property
    def patience(self) -> float:
        """Seconds a contender has to see this lease unchanged before it may take it."""
        return max(self.ttl, self.stretch)

    def __str__(self) -> str:
        by = f"{self.who} " if self.who else ""
        phase = f", in its phase {self.phase!r} of up to {show_duration(self.stretch)}" if self.stretch else ""
        return f"{by}(run {self.holder}, release {self.release or 'unknown'}), last renewed {self.renewed or 'never'} by its own clock{phase}"


@dataclass(frozen=True)
class Marker:
    """Who wrote last, noted on an object that splits traffic: a write of an earlier holder that arrives late finds another object, and is refused."""

    release: str
    step: int
    fence: int


@runtime_checkable
class Marking(Protocol):
    """What a TrafficRouter may have besides: its objects carry a :class:`Marker`."""

    def mark(self, marker: Marker) -> None:
        """Note this on every object from now on, whatever else differs in it. Later writes raise Fenced where one carries a higher fence."""

    def highest_fence(self) -> int:
        """The highest fence on its objects; 0 for none. Raises Unavailable, ConfigError."""


class Busy(Conflict):
    """Somebody else holds the lease. ``seen_for`` is how many seconds we saw it unchanged."""

    def __init__(self, lease: Lease, seen_for: float) -> None:
        self.holder = lease.holder
        self.who = lease.who
        self.release = lease.release
        self.seen_for = seen_for
        super().__init__(
            f"busy: held by {lease}; unchanged for the {show_duration(seen_for)} we looked",
            do=f"Wait for it, or ask it to stop with the abort playbook. Where it died, the resume playbook takes it over after "
            f"{show_duration(lease.patience)} of silence.",
        )


def read(store: StateStore) -> Lease:
    """The lease as stored; an empty one when there is none."""
    return _parse(store.load(KEY))


def _parse(stored: Optional[Stored]) -> Lease:
    lease = decode(Lease, stored.value, KEY) if stored else Lease()
    if not (0 < lease.ttl < float("inf") and 0 <= lease.stretch < float("inf") and lease.fence >= 0):
        raise ConfigError(f"a lease with ttl {lease.ttl}, stretch {lease.stretch} and fence {lease.fence} makes no sense", where=KEY)
    return lease


def _mute(line: str) -> None:
    """Nobody listens."""


def acquire(
    store: StateStore,
    clock: Clock,
    holder: str,
    *,
    who: str,
    release: str = "",
    ttl: float = TTL,
    wait: float = 0.0,
    say: Callable[[str], None] = _mute,
    floor_fence: int = 0,
    force: bool = False,
    outlast: bool = False,
) -> Lease:
    """Take the lease for the run ``holder``, looking at a held one for at most ``wait`` seconds.

    ``outlast``: and for as long as a phase that the holder announced may last, if that is longer; it is over when the holder says so.
    ``floor_fence`` is the highest fence seen elsewhere (record, markers on traffic objects); ours will be above it. The same holder
    re-enters with the fence it has. ``force`` does not wait for the end of a stretch, only for ``ttl``. ``say`` gets a line for people.
    Raises Busy, Unavailable, Interrupted; Conflict when every swap was lost to others.
    """
    if not holder:
        raise ConfigError("a run needs a name to hold a lease")
    begun = clock.now()
    seen, since, said, lost = Lease(), begun, begun - SAY_EVERY, 0
    while True:
        asked = clock.now()
        stored = store.load(KEY)
        current = _parse(stored)
        if current != seen:
            # Counted from after the answer to before the question: what lies between was certainly silent.
            seen, since, said = current, clock.now(), begun - SAY_EVERY
        silent = max(0.0, asked - since)
        patience = min(ttl, current.patience) if force else current.patience
        if current.holder in ("", holder) or silent >= patience:
            try:
                return _take(store, clock, stored, holder=holder, who=who, release=release, ttl=ttl, floor=floor_fence)
            except Conflict:
                lost += 1
                if lost >= TRIES:
                    raise
                back_off(clock, lost)
                continue
        waited = asked - begun
        limit = max(wait, since - begun + patience + wait - ttl) if outlast and current.stretch and not force else wait
        if waited >= limit:
            raise Busy(current, silent)
        if asked - said >= SAY_EVERY:
            said = asked
            left = f"{show_duration(limit - waited)} more" if limit != float("inf") else "on"
            say(f"held by {current}; taken over after {show_duration(patience - silent)} more of silence, looking {left}")
        clock.sleep(max(0.05, min(LOOK_EVERY, patience - silent, limit - waited)))


def _take(store: StateStore, clock: Clock, stored: Optional[Stored], *, holder: str, who: str, release: str, ttl: float, floor: int) -> Lease:
    current = _parse(stored)
    reentered = current.holder == holder and current.fence > floor
    lease = Lease(
        holder=holder,
        who=who,
        release=release,
        fence=current.fence if reentered else max(current.fence, floor) + 1,
        ttl=ttl,
        renewed=iso(clock.time()),
        beat=current.beat + 1,
    )
    store.save(KEY, encode(lease), stored.token if stored else None)
    return lease


class Session:
    """What the holder of a lease may do, checked against the store. Made anew in every process of a run, from ``holder`` and ``fence``.

    Once fenced, a session stays fenced: only :func:`acquire` starts another. The deadline leaves the same part of the term as
    :data:`RENEW_DEADLINE` leaves of :data:`TTL`; in a stretch it leaves as many seconds.
    """

    def __init__(self, store: StateStore, clock: Clock, holder: str, fence: int) -> None:
        self.holder = holder
        self.fence = fence
        self._store = store
        self._clock = clock
        self._renewed: Optional[float] = None  # when this process last proved that the lease is ours
        self._deadline = RENEW_DEADLINE
        self._fenced = ""
        self._kind: type[Fenced] = Fenced
        self._token: Optional[str] = None  # of the record
        self._record: Optional[Mapping[str, Any]] = None  # as loaded or saved last

    def renew(self) -> Lease:
        """Renew now. Raises Fenced when the lease is another's or could not be renewed in time, Unavailable while there still is time."""
        return self._put()

    def renew_if_due(self, every: float = RENEW_EVERY) -> bool:
        """Renew when the last renewal is ``every`` seconds old, sooner for a short term; whether it was renewed.

        A store that is away is borne until the deadline.
        """
        every = min(every, self._deadline * RENEW_EVERY / RENEW_DEADLINE)
        if self._renewed is not None and self._clock.now() - self._renewed < every:
            self._refuse_fenced()
            return False
        try:
            self._put()
            return True
        except Unavailable:
            if self._renewed is None:
                raise
            return False

    def check(self) -> None:
        """Call before every write to a target. Raises Fenced, or Unavailable when a new process could not prove once that it holds the lease."""
        self.renew_if_due()
        self._expire(None)

    def stretch(self, seconds: float, phase: str) -> Lease:
        """Announce that ``phase`` may last ``seconds`` without a renewal."""
        return self._put(stretch=seconds, phase=phase)

    def unstretch(self) -> Lease:
        """The phase is over: back to the usual term."""
        return self._put(stretch=0.0, phase="")

    def release(self) -> None:
        """Empty the lease. The fence stays in it."""
        self._put(holder="", who="", release="", stretch=0.0, phase="")
        self._fenced = "this run has given the lease back"

    def load_record(self) -> Optional[Mapping[str, Any]]:
        """The record, or None. Raises Fenced when a later run wrote it."""
        stored = self._store.load(RECORD)
        self._token, self._record = (stored.token, stored.value) if stored else (None, None)
        if stored:
            self._outrank(stored)
        return stored.value if stored else None

    def save_record(self, record: Mapping[str, Any]) -> None:
        """Save the record with our fence in it, if it still says what we loaded or saved last.

        The first save after :func:`acquire` is what shuts out the previous holder's saves: do it before anything else.
        Raises Fenced, Unavailable; Conflict when another process of this same run wrote it meanwhile.
        """
        value = {**record, "fence": self.fence}
        for lost in range(SAVES):
            self.check()
            try:
                self._token = self._store.save(RECORD, value, self._token)
                break
            except Conflict:
                stored = self._store.load(RECORD)
                if stored is None:
                    raise
                self._outrank(stored)
                self._token = stored.token
                if stored.value == value:  # our own save, whose answer was lost
                    break
                if stored.value != self._record or lost + 1 == SAVES:  # equal: somebody touched what it lies in, and not the record
                    raise
                back_off(self._clock, lost)
        self._record = value

    def _put(self, **changes: Any) -> Lease:
        self._refuse_fenced()
        for lost in range(TRIES):
            asked = self._clock.now()
            try:
                stored = self._store.load(KEY)
                current = _parse(stored)
                if changes.get("holder") == "" and not current.holder and current.fence == self.fence:
                    return current  # given back already; the answer was lost
                self._own(current)
                lease = replace(current, renewed=iso(self._clock.time()), beat=current.beat + 1, **changes)
                self._store.save(KEY, encode(lease), stored.token if stored else None)
            except Conflict:
                back_off(self._clock, lost)
                continue
            except Unavailable as error:
                self._expire(error)
                raise
            self._renewed = asked
            self._deadline = lease.ttl * RENEW_DEADLINE / TTL + lease.patience - lease.ttl
            return lease
        raise Conflict(f"the lease was changed by others {TRIES} times in a row", do="Look who else writes the state of this release.")

    def _own(self, current: Lease) -> None:
        if current.holder != self.holder or current.fence != self.fence:
            now = f"{current} with fence {current.fence}" if current.holder else f"nobody (fence {current.fence})"
            self._stop(f"the lease of this run (fence {self.fence}) is gone: it is held by {now}")

    def _outrank(self, stored: Stored) -> None:
        fence = stored.value.get("fence", 0)
        if not isinstance(fence, int):
            raise ConfigError(f"{fence!r} is not a fence", where=f"{RECORD}.fence")
        if fence > self.fence:
            self._stop(f"a later run wrote the record (fence {fence}, ours is {self.fence})")

    def _expire(self, cause: Optional[Exception]) -> None:
        if self._renewed is None:
            return
        silent = self._clock.now() - self._renewed
        if silent > self._deadline:
            self._stop(f"the lease could not be renewed for {show_duration(silent)}: another run may hold it", cause, Lapsed)

    def _refuse_fenced(self) -> None:
        if self._fenced:
            self._stop(self._fenced, kind=self._kind)

    def _stop(self, why: str, cause: Optional[Exception] = None, kind: type[Fenced] = Fenced) -> None:
        self._fenced, self._kind = why, kind
        do = "This run writes nothing until it has proved that none does." if kind is Lapsed else "This run writes nothing more; look with the status playbook."
        raise kind(why, do=do) from cause
