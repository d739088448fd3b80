# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo on Kubernetes: its world comes up, its release files are good, one of its scenes ends as it must, and nothing is left of it."""

from __future__ import annotations

import importlib.util
import json
import os
import pathlib
import signal
import subprocess
import sys
from types import ModuleType

import pytest

from ansible_collections.progressive.delivery.tests.cluster import scraper
from ansible_collections.progressive.delivery.tests.cluster.cluster import Cluster
from ansible_collections.progressive.delivery.tests.integration.test_demo_environment import processes
from ansible_collections.progressive.delivery.tests.waiting import wait_until

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "examples" / "demo-kubernetes" / "run.py"


@pytest.fixture
def demo() -> ModuleType:
    """``run.py`` as a module; its folder is no package."""
    spec = importlib.util.spec_from_file_location("demo_kubernetes", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def left(cluster: Cluster, directory: pathlib.Path) -> list[str]:
    """Processes of the demo in ``directory``, and its namespace unless that is on its way out."""
    with cluster.undisturbed():
        found = json.loads(cluster.kubectl("get", "namespaces", "-o", "json"))["items"]
    name = json.loads((directory / "demo.json").read_text())["demo_namespace"] if (directory / "demo.json").exists() else ""
    return processes(directory) + [name for each in found if each["metadata"]["name"] == name and not each["metadata"].get("deletionTimestamp")]


def test_its_world_its_files_and_one_scene(cluster: Cluster, demo: ModuleType, tmp_path: pathlib.Path) -> None:
    show = demo.Demo(tmp_path, tmp_path / "reports")
    try:
        assert "Prometheus at http://127.0.0.1:" in show.start()
        assert "rollout" in plan(show, "web")
        planned = wait_until(lambda: text if "no data now" not in (text := plan(show, "shop")) else "", says=lambda: plan(show, "shop"))
        assert "error-rate" in planned, planned
        switch = next(scene for scene in show.SCENES if scene.playbook == "blue_green")
        assert show.play(switch), show.rows
        assert ", 0 of " in show.rows[0] and ", 0 of 0 " not in show.rows[0]
        assert list((tmp_path / "reports").glob("web-*.html"))
    finally:
        show.stop()
    assert left(cluster, tmp_path) == []


def plan(show, service: str) -> str:
    environment = {**os.environ, "DEMO_VERSION": "2", "ANSIBLE_HOME": str(show.directory / "ansible")}
    done = subprocess.run(show.command("plan", service), env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_ends_everything_on_ctrl_c(cluster: Cluster, tmp_path: pathlib.Path) -> None:
    command = [sys.executable, str(SCRIPT), "--reports", str(tmp_path / "reports")]
    running = subprocess.Popen(command, env={**os.environ, "TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        wait_until(lambda: list(tmp_path.glob("progressive-demo-*/load-web.jsonl")) or running.poll() is not None, 180, says=lambda: list(tmp_path.glob("*/*")))
        [directory] = tmp_path.glob("progressive-demo-*")
        name = json.loads((directory / "demo.json").read_text())["demo_namespace"]
    finally:
        os.killpg(running.pid, signal.SIGINT)
        said, _none = running.communicate(timeout=600)
    assert running.returncode == 130 and "everything the demo started is ended" in said
    assert processes(directory) == [] and not directory.exists()
    with cluster.undisturbed():
        found = cluster.kubectl("get", "namespace", name, "--ignore-not-found", "-o", "jsonpath={.metadata.deletionTimestamp}{.metadata.name}")
    assert found != name


def test_what_this_machine_lacks_is_one_line(demo: ModuleType, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scraper.shutil, "which", lambda _name: None)
    show = demo.Demo(tmp_path, tmp_path / "reports")
    with pytest.raises(SystemExit, match=r"^prometheus not found\. Install: apt-get install .*prometheus$"):
        show.start()
    show.stop()
