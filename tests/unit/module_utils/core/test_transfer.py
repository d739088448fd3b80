# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from fractions import Fraction

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.plan import Kind
from ansible_collections.progressive.delivery.plugins.module_utils.core.strategies.transfer import Sides, short, transfer


def walk(stable, canary, target, *, back=False, part=0):
    """Kinds and weights of the steps that bring the receiver to ``target``."""
    movable = [f"s{number}" for number in range(stable)]
    sides = Sides([f"c{number}" for number in range(canary)], list(movable), Fraction(0), stable, Fraction(part))
    steps = transfer(sides, Fraction(target), movable=movable, receiver_track="canary", candidate_receives=not back, version="2", health=False)
    return [float(step.weight) if step.kind is Kind.WEIGHT else f"{step.kind.value} {len(step.hosts)}" for step in steps], sides


@pytest.mark.parametrize("stable, canary, target, wanted", [
    (4, 4, 100, [100.0]), (4, 1, 5, [5.0]), (4, 1, 25, [25.0]), (4, 1, 50, [25.0, "drain 1", "deploy 1", "join 1", 50.0]),
    (2, 0, 50, ["drain 1", "deploy 1", "join 1", 50.0]), (2, 0, 100, ["drain 1", "deploy 1", "join 1", 50.0, 100.0, "drain 1", "deploy 1", "join 1"]),
    (2, 0, 80, ["drain 1", "deploy 1", "join 1", 50.0, 80.0]), (4, 2, 100, [50.0, "drain 2", "deploy 2", "join 2", 100.0]), (4, 1, 0, []),
])
def test_share_and_hosts_move_in_turns(stable, canary, target, wanted):
    steps, sides = walk(stable, canary, target)
    assert steps == wanted
    assert sides.share == target


MOVE = ["drain 1", "deploy 1", "join 1"]


@pytest.mark.parametrize("stable, canary, part, wanted", [
    (3, 1, "0.01", [33.33, *MOVE, 66.66, *MOVE, 100.0]),
    (3, 1, "1", [33.0, *MOVE, 66.0, *MOVE, 100.0]),
    (6, 2, "0.01", [33.33, "drain 2", "deploy 2", "join 2", 66.66, "drain 2", "deploy 2", "join 2", 100.0]),
    (4, 2, "0.01", [50.0, "drain 2", "deploy 2", "join 2", 100.0]),
])
def test_a_share_is_rounded_down_to_what_the_router_can_hold(stable, canary, part, wanted):
    assert walk(stable, canary, 100, part=part)[0] == wanted
    assert walk(stable, canary, 100, part=part, back=True)[0] == [100 - step if isinstance(step, float) else step for step in wanted]


def test_less_than_one_part_is_no_share_yet_and_hosts_move_on():
    steps, sides = walk(300, 1, 1, part=1)
    assert steps == [*MOVE, *MOVE, 1.0] and len(sides.receiver) == 3


def test_the_way_back_counts_the_candidates_share():
    assert walk(4, 4, 100, back=True)[0] == [0.0]


def test_names_stay_short():
    assert short(("a", "b")) == "a, b" and short(tuple("abcde")) == "a, b, c and 2 more"
