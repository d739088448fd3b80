# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A strategic merge patch, as far as workloads need it: mappings are merged, lists of named things by the names of their items. Pure."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from .errors import ConfigError

MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "ports": "containerPort",
    "imagePullSecrets": "name",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
    "resourceClaims": "name",
}
"""What tells the items of a list apart, by the list's name, as the types of a Pod have it. Any other list is replaced as a whole."""


def strategic(target: Any, patch: Any, where: str = "patch", name: str = "") -> Any:
    """``target`` with ``patch`` merged in; neither is changed. None removes a key, ``$patch: delete`` an item, ``$patch: replace`` what was there.

    Raises ConfigError for a directive of another kind, and for an item without its key.
    """
    if isinstance(patch, Mapping):
        return _mapping(target, patch, where)
    key = MERGE_KEYS.get(name, "")
    if isinstance(patch, list) and key:
        return _items(target or [], patch, key, where)
    return copy.deepcopy(patch)


def _mapping(target: Any, patch: Mapping[str, Any], where: str) -> dict[str, Any]:
    strange = next((key for key in patch if str(key).startswith("$") and (key != "$patch" or patch[key] not in ("replace", "merge"))), None)
    if strange is not None:
        raise ConfigError(f"{strange}: {patch[strange]} is not understood here", where=where, do="Known: $patch: replace, and $patch: delete in a list.")
    result = dict(target) if isinstance(target, Mapping) and patch.get("$patch") != "replace" else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif name != "$patch":
            result[name] = strategic(result.get(name), value, f"{where}.{name}", name)
    return result


def _items(target: list[Any], patch: list[Any], key: str, where: str) -> list[Any]:
    if any(item.get("$patch") == "replace" for item in patch if isinstance(item, Mapping)):
        return [copy.deepcopy(item) for item in patch if "$patch" not in item]
    result = copy.deepcopy(target)
    for number, item in enumerate(patch):
        place = f"{where}[{number}]"
        if not isinstance(item, Mapping) or key not in item:
            raise ConfigError(f"it has no {key}", where=place, do=f"Items of this list are told apart by their {key}.")
        index = next((index for index, old in enumerate(result) if old.get(key) == item[key]), None)
        if item.get("$patch") == "delete":
            if index is not None:
                result.pop(index)
        elif index is None:
            result.append(strategic({}, item, place))
        else:
            result[index] = strategic(result[index], item, place)
    return result


def covers(current: Any, wanted: Any) -> bool:
    """Whether ``current`` has all that ``wanted`` says: more keys may be there, as a server fills in defaults; lists are as long as wanted."""
    if isinstance(wanted, Mapping):
        return isinstance(current, Mapping) and all(covers(current.get(key), value) for key, value in wanted.items() if value is not None)
    if isinstance(wanted, list):
        return isinstance(current, list) and len(current) == len(wanted) and all(map(covers, current, wanted))
    return bool(current == wanted)
