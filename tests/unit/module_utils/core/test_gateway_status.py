# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.core.gateway_status import gateways, refused, unaccepted, unprogrammed

PARENT = {"name": "public"}


def said(kind, status="True", generation=3, **more):
    return {"type": kind, "status": status, "reason": kind, "observedGeneration": generation, **more}


def route(*parents, refs=(PARENT,), generation=3):
    return {
        "metadata": {"name": "shop", "namespace": "shop", "generation": generation},
        "spec": {"parentRefs": list(refs)},
        "status": {"parents": list(parents)},
    }


def of(*conditions, ref=None):
    return {"parentRef": ref or PARENT, "controllerName": "test/controller", "conditions": list(conditions)}


GOOD = of(said("Accepted"), said("ResolvedRefs"))


def test_accepted_by_every_parent_in_its_newest_state():
    assert unaccepted(route(GOOD)) == ""


@pytest.mark.parametrize(
    ("manifest", "why"),
    [
        (route(), "no controller has said anything of HTTPRoute shop at Gateway public: is there such a Gateway, and does its class have a controller?"),
        (route(of(said("Accepted", "False", reason="NoMatchingParent", message="no\n such listener"), said("ResolvedRefs"))),
         "HTTPRoute shop at Gateway public: Accepted is False: NoMatchingParent: no such listener"),
        (route(of(said("Accepted"), said("ResolvedRefs", "False", reason="BackendNotFound"))),
         "HTTPRoute shop at Gateway public: ResolvedRefs is False: BackendNotFound"),
        (route(of(said("Accepted", generation=2), said("ResolvedRefs", generation=2))),
         "HTTPRoute shop at Gateway public: its controller has not seen the last change yet (Accepted is about generation 2 of 3)"),
        (route(of(said("Accepted"), said("ResolvedRefs", generation=2))),
         "HTTPRoute shop at Gateway public: its controller has not seen the last change yet (ResolvedRefs is about generation 2 of 3)"),
        (route(of(said("Accepted"))), "HTTPRoute shop at Gateway public: its controller has not said ResolvedRefs yet"),
        (route(of(said("Accepted", "Unknown", reason="Pending"), said("ResolvedRefs"))), "HTTPRoute shop at Gateway public: Accepted is Unknown: Pending"),
        (route(GOOD, refs=(PARENT, {"name": "inside", "sectionName": "https"})),
         "no controller has said anything of HTTPRoute shop at Gateway inside (https): is there such a Gateway, and does its class have a controller?"),
        (route(GOOD, of(said("Accepted", "False", reason="NotAllowed"))), "HTTPRoute shop at Gateway public: Accepted is False: NotAllowed"),
        (route(refs=()), "HTTPRoute shop names no parentRefs, so no Gateway serves it"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_why_it_is_not_in_force(manifest, why):
    assert unaccepted(manifest) == why


def test_a_parent_with_its_defaults_written_out_is_the_same():
    full = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public", "namespace": "shop"}
    assert unaccepted(route(of(*GOOD["conditions"], ref=full))) == ""
    assert unaccepted(route({**GOOD, "parentRef": {**full, "namespace": "other"}})) != ""


def test_a_status_without_observed_generation_proves_nothing():
    manifest = copy.deepcopy(route(GOOD))
    for condition in manifest["status"]["parents"][0]["conditions"]:
        del condition["observedGeneration"]
    assert "has not seen the last change" in unaccepted(manifest)


def test_gateways_by_namespace_each_once_and_no_other_kinds():
    refs = (PARENT, {**PARENT, "sectionName": "b"}, {"name": "x", "namespace": "infra"}, {"name": "mesh", "kind": "Service", "group": ""})
    assert list(gateways(route(refs=refs))) == [("shop", "public"), ("infra", "x")]


@pytest.mark.parametrize(
    ("conditions", "why"),
    [
        ([said("Programmed")], ""),
        ([said("Programmed", "False", reason="AddressNotAssigned", message="no address")],
         "Gateway infra/public: Programmed is False: AddressNotAssigned: no address"),
        ([], "Gateway infra/public: its controller has not said Programmed yet"),
        ([said("Programmed", generation=2)],
         "Gateway infra/public: its controller has not seen the last change yet (Programmed is about generation 2 of 3)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_gateway_is_in_the_data_plane(conditions, why):
    meta = {"name": "public", "namespace": "infra", "generation": 3}
    assert unprogrammed({"metadata": meta, "status": {"conditions": conditions}}) == why


@pytest.mark.parametrize(
    ("manifest", "definite"),
    [
        (route(GOOD), False),
        (route(), False),
        (route(refs=()), True),
        (route(of(said("Accepted", generation=2, status="False"), said("ResolvedRefs"))), False),
        (route(of(said("Accepted", status="Unknown"), said("ResolvedRefs"))), False),
        (route(of(said("Accepted", generation=2), said("ResolvedRefs", status="False"))), True),
        (route(of(said("Accepted", status="False"), said("ResolvedRefs"))), True),
    ],
)
def test_what_waiting_does_not_mend(manifest, definite):
    assert bool(refused(manifest)) is definite
