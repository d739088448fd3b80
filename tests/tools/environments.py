# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual environments for the tests: ``.venv`` for everything, and one a leg for the matrix.

Standard library only. uv builds them, because it takes seconds where pip takes minutes; uv itself comes from PyPI by pip, once for
each version, into the user's cache folder. Run as a script this makes or refreshes ``.venv``.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterable
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "progressive-delivery"
"""What may outlive a clone: uv, and the environments of ansible-test."""
LOCK = CHECKOUT / "tests" / "requirements.txt"


def pins() -> dict[str, str]:
    """Package name -> its line in tests/requirements.txt. Of several lines for one package, the first."""
    found: dict[str, str] = {}
    for line in LOCK.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            found.setdefault(line.split("==")[0].lower(), line)
    return found


def uv() -> Path:
    """The pinned uv, installed into the cache when it is not there yet."""
    pin = pins()["uv"]
    home = CACHE / pin.replace("==", "-") / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    binary = home / "bin" / "uv"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not binary.exists():
            print(f"Installing {pin} into {home}", flush=True)
            venv.create(home, with_pip=True, clear=True)
            subprocess.run([str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", pin], check=True)
    return binary


def pip_settings() -> dict[str, str]:
    """pip's settings from its files and from the environment, without their sections: ``cert``, ``index-url``, ..."""
    python = uv().parent / "python"
    listed = subprocess.run([str(python), "-m", "pip", "config", "list"], check=True, capture_output=True, text=True).stdout
    return dict(re.findall(r"^[\w:]+\.([\w-]+)='(.*)'$", listed, re.MULTILINE))


def uv_environment() -> dict[str, str]:
    """The environment for uv, which reads none of pip's settings: a private CA and a private index are handed over."""
    settings = pip_settings()
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    environment.pop("VIRTUAL_ENV", None)
    for name, ours in (("cert", "SSL_CERT_FILE"), ("index-url", "UV_DEFAULT_INDEX"), ("extra-index-url", "UV_INDEX")):
        if name in settings:
            environment.setdefault(ours, settings[name])
    return environment


def build(folder: Path, python: str, arguments: Iterable[str]) -> bool:
    """Make ``folder`` a virtual environment of ``python`` with what ``uv pip install ARGUMENTS`` installs; False if it was one already."""
    wanted = list(arguments)
    text = "\n".join([python, *wanted, LOCK.read_text(encoding="utf-8")])
    stamp = folder / "inputs.sha256"
    digest = hashlib.sha256(text.encode()).hexdigest()
    locks = CHECKOUT / ".cache" / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with open(locks / folder.name, "w", encoding="utf-8") as lock:  # two makes of one clone
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _build(folder, python, wanted, stamp, digest)


def _build(folder: Path, python: str, wanted: list[str], stamp: Path, digest: str) -> bool:
    if stamp.exists() and stamp.read_text(encoding="ascii") == digest and (folder / "bin" / "python").exists():
        return False
    tool, environment = str(uv()), uv_environment()
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([tool, "venv", "--quiet", "--python", python, str(folder)], check=True, env=environment)
    install = [tool, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(folder / "bin" / "python"), *wanted]
    subprocess.run(install, check=True, env=environment)
    stamp.write_text(digest, encoding="ascii")
    return True


def link_collection(site_packages: Path) -> None:
    """Make the checkout importable, and its FQCNs resolvable, as progressive.delivery from that folder."""
    link = site_packages / "ansible_collections" / "progressive" / "delivery"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink() or link.resolve() != CHECKOUT:
        link.unlink(missing_ok=True)
        link.symlink_to(CHECKOUT)


def main() -> int:
    """Make or refresh ``.venv``."""
    folder = CHECKOUT / ".venv"
    try:
        if build(folder, sys.executable, ["--requirement", str(LOCK)]):
            print(f"Made {folder} with Python {sys.version.split()[0]}", flush=True)
    except subprocess.CalledProcessError as error:
        print(f"Could not make {folder}: {' '.join(map(str, error.cmd[:4]))} ... ended with {error.returncode}; its reason is above.", file=sys.stderr)
        return 1
    link_collection(next(folder.glob("lib/python*/site-packages")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
