# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A shop as a user has it: app processes behind a real HAProxy (or several) or Envoy, steady load without retries, an inventory, a release file.

What a test believes comes from the parts themselves: the version each app answers with, the servers' states in the load balancers, the log of
every request of the users, and what each deploy saw of its own host in every HAProxy at the moment it began.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from ansible_collections.progressive.delivery.examples.demo import app, load
from ansible_collections.progressive.delivery.examples.demo.proxy import Proxy, end, free_ports, spawn
from ansible_collections.progressive.delivery.plugins.module_utils.clients.haproxy import HaproxyClient
from ansible_collections.progressive.delivery.tests.integration.haproxy_rig import Haproxy, until
from ansible_collections.progressive.delivery.tests.matrix.rig import PLAYBOOK, Finished, Running, users_environment

RATE = 120.0
"""Requests a second of the users, over all load balancers."""
PATIENCE = "60"
"""Seconds until an answer counts as lost: a machine that is busy with other tests lets nobody run for seconds."""

STRAYS = 18
"""Points that a share may be off, measured by 60 requests: 2 and three standard deviations of chance are what a release itself allows."""

VERSIONS: dict[str, dict[str, Any]] = {
    "1": {}, "2": {}, "3": {},
    "failing": {"error_percent": 30},
    "sick": {"healthy": False},
}
"""What the versions are like, beside answering in 2 ms."""

TASKS = """
- name: Put the version in place
  ansible.builtin.command:
    argv: ["{{ ansible_playbook_python }}", "{{ shop }}/deploy.py", "{{ inventory_hostname }}", "{{ rollout_target_version }}", "{{ rollout_action }}"]
  changed_when: true
"""

DEPLOY = '''
"""deploy.py HOST VERSION ACTION: note how every HAProxy sees HOST, then switch its release and restart its app."""
import csv, importlib.util, json, os, pathlib, socket, sys, time

def rows(path):
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(path)
        link.sendall(b"show stat\\n")
        return list(csv.DictReader(link.makefile().read().lstrip("# ").splitlines()))

host, version, action = sys.argv[1:]
shop = pathlib.Path(__file__).parent
facts = json.loads((shop / "shop.json").read_text())
root = shop / "hosts" / host
seen = [[row["status"], int(row["scur"])] for path in facts["sockets"] for row in rows(path) if row["svname"] == host]
release = root / "releases" / version
release.mkdir(parents=True, exist_ok=True)
(release / "release.json").write_text(json.dumps(facts["releases"][host][version]))
(root / "current.new").symlink_to(release)
os.replace(root / "current.new", root / "current")
spec = importlib.util.spec_from_file_location("app", facts["app"])
app = importlib.util.module_from_spec(spec)
spec.loader.exec_module(app)
app.restart(root, facts["ports"][host])
with (shop / "deploys.jsonl").open("a") as log:
    log.write(json.dumps({"host": host, "version": version, "action": action, "seen": seen, "t": time.time()}) + "\\n")
'''


