// What is stored is damaged by others: cut off, edited, swapped, replaced, removed.
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck, Layer, Option, TestClock } from "effect"
import * as SessionStore from "effect-security/session/SessionStore"
import * as SessionStoreKeyValue from "effect-security/session/SessionStoreKeyValue"
import * as sessions from "../../../src/session/internal/keyValue/sessions.js"
import {
  day,
  drain,
  freshDirectory,
  hour,
  id,
  isFound,
  logsTo,
  minute,
  names,
  overMap,
  realm,
  record,
  start
} from "./fixtures.js"

const [a, b, c, d] = [record("a"), record("b"), record("c", { subject: "bob" }), record("d", { subject: null })]
const begun = [a, b, c, d]

const prepared = Effect.gen(function*() {
  yield* TestClock.setTime(start)
  const map = new Map<string, string>()
  const store = sessions.make(overMap(map))
  yield* Effect.forEach(begun, store.create)
  return { map, store, restarted: sessions.make(overMap(map)) }
})

const found = (store: SessionStore.Service) => Effect.filter(begun, (session) => isFound(store, session))

const keyOf = (map: Map<string, string>, part: string) => Array.from(map.keys()).filter((key) => key.includes(part))

/** What may stand in the place of a value. */
const damages: ReadonlyArray<readonly [string, (text: string) => string]> = [
  ["is empty", () => ""],
  ["lost its last character", (text) => text.slice(0, -1)],
  ["lost its second half", (text) => text.slice(0, text.length / 2)],
  ["lost its first line", (text) => text.slice(text.indexOf("\n") + 1)],
  ["is JSON of nobody", () => "{}"],
  ["is null", () => "null"],
  ["is no text of ours", () => "<?xml version='1.0'?>\n\ufffd\0"],
  ["got another character", (text) => text.replace(/\d(?=\D*$)/, (digit) => String((Number(digit) + 1) % 10))],
  ["got a space at its end", (text) => `${text} `],
  ["is twice there", (text) => text + text]
]

// -----------------------------------------------------------------------------
// One value
// -----------------------------------------------------------------------------

describe("a record that", () => {
  for (const [name, damage] of damages) {
    it.effect(`${name}: that session is over for every operation, no other one, and a warning says so`, () =>
      Effect.gen(function*() {
        const { map, restarted } = yield* prepared
        const key = keyOf(map, a.id)[0]!
        map.set(key, damage(map.get(key)!))
        const lines: Array<string> = []
        assert.isTrue(Option.isNone(yield* Effect.provide(restarted.find(a.id), logsTo(lines))))
        assert.strictEqual(lines.length, 1)
        assert.include(lines[0], `session/record/${a.id}`)
        assert.notInclude(lines[0], a.data)
        assert.deepStrictEqual(yield* found(restarted), [b, c, d])
        assert.isFalse(yield* restarted.update(a))
        yield* restarted.touch(a.id, start + 2 * hour)
        assert.isFalse(yield* restarted.rotate(a.id, record("next")))
        assert.deepStrictEqual(names(yield* restarted.listBySubject(realm, "ada")), ["b"])
        yield* restarted.create(record("new"))
        assert.isTrue(yield* isFound(restarted, record("new")))
        yield* restarted.remove(a.id)
        assert.isFalse(map.has(key))
      }))
  }

  it.effect("is another session's is over, also where it is intact", () =>
    Effect.gen(function*() {
      const { map, restarted } = yield* prepared
      map.set(keyOf(map, a.id)[0]!, map.get(keyOf(map, c.id)[0]!)!)
      assert.deepStrictEqual(yield* found(restarted), [b, c, d])
    }))

  it.effect("was removed is over", () =>
    Effect.gen(function*() {
      const { map, restarted } = yield* prepared
      map.delete(keyOf(map, a.id)[0]!)
      assert.deepStrictEqual(yield* found(restarted), [b, c, d])
      assert.deepStrictEqual(names(yield* restarted.listBySubject(realm, "ada")), ["b"])
    }))

  it.effect("comes back after its session was ended ends with it", () =>
    Effect.gen(function*() {
      const { map, restarted } = yield* prepared
      const copies = new Map(map)
      yield* restarted.remove(a.id)
      yield* restarted.removeBySubject(realm, "bob", { except: Option.none() })
      for (const { id } of [a, c]) {
        const key = keyOf(copies, id)[0]!
        map.set(key, copies.get(key)!)
      }
      assert.deepStrictEqual(yield* found(restarted), [b, d])
    }))
})

