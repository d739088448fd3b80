# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action half of a verb: the same code as the module, run on the controller, with a line for every look while it waits.

A verb whose backend is spoken to over the network, or whose files live on this machine, runs right here, in this worker. Everything else is
shipped: see :mod:`.remote`.
"""

from __future__ import annotations

import io
import os
import platform
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Optional

from ansible import __version__ as ansible_version
from ansible import constants as C
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils.clients.clock import SystemClock
from ..module_utils.core.errors import ConfigError, Conflict, DeliveryError, Fenced, Interrupted, MissingDependency, Unsupported
from ..module_utils.core.options import argument_spec, given
from ..module_utils.core.record import Outcome
from ..module_utils.entry.context import Context
from ..module_utils.entry.following import overtaken_words
from ..module_utils.entry.interrupt import interrupt
from ..module_utils.entry.module import who
from ..module_utils.entry.run import Run
from .ctrl_c import CtrlC
from .farewell import correct, remember, tree_is_shown
from .lifeline import Lifeline
from .remote import Remote, same_python

DISPLAY = Display()
CtrlC().install()  # in ansible-playbook itself, which loads this file before it starts a worker

# This module is loaded once, in ansible-playbook itself: a worker's standard input says nothing about the user's. AWX (ansible-runner) and some CI runners
# give a job a terminal at which nobody sits.
NOBODY = ("AWX_ISOLATED_DATA_DIR", "CI")
if isinstance(sys.stdout, io.TextIOWrapper):
    # Ansible does not flush what it displays, so that a job's log, which is no terminal, would get the lines of a wait when 8 KiB of them have come together.
    sys.stdout.reconfigure(line_buffering=True)
INTERACTIVE = sys.stdin is not None and sys.stdin.isatty() and not any(os.environ.get(name) for name in NOBODY)


class DeliveryAction(ActionBase):
    """Runs ``verb`` in-process. Subclasses name the verb, and may add to its parameters what only a controller knows."""

    verb: ModuleType
    ships = True
    """Whether the verb by itself belongs on the task's host: its sockets and files are there. With a release it coordinates, here."""
    _supports_check_mode = True
    _supports_async = False
    _requires_connection = False

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        arguments = self.validate_argument_spec(argument_spec(self.verb.OPTIONS))[1]
        params = {**dict.fromkeys(self.verb.OPTIONS), **given(arguments)}
        if self.ships and not params.get("release") and not self.is_here(task_vars):
            return self.shipped(task_vars)
        with Lifeline().held() as lifeline:
            context = self.context(task_vars, lifeline)
            try:
                result = self.verb.run(self.prepare(params, task_vars), context)
                remember(result.get("progressive_delivery"), heard=not lifeline.cancelled)
                if lifeline.cancelled:
                    # It ended without a wait, where it would have been noticed. The next item of a loop runs in this same worker, whoever has died.
                    # What has begun a release just now has its lease.
                    self.interrupted({**params, "release": result.get("release") or params.get("release")}, context, lifeline)
                # The release holds what the user's file holds, and that may be a password: -v does not print it.
                return {**result, "_ansible_verbose_override": True} if "release" in result else result
            except Interrupted as error:
                self.interrupted(params, context, lifeline)
                return {"failed": True, "changed": False, "msg": f"interrupted: {error}", "error": type(error).__name__}
            except DeliveryError as error:
                outcome = refusal(error)
                if isinstance(error, Fenced) and "session" in (params.get("release") or {}):
                    correct(params["release"]["name"], overtaken_words(params["release"]))
                # Returned, not raised: failed_when has no say over what is raised, and -vvv would print a traceback.
                return {"failed": True, "changed": False, "msg": self.explained(error), "error": type(error).__name__,
                        "outcome": outcome.value, "code": outcome.code}

    def is_here(self, task_vars: Mapping[str, Any]) -> bool:
        """Whether this very process can do what the module would do on the task's host."""
        told = (task_vars.get("ansible_delegated_vars") or {}).get(self._task.delegate_to) if self._task.delegate_to else task_vars
        interpreter = str(self._templar.template((told or {}).get("ansible_python_interpreter") or ""))
        return self._connection.transport == "local" and not self._play_context.become and same_python(interpreter)

    def shipped(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        """The module half's result. A host that does not answer fails the task, because no rescue runs for an unreachable one."""
        try:
            return dict(self._execute_module(task_vars=task_vars))
        except AnsibleConnectionFailure as error:
            return {"failed": True, "changed": False, "msg": f"{task_vars.get('inventory_hostname', 'the host')} cannot be reached: {error}"}

    def prepare(self, params: dict[str, Any], task_vars: Mapping[str, Any]) -> dict[str, Any]:
        """The verb's parameters, with what the controller knows of the inventory."""
        return params

    def explained(self, error: DeliveryError) -> str:
        """The error as one line."""
        return str(error)

    def context(self, task_vars: Mapping[str, Any], lifeline: Lifeline) -> Context:
        remote = Remote(self, task_vars)
        return Context(
            clock=SystemClock(lambda: lifeline.cancelled), say=lambda line: self.say(line, lifeline), check_mode=self._task.check_mode,
            who=responsible(task_vars), tree=tree_is_shown(), ask=ask if INTERACTIVE else None, stores=remote.store, routers=remote.router,
            facts={"environment": {"ansible-core": ansible_version, "python": platform.python_version(), "controller": platform.node()}},
        )

    def say(self, line: str, lifeline: Lifeline) -> None:
        """One progress line, at once; on stderr where standard output must stay JSON."""
        if not lifeline.cancelled and not lifeline.orphan:
            DISPLAY.display(f"  {line}", stderr="json" in str(C.DEFAULT_STDOUT_CALLBACK))

    def interrupted(self, params: Mapping[str, Any], context: Context, lifeline: Lifeline) -> None:
        """Record that the run stopped here, so that ``resume`` and ``abort`` need nobody's memory."""
        if "session" not in (params.get("release") or {}):
            return  # nothing was begun
        lifeline.cancelled = False  # the few writes below must not be interrupted again
        try:
            remember(interrupt(Run.open(params["release"], context), context))
        except Fenced:
            return  # the release is over, or another run's: nothing of ours is to be recorded
        except DeliveryError as failed:
            if not lifeline.orphan:
                DISPLAY.warning(f"the interruption could not be recorded: {failed}")


def ask(text: str, seconds: float) -> Optional[str]:
    """One line from the person at the terminal, or None when none came within ``seconds``."""
    try:
        answer = DISPLAY.prompt_until(text, seconds=max(1, round(seconds)))
    except AnsibleError:
        return None
    return answer.decode("utf-8", "replace").strip().lower() or None if isinstance(answer, bytes) else None


def refusal(error: DeliveryError) -> Outcome:
    """What an error means where it ends a run before anything changed."""
    if isinstance(error, Fenced):
        return Outcome.FENCED
    if isinstance(error, Conflict):
        return Outcome.BUSY  # somebody else was at it in the same moment
    return Outcome.INVALID if isinstance(error, (ConfigError, Unsupported, MissingDependency)) else Outcome.FAILED


def responsible(task_vars: Mapping[str, Any]) -> str:
    """Who started this: the CI's or AWX's user where there is one, else user@host."""
    for name in ("GITLAB_USER_LOGIN", "GITHUB_ACTOR"):
        if os.environ.get(name):
            return os.environ[name]
    for name in ("awx_user_name", "tower_user_name"):
        if task_vars.get(name):
            return str(task_vars[name])
    return who()
