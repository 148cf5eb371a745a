// Where the servers are that the global set-up has started. A suite that needs one asks here, by name: the set-up
// looks for these names in the test files, and starts what they need.
import * as Reactivity from "@effect/experimental/Reactivity"
import { PgClient } from "@effect/sql-pg"
import { Effect, Redacted } from "effect"
import type { Scope } from "effect"
import { randomUUID } from "node:crypto"

/** The value of an environment variable, nothing when it is empty. */
const variable = (name: string): string | undefined => process.env[name] || undefined

export const redisUrl = variable("REDIS_URL")

/** The masters of a cluster. */
export const redisClusterNodes: ReadonlyArray<{ readonly host: string; readonly port: number }> | undefined = variable(
  "REDIS_CLUSTER_NODES"
)?.split(",").map((node) => {
  const { hostname, port } = new URL(`redis://${node}`)
  return { host: hostname, port: Number(port) }
})

/** Only where the machine has a Valkey. */
export const valkeyUrl = variable("VALKEY_URL")

export const databaseUrl = variable("DATABASE_URL")

/** Whether better-sqlite3 works. */
export const hasSqlite = variable("EFFECT_SECURITY_SQLITE") !== undefined

const administer = (statement: string) =>
  Effect.gen(function*() {
    const sql = yield* PgClient.make({ url: Redacted.make(databaseUrl ?? ""), maxConnections: 1 })
    yield* sql.unsafe(statement)
  }).pipe(Effect.scoped, Effect.provide(Reactivity.layer), Effect.orDie)

/** The URL of an empty PostgreSQL database, which is dropped when the scope ends. */
export const freshDatabase: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.gen(function*() {
    const name = `test_${randomUUID().replaceAll("-", "")}`
    yield* administer(`CREATE DATABASE ${name} TEMPLATE template0`)
    const url = new URL(databaseUrl ?? "")
    url.pathname = name
    return { name, url: url.href }
  }),
  ({ name }) => administer(`DROP DATABASE ${name} WITH (FORCE)`)
).pipe(Effect.map(({ url }) => url))
