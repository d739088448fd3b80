# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From options, environment, kubeconfig files or the Pod we run in to the cluster, the user and the namespace that are meant.

Files are merged as kubectl does it: of several entries with one name the first file's counts, whole; paths are relative to their file.
"""

from __future__ import annotations

import base64
import json
import os
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ..core.errors import ConfigError, unknown
from ..core.options import Option, check
from .kube_link import Server
from .kube_login import Credentials, ExecPlugin, Fixed, LegacyProvider, Proof, TokenFile, basic, bearer

DEFAULT = "~/.kube/config"
POD = "/var/run/secrets/kubernetes.io/serviceaccount"
ENVIRONMENT = {
    "kubeconfig": "K8S_AUTH_KUBECONFIG", "context": "K8S_AUTH_CONTEXT", "host": "K8S_AUTH_HOST", "api_key": "K8S_AUTH_API_KEY",
    "username": "K8S_AUTH_USERNAME", "password": "K8S_AUTH_PASSWORD", "ca_cert": "K8S_AUTH_SSL_CA_CERT", "client_cert": "K8S_AUTH_CERT_FILE",
    "client_key": "K8S_AUTH_KEY_FILE", "validate_certs": "K8S_AUTH_VERIFY_SSL", "proxy": "K8S_AUTH_PROXY",
    "impersonate_user": "K8S_AUTH_IMPERSONATE_USER", "impersonate_groups": "K8S_AUTH_IMPERSONATE_GROUPS",
}  # fmt: skip
"""The environment variable behind each option, as kubernetes.core has them."""


@dataclass(frozen=True)
class Login:
    """Where to go and as whom. ``impersonate`` holds the headers of impersonation, as pairs."""

    server: Server
    credentials: Credentials = field(repr=False)
    namespace: str = "default"
    impersonate: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class _Source:
    """A merged kubeconfig. Every cluster and user carries the folder its paths are relative to, as ``_folder``."""

    name: str
    config: Mapping[str, Any] = field(repr=False)


def login(options: Mapping[str, Any], env: Optional[Mapping[str, str]] = None) -> Login:
    """The options decide, then ``K8S_AUTH_*``, ``KUBECONFIG``, ``~/.kube/config`` and the Pod we run in. Raises ConfigError, Unsupported."""
    env = os.environ if env is None else env
    given = {name: _from_environment(name, env[variable]) for name, variable in ENVIRONMENT.items() if env.get(variable)}
    given.update({name: value for name, value in options.items() if value not in (None, "", [])})
    identified = bool(given.get("api_key") or given.get("username") or given.get("client_cert"))
    source: Optional[_Source] = None
    if given.get("kubeconfig") or given.get("context") or not (given.get("host") and identified):
        source = _source(given, env)
    if source is None and not given.get("host"):
        return _overridden(_pod(env), given, env)
    if source is None:
        url = _url(str(given["host"]))
        return _overridden(Login(Server(url, url.rpartition("@")[2]), Fixed(Proof())), given, env)
    return _overridden(_from_context(source, given, env), given, env)


def _from_environment(name: str, text: str) -> Any:
    if name == "validate_certs":
        return check(text, Option("bool", ""), ENVIRONMENT[name])
    return [item.strip() for item in text.split(",") if item.strip()] if name == "impersonate_groups" else text


def _source(given: Mapping[str, Any], env: Mapping[str, str]) -> Optional[_Source]:
    """The kubeconfig that is meant; None when there is none and none was named."""
    named = given.get("kubeconfig")
    if isinstance(named, Mapping):
        return _Source("the kubeconfig given inline", _merged([(os.getcwd(), named)]))
    text = str(named or env.get("KUBECONFIG") or "")
    paths = [os.path.abspath(os.path.expanduser(path)) for path in (text or DEFAULT).split(os.pathsep) if path]
    there = [path for path in paths if os.path.exists(path)]
    if not there and (named or given.get("context")):
        raise ConfigError("there is no such file", where=f"kubeconfig {os.pathsep.join(paths)}")
    found = [(os.path.dirname(path), document) for path in there for document in [_read(path)] if document]
    return _Source(f"kubeconfig {os.pathsep.join(there)}", _merged(found)) if found else None


def _read(path: str) -> Mapping[str, Any]:
    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read(16 * 1024 * 1024)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot be read: {getattr(error, 'strerror', '') or 'not text'}", where=f"kubeconfig {path}") from None
    document = _parsed(text, path)
    if document is not None and not isinstance(document, Mapping):
        raise ConfigError("is no kubeconfig: not a mapping", where=f"kubeconfig {path}")
    return document or {}


def _parsed(text: str, path: str) -> Any:
    """What a file says: JSON at once, YAML by PyYAML. A message quotes the line's number, never the line: it may hold a key."""
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text)
        except ValueError:
            pass  # YAML's flow style begins so, too
    import yaml

    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ConfigError(f"is not readable YAML{f', line {mark.line + 1}' if mark else ''}", where=f"kubeconfig {path}") from None


