// What is expired goes, and all that was written about it: nothing grows without bound.
import { KeyValueStore } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, FastCheck, Layer, Option, TestClock } from "effect"
import * as SessionStore from "effect-security/session/SessionStore"
import * as SessionStoreKeyValue from "effect-security/session/SessionStoreKeyValue"
import * as SessionToken from "effect-security/session/SessionToken"
import * as deadlines from "../../../src/session/internal/keyValue/deadlines.js"
import * as sessions from "../../../src/session/internal/keyValue/sessions.js"
import {
  before,
  day,
  drain,
  failure,
  hour,
  isUnavailable,
  logsTo,
  minute,
  overMap,
  realm,
  record,
  start
} from "./fixtures.js"

const fresh = Effect.map(TestClock.setTime(start), () => {
  const map = new Map<string, string>()
  return { map, store: sessions.make(overMap(map)) }
})

const numbers = (size: number) => Array.from({ length: size }, (_, index) => index)

// -----------------------------------------------------------------------------
// Growth
// -----------------------------------------------------------------------------

const subject = FastCheck.constantFrom("ada", null)
const name = FastCheck.constantFrom("a", "b")
const step = FastCheck.oneof(
  FastCheck.record({
    op: FastCheck.constant("create" as const),
    subject,
    name,
    idle: FastCheck.constantFrom(minute, 11 * minute, hour, day)
  }),
  FastCheck.record({
    op: FastCheck.constantFrom("touch" as const, "update" as const, "remove" as const),
    subject,
    name
  }),
  FastCheck.record({ op: FastCheck.constant("rotate" as const), subject, name, next: name }),
  FastCheck.record({ op: FastCheck.constant("removeBySubject" as const), subject, name }),
  FastCheck.record({ op: FastCheck.constant("sweep" as const), limit: FastCheck.nat({ max: 3 }) }),
  FastCheck.record({
    op: FastCheck.constant("wait" as const),
    millis: FastCheck.constantFrom(1, minute, 10 * minute, hour, day)
  })
)
type Step = typeof step extends FastCheck.Arbitrary<infer A> ? A : never

const take = (store: SessionStore.Service, step: Step): Effect.Effect<unknown, unknown> => {
  switch (step.op) {
    case "create":
      return Effect.flatMap(Effect.clock, (clock) => {
        const now = clock.unsafeCurrentTimeMillis()
        return store.create(
          record(step.name, {
            subject: step.subject,
            authenticatedAt: now,
            idleDeadline: now + step.idle,
            absoluteDeadline: now + day
          })
        )
      })
    case "touch":
      return Effect.flatMap(
        Effect.clock,
        (clock) => store.touch(record(step.name, { subject: step.subject }).id, clock.unsafeCurrentTimeMillis() + hour)
      )
    case "update":
      return store.update(record(step.name, { subject: step.subject }))
    case "remove":
      return store.remove(record(step.name, { subject: step.subject }).id)
    case "rotate":
      return store.rotate(
        record(step.name, { subject: step.subject }).id,
        record(`${step.next}2`, { subject: step.subject })
      )
    case "removeBySubject":
      return store.removeBySubject(realm, step.subject ?? "carl", {
        except: Option.some(record(step.name, { subject: step.subject }).id)
      })
    case "sweep":
      return store.removeExpired(step.limit)
    case "wait":
      return TestClock.adjust(step.millis)
  }
}

