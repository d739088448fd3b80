# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether we may do in a cluster what a release will do, asked of the server beforehand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from ..core import kube_rights
from ..core.errors import ConfigError
from ..core.kube_rights import Right, Rights
from . import kube_resources
from .kube import Kube
from .kube_errors import Forbidden
from .kube_resources import Resource

RESOURCES = {str(item): item for item in vars(kube_resources).values() if isinstance(item, Resource)}


@runtime_checkable
class Permitted(Protocol):
    """An adapter that needs rights in a cluster."""

    kube: Kube

    def rights(self) -> Rights:
        """Those without which it cannot do its part."""


def may(kube: Kube, right: Right) -> bool:
    """Whether RBAC lets us. Who may not even ask finds out by trying."""
    resource, verb = right
    path, _dot, group = resource.partition(".")
    plural, _slash, subresource = path.partition("/")
    try:
        return kube.allowed(RESOURCES[f"{plural}.{group}" if group else plural], verb, subresource=subresource)
    except Forbidden:
        return True


def check(parts: Iterable[Permitted]) -> None:
    """Raise ConfigError that names every right that one of them lacks, and the Roles that bring it."""
    asked: dict[tuple[str, str, Right], bool] = {}
    lacks: dict[str, tuple[Kube, list[Right]]] = {}
    for part in parts:
        for right in part.rights():
            question = (part.kube.where, part.kube.namespace, right)
            if question not in asked:
                asked[question] = may(part.kube, right)
                if not asked[question]:
                    lacks.setdefault(part.kube.namespace, (part.kube, []))[1].append(right)
    if lacks:
        shown = "; ".join(f"{', '.join(f'{verb} {resource}' for resource, verb in rights)} in namespace {namespace}"
                          for namespace, (_kube, rights) in lacks.items())
        brought = kube_rights.files(right for _kube, rights in lacks.values() for right in rights)
        [where, *_others] = [kube.where for kube, _rights in lacks.values()]
        raise ConfigError(f"this user may not {shown}", where=where, do=f"Add {' and '.join(brought)} to its Roles." if brought else "Add them to its Role.")
