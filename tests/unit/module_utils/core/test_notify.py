# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each receiver is sent, to the byte where somebody else's documentation says so."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.core.notify import payloads
from ansible_collections.progressive.delivery.plugins.module_utils.core.notify.notice import EVENTS, LONGEST, Notice, wants
from ansible_collections.progressive.delivery.plugins.module_utils.core.record import Outcome

BACK = Notice("rolled_back", "shop", "2.4.1", "2026-11-27T12:00:00.000Z", previous="2.4.0", strategy="canary", release="0f3a", weight="0", who="ann@ci",
              reason="error-rate of the canary 6.3 % (n 318): more than 1 %", step="20 %",
              next=("look: ansible-playbook progressive.delivery.status -e @shop.yml",))
GOOD = Notice("promoted", "shop", "2.4.1", "2026-11-27T12:00:00.000Z", release="0f3a")
NASTY = Notice("failed", "shop", "2", "2026-11-27T12:00:00.000Z", reason="<!channel> *boom* @all [x](http://evil) `a`\r\nBcc: x\x1b[31m", release="1")


def sent(post: Any) -> dict[str, Any]:
    assert post.headers["Content-Type"] == "application/json"
    found: dict[str, Any] = json.loads(post.body)
    return found


def test_slack() -> None:
    assert sent(payloads.slack(BACK, {"channel": "#ops"})) == {
        "text": "shop 2.4.1 rolled back", "channel": "#ops",
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": "\u274c *shop 2.4.1 rolled back*\nerror-rate of the canary 6.3 % (n 318): more than 1 %"}},
            {"type": "section", "fields": [
                {"type": "mrkdwn", "text": "*Step*\n20 %"}, {"type": "mrkdwn", "text": "*New version takes*\n0 %"},
                {"type": "mrkdwn", "text": "*Before*\n2.4.0"},
                {"type": "mrkdwn", "text": "*Strategy*\ncanary"}, {"type": "mrkdwn", "text": "*Started by*\nann@ci"}]},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": "look: ansible-playbook progressive.delivery.status -e @shop.yml"}]},
        ]}


def test_teams() -> None:
    assert sent(payloads.teams(replace(GOOD, previous="2.4.0", reason="fine"), {})) == {"type": "message", "attachments": [{
        "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": {
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4", "body": [
                {"type": "TextBlock", "size": "Medium", "weight": "Bolder", "wrap": True, "color": "Good", "text": "shop 2.4.1 promoted"},
                {"type": "TextBlock", "wrap": True, "text": "fine"},
                {"type": "FactSet", "facts": [{"title": "Before", "value": "2.4.0"}]}]}}]}  # fmt: skip


def test_mattermost() -> None:
    assert sent(payloads.mattermost(replace(GOOD, reason="fine", strategy="canary"), {"username": "cd"})) == {"username": "cd", "attachments": [{
        "fallback": "shop 2.4.1 promoted", "color": "#2DA44E", "title": "shop 2.4.1 promoted", "text": "fine",
        "fields": [{"short": True, "title": "Strategy", "value": "canary"}]}]}


def test_discord() -> None:
    assert sent(payloads.discord(replace(GOOD, reason="fine", strategy="canary"), {})) == {"allowed_mentions": {"parse": []}, "embeds": [{
        "title": "shop 2.4.1 promoted", "color": 0x2DA44E, "timestamp": "2026-11-27T12:00:00.000Z", "description": "fine",
        "fields": [{"name": "Strategy", "value": "canary", "inline": True}]}]}


def test_pagerduty_opens_an_incident_and_the_next_promotion_resolves_it() -> None:
    options = {"routing_key": "R0"}
    opened = sent(payloads.pagerduty(replace(BACK, next=()), options))
    assert opened == {
        "routing_key": "R0", "event_action": "trigger", "dedup_key": "progressive.delivery/shop", "client": "progressive.delivery", "payload": {
            "summary": "shop 2.4.1 rolled back: error-rate of the canary 6.3 % (n 318): more than 1 %", "source": "shop", "severity": "error",
            "timestamp": "2026-11-27T12:00:00.000Z", "component": "shop", "group": "progressive.delivery", "class": "rolled_back", "custom_details": {
                "event": "rolled_back", "version": "2.4.1", "previous": "2.4.0", "strategy": "canary", "release": "0f3a",
                "reason": "error-rate of the canary 6.3 % (n 318): more than 1 %", "next": []}}}
    assert sent(payloads.pagerduty(GOOD, options)) == {"routing_key": "R0", "event_action": "resolve", "dedup_key": "progressive.delivery/shop"}
    assert [event for event in EVENTS if payloads.pagerduty(replace(GOOD, event=event), options)] == \
        ["going_back", "promoted", "rolled_back", "held", "partial", "failed"]