describe("in the end", () => {
  it.effect.prop(
    "nothing is left, whatever was done: no session, no index, no mark, no list",
    [FastCheck.array(step, { maxLength: 25, size: "max" })],
    ([steps]) =>
      Effect.gen(function*() {
        const { map, store } = yield* fresh
        yield* Effect.forEach(steps, (step) => take(store, step))
        yield* TestClock.adjust(2 * day)
        yield* drain(sessions.make(overMap(map)))
        assert.deepStrictEqual(Array.from(map.keys()), [])
      }),
    { fastCheck: { numRuns: 200 } }
  )

  it.effect("a mark is gone when its 10 minutes are over, and not before", () =>
    Effect.gen(function*() {
      const { map, store } = yield* fresh
      const early = record("early", { authenticatedAt: start + 4 * minute, idleDeadline: start + day })
      yield* store.removeBySubject(realm, "ada", { except: Option.none() })
      yield* TestClock.setTime(start + 5 * minute)
      yield* store.removeBySubject(realm, "ada", { except: Option.none() })
      yield* TestClock.setTime(start + 15 * minute - 1)
      assert.strictEqual(yield* drain(store), 0)
      assert.strictEqual((yield* Effect.flip(store.create(early)))._tag, "SessionRefused")
      yield* TestClock.setTime(start + 30 * minute)
      assert.strictEqual(yield* drain(store), 0)
      assert.strictEqual(map.size, 0)
    }))

  it.effect("many sign-ins of one subject leave an index of those sessions that are live", () =>
    Effect.gen(function*() {
      const { map, store } = yield* fresh
      for (const number of numbers(50)) {
        const session = record(`s${number}`)
        yield* store.create(session)
        yield* store.remove(session.id)
      }
      yield* store.create(record("live"))
      assert.deepStrictEqual(Array.from(map.keys()).filter((key) => !key.startsWith("session/due")).sort(), [
        `session/record/${record("live").id}`,
        `session/subjects/${SessionToken.tagOf(realm, "ada")}`
      ])
      assert.notInclude(map.get(`session/subjects/${SessionToken.tagOf(realm, "ada")}`), "s49")
    }))
})

// -----------------------------------------------------------------------------
// Bounded work
// -----------------------------------------------------------------------------

