import * as Effect from "effect/Effect"
import type { SessionRecord } from "../SessionStore.js"
import type { Case, Fixture } from "./contract.js"
import { changed, day, drain, expect, hour, minute, plain, plains, sweptTest, test } from "./contract.js"

// The promises about what is over: deadlines, `find`, `remove`, `removeBySubject`, `listBySubject`, `removeExpired`.

// -----------------------------------------------------------------------------
// Deadlines
// -----------------------------------------------------------------------------

const deadlines = [
  { which: "idle", end: ({ start }: Fixture) => ({ idleDeadline: start + hour }) },
  { which: "absolute", end: ({ start }: Fixture) => ({ idleDeadline: start + day, absoluteDeadline: start + hour }) }
]

const find = [
  test("find: finds nothing that was never created", (t) =>
    Effect.gen(function*() {
      yield* expect("find", yield* t.found(yield* t.record()), null)
      yield* t.created()
      yield* expect("find, beside a session of the subject", yield* t.found(yield* t.record()), null)
    })),

  ...deadlines.map(({ end, which }) =>
    test(`find: never returns a record whose ${which} deadline has come`, (t) =>
      Effect.gen(function*() {
        const record = yield* t.created(end(t))
        yield* t.setTime(t.start + hour - 1)
        yield* expect("a millisecond before the deadline", yield* t.found(record), plain(record))
        for (const late of [0, 1, minute, 365 * day]) {
          yield* t.setTime(t.start + hour + late)
          yield* expect(`${late} ms after the deadline`, yield* t.found(record), null)
        }
      }))
  ),

  ...deadlines.map(({ end, which }) =>
    test(`every operation sees a record end at its ${which} deadline, to the millisecond`, (t) =>
      Effect.gen(function*() {
        for (const [late, isLive] of [[-1, true], [0, false], [1, false]] as const) {
          yield* t.setTime(t.start)
          const subject = yield* t.name
          const begun = { ...end(t), subject }
          const [found, listed, updated, touched, rotated] = yield* Effect.all(
            [t.created(begun), t.created(begun), t.created(begun), t.created(begun), t.created(begun)]
          )
          const next = yield* t.record({ subject })
          const when = `${late} ms after the deadline`
          yield* t.setTime(t.start + hour + late)
          yield* expect(`find, ${when}`, (yield* t.found(found)) !== null, isLive)
          yield* expect(
            `listBySubject, ${when}`,
            yield* t.listed({ subject }),
            plains(isLive ? [found, listed, updated, touched, rotated] : [])
          )
          yield* expect(`update, ${when}`, yield* t.store.update(changed(updated, { data: "new" })), isLive)
          yield* t.store.touch(touched.id, t.start + 2 * hour)
          yield* expect(`find after a touch, ${when}`, (yield* t.found(touched)) !== null, isLive)
          yield* expect(`rotate, ${when}`, yield* t.store.rotate(rotated.id, next), isLive)
          yield* expect(`find after a rotate, ${when}`, (yield* t.found(next)) !== null, isLive)
        }
      }))
  )
]

// -----------------------------------------------------------------------------
// remove and removeBySubject
// -----------------------------------------------------------------------------

/** No operation on an ended session brings it back. */
const expectGone = (t: Fixture, ended: SessionRecord, left: ReadonlyArray<SessionRecord> = []) =>
  Effect.gen(function*() {
    const next = yield* t.record()
    yield* expect("find", yield* t.found(ended), null)
    yield* expect("update", yield* t.store.update(changed(ended, { data: "new" })), false)
    yield* t.store.touch(ended.id, t.start + 2 * hour)
    yield* expect("rotate", yield* t.store.rotate(ended.id, next), false)
    yield* expect("find after update, touch and rotate", yield* t.found(ended), null)
    yield* expect("find of what it was rotated to", yield* t.found(next), null)
    yield* expect("listBySubject", yield* t.listed(), plains(left))
  })

/** A process whose clock is behind this one still sees as live what is expired here. */
const seenByClockBehind = (t: Fixture, record: SessionRecord) =>
  Effect.zipRight(t.setTime(t.start + hour - 1), t.found(record))

