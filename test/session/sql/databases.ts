import type { SqlClient } from "@effect/sql"
import { PgClient } from "@effect/sql-pg"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Effect, Layer, Redacted } from "effect"
import type { Scope } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { databaseUrl, freshDatabase, hasSqlite } from "../../servers.js"

type Client = Layer.Layer<SqlClient.SqlClient>

/** A folder that goes with the scope. */
export const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "effect-security-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
)

export const pgClient = (url: string, options?: Partial<PgClient.PgClientConfig>): Client =>
  Layer.orDie(PgClient.layer({ url: Redacted.make(url), maxConnections: 8, ...options }))

export const sqliteClient = (filename: string, options?: Partial<SqliteClient.SqliteClientConfig>): Client =>
  Layer.orDie(SqliteClient.layer({ filename, ...options }))

export interface Renaming {
  readonly transformResultNames: (name: string) => string
  readonly transformQueryNames: (name: string) => string
}

/** One database, and as many clients of it as are asked for: each is a pool, or a connection, of its own. */
export interface Database {
  readonly client: (options?: Renaming) => Client
}

export interface Kind {
  readonly name: string
  readonly dialect: "pg" | "sqlite"
  readonly isThere: boolean
  /** An empty one, which goes with the scope. */
  readonly fresh: Effect.Effect<Database, never, Scope.Scope>
}

export const postgres: Kind = {
  name: "PostgreSQL",
  dialect: "pg",
  isThere: databaseUrl !== undefined,
  fresh: Effect.map(freshDatabase, (url) => ({ client: (options) => pgClient(url, options) }))
}

export const sqlite: Kind = {
  name: "SQLite",
  dialect: "sqlite",
  isThere: hasSqlite,
  fresh: Effect.map(temporaryFolder, (folder) => ({
    client: (options) => sqliteClient(join(folder, "test.db"), options)
  }))
}

export const kinds: ReadonlyArray<Kind> = [postgres, sqlite]

/** A client of a database of its own. */
export const layerFresh = (kind: Kind, options?: Renaming): Client =>
  Layer.unwrapScoped(Effect.map(kind.fresh, (database) => database.client(options)))
