// Copyright (c) 2026, the progressive.delivery authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Package sticky says which variant a user sees, as every router of progressive.delivery decides it.
package sticky

import (
	"encoding/binary"
	"math"
	"math/bits"
)

const (
	p1 uint64 = 0x9E3779B185EBCA87
	p2 uint64 = 0xC2B2AE3D27D4EB4F
	p3 uint64 = 0x165667B19E3779F9
	p4 uint64 = 0x85EBCA77C2B2AE63
	p5 uint64 = 0x27D4EB2F165667C5
)

// Variant is "A" or "B"; share is B's, in per cent.
func Variant(user, salt string, share float64) string {
	if float64(Bucket(user, salt)) < math.Round(share*100) {
		return "B"
	}
	return "A"
}

// Bucket is 0 to 9999.
func Bucket(user, salt string) int {
	return int(xxh64([]byte(salt+":"+user)) % 10000)
}

func mix(lane, word uint64) uint64 {
	return bits.RotateLeft64(lane+word*p2, 31) * p1
}

// xxh64 has seed 0.
func xxh64(data []byte) uint64 {
	h, end := p5, uint64(len(data))
	if len(data) >= 32 {
		first, second := p1, p2 // not constants, so that they wrap
		lanes := [4]uint64{first + second, second, 0, -first}
		for ; len(data) >= 32; data = data[32:] {
			for index := range lanes {
				lanes[index] = mix(lanes[index], binary.LittleEndian.Uint64(data[8*index:]))
			}
		}
		h = bits.RotateLeft64(lanes[0], 1) + bits.RotateLeft64(lanes[1], 7) + bits.RotateLeft64(lanes[2], 12) + bits.RotateLeft64(lanes[3], 18)
		for _, lane := range lanes {
			h = (h^mix(0, lane))*p1 + p4
		}
	}
	h += end
	for ; len(data) >= 8; data = data[8:] {
		h = bits.RotateLeft64(h^mix(0, binary.LittleEndian.Uint64(data)), 27)*p1 + p4
	}
	if len(data) >= 4 {
		h = bits.RotateLeft64(h^uint64(binary.LittleEndian.Uint32(data))*p1, 23)*p2 + p3
		data = data[4:]
	}
	for _, one := range data {
		h = bits.RotateLeft64(h^uint64(one)*p5, 11) * p1
	}
	h = (h ^ h>>33) * p2
	h = (h ^ h>>29) * p3
	return h ^ h>>32
}
