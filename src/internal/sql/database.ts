import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { SecurityUnavailable } from "../../SecurityError.js"
import type { Dialect } from "./dialect.js"
import { dialectOf } from "./dialect.js"
import type { Subject } from "./failure.js"
import { fromDefect, isConflict, isSqlError, toUnavailable } from "./failure.js"

/**
 * A client as a store uses it. What runs here runs outside of any transaction that the application has open: that one
 * may be rolled back, and would bring back what was removed. A fiber that was forked in one would even write into
 * whatever follows on its connection.
 */
export interface Database {
  readonly sql: SqlClient.SqlClient
  readonly dialect: Dialect
  /** Runs one statement. */
  readonly statement: <A, E>(self: Effect.Effect<A, E | SqlError>) => Effect.Effect<A, Unavailable<E>>
  /**
   * Runs several statements as one step, again from the start when another transaction came first. In PostgreSQL each
   * of them sees what was committed before it began, whatever the database is set to.
   */
  readonly transaction: <A, E>(self: Effect.Effect<A, E | SqlError>) => Effect.Effect<A, Unavailable<E>>
}

type Unavailable<E> = Exclude<E, SqlError> | SecurityUnavailable

/** At other isolation levels than PostgreSQL's default, whoever comes second fails and has to begin again. */
const again = Schedule.exponential("5 millis").pipe(Schedule.jittered, Schedule.intersect(Schedule.recurs(8)))

const opened = Effect.serviceOption(SqlClient.TransactionConnection)

const outside = Effect.mapInputContext(Context.omit(SqlClient.TransactionConnection)) as <A, E>(
  self: Effect.Effect<A, E>
) => Effect.Effect<A, E>

/** The one connection that a client over SQLite has, or a transaction that is open now and may well be on it. */
const onlyConnection = (sql: SqlClient.SqlClient, dialect: Dialect) =>
  dialect === "pg" ? Effect.succeedNone : opened.pipe(
    Effect.flatMap((outer) => Option.isSome(outer) ? Effect.succeed(outer) : sql.withTransaction(opened)),
    Effect.map(Option.map(([connection]) => connection)),
    Effect.catchAllCause(() => Effect.succeedNone)
  )

/**
 * Without a write-ahead log a reader can keep a transaction of SQLite from being committed, and the driver leaves it open:
 * what is answered afterwards is undone with it.
 */
const requireLog = (sql: SqlClient.SqlClient, dialect: Dialect, module: string): Effect.Effect<void> =>
  dialect === "pg" ? Effect.void : Effect.flatMap(
    Effect.option(Effect.catchAllDefect(
      sql<{ readonly journal_mode?: unknown }>`PRAGMA journal_mode`.withoutTransform,
      (defect) => Effect.fail(fromDefect(defect))
    )),
    Option.match({
      onNone: () => Effect.void,
      onSome: (rows) =>
        ["delete", "truncate", "persist"].includes(String(rows[0]?.journal_mode).toLowerCase())
          ? Effect.dieMessage(`${module}: SQLite is to be in WAL mode (PRAGMA journal_mode = WAL)`)
          : Effect.void
    })
  )

export const make = (module: string, subject: Subject): Effect.Effect<Database, never, SqlClient.SqlClient> =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const dialect = yield* dialectOf(sql, module)
    // Inside a transaction it would wait for the end of that one.
    yield* Effect.flatMap(opened, (outer) => Option.isSome(outer) ? Effect.void : requireLog(sql, dialect, module))
    const only = yield* onlyConnection(sql, dialect)

    const nested = new SecurityUnavailable({
      reason:
        `the ${subject.name} cannot be reached inside a transaction over the one connection that a client over SQLite ` +
        "has: give them a client and a file of their own"
    })

    const alone = <A, E>(self: Effect.Effect<A, E | SqlError>): Effect.Effect<A, Unavailable<E>> =>
      Effect.flatMap(opened, (outer) => {
        // It would wait for the end of a transaction that waits for it.
        if (Option.exists(outer, ([connection]) => Option.contains(only, connection))) return Effect.fail(nested)
        return self.pipe(
          Effect.catchAllDefect((defect) => Effect.fail(fromDefect(defect))),
          Effect.retry({ while: (error) => isSqlError(error) && isConflict(error), schedule: again }),
          Effect.mapError((error) => isSqlError(error) ? toUnavailable(subject, error) : error as Exclude<E, SqlError>),
          outside
        )
      })

    const isolation = dialect === "pg"
      ? sql`SET TRANSACTION ISOLATION LEVEL READ COMMITTED`.withoutTransform
      : Effect.void

    return {
      sql,
      dialect,
      statement: alone,
      transaction: (self) => alone(sql.withTransaction(Effect.zipRight(isolation, self)))
    }
  })
