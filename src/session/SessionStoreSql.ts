/**
 * Sessions in PostgreSQL or SQLite, over `@effect/sql`. The tables are made by `migrate` or by the script that `sql`
 * prints.
 *
 * @since 0.1.0
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type * as Statement from "@effect/sql/Statement"
import { sha256 } from "@noble/hashes/sha2.js"
import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { escape, unescape } from "../internal/columnText.js"
import type { Database } from "../internal/sql/database.js"
import * as database from "../internal/sql/database.js"
import type * as dialect from "../internal/sql/dialect.js"
import * as migrations from "../internal/sql/migrations.js"
import { removeOld } from "../internal/sql/removeOld.js"
import { sessionTables } from "../internal/sql/sessionTables.js"
import { SecurityUnavailable } from "../SecurityError.js"
import { markMillis } from "./internal/policy.js"
import * as sweeper from "./internal/sweeper.js"
import * as SessionEpoch from "./SessionEpoch.js"
import type { Service } from "./SessionStore.js"
import { SessionRecord, SessionRefused, SessionStore } from "./SessionStore.js"
import type { SessionId } from "./SessionToken.js"

// -----------------------------------------------------------------------------
// Models
// -----------------------------------------------------------------------------

/**
 * The databases that sessions can be in.
 *
 * @since 0.1.0
 * @category models
 */
export type Dialect = dialect.Dialect

/**
 * `sweepEvery` is how often expired sessions are removed, 1 minute by default. Several processes may sweep at once.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly sweepEvery?: Duration.DurationInput | undefined
}

// -----------------------------------------------------------------------------
// Rows
// -----------------------------------------------------------------------------

/** PostgreSQL's driver gives a bigint as text, and a client may be set to give either as a BigInt. */
type Integer = number | string | bigint

interface Row {
  readonly id: string
  readonly realm: string
  readonly subject: string | null
  readonly data: string
  readonly schema_version: Integer
  readonly version: Integer
  readonly created_at: Integer
  readonly authenticated_at: Integer
  readonly last_seen_at: Integer
  readonly idle_deadline: Integer
  readonly absolute_deadline: Integer
  readonly remember: Integer
  readonly user_agent: string
}

const fromRow = (row: Row): SessionRecord =>
  new SessionRecord({
    id: row.id as SessionId,
    realm: unescape(row.realm),
    subject: row.subject === null ? null : unescape(row.subject),
    data: row.data,
    schemaVersion: Number(row.schema_version),
    version: Number(row.version),
    createdAt: Number(row.created_at),
    authenticatedAt: Number(row.authenticated_at),
    lastSeenAt: Number(row.last_seen_at),
    idleDeadline: Number(row.idle_deadline),
    absoluteDeadline: Number(row.absolute_deadline),
    remember: Number(row.remember) === 1,
    userAgent: unescape(row.user_agent)
  }, { disableValidation: true })

const fromRows = (rows: ReadonlyArray<Row>): Effect.Effect<ReadonlyArray<SessionRecord>, SecurityUnavailable> =>
  Effect.try({
    try: () => rows.map(fromRow),
    // What is wrong with a value would repeat it.
    catch: () => new SecurityUnavailable({ reason: "the database has a session that nobody here wrote" })
  })