const remove = [
  test("remove: ends a session for good and no other one", (t) =>
    Effect.gen(function*() {
      const ended = yield* t.created()
      const other = yield* t.created()
      yield* t.store.remove(ended.id)
      yield* expectGone(t, ended, [other])
      yield* expect("find of the other", yield* t.found(other), plain(other))
    })),

  test("remove: succeeds again, and where nothing was", (t) =>
    Effect.gen(function*() {
      const ended = yield* t.created()
      yield* t.store.remove(ended.id)
      yield* t.store.remove(ended.id)
      yield* t.store.remove((yield* t.record()).id)
      yield* expectGone(t, ended)
    })),

  test("remove: leaves no mark: a password that was verified before still signs in", (t) =>
    Effect.gen(function*() {
      yield* t.store.remove((yield* t.created()).id)
      const record = yield* t.record({ authenticatedAt: t.start - 1 })
      yield* expect("create is refused", yield* t.isRefused(record), false)
    })),

  test("remove: ends an expired session too, for a process whose clock is behind", (t) =>
    Effect.gen(function*() {
      const record = yield* t.created()
      yield* t.setTime(t.start + hour)
      yield* t.store.remove(record.id)
      yield* expect("find, by the clock that is behind", yield* seenByClockBehind(t, record), null)
    }))
]

const removeBySubject = [
  test("removeBySubject: ends all sessions of the subject for good", (t) =>
    Effect.gen(function*() {
      const ended = yield* Effect.forEach([1, 2, 3], () => t.created())
      yield* t.removeAll()
      yield* Effect.forEach(ended, (record) => expectGone(t, record), { discard: true })
    })),

  test("removeBySubject: ends no session of another subject or realm, nor one without a subject", (t) =>
    Effect.gen(function*() {
      const others = yield* Effect.forEach(
        [
          { subject: yield* t.name },
          { subject: `${t.subject} ` },
          { subject: t.subject.slice(1) },
          { subject: "" },
          { subject: null },
          { realm: yield* t.name },
          { realm: `${t.realm}:`, subject: t.subject }
        ],
        (changes) => t.created(changes)
      )
      yield* t.created()
      yield* t.removeAll()
      yield* t.removeAll({ subject: "null" })
      for (const record of others) {
        yield* expect("find", yield* t.found(record), plain(record))
      }
      yield* expect("listBySubject", yield* t.listed(), [])
    })),

  test("removeBySubject: leaves the excepted one as it is, and no other", (t) =>
    Effect.gen(function*() {
      const ended = yield* t.created()
      const kept = yield* t.created({ version: 2 })
      const foreign = yield* t.created({ subject: yield* t.name })
      yield* t.removeAll({ except: kept })
      yield* expect("find of the excepted", yield* t.found(kept), plain(kept))
      yield* expectGone(t, ended, [kept])
      yield* t.removeAll({ except: foreign })
      yield* expectGone(t, kept)
      yield* expect("find of an excepted one of another subject", yield* t.found(foreign), plain(foreign))
    })),

  test("removeBySubject: succeeds again, and for a subject without sessions", (t) =>
    Effect.gen(function*() {
      yield* t.removeAll()
      const record = yield* t.created()
      yield* t.removeAll()
      yield* t.removeAll()
      yield* expectGone(t, record)
    })),

  test("removeBySubject: ends expired sessions too, for a process whose clock is behind", (t) =>
    Effect.gen(function*() {
      const record = yield* t.created()
      yield* t.setTime(t.start + hour)
      yield* t.removeAll()
      yield* expect("find, by the clock that is behind", yield* seenByClockBehind(t, record), null)
    }))
]

// -----------------------------------------------------------------------------
// listBySubject
// -----------------------------------------------------------------------------

