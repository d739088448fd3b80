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

import yaml

from ansible_collections.progressive.delivery.tests.integration.pool_rig import Shop
from ansible_collections.progressive.delivery.tests.matrix.rig import Finished

CHECKOUT = Path(__file__).resolve().parents[2]
ORIGIN = "git@gitlab.example.com:shop/shop.git"
COMPONENTS = "ssh://git@gitlab.example.com:22/platform/progressive.delivery.git"
"""Where the examples include the component from; git fetches it from a repository of the test's that holds this checkout's file."""

DOCKER = """#!/bin/sh
printf '%s\\n' "$*" >> "$DOCKER_LOG"
"""
"""There is no daemon here: notes what the pipeline asks of docker."""

LONGEST = 1200.0


class Project:
    """The project's folder. ``shop`` is what its pipeline ships to."""

    def __init__(self, folder: Path, shop: Shop, example: str, release: dict[str, Any]) -> None:
        self.folder = folder
        self.shop = shop
        self.components = folder.with_name("components")
        pipeline = (CHECKOUT / "examples" / "gitlab" / example / ".gitlab-ci.yml").read_text(encoding="utf-8")
        self.write(".gitlab-ci.yml", pipeline)
        self.write("../components/templates/release.yml", (CHECKOUT / "templates" / "release.yml").read_text(encoding="utf-8"))
        self.write("bin/docker", DOCKER).chmod(0o755)
        self.write("deploy.yml", (shop.folder / "deploy.yml").read_text(encoding="utf-8"))
        self.write(".gitignore", ".gitlab-ci-local\nshop.yml\nreports\n")
        shop.write_files(folder)
        [include] = yaml.safe_load(pipeline)["include"]
        self.write(include["inputs"]["release-file"], yaml.safe_dump(release, sort_keys=False))

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
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_") or name == "ANSIBLE_COLLECTIONS_PATH"}
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
                **environment,
            },
        )
        assert "Traceback (most recent call last)" not in done.stdout, done.stdout
        return Finished(done.returncode, done.stdout)

    def jobs(self) -> dict[str, dict[str, Any]]:
        """The jobs as they are after includes, inputs and extends."""
        done = self.run("--preview")
        assert done.status == 0 and "\n---\n" in f"\n{done.text}", done.text
        shown = f"\n{done.text}".partition("\n---\n")[2]  # before that it says what it misses of a clone
        return {name: job for name, job in yaml.safe_load(shown).items() if isinstance(job, dict) and "script" in job}