describe("what is known of a subject and", () => {
  for (const [name, damage] of damages) {
    it.effect(`${name}: its sessions are over, no others, and it signs in again`, () =>
      Effect.gen(function*() {
        const { map, restarted } = yield* prepared
        const key = `session/subjects/${a.id.slice(0, 12)}`
        map.set(key, damage(map.get(key)!))
        const lines: Array<string> = []
        assert.deepStrictEqual(yield* Effect.provide(found(restarted), logsTo(lines)), [c, d])
        assert.isTrue(lines.length > 0 && lines.every((line) => line.includes(key)))
        assert.deepStrictEqual(yield* restarted.listBySubject(realm, "ada"), [])
        assert.isFalse(yield* restarted.update(a))
        assert.isFalse(yield* restarted.rotate(b.id, record("next")))
        yield* restarted.create(record("new", { authenticatedAt: start - 1 }))
        assert.deepStrictEqual(names(yield* restarted.listBySubject(realm, "ada")), ["new"])
        assert.deepStrictEqual(yield* found(restarted), [c, d])
        yield* TestClock.setTime(start + 2 * day)
        assert.strictEqual(yield* drain(restarted), 3)
        assert.strictEqual(map.size, 0)
      }))
  }

  it.effect("is another subject's: its sessions are over", () =>
    Effect.gen(function*() {
      const { map, restarted } = yield* prepared
      map.set(`session/subjects/${a.id.slice(0, 12)}`, map.get(`session/subjects/${c.id.slice(0, 12)}`)!)
      assert.deepStrictEqual(yield* found(restarted), [c, d])
    }))

  it.effect("cannot be read can be ended, and is swept", () =>
    Effect.gen(function*() {
      const { map, restarted } = yield* prepared
      const key = `session/subjects/${a.id.slice(0, 12)}`
      map.set(key, "")
      yield* restarted.remove(a.id)
      yield* restarted.removeBySubject(realm, "ada", { except: Option.none() })
      assert.strictEqual(
        (yield* Effect.flip(restarted.create(record("e", { authenticatedAt: start - 1 }))))._tag,
        "SessionRefused"
      )
      map.set(key, "")
      yield* TestClock.setTime(start + 2 * day)
      yield* drain(restarted)
      assert.strictEqual(map.size, 0)
    }))
})

describe("the lists of deadlines", () => {
  for (const [name, damage] of damages) {
    it.effect(`when one ${name}: no session is over for it, and the sweep goes on with the others`, () =>
      Effect.gen(function*() {
        for (const key of ["session/due", `session/due/${Math.floor((start + hour) / (10 * minute))}/0`]) {
          const { map, restarted } = yield* prepared
          map.set(key, damage(map.get(key)!))
          assert.deepStrictEqual(yield* found(restarted), begun, key)
          yield* restarted.create(record("new", { idleDeadline: start + 2 * hour }))
          yield* TestClock.setTime(start + hour)
          yield* drain(restarted)
          assert.deepStrictEqual(yield* found(restarted), [])
          assert.isTrue(yield* isFound(restarted, record("new")))
          yield* TestClock.setTime(start + 2 * hour)
          assert.isAtLeast(yield* drain(restarted), 1, key)
          assert.strictEqual(keyOf(map, id("new")).length, 0)
        }
      }))
  }

  it.effect("that are lost while the process runs are written again", () =>
    Effect.gen(function*() {
      const { map, store } = yield* prepared
      map.set("session/due", "")
      yield* store.create(record("new", { idleDeadline: start + 3 * hour }))
      yield* TestClock.setTime(start + 4 * hour)
      assert.strictEqual(yield* drain(sessions.make(overMap(map))), 5)
      assert.strictEqual(map.size, 0)
    }))
})

// -----------------------------------------------------------------------------
// Anything
// -----------------------------------------------------------------------------

describe("whatever is damaged", () => {
  const damage = FastCheck.record({
    key: FastCheck.nat(),
    damage: FastCheck.nat({ max: damages.length - 1 })
  })

  it.effect.prop(
    "a session is as it was or over, nothing fails, everybody signs in, and all is over in the end",
    [FastCheck.array(damage, { maxLength: 6 })],
    ([plan]) =>
      Effect.gen(function*() {
        const { map, restarted } = yield* prepared
        yield* restarted.removeBySubject(realm, "carl", { except: Option.none() })
        const sound = new Map(map)
        for (const one of plan) {
          const key = Array.from(map.keys())[one.key % map.size]!
          map.set(key, damages[one.damage]![1](map.get(key)!))
        }
        const isHit = (key: string) => map.get(key) !== sound.get(key)
        for (const session of begun) {
          const isOver = isHit(`session/record/${session.id}`) || isHit(`session/subjects/${session.id.slice(0, 12)}`)
          const seen = Option.getOrNull(yield* restarted.find(session.id))
          assert.deepStrictEqual(seen === null ? null : { ...seen }, isOver ? null : { ...session })
        }
        for (const subject of ["ada", "bob", "carl", null]) {
          const session = record("new", { subject })
          yield* restarted.create(session)
          assert.isTrue(yield* isFound(restarted, session))
        }
        yield* TestClock.setTime(start + 2 * day)
        yield* drain(restarted)
        assert.deepStrictEqual(yield* found(restarted), [])
      })
  )
})

