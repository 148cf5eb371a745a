// A place of its own for each test, in each of the stores that processes share.
import { Effect } from "effect"
import type { Scope } from "effect"
import { randomUUID } from "node:crypto"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { databaseUrl, freshDatabase, hasSqlite, redisClusterNodes, redisUrl } from "../../servers.js"
import type { Place } from "./stores.js"
import { prepare } from "./stores.js"

interface Store {
  readonly name: string
  readonly isThere: boolean
  readonly place: Effect.Effect<Place, unknown, Scope.Scope>
}

const sqliteFile = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "effect-security-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
  ),
  (folder): Place => ({ kind: "sqlite", filename: join(folder, "sessions.db") })
)

const prefix = () => `${randomUUID()}:`

export const stores: ReadonlyArray<Store> = [
  { name: "SQLite", isThere: hasSqlite, place: Effect.tap(sqliteFile, prepare) },
  {
    name: "PostgreSQL",
    isThere: databaseUrl !== undefined,
    place: Effect.tap(Effect.map(freshDatabase, (url): Place => ({ kind: "postgres", url })), prepare)
  },
  {
    name: "Redis",
    isThere: redisUrl !== undefined,
    place: Effect.sync(() => ({ kind: "redis", url: redisUrl!, prefix: prefix() }))
  },
  {
    name: "Redis Cluster",
    isThere: redisClusterNodes !== undefined,
    place: Effect.sync(() => ({ kind: "cluster", nodes: redisClusterNodes!, prefix: prefix() }))
  }
]
