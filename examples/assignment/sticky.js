// Copyright (c) 2026, the progressive.delivery authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
// Which variant a user sees, as every router of progressive.delivery decides it. Browsers and Node.js.
"use strict";

const [P1, P2, P3, P4, P5] = [0x9E3779B185EBCA87n, 0xC2B2AE3D27D4EB4Fn, 0x165667B19E3779F9n, 0x85EBCA77C2B2AE63n, 0x27D4EB2F165667C5n];
const u64 = (value) => BigInt.asUintN(64, value);
const left = (value, by) => u64((value << BigInt(by)) | (value >> BigInt(64 - by)));
const mix = (lane, word) => u64(left(u64(lane + word * P2), 31) * P1);

// "A" or "B"; share is B's, in per cent.
function variant(user, salt, share) {
  return bucket(user, salt) < Math.round(share * 100) ? "B" : "A";
}

// 0 to 9999.
function bucket(user, salt) {
  return Number(xxh64(new TextEncoder().encode(`${salt}:${user}`)) % 10000n);
}

// XXH64, seed 0.
function xxh64(data) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const end = data.byteLength;
  let at = 0;
  let h = P5;
  if (end >= 32) {
    let lanes = [u64(P1 + P2), P2, 0n, u64(-P1)];
    for (; at + 32 <= end; at += 32) {
      const start = at;
      lanes = lanes.map((lane, index) => mix(lane, view.getBigUint64(start + 8 * index, true)));
    }
    h = u64(left(lanes[0], 1) + left(lanes[1], 7) + left(lanes[2], 12) + left(lanes[3], 18));
    for (const lane of lanes) h = u64((h ^ mix(0n, lane)) * P1 + P4);
  }
  h = u64(h + BigInt(end));
  for (; at + 8 <= end; at += 8) h = u64(left(h ^ mix(0n, view.getBigUint64(at, true)), 27) * P1 + P4);
  if (at + 4 <= end) {
    h = u64(left(h ^ u64(BigInt(view.getUint32(at, true)) * P1), 23) * P2 + P3);
    at += 4;
  }
  for (; at < end; at += 1) h = u64(left(h ^ u64(BigInt(data[at]) * P5), 11) * P1);
  h = u64((h ^ (h >> 33n)) * P2);
  h = u64((h ^ (h >> 29n)) * P3);
  return h ^ (h >> 32n);
}

if (typeof module !== "undefined") module.exports = { variant, bucket };
