# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gates: a wait for a decision by a person or a system, kept in the state store so that it outlives every process.

The first decision wins; the store's compare-and-swap says which was first. A gate is bound to the digest of its candidate: a decision
made for another one opens nothing. What has expired takes its ``on_timeout`` as soon as anybody looks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Optional, Protocol, runtime_checkable

from .codec import decode, encode
from .errors import ConfigError, Conflict, DeliveryError, Unavailable, unknown
from .lease import RENEW_DEADLINE
from .ports import Clock, StateStore
from .swap import swap
from .units import from_iso, iso, show_duration

KEY = "gates"
PROMOTE = "promote"
ABORT = "abort"
HOLD = "hold"
LONGEST_NAME = 253


@dataclass(frozen=True)
class Decision:
    """``what``: promote or abort. ``when``: UTC ISO string. ``channel``: how it came (playbook, prompt, file, gitlab, timeout, ...)."""

    what: str
    who: str
    when: str
    channel: str
    digest: str


@dataclass(frozen=True)
class Gate:
    """A stored gate. ``expires`` is empty for one that waits for ever; ``on_timeout``: abort, promote or hold.

    ``starter`` is who started the release, whom ``require_other`` shuts out. ``held``: what stood in each standing source when it was first
    seen, which decides nothing. Times are UTC ISO strings, since a gate is read on many machines.
    """

    name: str
    release: str
    digest: str
    opened: str
    expires: str = ""
    on_timeout: str = ABORT
    require_other: bool = False
    starter: str = ""
    decision: Optional[Decision] = None
    held: Mapping[str, str] = field(default_factory=dict)


class GateSource(Protocol):
    """Where decisions come from besides the store: a file, an approval system.

    ``hint``: what somebody does there to decide. ``every``: seconds between two looks.
    """

    hint: str
    every: float

    def poll(self, gate: Gate) -> Optional[Decision]:
        """The decision made there for this gate, if any. Raises Unavailable, ConfigError (an answer that is none)."""


@runtime_checkable
class StandingSource(GateSource, Protocol):
    """A source where a decision stays after it was taken, and nobody can tell when it was written: only a change decides."""

    name: str

    def standing(self) -> str:
        """What stands there now; empty when nothing does. Raises Unavailable, ConfigError."""


def spoken(line: str, where: str) -> Optional[tuple[str, str]]:
    """(decision, who) of a line such as ``promote ann``; None for an empty one. Raises ConfigError for anything else."""
    words = line.split()
    if not words:
        return None
    what = words[0].lower()
    if what not in (PROMOTE, ABORT):
        raise ConfigError(f"{line.strip()[:40]!r} is no decision", where=where, do="Write promote or abort, and a name.")
    return what, named(" ".join(words[1:]))


def named(who: str) -> str:
    """A name as it may be shown and stored."""
    return "".join(letter for letter in who if letter.isprintable())[:LONGEST_NAME]


def overdue(gate: Gate, now: float) -> bool:
    """Whether an undecided gate has passed its time. ``now``: seconds since the epoch."""
    return gate.decision is None and bool(gate.expires) and now >= from_iso(gate.expires)


def expired(gate: Gate, now: float) -> Gate:
    """The gate with the decision of its timeout, where that has come; one that holds stays open for a late decision."""
    if not overdue(gate, now) or gate.on_timeout == HOLD:
        return gate
    return replace(gate, decision=Decision(gate.on_timeout, "nobody", gate.expires, "timeout", gate.digest))