const step = <A, E>(f: (now: number) => Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.flatMap(Clock.currentTimeMillis, f)

const isAny = (rows: ReadonlyArray<unknown>): boolean => rows.length > 0

// -----------------------------------------------------------------------------
// Sessions
// -----------------------------------------------------------------------------

const columns = "id, realm, subject, data, schema_version, version, created_at, authenticated_at, last_seen_at, " +
  "idle_deadline, absolute_deadline, remember, user_agent"

/** Subjects that share a lock wait for each other, and nothing else comes of it. */
const lockOf = (realm: string, subject: string): string => {
  const digest = sha256(new TextEncoder().encode(JSON.stringify([realm, subject])))
  return new DataView(digest.buffer, digest.byteOffset).getBigInt64(0).toString()
}

const makeStore = (db: Database): Service => {
  const { dialect, sql, statement, transaction } = db
  const greatest = sql.literal(dialect === "pg" ? "greatest" : "max")
  const allColumns = sql.literal(columns)

  const values = (record: SessionRecord) =>
    sql.csv([
      record.id,
      escape(record.realm),
      record.subject === null ? null : escape(record.subject),
      record.data,
      record.schemaVersion,
      record.version,
      record.createdAt,
      record.authenticatedAt,
      record.lastSeenAt,
      record.idleDeadline,
      record.absoluteDeadline,
      record.remember ? 1 : 0,
      escape(record.userAgent)
    ].map((value) => sql`${value}`))

  /** Nothing equals null, so that no mark stands against a session without a subject. */
  const ownedBy = (realm: string, subject: string | null) =>
    sql`realm = ${escape(realm)} AND subject = ${subject === null ? null : escape(subject)}`

  const insert = (record: SessionRecord, now: number) =>
    sql`INSERT INTO effect_security_sessions (${allColumns}) SELECT ${values(record)} WHERE NOT EXISTS (
      SELECT 1 FROM effect_security_session_marks WHERE ${ownedBy(record.realm, record.subject)}
        AND marked_at > ${Math.max(record.authenticatedAt, now - markMillis)}
    ) RETURNING id`.withoutTransform

  /**
   * Ending all sessions of a subject and beginning one wait for each other: PostgreSQL would let a new row slip past
   * both the mark and the DELETE. This is a statement of its own, so that the next one sees what was committed during
   * the wait. SQLite has one writer at a time.
   */
  const locked = (mode: "exclusive" | "shared", realm: string, subject: string) => {
    const lock = sql.literal(mode === "shared" ? "pg_advisory_xact_lock_shared" : "pg_advisory_xact_lock")
    return dialect === "pg"
      ? sql`SELECT ${lock}(${lockOf(realm, subject)}::bigint)`.withoutTransform
      : Effect.void
  }

  const removeMarks = (until: number): Effect.Effect<void, SecurityUnavailable> =>
    Effect.flatMap(
      removeOld(db, { table: "effect_security_session_marks", time: "marked_at" }, until, sweeper.batch),
      (removed) => removed < sweeper.batch ? Effect.void : removeMarks(until)
    )

  const update = (changes: Statement.Fragment, condition: Statement.Fragment) =>
    statement(sql`UPDATE effect_security_sessions SET ${changes} WHERE ${condition} RETURNING id`.withoutTransform)

  const select = (condition: Statement.Fragment) =>
    Effect.flatMap(
      statement(sql<Row>`SELECT ${allColumns} FROM effect_security_sessions WHERE ${condition}`.withoutTransform),
      fromRows
    )

  return {
    create: (record) =>
      step((now) => {
        const { realm, subject } = record
        return subject === null || dialect === "sqlite"
          ? statement(insert(record, now))
          : transaction(Effect.zipRight(locked("shared", realm, subject), insert(record, now)))
      }).pipe(Effect.flatMap((rows) => isAny(rows) ? Effect.void : Effect.fail(new SessionRefused()))),

    find: (id) => step((now) => Effect.map(select(sql`id = ${id} AND expires_at > ${now}`), Arr.head)),

    update: ({ data, id, schemaVersion, version }) =>
      step((now) =>
        update(
          sql`data = ${data}, schema_version = ${schemaVersion}, version = version + 1`,
          sql`id = ${id} AND version = ${version} AND expires_at > ${now}`
        )
      ).pipe(Effect.map(isAny)),

    touch: (id, deadline) =>
      step((now) =>
        update(
          sql`last_seen_at = ${now}, idle_deadline = ${greatest}(idle_deadline, ${deadline})`,
          sql`id = ${id} AND expires_at > ${now}`
        )
      ).pipe(Effect.asVoid),

    // The row gets another id, instead of going and coming: who waits for it to remove it removes it with its new id.
    rotate: (oldId, record) =>
      step((now) =>
        update(
          sql`(${allColumns}) = (${values(record)})`,
          sql`id = ${oldId} AND version = ${record.version} AND expires_at > ${now}`
        )
      ).pipe(Effect.map(isAny)),

    remove: (id) =>
      Effect.asVoid(statement(sql`DELETE FROM effect_security_sessions WHERE id = ${id}`.withoutTransform)),

    removeBySubject: (realm, subject, { except }) =>
      step((now) => {
        // It comes first: in SQLite a transaction that begins by reading fails where another process has written since.
        const mark = sql`INSERT INTO effect_security_session_marks AS mark (realm, subject, marked_at)
          VALUES (${escape(realm)}, ${escape(subject)}, ${now})
          ON CONFLICT (realm, subject) DO UPDATE SET marked_at = ${greatest}(mark.marked_at, excluded.marked_at)`
        const all = sql`DELETE FROM effect_security_sessions WHERE ${ownedBy(realm, subject)}`
        const removal = Option.match(except, { onNone: () => all, onSome: (id) => sql`${all} AND id <> ${id}` })
        return transaction(
          locked("exclusive", realm, subject).pipe(
            Effect.zipRight(mark.withoutTransform),
            Effect.zipRight(removal.withoutTransform)
          )
        )
      }).pipe(Effect.asVoid),

    listBySubject: (realm, subject) => step((now) => select(sql`${ownedBy(realm, subject)} AND expires_at > ${now}`)),

    removeExpired: (limit) =>
      step((now) =>
        Effect.zipLeft(
          removeOld(db, { table: "effect_security_sessions", time: "expires_at" }, now, limit),
          // Twice as long as they count: the clock of another process may be behind.
          removeMarks(now - 2 * markMillis)
        )
      )
  }
}

// -----------------------------------------------------------------------------
// Epochs
// -----------------------------------------------------------------------------

const makeEpochs = ({ dialect, sql, statement }: Database): SessionEpoch.Service => {
  const greatest = sql.literal(dialect === "pg" ? "greatest" : "max")
  const numberIn = (rows: ReadonlyArray<{ readonly epoch: Integer }>): number => Number(rows[0]?.epoch ?? 0)

  return {
    current: (realm, subject) =>
      Effect.map(
        statement(
          sql<{ epoch: Integer }>`SELECT epoch FROM effect_security_session_epochs
          WHERE realm = ${escape(realm)} AND subject = ${escape(subject)}`.withoutTransform
        ),
        numberIn
      ),
    advance: (realm, subject, until) =>
      step((now) =>
        statement(
          sql<{ epoch: Integer }>`
          INSERT INTO effect_security_session_epochs AS before (realm, subject, epoch, expires_at)
          VALUES (${escape(realm)}, ${escape(subject)}, ${Math.max(1, now)}, ${until})
          ON CONFLICT (realm, subject) DO UPDATE SET
            epoch = ${greatest}(before.epoch + 1, excluded.epoch),
            expires_at = ${greatest}(before.expires_at, excluded.expires_at)
          RETURNING epoch`.withoutTransform
        )
      ).pipe(Effect.map(numberIn))
  }
}

// -----------------------------------------------------------------------------
// Layers
// -----------------------------------------------------------------------------

const connect = database.make(sessionTables.module, sessionTables.subject)

/**
 * Sessions in the database of the `SqlClient`, as `layer`, swept as often as `sweepEvery` says: a positive length of
 * time, or the Layer dies with a sentence that says so.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerWith = (options: Options): Layer.Layer<SessionStore, never, SqlClient> =>
  Layer.scoped(
    SessionStore,
    Effect.gen(function*() {
      const interval = Option.filter(
        Duration.decodeUnknown(options.sweepEvery ?? sweeper.defaultInterval),
        (_) => Duration.greaterThan(_, 0) && Duration.isFinite(_)
      )
      if (Option.isNone(interval)) {
        return yield* Effect.dieMessage("SessionStoreSql: sweepEvery is a positive length of time")
      }
      const store = makeStore(yield* connect)
      yield* sweeper.start(store, interval.value)
      return store
    })
  )

/**
 * Sessions in the database of the `SqlClient`: PostgreSQL 12 or later, or SQLite 3.35 or later; the Layer dies over
 * another. Any number of processes may share them. The tables have to be there: see `layerMigrations`. Expired sessions
 * are removed by a fiber in the Layer's scope, each minute.
 *
 * The store works outside of any transaction that the calling fiber has open: what was ended stays ended when that one
 * is rolled back.
 *
 * - **PostgreSQL.** An operation takes one connection of the pool, and waits for one when all are taken: set
 *   `connectTimeout`. `create` and `removeBySubject` are transactions that hold an advisory lock of the subject, and
 *   work through a pooler that gives a connection for each transaction. Realm and subject together take at most about
 *   2,600 bytes, or `create` fails with `SecurityUnavailable`.
 * - **SQLite.** A client has one connection, and a transaction has it to itself. So an operation inside a transaction of
 *   the same client fails at once with `SecurityUnavailable`: where that is wanted, give the sessions a client and a file
 *   of their own. (Over the same file they would wait for a transaction that has written and waits for them.) The client
 *   turns WAL mode on, in which processes read while one writes; who would write waits for that one, with the whole
 *   process, for 5 seconds at most: the statement `PRAGMA busy_timeout = 1000` on the client makes it one. As
 *   better-sqlite3 comes, a power failure may undo the last changes, and bring an ended session back: `PRAGMA synchronous
 *   = FULL` keeps them.
 *
 * @since 0.1.0
 * @category layers
 * @example
 * ```ts
 * import { PgClient } from "@effect/sql-pg"
 * import { Config, Layer } from "effect"
 * import * as SessionStoreSql from "effect-security/session/SessionStoreSql"
 *
 * const Sessions = SessionStoreSql.layer.pipe(
 *   Layer.provide(SessionStoreSql.layerMigrations),
 *   Layer.provide(PgClient.layerConfig({ url: Config.redacted("DATABASE_URL"), connectTimeout: Config.succeed("1 second") }))
 * )
 * ```
 */
export const layer: Layer.Layer<SessionStore, never, SqlClient> = layerWith({})

/**
 * The epochs of sealed sessions in the same database. Those that nobody remembers any longer are removed each minute.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerEpoch: Layer.Layer<SessionEpoch.SessionEpoch, never, SqlClient> = Layer.scoped(
  SessionEpoch.SessionEpoch,
  Effect.tap(connect, (db) => {
    const removeExpired = (limit: number) =>
      step((now) => removeOld(db, { table: "effect_security_session_epochs", time: "expires_at" }, now, limit))
    return sweeper.start({ removeExpired }, sweeper.defaultInterval)
  }).pipe(Effect.map(makeEpochs))
)

// -----------------------------------------------------------------------------
// Migrations
// -----------------------------------------------------------------------------

/**
 * Makes the tables of sessions and epochs, or brings them up to date. The table `effect_security_session_migrations`
 * says what was done, so that it may be run at each start, by several processes at once.
 *
 * @since 0.1.0
 * @category migrations
 */
export const migrate: Effect.Effect<void, SecurityUnavailable, SqlClient> = migrations.run(sessionTables)

/**
 * Runs `migrate` when it is built: provide it to `layer` or `layerEpoch`, and the tables are there before they are
 * used.
 *
 * @since 0.1.0
 * @category migrations
 */
export const layerMigrations: Layer.Layer<never, SecurityUnavailable, SqlClient> = Layer.effectDiscard(migrate)

/**
 * What `migrate` does to an empty database, as a script for `psql` or `sqlite3`: for those who let nothing but their own
 * migrations change a database. `migrate` knows what such a script has done.
 *
 * @since 0.1.0
 * @category migrations
 */
export const sql = (dialect: Dialect): string => migrations.print(sessionTables, dialect)
