import * as Effect from "effect/Effect"
import type { SecurityUnavailable } from "../../SecurityError.js"
import type { Case, Fixture, Mismatch } from "./contract.js"
import { changed, expect, hour, plain, test } from "./contract.js"

// The promises about operations that run beside each other.

const yields = (count: number) => Effect.yieldNow().pipe(Effect.repeatN(count - 1), Effect.when(() => count > 0))

/** How long one waits and the other, in steps of the scheduler, and whether the second is started first. */
const schedules = [
  [0, 0],
  [0, 1],
  [1, 0],
  [0, 2],
  [2, 0],
  [0, 3],
  [3, 0]
].flatMap(([first, second]) => [false, true].map((isSwapped) => ({ first: first!, second: second!, isSwapped })))

type Schedule = typeof schedules[number]

/** Both at once, as the schedule says; the results in the order in which they were given. */
const beside = <A, B, E>(
  { first, isSwapped, second }: Schedule,
  a: Effect.Effect<A, E>,
  b: Effect.Effect<B, E>
): Effect.Effect<[A, B], E> => {
  const early = Effect.zipRight(yields(first), a)
  const late = Effect.zipRight(yields(second), b)
  return isSwapped
    ? Effect.map(Effect.zip(late, early, { concurrent: true }), ([b, a]) => [a, b])
    : Effect.zip(early, late, { concurrent: true })
}

/** Many at once. */
const crowd = <A, E>(effects: ReadonlyArray<Effect.Effect<A, E>>): Effect.Effect<Array<A>, E> =>
  Effect.all(effects.map((effect, index) => Effect.zipRight(yields(index % 3), effect)), { concurrency: "unbounded" })

const race = (
  name: string,
  body: (_: Fixture, schedule: Schedule) => Effect.Effect<void, Mismatch | SecurityUnavailable>
) => test(name, (t) => Effect.forEach(schedules, (schedule) => body(t, schedule), { discard: true }))

const size = 20
const numbers = Array.from({ length: size }, (_, index) => index)

// -----------------------------------------------------------------------------
// One winner
// -----------------------------------------------------------------------------

const winners = [
  test("update: of many that read the same version, one wins", (t) =>
    Effect.gen(function*() {
      const given = yield* t.created()
      const won = yield* crowd(
        numbers.map((index) => t.store.update(changed(given, { data: String(index), schemaVersion: index })))
      )
      yield* expect("how many updates were true", won.filter(Boolean).length, 1)
      const winner = won.indexOf(true)
      const expected = changed(given, { data: String(winner), schemaVersion: winner, version: 1 })
      yield* expect("find, what the winner wrote", yield* t.found(given), plain(expected))
    })),

  test("rotate: of many from one record, one wins, and leaves one record", (t) =>
    Effect.gen(function*() {
      const old = yield* t.created()
      const nexts = yield* Effect.forEach(numbers, (index) => t.record({ data: String(index) }))
      const won = yield* crowd(nexts.map((next) => t.store.rotate(old.id, next)))
      yield* expect("how many rotates were true", won.filter(Boolean).length, 1)
      yield* expect("listBySubject", yield* t.listed(), [plain(nexts[won.indexOf(true)]!)])
      yield* expect("find of the old one", yield* t.found(old), null)
    })),

  race("rotate: beside an update of the same version, one of the two wins", (t, schedule) =>
    Effect.gen(function*() {
      const subject = yield* t.name
      const old = yield* t.created({ subject })
      const next = yield* t.record({ subject, data: "next" })
      const updated = changed(old, { data: "updated" })
      const [isRotated, isUpdated] = yield* beside(schedule, t.store.rotate(old.id, next), t.store.update(updated))
      yield* expect("how many were true", [isRotated, isUpdated].filter(Boolean).length, 1)
      yield* expect("listBySubject", yield* t.listed({ subject }), [
        plain(isRotated ? next : changed(updated, { version: 1 }))
      ])
    }))
]

