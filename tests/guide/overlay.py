# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Release files of the examples as the suites on real parts run them: with seconds for their minutes, told where things are, and otherwise as they are.

What a duration is, the product's own table of options says. tests/unit/guide runs the same files unshortened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Optional

import yaml

from ansible_collections.progressive.delivery.plugins.module_utils.core.health import HEALTH_OPTIONS
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import Option
from ansible_collections.progressive.delivery.plugins.module_utils.entry.release_file import ANALYSIS, SPEC, STEP

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SHORTER = {"5m": "3s", "30s": "2s", "10s": "1s"}

WHERE = (
    "rollout_kubernetes", "rollout_router.*.envoys", "rollout_analysis.provider.*.url", "rollout_verify.checks.http.url", "rollout_verify.targets",
    "rollout_store", "rollout_report",
)  # fmt: skip
"""What says where things are, which differs from one test's world to the next. A * stands for the kind of an adapter."""

HEALTH = Option("dict", "", options=HEALTH_OPTIONS)
OPEN = {
    "rollout_steps": Option("list", "", options=STEP), "rollout_analysis": Option("dict", "", options=ANALYSIS), "rollout_health": HEALTH,
    "rollout_verify.checks": HEALTH,
}  # fmt: skip
"""Options that are checked by a table of their own."""

Leaf = tuple[str, Any, bool]
"""Path, value, and whether it is a duration."""


def leaves(release: Mapping[str, Any]) -> Iterator[Leaf]:
    for name, value in release.items():
        yield from _leaves(value, OPEN.get(name, SPEC.get(name)), name)


def _leaves(value: Any, option: Any, path: str) -> Iterator[Leaf]:
    option = OPEN.get(path, option)
    inner = (option.options if option is not None else None) or {}
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(item, inner.get(key), f"{path}.{key}")
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            same = Option("dict", "", options=inner) if inner else None
            yield from _leaves(item, same, f"{path}[{index}]")
    else:
        yield path, value, option is not None and option.type == "duration"


def shortened(release: Mapping[str, Any], shorter: Optional[Mapping[str, str]] = None) -> dict[str, Any]:
    """The release with other durations, where ``shorter`` has one; :data:`SHORTER` by itself."""
    shorter = SHORTER if shorter is None else shorter
    durations = {path for path, _value, is_duration in leaves(release) if is_duration}

    made: dict[str, Any] = changed(release, lambda path, value: shorter.get(value, value) if path in durations else value)
    return made


def changed(value: Any, leaf: Callable[[str, Any], Any], path: str = "") -> Any:
    """The value with ``leaf`` of its path and itself in the place of each leaf."""
    if isinstance(value, Mapping):
        return {key: changed(item, leaf, f"{path}.{key}" if path else str(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [changed(item, leaf, f"{path}[{index}]") for index, item in enumerate(value)]
    return leaf(path, value)


def beyond(release: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Paths at which the two differ in more than a duration, or than where things are."""
    ours = {path: (value, is_duration) for path, value, is_duration in leaves(release)}
    theirs = {path: (value, is_duration) for path, value, is_duration in leaves(other)}
    differing = [path for path in {**ours, **theirs} if ours.get(path) != theirs.get(path)]
    return sorted(path for path in differing if not (_is_duration(ours.get(path)) or _is_duration(theirs.get(path)) or _says_where(path)))


def _is_duration(found: Any) -> bool:
    return found is not None and bool(found[1])


def _says_where(path: str) -> bool:
    parts = path.split(".")
    for place in WHERE:
        wanted = place.split(".")
        if len(parts) >= len(wanted) and all(want in ("*", part.partition("[")[0]) for want, part in zip(wanted, parts)):
            return True
    return False


def overlaid(path: str, shorter: Optional[Mapping[str, str]] = None, **changes: Any) -> dict[str, Any]:
    """The release file ``path`` below examples/, shortened. ``changes`` may say where things are, or give a duration; anything else is refused."""
    release: dict[str, Any] = yaml.safe_load((EXAMPLES / path).read_text(encoding="utf-8"))
    made = {**shortened(release, shorter), **changes}
    more = beyond(release, made)
    assert not more, f"an overlay of {path} changes more than durations: {', '.join(more)}"
    return made
