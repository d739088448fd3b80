# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.core.options import NAME, Option, argument_spec, check, documentation, one_key, validate
from ansible_collections.progressive.delivery.tests.unit.module_utils.core.plans import bounded

BACKENDS = {
    "haproxy": Option("dict", "HAProxy.", options={"socket": Option("path", "Socket.", required=True)}),
    "memory": Option("dict", "Memory.", options={}),
}
SOURCES = {
    "http": Option("str", "Address."),
    "command": Option("list", "Command.", elements="str"),
    "file": Option("dict", "File.", options={"path": Option("str", "")}),
}
TABLE = {
    "name": Option("name", "Name.", required=True),
    "wait": Option("duration", "Wait.", default="5s", aliases=("waitFor",)),
    "share": Option("percent", "Share."),
    "count": Option("int", "Count.", minimum=1, maximum=9),
    "limit": Option("float", "Limit.", minimum=-1),
    "flag": Option("bool", "Flag.", default=False),
    "mode": Option("str", "Mode.", choices=("fast", "slow")),
    "modes": Option("list", "Modes.", elements="str", choices=("fast", "slow")),
    "most": Option("count_or_percent", "Most."),
    "router": Option("dict", "Router.", options=BACKENDS, one_of=True),
    "source": Option("dict", "Source.", options=SOURCES, one_of=True),
    "labels": Option("dict", "Labels.", open=True),
    "items": Option("list", "Items.", elements="dict", options={"key": Option("str", "Key.", required=True), "other_key": Option("int", "Other.")}),
    "token": Option("str", "Token.", secret=True),
    "key_file": Option("path", "Key file."),
}


def test_a_good_value_is_coerced_and_completed():
    found = validate(
        {
            "name": "shop",
            "waitFor": 30,
            "share": "5%",
            "count": "3",
            "limit": "1.5",
            "flag": "yes",
            "mode": "fast",
            "modes": ["slow"],
            "most": "25%",
            "router": {"haproxy": {"socket": "/run/a"}},
            "source": {"command": ["a", 5]},
            "labels": {1: "x"},
            "items": [{"key": "a"}],
            "key_file": None,
        },
        TABLE,
        "here",
    )
    assert found == {
        "name": "shop",
        "wait": "30",
        "share": 5,
        "count": 3,
        "limit": 1.5,
        "flag": True,
        "mode": "fast",
        "modes": ["slow"],
        "most": "25%",
        "router": {"haproxy": {"socket": "/run/a"}},
        "source": {"command": ["a", "5"]},
        "labels": {"1": "x"},
        "items": [{"key": "a"}],
    }


