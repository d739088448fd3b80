# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of an A/B test, and the metric and design that are made of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..errors import ConfigError
from ..metric import METRIC_OPTIONS, Metric, literal_range
from ..options import Option, Options
from ..units import duration, percent, show_duration
from .verdict import Design

CONVERSION = "conversion"
"""The name of the metric that variants are compared by."""
JUDGE = "experiment"
"""The name of its judge, which no release file can give to another metric."""
FOR_EVER = 10**9

OPTIONS: Options = {
    "min_samples": Option("int", "Visitors of each variant before anything is said.", default=100, minimum=1),
    "min_duration": Option("duration", "Nothing is said before: whole days or weeks, so that every kind of visitor had a say.", default="0s"),
    "max_duration": Option("duration", "How long the test runs at most. Then it says what it knows.", default="168h"),
    "mde": Option("float", "The smallest difference of the conversion that matters, such as 0.01 for one point. The test is planned for it.",
                  default=0.01, minimum=0.00001, maximum=0.5),
    "alpha": Option("float", "Chance that a variant wins or loses that is no different, all looks together.", default=0.05, minimum=0.000001, maximum=0.2),
    "power": Option("float", "Chance to find a difference of C(mde) with the planned visitors.", default=0.8, minimum=0.5, maximum=0.999),
}


def conversion_options(providers: Options) -> Options:
    """What is counted, and where."""
    return {
        "provider": Option("dict", "Where it is counted. Default: the provider of the analysis.", options=providers, one_of=True),
        "query": Option("str", "Counts the visitors of a variant who converted; or gives their share, where the provider says of how many.", required=True),
        "total_query": Option("str", "Counts all visitors of a variant. Count users that were assigned to it rather than requests."),
        "cumulative": METRIC_OPTIONS["cumulative"],
        "interval": Option("duration", "Time between two looks. Any: looking often costs nothing.", default="1m"),
    }


def design(options: Mapping[str, Any], where: str) -> Design:
    """What was agreed on. Raises ConfigError for what contradicts itself."""
    part = percent(options.get("share", "50"), f"{where}.share") / 100
    if not 0 < part < 1:
        raise ConfigError("both variants need visitors", where=f"{where}.share", do="Use a share above 0 and below 100.")
    shortest, longest = (duration(options[name], f"{where}.{name}") for name in ("min_duration", "max_duration"))
    if shortest > longest:
        raise ConfigError("min_duration is longer than max_duration", where=f"{where}.min_duration", do="Give the test more time.")
    return Design(float(part), options["mde"], options["alpha"], options["power"], options["min_samples"], shortest, longest)


def conversion(options: Mapping[str, Any], where: str) -> Metric:
    """The metric. It never decides by itself, and nothing that happens to its source ends a test. Raises ConfigError."""
    given = {name: value for name, value in options.items() if value is not None}
    fixed = max(literal_range(given.get(name) or "") for name in ("query", "total_query"))
    if fixed:
        raise ConfigError(f"it looks back {show_duration(fixed)}, not to the beginning of the test", where=f"{where}.query", do="Write [${window}] instead.")
    metric = Metric.from_options({"name": CONVERSION, "dry_run": True, **given}, where)
    return replace(metric, judge=JUDGE, baseline="stable", failure_limit=-1, inconclusive_limit=FOR_EVER, consecutive_error_limit=FOR_EVER,
                   no_data_timeout=math.inf)
