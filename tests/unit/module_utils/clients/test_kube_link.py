# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS to an API server, both ways, and proxies. The other side is a real TLS server with certificates made by openssl."""

from __future__ import annotations

import base64
import socket
import socketserver
import ssl
import subprocess
import tempfile
import threading
from dataclasses import replace

import pytest

from ansible_collections.progressive.delivery.plugins.module_utils.clients.clock import FakeClock
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube import Kube
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_link import Server, _untrusted
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_login import Fixed, Proof
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kube_resources import PODS
from ansible_collections.progressive.delivery.plugins.module_utils.clients.kubeconfig import Login
from ansible_collections.progressive.delivery.plugins.module_utils.core.errors import ConfigError, Unavailable, Unsupported
from ansible_collections.progressive.delivery.tests.unit.kube_server import ApiServer, Reply

POD = {"kind": "Pod", "metadata": {"name": "a"}}
SECRET = "s3cret-nobody-may-see"


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """An authority without keyUsage, as old clusters have them, and certificates of a server and of a client."""
    folder = tmp_path_factory.mktemp("pki")
    make = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    (folder / "bare.cnf").write_text("[req]\ndistinguished_name = dn\nx509_extensions = ext\n[dn]\n[ext]\nbasicConstraints = critical, CA:TRUE\n")
    openssl(*make, "-config", folder / "bare.cnf", "-subj", "/CN=old CA", "-keyout", folder / "ca.key", "-out", folder / "ca.crt")
    for name, extension in (("server", "subjectAltName=DNS:api.test"), ("client", "extendedKeyUsage=clientAuth")):
        (folder / f"{name}.ext").write_text(extension)
        request = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}")
        openssl(*request, "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.csr")
        sign = ("x509", "-req", "-days", "2", "-CAcreateserial", "-CA", folder / "ca.crt", "-CAkey", folder / "ca.key")
        openssl(*sign, "-in", folder / f"{name}.csr", "-extfile", folder / f"{name}.ext", "-out", folder / f"{name}.crt")
    openssl("ec", "-in", folder / "client.key", "-aes128", "-passout", "pass:x", "-out", folder / "locked.key")
    return folder


