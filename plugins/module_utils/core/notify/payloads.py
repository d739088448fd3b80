# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each receiver is sent: pure functions of a notice and the target's options. Text from elsewhere is escaped, and mentions nobody."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any, Optional

from ..errors import ConfigError
from .notice import Notice

COLOURS = {"info": 0x2DA44E, "warning": 0xBF8700, "error": 0xCF222E}
MARKS = {"info": "\u2705", "warning": "\u23f8\ufe0f", "error": "\u274c"}
TEAMS_COLOURS = {"info": "Good", "warning": "Warning", "error": "Attention"}
PAGING = frozenset({"going_back", "rolled_back", "held", "partial", "failed"})
"""Events that open an incident; a promotion resolves it, and nothing else is sent to PagerDuty."""
PRODUCT = "progressive.delivery"


@dataclass(frozen=True)
class Post:
    """An HTTP request to make. ``headers`` and ``body`` may hold secrets."""

    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def slack(notice: Notice, options: Mapping[str, Any]) -> Post:
    """An incoming webhook's message: text for notifications, blocks for the channel."""
    title = _mrkdwn(notice.title)
    blocks: list[dict[str, Any]] = [{"type": "section", "text": {"type": "mrkdwn", "text": f"{MARKS[notice.severity]} *{title}*"}}]
    if notice.sentence:
        blocks[0]["text"]["text"] += f"\n{_mrkdwn(notice.sentence)}"
    if notice.facts:
        fields = [{"type": "mrkdwn", "text": f"*{label}*\n{_mrkdwn(text)}"} for label, text in notice.facts]
        blocks.append({"type": "section", "fields": fields})
    if notice.commands:
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": "\n".join(map(_mrkdwn, notice.commands))[:2900]}]})
    return _json({"text": title, "blocks": blocks, **_picked(options, "channel", "username")})


