import * as Effect from "effect/Effect"
import type { SessionRecord } from "../SessionStore.js"
import type { Case, Fixture } from "./contract.js"
import { changed, day, expect, hour, minute, plain, plains, test, text } from "./contract.js"

// The promises of `create`, `update`, `touch` and `rotate`, one operation after the other.

/** 16 KiB of JSON text, the most that a session holds, in characters of one to four bytes. */
const large = JSON.stringify(`${"\u65e5\u672c\u{1f512} tea ".repeat(1092)}xx`)

/** The last that a Date can tell. */
const lastMoment = 8_640_000_000_000_000

/** Each differs from an ordinary record in what a store may lose, cut, normalise or round. */
const unusual = (start: number): ReadonlyArray<Partial<SessionRecord>> => [
  {},
  { remember: false, userAgent: "", version: 3, schemaVersion: 7 },
  { version: 2_147_483_647, schemaVersion: 2_147_483_647 },
  { subject: null },
  { subject: "" },
  { subject: "\u00e9 e\u0301 \u{1f469}\u200d\u{1f680} \u202eabc% _ ' \" \\ \n\t" },
  { subject: "Ada" },
  { subject: "ada " },
  { userAgent: "Mozilla/5.0 (\u65e5\u672c; \u00e9 e\u0301 \u{1f512}) '; -- \\ \" % _" },
  { userAgent: "\u{1f512}".repeat(128) },
  { data: "null" },
  { data: "{ \"b\":1.0,\"a\":1e3 ,\"a\":null, \"\\u0000\": \"\\ud800\", \"c\":\"\u00e9 e\u0301 \u{1f512}\" }" },
  { data: large },
  { idleDeadline: lastMoment, absoluteDeadline: lastMoment },
  { createdAt: 0, authenticatedAt: start - 1, lastSeenAt: start + 1, idleDeadline: start + hour + 1 }
]

/** Pairs of realm and subject that look alike where a store joins them, or compares without regard to case. */
const lookalikes = (name: string) =>
  [
    [name, "a:b"],
    [`${name}:a`, "b"],
    [`${name}:a:b`, ""],
    [name, "A:b"],
    [name, "a:b "],
    [name, "a:%"],
    [`${name}","a`, ""],
    [name, "\",\"a"],
    [`["${name}","a"]`, ""]
  ] as const

// -----------------------------------------------------------------------------
// create
// -----------------------------------------------------------------------------

/** A password that was verified a millisecond before the mark that a test sets at the start. */
const verifiedBefore = ({ start }: Fixture) => ({ authenticatedAt: start - 1 })

const create = [
  test("create: the record exists afterwards, as it was given to the last character", (t) =>
    Effect.forEach(unusual(t.start), (changes) =>
      Effect.gen(function*() {
        const given = yield* t.created({ realm: yield* t.name, ...changes })
        yield* expect("find", yield* t.found(given), plain(given))
        if (given.subject !== null) {
          yield* expect("listBySubject", yield* t.listed({ realm: given.realm, subject: given.subject }), [
            plain(given)
          ])
        }
      }), { discard: true })),

  test("create: refused when the password was verified before the subject's sessions were all ended", (t) =>
    Effect.gen(function*() {
      yield* t.removeAll()
      const late = yield* t.record(verifiedBefore(t))
      yield* expect("create is refused", yield* t.isRefused(late), true)
      yield* expect("find", yield* t.found(late), null)
      yield* expect("listBySubject", yield* t.listed(), [])
    })),

  test("create: not refused when the password was verified since, in the same millisecond too", (t) =>
    Effect.gen(function*() {
      yield* t.removeAll()
      const records = yield* Effect.forEach([t.start, t.start + 1], (authenticatedAt) => t.created({ authenticatedAt }))
      yield* expect("listBySubject", yield* t.listed(), plains(records))
    })),

  test("create: a mark stands against its own subject in its own realm only", (t) =>
    Effect.gen(function*() {
      yield* t.removeAll()
      const realm = yield* t.name
      const subject = yield* t.name
      yield* t.created({ ...verifiedBefore(t), subject })
      yield* t.created({ ...verifiedBefore(t), realm })
      const pairs = lookalikes(realm)
      for (const [last, [realm, subject]] of pairs.entries()) {
        yield* t.removeAll({ realm, subject })
        for (const [index, [realm, subject]] of pairs.entries()) {
          const record = yield* t.record({ ...verifiedBefore(t), realm, subject })
          yield* expect(
            `create for ${text(pairs[index])} is refused, when the marked are ${text(pairs.slice(0, last + 1))}`,
            yield* t.isRefused(record),
            index <= last
          )
        }
      }
    })),

  test("create: a mark lives for 10 minutes, to the millisecond", (t) =>
    Effect.gen(function*() {
      yield* t.removeAll()
      yield* t.setTime(t.start + 10 * minute - 1)
      yield* expect("refused a millisecond before", yield* t.isRefused(yield* t.record(verifiedBefore(t))), true)
      yield* t.setTime(t.start + 10 * minute)
      yield* expect("refused after 10 minutes", yield* t.isRefused(yield* t.record(verifiedBefore(t))), false)
    })),

  test("create: the latest mark counts, one that left a session alone too", (t) =>
    Effect.gen(function*() {
      const kept = yield* t.created()
      yield* t.removeAll()
      yield* t.setTime(t.start + 5 * minute)
      yield* t.removeAll({ except: kept })
      yield* t.setTime(t.start + 14 * minute)
      const before = yield* t.record({ authenticatedAt: t.start + 5 * minute - 1 })
      yield* expect("refused, verified before the latest mark", yield* t.isRefused(before), true)
      const since = yield* t.record({ authenticatedAt: t.start + 5 * minute })
      yield* expect("refused, verified since the latest mark", yield* t.isRefused(since), false)
    })),

  test("create: a mark is not taken back by a clock that goes back", (t) =>
    Effect.gen(function*() {
      yield* t.setTime(t.start + minute)
      yield* t.removeAll()
      yield* t.setTime(t.start)
      yield* t.removeAll()
      const before = yield* t.record({ authenticatedAt: t.start + minute - 1 })
      yield* expect("refused, verified before the first of two marks", yield* t.isRefused(before), true)
    })),

  test("create: a record without a subject is never refused, and is no subject's", (t) =>
    Effect.gen(function*() {
      const anonymous = yield* t.created({ subject: null })
      for (const subject of ["", "null", "undefined", "0"]) {
        yield* t.removeAll({ subject })
        const other = yield* t.record({ ...verifiedBefore(t), subject: null })
        yield* expect(`refused after removeBySubject of ${text(subject)}`, yield* t.isRefused(other), false)
        yield* expect(`listBySubject of ${text(subject)}`, yield* t.listed({ subject }), [])
      }
      yield* expect("find", yield* t.found(anonymous), plain(anonymous))
    }))
]

