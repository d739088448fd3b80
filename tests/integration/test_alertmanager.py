# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An alert of Alertmanager through a real ansible-rulebook: a firing one makes the release be watched, and what is measured decides."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from ansible_collections.progressive.delivery.tests.matrix.rig import Running, Site
from ansible_collections.progressive.delivery.tests.ports import free_port

RULEBOOK = pathlib.Path(__file__).resolve().parents[2] / "extensions" / "eda" / "rulebooks" / "alertmanager.yml"
TOKEN = "a-token"


class Rulebook(Running):
    """ansible-rulebook as a child process, listening for webhooks."""

    def __init__(self, site: Site) -> None:
        assert shutil.which("java"), "java is not installed, which ansible-rulebook needs (Debian: apt-get install default-jre-headless)"
        self.port = free_port()
        log = site.folder / "rulebook.txt"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_") or name == "ANSIBLE_COLLECTIONS_PATH"}
        environment = {**kept, "RELEASES": str(site.folder / "releases"), "ALERT_TOKEN": TOKEN, "ALERT_PORT": str(self.port), "LC_ALL": "C.UTF-8",
                       "ANSIBLE_HOME": str(site.folder / "ansible"), "HOME": str(site.folder), "ANSIBLE_NOCOLOR": "1"}
        beside = pathlib.Path(sys.executable).parent  # it runs ansible-galaxy and ansible-playbook by name
        environment["PATH"] = os.pathsep.join([str(beside), os.environ.get("PATH", os.defpath)])
        program = str(beside / "ansible-rulebook")
        with log.open("wb") as output:
            process = subprocess.Popen(
                [program, "--rulebook", str(RULEBOOK), "--inventory", str(site.folder / "inventory.yml"), "--env-vars", "RELEASES,ALERT_TOKEN,ALERT_PORT"],
                cwd=site.folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True)  # fmt: skip

        super().__init__(process, log)

    def listens(self) -> bool:
        try:
            self.post([])
        except urllib.error.URLError as error:
            return isinstance(error, urllib.error.HTTPError)
        return True

    def post(self, alerts: list[dict[str, Any]], token: str = TOKEN) -> int:
        """Send what Alertmanager sends; the status of the answer."""
        body = json.dumps({"version": "4", "status": "firing", "receiver": "progressive-delivery", "groupLabels": {}, "alerts": alerts}).encode()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{self.port}/alerts", body, headers), timeout=120) as answer:
            return int(answer.status)

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def alert(status: str, name: str = "Errors", **labels: str) -> dict[str, Any]:
    return {"status": status, "labels": {"alertname": name, "severity": "page", **labels}, "annotations": {}, "startsAt": "2026-01-01T00:00:00Z"}


@pytest.fixture
def shop(tmp_path: pathlib.Path) -> Iterator[tuple[Site, Rulebook]]:
    site = Site(tmp_path, release={
        "rollout_analysis": {"interval": "500ms", "provider": {"memory": {"file": str(tmp_path / "values.json")}},
                             "metrics": [{"name": "errors", "query": "errors", "failure_condition": "result > 0.01"}]},
        "rollout_canary": {"step_weights": [50, 100], "bake": "1s"}, "rollout_watch": {"duration": "2s", "interval": "500ms"},
    })  # fmt: skip
    site.release["rollout_workload"]["pool"]["deploy"] = {"tasks": str(tmp_path / "deploy.yml")}
    (tmp_path / "values.json").write_text(json.dumps({"errors": [0.001]}))
    assert site.run("rollout", "2").outcome == "promoted"
    inventory = yaml.safe_load((tmp_path / "inventory.yml").read_text())
    inventory["all"]["hosts"] = {"localhost": {}}
    (tmp_path / "inventory.yml").write_text(yaml.safe_dump(inventory))
    (tmp_path / "releases").mkdir()
    (tmp_path / "releases" / "shop.yml").write_text(yaml.safe_dump({**site.release, "rollout_version": "2"}))
    rulebook = Rulebook(site)
    try:
        site.until(rulebook.listens, rulebook, what="ansible-rulebook listening")
        yield site, rulebook
    finally:
        rulebook.close()


def test_a_firing_alert_takes_back_what_is_not_well(shop: tuple[Site, Rulebook]) -> None:
    site, rulebook = shop
    with pytest.raises(urllib.error.HTTPError, match="401"):
        rulebook.post([alert("firing", progressive_delivery="shop")], token="another")
    assert rulebook.post([alert("resolved", progressive_delivery="shop"), alert("firing"), alert("firing", progressive_delivery="../shop")]) == 200
    (site.folder / "values.json").write_text(json.dumps({"errors": [0.2]}))
    assert rulebook.post([alert("firing", progressive_delivery="shop"), alert("firing", "Latency", progressive_delivery="shop")]) == 200
    assert rulebook.post([alert("firing", progressive_delivery="shop")]) == 200
    site.until(lambda: site.record["release"]["purpose"] == "rollback" and site.record["outcome"] and site.holder == "", what="the way back")
    assert site.weights == {"stable": 100, "canary": 0} and "errors" in site.record["reason"]
    site.until(lambda: "PLAY RECAP" in rulebook.text, what="the end of the run")
    assert rulebook.text.count("PLAY [Watch what is stable]") in (1, 2), "one run; a failed one is printed twice"
    assert [past["outcome"] for past in site.record["history"]] == ["promoted"], "one way back"
