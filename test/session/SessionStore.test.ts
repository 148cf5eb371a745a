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

const plain = (record: SessionStore.SessionRecord) => ({ ...record })
const found = (option: Option.Option<SessionStore.SessionRecord>) => Option.getOrUndefined(Option.map(option, plain))
const except = { except: Option.none() }
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

// -----------------------------------------------------------------------------
// One operation after the other
// -----------------------------------------------------------------------------

describe("create", () => {
  it.effect(
    "makes a record that is found as it was given",
    overMemory((store) =>
      Effect.gen(function*() {
        const given = record("a", { remember: false, userAgent: "curl", version: 3 })
        yield* store.create(given)
        assert.deepStrictEqual(found(yield* store.find(id("a"))), plain(given))
      })
    )
  )

  it.effect(
    "is refused when the password was verified before the subject's sessions were all ended",
    overMemory((store) =>
      Effect.gen(function*() {
        yield* store.removeBySubject("realm", "ada", except)
        const error = yield* Effect.flip(store.create(record("a", { authenticatedAt: start - 1 })))
        assert.strictEqual(error._tag, "SessionRefused")
        assert.isTrue(Option.isNone(yield* store.find(id("a"))))
        assert.deepStrictEqual(yield* store.listBySubject("realm", "ada"), [])
      })
    )
  )

  it.effect(
    "is not refused when the password was verified since, or to another subject or realm",
    overMemory((store) =>
      Effect.gen(function*() {
        yield* store.removeBySubject("realm", "ada", except)
        const before = { authenticatedAt: start - 1 }
        yield* store.create(record("a", { authenticatedAt: start }))
        yield* store.create(record("b", { authenticatedAt: start + 1 }))
        yield* store.create(record("c", { ...before, subject: "bob" }))
        yield* store.create(record("d", { ...before, realm: "other" }))
        assert.deepStrictEqual(names(yield* store.listBySubject("realm", "ada")), ["a", "b"])
      })
    )
  )

  it.effect(
    "is refused for 10 minutes, and not a millisecond longer",
    overMemory((store) =>
      Effect.gen(function*() {
        yield* store.removeBySubject("realm", "ada", except)
        yield* TestClock.adjust(10 * minute - 1)
        const verified = { authenticatedAt: start - 1 }
        assert.isTrue(Either.isLeft(yield* Effect.either(store.create(record("a", verified)))))
        yield* TestClock.adjust(1)
        assert.isTrue(Either.isRight(yield* Effect.either(store.create(record("a", verified)))))
      })
    )
  )

  it.effect(
    "is refused by the latest mark, and by one that left a session alone",
    overMemory((store) =>
      Effect.gen(function*() {
        yield* store.create(record("a"))
        yield* store.removeBySubject("realm", "ada", except)
        yield* TestClock.adjust(5 * minute)
        yield* store.removeBySubject("realm", "ada", { except: Option.some(id("a")) })
        yield* TestClock.adjust(9 * minute)
        const verified = { authenticatedAt: start + 5 * minute - 1 }
        assert.isTrue(Either.isLeft(yield* Effect.either(store.create(record("b", verified)))))
      })
    )
  )

  it.effect(
    "replaces a record of the same id, in all respects",
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
    "keeps realms and subjects apart that look alike when they are joined",
    overMemory((store) =>
      Effect.gen(function*() {
        const pairs = [["a", "b:c"], ["a:b", "c"], ["", "a:b:c"], ["a\0b", "c"], ["a", "b\0c"], ["[\"a\",\"b\"]", ""], [
          "a",
          "\",\""
        ], [
          "a\",\"",
          ""
        ]] as const
        yield* Effect.forEach(
          pairs,
          ([realm, subject], index) => store.create(record(String(index), { realm, subject }))
        )
        for (const [index, [realm, subject]] of pairs.entries()) {
          assert.deepStrictEqual(names(yield* store.listBySubject(realm, subject)), [String(index)])
        }
      })
    )
  )
})

