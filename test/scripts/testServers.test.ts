// What test/servers.ts offers, over the servers that the set-up has started.
import * as Reactivity from "@effect/experimental/Reactivity"
import { PgClient } from "@effect/sql-pg"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Redacted, Scope } from "effect"
import { Redis } from "ioredis"
import { databaseUrl, freshDatabase, hasSqlite, redisClusterNodes, redisUrl, valkeyUrl } from "../servers.js"

const postgres = (url: string) => PgClient.make({ url: Redacted.make(url), maxConnections: 1 })

const query = (url: string, statement: string) =>
  Effect.scoped(Effect.flatMap(postgres(url), (sql) => sql.unsafe(statement)))

/** What a Redis answers. */
const ask = (url: string, command: string, ...args: ReadonlyArray<string>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => new Redis(url, { maxRetriesPerRequest: 0 }).on("error", () => {})),
    (redis) => Effect.tryPromise(() => redis.call(command, ...args)),
    (redis) => Effect.sync(() => redis.disconnect())
  )

describe.skipIf(databaseUrl === undefined)("freshDatabase", () => {
  it.live("is empty and of each scope's own, and dropped when the scope ends, also while somebody is connected", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const first = yield* Scope.extend(freshDatabase, scope)
      const second = yield* Scope.extend(freshDatabase, scope)
      yield* query(first, "CREATE TABLE sessions (id text)")
      const tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
      assert.deepStrictEqual(yield* query(first, tables), [{ tablename: "sessions" }])
      assert.deepStrictEqual(yield* query(second, tables), [])

      yield* Effect.scoped(Effect.flatMap(postgres(first), () => Scope.close(scope, Exit.void)))
      for (const url of [first, second]) {
        const refused = yield* Effect.flip(query(url, "SELECT 1"))
        assert.include(String(refused.cause), "does not exist")
      }
    }).pipe(Effect.provide(Reactivity.layer)))
})

describe.skipIf(redisUrl === undefined)("redisUrl", () => {
  it.live("is where a Redis answers", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* ask(redisUrl!, "PING"), "PONG")
    }))
})

describe.skipIf(redisClusterNodes === undefined)("redisClusterNodes", () => {
  it.live("are three masters of one cluster that has every slot", () =>
    Effect.gen(function*() {
      assert.lengthOf(redisClusterNodes!, 3)
      for (const { host, port } of redisClusterNodes!) {
        const info = yield* ask(`redis://${host}:${port}`, "CLUSTER", "INFO")
        assert.include(info, "cluster_state:ok")
        assert.include(info, "cluster_size:3")
      }
    }))
})

describe.skipIf(valkeyUrl === undefined)("valkeyUrl", () => {
  it.live("is where a Valkey answers", () =>
    Effect.gen(function*() {
      assert.include(yield* ask(valkeyUrl!, "INFO", "server"), "valkey_version")
    }))
})

describe.skipIf(!hasSqlite)("hasSqlite", () => {
  it.live("says that @effect/sql-sqlite-node works", () =>
    Effect.gen(function*() {
      const sql = yield* SqliteClient.make({ filename: ":memory:" })
      assert.deepStrictEqual(yield* sql`SELECT 1 AS one`, [{ one: 1 }])
    }).pipe(Effect.scoped, Effect.provide(Reactivity.layer)))
})
