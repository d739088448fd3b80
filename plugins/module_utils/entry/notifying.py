# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell people and systems what a release does. Whoever does not listen is not waited for, and no failure here is one of the release."""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ..clients import mail
from ..clients.web import CONNECTION, connection, fetch, parse
from ..core.errors import ConfigError, DeliveryError, Unavailable
from ..core.notify.notice import EVENTS, SEVERITIES, Notice, wants
from ..core.notify.payloads import POSTS, Post, email, webhook
from ..core.options import Option, Options, one_key
from ..core.plan import Kind
from ..core.record import Outcome
from ..core.report import journal as kinds
from ..core.units import duration, iso, show_percent
from .context import Context
from .following import next_lines
from .run import Run

LONGEST = 10.0
"""Seconds that a release waits for all its receivers together, whatever their own limits say."""
HURRIED = 2.0
"""The same, for a run that was told to end."""
PAGERDUTY = "https://events.pagerduty.com/v2/enqueue"
MAX_BYTES = 64 * 1024

ABOUT: Options = {
    "events": Option("list", "What is told: of " + ", ".join(f"V({name})" for name in EVENTS) + ". Default: all but V(resumed) and V(step_completed).",
                     elements="str"),
    "severity": Option("str", "What is less severe than this is not told.", default="info", choices=SEVERITIES),
    "timeout": Option("duration", "The longest wait for this receiver. All of them together are waited for 10 seconds at most.", default="5s"),
}
TRANSPORT: Options = {name: CONNECTION[name] for name in ("validate_certs", "ca_path", "client_cert", "client_key", "url_allow")}


def _secret(name: str, what: str) -> Options:
    """A secret, given as it is or as the name of a variable of the coordinator's environment, which keeps it out of every file and result."""
    return {name: Option("str", what, secret=True), f"{name}_env": Option("str", f"Environment variable that holds C({name}), read where the release runs.")}


WEBHOOK_URL = _secret("url", "URL of the webhook. It is a secret: whoever knows it may post.")
TARGETS: Options = {
    "slack": Option("dict", "An incoming webhook of Slack.", options={
        **WEBHOOK_URL, **ABOUT, **TRANSPORT,
        "channel": Option("str", "Another channel than the webhook's, where it may choose."),
        "username": Option("str", "Another name than the webhook's, where it may choose."),
    }),
    "teams": Option("dict", "A workflow of Microsoft Teams that begins when a webhook request is received.", options={**WEBHOOK_URL, **ABOUT, **TRANSPORT}),
    "mattermost": Option("dict", "An incoming webhook of Mattermost.", options={
        **WEBHOOK_URL, **ABOUT, **TRANSPORT,
        "channel": Option("str", "Another channel than the webhook's, where it may choose."),
        "username": Option("str", "Another name than the webhook's, where it may choose."),
    }),
    "discord": Option("dict", "A webhook of Discord.", options={
        **WEBHOOK_URL, **ABOUT, **TRANSPORT, "username": Option("str", "Another name than the webhook's."),
    }),
    "pagerduty": Option("dict", "PagerDuty's Events API, version 2: what goes wrong opens an incident, which the next promotion resolves.", options={
        **_secret("routing_key", "Integration key of the service."), **ABOUT, **TRANSPORT,
        "url": Option("str", "Where events go.", default=PAGERDUTY),
        "severity_as": Option("str", "Severity of the incident.", default="error", choices=("critical", "error", "warning", "info")),
        "dedup_key": Option("str", "One incident per such key. Default: V(progressive.delivery/) and the service's name."),
    }),
    "webhook": Option("dict", "A URL of yours, which is sent JSON.", options={
        **WEBHOOK_URL, **ABOUT, **TRANSPORT, **_secret("secret", "What the message is signed with, by HMAC-SHA256 over its time stamp and body."),
        "headers": Option("dict", "Further request headers.", open=True, secret=True),
    }),
    "email": Option("dict", "Mail, through an SMTP server.", options={
        **ABOUT,
        "host": Option("str", "The SMTP server.", required=True),
        "port": Option("int", "Its port. Default: 587, or 465 with V(tls), 25 with V(none).", minimum=1, maximum=65535),
        "security": Option("str", "How the connection is secured.", default="starttls", choices=("starttls", "tls", "none")),
        "username": Option("str", "Who logs in there."),
        **_secret("password", "With which password."),
        "ca_path": Option("path", "File with the certificates of the authorities to trust, instead of the system's."),
        "sender": Option("str", "Address that the mail is from.", required=True),
        "to": Option("list", "Addresses that get it.", elements="str", required=True),
    }),
}
SECRETS: Mapping[str, tuple[str, ...]] = {"pagerduty": ("routing_key",), "email": ()}
"""By kind what must be known to send; of the others it is the URL."""
OPTIONAL = ("secret", "password")


