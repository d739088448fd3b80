# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same release under circumstances an operator brings along: forks, strategies, locales, limits, no terminal."""

from __future__ import annotations

import pytest

from ansible_collections.progressive.delivery.tests.matrix.rig import ANALYSIS, Site


@pytest.mark.parametrize("arguments, environment", [
    (["-f", "1"], {}),
    ([], {"ANSIBLE_STRATEGY": "free"}),
    ([], {"LC_ALL": "", "LANG": "C", "ANSIBLE_CALLBACKS_ENABLED": "progressive.delivery.progress"}),
], ids=["one-fork", "free", "locale-C"])
def test_the_outcome_is_the_same(site: Site, arguments: list[str], environment: dict[str, str]) -> None:
    done = site.run("rollout", "2", *arguments, **environment)
    assert (done.status, done.outcome) == (0, "promoted"), done.text
    assert site.history == [20, 50, 100] and site.versions == {"s1": "1", "s2": "1", "c1": "2", "c2": "2"}


@pytest.mark.parametrize("limit", ["c1", "c1,localhost"])
def test_a_limit_is_refused_before_anything_changes(site: Site, limit: str) -> None:
    before = site.fingerprint()
    done = site.run("rollout", "2", "--limit", limit)
    assert done.status != 0, done.text
    assert "--limit" in done.text
    assert site.fingerprint() == before


def test_limits_of_the_users_own_configuration_end_no_bake_and_fail_no_batch(site: Site) -> None:
    """``task_timeout`` is for tasks that may hang, ``any_errors_fatal`` for plays whose hosts depend on each other."""
    site.release.update(rollout_canary={"step_weights": [20, 100], "bake": "20s"}, rollout_analysis=ANALYSIS)
    done = site.run("rollout", "2", ANSIBLE_TASK_TIMEOUT="15", ANSIBLE_ANY_ERRORS_FATAL="True")
    assert (done.status, done.outcome) == (0, "promoted"), done.text
