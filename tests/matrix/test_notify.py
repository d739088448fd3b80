# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Receivers of a release's news through real ansible-playbook runs: told once, never printed, never waited for, and never a reason to fail."""

from __future__ import annotations

import json
import threading
from typing import Any

import yaml

from ansible_collections.progressive.delivery.tests.contract.scripted_server import ScriptedServer, reply
from ansible_collections.progressive.delivery.tests.matrix.rig import Site
from ansible_collections.progressive.delivery.tests.waiting import wait_until

SECRET = "B00/hushhush"


def events(server: ScriptedServer) -> list[str]:
    return [json.loads(request.body)["event"] for request in server.requests]


def until_told(server: ScriptedServer, count: int) -> None:
    """What a run has sent may be read here after its end."""
    wait_until(lambda: len(server.requests) >= count, says=lambda: events(server))


def test_each_event_is_told_once_and_the_secrets_are_printed_nowhere(site: Site) -> None:
    site.release["rollout_steps"] = [{"set_weight": 20}, {"gate": {"name": "half"}}, {"set_weight": 50}]
    told = ["started", "resumed", "gate_waiting", "promoted", "aborted"]
    site.release["rollout_notify"] = [{"webhook": {"url_env": "NEWS_URL", "secret_env": "NEWS_SECRET", "events": told, "timeout": "10s"}}]
    with ScriptedServer(reply("ok")) as server:
        secrets = {"NEWS_URL": f"{server.url}/{SECRET}", "NEWS_SECRET": "hushhushhush"}
        text = ""
        for playbook, expected in (
            ("rollout", ["started", "gate_waiting"]), ("resume", ["resumed"]), ("promote", ["resumed", "promoted"]),
        ):
            server.requests.clear()
            done = site.run(playbook, "2", "-vvvv", **secrets)
            assert done.outcome == ("promoted" if playbook == "promote" else "paused"), done.text
            until_told(server, len(expected))
            assert events(server) == expected, playbook
            text += done.text
        assert {request.target for request in server.requests} == {f"/{SECRET}"}
    assert "hushhush" not in text
    written = [path for folder in ("reports", "state") for path in (site.folder / folder).rglob("*") if path.is_file()]
    assert written
    assert all("hushhush" not in path.read_text(errors="replace") for path in written)


def test_receivers_that_are_down_refuse_or_hang_do_not_change_how_it_ends(site: Site) -> None:
    over = threading.Event()
    with ScriptedServer(reply("", "500 Oops")) as refuses, ScriptedServer(lambda request: over.wait(600) and b"" or b"") as hangs:
        site.release["rollout_notify"] = [{"slack": {"url": refuses.url, "timeout": "10s"}}, {"discord": {"url": hangs.url, "timeout": "1s"}},
                                          {"teams": {"url": "http://127.0.0.1:9"}}]
        done = site.run("rollout", "2")
        over.set()
    assert (done.status, done.outcome) == (0, "promoted"), done.text
    assert site.weights["canary"] == 100
    for kind, why in (("slack", "HTTP 500"), ("discord", "no answer in time"), ("teams", "no connection")):
        assert any(f"not notified: {kind} http" in line and why in line for line in done.text.splitlines()), (kind, done.text)


def test_a_variable_that_is_not_set_is_refused_before_anything_changes(site: Site) -> None:
    site.release["rollout_notify"] = [{"slack": {"url_env": "PROGRESSIVE_NOT_SET"}}]
    before = site.fingerprint()
    done = site.run("rollout", "2")
    assert (done.status != 0, done.outcome) == (True, "invalid"), done.text
    assert "rollout_notify[0].slack.url_env: the environment variable PROGRESSIVE_NOT_SET is not set here" in done.message()
    assert site.fingerprint() == before


def test_the_role_tells_by_hand_and_says_who_was_told(site: Site) -> None:
    with ScriptedServer(reply("ok")) as server:
        notify: dict[str, Any] = {"notify_event": "rolled_back", "notify_name": "shop", "notify_version": "1", "notify_message": "shop is back",
                                  "notify_targets": [{"mattermost": {"url_env": "NEWS_URL", "timeout": "10s"}}, {"slack": {"url": "http://127.0.0.1:9"}}]}
        tasks = [{"ansible.builtin.include_role": {"name": "progressive.delivery.notify"}, "vars": notify},
                 {"ansible.builtin.debug": {"msg": "told {{ notify_deliveries | map(attribute='delivered') | join(',') }}"}}]
        (site.folder / "tell.yml").write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
        done = site.run("tell.yml", "1", "-vvvv", NEWS_URL=f"{server.url}/{SECRET}")
    assert done.status == 0, done.text
    assert "told True,False" in done.text
    assert json.loads(server.requests[0].body)["attachments"][0]["title"] == "shop is back"
    assert "hushhush" not in done.text