@pytest.fixture
def api(pki):
    """A server that wants a client certificate if one is offered, and tells which it saw."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / "server.crt", pki / "server.key")
    context.load_verify_locations(pki / "ca.crt")
    context.verify_mode = ssl.CERT_OPTIONAL
    with ApiServer(lambda seen: Reply(POD), context) as server:
        yield server


@pytest.fixture
def client(api, pki):
    """A function that makes a client which trusts the server, but for what is said otherwise."""
    base = Server(api.url, f"{api.url} (test)", ca_file=str(pki / "ca.crt"), name="api.test")

    def make(proof=None, **changes):
        return Kube(Login(replace(base, **changes), Fixed(proof or Proof("Bearer t"))), FakeClock())

    return make


def test_an_authority_without_key_usage_is_good_enough_as_it_is_for_kubectl(client, pki):
    assert client().get(PODS, "a") == POD
    assert client(ca_file="", ca_data=(pki / "ca.crt").read_text()).get(PODS, "a") == POD


def test_trust_without_an_authority(client):
    assert client(verify=False, ca_file="", name="").get(PODS, "a") == POD
    with pytest.raises(Unavailable, match="certificate is not trusted: .*certificate.*. Give the authority's certificate as ca_cert"):
        client(ca_file="").get(PODS, "a")


def test_a_certificate_for_another_name(client):
    with pytest.raises(Unavailable, match="not valid for '127.0.0.1'. Use a name that its certificate has, or set tls-server-name"):
        client(name="").get(PODS, "a")


@pytest.mark.parametrize("content", ["", "nonsense", None])
def test_an_authority_that_is_none(client, tmp_path, content):
    path = tmp_path / "ca.crt"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=f"{path}: the certificate authority cannot be used"):
        client(ca_file=str(path)).get(PODS, "a")


def test_a_client_certificate_leaves_no_file(client, pki, api, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    proof = Proof("", (pki / "client.crt").read_bytes(), (pki / "client.key").read_bytes())
    assert client(proof).get(PODS, "a") == POD
    assert list(tmp_path.iterdir()) == []
    assert api.seen[0].header("authorization") == []


@pytest.mark.parametrize("key", ["server.key", "locked.key", "ca.crt"])
def test_a_key_that_does_not_fit(client, pki, tmp_path, monkeypatch, key):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(ConfigError, match="the client certificate or its key cannot be used: .*It must be PEM, not encrypted"):
        client(Proof("", (pki / "client.crt").read_bytes(), (pki / key).read_bytes())).get(PODS, "a")
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_speaks_no_tls():
    with ApiServer(lambda seen: Reply(POD)) as plain:
        kube = Kube(Login(Server(plain.url.replace("http:", "https:"), "here", verify=False), Fixed(Proof())), FakeClock())
        with pytest.raises(Unavailable, match="here: the API server does not answer: TLS failed: "):
            kube.get(PODS, "a")


@pytest.mark.parametrize(
    "said, do",
    [
        ("CA cert does not include key usage extension", "Python 3.13 and later"),
        ("Missing Authority Key Identifier", "Give the authority's certificate"),
        ("certificate has expired", "kubeadm certs renew"),
        ("self-signed certificate in certificate chain", "Give the authority's certificate as ca_cert"),
    ],
)
def test_distrust_says_what_to_do(said, do):
    error = ssl.SSLCertVerificationError(1, said)
    error.verify_message = said
    assert do in str(_untrusted(error, Server("https://one", "one")))


class Proxy(socketserver.ThreadingTCPServer):
    """A proxy for CONNECT that leads every name to one port of this machine."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, port, refuse=False):
        self.heads, self.port, self.refuse = [], port, refuse
        super().__init__(("127.0.0.1", 0), Tunnel)


class Tunnel(socketserver.StreamRequestHandler):
    def handle(self):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.rfile.readline()
        self.server.heads.append(head.decode())
        if self.server.refuse:
            self.wfile.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", self.server.port)) as there:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=self.copy, args=(there, self.connection), daemon=True)
            back.start()
            self.copy(self.connection, there)
            back.join(10)

    @staticmethod
    def copy(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass


@pytest.fixture
def proxy(api):
    running = []

    def start(refuse=False):
        server = Proxy(api.port, refuse)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        running.append(server)
        return server, f"http://anna:{SECRET}@127.0.0.1:{server.server_address[1]}"

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def test_through_a_proxy(client, proxy):
    server, url = proxy()
    assert client(proxy=url, url="https://api.test:6443").get(PODS, "a") == POD  # the proxy resolves the name
    assert server.heads[0].startswith("CONNECT api.test:6443 HTTP/1.1\r\nHost: api.test:6443\r\n")
    assert f"Proxy-Authorization: Basic {base64.b64encode(f'anna:{SECRET}'.encode()).decode()}" in server.heads[0]


def test_a_proxy_that_refuses_is_named_without_its_password(client, proxy):
    _server, url = proxy(refuse=True)
    with pytest.raises(Unavailable, match=r"the proxy 127.0.0.1 refuses the connection \(407\)") as caught:
        client(proxy=url).get(PODS, "a")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("proxy", ["socks5://p:1", "https://p:1"])
def test_proxies_we_do_not_speak_to(proxy):
    with pytest.raises(Unsupported, match="the address of the proxy begins with"):
        Server("https://one", "one", proxy=proxy)


def test_a_new_certificate_is_shown_on_a_new_connection(api, client, pki):
    kube = client(Proof("Bearer t"))
    kube.get(PODS, "a")
    kube._login.credentials._proof = Proof("", (pki / "client.crt").read_bytes(), (pki / "client.key").read_bytes())
    kube.get(PODS, "a")
    assert [seen.connection for seen in api.seen] == [0, 1]
