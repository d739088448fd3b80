# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rooms of the code, and who may import whom.

core <- clients <- routers | metrics | judges | workloads | stores <- entry <- modules, plugin_utils <- action

"<-" reads "is imported by"; whoever may import a room may import those left of it. Adapters never import each other, and only
entry/catalog.py names one. core imports nothing but the standard library, does no I/O and reads no clock.
"""

from __future__ import annotations

import ast
import functools
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PLUGINS = CHECKOUT / "plugins"
COLLECTION = ("ansible_collections", "progressive", "delivery", "plugins")
ADAPTERS = {"routers", "metrics", "judges", "workloads", "stores"}

BELOW = {"core": {"core"}, "clients": {"core", "clients"}}
BELOW.update({room: {"core", "clients", room} for room in ADAPTERS})
BELOW["entry"] = {"core", "clients", "entry"}
BELOW["doc_fragments"] = BELOW["modules"] = {"core", "clients", "entry"}
BELOW["plugin_utils"] = {"core", "clients", "entry", "plugin_utils"}
BELOW["callback"] = BELOW["action"] = {"core", "clients", "entry", "plugin_utils"}

NO_IO = {
    "asyncio", "concurrent", "ftplib", "getpass", "glob", "http", "io", "logging", "multiprocessing", "os", "pathlib", "random", "secrets", "select",
    "selectors", "shutil", "signal", "smtplib", "socket", "sqlite3", "ssl", "subprocess", "sys", "tempfile", "threading", "time", "uuid",
}  # fmt: skip
NO_IO_CALLS = {"open", "print", "input", "exec", "eval", "compile", "breakpoint", "__import__"}
CLOCKS = {"now", "utcnow", "today"}

FILES = sorted(path for path in PLUGINS.rglob("*.py") if ".ruff_cache" not in path.parts)
SCRIPTS = sorted(path for folder in ("tests", "examples", "docs") for path in (CHECKOUT / folder).rglob("*.py") if "output" not in path.parts)
HEADER = Path(__file__).read_text(encoding="utf-8").splitlines()[:3]
"""Every file begins as this one does."""


def module_of(path: Path) -> tuple[str, ...]:
    """The file as a dotted name: ("ansible_collections", "progressive", "delivery", "plugins", ...)."""
    return COLLECTION + path.relative_to(PLUGINS).with_suffix("").parts


def room_of(module: tuple[str, ...]) -> str:
    """The room a module of ours lies in: a folder of module_utils, or a kind of plugin."""
    inside = module[len(COLLECTION) :]
    return inside[1] if inside[0] == "module_utils" and len(inside) > 1 else inside[0]


def imports(path: Path) -> Iterator[tuple[int, tuple[str, ...], bool]]:
    """(line, dotted name, at the top of the file) of every import. ``from a import b`` gives a.b where that is a module of ours."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    top = {id(node) for statement in tree.body for node in ([statement] if not isinstance(statement, (ast.FunctionDef, ast.ClassDef)) else [])}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield node.lineno, tuple(name.name.split(".")), id(node) in top
        elif isinstance(node, ast.ImportFrom):
            base = module_of(path)[: -node.level] if node.level else ()
            base += tuple(node.module.split(".")) if node.module else ()
            for name in node.names:
                full = (*base, name.name)
                yield node.lineno, full if is_ours(full) and is_file(full) else base, id(node) in top


def is_ours(module: tuple[str, ...]) -> bool:
    return module[: len(COLLECTION)] == COLLECTION


def is_file(module: tuple[str, ...]) -> bool:
    path = PLUGINS.joinpath(*module[len(COLLECTION) :])
    return path.is_dir() or path.with_suffix(".py").is_file()