class Shop:
    """Hosts and their apps, in ``groups`` (group to hosts), all at version 1. Subclasses put a load balancer in front."""

    app: ModuleType = app
    """What serves: the demo's service, or one that restarts as it does."""

    def __init__(self, folder: Path, groups: Mapping[str, tuple[str, ...]], knobs: Mapping[str, Mapping[str, dict[str, Any]]] | None = None) -> None:
        """``knobs``: host to version to what it is like there, where it differs from VERSIONS."""
        self.folder = folder
        self.groups = dict(groups)
        self.hosts = [host for hosts in groups.values() for host in hosts]
        self.ports = dict(zip(self.hosts, free_ports(len(self.hosts))))
        self.release: dict[str, Any] = {
            "rollout_name": "shop", "rollout_version": "{{ lookup('env', 'VERSION') }}", "rollout_previous_version": "1",
            "rollout_workload": {"pool": {"address_variable": "app_address", "deploy": {"tasks": "deploy.yml"}}},
            "rollout_health": {"http": {"url": "http://${address}/health"}, "interval": "300ms", "timeout": "30s", "retries": 20},
            "rollout_measure": {"min_requests": 60},
            "rollout_store": {"file": {"directory": str(folder / "state")}},
            "rollout_report": {"directory": str(folder / "reports"), "formats": ["json"]},
        }
        self.releases = {host: {version: {"version": version, "delay_ms": 2, **knob, **(knobs or {}).get(host, {}).get(version, {})}
                                for version, knob in VERSIONS.items()} for host in self.hosts}
        for host in self.hosts:
            first = folder / "hosts" / host / "releases" / "1"
            first.mkdir(parents=True)
            (first / "release.json").write_text(json.dumps(self.releases[host]["1"]))
            (folder / "hosts" / host / "current").symlink_to(first)
        (folder / "deploy.yml").write_text(TASKS)
        (folder / "deploy.py").write_text(DEPLOY)
        self.urls: list[str] = []
        self.sockets: list[str] = []
        self.inventory: dict[str, dict[str, Any]] = {}

    # ---------------------------------------------------------------------------------------------------------------- its life

    def start(self) -> None:
        """Everything up and healthy, requests flowing."""
        with ThreadPoolExecutor() as workers:
            list(workers.map(lambda host: self.app.restart(self.folder / "hosts" / host, self.ports[host]), self.hosts))
        self.start_front()
        (self.folder / "shop.json").write_text(json.dumps({"ports": self.ports, "sockets": self.sockets, "app": self.app.__file__, "releases": self.releases}))
        for number, url in enumerate(self.urls):
            command = [sys.executable, load.__file__, f"{url}/", str(self.log(number)), "--rate", str(RATE / len(self.urls)), "--timeout", PATIENCE]
            spawn(self.folder, f"load{number}", command)
        until(lambda: all(self.log(number).exists() and self.log(number).stat().st_size for number in range(len(self.urls))))

    def stop(self) -> None:
        """End every process, the users first."""
        for number in range(len(self.urls)):
            end(self.folder, f"load{number}")
        self.stop_front()
        for host in self.hosts:
            app.stop(self.folder / "hosts" / host)

    def start_front(self) -> None:
        raise NotImplementedError

    def stop_front(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Shop:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_reason: object) -> None:
        self.stop()

    # ------------------------------------------------------------------------------------------------------------ what a user does

    def begin(self, playbook: str, version: str = "2", *arguments: str, **environment: str) -> Running:
        """Start ansible-playbook without a terminal. ``playbook``: one of the collection's, or a file of the user's."""
        self.write_files(self.folder)
        log = self.folder / f"run-{len(list(self.folder.glob('run-*')))}.txt"
        file = playbook if playbook.endswith(".yml") else f"progressive.delivery.{playbook}"
        kept = users_environment()
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(PLAYBOOK), "-i", "inventory.yml", file, "-e", "@shop.yml", *arguments],
                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
                env={**kept, "VERSION": version, "ANSIBLE_HOME": str(self.folder / "ansible"), "ANSIBLE_LOCALHOST_WARNING": "False", "ANSIBLE_NOCOLOR": "1",
                     "ANSIBLE_SHOW_CUSTOM_STATS": "True", "ANSIBLE_PIPELINING": "True", "LC_ALL": "C.UTF-8", **environment})
        return Running(process, log)

    def write_files(self, folder: Path) -> None:
        """The inventory and the release file, as they are to be now."""
        everywhere = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}", "shop": str(self.folder)}
        groups = {group: {"hosts": {host: {"app_address": f"127.0.0.1:{self.ports[host]}"} for host in hosts}} for group, hosts in self.groups.items()}
        inventory = {"all": {"vars": everywhere, "children": groups, "hosts": self.inventory}}
        (folder / "inventory.yml").write_text(yaml.safe_dump(inventory, sort_keys=False))
        (folder / "shop.yml").write_text(yaml.safe_dump(self.release, sort_keys=False))

    def run(self, playbook: str, version: str = "2", *arguments: str, **environment: str) -> Finished:
        """Run ansible-playbook to its end. No run may ever print a traceback."""
        finished = self.begin(playbook, version, *arguments, **environment).end()
        assert "Traceback (most recent call last)" not in finished.text, finished.text
        return finished

    def until(self, seen: Callable[[], object], running: Running, what: str, longest: float = 900.0) -> None:
        """Wait for something to be seen while a run is under way."""
        deadline = time.monotonic() + longest
        while not seen():
            assert running.process.poll() is None, f"the run ended before {what}:\n{running.text}"
            assert time.monotonic() < deadline, f"not seen: {what}\n{running.text}"
            time.sleep(0.05)

    def until_users(self, since: float, versions: set[str], count: int = 100) -> None:
        """Wait until the users had so many answers to what they sent since then, all of these versions."""
        until(lambda: self.users(since).total >= count)
        assert set(self.users(since).versions) == versions, self.failures(since)

    # ----------------------------------------------------------------------------------------------------------- what became of it

    def log(self, number: int) -> Path:
        return self.folder / f"load{number}.jsonl"

    def users(self, begin: float = 0.0, finish: float = float("inf")) -> load.Summary:
        """What the users felt, over all load balancers; requests due in the last moment may not be in yet."""
        whole = load.Summary(0, 0, {})
        for number in range(len(self.urls)):
            part = load.summarise(self.log(number), begin, finish)
            whole.total += part.total
            whole.failed += part.failed
            for version, tally in part.versions.items():
                into = whole.versions.setdefault(version, load.Tally())
                into.requests += tally.requests
                into.failed += tally.failed
        return whole

    def shares(self) -> list[tuple[float, float, int]]:
        """(asked, measured, requests) of each step that moved the candidate's share, as the release measured it in the load balancer."""
        track = next((event["candidate"] for event in self.events("begin")), "canary")
        return [(percent(event["asked"][track]), percent((event["measured"] or {}).get(track, -1)), event["requests"]) for event in self.events("share")]

    def failures(self, begin: float = 0.0) -> list[dict[str, object]]:
        """Every failed request of the users since then."""
        entries = (entry for number in range(len(self.urls)) for entry in load.entries(self.log(number)))
        return [entry for entry in entries if float(str(entry["t"])) >= begin and (not entry["s"] or int(str(entry["s"])) >= 500)]

    @property
    def versions(self) -> dict[str, str]:
        """The version each app answers with."""
        return {host: self.answer(f"http://127.0.0.1:{port}/")["version"] for host, port in self.ports.items()}

    @staticmethod
    def answer(url: str, **headers: str) -> dict[str, str]:
        request = urllib.request.Request(url, headers={name.replace("_", "-"): value for name, value in headers.items()})
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return dict(json.loads(reply.read()))
        except urllib.error.HTTPError as refused:
            return dict(json.loads(refused.read()))

    @property
    def deploys(self) -> list[dict[str, Any]]:
        """Every deploy that finished, in order: host, version, action, seen (status and sessions in each HAProxy as it began), t."""
        file = self.folder / "deploys.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def stored(self, key: str) -> dict[str, Any]:
        file = self.folder / "state" / "shop" / f"{key}.json"
        return dict(json.loads(file.read_text())["value"]) if file.exists() else {}

    @property
    def journal(self) -> list[dict[str, Any]]:
        """Events of the newest release."""
        path = Path(str(self.stored("record").get("journal") or self.folder / "none"))
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.journal if event["kind"] == kind]


