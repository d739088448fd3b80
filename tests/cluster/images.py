# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Container images without a container engine: one archive as ``docker save`` writes it, all images on one layer with one program."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path

REGISTRY = "registry.test"
"""No such host: an image that is not in the archive cannot be pulled, and a Pod that names one waits in ImagePullBackOff."""
PAUSE = f"{REGISTRY}/pause:1"
IMAGES: dict[str, dict[str, str]] = {
    **{f"{REGISTRY}/app:{version}": {"APP_VERSION": version} for version in ("1", "2", "3")},
    f"{REGISTRY}/app:bad": {"APP_VERSION": "bad", "ERROR_SHARE": "0.1"},
    f"{REGISTRY}/app:slow": {"APP_VERSION": "slow", "LATENCY": "400ms"},
    f"{REGISTRY}/app:unready": {"APP_VERSION": "unready", "READY": "false"},
    f"{REGISTRY}/app:crash": {"APP_VERSION": "crash", "CRASH": "start"},
}
"""Image -> what its configuration sets in the environment. The image alone decides the version."""


def write(archive: Path, program: Path) -> None:
    """Write the images of ``program`` (the test app), and the pause image, to ``archive``."""
    layer = _layer(program)
    configs = {PAUSE: _config(layer, "/pause", {}), **{name: _config(layer, "/app", environment) for name, environment in IMAGES.items()}}
    files = {"layer.tar": layer}
    manifest = []
    for name, config in configs.items():
        file = hashlib.sha256(config).hexdigest() + ".json"
        files[file] = config
        manifest.append({"Config": file, "RepoTags": [name], "Layers": ["layer.tar"]})
    files["manifest.json"] = json.dumps(manifest).encode()
    with tarfile.open(archive, "w") as tar:
        for path, data in files.items():
            _add(tar, path, data)


def _layer(program: Path) -> bytes:
    """A file system of the one program, by two names, and a world-writable /tmp."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        _add(tar, "app", program.read_bytes(), mode=0o755)
        link = tarfile.TarInfo("pause")
        link.type, link.linkname = tarfile.SYMTYPE, "app"
        tar.addfile(link)
        folder = tarfile.TarInfo("tmp")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o1777
        tar.addfile(folder)
    return stream.getvalue()


def _config(layer: bytes, program: str, environment: dict[str, str]) -> bytes:
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return json.dumps({
        "architecture": architecture,
        "os": "linux",
        "config": {"Entrypoint": [program], "Env": [f"{name}={value}" for name, value in environment.items()]},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
        "history": [{}],
    }).encode()  # fmt: skip


def _add(tar: tarfile.TarFile, path: str, data: bytes, mode: int = 0o644) -> None:
    info = tarfile.TarInfo(path)
    info.size, info.mode = len(data), mode
    tar.addfile(info, io.BytesIO(data))