@dataclass(frozen=True)
class Delivery:
    """What became of one receiver. ``where``: its kind and host, never more."""

    where: str
    delivered: bool
    reason: str = ""


def read(value: Any, where: str) -> list[dict[str, Any]]:
    """The checked list of targets. Raises ConfigError naming the path. Nothing is read from the environment yet."""
    if not isinstance(value, (list, tuple)):
        raise ConfigError("expected a list of receivers", where=where, do="Such as: - slack: {url_env: SLACK_WEBHOOK}")
    found = []
    for index, item in enumerate(value):
        at = f"{where}[{index}]"
        kind, options = one_key(item, TARGETS, at, "receiver")
        for event in options.get("events") or ():
            if event not in EVENTS:
                raise ConfigError(f"unknown event {str(event)[:40]!r}", where=f"{at}.{kind}.events", do=f"Known: {', '.join(EVENTS)}.")
        for name in (*SECRETS.get(kind, ("url",)), *(name for name in OPTIONAL if name in (TARGETS[kind].options or {}))):
            if options.get(name) and options.get(f"{name}_env"):
                raise ConfigError(f"{name} is given twice", where=f"{at}.{kind}", do=f"Keep {name} or {name}_env.")
            if name not in OPTIONAL and not options.get(name) and not options.get(f"{name}_env"):
                raise ConfigError(f"{name} is missing", where=f"{at}.{kind}", do=f"Name the environment variable that holds it as {name}_env.")
        found.append({kind: options})
    return found


def check(targets: Sequence[Mapping[str, Any]], within: Sequence[str], where: str = "rollout_notify") -> None:
    """Raises ConfigError for a receiver that can never be told: a variable that is not set, a URL that is not allowed. Nothing is sent."""
    for index, target in enumerate(targets):
        [(kind, options)] = target.items()
        try:
            _sender(kind, _resolved(options), within, Notice("started", "shop", "1", iso(0.0)), 1.0, 0)
        except ConfigError as error:
            inner = error.where if error.where.startswith(kind) or not error.where else f"{kind}.{error.where}"
            raise ConfigError(error.what, where=f"{where}[{index}].{inner or kind}", do=error.do) from None


def send(targets: Sequence[Mapping[str, Any]], notice: Notice, within: Sequence[str] = (), *, longest: float = LONGEST, stamp: int = 0) -> list[Delivery]:
    """Tell everybody who wants to know, all at once, for ``longest`` seconds at most. Never raises for what a receiver does."""
    found: list[Optional[Delivery]] = []
    threads = []
    for target in targets:
        [(kind, options)] = target.items()
        if not wants(notice, tuple(options.get("events") or ()), options.get("severity", "info")):
            continue
        found.append(None)
        work = functools.partial(_told, found, len(found) - 1, kind, options, within, notice, longest, stamp)
        # A thread of the daemon kind: a name server that does not answer cannot be hung up on, and must not be waited for.
        threads.append((kind, threading.Thread(target=work, daemon=True)))
    until = time.monotonic() + longest
    for _kind, thread in threads:
        thread.start()
    for _kind, thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return [delivery or Delivery(kind, False, "no answer in time") for (kind, _thread), delivery in zip(threads, list(found))]


def _told(found: list[Optional[Delivery]], index: int, kind: str, options: Mapping[str, Any], within: Sequence[str], notice: Notice, longest: float,
          stamp: int) -> None:
    try:
        limit = min(duration(options.get("timeout", "5s")), longest)
        found[index] = _sender(kind, _resolved(options), within, notice, limit, stamp)
    except DeliveryError as error:
        found[index] = Delivery(f"{kind} {error.where}".strip(), False, error.what)
    except Exception as error:  # noqa: BLE001  whatever it is, it is not the release's: its type says enough, its text may hold a secret
        found[index] = Delivery(kind, False, type(error).__name__)


