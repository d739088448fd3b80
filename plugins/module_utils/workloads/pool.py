# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pool of hosts behind a load balancer. What is put on a host is put there by the user's own tasks, in a play."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Optional

from ..core.errors import ConfigError
from ..core.model import Track
from ..core.options import Option, Options

RELEASE_DIR: Options = {
    "base": Option("path", "Folder that holds releases/ and the link current.", required=True),
    "source": Option("str", "Folder or archive on the coordinator with the new version; ${version} is filled in.", required=True),
    "restart": Option("str", "Command that makes the service use the new release, run without a shell."),
    "keep_releases": Option("int", "Old releases to keep.", default=5, minimum=1),
}

DEPLOY: Options = {
    "tasks": Option("str", "Path of your tasks file; relative paths begin at the inventory's folder, then the working directory."),
    "role": Option("str", "Name of your role."),
    "release_dir": Option("dict", "No tasks of your own: release folders with a link that is switched.", options=RELEASE_DIR),
}

VERSION_FROM: Options = {
    "http": Option("str", "Address that answers with the version as text, or as JSON with a key version; ${host} and ${address} are filled in."),
    "command": Option("list", "Command on the host that prints the version.", elements="str"),
    "file": Option("path", "File on the host that holds the version."),
    "symlink": Option("path", "Link on the host whose target's last part is the version."),
}


class PoolWorkload:
    """Tracks are host sets, which begin as inventory groups.

    ``hosts``: names per slot. ``version_of``: asks one host, by name, for the version it runs; None when it cannot be asked from here.
    """

    SUMMARY: ClassVar[str] = "Hosts of the inventory, changed by your own tasks."
    by_hosts: ClassVar[bool] = True
    OPTIONS: ClassVar[Options] = {
        "stable": Option("str", "Inventory group that serves now (or served first)."),
        "canary": Option("str", "Inventory group that receives the new version; without it, hosts of the stable group move over."),
        "hosts": Option("str", "One inventory group, for rolling and recreate."),
        "deploy": Option("dict", "How a host gets a version.", required=True, options=DEPLOY, one_of=True),
        "rollback": Option("dict", "How a host gets the previous version back; the same way when absent.", options=DEPLOY, one_of=True),
        "version_from": Option("dict", "How a host tells its version.", options=VERSION_FROM, one_of=True),
        "address_variable": Option("str", "Host variable that holds the address to probe; otherwise ansible_host or the name."),
    }

    def __init__(self, hosts: Mapping[str, tuple[str, ...]], version_of: Optional[Callable[[str], str]] = None) -> None:
        self.hosts = hosts
        self.version_of = version_of

    def read(self) -> Mapping[str, Track]:
        """A track per slot; its version is '' where hosts differ or cannot be asked."""
        tracks: dict[str, Track] = {}
        for slot, hosts in self.hosts.items():
            versions = {self.version_of(host) for host in hosts} if self.version_of else set()
            version = versions.pop() if len(versions) == 1 else ""
            tracks[slot] = Track(slot, version, len(hosts), len(hosts), hosts)
        return tracks

    @staticmethod
    def slots(options: Mapping[str, Any], groups: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        """Hosts per slot from the inventory's groups. Raises ConfigError for a group that is missing, empty or overlapping."""
        where = "rollout_workload.pool"
        stable = options.get("stable") or options.get("hosts")
        if not stable:
            raise ConfigError("no group is named", where=where, do="Set stable (and canary), or hosts.")
        if options.get("stable") and options.get("hosts"):
            raise ConfigError("both stable and hosts are set", where=where, do="hosts is for a single group; keep one of them.")
        result: dict[str, tuple[str, ...]] = {}
        given = "hosts" if options.get("hosts") else "stable"
        for slot, option, group in (("stable", given, stable), ("canary", "canary", options.get("canary"))):
            if group and group not in groups:
                known = ", ".join(sorted(name for name in groups if name not in ("all", "ungrouped")))
                raise ConfigError(f"the inventory has no group {group!r}", where=f"{where}.{option}", do=f"Known groups: {known or 'none'}.")
            result[slot] = tuple(groups[group]) if group else ()
        if not result["stable"]:
            raise ConfigError(f"group {stable!r} has no hosts", where=f"{where}.{given}", do="Put hosts into it.")
        both = set(result["stable"]) & set(result["canary"])
        if both:
            raise ConfigError(f"{', '.join(sorted(both))} is in both groups", where=where, do="A host belongs to one of stable and canary.")
        return result
