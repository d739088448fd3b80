# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A user's site in one folder: local hosts, a router that is a JSON file, deploy tasks with faults on request, and ansible-playbook.

The ansible-playbook that runs is the one beside the Python of the tests, so that the same tests serve every supported ansible-core.
What a test believes comes from the site (files of the hosts, history of the router, stored record), not from the playbook's own words.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

import yaml

from ansible_collections.progressive.delivery.tests.ports import closed_port

PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
LONGEST = 600.0
"""Seconds after which a run that should have ended is called hanging."""

DEPLOY = """
- name: Put the version in place, unless told to fail
  ansible.builtin.shell:
    cmd: |
      if test -e unreachable-{{ rollout_target_version }}; then touch unreachable; fi
      if test -e sleep-{{ rollout_target_version }}; then touch asleep; sleep 600; fi
      if test -e fail-{{ rollout_target_version }}; then echo "no room left" >&2; exit 3; fi
      echo {{ rollout_target_version }} > version
      echo {{ rollout_action }} {{ rollout_target_version }} {{ rollout_track }} >> log
      echo {{ inventory_hostname }} >> ../../order
    chdir: "{{ site_folder }}/hosts/{{ inventory_hostname }}"
  changed_when: true
"""
"""The user's tasks. A file fail-VERSION in a host's folder makes that version fail there; unreachable-VERSION likewise, and sleep-VERSION makes
it sleep, which a file asleep tells of."""

ANALYSIS = {
    "interval": "500ms",
    "provider": {"memory": {"values": {"errors": [0.001]}}},
    "metrics": [{"name": "errors", "query": "errors", "failure_condition": "result > 0.01"}],
}
"""A metric that is always well."""


@dataclass
class Finished:
    """How one ansible-playbook run ended."""

    status: int
    text: str

    @property
    def stats(self) -> dict[str, Any]:
        """What the run left for a workflow with set_stats."""
        found = re.search(r"CUSTOM STATS: \*+\s+RUN: (\{.*?\})", self.text, re.DOTALL)
        return dict(json.loads(found.group(1))) if found else {}

    @property
    def outcome(self) -> str:
        return str(self.stats.get("rollout_outcome", ""))

    @property
    def code(self) -> int:
        return int(self.stats.get("rollout_code", -1))

    @property
    def failures(self) -> list[str]:
        """Failed tasks that nothing took care of."""
        lines = self.text.splitlines()
        return [line for number, line in enumerate(lines) if line.startswith("fatal: ") and "...ignoring" not in lines[number + 1:number + 2]]

    @property
    def changed(self) -> int:
        return sum(int(count) for count in re.findall(r" changed=(\d+)", self.text))

    def message(self) -> str:
        """The text of the failure on the coordinator, of which there is one: those of the hosts are taken care of."""
        mine = [line for line in self.failures if line.startswith("fatal: [localhost]")]
        assert len(mine) == 1, self.text
        found = re.search(r'"msg": "((?:[^"\\]|\\.)*)"', self.text[self.text.index(mine[0]):])  # at -vvv it is spread over lines
        assert found, mine[0]
        return str(json.loads(f'"{found.group(1)}"'))


def users_environment() -> dict[str, str]:
    """This process's environment without what users do not set, and would be seen in what a run says, and when."""
    strange = re.compile(r"PYTHONUNBUFFERED|ANSIBLE_(?!COLLECTIONS_PATH$)")
    return {name: value for name, value in os.environ.items() if not strange.match(name)}


