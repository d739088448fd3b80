# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which variant a user sees: ``XXH64(salt:key) mod 10000 < split point``. Stateless, the same everywhere, and monotone: as a share grows users
come to the candidate, and nobody leaves it.

XXH64 because Envoy (its hash policies) and HAProxy (its converter ``xxh64``) compute it themselves, because it spreads numbers that follow each
other, and because a salt changes the order of users entirely, which a checksum such as CRC32 does not.

Source: the xxHash specification, version 0.1.1 (Y. Collet), section XXH64.
"""

from __future__ import annotations

import re
from fractions import Fraction

from .errors import ConfigError, Unsupported
from .units import show_percent

PARTS = 10_000
"""Buckets that users fall into: shares are whole hundredths of a per cent."""

SALT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?\Z")
"""What may stand in every router's own configuration without quoting."""

_MASK = (1 << 64) - 1
_P1, _P2, _P3, _P4, _P5 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5


def bucket(key: str, salt: str) -> int:
    """0 to 9999, for a key as the request carries it."""
    return xxh64(f"{salt}:{key}".encode("utf-8", "surrogateescape")) % PARTS


def split_point(share: Fraction) -> int:
    """Buckets below this one are the candidate's: none of them at 0 %, all at 100 %. Raises Unsupported for a share between two of them."""
    point = share * PARTS / 100
    if point.denominator != 1:
        raise Unsupported(f"{show_percent(share)} is no whole number of {PARTS} parts", do="Users are split in hundredths of a per cent.")
    return int(point)


def is_candidate(key: str, salt: str, share: Fraction) -> bool:
    """Whether the user with this key sees the candidate while it has this share."""
    return bucket(key, salt) < split_point(share)


def check_salt(salt: str, where: str) -> str:
    """Raises ConfigError for one that not every router can hold."""
    if not SALT.match(salt):
        raise ConfigError(f"{salt[:80]!r} is no salt", where=where, do="Letters, digits, '.', '_' and '-', up to 63.")
    return salt


def xxh64(data: bytes) -> int:
    """XXH64 with seed 0."""
    end, at = len(data), 0
    if end >= 32:
        lanes = [(_P1 + _P2) & _MASK, _P2, 0, -_P1 & _MASK]
        while at + 32 <= end:
            lanes = [_round(lane, _word(data, at + 8 * index)) for index, lane in enumerate(lanes)]
            at += 32
        value = sum(_left(lane, by) for lane, by in zip(lanes, (1, 7, 12, 18))) & _MASK
        for lane in lanes:
            value = ((value ^ _round(0, lane)) * _P1 + _P4) & _MASK
    else:
        value = _P5
    value = (value + end) & _MASK
    while at + 8 <= end:
        value = (_left(value ^ _round(0, _word(data, at)), 27) * _P1 + _P4) & _MASK
        at += 8
    if at + 4 <= end:
        value = (_left(value ^ (_word(data, at, 4) * _P1 & _MASK), 23) * _P2 + _P3) & _MASK
        at += 4
    for byte in data[at:]:
        value = _left(value ^ (byte * _P5 & _MASK), 11) * _P1 & _MASK
    value = (value ^ value >> 33) * _P2 & _MASK
    value = (value ^ value >> 29) * _P3 & _MASK
    return value ^ value >> 32


def _word(data: bytes, at: int, size: int = 8) -> int:
    end = at + size
    return int.from_bytes(data[at:end], "little")


def _left(value: int, by: int) -> int:
    return (value << by | value >> (64 - by)) & _MASK


def _round(lane: int, word: int) -> int:
    return _left((lane + word * _P2) & _MASK, 31) * _P1 & _MASK
