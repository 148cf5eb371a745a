import { SqlClient } from "@effect/sql"
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { SessionEpoch } from "effect-security"
import * as SessionStoreSql from "effect-security/session/SessionStoreSql"
import { kinds } from "./databases.js"
import { at, eventually, layerOver } from "./fixtures.js"

const now = Date.UTC(2200)
const until = Date.UTC(2300)

for (const kind of kinds) {
  describe.skipIf(!kind.isThere)(`epochs in ${kind.name}`, () => {
    const epochs = SessionStoreSql.layerEpoch.pipe(Layer.provideMerge(layerOver(kind)))

    layer(epochs, { excludeTestServices: true })((it) => {
      it.effect("begin with 0, then with the time, and never go back", () =>
        Effect.gen(function*() {
          const { advance, current } = yield* SessionEpoch.SessionEpoch
          assert.strictEqual(yield* current("test", "ada"), 0)
          assert.strictEqual(yield* at(now)(advance("test", "ada", until)), now)
          assert.strictEqual(yield* at(now)(advance("test", "ada", until)), now + 1)
          assert.strictEqual(yield* at(now - 1_000)(advance("test", "ada", until)), now + 2)
          assert.strictEqual(yield* current("test", "ada"), now + 2)
          assert.strictEqual(yield* at(now + 10)(advance("test", "ada", until)), now + 10)
        }))

      it.effect("are those of their own subject and realm", () =>
        Effect.gen(function*() {
          const { advance, current } = yield* SessionEpoch.SessionEpoch
          yield* at(now)(advance("a\0", "b", until))
          assert.strictEqual(yield* current("a\0", "b"), now)
          for (const [realm, subject] of [["a", "\0b"], ["a\0", "B"], ["a\0b", ""]] as const) {
            assert.strictEqual(yield* current(realm, subject), 0)
          }
        }))

      it.effect("that begin at once have numbers of their own", () =>
        Effect.gen(function*() {
          const { advance, current } = yield* SessionEpoch.SessionEpoch
          const numbers = yield* Effect.all(
            Array.from({ length: 30 }, () => at(now)(advance("test", "bob", until))),
            { concurrency: "unbounded" }
          )
          assert.deepStrictEqual([...numbers].sort(), Array.from(numbers, (_, index) => now + index))
          assert.strictEqual(yield* current("test", "bob"), now + 29)
        }))

      it.effect("are remembered until the latest moment that was asked for", () =>
        Effect.gen(function*() {
          const { advance } = yield* SessionEpoch.SessionEpoch
          const sql = yield* SqlClient.SqlClient
          yield* at(now)(advance("test", "eve", until))
          yield* at(now)(advance("test", "eve", until - 1))
          const [row] = yield* sql<{ expires_at: number | string }>`
            SELECT expires_at FROM effect_security_session_epochs WHERE subject = 'eve'`
          assert.strictEqual(Number(row!.expires_at), until)
        }))

      it.effect("that nobody remembers any longer are removed", () =>
        Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          yield* SessionEpoch.SessionEpoch.pipe(
            Effect.flatMap(({ advance }) => advance("test", "old", 1)),
            Effect.zipRight(SessionEpoch.SessionEpoch),
            Effect.flatMap(({ advance }) => advance("test", "new", until))
          )
          // Another process begins, and sweeps.
          yield* Layer.build(SessionStoreSql.layerEpoch)
          const left = sql<{ subject: string }>`
            SELECT subject FROM effect_security_session_epochs WHERE subject IN ('old', 'new')`
          yield* eventually(left, (rows) => rows.length < 2)
          assert.deepStrictEqual((yield* left).map(({ subject }) => subject), ["new"])
        }).pipe(Effect.scoped))
    })
  })
}
