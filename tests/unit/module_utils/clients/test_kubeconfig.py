# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which cluster, user and namespace options, environment and kubeconfig files mean."""

from __future__ import annotations

import base64
import contextlib
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.progressive.delivery.plugins.module_utils.clients import kubeconfig as module
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_login import ExecPlugin, LegacyProvider, TokenFile
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kubeconfig import ENVIRONMENT, login
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, DeliveryError, MissingDependency, Unsupported

SECRET = "s3cret-nobody-may-see"


def data(text):
    return base64.b64encode(text.encode()).decode()


def config(server="https://one:6443", user=None, *, cluster=None, context=None, name="one", current=True):
    """A kubeconfig of one context whose cluster and user bear its name."""
    return {
        "apiVersion": "v1", "kind": "Config", **({"current-context": name} if current else {}),
        "clusters": [{"name": name, "cluster": {"server": server, **(cluster or {})}}], "users": [{"name": name, "user": user or {}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, **(context or {})}}],
    }  # fmt: skip


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def write(tmp_path):
    def put(name, document):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return str(path)

    return put


def authorization(found):
    return found.credentials.proof().authorization


# Where it is looked for


def test_the_order_of_places(write, monkeypatch, tmp_path):
    options, env = {}, {}
    with pytest.raises(ConfigError, match="no cluster is named: ~/.kube/config is missing or empty, and this is no Pod"):
        login(options, env)
    env.update(KUBERNETES_SERVICE_HOST="10.0.0.1", KUBERNETES_SERVICE_PORT="443")
    monkeypatch.setattr(module, "POD", str(tmp_path / "pod"))
    write("pod/token", "pod-token\n")
    write("pod/namespace", "ci")
    write("pod/ca.crt", "")
    found = login(options, env)
    assert (found.server.url, found.namespace, authorization(found)) == ("https://10.0.0.1:443", "ci", "Bearer pod-token")
    assert found.server.ca_file == str(tmp_path / "pod" / "ca.crt")
    write(".kube/config", config("https://home"))
    assert login(options, env).server.url == "https://home"
    env["KUBECONFIG"] = write("env", config("https://kubeconfig"))
    assert login(options, env).server.url == "https://kubeconfig"
    env["K8S_AUTH_KUBECONFIG"] = write("auth", config("https://auth"))
    assert login(options, env).server.url == "https://auth"
    options["kubeconfig"] = write("option", config("https://option"))
    assert login(options, env).server.url == "https://option"
    options["kubeconfig"] = config("https://inline")
    assert login(options, env).server.url == "https://inline"
    options["host"] = "https://host"
    assert login(options, env).server.url == "https://host"