def decided(gate: Gate, decision: Decision, now: float) -> Gate:
    """The gate with its decision: the one it has, that of its timeout, or ``decision``.

    Raises ConfigError when the decision does not fit this gate: another candidate, or a promotion by nobody or by the starter where another is required.
    """
    where = f"gate {gate.name}"
    gate = expired(gate, now)
    if gate.decision:
        return gate
    if decision.what not in (PROMOTE, ABORT):
        raise unknown("decision", decision.what, (PROMOTE, ABORT), where=where)
    if decision.digest != gate.digest:
        raise ConfigError(
            f"the decision was made for {decision.digest[:12] or 'no candidate'}, and this gate is for {gate.digest[:12]}",
            where=where,
            do="Look at the candidate that waits now, and decide again.",
        )
    if gate.require_other and decision.what == PROMOTE:  # to stop is everybody's right
        who = decision.who.strip().casefold()
        if not who:
            raise ConfigError("a decision without a name is not taken here (require_other)", where=where)
        if who == gate.starter.strip().casefold():
            raise ConfigError(f"{decision.who} started this release, and another has to decide (require_other)", where=where)
    return replace(gate, decision=decision)


def open_gate(
    store: StateStore,
    clock: Clock,
    name: str,
    *,
    release: str,
    digest: str,
    timeout: Optional[float] = None,
    on_timeout: str = ABORT,
    require_other: bool = False,
    starter: str = "",
) -> Gate:
    """Open a gate, or find it as it is when this release opened it before: a resumed wait neither starts anew nor forgets a decision.

    Gates of other releases are dropped; their decisions stand in the records of those.
    """
    now = clock.time()
    expires = "" if timeout is None else iso(now + timeout)
    wanted = Gate(name, release, digest, iso(now), expires, on_timeout, require_other, starter)

    def change(value: Mapping[str, Any]) -> Optional[Mapping[str, Any]]:
        gates = {key: gate for key, gate in _parse(value).items() if gate.release == release}
        if name in gates and gates[name].digest == digest:
            return None
        return _document({**gates, name: wanted})

    return _parse(swap(store, clock, KEY, change))[name]


def decide(store: StateStore, clock: Clock, name: str, decision: Decision) -> Gate:
    """Store a decision; the gate with the one that holds: this, or the one that came first and says the same.

    Raises Conflict naming the first one when that says something else; ConfigError when it does not fit, or there is no such gate.
    """
    gate = _change(store, clock, name, lambda gate: decided(gate, decision, clock.time()))
    _agree(gate, decision)
    return gate


def check(gate: Gate, decision: Decision, now: float) -> None:
    """Raises what :func:`decide` would. Nothing is stored."""
    _agree(decided(gate, decision, now), decision)


def _agree(gate: Gate, decision: Decision) -> None:
    first = gate.decision
    if first is None or first.what == decision.what:
        return
    if first.channel == "timeout":
        raise Conflict(f"too late: it expired at {gate.expires} and took its on_timeout, {first.what}", where=f"gate {gate.name}")
    raise Conflict(f"already decided: {first.what} by {first.who} at {first.when} ({first.channel})", where=f"gate {gate.name}")


def settle(store: StateStore, clock: Clock, name: str) -> Gate:
    """The gate as it is now; one that has expired takes its ``on_timeout``."""
    return _change(store, clock, name, lambda gate: expired(gate, clock.time()))


def find(store: StateStore, name: str, release: str) -> Optional[Gate]:
    """The gate as it is stored, when this release opened it."""
    stored = store.load(KEY)
    gate = _parse(stored.value).get(name) if stored else None
    return gate if gate is not None and gate.release == release else None


def waiting(store: StateStore, release: str) -> tuple[Gate, ...]:
    """The gates of this release that nobody has decided yet."""
    stored = store.load(KEY)
    gates = _parse(stored.value).values() if stored else ()
    return tuple(gate for gate in gates if gate.release == release and gate.decision is None)


