# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exec plugins and other credentials that change."""

from __future__ import annotations

import base64
import json
import os
import sys
import types

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients import kube_login as module
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_login import ExecPlugin, LegacyProvider, Proof, TokenFile, basic, bearer
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Unavailable, Unsupported
from ansible_collections.progressive.delivery.tests.matrix.rig import alive
from ansible_collections.progressive.delivery.tests.waiting import wait_until

V1, BETA = module.EXEC_VERSIONS
SECRET = "s3cret-nobody-may-see"


@pytest.fixture(autouse=True)
def _forget(monkeypatch):
    monkeypatch.setattr(ExecPlugin, "issued", {})


@pytest.fixture
def plugin(tmp_path):
    """A function that makes an ExecPlugin of a Python script, which counts its runs in the file ``runs``."""

    def make(code, *, version=V1, cluster=None, **spec):
        script = tmp_path / "plugin.py"
        script.write_text(f"import json, os, sys, time\nopen({str(tmp_path / 'runs')!r}, 'a').write('x')\n{code}")
        return ExecPlugin({"apiVersion": version, "command": sys.executable, "args": [str(script)], **spec}, cluster or {}, str(tmp_path), "kubeconfig k")

    return make


def runs(tmp_path):
    return len((tmp_path / "runs").read_text())


def printing(status, version=V1):
    return f"print(json.dumps({{'apiVersion': {version!r}, 'kind': 'ExecCredential', 'status': {status}}}))"


@pytest.mark.parametrize("version", [V1, BETA])
def test_a_token_is_asked_for_once(plugin, tmp_path, version):
    made = plugin(printing("{'token': 'abc'}", version), version=version)
    assert made.proof() == made.proof() == Proof("Bearer abc")
    assert plugin(printing("{'token': 'abc'}", version), version=version).proof() == Proof("Bearer abc")  # another adapter of this process
    assert runs(tmp_path) == 1
    made.proof(renew=True)
    assert runs(tmp_path) == 2


@pytest.mark.parametrize(
    "until, again", [("2001-01-01T00:00:00Z", True), ("2001-01-01T00:00:00.123456789+02:00", True), ("2999-01-01T00:00:00Z", False), (None, False)]
)
def test_an_ended_token_is_asked_for_again(plugin, tmp_path, until, again):
    made = plugin(printing(f"{{'token': 'abc', 'expirationTimestamp': {until!r}}}"))
    made.proof()
    made.proof()
    assert runs(tmp_path) == (2 if again else 1)


def test_a_certificate(plugin):
    made = plugin(printing("{'clientCertificateData': 'CERT', 'clientKeyData': 'KEY'}"))
    assert made.proof() == Proof("", b"CERT", b"KEY")


def test_what_a_plugin_is_told(plugin, tmp_path):
    code = f"json.dump([os.environ['KUBERNETES_EXEC_INFO'], os.environ['PROFILE'], sys.stdin.read()], open({str(tmp_path / 'told')!r}, 'w'))\n"
    cluster = {"server": "https://one", "config": {"audience": "x"}}
    plugin(code + printing("{'token': 'a'}"), cluster=cluster, provideClusterInfo=True, env=[{"name": "PROFILE", "value": "prod"}]).proof()
    info, profile, stdin = json.loads((tmp_path / "told").read_text())
    assert json.loads(info) == {"apiVersion": V1, "kind": "ExecCredential", "spec": {"interactive": False, "cluster": cluster}}
    assert (profile, stdin) == ("prod", "")


def test_a_command_with_a_slash_is_beside_its_file(tmp_path):
    script = tmp_path / "bin" / "login"
    script.parent.mkdir()
    answer = {"apiVersion": V1, "kind": "ExecCredential", "status": {"token": "a"}}
    script.write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\n")
    script.chmod(0o755)
    assert ExecPlugin({"apiVersion": V1, "command": "bin/login", "args": None, "env": None}, {}, str(tmp_path), "k").proof() == Proof("Bearer a")


def test_a_missing_program_comes_with_its_hint():
    spec = {"apiVersion": V1, "command": "surely-not-installed"}
    with pytest.raises(ConfigError, match="exec plugin surely-not-installed: the program cannot be started: No such file or directory. Install it, or"):
        ExecPlugin(spec, {}, "", "kubeconfig k").proof()
    with pytest.raises(ConfigError, match=r"Install surely\nfrom example.com".replace(r"\n", " ")):
        ExecPlugin({**spec, "installHint": "Install surely\nfrom example.com"}, {}, "", "kubeconfig k").proof()


@pytest.mark.parametrize(
    "code, message",
    [
        ("print('nonsense')", "printed no ExecCredential"),
        ("pass", "printed no ExecCredential"),
        ("print('[]')", "printed no ExecCredential"),
        (printing("{'token': 'a', 'expirationTimestamp': 'soon'}"), "printed no ExecCredential"),
        (printing("None"), "printed no ExecCredential"),
        (printing("{}"), "neither a token nor a certificate"),
        (printing("{'clientCertificateData': 'C'}"), "neither a token nor a certificate"),
        (printing("{'token': 'a'}", BETA), f"answers in {BETA}, and {V1} was asked for"),
        ("sys.exit('login first: aws sso login')", "ended with 1: login first: aws sso login"),
        ("sys.exit(3)", "ended with 3: it said nothing"),
    ],
)
def test_bad_plugins(plugin, code, message):
    with pytest.raises(Unavailable, match=message):
        plugin(code).proof()


