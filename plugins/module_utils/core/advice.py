# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which strategy fits: answers about a service weigh for and against each, and some rule one out. Every point has its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

UNKNOWN = "unknown"
QUESTIONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "downtime": ("May the service be away for a moment?", ("yes", "no")),
    "capacity": ("How much room is there for further copies of it?", ("none", "some", "double")),
    "risk": ("How much does a bad version hurt?", ("low", "medium", "high")),
    "experiment": ("Shall users' behaviour decide between two variants?", ("yes", "no")),
    "iteration": ("How often does a new version come?", ("fast", "normal")),
    "users": ("Where are its users?", ("close", "wide")),
    "budget": ("How much may a release cost in machines?", ("low", "normal", "high")),
}
"""By answer: what a person is asked, and what may be answered. Nothing, or ``unknown``, says nothing."""

STRATEGIES = ("rolling", "canary", "blue_green", "ab_test", "recreate")
"""Of two with the same points the earlier one: it needs less."""

WEIGHS: Mapping[tuple[str, str], Mapping[str, tuple[int, str]]] = {
    ("downtime", "yes"): {"recreate": (2, "a moment away is allowed, and nothing is simpler")},
    ("downtime", "no"): {"blue_green": (2, "it must not be away: the switch is one write, and so is the way back")},
    ("capacity", "double"): {"blue_green": (2, "there is room for a whole second copy")},
    ("capacity", "some"): {"canary": (1, "a few further copies are enough"), "rolling": (1, "a few further copies are enough")},
    ("capacity", "none"): {"rolling": (2, "there is no room, and it replaces copy by copy")},
    ("risk", "high"): {"canary": (4, "a bad version must reach few users before it is seen and taken back")},
    ("risk", "medium"): {"canary": (1, "few users see a bad version first"), "rolling": (1, "a bad version is seen after its first copies")},
    ("risk", "low"): {"recreate": (1, "a bad version hurts little")},
    ("experiment", "yes"): {"ab_test": (10, "what users do decides, with the numbers to prove it")},
    ("iteration", "fast"): {"recreate": (4, "versions come fast, and it takes the least time"), "rolling": (1, "it needs no second track")},
    ("users", "wide"): {"rolling": (3, "users are spread widely: each copy is checked as it is replaced"), "canary": (2, "a share of them tries it")},
    ("users", "close"): {"blue_green": (1, "all users change at the same moment")},
    ("budget", "low"): {"rolling": (2, "it costs no further machines")},
    ("budget", "high"): {"blue_green": (1, "a second copy may cost what it costs")},
}
RULED_OUT: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("downtime", "no"): {"recreate": "the service is away while it is replaced"},
    ("capacity", "none"): {"blue_green": "it needs twice the room", "ab_test": "two variants run beside each other for days"},
    ("budget", "low"): {"blue_green": "it needs twice the machines"},
    ("experiment", "no"): {"ab_test": "nothing is to be compared"},
}
PRICE: Mapping[str, str] = {
    "rolling": "both versions serve while it lasts, and it takes its time: they must understand the same data",
    "canary": "needs something that splits traffic, and metrics to judge by",
    "blue_green": "needs twice the room while it lasts; sessions and data must suit both colours",
    "ab_test": "needs a metric of success, and enough users for days",
    "recreate": "the service is away while it is replaced: for development, or where that is agreed",
}


@dataclass(frozen=True)
class Choice:
    """One strategy with what speaks for it, and what rules it out."""

    strategy: str
    points: int
    reasons: tuple[str, ...]
    against: tuple[str, ...]


@dataclass(frozen=True)
class Advice:
    """The best choice and the others, best first."""

    strategy: str
    reasons: tuple[str, ...]
    price: str
    others: tuple[Choice, ...]


def advise(answers: Mapping[str, str]) -> Advice:
    """The strategy for ``answers``, which were checked against :data:`QUESTIONS`."""
    choices = [_weighed(strategy, answers) for strategy in STRATEGIES]
    possible = [choice for choice in choices if not choice.against]
    best = max(possible, key=lambda choice: choice.points)  # of equals the first; rolling is ruled out by nothing
    others = sorted((choice for choice in choices if choice is not best), key=lambda choice: (bool(choice.against), -choice.points))
    reasons = best.reasons or ("nothing else was said, and it is the one to begin with",)
    return Advice(best.strategy, reasons, PRICE[best.strategy], tuple(others))


