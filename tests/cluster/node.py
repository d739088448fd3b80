# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts and stops the Kubernetes node of this machine, which all clones and test sessions share.

    node.py up      start it, or find it running; it stays until ``down``
    node.py down    end it and remove all that is left of it, or of one that died
    node.py status  what runs
    node.py build   only build what it needs

The node lives in namespaces of its own, in the folder STATE. From the host one route leads into it, to Pods and Services alike.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ansible_collections.progressive.delivery.tests.cluster import components
from ansible_collections.progressive.delivery.tests.cluster.build import HOME, Built, Unbuildable, build
from ansible_collections.progressive.delivery.tests.cluster.layout import (
    CGROUP,
    CNI,
    HOST_ADDRESS,
    INIT,
    KUBECONFIG,
    LINK,
    NETWORK,
    NODE_ADDRESS,
    STATE,
)

MODULE = "ansible_collections.progressive.delivery.tests.cluster.node"
LOCK = Path("/run/lock/progressive-delivery-node.lock")
"""Held while the node is started or stopped."""
USERS = Path("/run/lock/progressive-delivery-node.users")
"""Held, shared, by whoever uses the node. The node ends by itself a minute after the last one is gone, even if it was killed."""
KEPT = STATE / "kept"
"""There when the node was started to stay."""
FAILED = HOME / "failed"
"""The logs of the last node that did not start."""
START_SECONDS = 360.0


class NodeError(Exception):
    """The node cannot be had; the text says why and what to do, in one line."""