def teams(notice: Notice, options: Mapping[str, Any]) -> Post:
    """What the workflow "when a Teams webhook request is received" posts: an adaptive card."""
    body: list[dict[str, Any]] = [{"type": "TextBlock", "size": "Medium", "weight": "Bolder", "wrap": True, "color": TEAMS_COLOURS[notice.severity],
                                   "text": _card(notice.title)}]
    if notice.sentence:
        body.append({"type": "TextBlock", "wrap": True, "text": _card(notice.sentence)})
    if notice.facts:
        body.append({"type": "FactSet", "facts": [{"title": label, "value": _card(text)} for label, text in notice.facts]})
    body += [{"type": "TextBlock", "wrap": True, "fontType": "Monospace", "size": "Small", "text": _card(line)} for line in notice.commands]
    card = {"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4", "body": body}
    return _json({"type": "message", "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}]})


def mattermost(notice: Notice, options: Mapping[str, Any]) -> Post:
    """An incoming webhook's message with one attachment."""
    text = "\n".join([*([_markdown(notice.sentence)] if notice.sentence else []), *(f"`{_quiet(line).replace('`', chr(39))}`" for line in notice.commands)])
    attachment = {
        "fallback": _quiet(notice.title), "color": f"#{COLOURS[notice.severity]:06X}", "title": _quiet(notice.title), "text": text,
        "fields": [{"short": True, "title": label, "value": _markdown(value)} for label, value in notice.facts],
    }
    return _json({"attachments": [attachment], **_picked(options, "channel", "username")})


def discord(notice: Notice, options: Mapping[str, Any]) -> Post:
    """A webhook's message with one embed, which may mention nobody."""
    embed: dict[str, Any] = {
        "title": _markdown(notice.title)[:256], "color": COLOURS[notice.severity], "timestamp": notice.at,
        "description": "\n".join([*([_markdown(notice.sentence)] if notice.sentence else []), *map(_markdown, notice.commands)])[:4096],
        "fields": [{"name": label, "value": _markdown(text)[:1024], "inline": True} for label, text in notice.facts],
    }
    return _json({"embeds": [embed], "allowed_mentions": {"parse": []}, **_picked(options, "username")})


def pagerduty(notice: Notice, options: Mapping[str, Any]) -> Optional[Post]:
    """An event of the Events API, version 2: one incident per service, which the next promotion resolves. None for what pages nobody."""
    key = options.get("dedup_key") or f"{PRODUCT}/{notice.name}"
    if notice.event == "promoted":
        return _json({"routing_key": options["routing_key"], "event_action": "resolve", "dedup_key": key})
    if notice.event not in PAGING:
        return None
    details = {"event": notice.event, "version": notice.version, "previous": notice.previous, "strategy": notice.strategy, "release": notice.release,
               "reason": notice.sentence, "next": list(notice.commands)}
    payload = {"summary": f"{notice.title}: {notice.sentence}".rstrip(": ")[:1024], "source": notice.name, "severity": options.get("severity_as", "error"),
               "timestamp": notice.at, "component": notice.name, "group": PRODUCT, "class": notice.event, "custom_details": details}
    return _json({"routing_key": options["routing_key"], "event_action": "trigger", "dedup_key": key, "client": PRODUCT, "payload": payload})


def webhook(notice: Notice, options: Mapping[str, Any], stamp: int) -> Post:
    """Our own JSON. With a secret it is signed: HMAC-SHA256 over the time stamp, a dot, and the body as sent."""
    release = {"name": notice.name, "version": notice.version, "previous": notice.previous, "strategy": notice.strategy, "id": notice.release}
    post = _json({
        "schema": 1, "event": notice.event, "severity": notice.severity, "at": notice.at, "title": notice.title, "reason": notice.sentence,
        "step": notice.step, "weight": notice.weight, "who": notice.who, "release": release, "next": list(notice.commands),
    })
    headers = {**post.headers, "X-Progressive-Delivery-Event": notice.event, "X-Progressive-Delivery-Timestamp": str(stamp)}
    if options.get("secret"):
        headers["X-Progressive-Delivery-Signature"] = signature(options["secret"], stamp, post.body)
    return Post(post.body, headers)


def signature(secret: str, stamp: int, body: bytes) -> str:
    """``sha256=`` and the HMAC in hexadecimal, as a receiver computes it to compare."""
    return "sha256=" + hmac.new(secret.encode("utf-8"), f"{stamp}.".encode("ascii") + body, hashlib.sha256).hexdigest()


def email(notice: Notice, options: Mapping[str, Any]) -> EmailMessage:
    """A plain text mail. Its id and its thread come from the release, so that the mails of one release stand together."""
    message = EmailMessage(policy=SMTP)
    message["From"] = _address(options["sender"], "email.sender")
    message["To"] = tuple(_address(item, f"email.to[{index}]") for index, item in enumerate(options["to"]))
    message["Subject"] = f"[{notice.name}] {notice.title}"
    thread = f"<{notice.release or notice.name}@{PRODUCT}>"
    message["References"] = thread
    message["In-Reply-To"] = thread
    message["Auto-Submitted"] = "auto-generated"
    message["X-Progressive-Delivery-Event"] = notice.event
    message.set_content(notice.text + "\n")
    return message


POSTS: Mapping[str, Callable[[Notice, Mapping[str, Any]], Optional[Post]]] = {
    "slack": slack, "teams": teams, "mattermost": mattermost, "discord": discord, "pagerduty": pagerduty,
}
"""What is posted as JSON and needs no clock."""


def _json(value: Mapping[str, Any]) -> Post:
    return Post(json.dumps(value, sort_keys=True).encode("ascii"), {"Content-Type": "application/json"})


def _picked(options: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: options[name] for name in names if options.get(name)}


def _quiet(text: str) -> str:
    """Text in which an at sign calls nobody."""
    return text.replace("@", "@\u200b")


def _mrkdwn(text: str) -> str:
    """Slack's three characters; without them neither a link nor a mention can be written."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _markdown(text: str) -> str:
    """Text as it stands where Markdown is read."""
    return _quiet("".join(f"\\{letter}" if letter in "\\`*_~|[]<>#" else letter for letter in text))


def _card(text: str) -> str:
    """Adaptive cards read links and emphasis."""
    return "".join(f"\\{letter}" if letter in "\\*_[]" else letter for letter in text)


def _address(text: str, where: str) -> Address:
    user, _at, domain = text.rpartition("@")
    try:
        if not user or not domain or not domain.isascii() or any(letter in text for letter in "<>,\r\n \t"):
            raise ValueError
        return Address(username=user, domain=domain)
    except (ValueError, IndexError):
        raise ConfigError("that is no address", where=where, do="Write it as ops@example.com, without a name.") from None
