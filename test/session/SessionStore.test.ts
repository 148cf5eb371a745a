import { assert, describe, it } from "@effect/vitest"
import {
  Cause,
  Clock,
  Context,
  Effect,
  Either,
  Exit,
  FastCheck,
  Layer,
  Option,
  Runtime,
  Scope,
  TestClock
} from "effect"
import * as SessionStore from "effect-security/session/SessionStore"
import type * as SessionToken from "effect-security/session/SessionToken"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

const minute = 60_000
const hour = 60 * minute
const start = 1_700_000_000_000

const id = (name: string) => `${"-".repeat(12)}.${name.padEnd(43, "_")}` as SessionToken.SessionId

/** A record that begins at `start`, idle for an hour at most and a day in all. */
const record = (name: string, options?: Partial<SessionStore.SessionRecord>) =>
  new SessionStore.SessionRecord({
    id: id(name),
    realm: "realm",
    subject: "ada",
    data: `{"name":"${name}"}`,
    schemaVersion: 1,
    version: 0,
    createdAt: start,
    authenticatedAt: start,
    lastSeenAt: start,
    idleDeadline: start + hour,
    absoluteDeadline: start + 24 * hour,
    remember: true,
    userAgent: "",
    ...options
  })

const names = (records: ReadonlyArray<SessionStore.SessionRecord>) =>
  records.map(({ id }) => id.slice(13).replace(/_+$/, "")).sort()

/** Runs at `start`, with an empty store. */
const overMemory = <A, E>(
  f: (store: SessionStore.Service) => Effect.Effect<A, E>,
  layer: Layer.Layer<SessionStore.SessionStore> = SessionStore.layerMemory
) =>
() =>
  Effect.zipRight(
    TestClock.setTime(start),
    Effect.provide(Effect.flatMap(SessionStore.SessionStore, f), layer)
  )

interface HandClock extends Clock.Clock {
  readonly set: (now: number) => void
}

/** A clock that stands still until it is set, and on which nobody ever wakes up: no sweeper comes between. */
const handClock = (now: number): HandClock =>
  Object.assign(Object.create(Clock.make()), {
    unsafeCurrentTimeMillis: () => now,
    currentTimeMillis: Effect.sync(() => now),
    sleep: () => Effect.never,
    set: (time: number) => {
      now = time
    }
  })

const unswept = <A, E>(
  f: (store: SessionStore.Service, clock: HandClock) => Effect.Effect<A, E>,
  layer: Layer.Layer<SessionStore.SessionStore> = SessionStore.layerMemory
) =>
() => {
  const clock = handClock(start)
  return Effect.flatMap(SessionStore.SessionStore, (store) => f(store, clock)).pipe(
    Effect.provide(layer),
    Effect.withClock(clock)
  )
}

// What every store promises is in SessionStoreContract.test.ts: here is what memory does besides.

// -----------------------------------------------------------------------------
// Records
// -----------------------------------------------------------------------------

