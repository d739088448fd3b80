# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The system packages that the tests drive for real, named in bindep.txt, installed by apt-get when we may."""

from __future__ import annotations

import os
import re
import shutil
import threading
from pathlib import Path

from environments import CHECKOUT
from run import Failed, Run

_once = threading.Lock()
POLICY = Path("/usr/sbin/policy-rc.d")
BRINGS = {
    "containernetworking-plugins": "/usr/lib/cni/bridge", "default-jre-headless": "java", "graphite-carbon": "carbon-cache",
    "graphite-web": "graphite-manage", "influxdb": "influxd", "iproute2": "ip", "nftables": "nft", "postgresql": "pg_ctlcluster",
}  # fmt: skip
"""What to look for, where a package brings no command of its own name."""


def missing(profile: str) -> list[str]:
    """Packages of that profile in bindep.txt that are not here."""
    names = re.findall(rf"^([\w.-]+) \[{profile}\b", (CHECKOUT / "bindep.txt").read_text(encoding="utf-8"), re.MULTILINE)
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    return [name for name in names if not shutil.which(BRINGS.get(name, name), path=path)]


def require(run: Run, profile: str = "test") -> None:
    """Have the packages of a profile here, or raise Failed with the one line that installs them."""
    with _once:
        names = missing(profile)
        if names and os.geteuid() == 0 and shutil.which("apt-get"):
            install(run, names)
            names = missing(profile)
    if names:
        raise Failed(f"{', '.join(names)} not found. Install: apt-get install --no-install-recommends {' '.join(names)}")


def install(run: Run, names: list[str]) -> None:
    """Install the packages; the services they bring are not started, now or at the next boot."""
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    ours = not POLICY.exists()
    if ours:
        POLICY.write_text("#!/bin/sh\nexit 101\n", encoding="ascii")  # Debian's way to say: start nothing
        POLICY.chmod(0o755)
    try:
        run.command("apt-get", "update", "-qq", extra=quiet)
        run.command("apt-get", "install", "-qq", "--yes", "--no-install-recommends", *names, extra=quiet)
    finally:
        if ours:
            POLICY.unlink()
    if Path("/run/systemd/system").exists():
        for name in names:
            run.command("systemctl", "disable", name, ok=(0, 1, 5))  # 1 and 5: it brought no service
