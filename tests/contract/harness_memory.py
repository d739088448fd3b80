# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The router contract's harness over the memory router. What a harness is: README.md."""

from __future__ import annotations

import collections
import contextlib
import pathlib
from collections.abc import Iterator

from ansible_collections.progressive.delivery.plugins.module_utils.routers.memory import MemoryRouter

TRACKS = {"stable": ("web1", "web2"), "canary": ("web3", "web4")}


class MemoryHarness:
    def __init__(self, folder: pathlib.Path) -> None:
        self._path = str(folder / "world.json")

    def router(self) -> MemoryRouter:
        return MemoryRouter(TRACKS, path=self._path)

    def dead(self) -> MemoryRouter:
        return MemoryRouter(TRACKS, world={"faults": {"unreachable": True}})

    def writes(self) -> int:
        router = self.router()
        router.read()
        return len(router.world["history"])

    @contextlib.contextmanager
    def totals(self) -> Iterator[list[float]]:
        seen: list[float] = []
        before = self.writes()
        yield seen
        router = self.router()
        router.read()
        seen += [float(sum(routes["weights"].values())) for routes in router.world["history"][before:]] or [100.0]

    def requests(self, count: int) -> collections.Counter[str] | None:
        return None

    def close(self) -> None:
        pass