const listBySubject = [
  test("listBySubject: lists the live sessions of one subject in one realm, with all that they hold", (t) =>
    Effect.gen(function*() {
      yield* expect("of a subject without sessions", yield* t.listed(), [])
      const lasting = yield* Effect.forEach([{ userAgent: "\u{1f512}" }, { version: 2, remember: false }], t.created)
      const short = yield* t.created({ idleDeadline: t.start + minute })
      const other = yield* t.created({ subject: yield* t.name })
      const foreign = yield* t.created({ realm: yield* t.name })
      yield* expect("of the subject", yield* t.listed(), plains([...lasting, short]))
      yield* expect("of another subject", yield* t.listed({ subject: other.subject! }), [plain(other)])
      yield* expect("of another realm", yield* t.listed({ realm: foreign.realm }), [plain(foreign)])
      yield* t.setTime(t.start + minute)
      yield* expect("when one is over", yield* t.listed(), plains(lasting))
    }))
]

// -----------------------------------------------------------------------------
// removeExpired
// -----------------------------------------------------------------------------

const batch = 1_000

/** What others have left behind goes first, so that the counts that follow are about the case's own records. */
const sweptFirst = (name: string, body: Parameters<typeof sweptTest>[1]) =>
  sweptTest(name, (t) => Effect.zipRight(drain(t.store, batch), body(t)))

const removeExpired = [
  sweptFirst(
    "removeExpired: removes at most as many as it is told to, and says how many",
    (t) =>
      Effect.gen(function*() {
        yield* Effect.forEach(
          [0, 1, 2, 3, 4, 5, 6],
          (index) => t.created({ idleDeadline: t.start + (index + 1) * minute })
        )
        yield* expect("before anything is expired", yield* t.store.removeExpired(batch), 0)
        yield* t.setTime(t.start + 7 * minute)
        yield* expect("with a limit of 0", yield* t.store.removeExpired(0), 0)
        yield* expect("of 7, in batches of 3", yield* drain(t.store, 3), [3, 3, 1])
        yield* expect("when nothing is left", yield* t.store.removeExpired(batch), 0)
      })
  ),

  sweptFirst(
    "removeExpired: removes what is over by either deadline, of all realms, with and without a subject",
    (t) =>
      Effect.gen(function*() {
        const idle = { idleDeadline: t.start + hour }
        const absolute = { idleDeadline: t.start + 2 * day }
        yield* t.created(idle)
        yield* t.created({ ...idle, realm: yield* t.name })
        yield* t.created({ ...idle, subject: null })
        const touched = yield* t.created(absolute)
        yield* t.store.touch(touched.id, t.start + 3 * day)
        yield* t.setTime(t.start + hour)
        yield* expect("at the idle deadline of 3", yield* drain(t.store, batch), [3])
        yield* t.setTime(t.start + day - 1)
        yield* expect("a millisecond before the absolute deadline", yield* drain(t.store, batch), [0])
        yield* t.setTime(t.start + day)
        yield* expect("at the absolute deadline", yield* drain(t.store, batch), [1])
      })
  ),

  sweptFirst("removeExpired: removes nothing that is live, whatever moved its deadline", (t) =>
    Effect.gen(function*() {
      const deadline = t.start + 10 * minute
      const touched = yield* t.created({ idleDeadline: deadline })
      yield* t.store.touch(touched.id, deadline + minute)
      const old = yield* t.created({ idleDeadline: deadline })
      const rotated = yield* t.record({ idleDeadline: deadline + minute })
      yield* t.store.rotate(old.id, rotated)
      const updated = yield* t.created({ idleDeadline: deadline + 1 })
      yield* t.store.update(changed(updated, { idleDeadline: deadline }))
      const removed = yield* t.created({ idleDeadline: deadline })
      yield* t.store.remove(removed.id)
      const live = [
        changed(touched, { idleDeadline: deadline + minute }),
        rotated,
        changed(updated, { version: 1 })
      ]
      for (const now of [deadline - 1, deadline]) {
        yield* t.setTime(now)
        yield* expect("how many are removed", yield* drain(t.store, batch), [0])
        yield* expect("listBySubject", yield* t.listed(), plains(live))
      }
      yield* t.setTime(deadline + minute)
      yield* expect("how many are removed when all are over", yield* drain(t.store, batch), [3])
    }))
]

export const cases: ReadonlyArray<Case> = [
  ...find,
  ...remove,
  ...removeBySubject,
  ...listBySubject,
  ...removeExpired
]
