# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A workload that is only a dictionary or a JSON file: the fake of the tests, and of a dry rehearsal without a cluster.

:attr:`MemoryWorkload.world` holds per track its version, replicas and how many looks it still takes to be ready; ``faults`` names versions that never
get ready, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Optional

from ..clients import world_file
from ..core.errors import ConfigError
from ..core.model import Progress, Track
from ..core.options import Option, Options
from ..core.rollout import Update


class MemoryWorkload:
    """Implements the port ``ManagedWorkload``."""

    SUMMARY: ClassVar[str] = "A pretended workload, for tests and rehearsals."
    by_hosts: ClassVar[bool] = False
    OPTIONS: ClassVar[Options] = {
        "tracks": Option("dict", "Version per track.", default={"stable": "1", "canary": ""}, open=True),
        "replicas": Option("int", "Replicas of each track that has a version.", default=1, minimum=1),
        "lag": Option("int", "Looks until a change is ready.", default=0, minimum=0),
        "path": Option("path", "JSON file that holds the world, made on first use. Without it the world lives in this process only."),
    }

    def __init__(self, tracks: Mapping[str, str], replicas: int = 1, lag: int = 0, path: str = "") -> None:
        self._path = path
        self._lag = lag
        start = {name: {"version": version, "replicas": replicas if version else 0, "waiting": 0} for name, version in tracks.items()}
        self.world: dict[str, Any] = {"tracks": start, "faults": {}, "history": []}

    @classmethod
    def from_options(cls, options: Mapping[str, Any], version: str = "", update: Optional[Update] = None, *, back: bool = False) -> MemoryWorkload:
        return cls(options["tracks"], options["replicas"], options.get("lag", 0), options.get("path") or "")

    @staticmethod
    def slots(options: Mapping[str, Any], groups: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        """The slots, none of which is made of hosts."""
        return {"stable": (), "canary": ()}

    def read(self) -> Mapping[str, Track]:
        tracks = self._load()["tracks"]
        return {name: Track(name, track["version"], track["replicas"], track["replicas"] if not track["waiting"] else 0) for name, track in tracks.items()}

    def foresee(self, plan: Any) -> list[str]:
        return []

    def deploy(self, track: str, version: str, replicas: Optional[int] = None) -> bool:
        wanted = {"version": version} if replicas is None else {"version": version, "replicas": replicas}
        return self._change(track, wanted)

    def scale(self, track: str, replicas: int) -> bool:
        return self._change(track, {"replicas": replicas})

    def retire(self, track: str) -> bool:
        return self._change(track, {"replicas": 0})

    def progress(self, track: str) -> Progress:
        world = self._load()
        found = self._known(world, track)
        fault = world["faults"].get(found["version"])
        if fault and found["replicas"]:
            return Progress(False, fault, failed=True, wanted=found["replicas"])
        if found["waiting"]:
            found["waiting"] -= 1
            world_file.save(self._path, world)
            return Progress(False, f"0 of {found['replicas']} replicas are ready", wanted=found["replicas"], version=found["version"])
        return Progress(True, "", ready=found["replicas"], wanted=found["replicas"], version=found["version"])

    def await_change(self, track: str, seconds: float) -> None:
        """Whatever is waited for comes with the next look."""

    def addresses(self, track: str) -> Mapping[str, str]:
        return {}

    def _change(self, track: str, wanted: Mapping[str, Any]) -> bool:
        world = self._load()
        found = self._known(world, track)
        if all(found[key] == value for key, value in wanted.items()):
            return False
        found.update(wanted, waiting=self._lag)
        world["history"].append({"track": track, **wanted})
        world_file.save(self._path, world)
        return True

    def _load(self) -> dict[str, Any]:
        self.world = world_file.load(self._path, self.world)
        return self.world

    @staticmethod
    def _known(world: Mapping[str, Any], track: str) -> dict[str, Any]:
        if track not in world["tracks"]:
            raise ConfigError(f"there is no track {track!r}", where="memory workload")
        found: dict[str, Any] = world["tracks"][track]
        return found