def same_adapter(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether two modules of one room are parts of one adapter: haproxy.py and haproxy_stats.py, or one package."""
    mine, theirs = one[len(COLLECTION) + 2], other[len(COLLECTION) + 2]
    return mine == theirs or mine.startswith(f"{theirs}_") or theirs.startswith(f"{mine}_")


def where(path: Path, line: int) -> str:
    return f"{path.relative_to(CHECKOUT)}:{line}"


def test_there_is_something_to_check() -> None:
    assert {room_of(module_of(path)) for path in FILES} >= {"core", "clients", "routers", "metrics", "workloads", "stores", "entry", "modules", "action"}


def test_every_file_lies_in_a_known_room() -> None:
    assert {room_of(module_of(path)) for path in FILES} <= set(BELOW)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PLUGINS)))
def test_imports_go_one_way(path: Path) -> None:
    me = module_of(path)
    room = room_of(me)
    catalog = me[-2:] == ("entry", "catalog")
    wrong = []
    for line, target, at_top in imports(path):
        if is_ours(target):
            theirs = room_of(target)
            if theirs not in BELOW[room] and not (catalog and theirs in ADAPTERS):
                wrong.append(f"{where(path, line)}: {room} imports {theirs}")
            elif theirs in ADAPTERS and not catalog and not same_adapter(me, target):
                wrong.append(f"{where(path, line)}: an adapter imports an adapter, {'.'.join(target[-2:])}")
        elif target[0] == "ansible":
            if room == "core" or room in ADAPTERS | {"clients"}:
                wrong.append(f"{where(path, line)}: {room} imports Ansible")
            elif me[len(COLLECTION)] in ("module_utils", "modules") and target[1:2] != ("module_utils",):
                wrong.append(f"{where(path, line)}: {'.'.join(target)} does not exist where modules run")
        elif target[0] not in sys.stdlib_module_names:
            if room == "core":
                wrong.append(f"{where(path, line)}: core imports {target[0]}")
            elif me[len(COLLECTION)] == "module_utils" and at_top:
                wrong.append(f"{where(path, line)}: {target[0]} is imported when the file is; import it where it is used and raise MissingDependency")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", [path for path in FILES if room_of(module_of(path)) == "core"], ids=lambda path: path.stem)
def test_core_does_no_io_and_reads_no_clock(path: Path) -> None:
    wrong = [f"{where(path, line)}: imports {target[0]}" for line, target, _top in imports(path) if target[0] in NO_IO]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in NO_IO_CALLS:
                wrong.append(f"{where(path, node.lineno)}: calls {node.func.id}()")
            if isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS and "date" in ast.unparse(node.func.value):
                wrong.append(f"{where(path, node.lineno)}: reads the clock, {ast.unparse(node.func)}()")
    assert not wrong, "\n".join(wrong)


def adapter_names() -> set[str]:
    """The names in the tables of entry/catalog.py."""
    tree = ast.parse((PLUGINS / "module_utils" / "entry" / "catalog.py").read_text(encoding="utf-8"))
    tables = [node.value for node in tree.body if isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(node.value, ast.Dict)]
    return {key.value for table in tables for key in table.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}


def test_the_catalog_lists_every_adapter() -> None:
    catalog = PLUGINS / "module_utils" / "entry" / "catalog.py"
    listed = {target for _line, target, _top in imports(catalog) if is_ours(target) and room_of(target) in ADAPTERS}
    files = {module_of(path) for path in FILES if room_of(module_of(path)) in ADAPTERS}
    parts = {one for one, other in itertools.permutations(files, 2) if room_of(one) == room_of(other) and one[-1].startswith(f"{other[-1]}_")}
    assert files - parts - listed == set(), "an adapter that nobody can choose"
    assert adapter_names(), "no tables found in entry/catalog.py"


def test_nobody_decides_by_the_name_of_an_adapter() -> None:
    names = adapter_names()
    wrong = []
    for path in FILES:
        if room_of(module_of(path)) in ADAPTERS | {"core", "clients"} or path.name == "catalog.py":
            continue  # core knows no adapter, so a word such as "memory" is something else there
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare):
                said = {leaf.value for side in [node.left, *node.comparators] for leaf in ast.walk(side) if isinstance(leaf, ast.Constant)}
                wrong += [f"{where(path, node.lineno)}: compares with {name!r}" for name in sorted(names & {word for word in said if isinstance(word, str)})]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PLUGINS)))
def test_every_file_says_what_it_is(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines[:4] if not line.startswith("#!")][:3] == HEADER
    tree = ast.parse("\n".join(lines), feature_version=(3, 9))
    if room_of(module_of(path)) not in ("action", "doc_fragments", "modules"):  # thin by rule, and documented by what they hold
        assert ast.get_docstring(tree), "what is this file for?"
    assert any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)
    assert not any(isinstance(node, ast.Assert) for node in ast.walk(tree)), "assert vanishes under -O: raise an error of ours"


@functools.cache
def names(module: tuple[str, ...]) -> frozenset[str]:
    """What can be imported from a module of the collection: what its file binds at the top, or the files of its folder."""
    path = CHECKOUT.joinpath(*module[3:])
    if not path.with_suffix(".py").is_file():
        return frozenset(each.stem for each in path.iterdir()) if path.is_dir() else frozenset()
    bound = set()
    found: list[ast.AST] = list(ast.parse(path.with_suffix(".py").read_text(encoding="utf-8")).body)
    while found:
        node = found.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            bound.add(node.name)  # what it binds inside is its own
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).split(".")[0])
        found += ast.iter_child_nodes(node)
    return frozenset(bound)


def unknown(path: Path) -> Iterator[str]:
    """Names that a file imports from the collection and that are not there."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        module = tuple((node.module or "").split(".")) if isinstance(node, ast.ImportFrom) else ()
        if module[:3] == COLLECTION[:3]:
            yield from (f"{where(path, node.lineno)}: {'.'.join(module)} has no {name.name}" for name in node.names if name.name not in names(module))


def test_what_the_scripts_import_is_there() -> None:
    """Benches, demos and rigs are imported only where their part runs, so a name that moved would be missed until then."""
    assert len(SCRIPTS) > 300
    assert not (missing := [line for path in SCRIPTS for line in unknown(path)]), "\n".join(missing)
