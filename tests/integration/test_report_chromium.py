# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real browser opens the report: nothing on the console, nothing loaded, nothing run, the whole of it drawn and printed."""

from __future__ import annotations

import http.server
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.report import journal as j
from ansible_collections.progressive.delivery.plugins.module_utils.core.report.html import render
from ansible_collections.progressive.delivery.tests.unit.module_utils.core.report import scenarios


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not found:
        pytest.fail("chromium is not installed: apt-get install chromium", pytrace=False)
    return found


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """The directory over HTTP, and every path a browser asked for: a page that loads nothing asks for itself only."""
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, directory=str(tmp_path), **kwargs)  # type: ignore[arg-type]

        def log_request(self, code: object = "-", size: object = "-") -> None:
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def browse(chromium: str, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    fixed = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", f"--user-data-dir={tmp_path / 'profile'}"]
    command = [chromium, *fixed, "--enable-logging=stderr", "--v=0", *arguments]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace", check=False, timeout=900)


@pytest.mark.parametrize("name", scenarios.SCENARIOS)
def test_the_report_opens_without_a_word_on_the_console(chromium: str, served: tuple[str, list[str]], tmp_path: Path, name: str) -> None:
    address, asked = served
    (tmp_path / "report.html").write_text(render(j.from_events(scenarios.SCENARIOS[name]())), encoding="utf-8")
    done = browse(chromium, tmp_path, "--dump-dom", f"{address}/report.html")
    assert "</html>" in done.stdout, done.stderr
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    assert asked == ["/report.html"]
    assert "<script" not in done.stdout


def test_the_console_is_really_watched_and_the_policy_holds(chromium: str, served: tuple[str, list[str]], tmp_path: Path) -> None:
    """The same page with a script, a style attribute and a picture put in by force: the browser refuses each, and says so."""
    address, asked = served
    text = render(j.from_events(scenarios.promoted()))
    attack = '<script>document.title = "taken"</script><p style="color: red">x</p><img src="/beacon.png" alt="">'
    (tmp_path / "report.html").write_text(text.replace("<main>", f"<main>{attack}"), encoding="utf-8")
    done = browse(chromium, tmp_path, "--dump-dom", f"{address}/report.html")
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert len([line for line in console if "Content Security Policy" in line]) >= 3, done.stderr
    assert "<title>taken" not in done.stdout
    assert asked == ["/report.html"]


@pytest.mark.parametrize("arguments", [[], ["--force-dark-mode"]], ids=["light", "dark"])
def test_it_is_drawn(chromium: str, tmp_path: Path, arguments: list[str]) -> None:
    page, picture = tmp_path / "report.html", tmp_path / "report.png"
    page.write_text(render(j.from_events(scenarios.rolled_back())), encoding="utf-8")
    browse(chromium, tmp_path, *arguments, "--window-size=1120,1600", f"--screenshot={picture}", page.as_uri())
    assert picture.stat().st_size > 60_000  # an unstyled or empty page is a fraction of that


def test_it_prints_on_a_few_pages_with_the_folded_parts_open(chromium: str, tmp_path: Path) -> None:
    page, printed = tmp_path / "report.html", tmp_path / "report.pdf"
    page.write_text(render(j.from_events(scenarios.rolled_back())), encoding="utf-8")
    browse(chromium, tmp_path, "--no-pdf-header-footer", f"--print-to-pdf={printed}", page.as_uri())
    pages = len(re.findall(rb"/Type\s*/Page\b", printed.read_bytes()))
    assert 3 <= pages <= 6