def use() -> int:
    """Have the node running, start it if need be. It stays until ``leave`` of the returned descriptor, or the end of this process.

    Raises NodeError, Unbuildable.
    """
    require_parts()
    built = build()
    with _alone():
        users = os.open(USERS, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(users, fcntl.LOCK_SH)
        if is_ready():
            components.load_images(built)
        else:
            _remove()
            try:
                _start(built)
            except BaseException:
                os.close(users)
                _keep_logs()
                _remove()
                raise
    return users


def _keep_logs() -> None:
    shutil.rmtree(FAILED, ignore_errors=True)
    if (STATE / "logs").exists():
        shutil.copytree(STATE / "logs", FAILED)


def leave(users: int) -> None:
    """The other end of ``use``: the last one to leave ends the node, unless it was started to stay."""
    with _alone():
        os.close(users)
        if not (_in_use() or KEPT.exists()):
            _remove()


def _in_use() -> bool:
    with open(USERS, "r+b") as users:
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def down() -> None:
    """End the node and remove all that is left of it."""
    with _alone():
        _remove()


def watch(programs: str) -> None:
    """Run the node's first process, which finds the node's programs in the folder ``programs``, and clean up after it. Runs as long as the node."""
    environment = {"PATH": f"{programs}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"}
    unshare = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    ours = os.open(STATE, os.O_RDONLY | os.O_DIRECTORY)  # held open, so that no later folder has its inode
    subprocess.run([*unshare, sys.executable, "-I", str(INIT), str(STATE), str(USERS)], check=False, cwd="/", env=environment)
    _tell_ended(ours)
    with _alone():
        if STATE.exists() and os.path.samestat(os.fstat(ours), os.stat(STATE)):
            _remove()


def _tell_ended(ours: int) -> None:
    """Leave word in the node's own folder, the open descriptor ``ours``. The next node may have one of the same name by now."""
    with suppress(FileNotFoundError):  # removed, by whoever ended the node
        os.close(os.open("ended", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=ours))


def is_ready() -> bool:
    """Whether the node runs, and was once ready."""
    try:
        control("state")
    except OSError:
        return False
    return (STATE / "ready").exists()


def control(do: str, **more: Any) -> dict[str, Any]:
    """Tell the node's first process something (see ``init``). Raises OSError when there is none."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(120)
        connection.connect(str(STATE / "control.sock"))
        with connection.makefile("rw", encoding="utf-8") as stream:
            stream.write(json.dumps({"do": do, **more}) + "\n")
            stream.flush()
            answer: dict[str, Any] = json.loads(stream.readline())
    if "error" in answer:
        raise NodeError(f"the node's first process could not {do} {more.get('name', '')}: {answer['error']}")
    return answer


def require_parts() -> None:
    """Raise NodeError, in one line, for what this machine lacks."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise NodeError("the Kubernetes node of the tests needs Linux and root; name another cluster in PROGRESSIVE_DELIVERY_KUBECONFIG")
    needed = {"containerd": "containerd", "runc": "runc", "nft": "nftables", "ip": "iproute2", "unshare": "util-linux", "ctr": "containerd"}
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    lacking = {package for program, package in needed.items() if not shutil.which(program, path=path)}
    if not CNI.is_dir():
        lacking.add("containernetworking-plugins")
    if lacking:
        raise NodeError(f"{', '.join(sorted(lacking))} not found. Install: apt-get install --no-install-recommends {' '.join(sorted(lacking))}")


def _start(built: Built) -> None:
    """Make the namespaces, and start the programs in them in their order."""
    STATE.mkdir(mode=0o700)
    _refuse_taken_network()
    for group in _cgroups():
        group.mkdir(exist_ok=True)
    (STATE / "logs").mkdir()
    log = STATE / "logs" / "init.log"
    with open(log, "wb") as out:
        subprocess.Popen([sys.executable, "-m", MODULE, "watch", str(built.bin)], stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
    wait(lambda: (STATE / "control.sock").exists() or (STATE / "ended").exists(), "the node's first process")
    if (STATE / "ended").exists():
        raise NodeError(f"the node's first process ended: {log.read_text(encoding='utf-8', errors='replace')[-500:].strip()}")
    [first] = _inits()
    _connect(first)
    components.start(built, control, wait)
    (STATE / "ready").touch()


def _connect(first: int) -> None:
    """Lay the cable between the host and the node, whose network namespace is that of its ``first`` process."""
    run("ip", "link", "add", LINK, "type", "veth", "peer", "name", "eth0", "netns", str(first))
    run("ip", "address", "add", f"{HOST_ADDRESS}/30", "dev", LINK)
    run("ip", "link", "set", LINK, "up")
    inside = ["nsenter", f"--net=/proc/{first}/ns/net"]
    run(*inside, "ip", "link", "set", "lo", "up")
    run(*inside, "ip", "address", "add", f"{NODE_ADDRESS}/30", "dev", "eth0")
    run(*inside, "ip", "link", "set", "eth0", "up")
    run(*inside, "ip", "route", "add", "default", "via", HOST_ADDRESS)
    run(*inside, "sysctl", "-qw", "net.ipv4.ip_forward=1")
    run("ip", "route", "add", NETWORK, "via", NODE_ADDRESS)


def _disconnect() -> None:
    """Take the cable away. The kernel does so in its own time once a namespace has no process left, and the next node would find its network taken."""
    link = Path("/sys/class/net") / LINK
    if link.exists():
        subprocess.run(["ip", "link", "delete", LINK], capture_output=True, check=False)  # it may go by itself meanwhile
        wait(lambda: not link.exists(), f"the end of {LINK}")


def _refuse_taken_network() -> None:
    taken = subprocess.run(["ip", "-4", "route", "show", "root", NETWORK], capture_output=True, text=True, check=True).stdout
    if taken.strip():
        raise NodeError(f"the network {NETWORK} is taken on this machine ({taken.splitlines()[0].strip()}); the node of the tests needs it")


def _remove() -> None:
    """End the node's processes, with which go its mounts, its network and its rules; then remove its cgroups and files."""
    for pid in _inits():
        os.kill(pid, signal.SIGKILL)
    wait(lambda: not _inits(), "the end of the node's processes")
    for group in _cgroups():
        folders = [Path(found[0]) for found in os.walk(group, topdown=False)]
        wait(lambda folders=folders: all(_removed(folder) for folder in folders), f"the end of the processes in {group}")  # type: ignore[misc]
    _disconnect()
    wait(_state_removed, f"the removal of {STATE}, or is something mounted in it? It")


def _state_removed() -> bool:
    """Remove the folder; a process on its way out may still write to it."""
    shutil.rmtree(STATE, ignore_errors=True)
    return not STATE.exists()


def _removed(cgroup: Path) -> bool:
    """Remove an empty cgroup; a process may still be on its way out of it."""
    try:
        cgroup.rmdir()
    except FileNotFoundError:
        pass  # the time before
    except OSError:
        return False
    return True


def _inits() -> list[int]:
    """The first processes of nodes, as the host numbers them: one, or none."""
    wanted = [str(INIT).encode(), str(STATE).encode()]
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # ended meanwhile
        if words[2:4] == wanted:
            found.append(int(folder.name))
    return found


def _cgroups() -> list[Path]:
    """The node's cgroup in every hierarchy: one with cgroup v2, one for each controller with v1, all of them where a system has both."""
    mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    return [Path(place) / CGROUP for place, kind in mounts if kind in ("cgroup", "cgroup2")]


@contextmanager
def _alone() -> Iterator[None]:
    with open(LOCK, "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run(*words: str) -> None:
    """Run a command of the host. Raises NodeError with what it said."""
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise NodeError(f"{' '.join(words)} ended with {done.returncode}: {done.stdout.strip()}")


def wait(true: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
    """Wait until ``true`` holds. Raises NodeError when it does not in time."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise NodeError(f"{what} did not come within {seconds:.0f} s; logs: {FAILED}")
        time.sleep(0.05)


def main(words: list[str]) -> int:
    """The command line."""
    try:
        if words == ["up"]:
            began = time.monotonic()
            users = use()
            KEPT.touch()
            leave(users)
            print(f"The node is ready after {time.monotonic() - began:.1f} s. kubectl: {build().bin / 'kubectl'}\nexport KUBECONFIG={KUBECONFIG}")
        elif words == ["down"]:
            down()
        elif words == ["build"]:
            print(build())
        elif words == ["status"]:
            programs = control("state") if is_ready() else {}
            print("\n".join(f"{name:<26}{pid or 'ended'}" for name, pid in programs.items()) or "the node does not run")
        elif words[:1] == ["watch"]:
            watch(words[1])
        else:
            print(__doc__)
            return 2
    except (NodeError, Unbuildable) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