class HaproxyShop(Shop):
    """One HAProxy or several, whose one backend sends to the first group. ``by_map``: each group is a backend of its own, and a map says which serves.
    ``cookie``: what holds sessions at a server."""

    def __init__(self, folder: Path, groups: Mapping[str, tuple[str, ...]], *, balancers: int = 1, by_map: bool = False, cookie: str = "",
                 knobs: Mapping[str, Mapping[str, dict[str, Any]]] | None = None) -> None:
        super().__init__(folder, groups, knobs)
        self.by_map = by_map
        self.cookie = cookie
        self.count = balancers
        self.planes: list[Haproxy] = []

    def start_front(self) -> None:
        for number in range(self.count):
            folder = self.folder / f"haproxy{number}"
            folder.mkdir()
            (folder / "live.map").write_text("shop blue\n")
            self.planes.append(Haproxy(folder, self._body(folder)))
        self.urls = [f"http://127.0.0.1:{plane.port}" for plane in self.planes]
        self.sockets = [] if self.by_map else [plane.socket for plane in self.planes]
        backends = list(self.groups) if self.by_map else ["shop"]
        for plane in self.planes:
            until(lambda p=plane: all(server.state == "up" for name in backends for server in HaproxyClient(p.socket).servers(name).values()))

    def stop_front(self) -> None:
        for plane in self.planes:
            plane.stop()

    def _body(self, folder: Path) -> str:
        front = "frontend front\n  bind 127.0.0.1:{port}\n  timeout client 10m\n"
        front += f"  use_backend %[str(shop),map({folder}/live.map)]\n" if self.by_map else "  default_backend shop\n"
        pools = self.groups if self.by_map else {"shop": tuple(self.hosts)}
        serving = {host for hosts in (pools.values() if self.by_map else list(self.groups.values())[:1]) for host in hosts}
        for backend, hosts in pools.items():
            front += f"backend {backend}\n  balance roundrobin\n  option httpchk GET /health\n  default-server check inter 200ms fall 3 rise 1\n"
            front += f"  cookie {self.cookie} insert indirect nocache\n" if self.cookie else ""
            own = {host: f" cookie {host}" if self.cookie else "" for host in hosts}
            front += "".join(f"  server {host} 127.0.0.1:{self.ports[host]} weight {100 if host in serving else 0}{own[host]}\n" for host in hosts)
        return front

    @property
    def router(self) -> dict[str, Any]:
        """Router options as a user writes them."""
        if self.by_map:
            live = {"path": str(self.planes[0].folder / "live.map"), "key": "shop", "backends": {"stable": "blue", "canary": "green"}}
            return {"haproxy": {"endpoints": [self.planes[0].socket], "map": live, "timeout": "10s"}}
        held = {"affinity": {"cookie": {"name": self.cookie}}} if self.cookie else {}
        return {"haproxy": {"endpoints": [plane.socket for plane in self.planes], "backend": "shop", "timeout": "10s", **held}}

    def states(self, number: int = 0, backend: str = "shop") -> dict[str, str]:
        """Server to up, drain, maint or down."""
        return {name: server.state for name, server in HaproxyClient(self.planes[number].socket).servers(backend).items()}

    def weights(self, number: int = 0, backend: str = "shop") -> dict[str, int]:
        return {name: server.weight for name, server in HaproxyClient(self.planes[number].socket).servers(backend).items()}


