# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gate decided by a key of a ConfigMap: its first line is ``promote`` or ``abort``, and after that the name of who decided."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Optional

from ..core.gate import Decision, Gate, named, spoken
from ..core.options import Option, Options
from ..core.units import iso
from .kube import KUBE_OPTIONS, Kube
from .kube_resources import CONFIGMAPS

OPTIONS: Options = {
    "name": Option("name", "Name of the ConfigMap. It may come to be after the gate.", required=True),
    "key": Option("str", "The key that decides, once it changes: its value is C(promote) or C(abort), and perhaps a name after that.", required=True),
    **KUBE_OPTIONS,
}
LONGEST_LINE = 256


class ConfigMapGate:
    """Implements the port ``StandingSource``: the API server tells when an object was written last, but not when one of its keys was.

    The digest is that of the open gate: the value changed after it was opened. ``clock``: seconds since the epoch.
    """

    every = 5.0

    def __init__(self, kube: Kube, name: str, key: str, clock: Callable[[], float] = time.time) -> None:
        self._kube = kube
        self._map = name
        self._key = key
        self._clock = clock
        self.name = f"ConfigMap {kube.namespace}/{name} key {key}"
        self.hint = f"write promote or abort into the key {key} of the ConfigMap {kube.namespace}/{name}"

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> ConfigMapGate:
        """``options``: validated ones. Raises ConfigError. Nothing is asked yet."""
        return cls(Kube.from_options(options), options["name"], options["key"])

    def standing(self) -> str:
        """The value, at most its first line; empty while there is none. Raises Unavailable, ConfigError."""
        return _line(self._read(), self._key)

    def poll(self, gate: Gate) -> Optional[Decision]:
        """The decision in the value; without a name in it, who wrote it last is the field manager. Raises Unavailable, ConfigError."""
        found = self._read()
        said = spoken(_line(found, self._key), self.name)
        if said is None:
            return None
        who = said[1] or ("" if gate.require_other else _manager(found, self._key) or self.name)  # a tool is nobody else
        return Decision(said[0], who, iso(self._clock()), "config_map", gate.digest)

    def _read(self) -> Mapping[str, Any]:
        return self._kube.get(CONFIGMAPS, self._map) or {}


def _line(found: Mapping[str, Any], key: str) -> str:
    value = str((found.get("data") or {}).get(key) or "")
    return value.strip().partition("\n")[0][:LONGEST_LINE].strip()


def _manager(found: Mapping[str, Any], key: str) -> str:
    """Who wrote the key, as far as the server knows: ``kubectl-patch``, ``argocd``; empty when it does not."""
    writers = [entry for entry in (found.get("metadata") or {}).get("managedFields") or ()
               if f"f:{key}" in ((entry.get("fieldsV1") or {}).get("f:data") or {})]
    return max(((str(entry.get("time") or ""), named(str(entry.get("manager") or ""))) for entry in writers), default=("", ""))[1]
