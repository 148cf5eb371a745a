import type { SqlClient } from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import type { SecurityUnavailable } from "../../SecurityError.js"
import * as database from "./database.js"
import type { Dialect } from "./dialect.js"
import type { Subject } from "./failure.js"
import { isMadeElsewhere } from "./failure.js"

/** What changes the tables once. A migration that was ever published stays as it is. */
export interface Migration {
  /** The next number. */
  readonly id: number
  readonly name: string
  readonly statements: Readonly<Record<Dialect, ReadonlyArray<string>>>
}

/** What a module keeps in the database, and how its tables came to be as they are. */
export interface Tables {
  readonly module: string
  readonly subject: Subject
  /** Where it stands which migrations were run. */
  readonly migrationsTable: string
  /** In the order of their numbers. */
  readonly migrations: ReadonlyArray<Migration>
}

const types = { pg: "timestamp with time zone DEFAULT now()", sqlite: "text DEFAULT current_timestamp" }

const createMigrationsTable = (table: string, dialect: Dialect): string =>
  `CREATE TABLE IF NOT EXISTS ${table} (
  migration_id integer PRIMARY KEY NOT NULL,
  name text NOT NULL,
  created_at ${types[dialect]} NOT NULL
)`

/** Fails, or does nothing, where the migration was run before. The second to come waits for the first to commit. */
const claim = (table: string, { id, name }: Migration): string =>
  `INSERT INTO ${table} (migration_id, name) VALUES (${id}, '${name}')`

/**
 * Runs the migrations that were not run yet, each in a transaction of its own. Several processes may do so at once:
 * one runs a migration and the others wait for it.
 */
export const run = (
  { migrations, migrationsTable, module, subject }: Tables
): Effect.Effect<void, SecurityUnavailable, SqlClient> =>
  Effect.flatMap(database.make(module, subject), ({ dialect, sql, statement, transaction }) => {
    const execute = (text: string) => sql.unsafe(text).withoutTransform
    const migrate = (migration: Migration) =>
      execute(`${claim(migrationsTable, migration)} ON CONFLICT DO NOTHING RETURNING migration_id`).pipe(
        Effect.flatMap((claimed) =>
          claimed.length === 0
            ? Effect.void
            : Effect.forEach(migration.statements[dialect], execute, { discard: true })
        )
      )
    return execute(createMigrationsTable(migrationsTable, dialect)).pipe(
      // PostgreSQL looks whether the table exists before it waits for who makes it.
      Effect.retry({ while: isMadeElsewhere, times: 8 }),
      statement,
      Effect.zipRight(Effect.forEach(migrations, (migration) => transaction(migrate(migration)), { discard: true }))
    )
  })

/** The same as a script for `psql` or `sqlite3`. */
export const print = ({ migrations, migrationsTable }: Tables, dialect: Dialect): string =>
  [
    `${createMigrationsTable(migrationsTable, dialect)};`,
    ...migrations.map((migration) =>
      ["BEGIN", claim(migrationsTable, migration), ...migration.statements[dialect], "COMMIT"]
        .map((statement) => `${statement};\n`)
        .join("")
    )
  ].join("\n\n")
