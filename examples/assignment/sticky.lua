-- Copyright (c) 2026, the progressive.delivery authors
-- GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
-- Which variant a user sees, as every router of progressive.delivery decides it. LuaJIT 2.1, as OpenResty, Kong and APISIX have it.
local bit = require("bit")
local bxor, rol, shr, byte = bit.bxor, bit.rol, bit.rshift, string.byte

local P1, P2, P3 = 0x9E3779B185EBCA87ULL, 0xC2B2AE3D27D4EB4FULL, 0x165667B19E3779F9ULL
local P4, P5 = 0x85EBCA77C2B2AE63ULL, 0x27D4EB2F165667C5ULL

local function word(data, at, size)
  local value = 0ULL
  for index = size - 1, 0, -1 do
    value = value * 256ULL + byte(data, at + index)
  end
  return value
end

local function mix(lane, value)
  return rol(lane + value * P2, 31) * P1
end

-- XXH64, seed 0.
local function xxh64(data)
  local at, size = 1, #data
  local h = P5
  if size >= 32 then
    local lanes = { P1 + P2, P2, 0ULL, 0ULL - P1 }
    while at + 31 <= size do
      for index = 1, 4 do
        lanes[index] = mix(lanes[index], word(data, at + 8 * (index - 1), 8))
      end
      at = at + 32
    end
    h = rol(lanes[1], 1) + rol(lanes[2], 7) + rol(lanes[3], 12) + rol(lanes[4], 18)
    for index = 1, 4 do
      h = bxor(h, mix(0ULL, lanes[index])) * P1 + P4
    end
  end
  h = h + size
  while at + 7 <= size do
    h = rol(bxor(h, mix(0ULL, word(data, at, 8))), 27) * P1 + P4
    at = at + 8
  end
  if at + 3 <= size then
    h = rol(bxor(h, word(data, at, 4) * P1), 23) * P2 + P3
    at = at + 4
  end
  while at <= size do
    h = rol(bxor(h, byte(data, at) * P5), 11) * P1
    at = at + 1
  end
  h = bxor(h, shr(h, 33)) * P2
  h = bxor(h, shr(h, 29)) * P3
  return bxor(h, shr(h, 32))
end

local sticky = {}

-- 0 to 9999.
function sticky.bucket(user, salt)
  return tonumber(xxh64(salt .. ":" .. user) % 10000ULL)
end

-- "A" or "B"; share is B's, in per cent.
function sticky.variant(user, salt, share)
  return sticky.bucket(user, salt) < math.floor(share * 100 + 0.5) and "B" or "A"
end

return sticky