describe("memory", () => {
  it.effect(
    "replaces a record that is created again, in all respects",
    unswept((store, clock) =>
      Effect.gen(function*() {
        yield* store.create(record("a"))
        yield* store.create(record("a", { subject: "bob", idleDeadline: start + 2 * hour }))
        assert.deepStrictEqual(yield* store.listBySubject("realm", "ada"), [])
        assert.deepStrictEqual(names(yield* store.listBySubject("realm", "bob")), ["a"])
        clock.set(start + hour)
        assert.strictEqual(yield* store.removeExpired(10), 0)
        clock.set(start + 2 * hour)
        assert.strictEqual(yield* store.removeExpired(10), 1)
        assert.strictEqual(yield* store.removeExpired(10), 0)
      })
    )
  )

  it.effect(
    "keeps realms and subjects apart that hold what it joins them with",
    overMemory((store) =>
      Effect.gen(function*() {
        const pairs = [["a", "b\0c"], ["a\0b", "c"], ["[\"a\",\"b\"]", ""], ["a", "\",\""], ["a\",\"", ""]] as const
        yield* Effect.forEach(pairs, ([realm, subject], index) => store.create(record(`${index}`, { realm, subject })))
        for (const [index, [realm, subject]] of pairs.entries()) {
          assert.deepStrictEqual(names(yield* store.listBySubject(realm, subject)), [String(index)])
        }
      })
    )
  )

  it.effect("leaves nothing behind: sessions that came and went take no memory", () =>
    Effect.gen(function*() {
      const store = yield* SessionStore.SessionStore
      setFlagsFromString("--expose-gc")
      const collect: () => void = runInNewContext("gc")
      const heap = Effect.sync(() => {
        collect()
        return process.memoryUsage().heapUsed
      })
      const pass = (from: number, count: number) =>
        Effect.forEach(
          Array.from({ length: count }, (_, index) => String(from + index)),
          (name, index) =>
            Effect.zipRight(
              store.create(record(name)),
              index % 2 === 0
                ? store.remove(id(name))
                : Effect.zipRight(store.rotate(id(name), record(`${name}r`)), store.remove(id(`${name}r`)))
            ),
          { discard: true }
        )
      yield* pass(0, 1_000)
      const before = yield* heap
      yield* pass(1_000, 50_000)
      const grown = (yield* heap) - before
      assert.isBelow(grown, 2_000_000, `the heap grew by ${grown} bytes`)
    }).pipe(Effect.provide(SessionStore.layerMemory), Effect.withClock(handClock(start))))

  it.effect(
    "finds a record at the very deadline that a touch has moved, and not before",
    unswept((store, clock) =>
      Effect.gen(function*() {
        yield* store.create(record("a", { idleDeadline: start + 10 }))
        yield* store.touch(id("a"), start + hour)
        for (const now of [start + 10, start + minute, start + hour - 1]) {
          clock.set(now)
          assert.strictEqual(yield* store.removeExpired(10), 0)
          assert.isTrue(Option.isSome(yield* store.find(id("a"))))
        }
        yield* store.touch(id("a"), start + 2 * hour)
        clock.set(start + 2 * hour - 1)
        assert.strictEqual(yield* store.removeExpired(10), 0)
        clock.set(start + 2 * hour)
        assert.strictEqual(yield* store.removeExpired(10), 1)
      })
    )
  )

  it.effect(
    "leaves a live record whose deadline comes within the same minute",
    unswept((store, clock) =>
      Effect.gen(function*() {
        const deadline = Math.floor(start / minute) * minute + minute
        yield* store.create(record("a", { idleDeadline: deadline + 10 }))
        clock.set(deadline + 9)
        assert.strictEqual(yield* store.removeExpired(10), 0)
        clock.set(deadline + 10)
        assert.strictEqual(yield* store.removeExpired(10), 1)
      })
    )
  )

  it.effect(
    "counts no record that was removed or rotated away",
    unswept((store, clock) =>
      Effect.gen(function*() {
        yield* store.create(record("a"))
        yield* store.create(record("b"))
        yield* store.remove(id("a"))
        yield* store.rotate(id("b"), record("c"))
        clock.set(start + hour)
        assert.strictEqual(yield* store.removeExpired(10), 1)
      })
    )
  )
})

// -----------------------------------------------------------------------------
// The Layer
// -----------------------------------------------------------------------------