def test_webhook_is_signed_over_its_time_stamp_and_its_very_bytes() -> None:
    post = payloads.webhook(BACK, {"secret": "hush"}, 1764000000)
    assert json.loads(post.body) == {
        "schema": 1, "event": "rolled_back", "severity": "error", "at": "2026-11-27T12:00:00.000Z", "title": "shop 2.4.1 rolled back",
        "reason": "error-rate of the canary 6.3 % (n 318): more than 1 %", "step": "20 %", "weight": "0", "who": "ann@ci",
        "release": {"name": "shop", "version": "2.4.1", "previous": "2.4.0", "strategy": "canary", "id": "0f3a"}, "next": list(BACK.next)}
    expected = hmac.new(b"hush", b"1764000000." + post.body, hashlib.sha256).hexdigest()
    assert dict(post.headers) == {
        "Content-Type": "application/json", "X-Progressive-Delivery-Event": "rolled_back", "X-Progressive-Delivery-Timestamp": "1764000000",
        "X-Progressive-Delivery-Signature": f"sha256={expected}"}
    assert "X-Progressive-Delivery-Signature" not in payloads.webhook(BACK, {}, 1).headers
    assert "hush" not in repr(post)


def test_the_signature_has_a_known_value() -> None:
    """A vector for receivers: computed with openssl dgst -sha256 -hmac."""
    assert payloads.signature("key", 1, b"{}") == "sha256=1ba6b8171186efc613e8bcc0cbdab2748f24984d7c5a84faa2637afa0e40d224"


def test_email() -> None:
    mail = payloads.email(BACK, {"sender": "cd@example.com", "to": ["ops@example.com", "dev@example.com"]})
    assert (mail["From"], mail["To"], mail["Subject"]) == ("cd@example.com", "ops@example.com, dev@example.com", "[shop] shop 2.4.1 rolled back")
    assert (mail["References"], mail["Auto-Submitted"]) == ("<0f3a@progressive.delivery>", "auto-generated")
    assert mail["X-Progressive-Delivery-Event"] == "rolled_back"
    assert mail.get_content().splitlines() == [
        "shop 2.4.1 rolled back", "error-rate of the canary 6.3 % (n 318): more than 1 %", "Step: 20 %", "New version takes: 0 %", "Before: 2.4.0",
        "Strategy: canary", "Started by: ann@ci", "look: ansible-playbook progressive.delivery.status -e @shop.yml"]


@pytest.mark.parametrize("address", ["ops", "@example.com", "a@", "a@b\r\nBcc: c@d", "A <a@b.c>", "a@b,c@d"])
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(ConfigError, match="no address"):
        payloads.email(GOOD, {"sender": "cd@example.com", "to": [address]})


def test_text_from_elsewhere_neither_calls_anybody_nor_formats_nor_breaks_out() -> None:
    slack = payloads.slack(NASTY, {}).body.decode()
    assert "<!" not in slack
    assert "&lt;!channel&gt;" in slack
    for name in ("mattermost", "discord"):
        text = json.dumps(json.loads(payloads.POSTS[name](NASTY, {}).body), ensure_ascii=False)  # type: ignore[union-attr]
        assert "@all" not in text, name
        assert "[x](" not in text, name
    assert "[x](" not in payloads.teams(NASTY, {}).body.decode()
    mail = payloads.email(NASTY, {"sender": "cd@example.com", "to": ["ops@example.com"]})
    assert mail["Bcc"] is None
    assert "\x1b" not in mail.get_content()


def test_receivers_limits_are_kept() -> None:
    long = replace(BACK, reason="x" * 50_000, previous="y" * 5000, next=("z" * 5000,) * 5)
    assert len(long.sentence) == LONGEST
    slack = sent(payloads.slack(long, {}))
    assert all(len(block["text"]["text"]) <= 3000 for block in slack["blocks"] if "text" in block)
    assert all(len(field["text"]) <= 2000 for block in slack["blocks"] for field in block.get("fields", []))
    assert all(len(item["text"]) <= 3000 for block in slack["blocks"] for item in block.get("elements", []))
    embed = sent(payloads.discord(long, {}))["embeds"][0]
    assert len(embed["title"]) <= 256
    assert len(embed["description"]) <= 4096
    texts = [embed["title"], embed["description"], *(field[key] for field in embed["fields"] for key in ("name", "value"))]
    assert sum(map(len, texts)) <= 6000
    assert len(sent(payloads.pagerduty(long, {"routing_key": "R"}))["payload"]["summary"]) <= 1024
    assert len(payloads.teams(long, {}).body) < 28_000


def test_every_way_for_a_run_to_end_is_an_event() -> None:
    silent = {Outcome.UNCHANGED, Outcome.BUSY, Outcome.FENCED, Outcome.INVALID}  # nothing began
    assert {outcome.value for outcome in Outcome} - set(EVENTS) == {outcome.value for outcome in silent}


@pytest.mark.parametrize("event, events, severity, told", [
    ("started", (), "info", True), ("resumed", (), "info", False), ("step_completed", (), "info", False), ("resumed", ("resumed",), "info", True),
    ("promoted", ("failed",), "info", False), ("promoted", (), "warning", False), ("gate_waiting", (), "warning", True), ("gate_waiting", (), "error", False),
    ("held", (), "error", True),
])
def test_who_is_told_what(event: str, events: tuple[str, ...], severity: str, told: bool) -> None:
    assert wants(replace(GOOD, event=event), events, severity) is told
