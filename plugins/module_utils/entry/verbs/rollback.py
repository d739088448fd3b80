# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which version a rollback goes back to: the last good one before what is stable, or the good one that is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from ...core.codec import encode
from ...core.errors import ConfigError
from ...core.options import Option, Options
from ...core.record import Good, Outcome, Record
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
    """The version to go back to: where the last release went back by itself, what is stable already.

    Raises ConfigError when there is none, when ``wanted`` was never good or runs already, and when not all of a way back was walked.
    """
    if record is None or record.stable is None or not record.good:
        raise ConfigError("nothing was ever promoted under this name, so there is no good version to go back to", where="rollback",
                          do="Ship the version you want with the rollout playbook.")
    stable, known = record.stable, ", ".join(good.version for good in record.good)
    if wanted == stable.version:
        raise ConfigError(f"{wanted} is what runs now", where="rollout_to_version", do=f"Good versions: {known}.")
    if not wanted and record.went_back:
        if record.outcome is Outcome.PARTIAL:
            more = "abort tries it once more" if record.stuck else "status shows what is left to repair"
            raise ConfigError(f"the way back to {stable.version} ended as partial: {record.reason}", where="rollback", do=f"{more}; {_further(record)}.")
        return next((good for good in record.good if good.version == stable.version), Good(stable.version, stable.slot, "", ""))
    candidates = [good for good in record.good if good.version == wanted or (not wanted and good.version != stable.version)]
    if not candidates:
        raise ConfigError(f"{wanted or 'an earlier version'} is not known to be good", where="rollout_to_version",
                          do=f"Good versions: {known}. Ship any other with the rollout playbook.")
    return candidates[-1]


def went_back(record: Record) -> str:
    """What to say to somebody who asks to go back where the last release has just done that."""
    return f"stable is {record.stable.version if record.stable else ''} already, which the last release went back to; {_further(record)}"


def _further(record: Record) -> str:
    older = [good.version for good in record.good if record.stable is None or good.version != record.stable.version]
    return f"to go further back name it: -e rollout_to_version={older[-1]}" if older else "no older version is known to be good"


def as_rollback(spec: Mapping[str, Any], record: Optional[Record], hosts: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """The release file as one that ships the good version at once: no steps, no hooks, no gate."""
    target = good_version(record, spec.get("to_version") or "")
    single = any(hosts.values()) and not all(hosts.values())
    strategy = spec["strategy"] if spec["strategy"] in IN_PLACE else "rolling" if single else "blue_green"
    return {**spec, "purpose": "rollback", "version": target.version, "strategy": strategy, "steps": [], "hooks": {},
            "blue_green": {"auto_promotion_enabled": True}}
