# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Conditions over ``result``, as Argo Rollouts writes them: ``result[0] < 0.05 && !isNaN(result[0])``.

A tokenizer, a Pratt parser with static kinds, and closures: no ``eval``, no attribute access, bounded in length and depth.

::

    ||  or      &&  and      == != < <= > >=      + -      * / %      ! not -      result[0]  f(x)  (x)

``result`` is one number, or the list of all series when the condition treats it as one (``result[0]``, ``len``, ``first``, ``all``, ``any``).
Functions: ``isNaN isInf isNil default asInt asFloat len first all any``; the predicate of ``all`` and ``any`` names the element ``#``.

What can be known at parse time is a ConfigError: an unknown name, a value that is not boolean, a number where a list is meant. At evaluation
a nil or empty result is NoData, a bad cast, a missing index or a division by zero is Unavailable: never a value, so never a success.
Every comparison with NaN is false, ``!=`` too.
"""

from __future__ import annotations

import functools
import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .errors import ConfigError, NoData, Unavailable, unknown

LONGEST = 1000
"""Characters of a condition."""
DEEPEST = 32
"""Levels of nesting of a condition."""

NUMBER, LIST, BOOL, RESULT = "a number", "a list", "true or false", "result"
FUNCTIONS = ("all", "any", "asFloat", "asInt", "default", "first", "isInf", "isNaN", "isNil", "len")

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.])"
    r"|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<sign>\|\||&&|[=!<>]=|[-+*/%<>!()\[\]{},#]))",
    re.ASCII,
)
_WORDS = {"or": "||", "and": "&&", "not": "!"}
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}
_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "%": math.fmod,
}
_POWER = {"||": 1, "&&": 2, **dict.fromkeys(_COMPARE, 3), "+": 4, "-": 4, "*": 5, "/": 5, "%": 5, "[": 7}
_UNARY = 6


class _Scope(NamedTuple):
    """What a node is evaluated against: the result, and the element within ``all`` or ``any``."""

    result: float | list[float] | None
    element: float


class _Node(NamedTuple):
    kind: str
    run: Callable[[_Scope], Any]


@dataclass(frozen=True)
class Condition:
    """A parsed condition. ``asks`` holds the functions it names; ``wants_list`` says that it sees all series."""

    text: str
    asks: frozenset[str]
    wants_list: bool
    _run: Callable[[_Scope], Any] = field(repr=False, compare=False)

    @staticmethod
    @functools.lru_cache(maxsize=512)
    def parse(text: str, where: str = "") -> Condition:
        """The condition written in ``text``. Raises ConfigError."""
        return _Parser(text, where).condition()

    def evaluate(self, result: float | list[float] | None) -> bool:
        """Whether it holds. Raises NoData and Unavailable as the module's docstring says."""
        if self.wants_list and isinstance(result, (int, float)):
            result = [float(result)]
        if not self.wants_list and isinstance(result, list):
            if len(result) > 1:
                raise Unavailable(f"{len(result)} series where {self.text!r} means one number", do="Aggregate the query, or set reduce.")
            result = result[0] if result else None
        return bool(self._run(_Scope(result, math.nan)))


