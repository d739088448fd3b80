# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that is killed at every single step of a release as it is written, and another run that takes it up: the end is the same, and so is what users saw."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.codec import decode
from ansible_collections.progressive.delivery.plugins.module_utils.core.lease import read as read_lease
from ansible_collections.progressive.delivery.plugins.module_utils.core.model import Routes
from ansible_collections.progressive.delivery.plugins.module_utils.entry.stored import stored_record
from ansible_collections.progressive.delivery.tests.unit.guide.rehearsal import Being, Ended, Killed, Rehearsal

MOMENTS = {
    "before the step": lambda moment, seen: moment == "beginning",
    "before the record says that it is done": lambda moment, seen: moment == "save record",
    "after the record says so": lambda moment, seen: moment == "saved record",
    "before the load balancer hears of it": lambda moment, seen: moment == "writing",
    "after the load balancer took it": lambda moment, seen: moment == "written",
    "while it waits": lambda moment, seen: moment == "sleeping" and seen > 20,
}
"""When a run dies: at the first such moment of each step. ``seen``: the seconds that this run has spent in the step."""

ISTIO = "releases/kubernetes-canary-istio.yml"
KILLED = [
    *((ISTIO, moment) for moment in MOMENTS),
    ("releases/kubernetes-blue-green.yml", "before the record says that it is done"),
    ("releases/kubernetes-blue-green.yml", "while it waits"),
    ("gitlab/canary/canary.yml", "after the load balancer took it"),
    ("pool/haproxy-rolling.yml", "before the step"),
    ("pool/haproxy-rolling.yml", "after the record says so"),
]


class Assassin:
    """Kills a run once in each step, at that moment of it."""

    def __init__(self, play: Rehearsal, when: Callable[[str, float], bool]) -> None:
        self.play, self.when = play, when
        self.killed: list[tuple[bool, int]] = []
        self._in, self._since = (False, -1), 0.0
        play.dies_at = self

    def __call__(self, moment: str) -> bool:
        step = self.play.step
        if step is None:
            return False
        here = (bool(step["back"]), int(step["index"]))
        if moment == "beginning":
            self._in, self._since = here, self.play.clock.now()
        if here in self.killed or not self.when(moment, self.play.clock.now() - self._since):
            return False
        self.killed.append(here)
        return True


def to_the_end(play: Rehearsal, purpose: str = "rollout") -> tuple[Ended, int]:
    """Every run is taken up by another until it has ended, and every gate opened. How it ended, and how many runs were killed."""
    killed = 0
    while True:
        if killed and not stored_record_runs(play):
            purpose = "rollout"  # what was killed had ended but for saying so
        try:
            ended = play.run(purpose)
        except Killed:
            killed += 1
            play.clock.advance(600)  # until somebody notices
            in_deploy = read_lease(play.store).stretch > 0
            purpose = "resume" if killed % 2 or in_deploy else "rollout"
            continue
        if ended.outcome != "paused":
            return ended, killed
        purpose = "promote"


def stored_record_runs(play: Rehearsal) -> bool:
    found = stored_record(play.store)
    return found is None or found.running


def routes(play: Rehearsal) -> list[dict[str, float]]:
    """The shares that the load balancer was told, each once for as long as it held."""
    found: list[dict[str, float]] = []
    for item in play.world.get("history", []):
        now = {track: float(weight) for track, weight in decode(Routes, item, "history").weights.items()}
        if not found or found[-1] != now:
            found.append(now)
    return found


def deploys(play: Rehearsal) -> list[tuple[str, str]]:
    return sorted(set(play.deploys))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Rehearsal]:
    """The same release when nobody kills anything; each is played once."""

    @functools.cache
    def played(path: str) -> Rehearsal:
        with pytest.MonkeyPatch.context() as patch:
            play = Rehearsal(tmp_path_factory.mktemp("undisturbed"), patch, path)
            assert to_the_end(play)[0].outcome == "promoted"
            return play

    return played


@pytest.mark.parametrize(("path", "moment"), KILLED)
def test_a_run_killed_at_every_step_comes_to_the_same_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: Callable[[str], Rehearsal], path: str, moment: str
) -> None:
    wanted = undisturbed(path)
    play = Rehearsal(tmp_path, monkeypatch, path)
    assassin = Assassin(play, MOMENTS[moment])
    ended, killed = to_the_end(play)
    # Killed right after the last save there is nothing left to take up.
    assert (ended.outcome, ended.failed) in (("promoted", False), ("unchanged", False)) and play.record.promoted, ended
    assert killed == len(assassin.killed) > 0
    assert routes(play) == routes(wanted)
    assert deploys(play) == deploys(wanted) and play.hosts == wanted.hosts
    if not play.by_hosts:
        assert play.tracks == wanted.tracks
    assert play.record.stable == wanted.record.stable and play.record.slots == wanted.record.slots


@pytest.mark.parametrize("moment", ["before the record says that it is done", "after the load balancer took it"])
def test_one_that_is_taken_back_comes_home_however_often_it_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """On its way forward and on its way back."""
    play = Rehearsal(tmp_path, monkeypatch, ISTIO)
    play.turns("2", Being(errors=0.05), lambda play: play.share("2") >= 20)
    assassin = Assassin(play, MOMENTS[moment])
    ended, killed = to_the_end(play)
    assert (ended.outcome, ended.code, ended.failed) == ("rolled_back", 10, True) and "error-rate" in ended.reason, ended
    assert killed == len(assassin.killed) and any(back for back, _index in assassin.killed), assassin.killed
    assert [found["canary"] for found in routes(play)] == [0, 5, 20, 0] and play.share("1") == 100
    assert play.tracks == {"stable": ("1", 4), "canary": ("2", 0)}


def test_a_rollout_that_is_started_again_while_the_new_side_has_everything_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On hosts of one group: the side that carries all of it has no group of its own."""
    play = Rehearsal(tmp_path, monkeypatch, "pool/haproxy.yml")
    play.dies_at = lambda moment: moment == "sleeping" and play.weight("canary") == 100 and play.step is not None and play.step["name"] == "bake"
    with pytest.raises(Killed):
        play.run()
    play.dies_at = lambda moment: False
    assert play.run().outcome == "promoted" and {play.hosts[name] for name in ("web1", "web6")} == {"2"}


def test_a_run_whose_machine_dies_in_a_deploy_is_taken_up_by_resume_after_the_deploys_own_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play = Rehearsal(tmp_path, monkeypatch, "pool/haproxy-rolling.yml")
    play.dies_at = lambda moment: moment == "beginning" and play.step is not None and play.step["name"] == "deploy"
    with pytest.raises(Killed):
        play.run()
    play.dies_at = lambda moment: False
    busy = play.run()
    assert (busy.outcome, busy.code, busy.seconds) == ("busy", 13, 105) and "resume" in busy.reason
    ended = play.run("resume")
    assert ended.outcome == "promoted" and ended.seconds > 900 and play.shares("2")[-1] == 100
