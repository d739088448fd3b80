# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every strategy and every adapter has a page, every page is found from the index, and there is none about what is not there.

Of modules, roles and callbacks the site's own build makes pages, and looks that they are there (tests/tools/stages.py). It also follows every link.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube import KUBE_OPTIONS
from ansible_collections.progressive.delivery.plugins.module_utils.clients.web import CONNECTION
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import Option, Options
from ansible_collections.progressive.delivery.plugins.module_utils.core.strategies.compile import STRATEGIES
from ansible_collections.progressive.delivery.plugins.module_utils.entry import catalog
from ansible_collections.progressive.delivery.tests.unit.docs.fences import CHECKOUT, DOCS, fences

FAMILIES = {
    "routers": set(catalog.ROUTERS) - {catalog.FOR_TESTS},
    "metrics": set(catalog.PROVIDERS) - {catalog.FOR_TESTS},
    "workloads": set(catalog.WORKLOADS) - {catalog.FOR_TESTS},
    "stores": set(catalog.STORES) - {catalog.FOR_TESTS},
    "judges": set(catalog.JUDGES),
    "strategies": {name.replace("_", "-") for name in STRATEGIES},
}
"""Folder of the pages to what has one there."""
BESIDES = {"metrics": {"recipes"}, "strategies": {"assignment"}}
"""Pages in those folders about something that several have."""


def listed(page: Path) -> set[Path]:
    """Pages in the toctrees of a page, those of the reference apart."""
    found: set[Path] = set()
    for fence in fences(page):
        if fence.info == "{toctree}":
            entries = [line.strip() for line in fence.text.splitlines() if line.strip() and not line.startswith(":")]
            for entry in entries:
                if not entry.startswith("reference/"):
                    match = set(page.parent.glob(f"{entry}.md"))
                    assert match, f"{page.relative_to(CHECKOUT)}: {entry} is not here"
                    found |= match
    return found


def reachable() -> set[Path]:
    """Pages that are found from the index, over the toctrees."""
    seen, ahead = set(), [DOCS / "index.md"]
    while ahead:
        page = ahead.pop()
        if page not in seen:
            seen.add(page)
            ahead += listed(page)
    return seen


@pytest.mark.parametrize("folder", FAMILIES)
def test_each_has_its_page_and_no_page_is_about_nothing(folder: str) -> None:
    assert {path.stem for path in (DOCS / folder).glob("*.md")} - BESIDES.get(folder, set()) == FAMILIES[folder]


@pytest.mark.parametrize("folder", FAMILIES)
def test_a_page_names_what_it_is_about_as_a_user_writes_it(folder: str) -> None:
    for name in FAMILIES[folder]:
        assert name.replace("-", "_") in (DOCS / folder / f"{name}.md").read_text(encoding="utf-8"), name


def test_no_page_is_an_orphan() -> None:
    assert {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")} == {str(path.relative_to(DOCS)) for path in reachable()}


def test_no_page_is_in_two_places_of_the_tree() -> None:
    places = [page for at in reachable() for page in listed(at)]
    assert sorted({str(page.relative_to(DOCS)) for page in places if places.count(page) > 1}) == []


def test_the_readme_leads_to_every_chapter() -> None:
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    for folder in FAMILIES:
        assert f"(docs/{folder}/)" in text or re.search(rf"\(docs/{folder}/\w+\.md\)", text), folder
    for tutorial in DOCS.glob("tutorial-*.md"):
        assert f"(docs/{tutorial.name})" in text, tutorial.name


LINK = re.compile(r"\]\(([^)\s#]+)(#[^)\s]*)?\)")


@pytest.mark.parametrize("page", sorted([*CHECKOUT.glob("README*.md"), *(CHECKOUT / "examples").rglob("*.md")]), ids=lambda page: page.name)
def test_links_of_pages_outside_the_site_lead_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"\w+:", target):
            continue
        path = page.parent / target
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor[1:] in {slug(heading) for heading in headings}, f"{target}{anchor}"


def slug(heading: str) -> str:
    """The anchor that GitHub and the site make of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_the_chinese_readme_says_what_the_english_one_says() -> None:
    """The same commands and files, and the same pages to go on to; the table of the Chinese guide's chapters is its own."""
    one, other = (CHECKOUT / name for name in ("README.md", "README.zh.md"))

    def shown(page: Path) -> list[str]:
        return [re.sub(r" +# .*", "", fence.text) for fence in fences(page) if fence.info != "text"]

    def links(page: Path) -> set[str]:
        return {"".join(link) for link in LINK.findall(page.read_text(encoding="utf-8"))}

    assert shown(one) == shown(other)
    assert links(one) - links(other) == {"README.zh.md"}
    assert links(other) - links(one) == {"README.md", "docs/zh/guide.md", "docs/guide-coverage.md"}


# Options of connections, which many adapters have


def row(name: str, option: Option) -> str:
    """The row of a table for an option, in the words of its declaration."""
    text = re.sub(r"[CEV]\(([^)]*)\)", r"`\1`", option.description)
    default = "required" if option.required else "" if option.default is None else f"`{str(option.default).lower()}`"
    return f"| `{name}` | {default} | {text} |"


@pytest.mark.parametrize(("heading", "options"), [("Kubernetes", KUBE_OPTIONS), ("HTTP", CONNECTION), ("OAuth 2.0", CONNECTION["oauth2"].options or {})],
                         ids=lambda value: value if isinstance(value, str) else "")  # fmt: skip
def test_the_options_of_a_connection_are_listed_as_they_are_declared(heading: str, options: Options) -> None:
    part = (DOCS / "connections.md").read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    assert re.findall(r"^\| `.*$", part, re.MULTILINE) == [row(name, option) for name, option in options.items()]


ADAPTERS = {"routers": catalog.ROUTERS, "metrics": catalog.PROVIDERS, "workloads": catalog.WORKLOADS, "stores": catalog.STORES, "judges": catalog.JUDGES}


@pytest.mark.parametrize(("folder", "name"), [(folder, name) for folder, names in FAMILIES.items() if folder in ADAPTERS for name in sorted(names)])
def test_every_option_of_an_adapter_is_on_its_page_or_where_that_leads(folder: str, name: str) -> None:
    page = DOCS / folder / f"{name}.md"
    text = page.read_text(encoding="utf-8")
    beside = {(page.parent / target).resolve() for target, _anchor in LINK.findall(text) if target.endswith(".md")}
    said = text + "".join(other.read_text(encoding="utf-8") for other in beside)
    silent = [option for option, of in ADAPTERS[folder][name].OPTIONS.items() if not of.hidden and not re.search(rf"\b{option}\b", said)]
    assert silent == []