def _weighed(strategy: str, answers: Mapping[str, str]) -> Choice:
    given = [(name, value) for name, value in answers.items() if value != UNKNOWN]
    found = [WEIGHS[item][strategy] for item in given if strategy in WEIGHS.get(item, {})]
    against = tuple(RULED_OUT[item][strategy] for item in given if strategy in RULED_OUT.get(item, {}))
    points = sum(weight for weight, _reason in found) + (1 if strategy == "rolling" else 0)
    # What was to be compared and cannot be is said, not passed over: a canary at least shows both to some users.
    return Choice(strategy, points, tuple(reason for _weight, reason in sorted(found, key=lambda item: -item[0])), against)


def lines(advice: Advice) -> list[str]:
    """The advice for a person, without colours."""
    told = [f"strategy: {advice.strategy}", *(f"  because {reason}" for reason in advice.reasons), f"  its price: {advice.price}"]
    for choice in advice.others:
        why = f"no: {choice.against[0]}" if choice.against else "; ".join(choice.reasons) or "nothing speaks for it"
        told.append(f"  {choice.strategy}: {why}")
    return told


STEPS: list[dict[str, Any]] = [
    {"set_weight": 5}, {"bake": {"duration": "5m"}}, {"set_weight": 20}, {"bake": {"duration": "5m"}}, {"gate": {"name": "half", "timeout": "4h"}},
    {"set_weight": 50}, {"bake": {"duration": "5m"}}, {"set_weight": 100},
]


def starter(strategy: str, name: str, platform: str) -> dict[str, Any]:
    """A release file to begin with. ``platform``: kubernetes or pool."""
    two = strategy not in ("rolling", "recreate")
    release: dict[str, Any] = {"rollout_name": name, "rollout_version": "{{ lookup('env', 'VERSION') }}", "rollout_strategy": strategy}
    if platform == "kubernetes":
        slots = {"stable": f"{name}-stable", "canary": f"{name}-canary"} if two else {"stable": name}
        release["rollout_kubernetes"] = {"namespace": name}
        release["rollout_workload"] = {"deployment": {**slots, "container": "app", "image": f"registry.example.com/{name}:${{version}}"}}
        router: Any = {
            "canary": {"replica_ratio": {"service": name}},
            "blue_green": {"service": {"name": name, "preview": f"{name}-preview", "selectors": {"stable": {"color": "blue"}, "canary": {"color": "green"}}}},
            "ab_test": {"gateway_api": {"http_route": name}},
        }.get(strategy)
    else:
        slots = {"stable": f"{name}_blue", "canary": f"{name}_green"} if two else {"stable": name}
        release["rollout_previous_version"] = "2.4.0"
        release["rollout_workload"] = {"pool": {**slots, "deploy": {"tasks": "deploy.yml"}}}
        router = None if strategy == "recreate" else {"haproxy": {"hosts": ["loadbalancers"], "endpoints": ["/run/haproxy/admin.sock"], "backend": name}}
    if router:
        release["rollout_router"] = router
    release["rollout_health"] = {"http": {"url": "http://${address}:8080/health"}, "interval": "10s", "retries": 30}
    release.update(_options(strategy))
    return release


def _options(strategy: str) -> dict[str, Any]:
    """What the strategy wants to be told besides."""
    if strategy == "canary":
        return {"rollout_steps": STEPS}
    if strategy == "rolling":
        return {"rollout_rolling": {"preset": "balanced", "monitor": "5m"}}
    if strategy == "blue_green":
        return {"rollout_blue_green": {"auto_promotion_enabled": False, "post_promotion_bake": "5m"}}
    if strategy == "ab_test":
        return {"rollout_ab_test": {"share": 50, "min_duration": "168h", "max_duration": "336h"}}
    return {}
