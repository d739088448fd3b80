# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Release folders on a host: ``releases/<version>`` beside a link ``current``, as deployment tools have kept them for years."""

from __future__ import annotations

import contextlib
import os
import shutil

from ..core.errors import ConfigError, Unavailable
from ..core.options import NAME


class ReleaseDir:
    """``base`` holds ``releases/`` and ``current``. Raises ConfigError for what is not there, Unavailable for what the disk refuses."""

    def __init__(self, base: str) -> None:
        self.base = os.path.expanduser(base)
        self.releases = os.path.join(self.base, "releases")
        self.link = os.path.join(self.base, "current")

    def current(self) -> str:
        """The version ``current`` points to; '' when there is none yet."""
        try:
            return os.path.basename(os.readlink(self.link).rstrip("/"))
        except FileNotFoundError:
            return ""
        except OSError:
            raise ConfigError("current is not a link", where=self.link, do="Move it away: it must be a link to a release.") from None

    def switch(self, version: str) -> None:
        """Let ``current`` point to ``version`` in one atomic rename."""
        if not NAME.match(version):
            raise ConfigError(f"{version!r} cannot be a folder name", where="version", do="Letters, digits, '.', '_', ':' and '-'.")
        target = os.path.join(self.releases, version)
        if not os.path.isdir(target):
            raise ConfigError("that release is not on this host", where=target, do="Put it there before the switch.")
        fresh = f"{self.link}.{os.getpid()}"
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(fresh)
            os.symlink(os.path.join("releases", version), fresh)
            os.replace(fresh, self.link)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(fresh)
            raise Unavailable(f"the link cannot be switched: {error.strerror}", where=self.link) from None

    def unwanted(self, version: str, keep: int) -> list[str]:
        """Releases beyond the ``keep`` newest, oldest first; never ``version`` and never the one in use."""
        try:
            found = [entry for entry in os.scandir(self.releases) if entry.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise Unavailable(f"the releases cannot be listed: {error.strerror}", where=self.releases) from None
        used = {version, self.current()}
        old = sorted((entry for entry in found if entry.name not in used), key=lambda entry: entry.stat().st_mtime)
        surplus = len(found) - max(keep, len(used & {entry.name for entry in found}))
        return [entry.name for entry in old[: max(0, surplus)]]

    def remove(self, versions: list[str]) -> None:
        for version in versions:
            try:
                shutil.rmtree(os.path.join(self.releases, version))
            except OSError as error:
                raise Unavailable(f"an old release cannot be removed: {error.strerror}", where=os.path.join(self.releases, version)) from None