// -----------------------------------------------------------------------------
// update
// -----------------------------------------------------------------------------

const update = [
  test("update: replaces data and schema version, raises the version by one and changes nothing else", (t) =>
    Effect.gen(function*() {
      const given = yield* t.created({ version: 4 })
      const other = { realm: yield* t.name, subject: yield* t.name }
      const replacement = changed(given, {
        ...other,
        data: "{\"cart\":[]}",
        schemaVersion: 2,
        createdAt: 1,
        authenticatedAt: 2,
        lastSeenAt: 3,
        idleDeadline: t.start + 2 * day,
        absoluteDeadline: t.start + 3 * day,
        remember: false,
        userAgent: "other"
      })
      yield* t.setTime(t.start + minute)
      yield* expect("update", yield* t.store.update(replacement), true)
      const expected = plain(changed(given, { data: replacement.data, schemaVersion: 2, version: 5 }))
      yield* expect("find", yield* t.found(given), expected)
      yield* expect("listBySubject", yield* t.listed(), [expected])
      yield* expect("listBySubject of the other", yield* t.listed(other), [])
      const next = changed(given, { data: "next", version: 5 })
      yield* expect("update of the version that it left", yield* t.store.update(next), true)
    })),

  test("update: false, changing nothing, when the record has another version", (t) =>
    Effect.gen(function*() {
      const given = yield* t.created()
      yield* t.store.update(changed(given, { data: "first" }))
      for (const version of [0, 2, 3, -1]) {
        const late = changed(given, { data: "second", schemaVersion: 9, version })
        yield* expect(`update of version ${version}, where 1 is there`, yield* t.store.update(late), false)
        yield* expect("find", yield* t.found(given), plain(changed(given, { data: "first", version: 1 })))
      }
    })),

  test("update: never creates: not what was never there, was removed or was rotated away", (t) =>
    Effect.gen(function*() {
      const never = yield* t.record()
      const removed = yield* t.created()
      yield* t.store.remove(removed.id)
      const rotated = yield* t.created()
      const next = yield* t.record()
      yield* t.store.rotate(rotated.id, next)
      for (const [what, record] of [["never there", never], ["removed", removed], ["rotated away", rotated]] as const) {
        yield* expect(`update of what was ${what}`, yield* t.store.update(changed(record, { data: "new" })), false)
        yield* expect(`find of what was ${what}`, yield* t.found(record), null)
      }
      yield* expect("listBySubject", yield* t.listed(), [plain(next)])
    }))
]

// -----------------------------------------------------------------------------
// touch
// -----------------------------------------------------------------------------

