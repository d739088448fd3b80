# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Quantities as Kubernetes writes them, and whether a quota has room for more Pods. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from .errors import ConfigError

_QUANTITY = re.compile(r"([+-]?\d+(?:\.\d*)?|[+-]?\.\d+)(?:[eE]([+-]?\d{1,3})|([numkMGTPE]|[KMGTPE]i)?)", re.ASCII)
_FACTORS = {"n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000), "k": Fraction(1000), "": Fraction(1)}
_FACTORS.update({letter: Fraction(1000**power) for power, letter in enumerate("MGTPE", 2)})
_FACTORS.update({f"{letter}i": Fraction(1024**power) for power, letter in enumerate("KMGTPE", 1)})


def quantity(text: object) -> Fraction:
    """``100m`` is 1/10, ``1Gi`` is 2**30. Raises ConfigError."""
    match = _QUANTITY.fullmatch(str(text).strip())
    if match is None:
        raise ConfigError(f"{str(text)[:40]!r} is not a quantity")
    number, exponent, suffix = match.groups()
    return Fraction(number) * (Fraction(10) ** int(exponent) if exponent else _FACTORS[suffix or ""])


def demand(template: Mapping[str, Any]) -> dict[str, Fraction]:
    """What one Pod counts for in a quota: pods, requests.cpu, requests.memory, limits.cpu, limits.memory."""
    total = {"pods": Fraction(1), "count/pods": Fraction(1)}
    for container in (template.get("spec") or {}).get("containers") or ():
        resources = container.get("resources") or {}
        for kind in ("requests", "limits"):
            # A request that is not said is the limit, as the server fills it in.
            given = {**(resources.get("limits") or {}), **(resources.get("requests") or {})} if kind == "requests" else resources.get("limits") or {}
            for name, value in given.items():
                total[f"{kind}.{name}"] = total.get(f"{kind}.{name}", Fraction(0)) + quantity(value)
                if kind == "requests" and name in ("cpu", "memory"):
                    total[name] = total.get(name, Fraction(0)) + quantity(value)
    return total


def shortage(quotas: Iterable[Mapping[str, Any]], template: Mapping[str, Any], more: int) -> str:
    """What lacks for ``more`` Pods of this template; '' when there is room. Quotas with a scope may be about other Pods, and are left out."""
    for item in quotas:
        spec, status = item.get("spec") or {}, item.get("status") or {}
        if spec.get("scopes") or spec.get("scopeSelector"):
            continue
        hard, used = status.get("hard") or spec.get("hard") or {}, status.get("used") or {}
        for name, one in demand(template).items():
            if name in hard and quantity(used.get(name, "0")) + one * more > quantity(hard[name]):
                return f"quota {item['metadata']['name']} has {hard[name]} {name}, {used.get(name, '0')} used, and {more} more Pods are needed"
    return ""
