import { SqlClient } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { assertSome } from "@effect/vitest/utils"
import { Context, Effect, Layer } from "effect"
import { SessionStore } from "effect-security/session/SessionStore"
import * as SessionStoreSql from "effect-security/session/SessionStoreSql"
import * as UserRepositorySql from "effect-security/user/UserRepositorySql"
import { createRequire } from "node:module"
import { join } from "node:path"
import { freshDatabase } from "../../servers.js"
import type { Database, Kind } from "./databases.js"
import { kinds, pgClient, postgres, sqlite, sqliteClient, temporaryFolder } from "./databases.js"
import { clientOf, created, storeOver } from "./fixtures.js"

const both = Effect.zipRight(SessionStoreSql.migrate, UserRepositorySql.migrate)

/** All that the database says of our tables, but when they were made. */
const schema = (kind: Kind) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const parts = kind.dialect === "pg"
      ? [
        sql`SELECT table_name, column_name, ordinal_position, data_type, collation_name, is_nullable,
          generation_expression FROM information_schema.columns WHERE table_name LIKE 'effect_security_%'
          ORDER BY table_name, ordinal_position`,
        sql`SELECT indexname, indexdef FROM pg_indexes WHERE tablename LIKE 'effect_security_%' ORDER BY indexname`
      ]
      : [sql`SELECT name, sql FROM sqlite_master WHERE name LIKE 'effect_security_%' ORDER BY name`]
    const migrations = ["session", "user"].map((name) =>
      sql.unsafe(`SELECT migration_id, name FROM effect_security_${name}_migrations ORDER BY migration_id`)
    )
    return yield* Effect.all([...parts, ...migrations])
  })

const run = <A, E>(self: Effect.Effect<A, E, SqlClient.SqlClient>, database: Database) =>
  Effect.provide(self, database.client())

const works = (database: Database) =>
  Effect.gen(function*() {
    const store = yield* storeOver(database.client())
    const session = yield* Effect.provideService(created(), SessionStore, store)
    assertSome(yield* store.find(session.id), session)
  })

for (const kind of kinds) {
  describe.skipIf(!kind.isThere)(`the tables in ${kind.name}`, () => {
    it.scopedLive("are made once, by whoever comes first of many", () =>
      Effect.gen(function*() {
        const [database, other] = yield* Effect.all([kind.fresh, kind.fresh])
        // Each over connections of its own, as so many processes that start at once.
        const clients = yield* Effect.forEach(Array.from({ length: 6 }), () => clientOf(database.client()))
        yield* Effect.forEach(clients, (client) => Effect.provideService(both, SqlClient.SqlClient, client), {
          concurrency: "unbounded"
        })
        yield* works(database)
        yield* run(both, database)
        yield* run(both, other)
        assert.deepStrictEqual(yield* run(schema(kind), database), yield* run(schema(kind), other))
        yield* works(database)
      }))

    it.scopedLive("are missed by a sentence that says what makes them", () =>
      Effect.gen(function*() {
        const store = yield* storeOver((yield* kind.fresh).client())
        const error = yield* Effect.flip(Effect.provideService(created(), SessionStore, store))
        assert.strictEqual(error._tag, "SecurityUnavailable")
        assert.strictEqual(
          error.message,
          "the database has not the tables of the sessions: run SessionStoreSql.migrate"
        )
      }))

    it.scopedLive("are there when the Layer that makes them is provided", () =>
      Effect.gen(function*() {
        const context = yield* Layer.build(
          Layer.mergeAll(SessionStoreSql.layer, SessionStoreSql.layerEpoch).pipe(
            Layer.provide(SessionStoreSql.layerMigrations),
            Layer.provide((yield* kind.fresh).client())
          )
        )
        yield* Effect.provide(created(), context)
        assert.isDefined(Context.get(context, SessionStore))
      }))

    it.scopedLive("are made in no transaction of the application, or not at all", () =>
      Effect.gen(function*() {
        const database = yield* kind.fresh
        const inTransaction = Effect.flatMap(SqlClient.SqlClient, (sql) =>
          Effect.exit(sql.withTransaction(Effect.zipRight(Effect.exit(both), Effect.fail("undo")))))
        yield* run(inTransaction, database)
        yield* run(both, database)
        yield* works(database)
      }))
  })
}

const scripts = (dialect: SessionStoreSql.Dialect) => [SessionStoreSql.sql(dialect), UserRepositorySql.sql(dialect)]

describe.skipIf(!postgres.isThere)("the script for PostgreSQL", () => {
  it.scopedLive("does what the migration does", () =>
    Effect.gen(function*() {
      const [printed, migrated] = [yield* freshDatabase, yield* freshDatabase]
      const sql = yield* clientOf(pgClient(printed))
      // As psql sends a file: statement after statement.
      for (const script of scripts("pg")) yield* sql.unsafe(script)
      yield* Effect.provide(both, pgClient(migrated))
      const expected = yield* Effect.provide(schema(postgres), pgClient(migrated))
      assert.deepStrictEqual(yield* Effect.provide(schema(postgres), pgClient(printed)), expected)
      yield* Effect.provide(both, pgClient(printed))
      assert.deepStrictEqual(yield* Effect.provide(schema(postgres), pgClient(printed)), expected)
    }))
})

/** The driver brings no types. */
interface Driver {
  readonly exec: (script: string) => void
  readonly close: () => void
}

describe.skipIf(!sqlite.isThere)("the script for SQLite", () => {
  it.scopedLive("does what the migration does", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const [printed, migrated] = [join(folder, "printed.db"), join(folder, "migrated.db")]
      yield* Effect.sync(() => {
        const Database = createRequire(import.meta.url)("better-sqlite3") as new(filename: string) => Driver
        const driver = new Database(printed)
        for (const script of scripts("sqlite")) driver.exec(script)
        driver.close()
      })
      yield* Effect.provide(both, sqliteClient(migrated))
      const expected = yield* Effect.provide(schema(sqlite), sqliteClient(migrated))
      assert.deepStrictEqual(yield* Effect.provide(schema(sqlite), sqliteClient(printed)), expected)
      yield* Effect.provide(both, sqliteClient(printed))
      assert.deepStrictEqual(yield* Effect.provide(schema(sqlite), sqliteClient(printed)), expected)
    }))
})

describe("another dialect", () => {
  for (const dialect of ["mysql", "mssql", "clickhouse"] as const) {
    it.effect(`${dialect} is refused by every Layer and every migration`, () =>
      Effect.gen(function*() {
        const client = { onDialect: (cases: Record<string, () => unknown>) => cases[dialect]!() } as never
        const efforts = [
          Layer.build(SessionStoreSql.layer),
          Layer.build(SessionStoreSql.layerEpoch),
          SessionStoreSql.migrate,
          UserRepositorySql.migrate
        ]
        for (const effort of efforts) {
          const exit = yield* Effect.exit(
            Effect.scoped(
              Effect.provideService(
                effort as Effect.Effect<unknown, unknown, SqlClient.SqlClient>,
                SqlClient.SqlClient,
                client
              )
            )
          )
          assert.match(String(exit), /(SessionStore|UserRepository)Sql works over PostgreSQL and SQLite, and not over/)
        }
      }))
  }
})
