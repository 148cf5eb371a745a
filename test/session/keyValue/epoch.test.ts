import { FileSystem, KeyValueStore } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, TestClock } from "effect"
import { SessionEpoch } from "effect-security/session/SessionEpoch"
import * as SessionStoreKeyValue from "effect-security/session/SessionStoreKeyValue"
import * as epochs from "../../../src/session/internal/keyValue/epochs.js"
import {
  before,
  day,
  drain,
  failure,
  freshDirectory,
  hour,
  isUnavailable,
  logsTo,
  overMap,
  realm,
  start
} from "./fixtures.js"

const fresh = Effect.map(TestClock.setTime(start), () => {
  const map = new Map<string, string>()
  return { map, store: epochs.make(overMap(map)) }
})

const until = start + day

describe("an epoch", () => {
  it.effect("is 0 before the first, and each later one is greater and not less than now", () =>
    Effect.gen(function*() {
      const { map, store } = yield* fresh
      assert.strictEqual(yield* store.current(realm, "ada"), 0)
      assert.strictEqual(map.size, 0)
      assert.strictEqual(yield* store.advance(realm, "ada", until), start)
      assert.strictEqual(yield* store.advance(realm, "ada", until), start + 1)
      yield* TestClock.setTime(start + hour)
      assert.strictEqual(yield* store.advance(realm, "ada", until), start + hour)
      assert.strictEqual(yield* epochs.make(overMap(map)).current(realm, "ada"), start + hour)
    }))

  it.effect("is one subject's in one realm", () =>
    Effect.gen(function*() {
      const { store } = yield* fresh
      yield* store.advance("a\0b", "c", until)
      yield* store.advance(realm, "ada", until)
      yield* store.advance(realm, "\ud800", until)
      for (
        const [realm, subject] of [["a", "b\0c"], ["realm", "Ada"], ["Realm", "ada"], ["realm", "\ud801"]] as const
      ) {
        assert.strictEqual(yield* store.current(realm, subject), 0)
      }
    }))

  it.effect("that several begin at once is one for each", () =>
    Effect.gen(function*() {
      const { store } = yield* fresh
      const begun = yield* Effect.all(
        Array.from({ length: 20 }, () => Effect.zipRight(Effect.yieldNow(), store.advance(realm, "ada", until))),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(new Set(begun).size, 20)
      assert.strictEqual(yield* store.current(realm, "ada"), Math.max(...begun))
    }))

  it.effect("is remembered until the latest of its deadlines, and then forgotten", () =>
    Effect.gen(function*() {
      const { map, store } = yield* fresh
      yield* store.advance(realm, "ada", start + 3 * day)
      const last = yield* store.advance(realm, "ada", start + day)
      yield* store.advance(realm, "bob", start + day)
      yield* TestClock.setTime(start + 3 * day - 1)
      assert.strictEqual(yield* drain(store), 1)
      assert.strictEqual(yield* store.current(realm, "ada"), last)
      yield* TestClock.setTime(start + 4 * day)
      assert.strictEqual(yield* drain(store), 1)
      assert.strictEqual(map.size, 0)
    }))

  for (const damage of ["", "{}", "half", "another's"]) {
    it.effect(`that cannot be read (${damage}) is one that begins now, over a restart too, and is never forgotten`, () =>
      Effect.gen(function*() {
        const { map, store } = yield* fresh
        const isEpoch = (key: string) => key.startsWith("epoch/subject/")
        yield* store.advance(realm, "ada", until)
        const key = Array.from(map.keys()).find(isEpoch)!
        yield* store.advance(realm, "bob", until)
        const other = Array.from(map.keys()).find((one) => isEpoch(one) && one !== key)!
        map.set(
          key,
          damage === "half" ? map.get(key)!.slice(0, -3) : damage === "another's" ? map.get(other)! : damage
        )
        yield* TestClock.setTime(start + hour)
        const lines: Array<string> = []
        assert.strictEqual(yield* Effect.provide(store.current(realm, "ada"), logsTo(lines)), start + hour)
        assert.strictEqual(lines.length, 1)
        yield* TestClock.setTime(start + 2 * hour)
        assert.strictEqual(yield* epochs.make(overMap(map)).current(realm, "ada"), start + hour)
        assert.strictEqual(yield* store.current(realm, "bob"), start)
        yield* TestClock.setTime(start + 1_000 * day)
        yield* drain(store)
        assert.strictEqual(yield* store.current(realm, "ada"), start + hour)
      }))
  }

  it.effect("that cannot be read is followed by a later one", () =>
    Effect.gen(function*() {
      const { map, store } = yield* fresh
      yield* store.advance(realm, "ada", until)
      map.set(Array.from(map.keys()).find((key) => key.startsWith("epoch/subject/"))!, "")
      yield* TestClock.setTime(start + hour)
      assert.isAtLeast(yield* store.advance(realm, "ada", until), start + hour)
    }))

  it.effect("fails typed where the store is down: nobody's epoch is 0 for it", () =>
    Effect.gen(function*() {
      const { map, store } = yield* fresh
      const last = yield* store.advance(realm, "ada", until)
      for (const call of ["get", "set"]) {
        const down = epochs.make(before(overMap(map), (one) => one === call ? Effect.fail(failure()) : Effect.void))
        assert.strictEqual(isUnavailable(yield* Effect.exit(down.current(realm, "ada"))), call === "get")
        assert.isTrue(isUnavailable(yield* Effect.exit(down.advance(realm, "ada", until))))
        assert.strictEqual(yield* store.current(realm, "ada"), last)
      }
    }))
})

describe("the layers", () => {
  it.effect("over a key-value store", () =>
    Effect.gen(function*() {
      const epoch = yield* SessionEpoch
      assert.strictEqual(yield* epoch.advance(realm, "ada", day), 1)
      assert.strictEqual(yield* epoch.current(realm, "ada"), 1)
    }).pipe(Effect.provide(Layer.provide(SessionStoreKeyValue.layerEpoch, KeyValueStore.layerMemory))))

  it.effect("in files, over a restart, beside the sessions in one directory", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(start)
      const directory = yield* freshDirectory
      const layer = Layer.merge(
        SessionStoreKeyValue.layerEpochFileSystem(directory),
        SessionStoreKeyValue.layerFileSystem(directory)
      )
      yield* Effect.provide(Effect.flatMap(SessionEpoch, (epoch) => epoch.advance(realm, "ada", until)), layer)
      const current = Effect.flatMap(SessionEpoch, (epoch) => epoch.current(realm, "ada"))
      assert.strictEqual(yield* Effect.provide(current, layer), start)
      const fs = yield* FileSystem.FileSystem
      assert.strictEqual((yield* fs.readDirectory(directory)).length, 3)
    }).pipe(Effect.scoped, Effect.provide(NodeContext.layer)))
})
