# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that waits for hosts that are not well holds its lease meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core import requests
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import Unavailable
from ansible_collections.progressive.delivery.plugins.module_utils.core.lease import KEY, RENEW_DEADLINE
from ansible_collections.progressive.delivery.plugins.module_utils.core.plan import Kind
from ansible_collections.progressive.delivery.plugins.module_utils.core.poll import Attempt
from ansible_collections.progressive.delivery.plugins.module_utils.core.target import Target
from ansible_collections.progressive.delivery.plugins.module_utils.entry.verbs import health, release
from ansible_collections.progressive.delivery.tests.unit.module_utils.entry.service import Service


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    """One whose hosts are never well."""

    def ill(targets: Sequence[Target]) -> Mapping[str, Attempt]:
        return {target.name: Attempt(False, "connection refused") for target in targets}

    monkeypatch.setattr(health, "prober", lambda wanted, spec: ill)
    return Service(tmp_path)


def renewals(service: Service) -> list[float]:
    """When the lease is renewed from now on; the first item is now."""
    found = [service.clock.now()]
    service.store.after = lambda operation, key: found.append(service.clock.now()) if (operation, key) == ("save", KEY) else None
    return found


def longest_silence(service: Service, found: list[float]) -> float:
    return max(later - earlier for earlier, later in zip(found, [*found[1:], service.clock.now()]))


def test_a_verification_that_takes_long_keeps_the_lease(service: Service) -> None:
    service.file["rollout_health"] = {"tcp": {"port": 8080}, "retries": 4, "interval": "2m"}
    begun = service.begin("rollout", "2")
    while service.next is not None:
        service.step(begun)
    found = renewals(service)
    assert health.run({"release": begun["release"], "verify": True}, service.context())["healthy"] is False
    assert service.clock.now() - found[0] == 360
    assert longest_silence(service, found) < RENEW_DEADLINE


def test_a_store_that_is_away_is_no_finding_about_the_service(service: Service) -> None:
    service.file["rollout_health"] = {"tcp": {"port": 8080}, "retries": 4, "interval": "2m"}
    begun = service.begin("rollout", "2")
    while service.next is not None:
        service.step(begun)

    def away(operation: str, key: str) -> None:
        if key == KEY:
            raise Unavailable("no answer")

    service.store.before = away
    assert "4 looks" in health.run({"release": begun["release"], "verify": True}, service.context())["summary"]


def test_a_health_step_keeps_the_lease_however_far_apart_its_looks_are(service: Service) -> None:
    service.file["rollout_health"] = {"tcp": {"port": 8080}, "retries": 4, "interval": "2m"}
    begun = service.begin("rollout", "2")
    while service.next is not None and service.next.kind is not Kind.HEALTH:
        service.step(begun)
    found = renewals(service)
    release.run({"operation": "step", "release": begun["release"], "step": service.record.position, "back": False}, service.context())
    assert service.record.back
    assert service.clock.now() - found[0] == 360
    assert longest_silence(service, found) < RENEW_DEADLINE


def test_a_request_to_abort_is_heard_between_looks_that_are_far_apart(service: Service) -> None:
    service.file["rollout_health"] = {"tcp": {"port": 8080}, "retries": 4, "interval": "1h"}
    begun = service.begin("rollout", "2")
    while service.next is not None and service.next.kind is not Kind.HEALTH:
        service.step(begun)
    began, asked = service.clock.now(), service.record.release.id
    service.clock.after(60, lambda: requests.ask(service.store, service.clock, id="r", kind=requests.ABORT, release=asked, who="bob"))
    release.run({"operation": "step", "release": begun["release"], "step": service.record.position, "back": False}, service.context())
    assert service.record.back
    assert service.clock.now() - began < 70
