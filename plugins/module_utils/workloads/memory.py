# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A workload that lives in memory: the fake of the tests, and of a dry rehearsal without hosts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ..core.errors import ConfigError
from ..core.model import Track
from ..core.options import Option, Options


class MemoryWorkload:
    """Tracks as a dict. Every change is at once ready."""

    SUMMARY: ClassVar[str] = "A pretended workload, for tests and rehearsals."
    by_hosts: ClassVar[bool] = False
    OPTIONS: ClassVar[Options] = {
        "tracks": Option("dict", "Version per track.", default={"stable": "1", "canary": ""}, open=True),
        "replicas": Option("int", "Replicas of each track.", default=1, minimum=1),
    }

    def __init__(self, tracks: Mapping[str, str], replicas: int = 1) -> None:
        self._tracks = {name: Track(name, version, replicas, replicas) for name, version in tracks.items()}

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> MemoryWorkload:
        return cls(options["tracks"], options["replicas"])

    @staticmethod
    def slots(options: Mapping[str, Any], groups: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        """The slots, none of which is made of hosts."""
        return {"stable": (), "canary": ()}

    def read(self) -> Mapping[str, Track]:
        return dict(self._tracks)

    def deploy(self, track: str, revision: str) -> None:
        self._tracks[track] = Track(track, revision, self._known(track).replicas, self._known(track).replicas)

    def scale(self, track: str, replicas: int) -> None:
        self._tracks[track] = Track(track, self._known(track).version, replicas, replicas)

    def promote(self, track: str) -> None:
        self._known(track)

    def retire(self, track: str) -> None:
        self.scale(track, 0)

    def _known(self, track: str) -> Track:
        if track not in self._tracks:
            raise ConfigError(f"there is no track {track!r}", where="memory workload")
        return self._tracks[track]
