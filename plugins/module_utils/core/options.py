# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One table per option family, from which the argument spec, the documentation and the validation are made.

An adapter declares its options beside its class, once::

    OPTIONS = {
        "url": Option("str", "Where the server listens.", required=True),
        "timeout": Option("duration", "Longest wait for one answer.", default="5s"),
    }

:func:`argument_spec` gives what Ansible wants, :func:`documentation` what ``DOCUMENTATION`` wants, and :func:`validate` checks and
normalises a plain dict with paths and suggestions in its errors, for the release file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Optional

from .errors import ConfigError, unknown
from .units import count_or_percent, duration, percent, plain, shown

ANSIBLE_TYPES = {"duration": "str", "percent": "str", "count_or_percent": "str", "name": "str", "any": "raw"}
"""Types of ours that Ansible knows by another name."""

NAME = re.compile(r"^[A-Za-z0-9_](?:[A-Za-z0-9_.:-]{0,251}[A-Za-z0-9_])?\Z")
"""What a name of a server, backend, cluster, track or release may look like.

An allow-list, because such names end up in socket commands, URLs, file names and queries.
"""

WHOLE = re.compile(r"-?\d{1,18}", re.ASCII)
DECIMAL = re.compile(r"[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|inf|nan)", re.ASCII | re.IGNORECASE)
LONGEST_TEXT = 20_000
"""Characters of one value. Longer ones are a file put in the wrong place."""


@dataclass(frozen=True)
class Option:
    """One option.

    ``type``: str, int, float, bool, list, dict, path, raw, or ours: ``duration`` (kept as given, checked), ``percent``,
    ``count_or_percent``, ``name`` (allow-listed), ``any``. ``one_of`` marks a dict that takes exactly one of its keys.
    ``open`` marks a dict whose keys are the user's. ``hidden`` options and ``more_choices`` work like the others, and no message offers them:
    what is there for tests, or not finished.
    """

    type: str
    description: str
    required: bool = False
    default: Any = None
    choices: tuple[Any, ...] = ()
    more_choices: tuple[Any, ...] = ()
    elements: str = ""
    options: Optional[Mapping[str, Option]] = None
    one_of: bool = False
    open: bool = False
    hidden: bool = False
    secret: bool = False
    aliases: tuple[str, ...] = ()
    minimum: Optional[float] = None
    maximum: Optional[float] = None


Options = Mapping[str, Option]


def offered(options: Options) -> list[str]:
    """The names to tell people."""
    return sorted(name for name, option in options.items() if not option.hidden)


def argument_spec(options: Options) -> dict[str, Any]:
    """The table as an Ansible argument spec."""
    spec: dict[str, Any] = {}
    for name, option in options.items():
        entry: dict[str, Any] = {"type": ANSIBLE_TYPES.get(option.type, option.type)}
        if option.required:
            entry["required"] = True
        if option.default is not None:
            entry["default"] = option.default
        if option.choices:
            entry["choices"] = list(option.choices)
        if option.elements:
            entry["elements"] = ANSIBLE_TYPES.get(option.elements, option.elements)
        if option.secret:
            entry["no_log"] = True
        elif re.search(r"pass(?!ed)|token|secret|key", name):
            entry["no_log"] = False
        if option.aliases:
            entry["aliases"] = list(option.aliases)
        if option.options is not None:
            entry["options"] = argument_spec(option.options)
            if option.one_of:
                entry["mutually_exclusive"] = [sorted(option.options)]
                entry["required_one_of"] = [sorted(option.options)]
        spec[name] = entry
    return spec


def documentation(options: Options) -> dict[str, Any]:
    """The table as the ``options`` part of an Ansible DOCUMENTATION."""
    docs: dict[str, Any] = {}
    for name, option in options.items():
        text = option.description
        if option.one_of:
            text = f"{text} Exactly one key."
        entry: dict[str, Any] = {"description": [text], "type": ANSIBLE_TYPES.get(option.type, option.type)}
        if option.required:
            entry["required"] = True
        if option.default is not None:
            entry["default"] = option.default
        if option.choices:
            entry["choices"] = list(option.choices)
        if option.elements:
            entry["elements"] = ANSIBLE_TYPES.get(option.elements, option.elements)
        if option.aliases:
            entry["aliases"] = list(option.aliases)
        if option.options is not None:
            entry["suboptions"] = documentation(option.options)
        docs[name] = entry
    return docs


def validate(value: Any, options: Options, where: str) -> dict[str, Any]:
    """``value`` checked against the table: unknown keys refused with a suggestion, types coerced, defaults filled in.

    Raises ConfigError whose ``where`` is the path, such as ``rollout_steps[2].set_weight``.
    """
    if not isinstance(value, Mapping):
        raise ConfigError(f"expected a mapping, got {_kind(value)}", where=where)
    by_alias = {alias: name for name, option in options.items() for alias in option.aliases}
    found: dict[str, Any] = {}
    for key, item in value.items():
        text = str(key) if isinstance(key, str) else shown(key)
        name = by_alias.get(text, text)
        if name not in options:
            raise unknown("option", text[:80], offered(options), where=where)
        if name in found and found[name] is not None and item is not None:
            raise ConfigError(f"{name} is given twice", where=where, do=f"Keep one of {name} and its alias {key}.")
        if item is not None:
            found[name] = item
    result: dict[str, Any] = {}
    for name, option in options.items():
        path = f"{where}.{name}" if where else name
        if name in found:
            result[name] = check(found[name], option, path)
        elif option.required:
            raise ConfigError(f"{name} is missing", where=where, do=option.description)
        elif option.default is not None:
            result[name] = check(option.default, option, path)
    return result


