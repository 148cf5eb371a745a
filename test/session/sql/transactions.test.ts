import { SqlClient } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { assertNone, assertSome } from "@effect/vitest/utils"
import { Deferred, Effect, Fiber, Option } from "effect"
import { SessionStore } from "effect-security/session/SessionStore"
import type { Kind } from "./databases.js"
import { kinds, postgres, sqlite } from "./databases.js"
import { clientOf, created, layerOver, realm, record, subject } from "./fixtures.js"

/** What an application does in a transaction that it then rolls back. */
const rolledBack = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* Effect.exit(sql.withTransaction(Effect.zipRight(self, Effect.fail("undo"))))
  })

/** The whole of a session's life. */
const life = Effect.gen(function*() {
  const store = yield* SessionStore
  const [removed, rotated, ended, updated] = yield* Effect.all([
    created(),
    created(),
    created({ subject: "bob" }),
    created()
  ])
  const next = yield* record()
  yield* rolledBack(Effect.all([
    store.remove(removed.id),
    store.rotate(rotated.id, next),
    store.removeBySubject(realm, "bob", { except: Option.none() }),
    store.update(updated)
  ]))
  for (const { id } of [removed, rotated, ended]) assertNone(yield* store.find(id))
  assert.strictEqual(Option.getOrThrow(yield* store.find(next.id)).id, next.id)
  assert.strictEqual(Option.getOrThrow(yield* store.find(updated.id)).version, 1)
  assert.strictEqual((yield* Effect.flip(store.create(yield* record({ subject: "bob" }))))._tag, "SessionRefused")
})

describe.skipIf(!postgres.isThere)("in a transaction of the application in PostgreSQL", () => {
  it.live("what was ended stays ended when it is rolled back", () => Effect.provide(life, layerOver(postgres)))

  it.live("a statement that fails does not spoil it", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const store = yield* SessionStore
      const given = yield* created()
      const again = Effect.flip(store.create(given))
      assert.strictEqual(
        (yield* sql.withTransaction(Effect.zipRight(again, sql<{ one: number }>`SELECT 1 AS one`)))[0]!.one,
        1
      )
    }).pipe(Effect.provide(layerOver(postgres))))

  it.live("a fiber that outlives it does not write into what follows on its connection", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const store = yield* SessionStore
      const given = yield* created()
      const latch = yield* Deferred.make<void>()
      const fiber = yield* sql.withTransaction(
        Effect.forkDaemon(Effect.zipRight(Deferred.await(latch), store.remove(given.id)))
      )
      yield* rolledBack(Effect.zipRight(Deferred.succeed(latch, undefined), Fiber.join(fiber)))
      assertNone(yield* store.find(given.id))
    }).pipe(Effect.provide(layerOver(postgres))))
})

describe.skipIf(!sqlite.isThere)("in a transaction of the application in SQLite", () => {
  it.live("over the same client every operation fails at once, and the transaction goes on", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const store = yield* SessionStore
      const given = yield* created()
      yield* sql`CREATE TABLE orders (id integer)`
      const errors = yield* sql.withTransaction(
        Effect.gen(function*() {
          yield* sql`INSERT INTO orders VALUES (1)`
          return yield* Effect.all([
            Effect.flip(store.find(given.id)),
            Effect.flip(store.create(yield* record())),
            Effect.flip(store.remove(given.id)),
            Effect.flip(store.removeBySubject(realm, subject, { except: Option.none() }))
          ])
        })
      )
      for (const error of errors) {
        assert.strictEqual(error._tag, "SecurityUnavailable")
        assert.include(error.message, "give them a client and a file of their own")
      }
      assert.lengthOf(yield* sql`SELECT id FROM orders`, 1)
      assert.isTrue(Option.isSome(yield* store.find(given.id)))
    }).pipe(Effect.provide(layerOver(sqlite))))

  it.live("over a client and a file of their own, what was ended stays ended when it is rolled back", () =>
    Effect.gen(function*() {
      const application = yield* clientOf((yield* sqlite.fresh).client())
      yield* Effect.provideService(life, SqlClient.SqlClient, application)
    }).pipe(Effect.scoped, Effect.provide(layerOver(sqlite))))
})

const camel = (name: string) => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())

/** Names as applications have them, and names by which nothing would be found. */
const renamings = {
  "camelCase": {
    transformResultNames: camel,
    transformQueryNames: (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
  },
  "a prefix": {
    transformResultNames: (name: string) => `result_${name}`,
    transformQueryNames: (name: string) => `query_${name}`
  }
}

const renamed = (kind: Kind, name: keyof typeof renamings) =>
  it.live(`with ${name} in ${kind.name}`, () =>
    Effect.gen(function*() {
      const store = yield* SessionStore
      const given = yield* created()
      const next = yield* record({ version: 1 })
      assertSome(yield* store.find(given.id), given)
      assert.isTrue(yield* store.update(given))
      assert.isTrue(yield* store.rotate(given.id, next))
      assert.deepStrictEqual(yield* store.listBySubject(realm, subject), [next])
      yield* store.removeBySubject(realm, subject, { except: Option.none() })
      assert.strictEqual((yield* Effect.flip(store.create(given)))._tag, "SessionRefused")
      assert.strictEqual(yield* store.removeExpired(10), 0)
    }).pipe(Effect.provide(layerOver(kind, renamings[name]))))

for (const kind of kinds) {
  describe.skipIf(!kind.isThere)("a client that renames what it sends and gets changes nothing", () => {
    renamed(kind, "camelCase")
    renamed(kind, "a prefix")
  })
}
