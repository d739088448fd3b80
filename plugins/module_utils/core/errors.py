# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one error tree of the collection.

::

    DeliveryError            anything we can explain to a person
    ├── ConfigError          the release file, or an option, is wrong: nothing was changed
    ├── Unsupported          valid, but this adapter cannot do it
    ├── Unavailable          a part we need does not answer, or answers rubbish
    │   ├── Away             it will: everything goes through it, and nothing is wrong with the release
    │   └── Stale            what it answers with is old
    ├── NoData               a metric query was answered with nothing
    ├── Conflict             somebody else changed the same thing first (compare-and-swap lost)
    ├── Fenced               the release belongs to another run now: this one must write nothing more
    │   └── Lapsed           or may by now: it could not renew its lease in time
    ├── TimedOut             what we waited for did not happen in time; says what was last seen
    ├── Interrupted          the user or the system asked this process to end
    └── MissingDependency    a Python package is not installed; names it as pip knows it

Adapters translate foreign errors once, at their edge. Only ``entry/module.py`` and ``plugin_utils/base_action.py``
turn these into a failed task.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DeliveryError(Exception):
    """An error a person can act on: *what* happened, *where*, and what to *do*."""

    def __init__(self, what: str, *, where: str = "", do: str = "") -> None:
        self.what = what
        self.where = where
        self.do = do
        super().__init__(what)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        if self.do:
            text = f"{text.rstrip('.')}. {self.do}"
        return text


class ConfigError(DeliveryError):
    """The user's input is wrong. Raised before anything changes."""


class Unsupported(DeliveryError):
    """The input is valid, but the chosen adapter cannot do what it asks."""


class Unavailable(DeliveryError):
    """A part we depend on cannot be reached, or its answer makes no sense."""


class Away(Unavailable):
    """A server that record and traffic go through is away for a moment, or has too much to do. ``wait``: the seconds it asks to be left alone.

    This says nothing about the release, so that nothing moves, forward or back, until it answers again.
    """

    def __init__(self, what: str, *, where: str = "", do: str = "", wait: float = 0.0) -> None:
        self.wait = wait
        super().__init__(what, where=where, do=do)


class Stale(Unavailable):
    """What was measured is too old to be an answer about now."""


class NoData(DeliveryError):
    """A query was answered, and the answer holds no value. Never to be read as zero."""


class Conflict(DeliveryError):
    """A compare-and-swap was lost."""


class Fenced(DeliveryError):
    """Another run owns the release now."""


class Lapsed(Fenced):
    """This run could not renew its lease in time, so that another may own the release: it writes nothing until it has proved that none does."""


class TimedOut(DeliveryError):
    """What was awaited did not happen in time."""


class Interrupted(DeliveryError):
    """This process was asked to end."""


class MissingDependency(DeliveryError):
    """A Python package is missing."""

    def __init__(self, package: str, *, needed_for: str) -> None:
        super().__init__(
            f"the Python package {package} is needed for {needed_for} and is not installed",
            do=f"Install it into the Python that runs this task: pip install {package}",
        )


MANY = 12
"""Known names beyond which a list of them helps nobody who has a suggestion."""


def unknown(kind: str, name: str, known: Iterable[str], *, where: str = "") -> ConfigError:
    """The error for a name that is not one of the known ones, with a suggestion where one is close."""
    names = sorted(known)
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.6)
    hint = f"Did you mean {close[0]}? " if close else ""
    if close and len(names) > MANY:
        return ConfigError(f"unknown {kind} {str(name)!r}", where=where, do=hint.strip())
    return ConfigError(f"unknown {kind} {str(name)!r}", where=where, do=f"{hint}(known: {', '.join(names) or 'none'})")