def given(value: Any) -> Any:
    """``value`` without the options that Ansible fills in as None, at any depth."""
    if isinstance(value, Mapping):
        return {key: given(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [given(item) for item in value]
    return value


def one_key(value: Any, options: Options, where: str, kind: str) -> tuple[str, Any]:
    """The one key of ``value`` and its checked options. ``kind`` is what the key chooses (router, provider, ...)."""
    if isinstance(value, str):
        value = {value: {}}
    if not isinstance(value, Mapping):
        raise ConfigError(f"expected one {kind} with its options, got {_kind(value)}", where=where)
    named = {str(key) if isinstance(key, str) else shown(key): item for key, item in value.items() if item is not None or len(value) == 1}
    for key in named:
        if key not in options:
            raise unknown(kind, key[:80], offered(options), where=f"{where}.{key[:80]}" if where else key[:80])
    if len(named) != 1:
        found = ", ".join(sorted(map(str, named))) or "none"
        raise ConfigError(f"exactly one {kind} is wanted, found {found}", where=where, do=f"Known: {', '.join(offered(options))}.")
    [(key, item)] = named.items()
    return key, check({} if item is None else item, options[key], f"{where}.{key}" if where else key)


def check(value: Any, option: Option, where: str) -> Any:
    """One value checked against one option, and coerced to its type."""
    if option.one_of:
        key, inner = one_key(value, option.options or {}, where, where.rsplit(".", 1)[-1].rsplit("_", 1)[-1])
        return {key: inner}
    if option.type == "list":
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"expected a list, got {_kind(value)}", where=where)
        inner_option = replace(option, type=option.elements or "raw", elements="")
        return [check(item, inner_option, f"{where}[{index}]") for index, item in enumerate(value)]
    if option.type == "dict":
        if option.options is not None:
            return validate(value, option.options, where)
        if not isinstance(value, Mapping):
            raise ConfigError(f"expected a mapping, got {_kind(value)}", where=where)
        return {str(key) if isinstance(key, str) else shown(key): item for key, item in value.items()}
    result = _scalar(value, option, where)
    if option.choices and result not in (*option.choices, *option.more_choices):
        raise unknown("value", str(result), [str(choice) for choice in option.choices], where=where)
    if isinstance(result, (int, float)) and not isinstance(result, bool):
        if (option.minimum is not None and result < option.minimum) or (option.maximum is not None and result > option.maximum):
            low = "-inf" if option.minimum is None else f"{option.minimum:g}"
            high = "inf" if option.maximum is None else f"{option.maximum:g}"
            raise ConfigError(f"{shown(value)} is out of range", where=where, do=f"It lies between {low} and {high}.")
    return result


def _scalar(value: Any, option: Option, where: str) -> Any:
    kind = option.type
    if kind in ("raw", "any"):
        return value
    if isinstance(value, int) and value.bit_length() > 200:
        raise ConfigError("that number is far too large", where=where)
    if kind == "duration":
        duration(value, where)
        return str(value)
    if kind == "percent":
        return plain(percent(value, where))
    if kind == "count_or_percent":
        count_or_percent(value, 100, round_up=False, where=where)
        return str(value).strip()
    if isinstance(value, (Mapping, list, tuple)):
        raise ConfigError(f"expected one value, got {_kind(value)}", where=where)
    if kind == "bool":
        if isinstance(value, bool):
            return value
        text = str(value).strip().lower()
        if text in ("yes", "true", "on", "1"):
            return True
        if text in ("no", "false", "off", "0"):
            return False
        raise ConfigError(f"{shown(value)} is neither true nor false", where=where)
    if kind == "int":
        if isinstance(value, bool) or not WHOLE.fullmatch(str(value).strip()):
            raise ConfigError(f"{shown(value)} is not a whole number", where=where)
        return int(value)
    if kind == "float":
        if isinstance(value, bool) or not DECIMAL.fullmatch(str(value).strip()):
            raise ConfigError(f"{shown(value)} is not a number", where=where)
        if not math.isfinite(float(value)):
            raise ConfigError(f"{shown(value)} is out of range: not a finite number", where=where)
        return float(value)
    if isinstance(value, (bool, bytes)):
        raise ConfigError(f"expected text, got {shown(value)}", where=where, do="Put it in quotes.")
    text = str(value)
    if "\x00" in text or len(text) > LONGEST_TEXT or not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ConfigError(f"{shown(text)} has a character that no text may have, or too many", where=where)
    if kind == "name" and not NAME.fullmatch(text):
        raise ConfigError(f"{shown(text)} is not a name", where=where, do="Letters, digits, '.', '_', ':' and '-', up to 253.")
    return text


def _kind(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    return "nothing" if value is None else shown(value)
