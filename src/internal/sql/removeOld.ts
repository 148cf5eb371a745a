import * as Effect from "effect/Effect"
import type { SecurityUnavailable } from "../../SecurityError.js"
import type { Database } from "./database.js"

/** Removes at most `limit` rows whose `time` is not after `until`, the oldest first, and says how many. */
export const removeOld = (
  { dialect, sql, statement }: Database,
  { table, time }: { readonly table: string; readonly time: string },
  until: number,
  limit: number
): Effect.Effect<number, SecurityUnavailable> => {
  const old = (row: string) =>
    sql`SELECT ${sql.literal(row)} FROM ${sql.literal(table)} WHERE ${sql.literal(time)} <= ${until}
      ORDER BY ${sql.literal(time)} LIMIT ${limit}`
  const rows = dialect === "pg"
    // An array is made once, and a subquery in IN perhaps for each row, with other rows in it each time.
    ? sql`ctid = ANY (ARRAY (${old("ctid")} FOR UPDATE SKIP LOCKED))`
    : sql`rowid IN (${old("rowid")})`
  return Effect.map(
    statement(sql`DELETE FROM ${sql.literal(table)} WHERE ${rows} RETURNING 1 AS removed`.withoutTransform),
    (removed) => removed.length
  )
}
