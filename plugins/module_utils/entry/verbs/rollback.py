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
from ...core.ports import Remembering
from ...core.record import Good, Outcome, Record
from ...core.strategies.compile import IN_PLACE
from ...core.units import duration, from_iso
from .. import build
from ..catalog import WORKLOADS
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
    if not candidates and not wanted and record.running and record.release.purpose == "rollout" and not record.tidying:
        raise ConfigError(f"{record.release.version} is under way and not promoted yet, {stable.version} is stable", where="rollback",
                          do="Take it back with the abort playbook.")
    if not candidates:
        raise ConfigError(f"{wanted or 'an earlier version'} is not known to be good", where="rollout_to_version",
                          do=f"Good versions: {known}. Ship any other with the rollout playbook.")
    return candidates[-1]


def check_database(record: Optional[Record], version: str, force: bool) -> None:
    """Raises ConfigError when the database was contracted since ``version`` was good."""
    contracted = next((good.contracted for good in reversed(record.good if record else ()) if good.version == version), "")
    if contracted and not force:
        raise ConfigError(f"the database was contracted at {contracted}: {version} may need what is gone", where="rollback",
                          do="Ship a version that lives without it, or put it back by hand and add -e rollout_force=true.")


def went_back(record: Record) -> str:
    """What to say to somebody who asks to go back where the last release has just done that."""
    return f"stable is {record.stable.version if record.stable else ''} already, which the last release went back to; {_further(record)}"


def _further(record: Record) -> str:
    older = [good.version for good in record.good if record.stable is None or good.version != record.stable.version]
    return f"to go further back name it: -e rollout_to_version={older[-1]}" if older else "no older version is known to be good"


def as_rollback(spec: Mapping[str, Any], record: Optional[Record], hosts: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """The release file as one that ships the good version at once: no steps, no hooks, no gate."""
    target = good_version(record, spec.get("to_version") or "")
    return {**at_once(spec, hosts), "purpose": "rollback", "version": target.version, "hooks": {}}


def at_once(spec: Mapping[str, Any], hosts: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """The release file without steps and gates: by one switch where both slots can carry everything, else in place."""
    single = any(hosts.values()) and not all(hosts.values())
    strategy = spec["strategy"] if spec["strategy"] in IN_PLACE else "rolling" if single else "blue_green"
    return {**spec, "returning": True, "strategy": strategy, "steps": [], "blue_green": {"auto_promotion_enabled": True}, "rolling": _unwatched(spec)}


def _unwatched(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a rolling update without its waits: a version that was good needs no trial."""
    return {**(spec.get("rolling") or {}), **dict.fromkeys(("bake_first", "bake_between", "monitor"), "0s")}


def within_window(spec: Mapping[str, Any], record: Optional[Record], now: float) -> bool:
    """Whether what is to be shipped was good so recently that it needs no steps: ``rollout_rollback_window``."""
    window = spec.get("rollback_window") or {}
    if record is None or record.running or record.stable is None or not any(window.values()):
        return False
    before = [good for good in record.good if good.version != record.stable.version]
    if any(good.contracted for good in before if good.version == spec["version"]):
        return False  # what was good then may not live with the database as it is now
    if window.get("revisions"):
        before = before[-window["revisions"]:]
    if window.get("duration"):
        before = [good for good in before if now - from_iso(good.at) <= duration(window["duration"])]
    return any(good.version == spec["version"] for good in before)


def by_revision(spec: Mapping[str, Any], live: str) -> dict[str, Any]:
    """The release file as one that puts back what the cluster remembers of the slot that serves, with or without a record of ours. Raises ConfigError."""
    [kind] = spec["workload"]
    workload = None if WORKLOADS[kind].by_hosts else build.workload(spec)
    if not isinstance(workload, Remembering):
        raise ConfigError(f"nobody keeps revisions of a {kind}", where="rollout_to_revision", do="Name the version instead: rollout_to_version.")
    if spec.get("to_version"):
        raise ConfigError("rollout_to_version and rollout_to_revision are both given", where="rollout_to_revision", do="Give one of them.")
    former = workload.former(live, spec.get("to_revision") or 0)
    there = f"revision {former.number} is what runs now (version {former.version})" if former.current else ""
    strategy = spec["strategy"] if spec["strategy"] in IN_PLACE else "rolling"
    return {**spec, "purpose": "rollback", "returning": True, "version": former.version, "revision": former.name, "there_already": there,
            "strategy": strategy, "as_it_is": spec["strategy"] not in IN_PLACE, "steps": [], "hooks": {}, "to_revision": former.number,
            "rolling": _unwatched(spec)}


def is_remembered(spec: Mapping[str, Any], record: Optional[Record]) -> bool:
    """Whether the cluster's own history says where a rollback goes: it was asked for, or there is no record that could say."""
    [kind] = spec["workload"]
    nothing = not spec.get("to_version") and (record is None or not record.good)
    return spec.get("to_revision") is not None or (nothing and not WORKLOADS[kind].by_hosts and hasattr(WORKLOADS[kind], "former"))