// -----------------------------------------------------------------------------
// Nothing is lost
// -----------------------------------------------------------------------------

const losses = [
  race("touch: beside an update, neither undoes the other", (t, schedule) =>
    Effect.gen(function*() {
      const given = yield* t.created()
      const updated = changed(given, { data: "new", version: 0 })
      yield* beside(schedule, t.store.touch(given.id, t.start + 2 * hour), t.store.update(updated))
      const expected = changed(updated, { version: 1, idleDeadline: t.start + 2 * hour })
      yield* expect("find", yield* t.found(given), plain(expected))
    })),

  test("touch: of many, the latest deadline stands", (t) =>
    Effect.forEach([numbers, numbers.map((index) => size - 1 - index)], (numbers) =>
      Effect.gen(function*() {
        const given = yield* t.created()
        yield* crowd(numbers.map((index) => t.store.touch(given.id, t.start + 2 * hour + index)))
        const expected = changed(given, { idleDeadline: t.start + 2 * hour + size - 1 })
        yield* expect("find", yield* t.found(given), plain(expected))
      }), { discard: true }))
]

// -----------------------------------------------------------------------------
// Nothing comes back
// -----------------------------------------------------------------------------

const revivals = [
  race("remove: no update, touch or rotate beside it brings the session back", (t, schedule) =>
    Effect.gen(function*() {
      const subject = yield* t.name
      const [updated, touched, rotated] = yield* Effect.all([
        t.created({ subject }),
        t.created({ subject }),
        t.created({ subject })
      ])
      const next = yield* t.record({ subject })
      yield* beside(schedule, t.store.update(changed(updated, { data: "new" })), t.store.remove(updated.id))
      yield* expect("find after an update beside", yield* t.found(updated), null)
      yield* beside(schedule, t.store.touch(touched.id, t.start + 2 * hour), t.store.remove(touched.id))
      yield* expect("find after a touch beside", yield* t.found(touched), null)
      const [isRotated] = yield* beside(schedule, t.store.rotate(rotated.id, next), t.store.remove(rotated.id))
      yield* expect("find after a rotate beside", yield* t.found(rotated), null)
      yield* expect("find of what it was rotated to", yield* t.found(next), isRotated ? plain(next) : null)
      yield* expect("listBySubject", yield* t.listed({ subject }), isRotated ? [plain(next)] : [])
    })),

  race(
    "removeBySubject: no update, touch or rotate beside it keeps a session",
    (t, schedule) =>
      Effect.gen(function*() {
        const subject = yield* t.name
        const [updated, touched, rotated] = yield* Effect.all([
          t.created({ subject }),
          t.created({ subject }),
          t.created({ subject })
        ])
        const next = yield* t.record({ subject })
        const writes = Effect.all([
          t.store.update(changed(updated, { data: "new" })),
          t.store.touch(touched.id, t.start + 2 * hour),
          t.store.rotate(rotated.id, next)
        ], { concurrency: "unbounded" })
        yield* beside(schedule, writes, t.removeAll({ subject }))
        for (const record of [updated, touched, rotated, next]) {
          yield* expect("find", yield* t.found(record), null)
        }
        yield* expect("listBySubject", yield* t.listed({ subject }), [])
      })
  ),

  race(
    "removeBySubject: no sign-in beside it that verified its password before survives it",
    (t, schedule) =>
      Effect.gen(function*() {
        const subject = yield* t.name
        const records = yield* Effect.forEach(
          numbers.slice(0, 5),
          () => t.record({ subject, authenticatedAt: t.start - 1 })
        )
        yield* beside(schedule, crowd(records.map((record) => t.isRefused(record))), t.removeAll({ subject }))
        yield* expect("listBySubject", yield* t.listed({ subject }), [])
        for (const record of records) {
          yield* expect("find", yield* t.found(record), null)
        }
      })
  )
]

export const cases: ReadonlyArray<Case> = [...winners, ...losses, ...revivals]
