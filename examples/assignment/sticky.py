# Copyright (c) 2026, the progressive.delivery authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which variant a user sees, as every router of progressive.delivery decides it. ``pip install xxhash`` does the hash as well, in C."""

MASK = (1 << 64) - 1
P1, P2, P3, P4, P5 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5


def variant(user, salt, share):
    """``A`` or ``B``; ``share`` is B's, in per cent."""
    return "B" if bucket(user, salt) < round(share * 100) else "A"


def bucket(user, salt):
    """0 to 9999."""
    return xxh64(f"{salt}:{user}".encode()) % 10000


def xxh64(data):
    """XXH64, seed 0."""

    def left(value, by):
        return (value << by | value >> (64 - by)) & MASK

    def word(start, size=8):
        return int.from_bytes(data[start:start + size], "little")

    def mix(lane, value):
        return left((lane + value * P2) & MASK, 31) * P1 & MASK

    at, end = 0, len(data)
    h = P5
    if end >= 32:
        lanes = [P1 + P2 & MASK, P2, 0, -P1 & MASK]
        while at + 32 <= end:
            lanes = [mix(lane, word(at + 8 * index)) for index, lane in enumerate(lanes)]
            at += 32
        h = sum(left(lane, by) for lane, by in zip(lanes, (1, 7, 12, 18))) & MASK
        for lane in lanes:
            h = ((h ^ mix(0, lane)) * P1 + P4) & MASK
    h = (h + end) & MASK
    while at + 8 <= end:
        h = (left(h ^ mix(0, word(at)), 27) * P1 + P4) & MASK
        at += 8
    if at + 4 <= end:
        h = (left(h ^ word(at, 4) * P1 & MASK, 23) * P2 + P3) & MASK
        at += 4
    for byte in data[at:]:
        h = left(h ^ byte * P5 & MASK, 11) * P1 & MASK
    h = (h ^ h >> 33) * P2 & MASK
    h = (h ^ h >> 29) * P3 & MASK
    return h ^ h >> 32