describe("the Layer", () => {
  const small = SessionStore.layerMemoryWith({ capacity: 2 })

  it.effect("holds a positive whole number of sessions, or its Layer dies with a sentence that says so", () =>
    Effect.gen(function*() {
      for (const capacity of [0, -1, 1.5, NaN, Infinity]) {
        const exit = yield* Effect.exit(Effect.scoped(Layer.build(SessionStore.layerMemoryWith({ capacity }))))
        assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause))
        assert.include(String(exit), "capacity")
      }
    }))

  it.effect(
    "that is full refuses one more session and evicts nobody",
    overMemory((store) =>
      Effect.gen(function*() {
        yield* store.create(record("a"))
        yield* store.create(record("b", { subject: "bob" }))
        for (const subject of ["ada", "eve"]) {
          const error = yield* Effect.flip(store.create(record("c", { subject })))
          assert.strictEqual(error._tag, "SecurityUnavailable")
        }
        const isFound = (name: string) => Effect.map(store.find(id(name)), Option.isSome)
        assert.deepStrictEqual(yield* Effect.forEach(["a", "b", "c"], isFound), [true, true, false])
        assert.deepStrictEqual(yield* store.listBySubject("realm", "eve"), [])
      }), small)
  )

  it.effect(
    "that is full still serves the sessions that it holds",
    overMemory((store) =>
      Effect.gen(function*() {
        yield* store.create(record("a"))
        yield* store.create(record("b"))
        assert.isTrue(yield* store.update(record("a", { data: "new" })))
        assert.isTrue(yield* store.rotate(id("a"), record("c", { version: 1 })))
        yield* store.touch(id("c"), start + 2 * hour)
        assert.deepStrictEqual(names(yield* store.listBySubject("realm", "ada")), ["b", "c"])
      }), small)
  )

  it.effect(
    "has room again when a session was removed",
    overMemory((store) =>
      Effect.gen(function*() {
        yield* store.create(record("a"))
        yield* store.create(record("b"))
        yield* store.remove(id("a"))
        yield* store.create(record("c"))
        assert.deepStrictEqual(names(yield* store.listBySubject("realm", "ada")), ["b", "c"])
      }), small)
  )

  it.effect(
    "has room again when a session is over, before it was swept",
    unswept((store, clock) =>
      Effect.gen(function*() {
        yield* store.create(record("a", { idleDeadline: start + 1 }))
        yield* store.create(record("b"))
        clock.set(start + 1)
        yield* store.create(record("c"))
        assert.deepStrictEqual(names(yield* store.listBySubject("realm", "ada")), ["b", "c"])
        assert.isTrue(Either.isLeft(yield* Effect.either(store.create(record("d")))))
      }), small)
  )

  it.effect(
    "is swept once a minute, however much is over",
    overMemory((store) =>
      Effect.gen(function*() {
        yield* Effect.forEach(
          Array.from({ length: 2_500 }, (_, index) => record(String(index), { idleDeadline: start + 10 })),
          store.create
        )
        yield* store.create(record("live"))
        yield* TestClock.adjust(minute - 1)
        assert.strictEqual(yield* store.removeExpired(1), 1, "not yet swept")
        yield* TestClock.adjust(1)
        assert.strictEqual(yield* store.removeExpired(1), 0, "swept")
        assert.isTrue(Option.isSome(yield* store.find(id("live"))))
        yield* store.create(record("next", { idleDeadline: start + minute + 10 }))
        yield* TestClock.adjust(minute)
        assert.strictEqual(yield* store.removeExpired(1), 0, "swept again")
      })
    )
  )

  it.effect("is swept until its Layer's scope ends, and not longer", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(start)
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(SessionStore.layerMemory, scope)
      const store = Context.get(context, SessionStore.SessionStore)
      yield* store.create(record("a", { idleDeadline: start + 10 }))
      yield* TestClock.adjust(minute)
      assert.strictEqual(yield* store.removeExpired(1), 0)
      yield* store.create(record("b", { idleDeadline: start + minute + 10 }))
      yield* Scope.close(scope, Exit.void)
      yield* TestClock.adjust(10 * minute)
      assert.strictEqual(yield* store.removeExpired(1), 1)
    }))

  it.effect("is one memory where one Layer is provided twice, and two where two are", () => {
    class A extends Context.Tag("test/A")<A, SessionStore.Service>() {}
    class B extends Context.Tag("test/B")<B, SessionStore.Service>() {}
    class C extends Context.Tag("test/C")<C, SessionStore.Service>() {}
    return Effect.gen(function*() {
      const [a, b, c] = yield* Effect.all([A, B, C])
      yield* a.create(record("a"))
      assert.isTrue(Option.isSome(yield* b.find(id("a"))))
      assert.isTrue(Option.isNone(yield* c.find(id("a"))))
    }).pipe(
      Effect.provide(Layer.mergeAll(
        Layer.effect(A, SessionStore.SessionStore).pipe(Layer.provide(SessionStore.layerMemory)),
        Layer.effect(B, SessionStore.SessionStore).pipe(Layer.provide(SessionStore.layerMemory)),
        Layer.effect(C, SessionStore.SessionStore).pipe(Layer.provide(small))
      )),
      Effect.withClock(handClock(start))
    )
  })
})

// -----------------------------------------------------------------------------
// What it holds
// -----------------------------------------------------------------------------

interface Model {
  now: number
  records: Array<SessionStore.SessionRecord>
}

interface Real {
  readonly store: SessionStore.Service
  readonly clock: HandClock
}

const capacity = 4
const live = ({ now, records }: Model) =>
  records.filter(({ absoluteDeadline, idleDeadline }) => now < idleDeadline && now < absoluteDeadline)