def _resolved(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with what the environment holds. Raises ConfigError naming the variable."""
    result = {name: value for name, value in options.items() if not name.endswith("_env")}
    for name, variable in options.items():
        if name.endswith("_env") and variable:
            value = os.environ.get(variable, "").strip()
            if not value:
                raise ConfigError(f"the environment variable {str(variable)[:80]} is not set here", where=name, do="Set it where the release runs.")
            result[name[: -len("_env")]] = value
    return result


def _sender(kind: str, options: Mapping[str, Any], within: Sequence[str], notice: Notice, limit: float, stamp: int) -> Delivery:
    """Send, unless ``stamp`` is 0: then everything is only checked and made."""
    if kind == "email":
        return _mailed(options, within, notice, limit, stamp)
    post = webhook(notice, options, stamp) if kind == "webhook" else POSTS[kind](notice, options)
    half = {"connect_timeout": limit / 2, "read_timeout": limit / 2}
    access = {**connection({**options, "headers": {}, "username": "", "within": within}), **half}
    where = parse(options["url"], access["allow"], access["within"]).origin
    if post is None or not stamp:
        return Delivery(f"{kind} {where}", True, "nothing to tell")
    _posted(options, post, access, where)
    return Delivery(f"{kind} {where}", True)


def _posted(options: Mapping[str, Any], post: Post, access: Mapping[str, Any], where: str) -> None:
    more = {str(name): str(value) for name, value in (options.get("headers") or {}).items()}
    headers = {**access["headers"], **more, **post.headers}
    answer = fetch(options["url"], method="POST", body=post.body, max_bytes=MAX_BYTES, **{**access, "headers": headers})
    if not 200 <= answer.status < 300:
        raise Unavailable(f"HTTP {answer.status}", where=where)


def _mailed(options: Mapping[str, Any], within: Sequence[str], notice: Notice, limit: float, stamp: int) -> Delivery:
    security = options.get("security", "starttls")
    host, port = options["host"], options.get("port") or mail.PORTS[security]
    mail.check_server(host, port, within)
    message = email(notice, options)
    if bool(options.get("username")) != bool(options.get("password")):
        raise ConfigError("username and password belong together")
    if stamp:
        mail.send(message, host=host, port=port, security=security, username=options.get("username", ""), password=options.get("password", ""),
                  ca_path=options.get("ca_path", ""), timeout=limit)
    return Delivery(f"email {host}:{port}", True)


# What a release tells


def tell(current: Run, event: str, reason: str = "", *, hurried: bool = False) -> None:
    """Tell the release's receivers of ``event``. What does not arrive is said in one line."""
    targets = current.spec.get("notify") or []
    if not targets or current.context.check_mode:
        return
    record, clock = current.record, current.context.clock
    outcome = Outcome(event) if event in {item.value for item in Outcome} else Outcome.PAUSED if event == "gate_waiting" else None
    notice = Notice(
        event, record.name, record.release.version, iso(clock.time()), previous=record.plan.previous, strategy=record.release.strategy,
        release=record.release.id, reason=reason, who=record.release.who, step=current.step.name if current.step else "",
        weight=show_percent(record.routes.weight(record.plan.candidate)).rstrip(" %") if record.plan.candidate != record.plan.stable else "",
        next=tuple(next_lines(outcome, record, current.spec)) if outcome else (),
    )
    told(send(targets, notice, current.spec.get("url_allow") or (), longest=HURRIED if hurried else LONGEST, stamp=int(time.time())), current.context,
         record.name)


def told(deliveries: Sequence[Delivery], context: Context, label: str) -> None:
    """Say what did not arrive."""
    for delivery in deliveries:
        if not delivery.delivered:
            context.say(f"{label}: not notified: {delivery.where}: {delivery.reason}")


def begun(current: Run, purpose: str) -> None:
    """A run has begun: the first of its release, or one that takes it up again. A run that takes it back is told of when it has."""
    if not current.spec.get("notify") or purpose == "abort":
        return
    first = len(current.told().all(kinds.Begin)) == 1
    tell(current, "started" if first else "resumed", current.record.reason)


def ended(current: Run, outcome: Outcome, reason: str) -> None:
    """A run ends. A pause that was told is not told again: a gate says itself that it waits, once."""
    if outcome.value not in EVENTS:
        return
    if outcome is Outcome.PAUSED:
        at = current.record.steps[current.record.position] if current.record.position < len(current.record.steps) else None
        if current.record.paused_at == current.record.position or at is not None and at.kind is Kind.GATE:
            return
    tell(current, outcome.value, reason, hurried=outcome is Outcome.INTERRUPTED)
