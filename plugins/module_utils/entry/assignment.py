# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who sees which variant, in the words of a release file: ``rollout_ab_test.assignment`` and ``rules``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..core.errors import ConfigError
from ..core.model import CANARY, SOURCES, STABLE, Assignment, Condition, MatchRoute
from ..core.options import Option, Options
from ..core.sticky import check_salt
from ..core.units import shown

KEY: Options = {
    "header": Option("str", "The request header that the key stands in."),
    "cookie": Option("str", "The cookie that the key stands in."),
    "query": Option("str", "The query parameter that the key stands in."),
    "salt": Option("str", "Another one makes another split of the same users. Default: rollout_name."),
}

ASSIGNMENT: Options = {
    "header": Option("str", "A request header that says A or B, set by your edge or app."),
    "cookie": Option("str", "A cookie that says A or B, set by your edge or app."),
    "hash": Option("dict", "The router splits users by a hash of a key of theirs. Exactly one of header, cookie and query.", options=KEY),
    "others": Option(
        "str", "Who carries nothing of it. V(a): sees A. V(chance): each request falls to A or B by the share.", default="a", choices=("a", "chance")
    ),
}

VARIANTS = {"a": STABLE, "b": CANARY}
"""A is what runs now, B is the new one, whichever slots those are."""

NAMED = {"variant-a": "A", "variant-b": "B"}
"""The rules that a header or cookie with the variant's name stands for, and its values."""

KEY_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,126}")


def assignment_options(match_item: Options) -> Options:
    """The options of ``rollout_ab_test`` that are read here; ``match_item``: those of an item of ``match``."""
    rule: Options = {
        "name": Option("name", "What to call these users.", required=True),
        "variant": Option("str", "What they see: V(a) is what runs now, V(b) the new one.", required=True, choices=("a", "b")),
        "match": Option("list", "Any of these; within one item all must hold.", required=True, elements="dict", options=match_item),
    }
    return {
        "assignment": Option("dict", "How users come to their variant and stay with it. Exactly one of header, cookie and hash.", options=ASSIGNMENT),
        "rules": Option("list", "Users who see one variant whatever the share; the first that matches counts.", elements="dict", options=rule),
    }


def assignment(options: Mapping[str, Any], name: str, conditions: Callable[[Mapping[str, Any], str], tuple[Condition, ...]]) -> dict[str, Any]:
    """``rules``, ``assignment`` and ``named_only`` (only rules lead to B) for the strategy. ``name``: the release's. Raises ConfigError."""
    rules = _rules(options.get("rules") or (), "rollout_ab_test.rules", conditions)
    given, where = options.get("assignment"), "rollout_ab_test.assignment"
    if not given:
        return {"rules": rules, "assignment": None, "named_only": False}
    kind = _one_of(given, ("header", "cookie", "hash"), where)
    chance = given.get("others") == "chance"
    if kind == "hash":
        inner = given["hash"]
        source = _one_of(inner, SOURCES, f"{where}.hash")
        salt = check_salt(inner.get("salt") or name.replace(":", "-")[:63], f"{where}.hash.salt")
        made = Assignment(source, _key_name(inner[source], source, f"{where}.hash.{source}"), salt, others="" if chance else STABLE)
        return {"rules": rules, "assignment": made, "named_only": False}
    key = _key_name(given[kind], kind, f"{where}.{kind}")
    named = tuple(MatchRoute(rule, ((Condition(kind, key, "exact", value),),), VARIANTS[value.lower()]) for rule, value in NAMED.items())
    return {"rules": (*rules, *named), "assignment": None, "named_only": not chance}


def _rules(given: Sequence[Mapping[str, Any]], where: str, conditions: Callable[[Mapping[str, Any], str], tuple[Condition, ...]]) -> tuple[MatchRoute, ...]:
    rules: list[MatchRoute] = []
    for index, each in enumerate(given):
        at = f"{where}[{index}]"
        if not each["match"]:
            raise ConfigError(f"rule {each['name']} matches nothing", where=f"{at}.match", do="Give header_name and header_value, or cookie, query or path.")
        if each["name"] in {*NAMED, *(rule.name for rule in rules)}:
            raise ConfigError(f"the name {each['name']} is taken", where=f"{at}.name", do="Give each rule a name of its own.")
        alternatives = tuple(conditions(item, f"{at}.match[{number}]") for number, item in enumerate(each["match"]))
        rules.append(MatchRoute(each["name"], alternatives, VARIANTS[each["variant"]]))
    return tuple(rules)


def _one_of(given: Mapping[str, Any], names: Sequence[str], where: str) -> str:
    found = [name for name in names if given.get(name)]
    if len(found) != 1:
        raise ConfigError(f"exactly one of {', '.join(names)} is wanted", where=where)
    return found[0]


def _key_name(name: str, source: str, where: str) -> str:
    """A name that every router can write down. Raises ConfigError."""
    if not KEY_NAME.fullmatch(name):
        raise ConfigError(f"{shown(name)} is no name of a {source}", where=where, do="Letters, digits, '_', '.' and '-'.")
    return name