const liveRecord = (model: Model, name: string) => live(model).find((record) => record.id === id(name))
const run = <A, E>(effect: Effect.Effect<A, E>, clock: HandClock): Either.Either<A, E> =>
  Runtime.runSync(Runtime.defaultRuntime)(Effect.either(Effect.withClock(effect, clock)))
const ok = <A, E>(effect: Effect.Effect<A, E>, clock: HandClock): A => Either.getOrThrow(run(effect, clock))

const command = (
  title: string,
  check: (model: Model) => boolean,
  run: (model: Model, real: Real) => void
): FastCheck.Command<Model, Real> => ({ check, run, toString: () => title })

const arbitrary = {
  name: FastCheck.constantFrom("a", "b", "c", "d", "e", "f", "g"),
  time: FastCheck.constantFrom(0, 1, 59_999, minute, minute + 1, 10 * minute - 1, 10 * minute, hour)
}

const isNew = (name: string) => (model: Model) => !model.records.some((record) => record.id === id(name))

const commands: Array<FastCheck.Arbitrary<FastCheck.Command<Model, Real>>> = [
  FastCheck.tuple(arbitrary.name, arbitrary.time, arbitrary.time).map(([name, idle, absolute]) =>
    command(`create ${name}, ${idle} idle, ${absolute} in all`, isNew(name), (model, { clock, store }) => {
      const made = record(name, { idleDeadline: model.now + idle, absoluteDeadline: model.now + absolute })
      if (model.records.length >= capacity) {
        model.records = live(model)
      }
      const hasRoom = model.records.length < capacity
      assert.strictEqual(Either.isRight(run(store.create(made), clock)), hasRoom)
      if (hasRoom) {
        model.records.push(made)
      }
    })
  ),
  FastCheck.tuple(arbitrary.name, arbitrary.time).map(([name, time]) =>
    command(`touch ${name} for ${time}`, () => true, (model, { clock, store }) => {
      const current = liveRecord(model, name)
      ok(store.touch(id(name), model.now + time), clock)
      if (current !== undefined) {
        const idleDeadline = Math.max(current.idleDeadline, model.now + time)
        model.records = model.records.map((record) =>
          record === current ? new SessionStore.SessionRecord({ ...record, idleDeadline }) : record
        )
      }
    })
  ),
  FastCheck.tuple(arbitrary.name, arbitrary.name).map(([from, to]) =>
    command(`rotate ${from} to ${to}`, isNew(to), (model, { clock, store }) => {
      const current = liveRecord(model, from)
      const next = new SessionStore.SessionRecord({ ...current ?? record(to), id: id(to) })
      assert.strictEqual(ok(store.rotate(id(from), next), clock), current !== undefined)
      if (current !== undefined) {
        model.records = [...model.records.filter((record) => record !== current), next]
      }
    })
  ),
  arbitrary.name.map((name) =>
    command(`remove ${name}`, () => true, (model, { clock, store }) => {
      ok(store.remove(id(name)), clock)
      model.records = model.records.filter((record) => record.id !== id(name))
    })
  ),
  FastCheck.integer({ min: 0, max: 5 }).map((limit) =>
    command(`remove ${limit} expired`, () => true, (model, { clock, store }) => {
      const removed = ok(store.removeExpired(limit), clock)
      const expired = model.records.length - live(model).length
      assert.strictEqual(removed, Math.min(limit, expired))
      // Which of them is up to the store: the model asks for the rest at once.
      assert.strictEqual(ok(store.removeExpired(1_000), clock), expired - removed)
      model.records = live(model)
    })
  ),
  arbitrary.time.map((time) =>
    command(`${time} pass`, () => true, (model, { clock }) => {
      model.now += time
      clock.set(model.now)
    })
  )
]

describe("any operations in any order", () => {
  it.prop(
    "leave in memory what is not yet over, no more than its capacity, and nothing that is never swept",
    [FastCheck.commands(commands, { size: "+1", maxCommands: 60 })],
    ([commands]) => {
      FastCheck.modelRun(() => {
        const clock = handClock(start)
        const scope = Effect.runSync(Scope.make())
        const layer = SessionStore.layerMemoryWith({ capacity })
        const context = Effect.runSync(Effect.withClock(Layer.buildWithScope(layer, scope), clock))
        return {
          model: { now: start, records: [] },
          real: { store: Context.get(context, SessionStore.SessionStore), clock }
        }
      }, commands)
    },
    { fastCheck: { numRuns: 400 } }
  )
})
