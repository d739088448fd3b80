# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user copies works: every release file of the examples and the guides is read and compiled as ``plan`` would, without a load balancer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.progressive.delivery.plugins.module_utils.core.metric import Metric
from ansible_collections.progressive.delivery.plugins.module_utils.core.plan import Kind, Plan
from ansible_collections.progressive.delivery.plugins.module_utils.core.strategies.compile import compile_plan
from ansible_collections.progressive.delivery.plugins.module_utils.entry import build, release_file
from ansible_collections.progressive.delivery.plugins.module_utils.entry.catalog import WORKLOADS
from ansible_collections.progressive.delivery.tests.cluster import pki

CHECKOUT = Path(__file__).resolve().parents[2]
EXAMPLES = CHECKOUT / "examples"
PAGES = ("docs/*.md", "docs/operations/*.md", "docs/strategies/*.md", "docs/zh/*.md", "README*.md")
GUIDES = sorted({path for pattern in PAGES for path in CHECKOUT.glob(pattern)})
LONGEST_EXAMPLE = 20
TEMPLATE = re.compile(r"\{\{.*?\}\}", re.DOTALL)


def groups() -> dict[str, list[str]]:
    """Hosts by group, of the examples' inventory."""
    inventory = yaml.safe_load((EXAMPLES / "pool" / "inventory.yml").read_text(encoding="utf-8"))
    return {name: list(group["hosts"]) for name, group in inventory["all"]["children"].items()}


def variables(text: str) -> Any:
    """A YAML text with every template replaced, as if it were templated already."""
    return yaml.safe_load(TEMPLATE.sub(lambda found: "http://127.0.0.1:241" if re.search("prometheus|envoy", found[0]) else "241", text))


def fences(path: Path) -> Iterator[tuple[str, str]]:
    """(place, text) of every YAML fence of a guide."""
    text = path.read_text(encoding="utf-8")
    for match in re.finditer(r"^```ya?ml[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield f"{path.relative_to(CHECKOUT)}:{text.count(chr(10), 0, match.start()) + 1}", match.group(1)


def release_files() -> Iterator[tuple[str, str]]:
    """(place, text) of every release file in the examples (the demo's own apart) and in the guides."""
    for path in sorted(EXAMPLES.rglob("*.yml")):
        if path.parent.name != "demo" and "rollout_name:" in path.read_text(encoding="utf-8"):
            yield str(path.relative_to(CHECKOUT)), path.read_text(encoding="utf-8")
    for guide in GUIDES:
        yield from ((place, text) for place, text in fences(guide) if "rollout_name:" in text)


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    """A cluster that nobody asks anything."""
    return pki.kubeconfig(tmp_path / "kubeconfig", "https://127.0.0.1:1", {}, {"token": "none"})


def compiled(given: Mapping[str, Any], folders: list[Path], kubeconfig: Path) -> tuple[Plan, list[Metric]]:
    """Plan and metrics of a release file, as the module ``plan`` makes them."""
    if "rollout_kubernetes" in given:
        where = {name: value for name, value in given["rollout_kubernetes"].items() if name == "namespace"}
        given = {**given, "rollout_kubernetes": {**where, "kubeconfig": str(kubeconfig)}}
    spec = release_file.located(release_file.read(given), [str(folder) for folder in folders])
    [(kind, options)] = spec["workload"].items()
    hosts = WORKLOADS[kind].slots(options, groups())
    capabilities = build.local_router(spec["router"], hosts).capabilities if spec.get("router") else frozenset()
    metrics = build.metrics(spec.get("analysis"))
    if metrics:
        build.provider(spec["analysis"]["provider"], hosts)
    by_hosts = build.by_hosts(spec)
    previous = spec.get("previous_version") or ("" if by_hosts else "240")
    first = previous == "none"
    made = build.brief(spec, hosts, live="stable", previous="" if first else previous, first=first, by_hosts=by_hosts,
                       replicas=None if by_hosts else {"stable": 2, "canary": 0}, capabilities=capabilities)
    return compile_plan(made), metrics


@pytest.mark.parametrize(("place", "text"), list(release_files()), ids=lambda value: value if "\n" not in str(value) else "")
def test_release_files_compile(place: str, text: str, kubeconfig: Path) -> None:
    plan, metrics = compiled(variables(text), [EXAMPLES / "pool", EXAMPLES / "releases"], kubeconfig)
    assert plan.steps[-1].kind is not Kind.DEPLOY
    for metric in metrics:
        for step in plan.steps:
            if step.kind is Kind.BAKE and step.watch and step.duration:
                metric.check_fits(step.duration, place)


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_parts_of_release_files_are_valid(guide: Path) -> None:
    """A fence that shows only some variables is checked on top of a complete file."""
    base = variables((EXAMPLES / "pool" / "haproxy.yml").read_text(encoding="utf-8"))
    for place, text in fences(guide):
        found = variables(text) if "rollout_" in text else None
        if isinstance(found, Mapping) and "rollout_name" not in found and all(str(key).startswith("rollout_") for key in found):
            assert release_file.read({**base, **found}), place


def test_examples_are_short() -> None:
    long = {path.name: lines for path in (EXAMPLES / "pool").glob("*.yml") if (lines := len(path.read_text(encoding="utf-8").splitlines())) > LONGEST_EXAMPLE}
    assert long == {}


def test_the_table_of_variables_is_complete() -> None:
    text = (CHECKOUT / "docs" / "release-file.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(rollout_\w+)` \|([^|]*)\|", text, re.MULTILINE))
    assert list(rows) == list(release_file.SPEC), "the same variables in the same order"
    for name, shown in rows.items():
        option, shown = release_file.SPEC[name], shown.strip().strip("`")
        if option.required:
            assert shown == "required", name
        elif option.default in (None, {}):
            assert shown == "", name
        else:
            assert yaml.safe_load(shown) == option.default, name


def tables(page: str) -> set[str]:
    """Names in the first column of all tables of a page."""
    text = (CHECKOUT / "docs" / page).read_text(encoding="utf-8")
    return set(re.findall(r"^\| `(\w+)", text, re.MULTILINE))


@pytest.mark.parametrize(("page", "options"), [
    ("release-file.md", {**release_file.STEP, **WORKLOADS["pool"].OPTIONS}),
    ("strategies/canary.md", release_file.CANARY),
    ("strategies/blue-green.md", release_file.BLUE_GREEN),
    ("strategies/rolling.md", release_file.ROLLING),
    ("strategies/ab-test.md", release_file.AB_TEST),
], ids=lambda value: value if isinstance(value, str) else "")
def test_every_option_has_its_row(page: str, options: Mapping[str, Any]) -> None:
    assert sorted(set(options) - tables(page)) == []
