# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which version a rollback goes back to: the last good one, or the good one that is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from ...core.codec import encode
from ...core.errors import ConfigError
from ...core.options import Option, Options
from ...core.record import Good, Record
from ...core.strategies.compile import IN_PLACE
from .. import build
from ..context import Context
from ..run import RELEASE_OPTION
from ..stored import stored_record

OPTIONS: Options = {
    "release": RELEASE_OPTION["release"],
    "to_version": Option("str", "The version to go back to; it was promoted once. Default: the last good one before the current."),
}


def run(params: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Returns the ``version`` to go back to, and all that are known to be ``good``. Changes nothing by itself."""
    spec = params.get("release")
    if not spec:
        raise ConfigError("release is missing", where="release", do="Pass what progressive.delivery.plan returned.")
    record = stored_record(build.store(spec["store"], spec["name"], context))
    target = good_version(record, params.get("to_version") or spec.get("to_version") or "")
    current = record.stable.version if record is not None and record.stable is not None else ""
    return {"changed": False, "version": target.version, "slot": target.slot, "good": encode(record.good if record else ()),
            "before": {"version": current}, "after": {"version": target.version}}


def good_version(record: Optional[Record], wanted: str = "") -> Good:
    """The version to go back to. Raises ConfigError when there is none, or when ``wanted`` was never good or runs already."""
    if record is None or record.stable is None or not record.good:
        raise ConfigError("nothing was ever promoted under this name, so there is no good version to go back to", where="rollback",
                          do="Ship the version you want with the rollout playbook.")
    known = ", ".join(good.version for good in record.good)
    if wanted == record.stable.version:
        raise ConfigError(f"{wanted} is what runs now", where="rollout_to_version", do=f"Good versions: {known}.")
    candidates = [good for good in record.good if good.version == wanted or (not wanted and good.version != record.stable.version)]
    if not candidates:
        raise ConfigError(f"{wanted or 'an earlier version'} is not known to be good", where="rollout_to_version", do=f"Good versions: {known}.")
    return candidates[-1]


def as_rollback(spec: Mapping[str, Any], record: Optional[Record], hosts: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """The release file as one that ships the good version at once: no steps, no hooks, no gate."""
    target = good_version(record, spec.get("to_version") or "")
    single = any(hosts.values()) and not all(hosts.values())
    strategy = spec["strategy"] if spec["strategy"] in IN_PLACE else "rolling" if single else "blue_green"
    return {**spec, "purpose": "rollback", "version": target.version, "strategy": strategy, "steps": [], "hooks": {},
            "blue_green": {"auto_promotion_enabled": True}}