describe("the sweep", () => {
  it.effect("removes many in batches, each at most as large as it is told", () =>
    Effect.gen(function*() {
      const { map, store } = yield* fresh
      yield* Effect.forEach(numbers(345), (number) => store.create(record(`s${number}`, { subject: `u${number}` })))
      yield* TestClock.setTime(start + hour)
      const batches: Array<number> = []
      do {
        batches.push(yield* store.removeExpired(100))
      } while (batches.at(-1) === 100)
      assert.deepStrictEqual(batches, [100, 100, 100, 45])
      assert.deepStrictEqual(Array.from(map.keys()).filter((key) => /record|subjects/.test(key)), [])
    }))

  it.effect("keeps its lists short: no page holds more than 100 names", () =>
    Effect.gen(function*() {
      const map = new Map<string, string>()
      const due = deadlines.make(overMap(map), "due")
      yield* Effect.forEach(numbers(250), (number) => due.add(`n${number}`, start), { concurrency: "unbounded" })
      assert.deepStrictEqual(Array.from(map.keys()).filter((key) => key !== "due").length, 3)
      yield* TestClock.setTime(start)
      const seen: Array<string> = []
      const removed = yield* due.sweep(1_000, (name) => Effect.sync(() => (seen.push(name), "removed" as const)))
      assert.strictEqual(removed, 250)
      assert.sameMembers(seen, numbers(250).map((number) => `n${number}`))
      yield* TestClock.setTime(start + hour)
      yield* due.sweep(1_000, () => Effect.dieMessage("nothing is due"))
      assert.strictEqual(map.size, 0)
    }))

  it.effect("looks at no more than its limit and 1,000, and goes on there the next time", () =>
    Effect.gen(function*() {
      const map = new Map<string, string>()
      const due = deadlines.make(overMap(map), "due")
      yield* Effect.forEach(numbers(1_500), (number) => due.add(`n${number}`, start))
      yield* TestClock.setTime(start)
      const looked: Array<string> = []
      const look = (name: string) => Effect.sync(() => (looked.push(name), "kept" as const))
      assert.strictEqual(yield* due.sweep(10, look), 0)
      assert.isAbove(looked.length, 900)
      assert.isAtMost(looked.length, 1_010)
      yield* due.sweep(1_000, look)
      assert.strictEqual(looked.length, 1_500)
      assert.strictEqual(new Set(looked).size, 1_500)
    }))

  it.effect("does nothing with a limit of 0", () =>
    Effect.gen(function*() {
      const { store } = yield* fresh
      yield* store.create(record("a"))
      yield* TestClock.setTime(start + hour)
      assert.strictEqual(yield* store.removeExpired(0), 0)
      assert.strictEqual(yield* store.removeExpired(1), 1)
    }))

  it.effect("comes back to a session that was extended, at its new deadline", () =>
    Effect.gen(function*() {
      const { map, store } = yield* fresh
      const { id } = record("a")
      yield* store.create(record("a"))
      yield* store.touch(id, start + 5 * hour)
      yield* TestClock.setTime(start + hour)
      assert.strictEqual(yield* store.removeExpired(10), 0)
      assert.isTrue(Option.isSome(yield* store.find(id)))
      yield* TestClock.setTime(start + 5 * hour)
      assert.strictEqual(yield* store.removeExpired(10), 1)
      assert.isFalse(map.has(`session/record/${id}`))
    }))

  it.effect("keeps a name that is added while it looks at that page", () =>
    Effect.gen(function*() {
      const map = new Map<string, string>()
      const due = deadlines.make(overMap(map), "due")
      yield* due.add("old", start)
      yield* TestClock.setTime(start)
      yield* due.sweep(10, () => Effect.as(Effect.orDie(due.add("new", start)), "removed" as const))
      const seen: Array<string> = []
      yield* due.sweep(10, (name) => Effect.sync(() => (seen.push(name), "removed" as const)))
      assert.deepStrictEqual(seen, ["new"])
    }))

  it.effect("goes on after what fails, says so, and comes back to it", () =>
    Effect.gen(function*() {
      const { map, store } = yield* fresh
      yield* Effect.forEach(["a", "b", "c"], (name) => store.create(record(name, { subject: name })))
      const broken = sessions.make(
        before(overMap(map), (call, key) =>
          call === "get" && key.endsWith(record("b", { subject: "b" }).id) ? Effect.fail(failure()) : Effect.void)
      )
      yield* TestClock.setTime(start + hour)
      const lines: Array<string> = []
      assert.strictEqual(yield* Effect.provide(drain(broken), logsTo(lines)), 2)
      assert.strictEqual(lines.length, 1)
      assert.strictEqual(yield* drain(store), 1)
    }))

  it.effect("fails typed where the store is down", () =>
    Effect.gen(function*() {
      const { map, store } = yield* fresh
      yield* store.create(record("a"))
      yield* TestClock.setTime(start + hour)
      for (const part of ["session/due", "session/record", "session/subjects"]) {
        const down = sessions.make(
          before(overMap(map), (_, key) => key.startsWith(part) ? Effect.fail(failure()) : Effect.void)
        )
        assert.isTrue(isUnavailable(yield* Effect.exit(down.removeExpired(10))), part)
      }
      assert.strictEqual(yield* drain(store), 1)
    }))

  it.effect("runs beside the store, at the pace that it is given", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(start)
      const map = new Map<string, string>()
      const swept = yield* Deferred.make<void>()
      const values = before(overMap(map), (call, key) =>
        call === "remove" && key.startsWith("session/subjects/")
          ? Effect.asVoid(Deferred.succeed(swept, undefined))
          : Effect.void)
      const live = Layer.provide(
        SessionStoreKeyValue.layerWith({ sweepEvery: "2 hours" }),
        Layer.succeed(KeyValueStore.KeyValueStore, values)
      )
      yield* Effect.flatMap(SessionStore.SessionStore, (store) =>
        Effect.gen(function*() {
          yield* Effect.yieldNow()
          yield* store.create(record("a"))
          yield* TestClock.adjust("119 minutes")
          assert.isTrue(map.has(`session/record/${record("a").id}`))
          yield* TestClock.adjust("1 minute")
          yield* Deferred.await(swept)
          assert.isFalse(map.has(`session/record/${record("a").id}`))
        })).pipe(Effect.provide(live))
    }))
})