describe("find", () => {
  it.effect(
    "finds nothing that was never created",
    overMemory((store) =>
      Effect.gen(function*() {
        assert.isTrue(Option.isNone(yield* store.find(id("a"))))
        yield* store.create(record("a"))
        assert.isTrue(Option.isNone(yield* store.find(id("b"))))
        assert.isTrue(Option.isNone(yield* store.find("__proto__" as SessionToken.SessionId)))
      })
    )
  )

  for (
    const [deadline, options] of [
      ["idle", { idleDeadline: start + hour }],
      ["absolute", { idleDeadline: start + 24 * hour, absoluteDeadline: start + hour }]
    ] as const
  ) {
    it.effect(
      `never returns a record whose ${deadline} deadline has come`,
      overMemory((store) =>
        Effect.gen(function*() {
          yield* store.create(record("a", options))
          const isFound = Effect.map(store.find(id("a")), Option.isSome)
          yield* TestClock.setTime(start + hour - 1)
          assert.isTrue(yield* isFound, "a millisecond before")
          yield* TestClock.setTime(start + hour)
          assert.isFalse(yield* isFound, "at the time")
          yield* TestClock.setTime(start + hour + 1)
          assert.isFalse(yield* isFound, "a millisecond after")
        })
      )
    )

    it.effect(
      `is not alone: at the ${deadline} deadline a record is over for every operation`,
      overMemory((store) =>
        Effect.gen(function*() {
          yield* store.create(record("a", options))
          yield* TestClock.setTime(start + hour)
          assert.deepStrictEqual(yield* store.listBySubject("realm", "ada"), [])
          assert.isFalse(yield* store.update(record("a", options)))
          assert.isFalse(yield* store.rotate(id("a"), record("b")))
          yield* store.touch(id("a"), start + 48 * hour)
          assert.isTrue(Option.isNone(yield* store.find(id("a"))))
          assert.isTrue(Option.isNone(yield* store.find(id("b"))))
        })
      )
    )
  }
})

