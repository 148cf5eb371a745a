import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Option, TestClock } from "effect"
import * as SessionStore from "effect-security/session/SessionStore"
import * as sessions from "../../../src/session/internal/keyValue/sessions.js"
import { before, day, hour, isUnavailable, logsTo, overMap, realm, record, start } from "./fixtures.js"

const fresh = Effect.map(TestClock.setTime(start), () => {
  const map = new Map<string, string>()
  return { map, store: sessions.make(overMap(map)) }
})

// -----------------------------------------------------------------------------
// Interruption
// -----------------------------------------------------------------------------

describe("an interruption", () => {
  it.effect("leaves a write done and no lock held, also of those that wait for it", () =>
    Effect.gen(function*() {
      const { map } = yield* fresh
      const [reached, go] = yield* Effect.all([Deferred.make<void>(), Deferred.make<void>()])
      const store = sessions.make(
        before(overMap(map), (call, key) =>
          call === "set" && key.startsWith("session/record/")
            ? Effect.zipRight(Deferred.succeed(reached, undefined), Deferred.await(go))
            : Effect.void)
      )
      const first = yield* Effect.fork(store.create(record("a")))
      yield* Deferred.await(reached)
      const waiting = yield* Effect.fork(store.create(record("b")))
      yield* Effect.yieldNow()
      const ended = yield* Effect.fork(
        Effect.all([first.interruptAsFork(first.id()), waiting.interruptAsFork(waiting.id())])
      )
      assert.isTrue(Exit.isInterrupted(yield* waiting.await))
      yield* Deferred.succeed(go, undefined)
      yield* first.await
      yield* ended.await
      assert.isTrue(Option.isSome(yield* store.find(record("a").id)))
      assert.isTrue(Option.isNone(yield* store.find(record("b").id)))
      yield* store.create(record("b"))
      assert.strictEqual((yield* store.listBySubject(realm, "ada")).length, 2)
    }))
})

// -----------------------------------------------------------------------------
// What readers see
// -----------------------------------------------------------------------------

describe("a reader", () => {
  it.effect("of a list sees one moment: no later change without an earlier one", () =>
    Effect.gen(function*() {
      const { map } = yield* fresh
      const [reached, go] = yield* Effect.all([Deferred.make<void>(), Deferred.make<void>()])
      let isHeld = false
      const [a, b] = [record("a"), record("b")]
      const store = sessions.make(
        before(overMap(map), (call, key) =>
          Effect.suspend(() => {
            if (!isHeld || call !== "get" || !key.endsWith(b.id)) {
              return Effect.void
            }
            isHeld = false
            return Effect.zipRight(Deferred.succeed(reached, undefined), Deferred.await(go))
          }))
      )
      yield* store.create(a)
      yield* store.create(b)
      isHeld = true
      const list = yield* Effect.fork(store.listBySubject(realm, "ada"))
      yield* Deferred.await(reached)
      const updates = yield* Effect.fork(Effect.zipRight(store.update(a), store.update(b)))
      yield* Effect.yieldNow()
      yield* Deferred.succeed(go, undefined)
      const listed = yield* list
      const versions = [a, b].map(({ id }) => listed.find((one) => one.id === id)!.version)
      yield* updates
      assert.isAtLeast(versions[0]!, versions[1]!)
    }))

  it.effect("waits for a value that is being written, where a store does not replace values in one step", () =>
    Effect.gen(function*() {
      const { map } = yield* fresh
      const values = overMap(map)
      const [reached, go] = yield* Effect.all([Deferred.make<void>(), Deferred.make<void>()])
      let part = ""
      const store = sessions.make({
        ...values,
        set: (key, value) =>
          part !== "" && key.startsWith(part)
            ? Effect.gen(function*() {
              map.set(key, String(value).slice(0, 80))
              yield* Deferred.succeed(reached, undefined)
              yield* Deferred.await(go)
              yield* values.set(key, value)
            })
            : values.set(key, value)
      })
      const session = record("a")
      yield* store.create(session)
      part = "session/record/"
      const writer = yield* Effect.fork(store.touch(session.id, start + 2 * hour))
      yield* Deferred.await(reached)
      const reader = yield* Effect.fork(store.find(session.id))
      yield* Effect.yieldNow()
      yield* Deferred.succeed(go, undefined)
      yield* writer
      assert.strictEqual(Option.getOrThrow(yield* reader).idleDeadline, start + 2 * hour)
    }))

  it.effect("is not told the data of a session by a failure or a log", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(start)
      const store = sessions.make(overMap(new Map()))
      const bad = Object.assign(Object.create(SessionStore.SessionRecord.prototype), {
        ...record("a", { data: "private" }),
        idleDeadline: start + 0.5,
        absoluteDeadline: start + day
      })
      const lines: Array<string> = []
      const exit = yield* Effect.exit(Effect.provide(store.create(bad), logsTo(lines)))
      assert.isTrue(isUnavailable(exit))
      assert.notInclude([String(exit), JSON.stringify(exit), ...lines].join(), "private")
    }))
})

describe("an id of another subject", () => {
  it.effect("neither begins a session nor takes another's place", () =>
    Effect.gen(function*() {
      const { map, store } = yield* fresh
      yield* store.create(record("a"))
      const size = map.size
      const foreign = record("b", { id: record("b", { subject: "bob" }).id })
      assert.isTrue(isUnavailable(yield* Effect.exit(store.create(foreign))))
      assert.isTrue(isUnavailable(yield* Effect.exit(store.rotate(record("a").id, foreign))))
      assert.strictEqual(map.size, size)
      assert.isTrue(Option.isSome(yield* store.find(record("a").id)))
    }))
})
