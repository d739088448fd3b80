# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health checks: their options, what an answer means, and one sentence on how a wait ended. ``clients/probe.py`` does the asking."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional, Union

from .errors import ConfigError
from .http_check import HTTP_OPTIONS, HttpCheck, http_check
from .options import Option, Options
from .poll import Attempt, PollResult, poll
from .ports import Clock
from .target import Target, known_places
from .units import count_or_percent, duration, show_duration

HEALTH_OPTIONS: Options = {
    "http": Option("dict", "Ask by HTTP. Exactly one of http, tcp and command.", options=HTTP_OPTIONS),
    "tcp": Option(
        "dict",
        "Open a TCP connection.",
        options={
            "port": Option("int", "Port to connect to. Default is the target's own.", minimum=1, maximum=65535),
            "host": Option("str", "Where to connect to.", default="${address}"),
        },
    ),
    "command": Option(
        "dict",
        "Run a command where the check runs (the coordinator, when the targets are hosts of a pool). Exit status 0 is healthy.",
        options={"argv": Option("list", "The command and its arguments; there is no shell.", required=True, elements="str")},
    ),
    "interval": Option("duration", "Time from the start of one look to the start of the next.", default="10s"),
    "retries": Option("int", "Largest number of looks.", default=30, minimum=1, maximum=100_000),
    "timeout": Option("duration", "Longest wait for one answer.", default="5s"),
    "success_threshold": Option("int", "Consecutive successes after which a target is healthy.", default=1, minimum=1, maximum=1000),
    "hold": Option("duration", "Time for which the targets must then stay healthy.", default="0s"),
    "max_failed": Option("count_or_percent", "Targets that may be unhealthy when the looks are used up, and during the hold.", default="0"),
}


@dataclass(frozen=True)
class TcpCheck:
    """``port`` is None where each target has its own."""

    port: Optional[int] = None
    host: str = "${address}"


@dataclass(frozen=True)
class CommandCheck:
    argv: tuple[str, ...]


Check = Union[HttpCheck, TcpCheck, CommandCheck]


@dataclass(frozen=True)
class Health:
    """A health check and how long to insist on it. Times in seconds; ``max_failed`` as written, a number or a percentage."""

    check: Check
    interval: float = 10.0
    retries: int = 30
    timeout: float = 5.0
    success_threshold: int = 1
    hold: float = 0.0
    max_failed: str = "0"


Probe = Callable[[Sequence[Target]], Mapping[str, Attempt]]
"""Asks all targets once, at the same time. Every target is in the answer."""


def parse(options: Mapping[str, Any], where: str = "health") -> Health:
    """From options that :data:`HEALTH_OPTIONS` has checked. Raises ConfigError for what the table cannot say."""
    kinds = [kind for kind in ("http", "tcp", "command") if options.get(kind) is not None]
    if len(kinds) != 1:
        raise ConfigError(f"exactly one of http, tcp and command is wanted, found {', '.join(kinds) or 'none'}", where=where)
    inner, place = options[kinds[0]], f"{where}.{kinds[0]}"
    check: Check
    if kinds[0] == "http":
        check = http_check(inner, place)
    elif kinds[0] == "tcp":
        known_places(inner["host"], f"{place}.host")
        check = TcpCheck(inner.get("port"), inner["host"])
    else:
        if not inner["argv"] or not inner["argv"][0]:
            raise ConfigError("the command is empty", where=f"{place}.argv")
        for index, word in enumerate(inner["argv"]):
            known_places(word, f"{place}.argv[{index}]")
        check = CommandCheck(tuple(inner["argv"]))
    health = Health(
        check,
        interval=duration(options["interval"], f"{where}.interval"),
        retries=options["retries"],
        timeout=duration(options["timeout"], f"{where}.timeout"),
        success_threshold=options["success_threshold"],
        hold=duration(options["hold"], f"{where}.hold"),
        max_failed=str(options["max_failed"]),
    )
    if health.interval <= 0 or health.timeout <= 0:
        raise ConfigError("interval and timeout must be longer than 0", where=where)
    if health.success_threshold > health.retries:
        raise ConfigError(f"{health.success_threshold} successes do not fit into {health.retries} looks", where=where, do="Raise retries.")
    count_or_percent(health.max_failed, 1, round_up=False, where=f"{where}.max_failed")
    return health


def run(health: Health, targets: Sequence[Target], probe: Probe, clock: Clock, *, on_look: Callable[[PollResult], None] = lambda result: None) -> PollResult:
    """Ask ``targets`` until they are healthy or the looks are used up. ``on_look`` may print a line, renew a lease, or raise to end it."""
    if not targets:
        raise ConfigError("there is nobody to ask", where="targets", do="Name at least one target.")
    return poll(
        lambda: probe(targets),
        clock,
        interval=health.interval,
        retries=health.retries,
        success_threshold=health.success_threshold,
        hold=health.hold,
        max_failed=count_or_percent(health.max_failed, len(targets), round_up=False, where="max_failed"),
        on_attempt=on_look,
    )


def summary(health: Health, result: PollResult) -> str:
    """How it stands or ended, in one sentence that names the unhealthy ones and what was last seen of each."""
    bad, total = result.unhealthy, len(result.targets)
    looks = f"{result.looks} {'look' if result.looks == 1 else 'looks'}"
    who = f": {_named(result, bad)}" if bad else ""
    if result.healthy or result.held is None and not bad:
        held = f", held for {show_duration(result.held)}" if result.held and health.hold else ""
        return f"{total - len(bad)} of {total} healthy after {looks} in {show_duration(result.seconds)}{held}{who}"
    if result.held is None:
        return f"{len(bad)} of {total} unhealthy after {looks} of {health.retries} in {show_duration(result.seconds)}{who}"
    return f"{total - len(bad)} of {total} healthy, {show_duration(result.held)} into a hold of {show_duration(health.hold)}{who}"


def _named(result: PollResult, names: Sequence[str], shown: int = 3) -> str:
    """``web3, web4 and 2 more (connection refused); web7 (503 Service Unavailable)``: those who say the same stand together."""
    groups: dict[str, list[str]] = {}
    for name in names:
        target = result.targets[name]
        last = target.last if not target.streak else f"{target.last}, {target.streak} in a row so far"
        groups.setdefault(last, []).append(name)
    parts = []
    for last, members in sorted(groups.items(), key=lambda item: -len(item[1]))[:shown]:
        more = f" and {len(members) - shown} more" if len(members) > shown else ""
        parts.append(f"{', '.join(members[:shown])}{more} ({last})")
    rest = len(groups) - shown
    return "; ".join(parts) + (f"; {rest} other answers" if rest > 0 else "")


def to_json(health: Health, result: PollResult) -> dict[str, Any]:
    """The result of a module: plain values, latencies in milliseconds as the last, the median and the largest."""
    return {
        "healthy": result.healthy,
        "summary": summary(health, result),
        "looks": result.looks,
        "seconds": round(result.seconds, 3),
        "unhealthy": list(result.unhealthy),
        "targets": {
            name: {
                "healthy": target.healthy,
                "attempts": target.attempts,
                "last": target.last,
                "last_error": target.last_error,
                "latency_ms": _milliseconds(target.latencies[-1:]),
                "latency_median_ms": _milliseconds([statistics.median(target.latencies)] if target.latencies else []),
                "latency_max_ms": _milliseconds([max(target.latencies)] if target.latencies else []),
            }
            for name, target in result.targets.items()
        },
    }


def _milliseconds(seconds: Sequence[float]) -> Optional[float]:
    return round(seconds[0] * 1000, 1) if seconds else None