class EnvoyShop(Shop):
    """One Envoy with endpoint files; the groups are blue (stable) and green (canary)."""

    def start_front(self) -> None:
        members = {track: {host: self.ports[host] for host in self.groups[group]} for track, group in (("stable", "blue"), ("canary", "green"))}
        self.proxy = Proxy(self.folder / "envoy", members, eds=True)
        self.facts = self.proxy.facts()
        self.proxy.start()
        self.urls = [self.facts["url"]]

    def stop_front(self) -> None:
        if hasattr(self, "proxy"):
            self.proxy.stop()

    @property
    def router(self) -> dict[str, Any]:
        """Router options as a user writes them."""
        endpoint = {"admin": self.facts["admin"], "rds": self.facts["rds"], "eds": self.facts["eds"]}
        mirrors = {"canary": self.facts["mirror_cluster"]}
        places = {"clusters": self.facts["clusters"], "addresses": self.facts["addresses"], "mirror_clusters": mirrors}
        return {"envoy": {"endpoints": [endpoint], "timeout": "60s", **places}}


def percent(value: Any) -> float:
    """A stored weight (a number, or a fraction as text) as a number."""
    above, _slash, below = str(value).partition("/")
    return float(above) / float(below or 1)


def settled() -> float:
    """A moment: what the users sent before it has been answered and written down."""
    time.sleep(0.3)
    return time.time()
