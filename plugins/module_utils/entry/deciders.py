# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may decide a gate besides the playbooks: a file, a ConfigMap, an approval system, a job of a pipeline.

They are made of the release file as it is now. So a backend that has moved is found by the next run, and no token stands in a record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..clients.gate_awx import AwxGate
from ..clients.gate_config_map import ConfigMapGate
from ..clients.gate_file import FileGate
from ..clients.gate_gitlab import GitlabGate
from ..clients.gate_http import HttpGate
from ..core import gate as gates
from ..core.gate import Gate, GateSource
from ..core.ports import Clock, StateStore
from .context import Context

BY_HTTP: Mapping[str, Any] = {"http": HttpGate, "gitlab_job": GitlabGate, "awx_approval": AwxGate}
"""Approval systems, by the option of the gate."""


class Deciders:
    """The sources of one gate. Going through them gives those whose time to be asked has come."""

    def __init__(self, sources: tuple[GateSource, ...], clock: Clock) -> None:
        self._sources = sources
        self._clock = clock
        self._asked: dict[int, float] = {}

    @classmethod
    def of(cls, spec: Mapping[str, Any], name: str, clock: Clock) -> Deciders:
        """Those that the release file names for the gate ``name``. Raises ConfigError. Nothing is asked yet."""
        gate: Mapping[str, Any] = next((step["gate"] for step in spec.get("steps") or () if (step.get("gate") or {}).get("name") == name), {})
        found: list[GateSource] = []
        if gate.get("file"):
            found.append(FileGate(gate["file"]))
        if gate.get("config_map"):
            defaults = {option: value for option, value in (spec.get("kubernetes") or {}).items() if value is not None}
            found.append(ConfigMapGate.from_options({**defaults, **gate["config_map"]}))
        for kind, source in BY_HTTP.items():
            if gate.get(kind):
                found.append(source.from_options({**gate[kind], "within": spec.get("url_allow") or ()}))
        return cls(tuple(found), clock)

    @property
    def hints(self) -> str:
        """What to do there, for people."""
        return " or ".join(source.hint for source in self._sources)

    def __iter__(self) -> Iterator[GateSource]:
        now = self._clock.now()
        for index, source in enumerate(self._sources):
            if index not in self._asked or now - self._asked[index] >= source.every:
                self._asked[index] = now
                yield source


def ask(spec: Mapping[str, Any], store: StateStore, name: str, context: Context) -> Gate:
    """The gate after one look at everybody who may decide it; one that expired takes its ``on_timeout``."""
    return gates.wait_for_gate(store, context.clock, name, Deciders.of(spec, name, context.clock), timeout=0.0,
                               say=lambda line: context.say(f"{spec['name']}: {line}"))
