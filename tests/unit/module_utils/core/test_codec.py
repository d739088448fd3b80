# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.progressive.delivery.plugins.module_utils.core.codec import decode, encode
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Condition, MatchRoute, Member, Mirror, Routes
from ansible_collections.progressive.delivery.plugins.module_utils.core.plan import GateSpec, HookSpec, Kind, Plan, Step
from ansible_collections.progressive.delivery.plugins.module_utils.core.record import Record
from ansible_collections.progressive.delivery.tests.unit.module_utils.core.plans import bounded

shares = st.one_of(st.integers(0, 100).map(Fraction), st.fractions(0, 100), st.decimals(0, 100, places=4).map(Fraction))
texts = st.text(max_size=8)
conditions = st.builds(Condition, st.sampled_from(["header", "path"]), texts, st.just("exact"), texts)
matches = st.builds(MatchRoute, texts, st.lists(st.lists(conditions, max_size=2).map(tuple), max_size=2).map(tuple))
steps = st.builds(
    Step, texts, st.sampled_from(Kind), weight=st.none() | shares, hosts=st.lists(texts, max_size=3).map(tuple), ramp=shares, version=texts,
    duration=st.none() | st.floats(0, 1e6), watch=st.booleans(), match=st.none() | matches, mirror=st.none() | st.builds(Mirror, shares),
    gate=st.none() | st.builds(GateSpec, texts, st.none() | st.floats(0, 1e6)), hook=st.none() | st.builds(HookSpec, texts, texts),
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
junk = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))


@bounded(150)
@given(steps)
def test_a_step_survives_json(step):
    assert decode(Step, json.loads(json.dumps(encode(step)))) == step


@bounded(200)
@given(shares)
def test_routes_survive_json_and_still_sum_to_100(share):
    routes = Routes({"stable": 100 - share, "canary": share}, {"stable": (Member("a"), Member("b", share))})
    again = decode(Routes, json.loads(json.dumps(encode(routes))))
    assert again == routes and sum(again.weights.values()) == 100


@bounded(150)
@given(st.sampled_from([Step, Plan, Record, Routes]), junk)
def test_junk_is_a_config_error_or_nothing_at_all(kind, value):
    with contextlib.suppress(ConfigError):
        decode(kind, value)


@pytest.mark.parametrize("value, where", [
    ({"name": "a", "kind": "bake", "hosts": "web1"}, "Step.hosts"), ({"name": "a", "kind": "nap"}, "Step.kind"), ({"name": 5, "kind": "bake"}, "Step.name"),
    ({"name": "a", "kind": "bake", "watch": "no"}, "Step.watch"), ({"name": "a", "kind": "bake", "weight": "1/0"}, "Step.weight"), ({"name": "a"}, "Step"),
    ({"name": "a", "kind": "bake", "gate": {"name": "g", "timeout": "soon"}}, "Step.gate.timeout"), (None, "Step"), ([], "Step"), ("x", "Step"),
    ({"name": "a", "kind": "bake", "surprise": 1}, "Step"),
    ({"name": "a", "kind": "bake", "match": {"name": "m", "alternatives": [[5]]}}, "Step.match.alternatives[0][0]"),
])
def test_a_damaged_value_names_its_path(value, where):
    with pytest.raises(ConfigError) as caught:
        decode(Step, value)
    assert caught.value.where == where
