import { SqlClient, Statement } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { SessionStore } from "effect-security/session/SessionStore"
import * as SessionStoreSql from "effect-security/session/SessionStoreSql"
import { kinds, layerFresh } from "./databases.js"
import { at, created, eventually, layerOver } from "./fixtures.js"

const now = Date.UTC(2020)

const count = (table: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.map(
      sql.unsafe<{ n: number | string }>(`SELECT count(*) AS n FROM ${table}`),
      (rows) => Number(rows[0]!.n)
    ))

const marks = (n: number, time: number) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.forEach(
      Array.from({ length: n / 100 }, (_, batch) => batch),
      (batch) =>
        sql`INSERT INTO effect_security_session_marks ${
          sql.insert(Array.from({ length: 100 }, (_, index) => ({
            realm: "test",
            subject: `${time}/${batch}/${index}`,
            marked_at: time
          })))
        }`
    ))

for (const kind of kinds) {
  describe.skipIf(!kind.isThere)(`in ${kind.name}`, () => {
    it.effect("expired sessions go in batches, the oldest first", () =>
      Effect.gen(function*() {
        const store = yield* SessionStore
        const sessions = yield* Effect.forEach([5, 3, 1, 4, 2, 9], (n) => created({ absoluteDeadline: now + n }))
        const left = Effect.map(
          Effect.forEach(sessions, ({ id }) => at(0)(store.find(id))),
          (found) => found.flatMap((_) => _._tag === "Some" ? [_.value.absoluteDeadline - now] : [])
        )
        const removeExpired = at(now + 5)(store.removeExpired(2))
        assert.strictEqual(yield* removeExpired, 2)
        assert.deepStrictEqual(yield* left, [5, 3, 4, 9])
        assert.strictEqual(yield* removeExpired, 2)
        assert.strictEqual(yield* removeExpired, 1)
        assert.strictEqual(yield* removeExpired, 0)
        assert.deepStrictEqual(yield* left, [9])
      }).pipe(Effect.provide(layerOver(kind))))

    it.effect("marks go when they count nowhere any more, in statements of at most 1,000", () =>
      Effect.gen(function*() {
        const store = yield* SessionStore
        yield* marks(2_500, now - 20 * 60_000)
        yield* marks(100, now - 20 * 60_000 + 1)
        const removed: Array<unknown> = []
        yield* Statement.withTransformer(at(now)(store.removeExpired(1)), (statement) =>
          Effect.sync(() => {
            const [text, parameters] = statement.compile(true)
            if (text.includes("marks")) removed.push(parameters.at(-1))
            return statement
          }))
        assert.deepStrictEqual(removed, [1_000, 1_000, 1_000])
        assert.strictEqual(yield* count("effect_security_session_marks"), 100)
      }).pipe(Effect.provide(layerOver(kind))))

    it.scopedLive("the Layer sweeps by itself", () =>
      Effect.gen(function*() {
        const client = Layer.succeed(SqlClient.SqlClient, yield* SqlClient.SqlClient)
        yield* Effect.provide(
          created({ absoluteDeadline: 1, authenticatedAt: Date.UTC(2100) }),
          SessionStoreSql.layer.pipe(Layer.provide(client))
        )
        yield* Layer.build(SessionStoreSql.layerWith({ sweepEvery: "10 millis" }).pipe(Layer.provide(client)))
        const swept = eventually(count("effect_security_sessions"), (n) => n === 0)
        yield* swept
        yield* Effect.provide(
          created({ absoluteDeadline: 1, authenticatedAt: Date.UTC(2100) }),
          SessionStoreSql.layer.pipe(Layer.provide(client))
        )
        yield* swept
      }).pipe(Effect.provide(layerOver(kind))))
  })
}

describe.skipIf(!kinds.some(({ isThere }) => isThere))("the Layer", () => {
  it.effect("dies of an interval that is none", () =>
    Effect.gen(function*() {
      const client = layerFresh(kinds.find(({ isThere }) => isThere)!)
      for (const sweepEvery of [0, -1, Infinity, NaN, "soon" as never]) {
        const exit = yield* Effect.exit(
          Effect.scoped(Layer.build(SessionStoreSql.layerWith({ sweepEvery }).pipe(Layer.provide(client))))
        )
        assert.include(String(exit), "SessionStoreSql: sweepEvery is a positive length of time")
      }
    }))
})
