# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A project with one of the pipelines of examples/gitlab, unchanged, whose jobs gitlab-ci-local runs by its shell executor.

The release file is the example's; only durations, addresses and folders are of the test's own shop.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import yaml

from ansible_collections.progressive.delivery.tests.integration.pool_rig import Shop
from ansible_collections.progressive.delivery.tests.matrix.rig import Finished, users_environment

CHECKOUT = Path(__file__).resolve().parents[2]
ORIGIN = "git@gitlab.example.com:shop/shop.git"
COMPONENTS = "ssh://git@gitlab.example.com:22/platform/progressive.delivery.git"
"""Where the examples include the component from; git fetches it from a repository of the test's that holds this checkout's file."""

DOCKER = """#!/bin/sh
printf '%s\\n' "$*" >> "$DOCKER_LOG"
"""
"""There is no daemon here: notes what the pipeline asks of docker."""

OURS = ("rollout_previous_version", "rollout_health", "rollout_measure", "rollout_store")
"""What of a release file only the shop knows."""

LONGEST = 1200.0


def refused(*files: Path) -> str:
    """What GitLab's own schema of pipelines says against these files; nothing if they are valid. It looks closely at jobs, hidden ones apart."""
    tool = str(Path(sys.executable).parent / "check-jsonschema")
    command = [tool, "--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return "" if done.returncode == 0 else done.stdout + done.stderr


def release(path: str, shop: Shop, **changes: Any) -> dict[str, Any]:
    """A release file of the examples at this shop: its strategy, its steps and its metrics; ``changes`` shorten it."""
    given = yaml.safe_load((CHECKOUT / "examples" / path).read_text(encoding="utf-8"))
    given["rollout_workload"]["pool"]["address_variable"] = "app_address"
    given["rollout_report"] = {"formats": ["html", "json", "junit"]}  # into the job's own reports/
    return {**given, **{name: shop.release[name] for name in OURS}, "rollout_router": shop.router, **changes}


class Project:
    """The project's folder. ``shop`` is what its pipeline ships to."""

    def __init__(self, folder: Path, shop: Shop, example: str, release: dict[str, Any]) -> None:
        self.folder = folder
        self.shop = shop
        self.components = folder.with_name("components")
        self.secrets: dict[str, str] = {}  # variables of the project
        given = CHECKOUT / "examples" / "gitlab" / example
        pipeline = (given / ".gitlab-ci.yml").read_text(encoding="utf-8")
        for path in given.iterdir():
            self.write(path.name, path.read_text(encoding="utf-8"))
        component = (CHECKOUT / "templates" / "release.yml").read_text(encoding="utf-8")
        self.write("../components/templates/release.yml", component)
        self.write("bin/docker", DOCKER).chmod(0o755)
        self.write("deploy.yml", (shop.folder / "deploy.yml").read_text(encoding="utf-8"))
        self.write(".gitignore", ".gitlab-ci-local\nshop.yml\nreports\n")
        shop.write_files(folder)
        [include] = yaml.safe_load(pipeline)["include"]
        if "local" in include:
            self.write(include["local"], component)
        self.file = include["inputs"]["release-file"]
        self.write(self.file, yaml.safe_dump(release, sort_keys=False))

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def commit(self) -> None:
        """Both as git repositories, the component's at its tag."""
        for folder, last in ((self.components, ["tag", "1.0.0"]), (self.folder, ["remote", "add", "origin", ORIGIN])):
            for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "Shop"], last):
                subprocess.run(["git", "-c", "user.name=ann", "-c", "user.email=ann@example.com", *words], cwd=folder, check=True, capture_output=True)

    def run(self, *words: str, version: str = "2", **environment: str) -> Finished:
        """The automatic jobs of the pipeline of a tag, or the jobs that are named. No job may print a traceback."""
        command = [
            *json.loads(os.environ["GITLAB_CI_LOCAL"]),
            "--no-color",
            "--variable",
            f"CI_COMMIT_TAG={version}",
            "--variable",
            "GITLAB_CI=true",
            "--variable",
            "GITLAB_USER_LOGIN=ann",
            "--variable",
            "CI_REGISTRY_IMAGE=registry.example.com/shop",
            *words,
        ]
        kept = users_environment()
        path = os.pathsep.join([str(self.folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
        done = subprocess.run(
            command,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LONGEST,
            check=False,
            env={
                **kept,
                "PATH": path,
                "HOME": str(self.shop.folder),
                "ANSIBLE_HOME": str(self.shop.folder / "ansible"),
                "LC_ALL": "C.UTF-8",
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_SHOW_CUSTOM_STATS": "True",
                "DOCKER_LOG": str(self.shop.folder / "docker.log"),
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": f"url.{self.components}.insteadOf",
                "GIT_CONFIG_VALUE_0": COMPONENTS,
                **self.secrets,
                **environment,
            },
        )
        assert "Traceback (most recent call last)" not in done.stdout, done.stdout
        return Finished(done.returncode, done.stdout)

    def docker(self) -> list[str]:
        """What was asked of docker, a word each."""
        return [line.split()[0] for line in (self.shop.folder / "docker.log").read_text(encoding="utf-8").splitlines()]

    def newest(self, pattern: str) -> str:
        """The newest report, as text."""
        return max((self.folder / "reports").glob(pattern), key=lambda path: path.stat().st_mtime_ns).read_text(encoding="utf-8")

    def junit(self) -> list[ElementTree.Element]:
        """Every test case of the reports that GitLab would read."""
        cases = []
        for path in sorted((self.folder / "reports").glob("*.xml")):
            root = ElementTree.parse(path).getroot()
            suites = [root] if root.tag == "testsuite" else list(root)
            assert suites and all(suite.tag == "testsuite" for suite in suites)
            for suite in suites:
                found = suite.findall("testcase")
                assert int(suite.attrib["tests"]) == len(found)
                assert int(suite.attrib["failures"]) == len(suite.findall("testcase/failure"))
                assert int(suite.attrib["skipped"]) == len(suite.findall("testcase/skipped"))
                assert all(case.attrib["name"] and case.attrib["classname"] and float(case.attrib["time"]) >= 0 for case in found)
                assert len({(case.attrib["classname"], case.attrib["name"]) for case in found}) == len(found), "GitLab keeps one of those that are named alike"
                cases += found
        return cases

    def jobs(self, *words: str) -> dict[str, dict[str, Any]]:
        """The jobs as they are after includes, inputs and extends."""
        done = self.run("--preview", *words)
        assert done.status == 0 and "\n---\n" in f"\n{done.text}", done.text
        shown = f"\n{done.text}".partition("\n---\n")[2]  # before that it says what it misses of a clone
        return {name: job for name, job in yaml.safe_load(shown).items() if isinstance(job, dict) and "script" in job}