@pytest.mark.parametrize(
    "change, path, words",
    [
        ({"nmae": "x"}, "here", "unknown option 'nmae'. Did you mean name?"),
        ({"name": None}, "here", "name is missing"),
        ({"wait": 1, "waitFor": 2}, "here", "wait is given twice"),
        ({"router": {"haproxi": {}}}, "here.router.haproxi", "Did you mean haproxy?"),
        ({"router": {"haproxy": {"socket": "a"}, "memory": {}}}, "here.router", "exactly one router is wanted, found haproxy, memory"),
        ({"router": {}}, "here.router", "found none"),
        ({"router": []}, "here.router", "got a list"),
        ({"router": 5}, "here.router", "got 5"),
        ({"router": {"haproxy": None}}, "here.router.haproxy", "socket is missing"),
        ({"router": {"haproxy": {"sockt": "a"}}}, "here.router.haproxy", "Did you mean socket?"),
        ({"router": {"haproxy": {"socket": ["a"]}}}, "here.router.haproxy.socket", "got a list"),
        ({"router": {5: {}}}, "here.router.5", "unknown router"),
        ({"source": {"http": ["a"]}}, "here.source.http", "got a list"),
        ({"source": {"command": "ls"}}, "here.source.command", "expected a list"),
        ({"source": {"file": {"pth": "a"}}}, "here.source.file", "Did you mean path?"),
        ({"items": [{"key": "a"}, {"kye": "b"}]}, "here.items[1]", "Did you mean key?"),
        ({"items": [{"key": "a", "other_key": "x"}]}, "here.items[0].other_key", "not a whole number"),
        ({"items": {"key": "a"}}, "here.items", "expected a list"),
        ({"items": ["a"]}, "here.items[0]", "expected a mapping, got 'a'"),
        ({"labels": "a"}, "here.labels", "expected a mapping"),
        ({"mode": "fats"}, "here.mode", "Did you mean fast?"),
        ({"modes": ["fast", "slwo"]}, "here.modes[1]", "Did you mean slow?"),
        ({"count": 0}, "here.count", "between 1 and 9"),
        ({"count": 10}, "here.count", "between 1 and 9"),
        ({"count": 1.5}, "here.count", "not a whole number"),
        ({"count": True}, "here.count", "not a whole number"),
        ({"count": "9" * 5000}, "here.count", "not a whole number"),
        pytest.param({"count": 10**6000}, "here.count", "far too large", id="huge count"),
        ({"limit": math.nan}, "here.limit", "out of range"),
        ({"limit": "nan"}, "here.limit", "out of range"),
        ({"limit": math.inf}, "here.limit", "out of range"),
        ({"limit": "1e400"}, "here.limit", "out of range"),
        ({"limit": -2}, "here.limit", "between -1 and inf"),
        ({"limit": True}, "here.limit", "not a number"),
        ({"limit": datetime.date(2026, 1, 1)}, "here.limit", "not a number"),
        ({"limit": b"1"}, "here.limit", "not a number"),
        pytest.param({"limit": 10**6000}, "here.limit", "far too large", id="huge limit"),
        ({"flag": "maybe"}, "here.flag", "neither true nor false"),
        ({"flag": 2}, "here.flag", "neither true nor false"),
        ({"flag": {}}, "here.flag", "expected one value"),
        ({"wait": "-1s"}, "here.wait", "not a duration"),
        ({"share": 101}, "here.share", "not between 0 and 100"),
        ({"most": "many"}, "here.most", "neither a whole number nor a percentage"),
        ({"most": -1}, "here.most", "neither a whole number nor a percentage"),
        ({"name": "a;b"}, "here.name", "is not a name"),
        ({"name": "shop\n"}, "here.name", "is not a name"),
        ({"name": "a" * 254}, "here.name", "is not a name"),
        ({"name": "../x"}, "here.name", "is not a name"),
        ({"name": True}, "here.name", "expected text"),
        ({"token": "a\x00b"}, "here.token", "has a character"),
        ({"token": "\udc80"}, "here.token", "has a character"),
        ({"token": "x" * 20_001}, "here.token", "too many"),
        ({"token": False}, "here.token", "Put it in quotes"),
    ],
)
def test_a_bad_value_names_its_path_and_what_to_do(change, path, words):
    with pytest.raises(ConfigError) as caught:
        validate({"name": "shop", **change}, TABLE, "here")
    assert caught.value.where == path
    assert words in str(caught.value) and len(str(caught.value)) < 500


def test_one_key_takes_a_bare_name_and_ignores_what_ansible_filled_in():
    assert one_key("memory", BACKENDS, "router", "router") == ("memory", {})
    assert one_key({"memory": None}, BACKENDS, "router", "router") == ("memory", {})
    assert one_key({"memory": {}, "haproxy": None}, BACKENDS, "router", "router") == ("memory", {})


def test_secrets_are_never_logged_and_lookalikes_do_not_warn():
    spec = argument_spec(TABLE)
    assert spec["token"]["no_log"] is True and spec["key_file"]["no_log"] is False and "no_log" not in spec["name"]
    assert spec["router"]["mutually_exclusive"] == [["haproxy", "memory"]] and spec["wait"]["type"] == "str" and spec["wait"]["aliases"] == ["waitFor"]


def test_documentation_and_spec_say_the_same():
    spec, docs = argument_spec(TABLE), documentation(TABLE)
    assert set(spec) == set(docs)
    for name, entry in spec.items():
        for key in ("type", "required", "default", "choices", "elements", "aliases"):
            assert entry.get(key) == docs[name].get(key), name


keys = st.sampled_from([*TABLE, *BACKENDS, *SOURCES, "key"]) | st.text(max_size=4) | st.integers()
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.binary(max_size=3) | st.dates() | st.integers(10**70, 10**71),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


@bounded(200)
@given(st.dictionaries(st.sampled_from(list(TABLE)), junk, max_size=5))
def test_junk_is_refused_in_one_way(value):
    try:
        found = validate({"name": "shop", **value}, TABLE, "here")
    except ConfigError as error:
        refused = error
    else:
        assert validate(found, TABLE, "here") == found, "checked once or twice, the same"
        return
    assert refused.where.startswith("here") and len(str(refused)) < 1000


@bounded(100)
@given(st.text(max_size=12))
def test_a_name_never_holds_what_a_command_or_a_path_could_mean(text):
    if NAME.match(text):
        assert not set(text) & set(" \n\r\t;/\\'\"`$(){}[]<>|&*?!#%,\x00") and text.isascii()


def test_check_of_a_list_keeps_the_rules_of_its_elements():
    with pytest.raises(ConfigError, match=r"n\[1\]"):
        check([1, 99], Option("list", "", elements="int", maximum=9), "n")
