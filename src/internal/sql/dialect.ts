import type { SqlClient } from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"

/** The databases that the tables and statements are written for. */
export type Dialect = "pg" | "sqlite"

/** The dialect of a client. Dies over another: nothing of it was ever tried there. */
export const dialectOf = (sql: SqlClient, module: string): Effect.Effect<Dialect> => {
  const other = (name: string) => () =>
    Effect.dieMessage(`${module} works over PostgreSQL and SQLite, and not over ${name}`)
  return sql.onDialect({
    pg: () => Effect.succeed<Dialect>("pg"),
    sqlite: () => Effect.succeed<Dialect>("sqlite"),
    mysql: other("MySQL"),
    mssql: other("SQL Server"),
    clickhouse: other("ClickHouse")
  })
}