// -----------------------------------------------------------------------------
// Files
// -----------------------------------------------------------------------------

describe("the file store", () => {
  const over = (directory: string) => <A, E, R>(self: Effect.Effect<A, E, R>) =>
    Effect.provide(self, SessionStoreKeyValue.layerFileSystem(directory, { sweepEvery: "1000 days" }))

  const inDirectory = <A, E>(
    body: (
      directory: string,
      fs: FileSystem.FileSystem
    ) => Effect.Effect<A, E, FileSystem.FileSystem | NodeContext.NodeContext>
  ) =>
  () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(start)
      const fs = yield* FileSystem.FileSystem
      return yield* body(yield* freshDirectory, fs)
    }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))

  it.effect(
    "keeps its sessions and marks over a restart",
    inDirectory((directory) =>
      Effect.gen(function*() {
        yield* Effect.flatMap(SessionStore.SessionStore, (store) =>
          Effect.gen(function*() {
            yield* Effect.forEach(begun, store.create)
            yield* store.update(record("a", { data: "new" }))
            yield* store.remove(b.id)
            yield* store.removeBySubject(realm, "bob", { except: Option.none() })
          })).pipe(over(directory))
        yield* Effect.flatMap(SessionStore.SessionStore, (store) =>
          Effect.gen(function*() {
            const seen = Option.getOrThrow(yield* store.find(a.id))
            assert.deepStrictEqual({ ...seen }, { ...a, data: "new", version: 1 })
            assert.deepStrictEqual((yield* found(store)).map(({ id }) => id), [a.id, d.id])
            const early = record("early", { subject: "bob", authenticatedAt: start - 1 })
            assert.strictEqual((yield* Effect.flip(store.create(early)))._tag, "SessionRefused")
            yield* TestClock.setTime(start + hour)
            assert.strictEqual(yield* drain(store), 2)
          })).pipe(over(directory))
      })
    )
  )

  it.effect(
    "ends one session for one damaged file, and sweeps beside foreign files and directories",
    inDirectory((directory, fs) =>
      Effect.gen(function*() {
        yield* Effect.flatMap(SessionStore.SessionStore, (store) =>
          Effect.gen(function*() {
            yield* Effect.forEach(begun, store.create)
            const files = yield* fs.readDirectory(directory)
            const contents = yield* Effect.forEach(files, (file) => fs.readFileString(`${directory}/${file}`))
            const file = files[contents.findIndex((content) => content.includes(a.data.replaceAll("\"", "\\\"")))]!
            yield* fs.writeFile(`${directory}/${file}`, Uint8Array.of(0xff, 0xfe, 0))
            yield* fs.writeFileString(`${directory}/README`, "not yours")
            yield* fs.makeDirectory(`${directory}/${"0".repeat(64)}`)
            yield* fs.makeDirectory(`${directory}/${"0".repeat(64)}.${"0".repeat(16)}.tmp`)
            assert.deepStrictEqual(yield* found(store), [b, c, d])
            yield* TestClock.setTime(start + hour)
            assert.strictEqual(yield* drain(store), 4)
          })).pipe(over(directory))
        yield* Effect.zipRight(TestClock.setTime(start + 2 * hour), Effect.flatMap(SessionStore.SessionStore, drain))
          .pipe(
            over(directory)
          )
        const left = (yield* fs.readDirectory(directory)).sort()
        assert.deepStrictEqual(left, ["0".repeat(64), `${"0".repeat(64)}.${"0".repeat(16)}.tmp`, "README"])
      })
    )
  )

  it.effect(
    "goes on after its directory was removed: the sessions are over, and new ones begin",
    inDirectory((directory, fs) =>
      Effect.flatMap(SessionStore.SessionStore, (store) =>
        Effect.gen(function*() {
          yield* Effect.forEach(begun, store.create)
          yield* fs.remove(directory, { recursive: true })
          assert.deepStrictEqual(yield* found(store), [])
          assert.isFalse(yield* store.update(a))
          yield* store.remove(a.id)
          yield* store.create(record("new"))
          assert.deepStrictEqual(names(yield* store.listBySubject(realm, "ada")), ["new"])
          yield* TestClock.setTime(start + hour)
          assert.strictEqual(yield* drain(store), 1)
        })).pipe(over(directory))
    )
  )

  it.effect("refuses a pace of sweeping that is none", () =>
    Effect.gen(function*() {
      for (const sweepEvery of [0, -1, Number.NaN, "soon" as "1 second"]) {
        const exit = yield* Effect.exit(
          Effect.provide(SessionStore.SessionStore, SessionStoreKeyValue.layerFileSystem("unused", { sweepEvery }))
        )
        assert.include(String(exit), "sweepEvery")
      }
    }).pipe(Effect.provide(Layer.provideMerge(Layer.empty, NodeContext.layer))))
})
