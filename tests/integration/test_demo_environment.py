# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's world: it comes up, a deploy and weight changes lose nothing, it goes without a trace."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest

from ansible_collections.progressive.delivery.examples.demo import app, environment, load, show
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Routes
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import validate
from ansible_collections.progressive.delivery.plugins.module_utils.routers.envoy import EnvoyRouter
from ansible_collections.progressive.delivery.tests.integration.envoy_rig import until

SCRIPT = pathlib.Path(environment.__file__)


def processes(directory: pathlib.Path) -> list[str]:
    """Command lines that name the directory."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue  # it ended meanwhile
        if str(directory) in command and int(path.parent.name) != os.getpid():
            found.append(command)
    return found


@pytest.fixture
def world(tmp_path: pathlib.Path) -> Iterator[environment.World]:
    result = environment.World(tmp_path / "world")
    yield result
    result.stop()


def test_deploys_and_weight_changes_lose_nothing(world: environment.World) -> None:
    facts = world.start(rate=150)
    raw = {"endpoints": [{"admin": facts["admin"], "rds": facts["rds"]}], "clusters": facts["clusters"], "addresses": facts["addresses"]}
    router = EnvoyRouter.from_options(validate(raw, EnvoyRouter.OPTIONS, "envoy"), {track: tuple(hosts) for track, hosts in facts["members"].items()})

    def put(canary: int) -> float:
        want = Routes({"stable": Fraction(100 - canary), "canary": Fraction(canary)})
        router.write(want)
        until(lambda: router.observe(want).applied, lambda: router.observe(want).why)
        return time.time()

    deploy(world, "canary", "2.5.0", facts)
    until(lambda: all(view.state == "up" for view in router.observe(router.read()).members.values()))
    start = put(50)
    until(lambda: load.summarise(world.log, start).total >= 200)
    half = load.summarise(world.log, start)
    assert 30 < half.share("2.5.0") < 70 and set(half.versions) == {"2.4.0", "2.5.0"}
    for number in range(50):
        put((100, 0, 5)[number % 3])
    switched = put(100)
    until(lambda: load.summarise(world.log, switched + 0.2).total >= 50)
    assert load.summarise(world.log, switched + 0.2).share("2.5.0") == 100
    deploy(world, "stable", "2.5.0", facts)
    assert load.summarise(world.log).failed == 0


def deploy(world: environment.World, track: str, version: str, facts: dict[str, Any]) -> None:
    for host, port in facts["members"][track].items():
        root = world.directory / "hosts" / host
        (root / "releases" / version).mkdir(exist_ok=True)
        (root / "releases" / version / "release.json").write_text((world.directory / "artifacts" / f"{version}.json").read_text())
        (root / "current").unlink()
        (root / "current").symlink_to(f"releases/{version}")
        app.restart(root, port)


def test_a_bad_version_is_as_bad_as_it_says(world: environment.World) -> None:
    facts = world.start(rate=0)
    deploy(world, "stable", "2.4.2-errors", facts)
    generator = subprocess.Popen([sys.executable, str(SCRIPT.parent / "load.py"), facts["url"] + "/", str(world.log), "--rate", "300", "--timeout", "60"])
    try:
        until(lambda: world.log.exists() and load.summarise(world.log).total >= 500)
    finally:
        generator.terminate()
        generator.wait(240)
    summary = load.summarise(world.log)
    assert 0.03 < summary.failed / summary.total < 0.2


def test_run_ends_everything_and_passes_the_result_on(tmp_path: pathlib.Path) -> None:
    directory = tmp_path / "world"
    code = "import json, os, sys; facts = json.load(open(os.environ['DEMO_WORLD'])); sys.exit(7 if facts['admin'] else 1)"
    done = subprocess.run([sys.executable, str(SCRIPT), "run", str(directory), "--", sys.executable, "-c", code], check=False)
    assert done.returncode == 7
    assert processes(directory) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_run_ends_everything_when_it_is_told_to_end(tmp_path: pathlib.Path, number: int) -> None:
    directory = tmp_path / "world"
    here = tmp_path / "here"
    command = ["sh", "-c", f"touch {here}; exec sleep 900"]
    run = subprocess.Popen([sys.executable, str(SCRIPT), "run", str(directory), "--", *command], stderr=subprocess.DEVNULL)
    until(here.exists)
    run.send_signal(number)
    assert run.wait(600) != 0
    assert processes(directory) == []


def test_start_prints_the_facts_and_stop_leaves_nothing(tmp_path: pathlib.Path) -> None:
    directory = tmp_path / "world"
    started = subprocess.run([sys.executable, str(SCRIPT), "start", str(directory)], check=True, capture_output=True, text=True)
    assert json.loads(started.stdout) == json.loads((directory / "world.json").read_text())
    again = subprocess.run([sys.executable, str(SCRIPT), "start", str(directory)], check=False, capture_output=True, text=True)
    assert again.returncode == 1 and "holds a world already" in again.stderr and "Traceback" not in again.stderr
    assert processes(directory)
    subprocess.run([sys.executable, str(SCRIPT), "stop", str(directory)], check=True)
    assert processes(directory) == []
    subprocess.run([sys.executable, str(SCRIPT), "stop", str(directory)], check=True)


def test_a_world_that_cannot_start_leaves_nothing(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.envoy_binary", lambda: "/bin/false")
    world = environment.World(tmp_path / "world")
    with pytest.raises(SystemExit, match="Envoy did not come up"):
        world.start(rate=0)
    assert processes(world.directory) == []


def test_summaries_count_failures_and_shares(tmp_path: pathlib.Path) -> None:
    log = tmp_path / "load.jsonl"
    entries = [
        {"t": 1.0, "s": 200, "v": "a", "ms": 1.0},
        {"t": 2.0, "s": 500, "v": "b", "ms": 3.0},
        {"t": 2.5, "s": 404, "v": "a", "ms": 2.0},
        {"t": 3.0, "s": 0, "e": "TimeoutError: ", "ms": 5000.0},
    ]
    log.write_text("".join(json.dumps(entry) + "\n" for entry in entries) + '{"t": 4.0, "s"')
    whole, part = load.summarise(log), load.summarise(log, 2.0, 3.0)
    assert (whole.total, whole.failed, part.total, part.failed) == (4, 2, 2, 1)
    assert part.share("a") == 50 and part.share("c") == 0
    assert whole.versions["a"].quantile(0.5) == 2.0 and whole.versions[""].failed == 1


def test_what_never_came_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path) -> None:
    ended = []

    class Late(show.Show):
        def start(self) -> str:
            raise AssertionError("not within 240 s: requests in Prometheus")

        def stop(self) -> None:
            ended.append(self.directory)

    monkeypatch.setattr(sys, "argv", ["run.py"])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert show.main(Late, str(tmp_path), "") == 1
    assert capsys.readouterr().out == "\nThe demo cannot go on: not within 240 s: requests in Prometheus\n"
    assert ended and not ended[0].exists()