def _merged(documents: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    result: dict[str, Any] = {"current-context": "", "clusters": {}, "users": {}, "contexts": {}}
    for folder, document in documents:
        result["current-context"] = result["current-context"] or str(document.get("current-context") or "")
        for family in ("clusters", "users", "contexts"):
            for item in _items(document.get(family)):
                inner = item.get(family[:-1]) if isinstance(item, Mapping) else None
                if isinstance(inner, Mapping):
                    result[family].setdefault(str(item.get("name")), {**inner, "_folder": folder})
    return result


def _from_context(source: _Source, given: Mapping[str, Any], env: Mapping[str, str]) -> Login:
    config = source.config
    name = str(given.get("context") or config["current-context"])
    if not name:
        raise ConfigError("it names no current-context", where=source.name, do=f"Give context: {', '.join(sorted(config['contexts'])) or 'there is none'}.")
    context = _entry(config["contexts"], name, "context", source.name)
    where = f"{source.name}, context {name}"
    cluster = _entry(config["clusters"], str(context.get("cluster") or ""), "cluster", where)
    user = _entry(config["users"], str(context["user"]), "user", where) if context.get("user") else {}
    # What the options replace is not read: the file may name certificates that this machine does not have.
    server = Server(
        url=_url(str(given.get("host") or cluster.get("server") or "")),
        where=f"{_url(str(given.get('host') or cluster.get('server') or '')).rpartition('@')[2]} ({where})",
        ca_file="" if given.get("ca_cert") else _path(cluster, "certificate-authority"),
        ca_data="" if given.get("ca_cert") else _pem(cluster, "certificate-authority-data", where).decode("ascii", "replace"),
        name=str(cluster.get("tls-server-name") or ""),
        verify=not cluster.get("insecure-skip-tls-verify"),
        proxy=str(cluster.get("proxy-url") or ""),
    )
    identified = given.get("api_key") or given.get("username") or given.get("client_cert")
    credentials = Fixed(Proof()) if identified else _credentials(user, cluster, source, name, where)
    extra = user.get("as-user-extra")
    headers = _impersonation(
        str(user.get("as") or ""), _items(user.get("as-groups")), str(user.get("as-uid") or ""), extra if isinstance(extra, Mapping) else {}
    )
    return Login(server, credentials, str(context.get("namespace") or "default"), headers)


def _entry(entries: Mapping[str, Any], name: str, kind: str, where: str) -> Mapping[str, Any]:
    if name not in entries:
        raise unknown(kind, name, entries, where=where)
    found: Mapping[str, Any] = entries[name]
    return found


def _credentials(user: Mapping[str, Any], cluster: Mapping[str, Any], source: _Source, context: str, where: str) -> Credentials:
    cert = _pem(user, "client-certificate-data", where) or _content(_path(user, "client-certificate"))
    key = _pem(user, "client-key-data", where) or _content(_path(user, "client-key"))
    _pair(cert, key, where)
    others = Proof("", cert, key)
    if user.get("tokenFile"):
        return TokenFile(_path(user, "tokenFile"), others)
    if user.get("token"):
        return Fixed(Proof(bearer(str(user["token"]), where), cert, key))
    if user.get("username"):
        return Fixed(Proof(basic(str(user["username"]), str(user.get("password") or "")), cert, key))
    if isinstance(user.get("exec"), Mapping) and not cert:
        return ExecPlugin(user["exec"], _cluster_info(cluster, where), user["_folder"], where)
    if isinstance(user.get("auth-provider"), Mapping) and not cert:
        return LegacyProvider(_single(source, context), str(user["auth-provider"].get("name")), where)
    return Fixed(others)


def _cluster_info(cluster: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What an exec plugin is told about the cluster."""
    info = {name: cluster[name] for name in ("server", "tls-server-name", "insecure-skip-tls-verify", "proxy-url") if cluster.get(name)}
    authority = _pem(cluster, "certificate-authority-data", where) or _content(_path(cluster, "certificate-authority"))
    if authority:
        info["certificate-authority-data"] = base64.b64encode(authority).decode("ascii")
    for extension in _items(cluster.get("extensions")):
        if isinstance(extension, Mapping) and extension.get("name") == "client.authentication.k8s.io/exec":
            info["config"] = extension.get("extension")
    return info


def _single(source: _Source, name: str) -> dict[str, Any]:
    """A kubeconfig of one context, for the kubernetes package, with whole paths."""

    def whole(entry: Mapping[str, Any]) -> dict[str, Any]:
        paths = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
        return {key: _path(entry, key) if key in paths else value for key, value in entry.items() if key != "_folder"}

    context = source.config["contexts"][name]
    cluster, user = source.config["clusters"][context["cluster"]], source.config["users"][context["user"]]
    return {
        "apiVersion": "v1", "kind": "Config", "current-context": name, "contexts": [{"name": name, "context": whole(context)}],
        "clusters": [{"name": context["cluster"], "cluster": whole(cluster)}], "users": [{"name": context["user"], "user": whole(user)}],
    }  # fmt: skip


def _pod(env: Mapping[str, str]) -> Login:
    """The ServiceAccount of the Pod we run in."""
    host, port = env.get("KUBERNETES_SERVICE_HOST", ""), env.get("KUBERNETES_SERVICE_PORT", "443")
    token = os.path.join(POD, "token")
    if not host or not os.path.exists(token):
        looked = env.get("KUBECONFIG") or DEFAULT
        do = "Give kubeconfig, set KUBECONFIG, or run inside the cluster."
        raise ConfigError(f"no cluster is named: {looked} is missing or empty, and this is no Pod with a ServiceAccount", where="kubeconfig", do=do)
    url = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    server = Server(url, f"{url} (ServiceAccount of this Pod)", ca_file=os.path.join(POD, "ca.crt"))
    try:
        namespace = _content(os.path.join(POD, "namespace")).decode().strip()
    except ConfigError:
        namespace = ""
    return Login(server, TokenFile(token, Proof()), namespace or "default")


def _overridden(base: Login, given: Mapping[str, Any], env: Mapping[str, str]) -> Login:
    """``base`` with what the options and K8S_AUTH_* say otherwise."""
    where = base.server.where
    server, credentials = base.server, base.credentials
    verify = given.get("validate_certs", server.verify)
    ca_file = os.path.expanduser(str(given.get("ca_cert") or server.ca_file))
    proxy = str(given.get("proxy") or server.proxy or _proxy(server, env))
    server = Server(_url(str(given.get("host") or server.url)), where, ca_file, server.ca_data, server.name, verify, proxy)
    if given.get("api_key") and given.get("username"):
        raise ConfigError("give either api_key or username and password")
    if given.get("api_key") or given.get("username") or given.get("client_cert"):
        cert = _content(os.path.expanduser(str(given.get("client_cert") or "")))
        key = _content(os.path.expanduser(str(given.get("client_key") or ""))) or (cert if b"PRIVATE KEY" in cert else b"")
        _pair(cert, key, "client_cert")
        authorization = bearer(str(given["api_key"]), "api_key") if given.get("api_key") else ""
        if given.get("username"):
            authorization = basic(str(given["username"]), str(given.get("password") or ""))
        credentials = Fixed(Proof(authorization, cert, key))
    headers = base.impersonate
    if given.get("impersonate_user") or given.get("impersonate_groups"):
        headers = _impersonation(str(given.get("impersonate_user") or ""), given.get("impersonate_groups") or (), "", {})
    return Login(server, credentials, str(given.get("namespace") or base.namespace), headers)


def _url(host: str) -> str:
    """A server as kubectl takes it: without a scheme it is http for no port, so we refuse to guess and take https."""
    host = host.strip().rstrip("/")
    return host if "://" in host or not host else f"https://{host}"


def _proxy(server: Server, env: Mapping[str, str]) -> str:
    """The proxy that the environment names for this server, as kubectl heeds it."""
    scheme = "https" if server.tls else "http"
    named = env.get(f"{scheme}_proxy") or env.get(f"{scheme.upper()}_PROXY") or ""
    host = server.address[0]
    if not named or host == "localhost" or host.startswith("127.") or host == "::1":
        return ""
    if any(_bypassed(host, item.strip().lower()) for item in (env.get("no_proxy") or env.get("NO_PROXY") or "").split(",")):
        return ""
    return named if "://" in named else f"http://{named}"


def _bypassed(host: str, item: str) -> bool:
    """Whether an item of NO_PROXY means the host: ``*``, a name with or without its dot, an address, a network such as ``10.0.0.0/8``."""
    if "/" not in item:
        return bool(item) and (item == "*" or host == item or host.endswith(item if item.startswith(".") else f".{item}"))
    import ipaddress  # seldom, and not cheap

    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(item, strict=False)
    except ValueError:
        return False


def _impersonation(user: str, groups: Sequence[str], uid: str, extra: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    if not user:
        if groups or uid or extra:
            raise ConfigError("groups are impersonated without a user", where="impersonate_groups", do="Give impersonate_user, too.")
        return ()
    headers = [("Impersonate-User", user), *(("Impersonate-Group", str(group)) for group in groups)]
    headers += [("Impersonate-Uid", uid)] if uid else []
    for key, values in extra.items():
        headers += [(f"Impersonate-Extra-{urllib.parse.quote(str(key), safe='')}", str(value)) for value in _items(values)]
    if any(not value.isprintable() or not (name + value).isascii() for name, value in headers):
        raise ConfigError("a user or group to impersonate holds a character that headers cannot hold", where="impersonate_user")
    return tuple(headers)


def _items(value: Any) -> Sequence[Any]:
    """A list as it is; nothing for whatever is none."""
    return value if isinstance(value, (list, tuple)) else ()


def _path(entry: Mapping[str, Any], name: str) -> str:
    """A path of the file, whole; empty when it names none."""
    return os.path.join(entry.get("_folder", ""), os.path.expanduser(str(entry[name]))) if entry.get(name) else ""


def _content(path: str) -> bytes:
    if not path:
        return b""
    try:
        with open(path, "rb") as stream:
            return stream.read(1024 * 1024)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=path) from None


def _pem(entry: Mapping[str, Any], name: str, where: str) -> bytes:
    """The bytes behind a ``-data`` field."""
    try:
        return base64.b64decode("".join(str(entry.get(name) or "").split()), validate=True)
    except ValueError:
        raise ConfigError(f"{name} is not base64", where=where) from None


def _pair(cert: bytes, key: bytes, where: str) -> None:
    if bool(cert) != bool(key):
        raise ConfigError(f"there is a client {'certificate without its key' if cert else 'key without its certificate'}", where=where)