const touch = [
  test("touch: extends the idle deadline, sets when the session was last seen and changes nothing else", (t) =>
    Effect.gen(function*() {
      const given = yield* t.created({ version: 2 })
      yield* t.setTime(t.start + minute)
      yield* t.store.touch(given.id, t.start + 2 * hour)
      const expected = plain(changed(given, { lastSeenAt: t.start + minute, idleDeadline: t.start + 2 * hour }))
      yield* expect("find", yield* t.found(given), expected)
      yield* expect("listBySubject", yield* t.listed(), [expected])
      yield* t.setTime(t.start + 2 * hour - 1)
      yield* expect("find a millisecond before the deadline", yield* t.found(given), expected)
      yield* t.setTime(t.start + 2 * hour)
      yield* expect("find at the deadline", yield* t.found(given), null)
    })),

  test("touch: does not disturb a writer that read before it", (t) =>
    Effect.gen(function*() {
      const given = yield* t.created()
      yield* t.store.touch(given.id, t.start + 2 * hour)
      yield* expect("update", yield* t.store.update(changed(given, { data: "new" })), true)
      const expected = changed(given, { data: "new", version: 1, idleDeadline: t.start + 2 * hour })
      yield* expect("find", yield* t.found(given), plain(expected))
    })),

  test("touch: never shortens a deadline", (t) =>
    Effect.gen(function*() {
      const given = yield* t.created()
      for (const [index, deadline] of [0, t.start, t.start + minute, t.start + hour - 1].entries()) {
        yield* t.setTime(t.start + index)
        yield* t.store.touch(given.id, deadline)
        yield* expect("find", yield* t.found(given), plain(changed(given, { lastSeenAt: t.start + index })))
      }
    })),

  test("touch: never moves the absolute deadline", (t) =>
    Effect.gen(function*() {
      const given = yield* t.created()
      yield* t.store.touch(given.id, t.start + 2 * day)
      yield* expect("find", yield* t.found(given), plain(changed(given, { idleDeadline: t.start + 2 * day })))
      yield* t.setTime(t.start + day)
      yield* expect("find at the absolute deadline", yield* t.found(given), null)
    })),

  test("touch: never revives: not what was never there, was removed or was rotated away", (t) =>
    Effect.gen(function*() {
      const never = yield* t.record()
      const removed = yield* t.created()
      yield* t.store.remove(removed.id)
      const rotated = yield* t.created()
      const next = yield* t.record()
      yield* t.store.rotate(rotated.id, next)
      for (const [what, record] of [["never there", never], ["removed", removed], ["rotated away", rotated]] as const) {
        yield* t.store.touch(record.id, t.start + 2 * hour)
        yield* expect(`find of what was ${what}, after a touch`, yield* t.found(record), null)
      }
      yield* expect("listBySubject", yield* t.listed(), [plain(next)])
    }))
]

// -----------------------------------------------------------------------------
// rotate
// -----------------------------------------------------------------------------

const rotate = [
  test("rotate: the new record is there as it was given, and the old one is gone", (t) =>
    Effect.gen(function*() {
      for (const changes of [{}, { version: 3, remember: false, userAgent: "\u{1f512}", schemaVersion: 5 }]) {
        const subject = yield* t.name
        const old = yield* t.created({ subject, version: changes.version ?? 0 })
        const next = yield* t.record({ ...changes, subject, data: "next", idleDeadline: t.start + 2 * hour })
        yield* expect("rotate", yield* t.store.rotate(old.id, next), true)
        yield* expect("find of the new one", yield* t.found(next), plain(next))
        yield* expect("find of the old one", yield* t.found(old), null)
        yield* expect("listBySubject", yield* t.listed({ subject }), [plain(next)])
        yield* expect("update of the new one", yield* t.store.update(changed(next, { data: "new" })), true)
      }
      const anonymous = yield* t.created({ subject: null })
      const next = yield* t.record({ subject: null, id: yield* t.successor(t.realm, anonymous.id) })
      yield* expect("rotate without a subject", yield* t.store.rotate(anonymous.id, next), true)
      yield* expect("find of the new one without a subject", yield* t.found(next), plain(next))
      yield* expect("find of the old one without a subject", yield* t.found(anonymous), null)
    })),

  test("rotate: false, creating and removing nothing, when an update came between", (t) =>
    Effect.gen(function*() {
      const old = yield* t.created()
      yield* t.store.update(changed(old, { data: "new" }))
      for (const version of [0, 2]) {
        const next = yield* t.record({ version })
        yield* expect(`rotate of version ${version}, where 1 is there`, yield* t.store.rotate(old.id, next), false)
        yield* expect("find of the new one", yield* t.found(next), null)
        const expected = plain(changed(old, { data: "new", version: 1 }))
        yield* expect("find of the old one", yield* t.found(old), expected)
        yield* expect("listBySubject", yield* t.listed(), [expected])
      }
    })),

  test("rotate: false, creating nothing, when the old record was never there, was removed or rotated away", (t) =>
    Effect.gen(function*() {
      const never = yield* t.record()
      const removed = yield* t.created()
      yield* t.store.remove(removed.id)
      const rotated = yield* t.created()
      const present = yield* t.record()
      yield* t.store.rotate(rotated.id, present)
      for (const [what, record] of [["never there", never], ["removed", removed], ["rotated away", rotated]] as const) {
        const next = yield* t.record()
        yield* expect(`rotate of what was ${what}`, yield* t.store.rotate(record.id, next), false)
        yield* expect("find of the new one", yield* t.found(next), null)
      }
      yield* expect("listBySubject", yield* t.listed(), [plain(present)])
    }))
]

export const cases: ReadonlyArray<Case> = [...create, ...update, ...touch, ...rotate]