@dataclass
class Site:
    """One service: its inventory, its release file and what stands for its load balancer."""

    folder: Path
    stable: tuple[str, ...] = ("s1", "s2")
    canary: tuple[str, ...] = ("c1", "c2")
    release: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for host in (*self.stable, *self.canary):
            (self.folder / "hosts" / host).mkdir(parents=True)
        for host in self.stable:
            (self.folder / "hosts" / host / "version").write_text("1\n")
        (self.folder / "deploy.yml").write_text(DEPLOY)
        self.write_inventory()
        pool: dict[str, Any] = {"stable": "blue", "deploy": {"tasks": "deploy.yml"}}
        if self.canary:
            pool["canary"] = "green"
        self.release = {
            "rollout_name": "shop",
            "rollout_version": "{{ lookup('env', 'VERSION') }}",
            "rollout_previous_version": "1",
            "rollout_workload": {"pool": pool},
            "rollout_router": {"memory": {"path": str(self.folder / "router.json"), "traffic": 1000}},
            "rollout_canary": {"step_weights": [20, 50, 100], "bake": "0s"},
            "rollout_store": {"file": {"directory": str(self.folder / "state")}},
            "rollout_report": {"directory": str(self.folder / "reports"), "formats": ["json"]},
            **self.release,
        }

    # ------------------------------------------------------------------------------------------------------------------ what a user has

    def write_inventory(self) -> None:
        """Hosts on this machine; one whose folder holds a file `unreachable` is looked for where nobody listens."""
        fresh = {host: {} for host in (*self.stable, *self.canary)}
        gone = "{{ (site_folder ~ '/hosts/' ~ inventory_hostname ~ '/unreachable') is exists }}"
        everywhere = {
            "ansible_connection": gone.replace("{{ ", "{{ 'ssh' if ").replace(" }}", " else 'local' }}"),
            "ansible_host": "127.0.0.1", "ansible_port": closed_port(), "ansible_ssh_common_args": "-o BatchMode=yes -o ConnectTimeout=2",
            "ansible_python_interpreter": "{{ ansible_playbook_python }}", "site_folder": str(self.folder),
        }
        groups = {"blue": {"hosts": {host: fresh[host] for host in self.stable}}, "green": {"hosts": {host: fresh[host] for host in self.canary}}}
        (self.folder / "inventory.yml").write_text(yaml.safe_dump({"all": {"vars": everywhere, "children": groups}}, sort_keys=False))

    def host(self, name: str) -> Path:
        return self.folder / "hosts" / name

    @property
    def file(self) -> Path:
        return self.folder / "shop.yml"

    # ------------------------------------------------------------------------------------------------------------------ what a user does

    def start(self, playbook: str, version: str = "2", *arguments: str, **environment: str) -> Running:
        """Start ansible-playbook without a terminal, in a session of its own. ``playbook``: one of the collection's, or a file of the user's."""
        self.file.write_text(yaml.safe_dump(self.release, sort_keys=False))
        log = self.folder / f"run-{len(list(self.folder.glob('run-*')))}.txt"
        file = playbook if playbook.endswith(".yml") else f"progressive.delivery.{playbook}"
        command = [str(PLAYBOOK), "-i", "inventory.yml", file, "-e", "@shop.yml", *self.arguments, *arguments]
        kept = users_environment()
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
                env={
                    **kept, "VERSION": version, "ANSIBLE_HOME": str(self.folder / "ansible"), "ANSIBLE_LOCALHOST_WARNING": "False", "ANSIBLE_NOCOLOR": "1",
                    "ANSIBLE_SHOW_CUSTOM_STATS": "True", "ANSIBLE_PIPELINING": "True", "ANSIBLE_DEPRECATION_WARNINGS": "False", "LC_ALL": "C.UTF-8",
                    **self.environment, **environment,
                })
        return Running(process, log)

    def run(self, playbook: str, version: str = "2", *arguments: str, **environment: str) -> Finished:
        """Run ansible-playbook to its end. No run may ever print a traceback."""
        finished = self.start(playbook, version, *arguments, **environment).end()
        assert "Traceback (most recent call last)" not in finished.text, finished.text
        return finished

    # --------------------------------------------------------------------------------------------------------------------- what became of it

    @property
    def versions(self) -> dict[str, str]:
        """Version on each host, as its own file has it."""
        files = {host: self.host(host) / "version" for host in (*self.stable, *self.canary)}
        return {host: file.read_text().strip() if file.exists() else "" for host, file in files.items()}

    def deploys(self, host: str) -> list[str]:
        """Every deploy that finished on a host, such as `deploy 2 canary`."""
        log = self.host(host) / "log"
        return log.read_text().splitlines() if log.exists() else []

    @property
    def order(self) -> list[str]:
        """Hosts in the order in which their deploys finished."""
        file = self.folder / "order"
        return file.read_text().split() if file.exists() else []

    @property
    def away(self) -> list[set[str]]:
        """Hosts out of rotation after each write of the router."""
        every = [{member["name"] for members in entry["members"].values() for member in members if not float(member.get("ramp", 100))}
                 for entry in self.world["history"]]
        return [hosts for index, hosts in enumerate(every) if index == 0 or hosts != every[index - 1]]

    @property
    def world(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "router.json").read_text()))

    @property
    def weights(self) -> dict[str, float]:
        """What the router does now."""
        return numbers(self.world["routes"]["weights"])

    @property
    def history(self) -> list[float]:
        """The canary slot's share after each write that changed it."""
        shares = [numbers(entry["weights"]).get("canary", 0.0) for entry in self.world["history"]]
        return [share for index, share in enumerate(shares) if index == 0 or share != shares[index - 1]]

    @property
    def members(self) -> dict[str, dict[str, float]]:
        """Track -> host -> ramp, as the router has them."""
        tracks = self.world["routes"]["members"]
        return {track: {member["name"]: float(member.get("ramp", 100)) for member in members} for track, members in tracks.items()}

    def stored(self, key: str) -> dict[str, Any]:
        file = self.folder / "state" / "shop" / f"{key}.json"
        return dict(json.loads(file.read_text())["value"]) if file.exists() else {}

    @property
    def record(self) -> dict[str, Any]:
        return self.stored("record")

    @property
    def holder(self) -> str:
        return str(self.stored("lease").get("holder", ""))

    @property
    def journal(self) -> list[dict[str, Any]]:
        """Events of the newest release."""
        path = self.record.get("journal", "")
        return [json.loads(line) for line in Path(path).read_text().splitlines()] if path and os.path.exists(path) else []

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.journal if event["kind"] == kind]

    def until(self, seen: Callable[[], bool], running: Optional[Running] = None, what: str = "what the test waits for") -> None:
        """Wait until something is to be seen at the site."""
        deadline = time.monotonic() + LONGEST
        while True:
            over = running is not None and running.process.poll() is not None  # before the look: what its end brought about is seen as well
            with contextlib.suppress(OSError, ValueError, KeyError):  # a file that is not there yet
                if seen():
                    return
            if running is not None and over:
                raise AssertionError(f"the run ended before {what}:\n{running.text}")
            if time.monotonic() > deadline:
                raise AssertionError(f"not seen in time: {what}\n{running.text if running else ''}")
            time.sleep(0.05)

    def until_look(self, running: Running, position: Optional[int] = None) -> None:
        """Wait until a bake has looked at its metrics."""
        self.until(lambda: any(position is None or look["step"] == position for look in self.events("look")), running, "a look of the bake")

    def bury(self, run: Running) -> None:
        """See that nothing is left of a killed run, and that its lease is soon given up for lost: in one second, a longer phase of it in three.

        A run with so short a lease from the beginning would lose it on a machine that stands still for a moment.
        """
        for number in run.left():
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        self.until(lambda: not run.left(), what="the end of the killed run's workers")
        file = self.folder / "state" / "shop" / "lease.json"
        document = json.loads(file.read_text())
        document["value"].update(ttl=1.0, stretch=min(3.0, document["value"].get("stretch", 0.0)))
        file.write_text(json.dumps(document))

    def fingerprint(self) -> str:
        """Everything a run could have written: router, state, hosts, reports."""
        total = hashlib.sha256()
        for place in ("router.json", "state", "hosts", "reports"):
            root = self.folder / place
            for path in sorted([root, *root.rglob("*")]) if root.exists() else []:
                total.update(f"{path.relative_to(self.folder)} ".encode() + (path.read_bytes() if path.is_file() else b""))
        return total.hexdigest()


