# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions that a router holds: told, or refused, before a release begins; and in nobody's way back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.entry.context import Context
from ansible_collections.progressive.delivery.plugins.module_utils.routers.memory import MemoryRouter
from ansible_collections.progressive.delivery.tests.unit.module_utils.entry.service import Service


class Holding(MemoryRouter):
    refused = ""

    def sessions(self) -> list[str]:
        if self.refused:
            raise ConfigError(self.refused)
        return ["backend shop holds sessions by the cookie SRV"]


class Shop(Service):
    def context(self, **more: Any) -> Context:
        return Context(self.clock, self.said.append, who="ann", stores=lambda options, name: self.store,
                       routers=lambda options, tracks: Holding(tracks, self.world), **more)


def test_a_plan_tells_what_holds_sessions(tmp_path: Path) -> None:
    planned = Shop(tmp_path).plan("rollout", "2")
    assert "backend shop holds sessions by the cookie SRV" in planned["notes"]
    assert "  ! backend shop holds sessions by the cookie SRV" in planned["text"]


def test_what_cannot_be_held_stops_a_release_before_it_begins_and_no_way_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop(tmp_path)
    shop.begin("rollout", "2")
    monkeypatch.setattr(Holding, "refused", "it holds no sessions by a cookie")
    with pytest.raises(ConfigError, match="it holds no sessions by a cookie"):
        shop.plan("rollout", "2")
    assert shop.run("abort")["outcome"] == "aborted"
    with pytest.raises(ConfigError, match="it holds no sessions by a cookie"):
        shop.plan("rollout", "3")
    monkeypatch.setattr(Holding, "refused", "")
    assert shop.run("rollout", "2")["outcome"] == "promoted"
    monkeypatch.setattr(Holding, "refused", "it holds no sessions by a cookie")
    assert shop.run("rollback")["outcome"] == "rolled_back"
