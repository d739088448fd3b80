# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible import constants as C

from ansible_collections.progressive.delivery.plugins.plugin_utils.farewell import PROGRESS, Farewell, correct, notes, remember


def noted(*lines: str, open: bool = True, said: bool = False, settling: bool = False) -> dict:
    return {"release": {"id": "r1"}, "last_words": {"open": open, "said": said, "settling": settling, "lines": list(lines)}}


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(C, "DEFAULT_LOCAL_TMP", str(tmp_path))
    monkeypatch.setattr(C, "DEFAULT_STDOUT_CALLBACK", "default")
    monkeypatch.setattr(C, "CALLBACKS_ENABLED", [])


def printed(capsys) -> list[str]:
    Farewell().at_exit()
    return capsys.readouterr().err.splitlines()


def test_a_pause_that_nobody_was_told_of_is_not_lost(capsys):
    remember(noted("shop 2: running"))
    remember(noted("shop 2: paused", "  go on: ..."))
    remember({"event_log": "x"})
    remember(None)
    assert printed(capsys) == ["shop 2: paused", "  go on: ..."]


def test_what_was_said_is_not_said_again_unless_nobody_heard(capsys):
    remember(noted("shop 2: paused"))
    remember(noted("shop 2: paused", said=True), heard=False)
    assert [words["lines"] for words in notes()] == [["shop 2: paused"]]
    remember(noted("shop 2: paused", said=True))
    remember(noted("shop 2: paused", said=True))
    assert printed(capsys) == []


@pytest.mark.parametrize("settings", [{"CALLBACKS_ENABLED": [PROGRESS]}, {"DEFAULT_STDOUT_CALLBACK": PROGRESS}])
def test_the_tree_says_it_of_an_open_release_but_never_saw_how_another_ended(monkeypatch, capsys, settings):
    for name, value in settings.items():
        monkeypatch.setattr(C, name, value)
    remember(noted("shop 2: paused"))
    assert printed(capsys) == []
    remember(noted("shop 2: aborted", open=False))
    assert printed(capsys) == ["shop 2: aborted"]


def test_it_does_not_wait_for_a_way_back_that_nobody_walks(capsys):
    remember(noted("shop 2: see what became of it", settling=True))
    assert printed(capsys) == ["shop 2: see what became of it"]


def test_what_another_run_took_over_is_not_gone_on_with(capsys):
    remember(noted("shop 2: this run ended before its release did", "  go on: ..."))
    remember({**noted("shop-eu 2: paused"), "release": {"id": "r2"}})
    correct("shop", {"open": False, "said": False, "settling": False, "lines": ["shop 2: fenced", "  look: ..."]})
    assert printed(capsys) == ["shop 2: fenced", "  look: ...", "shop-eu 2: paused"]
