# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import pathlib
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.progressive.delivery.plugins.module_utils.core import sticky
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Unsupported
from ansible_collections.progressive.delivery.tests.unit.module_utils.core.plans import bounded

VECTORS = json.loads((pathlib.Path(__file__).parents[3] / "vectors" / "sticky.json").read_text(encoding="utf-8"))

keys, salts = st.text(min_size=1, max_size=100).filter(lambda text: text.isprintable()), st.from_regex(sticky.SALT, fullmatch=True)
shares = st.integers(0, 10_000).map(lambda part: Fraction(part, 100))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['salt']}:{vector['key'][:20]}")
def test_the_shared_vectors(vector):
    assert sticky.bucket(vector["key"], vector["salt"]) == vector["bucket"]


@pytest.mark.parametrize(("data", "value"), [(b"", 0xEF46DB3751D8E999), (b"a", 0xD24EC4F1A98C6E5B), (b"abc", 0x44BC2CF5AD770999)])
def test_published_hashes(data, value):
    assert sticky.xxh64(data) == value


@bounded(300)
@given(keys, salts, shares, shares)
def test_nobody_leaves_the_candidate_as_its_share_grows(key, salt, one, other):
    less, more = sorted((one, other))
    if sticky.is_candidate(key, salt, less):
        assert sticky.is_candidate(key, salt, more)


@bounded(100)
@given(keys, salts)
def test_nobody_at_nought_and_everybody_at_a_hundred(key, salt):
    assert not sticky.is_candidate(key, salt, Fraction(0))
    assert sticky.is_candidate(key, salt, Fraction(100))


def test_the_first_and_the_last_bucket_fall_on_their_sides_of_the_edge():
    first, last = (next(f"u{n}" for n in range(10**6) if sticky.bucket(f"u{n}", "edge") == wanted) for wanted in (0, 9999))
    assert not sticky.is_candidate(first, "edge", Fraction(0))
    assert sticky.is_candidate(first, "edge", Fraction(1, 100))
    assert not sticky.is_candidate(last, "edge", Fraction(9999, 100))
    assert sticky.is_candidate(last, "edge", Fraction(100))


@pytest.mark.parametrize("share", [1, 5, 40, 50, 99])
@pytest.mark.parametrize("pattern", ["user-{}", "{}", "{:08d}", "anna{}@example.com"])
def test_ten_thousand_keys_that_follow_each_other_split_as_asked(share, pattern):
    taken = sum(sticky.is_candidate(pattern.format(number), "shop", Fraction(share)) for number in range(10_000))
    assert abs(taken / 100 - share) < 1


def test_another_salt_is_another_order_of_users():
    both = sum(sticky.is_candidate(f"user-{n}", "one", Fraction(50)) and sticky.is_candidate(f"user-{n}", "two", Fraction(50)) for n in range(10_000))
    assert abs(both - 2500) < 150, "half of the half: the tests do not know of each other"


def test_a_share_between_two_buckets_is_refused():
    assert sticky.split_point(Fraction("33.33")) == 3333
    with pytest.raises(Unsupported, match="no whole number of 10000 parts"):
        sticky.split_point(Fraction(100, 3))


@pytest.mark.parametrize("salt", ["", "a b", "a:b", "ümlaut", "-a", "a/", "x" * 64, "a\n"])
def test_a_salt_that_no_configuration_could_hold_is_refused(salt):
    with pytest.raises(ConfigError, match="is no salt"):
        sticky.check_salt(salt, "rollout_ab_test.assignment.hash.salt")
