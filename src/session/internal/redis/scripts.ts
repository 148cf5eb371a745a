import { sha1 } from "@noble/hashes/legacy.js"
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js"
import { markMillis } from "../policy.js"
import * as record from "./record.js"

// What changes something, each one step for the server.
//
// A script reads no clock: ARGV[1] is the caller's now. Where it can name the keys it works with, they are in KEYS. The
// keys of the sessions that an index names, and of the index that a session names, are only known inside. KEYS then
// holds what they begin with, so that they lie in the slot of the others. While a Cluster moves that slot, such a key
// may be on the other node already, and the script fails at it: it is asked for before anything else is written, or
// what was written is right without the rest.
//
// A write that takes memory comes first, unless the script has made room before: Redis refuses a script when it is full
// as long as that has written nothing.

/** The text of a script, and the name that the server gives it. */
export interface Script {
  readonly text: string
  readonly sha: string
}

/**
 * How long Redis keeps a key after it has become meaningless, in milliseconds. Who is signed in is decided by the clock
 * of whoever asks; this is how far two of those, or two readings of the server's own, may be apart.
 */
export const grace = 5 * 60 * 1_000

const prelude = `
local now = tonumber(ARGV[1])

-- Lua writes large numbers as 8.64e+15.
local function text(number)
  return string.format('%.0f', number)
end

local function millisUntil(deadline)
  return math.max(0, math.ceil(deadline - now)) + ${grace}
end

local function keepFor(key, millis)
  if redis.call('PTTL', key) < millis then
    redis.call('PEXPIRE', key, text(millis))
  end
end

-- Time goes on within a script: a second longer than the session's own, so that it never ends before it.
local function keepIndexFor(index, millis)
  keepFor(index, millis + 1000)
end

local function deadlines(key)
  local found = redis.call('HMGET', key, 'idleDeadline', 'absoluteDeadline')
  return tonumber(found[1]), tonumber(found[2])
end

local function isLive(key)
  local idle, absolute = deadlines(key)
  return idle and absolute and now < idle and now < absolute
end

local function drop(key, indexes, id)
  local index = redis.call('HGET', key, 'index')
  if index then
    redis.call('ZREM', indexes .. index, id)
  end
  redis.call('DEL', key)
end

-- Of the sessions that were over first, those that Redis has removed go from the index.
local function prune(index, sessions)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', text(now), 'LIMIT', 0, 16)) do
    if redis.call('EXISTS', sessions .. id) == 0 then
      redis.call('ZREM', index, id)
    end
  end
end

-- The fields are in ARGV from \`first\` on.
local function put(key, id, deadline, index, first)
  redis.call('HSET', key, unpack(ARGV, first))
  redis.call('PEXPIRE', key, text(millisUntil(tonumber(deadline))))
  if index then
    redis.call('ZADD', index, deadline, id)
    keepIndexFor(index, millisUntil(tonumber(deadline)))
  end
end
`

const script = (body: string): Script => {
  const text = `${prelude}\n${body.trim()}\n`
  return { text, sha: bytesToHex(sha1(utf8ToBytes(text))) }
}

/** KEYS: session, sessions, indexes, and of a subject index, mark. ARGV: now, id, deadline, authenticatedAt, fields. */
export const create = script(`
local mark = KEYS[5] and redis.call('GET', KEYS[5])
if mark and now < tonumber(mark) + ${markMillis} and tonumber(ARGV[4]) < tonumber(mark) then
  return 0
end
if redis.call('EXISTS', KEYS[1]) == 1 then
  drop(KEYS[1], KEYS[3], ARGV[2])
end
put(KEYS[1], ARGV[2], ARGV[3], KEYS[4], 5)
if KEYS[4] then
  prune(KEYS[4], KEYS[2])
end
return 1
`)

/** KEYS: session. ARGV: now, version, data, schemaVersion. */
export const update = script(`
if not isLive(KEYS[1]) or redis.call('HGET', KEYS[1], 'version') ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], 'data', ARGV[3], 'schemaVersion', ARGV[4])
redis.call('HINCRBY', KEYS[1], 'version', 1)
return 1
`)

/** KEYS: session, indexes. ARGV: now, id, deadline. */
export const touch = script(`
if not isLive(KEYS[1]) then
  return 0
end
local idle, absolute = deadlines(KEYS[1])
idle = math.max(idle, tonumber(ARGV[3]))
local deadline = math.min(idle, absolute)
local index = redis.call('HGET', KEYS[1], 'index')
if index then
  redis.call('ZADD', KEYS[2] .. index, text(deadline), ARGV[2])
  keepIndexFor(KEYS[2] .. index, millisUntil(deadline))
end
redis.call('HSET', KEYS[1], 'lastSeenAt', ARGV[1], 'idleDeadline', text(idle))
keepFor(KEYS[1], millisUntil(deadline))
return 1
`)

/**
 * KEYS: old session, new session, sessions, indexes, and of a subject its index. ARGV: now, old id, version, new id,
 * deadline, fields.
 */
export const rotate = script(`
if not isLive(KEYS[1]) or redis.call('HGET', KEYS[1], 'version') ~= ARGV[3] then
  return 0
end
drop(KEYS[1], KEYS[4], ARGV[2])
drop(KEYS[2], KEYS[4], ARGV[4])
put(KEYS[2], ARGV[4], ARGV[5], KEYS[5], 6)
if KEYS[5] then
  prune(KEYS[5], KEYS[3])
end
return 1
`)

/** KEYS: session, indexes. ARGV: now, id. */
export const remove = script(`
drop(KEYS[1], KEYS[2], ARGV[2])
return 1
`)

/** KEYS: index, mark, sessions. ARGV: now, and the id that is left alone. */
export const removeBySubject = script(`
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  if id ~= ARGV[2] then
    redis.call('DEL', KEYS[3] .. id)
    redis.call('ZREM', KEYS[1], id)
  end
end
local mark = tonumber(redis.call('GET', KEYS[2]))
redis.call('SET', KEYS[2], text(math.max(mark or now, now)), 'PX', ${markMillis + grace})
return 1
`)

/** KEYS: index, sessions. Each id with the fields of its record. */
export const list = script(`
local found = {}
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local fields = redis.call('HMGET', KEYS[2] .. id, ${record.fields.map((name) => `'${name}'`).join(", ")})
  if fields[1] then
    found[#found + 1] = { id, fields }
  else
    redis.call('ZREM', KEYS[1], id)
  end
end
return found
`)

/** KEYS: session, indexes. ARGV: now, id. */
export const removeExpired = script(`
if redis.call('EXISTS', KEYS[1]) == 0 or isLive(KEYS[1]) then
  return 0
end
drop(KEYS[1], KEYS[2], ARGV[2])
return 1
`)

/** KEYS: epoch. ARGV: now, until. */
export const advance = script(`
local number = math.max((tonumber(redis.call('GET', KEYS[1])) or 0) + 1, now)
local millis = math.max(redis.call('PTTL', KEYS[1]), millisUntil(tonumber(ARGV[2])))
redis.call('SET', KEYS[1], text(number), 'PX', text(millis))
return text(number)
`)