class _Parser:
    def __init__(self, text: str, where: str) -> None:
        self.text = text
        self.where = where
        if len(text) > LONGEST:
            raise self.error(f"a condition has at most {LONGEST} characters")
        self.tokens = self.tokenize()
        self.at = 0
        self.depth = 0
        self.in_predicate = False
        self.asks: set[str] = set()
        self.result_is: set[str] = set()

    def error(self, what: str, do: str = "") -> ConfigError:
        return ConfigError(f"{what} in the condition {self.text[:120]!r}", where=self.where, do=do)

    def tokenize(self) -> list[tuple[str, str]]:
        tokens: list[tuple[str, str]] = []
        end, size = 0, len(self.text.rstrip())
        while end < size:
            match = _TOKEN.match(self.text, end)
            if not match or not match.lastgroup:
                raise self.error(f"{self.text[end:].strip()[:20]!r} is not understood")
            word = match[match.lastgroup]
            tokens.append(("sign", _WORDS[word]) if word in _WORDS else (match.lastgroup, word))
            end = match.end()
        return [*tokens, ("end", "")]

    def condition(self) -> Condition:
        node = self.need(self.expression(0), BOOL, "a condition")
        if self.tokens[self.at][0] != "end":
            raise self.error(f"{self.tokens[self.at][1]!r} is one too many")
        if not self.result_is:
            raise self.error("result is not named", do="A condition looks at the measurement: result > 0.01.")
        if len(self.result_is - {RESULT}) > 1:
            raise self.error("result is used both as a number and as a list")
        return Condition(self.text, frozenset(self.asks), LIST in self.result_is, node.run)

    def take(self, sign: str) -> None:
        if self.tokens[self.at] != ("sign", sign):
            raise self.error(f"{sign!r} is missing before {self.tokens[self.at][1] or 'the end'!r}")
        self.at += 1

    def need(self, node: _Node, kind: str, what: str) -> _Node:
        """``node`` as ``kind``. The bare ``result`` becomes what it is used as."""
        if node.kind == RESULT and kind in (NUMBER, LIST):
            self.result_is.add(kind)
            return _Node(kind, lambda scope: _present(node.run(scope)))
        if node.kind != kind:
            raise self.error(f"{what} is {kind}, not {node.kind if node.kind != RESULT else 'a measurement'},", do="Compare it: result > 0.01.")
        return node

    def expression(self, power: int) -> _Node:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.error(f"more than {DEEPEST} levels")
        left = self.prefix()
        while True:
            kind, sign = self.tokens[self.at]
            if kind != "sign" or _POWER.get(sign, 0) <= power:
                break
            self.at += 1
            left = self.index(left) if sign == "[" else self.binary(sign, left)
        self.depth -= 1
        return left

    def prefix(self) -> _Node:
        kind, word = self.tokens[self.at]
        self.at += 1
        if kind == "number":
            value = float(word)
            if not math.isfinite(value):
                raise self.error(f"{word} is too large")
            return _Node(NUMBER, lambda scope: value)
        if kind == "name":
            return self.name(word)
        if word == "#" and self.in_predicate:
            return _Node(NUMBER, lambda scope: scope.element)
        if word == "(":
            inner = self.expression(0)
            self.take(")")
            return inner
        if word == "!":
            truth = self.need(self.expression(_UNARY), BOOL, "what '!' turns round")
            return _Node(BOOL, lambda scope: not truth.run(scope))
        if word == "-":
            number = self.need(self.expression(_UNARY), NUMBER, "what '-' turns round")
            return _Node(NUMBER, lambda scope: -number.run(scope))
        raise self.error(f"{word!r} is misplaced" if word else "something is missing at the end")

    def binary(self, sign: str, left: _Node) -> _Node:
        right = self.expression(_POWER[sign])
        if sign in ("||", "&&"):
            first, second = self.need(left, BOOL, f"the left of {sign}"), self.need(right, BOOL, f"the right of {sign}")
            if sign == "||":
                return _Node(BOOL, lambda scope: first.run(scope) or second.run(scope))
            return _Node(BOOL, lambda scope: first.run(scope) and second.run(scope))
        if left.kind == right.kind == BOOL and sign in ("==", "!="):
            return _Node(BOOL, lambda scope: (left.run(scope) == right.run(scope)) is (sign == "=="))
        first, second = self.need(left, NUMBER, f"the left of {sign}"), self.need(right, NUMBER, f"the right of {sign}")
        if sign in _COMPARE:
            return _Node(BOOL, lambda scope: _compare(sign, first.run(scope), second.run(scope)))
        return _Node(NUMBER, lambda scope: _arithmetic(sign, first.run(scope), second.run(scope)))

    def index(self, left: _Node) -> _Node:
        kind, word = self.tokens[self.at]
        if kind != "number" or not word.isdigit():
            raise self.error("an index is a whole number")
        self.at += 1
        self.take("]")
        series = self.need(left, LIST, "what is indexed")
        return _Node(NUMBER, lambda scope: _item(series.run(scope), int(word)))

    def name(self, word: str) -> _Node:
        if word == "result":
            self.result_is.add(RESULT)
            return _Node(RESULT, lambda scope: scope.result)
        if word not in FUNCTIONS:
            raise unknown("name", word, [*FUNCTIONS, "result"], where=self.where)
        self.asks.add(word)
        self.take("(")
        first = self.expression(0)
        node = self.predicate(word, first) if word in ("all", "any") else self.call(word, first)
        self.take(")")
        return node

    def predicate(self, word: str, first: _Node) -> _Node:
        series = self.need(first, LIST, f"the first argument of {word}")
        if self.tokens[self.at][1] != ",":
            raise self.error(f"{word} wants a predicate", do=f"Write {word}(result, # < 0.05).")
        self.take(",")
        if self.in_predicate:
            raise self.error("a predicate within a predicate")
        braced = self.tokens[self.at][1] == "{"
        self.at += braced
        self.in_predicate = True
        test = self.need(self.expression(0), BOOL, "a predicate")
        self.in_predicate = False
        if braced:
            self.take("}")
        verb = all if word == "all" else any
        return _Node(BOOL, lambda scope: verb(test.run(_Scope(scope.result, item)) for item in _some(series.run(scope))))

    def call(self, word: str, first: _Node) -> _Node:
        if word == "isNil":
            if first.kind not in (RESULT, NUMBER, LIST):
                raise self.error("isNil asks about a measurement")
            return _Node(BOOL, lambda scope: _or_nil(first, scope) in (None, []))
        if word == "default":
            self.take(",")
            # isNil and default leave the bare result open: what surrounds them decides, and one number is the usual case
            value, other = self.need(first, NUMBER, "the first argument of default"), self.need(self.expression(0), NUMBER, "the default")
            return _Node(NUMBER, lambda scope: _first_not_nil(_or_nil(value, scope), lambda: other.run(scope)))
        if word in ("len", "first"):
            series = self.need(first, LIST, f"the argument of {word}") if word == "first" else self.countable(first)
            if word == "len":
                return _Node(NUMBER, lambda scope: float(len(series.run(scope) or [])))
            return _Node(NUMBER, lambda scope: _item(_some(series.run(scope)), 0))
        number = self.need(first, NUMBER, f"the argument of {word}")
        if word == "isNaN":
            return _Node(BOOL, lambda scope: math.isnan(number.run(scope)))
        if word == "isInf":
            return _Node(BOOL, lambda scope: math.isinf(number.run(scope)))
        return _Node(NUMBER, lambda scope: _whole(number.run(scope)) if word == "asInt" else number.run(scope))

    def countable(self, node: _Node) -> _Node:
        """A list that may be absent: its length is 0."""
        if node.kind != RESULT:
            return self.need(node, LIST, "the argument of len")
        self.result_is.add(LIST)
        return node


def _present(value: Any) -> Any:
    if value is None:
        raise NoData("the result is nil")
    return value


def _some(series: list[float]) -> list[float]:
    # all() of nothing is true: a vacuous success is exactly what must not pass
    if not series:
        raise NoData("the result is an empty list")
    return series


def _item(series: list[float], index: int) -> float:
    if index >= len(_some(series)):
        raise Unavailable(f"result[{index}] does not exist: {len(series)} series came back")
    return series[index]


def _or_nil(node: _Node, scope: _Scope) -> Any:
    try:
        return node.run(scope)
    except NoData:
        return None


def _first_not_nil(value: Any, other: Callable[[], float]) -> float:
    return other() if value is None else float(value)


def _whole(value: float) -> float:
    if not math.isfinite(value):
        raise Unavailable(f"{value} is not a whole number")
    return float(int(value))


def _compare(sign: str, left: float, right: float) -> bool:
    return False if math.isnan(left) or math.isnan(right) else _COMPARE[sign](left, right)


def _arithmetic(sign: str, left: float, right: float) -> float:
    try:
        return _ARITHMETIC[sign](left, right)
    except (ZeroDivisionError, ValueError, OverflowError):
        raise Unavailable(f"{left:g} {sign} {right:g} has no value") from None
