# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a command that a page tells a person to type: playbooks, options and variables that are not there, targets, files."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Optional

import yaml
from ansible.cli.adhoc import AdHocCLI
from ansible.cli.playbook import PlaybookCLI
from ansible.parsing.splitter import parse_kv

from ansible_collections.progressive.delivery.plugins.module_utils.entry.release_file import SPEC
from ansible_collections.progressive.delivery.tests.unit.docs.fences import CHECKOUT
from ansible_collections.progressive.delivery.tests.unit.docs.tasks import MODULES, NAMESPACE, PLAYBOOKS, misuse, spec

FOLDERS = ("changelogs", "docs", "examples", "extensions", "meta", "playbooks", "plugins", "roles", "templates", "tests")
SUBCOMMANDS = {
    "ansible-galaxy": ("collection",),
    "kubectl": ("annotate", "apply", "create", "delete", "describe", "get", "label", "patch", "port-forward", "rollout", "set", "scale"),
    "pip": ("install",),
}
"""Foreign programs, with what they are used for here."""
USERS_OWN = ("python", "pytest", "sh")
"""Programs that run a file of this repository, or of the user's."""


def lines(text: str, *, console: bool = False) -> Iterator[str]:
    """The commands of a text, each in a line; of a console's only what follows a prompt."""
    for line in text.replace("\\\n", " ").splitlines():
        stripped = line.strip()
        if console and not stripped.startswith("$ "):
            continue
        if stripped and not stripped.startswith("#"):
            yield stripped.removeprefix("$ ")


def wrong(line: str) -> Iterator[str]:
    """What is wrong with a line of a shell."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;")
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError as error:
        yield f"{line}: {error}"
        return
    command: list[str] = []
    for word in [*words, ";"]:
        if word and set(word) <= set("|&;"):
            yield from _wrong(command, line) if command else ()
            command = []
        else:
            command.append(word)


def _wrong(words: list[str], line: str) -> Iterator[str]:
    while words and re.match(r"[A-Za-z_]\w*=", words[0]):
        words = words[1:]
    yield from (f"{line}: {path} is not here" for path in missing(words))
    if not words or words[0] in ("export", "cd", "true"):
        return
    program, arguments = words[0], words[1:]
    if program == "ansible-playbook":
        yield from _playbook(arguments, line)
    elif program == "ansible":
        yield from _adhoc(arguments, line)
    elif program == "ansible-rulebook":
        rulebook = arguments[arguments.index("--rulebook") + 1]
        if not (CHECKOUT / "extensions" / "eda" / "rulebooks" / f"{rulebook.removeprefix(f'{NAMESPACE}.')}.yml").exists():
            yield f"{line}: there is no rulebook {rulebook}"
    elif program == "make":
        yield from (f"{line}: the Makefile has no {word}" for word in arguments if "=" not in word and word not in targets())
    elif program in SUBCOMMANDS:
        verb = next((word for word in _without_options(arguments)), "")
        if verb not in SUBCOMMANDS[program]:
            yield f"{line}: {program} {verb}"
    elif program not in USERS_OWN:
        yield f"{line}: nobody knows {program}"


def _without_options(arguments: list[str]) -> Iterator[str]:
    """Arguments that are neither options nor the value of ``-n``."""
    skip = False
    for word in arguments:
        if not skip and not word.startswith("-"):
            yield word
        skip = word in ("-n", "--namespace")


def missing(words: list[str]) -> Iterator[str]:
    """Paths that begin in a folder of this repository, and end nowhere. Stars stand for what is there."""
    for word in words:
        path = word.split("::")[0].removeprefix("@").removeprefix("./").rstrip("/")
        if path.split("/")[0] in FOLDERS and "/" in path and not any(CHECKOUT.glob(path)):
            yield path


@cache
def targets() -> frozenset[str]:
    return frozenset(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@cache
def takes(playbook: str) -> frozenset[str]:
    """Variables that one of our playbooks reads beside those of a release file."""
    text = (CHECKOUT / "playbooks" / f"{playbook}.yml").read_text(encoding="utf-8")
    return frozenset(re.findall(r"\b([a-z]+_\w+) (?:is (?:not )?defined|\| default)", text))


def variables(given: str) -> Optional[Mapping[str, Any]]:
    """The variables of one ``-e``; None for a file of the user's."""
    if given.startswith("@"):
        return None
    found = yaml.safe_load(given) if given.startswith(("{", "[")) else parse_kv(given)
    return dict(found)


def _parsed(cli: Any, arguments: list[str]) -> Any:
    """The arguments as Ansible's own parser has them, or what it says."""
    cli.init_parser()
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return cli.parser.parse_args(arguments)
    except SystemExit:
        return said.getvalue().strip().splitlines()[-1]


def _playbook(arguments: list[str], line: str) -> Iterator[str]:
    parsed = _parsed(PlaybookCLI(["ansible-playbook"]), arguments)
    if isinstance(parsed, str):
        yield f"{line}: {parsed}"
        return
    for name in parsed.args:
        ours = name.removeprefix(f"{NAMESPACE}.")
        if name == ours:
            if not any(CHECKOUT.glob(name)):
                yield f"{line}: there is no {name}"
            continue
        if ours not in PLAYBOOKS:
            yield f"{line}: there is no playbook {name}"
            continue
        for given in parsed.extra_vars:
            yield from (f"{line}: {name} knows no {variable}" for variable in variables(given) or () if variable not in SPEC and variable not in takes(ours))


def _adhoc(arguments: list[str], line: str) -> Iterator[str]:
    parsed = _parsed(AdHocCLI(["ansible"]), arguments)
    if isinstance(parsed, str):
        yield f"{line}: {parsed}"
        return
    module = parsed.module_name.removeprefix(f"{NAMESPACE}.")
    if module == parsed.module_name:
        return
    if module not in MODULES:
        yield f"{line}: there is no module {parsed.module_name}"
    else:
        yield from misuse(yaml.safe_load(parsed.module_args), spec(module), line)
