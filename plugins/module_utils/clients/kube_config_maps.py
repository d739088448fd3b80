# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ConfigMaps of a version: made before it is deployed, removed when nothing remembers them any more."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from ..core.errors import ConfigError, Conflict
from ..core.kube_config import LABEL, MANAGED, config_map, named, references, unwanted
from ..core.kube_template import filled
from .kube import Kube
from .kube_errors import Forbidden
from .kube_resources import CONFIGMAPS
from .kube_slots import written


class ConfigMaps:
    """``data``: text by key, by the name that the Pod template knows each ConfigMap by. ``owner``: the workload whose they are."""

    def __init__(self, kube: Kube, data: Mapping[str, Mapping[str, str]], owner: str = "") -> None:
        self._kube = kube
        self._data = data
        self._owner = owner

    @classmethod
    def from_option(cls, kube: Kube, given: Mapping[str, Any], version: str, owner: str) -> ConfigMaps:
        """Of ``{name: {key: text}}`` or ``{name: path of a file or folder}``. Raises ConfigError."""
        return cls(kube, {name: _data(value, version, f"config_maps.{name}") for name, value in given.items()}, owner)

    @property
    def names(self) -> dict[str, str]:
        """What each is called for this version."""
        return {name: named(name, data, self._owner) for name, data in self._data.items()}

    def ensure(self) -> None:
        """All of them are there. One that exists has this very content, since its name says so and it cannot change."""
        for name, data in self._data.items():
            if self._kube.get(CONFIGMAPS, named(name, data, self._owner)) is None:
                try:
                    self._kube.create(CONFIGMAPS, config_map(name, data, self._owner))
                except Conflict:
                    pass  # somebody else made the same one meanwhile

    def prune(self, templates: Iterable[Any]) -> None:
        """Remove what neither these templates nor the newest versions need. Left undone where it is not allowed."""
        if not self._data:
            return
        used = {name for template in templates for name in references(template)}
        try:
            kept = self._kube.list(CONFIGMAPS, labels=f"{written(MANAGED)},{LABEL} in ({','.join(sorted(self._data))})")
            for name in unwanted(kept, used, self._owner):
                self._kube.delete(CONFIGMAPS, name)
        except Forbidden:
            return


def _data(value: Any, version: str, where: str) -> dict[str, str]:
    if isinstance(value, Mapping):
        return {str(key): filled(str(text), version) for key, text in value.items()}
    path = os.path.expanduser(filled(str(value), version))
    try:
        files = [os.path.join(path, name) for name in sorted(os.listdir(path))] if os.path.isdir(path) else [path]
        return {os.path.basename(file): _text(file) for file in files if os.path.isfile(file) or file == path}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read it: {error}", where=where, do="Give key: text pairs, or the path of a text file or of a folder of them.") from None


def _text(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()