describe("update", () => {
  it.effect(
    "replaces the data, raises the version by one and changes nothing else",
    overMemory((store) =>
      Effect.gen(function*() {
        yield* store.create(record("a"))
        const other = record("a", {
          data: "new",
          realm: "other",
          subject: "eve",
          createdAt: 1,
          authenticatedAt: 2,
          lastSeenAt: 3,
          idleDeadline: start + 48 * hour,
          absoluteDeadline: start + 480 * hour,
          remember: false,
          userAgent: "evil"
        })
        assert.isTrue(yield* store.update(other))
        assert.deepStrictEqual(found(yield* store.find(id("a"))), plain(record("a", { data: "new", version: 1 })))
        assert.deepStrictEqual(names(yield* store.listBySubject("realm", "ada")), ["a"])
        assert.deepStrictEqual(yield* store.listBySubject("other", "eve"), [])
      })
    )
  )

  it.effect(
    "changes nothing when another write won, whichever version it is given",
    overMemory((store) =>
      Effect.gen(function*() {
        yield* store.create(record("a"))
        assert.isTrue(yield* store.update(record("a", { data: "first" })))
        for (const version of [0, 2, 3, -1]) {
          assert.isFalse(yield* store.update(record("a", { data: "second", version })), String(version))
        }
        assert.deepStrictEqual(found(yield* store.find(id("a"))), plain(record("a", { data: "first", version: 1 })))
      })
    )
  )

  it.effect(
    "lets one of many win that read the same version",
    overMemory((store) =>
      Effect.gen(function*() {
        yield* store.create(record("a"))
        const results = yield* Effect.all(
          Array.from({ length: 50 }, (_, index) =>
            Effect.zipRight(Effect.yieldNow(), store.update(record("a", { data: String(index) })))),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(
          results.filter((won) =>
            won
          ).length,
          1
        )
        const winner = String(results.indexOf(true))
        assert.deepStrictEqual(found(yield* store.find(id("a"))), plain(record("a", { data: winner, version: 1 })))
      })
    )
  )

  it.effect(
    "never creates: not what was never there, not what was removed",
    overMemory((store) =>
      Effect.gen(function*() {
        assert.isFalse(yield* store.update(record("a")))
        yield* store.create(record("a"))
        yield* store.remove(id("a"))
        assert.isFalse(yield* store.update(record("a", { data: "new" })))
        assert.isTrue(Option.isNone(yield* store.find(id("a"))))
        assert.deepStrictEqual(yield* store.listBySubject("realm", "ada"), [])
      })
    )
  )
})

describe("touch", () => {
  it.effect(
    "extends the idle deadline, sets when the session was last seen and changes nothing else",
    overMemory((store) =>
      Effect.gen(function*() {
        yield* store.create(record("a"))
        yield* TestClock.setTime(start + minute)
        yield* store.touch(id("a"), start + 2 * hour)
        const touched = { lastSeenAt: start + minute, idleDeadline: start + 2 * hour }
        assert.deepStrictEqual(found(yield* store.find(id("a"))), plain(record("a", touched)))
        yield* TestClock.setTime(start + 2 * hour - 1)
        assert.isTrue(Option.isSome(yield* store.find(id("a"))))
        yield* TestClock.setTime(start + 2 * hour)
        assert.isTrue(Option.isNone(yield* store.find(id("a"))))
      })
    )
  )

  it.effect(
    "never shortens a deadline, and never moves the absolute one",
    unswept((store, clock) =>
      Effect.gen(function*() {
        yield* store.create(record("a"))
        for (const deadline of [0, start, start + 1, start + hour - 1]) {
          yield* store.touch(id("a"), deadline)
          assert.strictEqual(found(yield* store.find(id("a")))?.idleDeadline, start + hour)
        }
        yield* store.touch(id("a"), start + 48 * hour)
        assert.strictEqual(found(yield* store.find(id("a")))?.absoluteDeadline, start + 24 * hour)
        clock.set(start + 24 * hour)
        assert.isTrue(Option.isNone(yield* store.find(id("a"))))
      })
    )
  )

  it.effect(
    "does not disturb a writer that read before it",
    overMemory((store) =>
      Effect.gen(function*() {
        yield* store.create(record("a"))
        yield* store.touch(id("a"), start + 2 * hour)
        assert.isTrue(yield* store.update(record("a", { data: "new" })))
        assert.strictEqual(found(yield* store.find(id("a")))?.idleDeadline, start + 2 * hour)
      })
    )
  )

  it.effect(
    "never revives: not what was never there, not what was removed, not what is over",
    overMemory((store) =>
      Effect.gen(function*() {
        const touch = store.touch(id("a"), start + 48 * hour)
        const isFound = Effect.map(store.find(id("a")), Option.isSome)
        yield* touch
        assert.isFalse(yield* isFound)
        yield* store.create(record("a"))
        yield* store.remove(id("a"))
        yield* touch
        assert.isFalse(yield* isFound)
        yield* store.create(record("a"))
        yield* TestClock.setTime(start + hour)
        yield* touch
        assert.isFalse(yield* isFound)
      })
    )
  )
})

describe("rotate", () => {
  it.effect(
    "puts the new record where the old one was",
    overMemory((store) =>
      Effect.gen(function*() {
        yield* store.create(record("a"))
        assert.isTrue(yield* store.rotate(id("a"), record("b")))
        assert.isTrue(Option.isNone(yield* store.find(id("a"))))
        assert.deepStrictEqual(found(yield* store.find(id("b"))), plain(record("b")))
        assert.deepStrictEqual(names(yield* store.listBySubject("realm", "ada")), ["b"])
      })
    )
  )

  it.effect(
    "keeps the version, so that the next update of the new record counts on",
    overMemory((store) =>
      Effect.gen(function*() {
        yield* store.create(record("a"))
        yield* store.update(record("a", { data: "new" }))
        assert.isTrue(yield* store.rotate(id("a"), record("b", { data: "new", version: 1 })))
        assert.isFalse(yield* store.update(record("b", { version: 0 })))
        assert.isTrue(yield* store.update(record("b", { version: 1 })))
        assert.strictEqual(found(yield* store.find(id("b")))?.version, 2)
      })
    )
  )

  it.effect(
    "creates nothing and removes nothing when an update came between",
    overMemory((store) =>
      Effect.gen(function*() {
        yield* store.create(record("a"))
        yield* store.update(record("a", { data: "new" }))
        assert.isFalse(yield* store.rotate(id("a"), record("b")))
        assert.isTrue(Option.isNone(yield* store.find(id("b"))))
        assert.strictEqual(found(yield* store.find(id("a")))?.data, "new")
        assert.deepStrictEqual(names(yield* store.listBySubject("realm", "ada")), ["a"])
      })
    )
  )

  it.effect(
    "creates nothing when the old record is not there: not twice, not after a removal, not where none was",
    overMemory((store) =>
      Effect.gen(function*() {
        assert.isFalse(yield* store.rotate(id("a"), record("b")))
        yield* store.create(record("a"))
        assert.isTrue(yield* store.rotate(id("a"), record("b")))
        assert.isFalse(yield* store.rotate(id("a"), record("c")))
        yield* store.remove(id("b"))
        assert.isFalse(yield* store.rotate(id("b"), record("d")))
        assert.deepStrictEqual(yield* store.listBySubject("realm", "ada"), [])
      })
    )
  )

  it.effect(
    "lets one of many win that rotate the same record",
    overMemory((store) =>
      Effect.gen(function*() {
        yield* store.create(record("a"))
        const results = yield* Effect.all(
          Array.from({ length: 20 }, (_, index) =>
            Effect.zipRight(Effect.yieldNow(), store.rotate(id("a"), record(`b${index}`)))),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(
          results.filter((won) =>
            won
          ).length,
          1
        )
        assert.strictEqual((yield* store.listBySubject("realm", "ada")).length, 1)
      })
    )
  )
})

describe("remove", () => {
  it.effect(
    "ends a session for good, and may be asked again",
    overMemory((store) =>
      Effect.gen(function*() {
        yield* store.create(record("a"))
        yield* store.create(record("b"))
        yield* store.remove(id("a"))
        yield* store.remove(id("a"))
        yield* store.remove(id("never"))
        assert.isTrue(Option.isNone(yield* store.find(id("a"))))
        assert.deepStrictEqual(names(yield* store.listBySubject("realm", "ada")), ["b"])
        assert.isFalse(yield* store.update(record("a")))
        yield* store.touch(id("a"), start + hour)
        assert.isFalse(yield* store.rotate(id("a"), record("c")))
        assert.deepStrictEqual(names(yield* store.listBySubject("realm", "ada")), ["b"])
      })
    )
  )

  it.effect(
    "leaves no mark: the subject may sign in with a password that was verified before",
    overMemory((store) =>
      Effect.gen(function*() {
        yield* store.create(record("a"))
        yield* store.remove(id("a"))
        yield* store.create(record("b", { authenticatedAt: start - 1 }))
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
})

describe("removeBySubject", () => {
  it.effect(
    "ends all sessions of one subject in one realm, and no others",
    overMemory((store) =>
      Effect.gen(function*() {
        yield* store.create(record("a"))
        yield* store.create(record("b"))
        yield* store.create(record("c", { subject: "bob" }))
        yield* store.create(record("d", { realm: "other" }))
        yield* store.removeBySubject("realm", "ada", except)
        const isFound = (name: string) => Effect.map(store.find(id(name)), Option.isSome)
        assert.deepStrictEqual(yield* Effect.forEach(["a", "b", "c", "d"], isFound), [false, false, true, true])
        assert.deepStrictEqual(yield* store.listBySubject("realm", "ada"), [])
        assert.deepStrictEqual(names(yield* store.listBySubject("realm", "bob")), ["c"])
        assert.deepStrictEqual(names(yield* store.listBySubject("other", "ada")), ["d"])
      })
    )
  )

  it.effect(
    "leaves the one that is excepted, and only when it is one of the subject's",
    overMemory((store) =>
      Effect.gen(function*() {
        yield* store.create(record("a"))
        yield* store.create(record("b"))
        yield* store.create(record("c", { subject: "bob" }))
        yield* store.removeBySubject("realm", "ada", { except: Option.some(id("b")) })
        assert.deepStrictEqual(names(yield* store.listBySubject("realm", "ada")), ["b"])
        yield* store.removeBySubject("realm", "ada", { except: Option.some(id("c")) })
        assert.deepStrictEqual(names(yield* store.listBySubject("realm", "ada")), [])
        assert.deepStrictEqual(names(yield* store.listBySubject("realm", "bob")), ["c"])
      })
    )
  )

  it.effect(
    "succeeds for a subject without sessions, and again, and keeps sessions ended for requests in flight",
    overMemory((store) =>
      Effect.gen(function*() {
        yield* store.removeBySubject("realm", "nobody", except)
        yield* store.create(record("a"))
        yield* store.removeBySubject("realm", "ada", except)
        yield* store.removeBySubject("realm", "ada", except)
        assert.isFalse(yield* store.update(record("a")))
        assert.isFalse(yield* store.rotate(id("a"), record("b")))
        yield* store.touch(id("a"), start + 2 * hour)
        assert.deepStrictEqual(yield* store.listBySubject("realm", "ada"), [])
      })
    )
  )
})

describe("listBySubject", () => {
  it.effect(
    "lists the live sessions of one subject with all they hold",
    overMemory((store) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* store.listBySubject("realm", "ada"), [])
        const given = [record("a", { userAgent: "curl" }), record("b", { idleDeadline: start + 1 })]
        yield* Effect.forEach(given, store.create)
        const listed = yield* store.listBySubject("realm", "ada")
        assert.sameDeepMembers(listed.map(plain), given.map(plain))
        yield* TestClock.setTime(start + 1)
        assert.deepStrictEqual(names(yield* store.listBySubject("realm", "ada")), ["a"])
      })
    )
  )
})

describe("removeExpired", () => {
  it.effect(
    "removes what is over, in all realms, and says how many",
    unswept((store, clock) =>
      Effect.gen(function*() {
        yield* store.create(record("a"))
        yield* store.create(record("b", { realm: "other", idleDeadline: start + 1 }))
        yield* store.create(record("c", { subject: "bob", absoluteDeadline: start + 1 }))
        assert.strictEqual(yield* store.removeExpired(10), 0)
        clock.set(start + 1)
        assert.strictEqual(yield* store.removeExpired(10), 2)
        assert.strictEqual(yield* store.removeExpired(10), 0)
        assert.deepStrictEqual(names(yield* store.listBySubject("realm", "ada")), ["a"])
      })
    )
  )

  it.effect(
    "removes no more than it is told to",
    unswept((store, clock) =>
      Effect.gen(function*() {
        yield* Effect.forEach(
          Array.from({ length: 7 }, (_, index) => record(String(index), { idleDeadline: start + 1 + index * 30_000 })),
          store.create
        )
        clock.set(start + hour)
        const counts = yield* Effect.forEach([0, 3, 3, 3, 3], (limit) => store.removeExpired(limit))
        assert.deepStrictEqual(counts, [0, 3, 3, 1, 0])
      })
    )
  )

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
    "finds a record at its absolute deadline, however far a touch moved the other",
    unswept((store, clock) =>
      Effect.gen(function*() {
        yield* store.create(record("a"))
        yield* store.touch(id("a"), start + 48 * hour)
        clock.set(start + 24 * hour - 1)
        assert.strictEqual(yield* store.removeExpired(10), 0)
        clock.set(start + 24 * hour)
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

describe("memory", () => {
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
// Any operations in any order, against a plain model
// -----------------------------------------------------------------------------

interface Model {
  now: number
  records: Array<SessionStore.SessionRecord>
  marks: Array<{ readonly realm: string; readonly subject: string; readonly at: number }>
}

interface Real {
  readonly store: SessionStore.Service
  readonly clock: HandClock
}

const capacity = 4
const live = (model: Model) =>
  model.records.filter(({ absoluteDeadline, idleDeadline }) => model.now < idleDeadline && model.now < absoluteDeadline)
const liveRecord = (model: Model, name: string) => live(model).find((record) => record.id === id(name))
const change = (model: Model, name: string, changes: Partial<SessionStore.SessionRecord>) => {
  model.records = model.records.map((record) =>
    record.id === id(name) ? new SessionStore.SessionRecord({ ...record, ...changes }) : record
  )
}
const run = <A, E>(effect: Effect.Effect<A, E>, clock: HandClock): Either.Either<A, E> =>
  Runtime.runSync(Runtime.defaultRuntime)(Effect.either(Effect.withClock(effect, clock)))
const ok = <A, E>(effect: Effect.Effect<A, E>, clock: HandClock): A => Either.getOrThrow(run(effect, clock))

const command = (
  title: string,
  check: (model: Model) => boolean,
  step: (model: Model, real: Real) => void
): FastCheck.Command<Model, Real> => ({
  check,
  run: (model, real) => {
    step(model, real)
    // Whatever happened: the store shows the live records of the model, and no others.
    for (const name of known) {
      const expected = liveRecord(model, name)
      assert.deepStrictEqual(found(ok(real.store.find(id(name)), real.clock)), expected && plain(expected), name)
    }
    for (const [realm, subject] of subjects) {
      assert.sameDeepMembers(
        ok(real.store.listBySubject(realm, subject), real.clock).map(plain),
        live(model).filter((record) => record.realm === realm && record.subject === subject).map(plain)
      )
    }
  },
  toString: () => title
})

const known = ["a", "b", "c", "d", "e", "f", "g"]
const subjects = [["realm", "ada"], ["realm", "bob"], ["other", "ada"]] as const
const times = [0, 1, 59_999, minute, minute + 1, 10 * minute - 1, 10 * minute, hour]

const arbitrary = {
  name: FastCheck.constantFrom(...known),
  subject: FastCheck.constantFrom(...subjects),
  time: FastCheck.constantFrom(...times),
  version: FastCheck.constantFrom("current", 0, 1, 2) as FastCheck.Arbitrary<"current" | number>
}

const versionOf = (model: Model, name: string, version: "current" | number) =>
  version === "current" ? liveRecord(model, name)?.version ?? 0 : version

const commands: Array<FastCheck.Arbitrary<FastCheck.Command<Model, Real>>> = [
  FastCheck.tuple(arbitrary.name, arbitrary.subject, arbitrary.time, arbitrary.time, arbitrary.time).map(
    ([name, [realm, subject], verifiedBefore, idle, absolute]) =>
      command(
        `create ${name} of ${realm} ${subject}, verified ${verifiedBefore} ago, ${idle} idle, ${absolute} in all`,
        (model) => !model.records.some((record) => record.id === id(name)),
        (model, { clock, store }) => {
          const made = record(name, {
            realm,
            subject,
            authenticatedAt: model.now - verifiedBefore,
            idleDeadline: model.now + idle,
            absoluteDeadline: model.now + absolute
          })
          const result = Either.match(run(store.create(made), clock), {
            onLeft: (error) => error._tag as string,
            onRight: () => "created"
          })
          const isRefused = model.marks.some((mark) =>
            mark.realm === realm && mark.subject === subject &&
            model.now < mark.at + 10 * minute && made.authenticatedAt < mark.at
          )
          if (!isRefused && model.records.length >= capacity) {
            model.records = live(model)
          }
          const expected = isRefused
            ? "SessionRefused"
            : model.records.length >= capacity
            ? "SecurityUnavailable"
            : "created"
          assert.strictEqual(result, expected)
          if (expected === "created") {
            model.records.push(made)
          }
        }
      )
  ),
  FastCheck.tuple(arbitrary.name, arbitrary.version, FastCheck.string()).map(([name, version, data]) =>
    command(`update ${name} at version ${version}`, () => true, (model, { clock, store }) => {
      const current = liveRecord(model, name)
      const given = versionOf(model, name, version)
      const won = current !== undefined && current.version === given
      const update = record(name, { data, version: given, idleDeadline: 0, userAgent: "other" })
      assert.strictEqual(ok(store.update(update), clock), won)
      if (won) {
        change(model, name, { data, version: given + 1 })
      }
    })
  ),
  FastCheck.tuple(arbitrary.name, arbitrary.time).map(([name, time]) =>
    command(`touch ${name} for ${time}`, () => true, (model, { clock, store }) => {
      const current = liveRecord(model, name)
      ok(store.touch(id(name), model.now + time), clock)
      if (current !== undefined) {
        change(model, name, {
          lastSeenAt: model.now,
          idleDeadline: Math.max(current.idleDeadline, model.now + time)
        })
      }
    })
  ),
  FastCheck.tuple(arbitrary.name, arbitrary.name, arbitrary.version).map(([from, to, version]) =>
    command(
      `rotate ${from} to ${to} at version ${version}`,
      (model) => !model.records.some((record) => record.id === id(to)),
      (model, { clock, store }) => {
        const current = liveRecord(model, from)
        const given = versionOf(model, from, version)
        const won = current !== undefined && current.version === given
        const next = new SessionStore.SessionRecord({ ...current ?? record(to), id: id(to), version: given })
        assert.strictEqual(ok(store.rotate(id(from), next), clock), won)
        if (won) {
          model.records = [...model.records.filter((record) => record.id !== id(from)), next]
        }
      }
    )
  ),
  arbitrary.name.map((name) =>
    command(`remove ${name}`, () => true, (model, { clock, store }) => {
      ok(store.remove(id(name)), clock)
      model.records = model.records.filter((record) => record.id !== id(name))
    })
  ),
  FastCheck.tuple(arbitrary.subject, FastCheck.option(arbitrary.name)).map(([[realm, subject], except]) =>
    command(`remove all of ${realm} ${subject} but ${except}`, () => true, (model, { clock, store }) => {
      ok(store.removeBySubject(realm, subject, { except: Option.map(Option.fromNullable(except), id) }), clock)
      model.marks.push({ realm, subject, at: model.now })
      const gone = live(model).filter((record) =>
        record.realm === realm && record.subject === subject && (except === null || record.id !== id(except))
      )
      model.records = model.records.filter((record) => !gone.includes(record))
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
    "do to memory what they do to a plain model",
    [FastCheck.commands(commands, { size: "+1", maxCommands: 60 })],
    ([commands]) => {
      FastCheck.modelRun(() => {
        const clock = handClock(start)
        const scope = Effect.runSync(Scope.make())
        const layer = SessionStore.layerMemoryWith({ capacity })
        const context = Effect.runSync(Effect.withClock(Layer.buildWithScope(layer, scope), clock))
        return {
          model: { now: start, records: [], marks: [] },
          real: { store: Context.get(context, SessionStore.SessionStore), clock }
        }
      }, commands)
    },
    { fastCheck: { numRuns: 400 } }
  )
})