def wait_for_gate(
    store: StateStore,
    clock: Clock,
    name: str,
    sources: Iterable[GateSource] = (),
    *,
    interval: float = 10.0,
    timeout: Optional[float] = None,
    on_tick: Callable[[Gate], Optional[Decision]] = lambda gate: None,
    say: Callable[[str], None] = lambda line: None,
) -> Gate:
    """Wait until the gate is decided: by a source, by whoever writes a decision into the store, by its timeout, or by ``on_tick``.

    ``on_tick`` runs once a look: it renews the lease, goes on with the analysis, and may decide (a bad verdict aborts). Of several
    decisions in one look an abort comes first. After ``timeout`` seconds of this process the gate is returned undecided. A source
    that fails is said once and asked again (``sources`` are gone through once a look); a store that is away is borne as long as a lease is.
    """
    begun = seen = clock.now()
    said: set[str] = set()
    gate: Optional[Gate] = None

    def tell(line: str) -> None:
        if line not in said:
            said.add(line)
            say(line)

    while True:
        try:
            gate = settle(store, clock, name)
            seen = clock.now()
            gate = gate if gate.decision else _look(store, clock, gate, sources, on_tick, tell)
        except Unavailable as error:
            if clock.now() - seen > RENEW_DEADLINE:
                raise
            tell(str(error))
        left = interval if timeout is None else begun + timeout - clock.now()
        if gate and (gate.decision or left <= 0):
            return gate
        clock.sleep(max(0.05, min(interval, left)))


def _look(
    store: StateStore,
    clock: Clock,
    gate: Gate,
    sources: Iterable[GateSource],
    on_tick: Callable[[Gate], Optional[Decision]],
    tell: Callable[[str], None],
) -> Gate:
    """One look at everybody who may decide."""
    offers = [on_tick(gate)]
    for source in sources:
        try:
            if isinstance(source, StandingSource):
                gate, news = _noted(store, clock, gate, source)
                if not news:
                    continue
            offers.append(source.poll(gate))
        except (Unavailable, ConfigError) as error:
            tell(f"gate {gate.name} stays closed: {error}")
    for offer in sorted((offer for offer in offers if offer), key=lambda offer: offer.what != ABORT):
        try:
            return decide(store, clock, gate.name, offer)
        except Unavailable:
            raise
        except Conflict as first:
            tell(str(first))
            return settle(store, clock, gate.name)
        except DeliveryError as refused:
            tell(f"{offer.what} by {offer.who or 'somebody'} ({offer.channel}) is not taken: {refused}")
    return gate


def _noted(store: StateStore, clock: Clock, gate: Gate, source: StandingSource) -> tuple[Gate, bool]:
    """(the gate, whether something new stands in the source). What is seen there first is old, and so is nothing."""
    now, before = source.standing(), gate.held.get(source.name)
    if now == before:
        if now:
            raise ConfigError(f"{now[:40]!r} stood there before the gate did", where=source.name, do="Take it away, then decide.")
        return gate, False
    if before is None or not now:
        held = {**gate.held, source.name: now}
        return _change(store, clock, gate.name, lambda found: replace(found, held=held)), False
    return gate, True


def prompt_text(gate: Gate, now: float) -> str:
    """What a person at a terminal is asked. ``now``: seconds since the epoch."""
    until = ""
    if gate.expires and not overdue(gate, now):
        then = "it stays open" if gate.on_timeout == HOLD else f"{gate.on_timeout} by itself"
        until = f"; in {show_duration(from_iso(gate.expires) - now)}: {then}"
    return f"Gate {gate.name!r} for candidate {gate.digest[:12]}: promote or abort{until}"


def _change(store: StateStore, clock: Clock, name: str, change: Callable[[Gate], Gate]) -> Gate:
    def change_all(value: Mapping[str, Any]) -> Optional[Mapping[str, Any]]:
        gates = _parse(value)
        if name not in gates:
            raise unknown("gate", name, gates)
        changed = change(gates[name])
        return None if changed == gates[name] else _document({**gates, name: changed})

    return _parse(swap(store, clock, KEY, change_all))[name]


def _parse(value: Mapping[str, Any]) -> dict[str, Gate]:
    return {name: decode(Gate, {"name": name, **gate}, f"{KEY}.{name}") for name, gate in value.items()}


def _document(gates: Mapping[str, Gate]) -> dict[str, Any]:
    return {name: {key: item for key, item in encode(gate).items() if key != "name"} for name, gate in gates.items()}