@dataclass
class Running:
    """A run under way."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def end(self, longest: float = LONGEST) -> Finished:
        try:
            status = self.process.wait(longest)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still running after {longest:g} s:\n{self.text}") from None
        return Finished(status, self.text)

    def send(self, number: int) -> None:
        """A signal to ansible-playbook alone, as `kill` sends it."""
        os.kill(self.process.pid, number)

    def send_all(self, number: int) -> None:
        """A signal to its process group, as a terminal's Ctrl-C or a CI's cancel sends it."""
        os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """KILL to the whole group and to every process that came of it."""
        below = descendants(self.process.pid)
        with contextlib.suppress(ProcessLookupError):
            self.send_all(signal.SIGKILL)
        self.process.wait(LONGEST)
        self.below = below

    below: tuple[int, ...] = ()

    def left(self) -> list[int]:
        """Processes of the killed run that still live."""
        return [number for number in self.below if alive(number)]


def descendants(number: int) -> tuple[int, ...]:
    """Process ids below one, from /proc."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
    found: list[int] = []
    wanted = [number]
    while wanted:
        above = wanted.pop()
        below = [child for child, parent in parents.items() if parent == above]
        found += below
        wanted += below
    return tuple(found)


def alive(number: int) -> bool:
    """Whether a process runs (a dead one that nobody has collected yet does not)."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def numbers(weights: Mapping[str, Any]) -> dict[str, float]:
    """Weights as stored (whole numbers, or fractions as text) as numbers."""
    def number(value: Any) -> float:
        over, slash, under = str(value).partition("/")
        return float(over) / float(under or 1)
    return {track: number(value) for track, value in weights.items()}


@contextlib.contextmanager
def ended(*runs: Running) -> Iterator[None]:
    """See that no run outlives a failing test."""
    try:
        yield
    finally:
        for run in runs:
            if run.process.poll() is None:
                run.kill()