def test_what_a_plugin_says_of_secrets_is_not_told(plugin):
    long = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEyMyJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"
    with pytest.raises(Unavailable) as caught:
        plugin(f"sys.exit('bad password {SECRET} or token {long}')", env=[{"name": "PASSWORD", "value": SECRET}]).proof()
    assert "bad password [hidden] or token [hidden]" in str(caught.value)


def test_a_plugin_that_waits_is_ended_with_its_children(plugin, tmp_path, monkeypatch):
    communicate = module.subprocess.Popen.communicate

    def once_it_has_a_child(*given, **more):
        wait_until(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text())
        return communicate(*given, **more)

    monkeypatch.setattr(module, "EXEC_TIMEOUT", 1.0)
    monkeypatch.setattr(module.subprocess.Popen, "communicate", once_it_has_a_child)
    code = f"import subprocess\nchild = subprocess.Popen(['sleep', '60'])\nopen({str(tmp_path / 'child')!r}, 'w').write(str(child.pid))\ntime.sleep(60)"
    with pytest.raises(Unavailable, match="no credential within 1 s. Run it by hand"):
        plugin(code).proof()
    child = int((tmp_path / "child").read_text())
    wait_until(lambda: not alive(child), says=lambda: "the child outlived its parent")


@pytest.mark.parametrize("spec", [{"apiVersion": "client.authentication.k8s.io/v1alpha1"}, {"apiVersion": V1, "interactiveMode": "Always"}, {}])
def test_plugins_we_cannot_serve(spec):
    with pytest.raises(Unsupported):
        ExecPlugin({"command": "x", **spec}, {}, "", "k")


def test_a_token_file_is_read_again_on_demand(tmp_path):
    path = tmp_path / "token"
    path.write_text("one\n")
    made = TokenFile(str(path), Proof("", b"C", b"K"))
    assert made.proof() == Proof("Bearer one", b"C", b"K")
    path.write_text("two")
    assert made.proof().authorization == "Bearer one"
    assert made.proof(renew=True).authorization == "Bearer two"
    path.unlink()
    with pytest.raises(ConfigError, match="the token file cannot be read: No such file"):
        made.proof(renew=True)


@pytest.mark.parametrize("token", ["", "a b", "a\nb", "ä", "a\x7f"])
def test_what_is_no_token_is_refused_unseen(token):
    with pytest.raises(ConfigError) as caught:
        bearer(token, "x")
    assert not token or token not in str(caught.value)


def test_proofs_hide_themselves():
    assert Proof(bearer(SECRET, "")).hide(f"a {SECRET} b") == "a [hidden] b"
    proof = Proof(basic("anna", SECRET))
    assert SECRET not in proof.hide(f"{SECRET} {base64.b64encode(f'anna:{SECRET}'.encode()).decode()}")
    assert SECRET not in repr(proof)
    assert [proof.kind, Proof("Bearer x").kind, Proof("", b"C", b"K").kind, Proof().kind] == [
        "user name and password", "token", "client certificate", "no credentials",
    ]  # fmt: skip


def test_a_legacy_provider_asks_the_package(monkeypatch):
    package, client, config = (types.ModuleType(name) for name in ("kubernetes", "kubernetes.client", "kubernetes.config"))
    asked = []

    class Configuration:
        def __init__(self):
            self.api_key = {}

    class ConfigException(Exception):
        pass

    def load(found, client_configuration, persist_config):
        asked.append(found)
        if found.get("bad"):
            raise ConfigException(SECRET)
        client_configuration.api_key = {"authorization": f"Bearer t{len(asked)}"} if not found.get("empty") else {}

    client.Configuration, config.ConfigException, config.load_kube_config_from_dict = Configuration, ConfigException, load
    package.client, package.config = client, config
    for name, stub in (("kubernetes", package), ("kubernetes.client", client), ("kubernetes.config", config)):
        monkeypatch.setitem(sys.modules, name, stub)
    made = LegacyProvider({"a": 1}, "oidc", "kubeconfig k")
    assert [made.proof(), made.proof(), made.proof(renew=True)] == [Proof("Bearer t1"), Proof("Bearer t1"), Proof("Bearer t2")]
    with pytest.raises(Unavailable, match=r"gave no token \(ConfigException\)") as caught:
        LegacyProvider({"bad": 1}, "oidc", "k").proof()
    assert SECRET not in str(caught.value)
    with pytest.raises(Unsupported, match="Use an exec plugin"):
        LegacyProvider({"empty": 1}, "gcp", "k").proof()


def test_nothing_of_the_environment_is_lost(plugin, monkeypatch):
    monkeypatch.setenv("AWS_REGION", "eu")
    assert plugin(printing("{'token': os.environ['AWS_REGION']}")).proof() == Proof("Bearer eu")
    assert "PROFILE" not in os.environ