def test_a_pod_on_ipv6_has_brackets(write, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "POD", str(tmp_path))
    write("token", "t")
    assert login({}, {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443"}).server.address == ("fd00::1", 6443)


@pytest.mark.parametrize("name", sorted(set(ENVIRONMENT) - {"kubeconfig", "context"}))
def test_every_option_has_its_variable(write, name):
    cert = write("cert.pem", "PRIVATE KEY cert")
    values = {
        "host": "https://h", "api_key": "k", "username": "u", "password": "p", "ca_cert": cert, "client_cert": cert, "client_key": cert,
        "validate_certs": False, "proxy": "http://p:3128", "impersonate_user": "anna", "impersonate_groups": ["a", "b"],
    }  # fmt: skip
    needs = {"password": "username", "client_key": "client_cert", "impersonate_groups": "impersonate_user"}.get(name)
    base = {"kubeconfig": config(), **({needs: values[needs]} if needs else {})}
    value = values[name]
    text = "no" if value is False else " a, b" if isinstance(value, list) else value
    seen = [
        (found.server, found.impersonate, found.credentials.proof())
        for found in (login({**base, name: value}, {}), login(base, {ENVIRONMENT[name]: text}), login({"kubeconfig": config()}, {}))
    ]
    assert seen[0] == seen[1] != seen[2]


def test_a_host_with_credentials_needs_no_file(write):
    write(".kube/config", "not: [a kubeconfig")
    found = login({"host": "10.1.2.3:6443", "api_key": "k"}, {})
    assert (found.server.url, found.server.where, authorization(found), found.namespace) == (
        "https://10.1.2.3:6443",
        "https://10.1.2.3:6443",
        "Bearer k",
        "default",
    )


def test_files_are_merged_as_kubectl_does(write):
    one = write("a/one", {**config("https://a", {"tokenFile": "token"}, name="shared"), "current-context": ""})
    two = write("b/two", config("https://b", {"token": "b"}, name="shared"))
    three = write("c/three", {**config("https://c", {"token": "c"}, name="other")})
    write("a/token", "from-a")
    env = {"KUBECONFIG": os.pathsep.join([one, "", "/nowhere/at/all", two, three])}
    found = login({}, env)  # the first entry of a name counts, whole; the first current-context that is not empty
    assert (found.server.url, authorization(found)) == ("https://a", "Bearer from-a")
    assert login({"context": "other"}, env).server.url == "https://c"
    assert found.server.where == f"https://a (kubeconfig {one}:{two}:{three}, context shared)"


@pytest.mark.parametrize("text", ["", "---\n", "{}", "apiVersion: v1\n"])
def test_an_empty_file_is_as_good_as_none(write, text):
    with pytest.raises(ConfigError, match="no cluster is named" if text != "apiVersion: v1\n" else "names no current-context"):
        login({}, {"KUBECONFIG": write("k", text)})


def test_yaml_is_read_where_it_is_not_json(write):
    text = "current-context: a\ncontexts: [{name: a, context: {cluster: c}}]\nclusters:\n- name: c\n  cluster: {server: https://y}\n"
    assert login({"kubeconfig": write("k", text)}, {}).server.url == "https://y"
    assert login(
        {"kubeconfig": write("k", "{current-context: a, contexts: [{name: a, context: {cluster: c}}], clusters: [{name: c, cluster: {server: https://z}}]}")},
        {},
    )


# What it says


def test_the_cluster(write, tmp_path):
    cluster = {
        "certificate-authority": "ca.crt", "certificate-authority-data": data("PEM"), "tls-server-name": "api", "proxy-url": "http://u:p@proxy:3128",
        "insecure-skip-tls-verify": True,
    }  # fmt: skip
    server = login({"kubeconfig": write("k/config", config(cluster=cluster, context={"namespace": "shop"}))}, {}).server
    assert (server.ca_file, server.ca_data, server.name, server.verify, server.proxy) == (
        str(tmp_path / "k" / "ca.crt"), "PEM", "api", False, "http://u:p@proxy:3128",
    )  # fmt: skip
    server = login({"kubeconfig": config(cluster=cluster), "validate_certs": True, "ca_cert": "~/x", "proxy": "http://other:1"}, {}).server
    assert (server.ca_file, server.ca_data, server.verify, server.proxy) == (str(tmp_path / "x"), "", True, "http://other:1")


@pytest.mark.parametrize(
    "user, expected",
    [
        ({"token": "t", "username": "u"}, ("Bearer t", b"", b"")),
        ({"token": "t", "tokenFile": "token"}, ("Bearer of-the-file", b"", b"")),
        ({"username": "u", "password": "p"}, (f"Basic {data('u:p')}", b"", b"")),
        ({"client-certificate-data": data("C"), "client-key-data": data("K")}, ("", b"C", b"K")),
        ({"client-certificate": "cert", "client-key": "key"}, ("", b"CERT", b"KEY")),
        ({"client-certificate": "cert", "client-key": "key", "client-certificate-data": data("C"), "client-key-data": data("K")}, ("", b"C", b"K")),
        ({}, ("", b"", b"")),
    ],
)
def test_the_user(write, user, expected):
    for name, text in (("token", "of-the-file\n"), ("cert", "CERT"), ("key", "KEY")):
        write(f"k/{name}", text)
    proof = login({"kubeconfig": write("k/config", config(user=user))}, {}).credentials.proof()
    assert (proof.authorization, proof.cert, proof.key) == expected


def test_the_kind_of_credentials(write):
    made = {"apiVersion": "client.authentication.k8s.io/v1", "command": "aws"}
    assert isinstance(login({"kubeconfig": config(user={"exec": made})}, {}).credentials, ExecPlugin)
    assert isinstance(login({"kubeconfig": config(user={"tokenFile": "/x"})}, {}).credentials, TokenFile)
    assert isinstance(login({"kubeconfig": config(user={"auth-provider": {"name": "oidc"}})}, {}).credentials, LegacyProvider)


def test_options_replace_the_user_and_what_they_replace_is_not_read():
    user = {"client-certificate": "/nowhere", "client-key": "/nowhere"}
    assert authorization(login({"kubeconfig": config(user=user), "api_key": "k"}, {})) == "Bearer k"
    with pytest.raises(ConfigError, match="/nowhere: cannot be read: No such file"):
        login({"kubeconfig": config(user=user)}, {})


def test_namespaces():
    assert login({"kubeconfig": config()}, {}).namespace == "default"
    assert login({"kubeconfig": config(context={"namespace": "shop"})}, {}).namespace == "shop"
    assert login({"kubeconfig": config(context={"namespace": "shop"}), "namespace": "prod"}, {}).namespace == "prod"


def test_impersonation():
    user = {"as": "anna", "as-groups": ["dev", "ops"], "as-uid": "7", "as-user-extra": {"example.com/scopes": ["a", "b"]}}
    assert login({"kubeconfig": config(user=user)}, {}).impersonate == (
        ("Impersonate-User", "anna"), ("Impersonate-Group", "dev"), ("Impersonate-Group", "ops"), ("Impersonate-Uid", "7"),
        ("Impersonate-Extra-example.com%2Fscopes", "a"), ("Impersonate-Extra-example.com%2Fscopes", "b"),
    )  # fmt: skip
    assert login({"kubeconfig": config(user=user), "impersonate_user": "bob"}, {}).impersonate == (("Impersonate-User", "bob"),)
    for bad in ({"impersonate_groups": ["a"]}, {"impersonate_user": "a\r\nX: 1"}):
        with pytest.raises(ConfigError, match="impersonate"):
            login({"kubeconfig": config(), **bad}, {})


@pytest.mark.parametrize(
    "server, env, expected",
    [
        ("https://api.example.com", {"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ("https://api.example.com", {"HTTPS_PROXY": "p:1"}, "http://p:1"),
        ("https://api.example.com", {"https_proxy": "http://low:1", "HTTPS_PROXY": "http://p:1"}, "http://low:1"),
        ("http://api.example.com", {"HTTPS_PROXY": "http://p:1"}, ""),
        ("https://127.0.0.1:6443", {"HTTPS_PROXY": "http://p:1"}, ""),
        ("https://localhost", {"HTTPS_PROXY": "http://p:1"}, ""),
        ("https://api.example.com", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "x, example.com"}, ""),
        ("https://api.example.com", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".example.com"}, ""),
        ("https://api.example.com", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "ample.com"}, "http://p:1"),
        ("https://10.1.2.3", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, ""),
        ("https://11.1.2.3", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8,nonsense/9"}, "http://p:1"),
        ("https://api.example.com", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, ""),
    ],
)
def test_the_proxy_of_the_environment(server, env, expected):
    assert login({"kubeconfig": config(server)}, env).server.proxy == expected


# What is wrong with it


@pytest.mark.parametrize(
    "options, message",
    [
        ({"kubeconfig": "/nowhere"}, "kubeconfig /nowhere: there is no such file"),
        ({"context": "x"}, "/.kube/config: there is no such file"),
        ({"kubeconfig": config(), "context": "on"}, r"unknown context 'on'. Did you mean one\?"),
        ({"kubeconfig": config(current=False)}, "it names no current-context. Give context: one"),
        ({"kubeconfig": {**config(), "clusters": []}}, "context one: unknown cluster 'one'"),
        ({"kubeconfig": {**config(), "users": [{"name": "none"}]}}, "context one: unknown user 'one'"),
        ({"kubeconfig": config(cluster={"certificate-authority-data": "*"})}, "certificate-authority-data is not base64"),
        ({"kubeconfig": config(user={"client-certificate-data": data("C")})}, "certificate without its key"),
        ({"kubeconfig": config(user={"client-key-data": data("C")})}, "key without its certificate"),
        ({"kubeconfig": config(user={"token": "a\nb"})}, "the token is empty, or holds a space or a line end"),
        ({"kubeconfig": config("")}, "the address of the server is no URL"),
        ({"kubeconfig": config("https://u:p@one")}, "^one .*holds credentials"),
        ({"kubeconfig": config("https://one:port")}, "the address of the server is no URL"),
        ({"kubeconfig": config("ftp://one")}, "begins with ftp"),
        ({"kubeconfig": config(), "proxy": "socks5://p:1"}, "the address of the proxy begins with socks5"),
        ({"kubeconfig": config(), "api_key": "a", "username": "b"}, "give either api_key or username"),
        ({"kubeconfig": config(), "client_cert": "/nowhere"}, "/nowhere: cannot be read"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises((ConfigError, Unsupported), match=message):
        login(options, {})


@pytest.mark.parametrize("text", [f"token: {SECRET}\n  x: [", f"- {SECRET}", f"{{{SECRET}", f"!!python/object:{SECRET} {{}}", f"a: *{SECRET}", f"\x00{SECRET}"])
def test_a_broken_file_is_named_and_never_quoted(write, text):
    path = write("k", text)
    with pytest.raises(ConfigError) as caught:
        login({"kubeconfig": path}, {})
    assert f"kubeconfig {path}" in str(caught.value)
    assert SECRET not in f"{caught.value}{vars(caught.value)}{caught.value.__cause__}"


def test_a_bad_variable_is_named():
    with pytest.raises(ConfigError, match="K8S_AUTH_VERIFY_SSL: 'perhaps' is neither true nor false"):
        login({"kubeconfig": config()}, {"K8S_AUTH_VERIFY_SSL": "perhaps"})


def test_nothing_secret_is_in_what_is_shown():
    user = {"token": SECRET, "client-certificate-data": data("C"), "client-key-data": data(SECRET)}
    found = login({"kubeconfig": config(user=user), "proxy": f"http://u:{SECRET}@p:1"}, {})
    assert SECRET not in f"{found}{found.server}{found.credentials}{found.credentials.proof()}{found.server.where}"


FIELDS = (
    "server", "certificate-authority", "certificate-authority-data", "tls-server-name", "proxy-url", "insecure-skip-tls-verify", "extensions", "token",
    "tokenFile", "username", "password", "client-certificate", "client-key", "client-certificate-data", "client-key-data", "exec", "auth-provider", "as",
    "as-groups", "as-uid", "as-user-extra", "namespace", "cluster", "user", "name", "command", "args", "env", "apiVersion",
)  # fmt: skip
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["https://one", "one", module.__name__]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=8,
)
PART = st.dictionaries(st.sampled_from(FIELDS), JUNK, max_size=6)


@given(cluster=PART, user=PART, context=PART, whole=st.dictionaries(st.sampled_from(["clusters", "users", "contexts", "current-context"]), JUNK, max_size=2))
def test_whatever_a_kubeconfig_says_no_traceback_comes_of_it(cluster, user, context, whole):
    document = {**config(cluster={"server": "https://one", **cluster}, user=user, context=context), **whole}
    with contextlib.suppress(DeliveryError):
        login({"kubeconfig": document}, {})


def test_an_auth_provider_needs_the_kubernetes_package(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "kubernetes", None)
    found = login({"kubeconfig": config(user={"auth-provider": {"name": "oidc"}})}, {})
    with pytest.raises(MissingDependency, match=r"the Python package kubernetes is needed for the auth-provider oidc of .*pip install kubernetes"):
        found.credentials.proof()
