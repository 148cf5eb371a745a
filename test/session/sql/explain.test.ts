import { SqlClient, Statement } from "@effect/sql"
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { SessionEpoch, SessionStore } from "effect-security"
import * as SessionStoreSql from "effect-security/session/SessionStoreSql"
import type { Kind } from "./databases.js"
import { kinds } from "./databases.js"
import { at, created, layerOver } from "./fixtures.js"

const now = Date.UTC(2020)

/** 20,000 sessions of 5,000 subjects, of which 2,000 have expired, and as many marks and epochs. */
const fill = (kind: Kind) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const numbers = kind.dialect === "pg"
      ? sql`SELECT generate_series(1, 20000) AS n`
      : sql`WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 20000)
        SELECT n FROM numbers`
    const expiry = sql`CAST(${now} AS bigint) + CASE WHEN n <= 2000 THEN -n ELSE n END`
    yield* sql`INSERT INTO effect_security_sessions (id, realm, subject, data, schema_version, version, created_at,
        authenticated_at, last_seen_at, idle_deadline, absolute_deadline, remember, user_agent)
      SELECT 'id' || n, 'test', 'subject' || n % 5000, '{}', 1, 0, 0, 0, 0, ${expiry}, ${expiry} + 1, 1, ''
      FROM (${numbers}) AS numbers`
    yield* sql`INSERT INTO effect_security_session_marks (realm, subject, marked_at)
      SELECT 'test', 'subject' || n, ${expiry} FROM (${numbers}) AS numbers`
    yield* sql`INSERT INTO effect_security_session_epochs (realm, subject, epoch, expires_at)
      SELECT 'test', 'subject' || n, 1, ${expiry} FROM (${numbers}) AS numbers`
    yield* sql`ANALYZE`
  })

/** How the database goes about each statement that an effect runs, one line for each step of it. */
const plans = <A, E, R>(kind: Kind, self: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const texts: Array<readonly [string, ReadonlyArray<unknown>]> = []
    yield* Statement.withTransformer(self, (statement) =>
      Effect.sync(() => {
        texts.push(statement.compile(true))
        return statement
      }))
    const explain = kind.dialect === "pg" ? "EXPLAIN" : "EXPLAIN QUERY PLAN"
    const explained = yield* Effect.forEach(
      texts.filter(([text]) => /^(SELECT|INSERT|UPDATE|DELETE)/.test(text.trim())),
      ([text, parameters]) => sql.unsafe<Record<string, unknown>>(`${explain} ${text}`, parameters)
    )
    return explained.flat().map((row) => String(row["QUERY PLAN"] ?? row.detail))
  })

const index = {
  pg: { id: "effect_security_sessions_pkey", mark: "Index Scan using effect_security_session_marks_" },
  sqlite: {
    id: "sqlite_autoindex_effect_security_sessions_1",
    mark: "sqlite_autoindex_effect_security_session_marks_1"
  }
}

for (const kind of kinds) {
  const stores = SessionStoreSql.layerEpoch.pipe(
    Layer.provideMerge(layerOver(kind)),
    // The sweeper of a real clock finds everything expired.
    Layer.tap((context) => Effect.provide(fill(kind), context)),
    Layer.orDie
  )

  describe.skipIf(!kind.isThere)(`among 20,000 sessions in ${kind.name}`, () => {
    layer(stores)((it) => {
      const uses = <E>(
        name: string,
        indexes: ReadonlyArray<string>,
        self: Effect.Effect<unknown, E, SessionStore.SessionStore | SessionEpoch.SessionEpoch>
      ) =>
        it.effect(`${name} goes by an index, and reads no table from end to end`, () =>
          Effect.gen(function*() {
            const steps = yield* plans(kind, at(now)(self))
            assert.deepStrictEqual(steps.filter((step) => /Seq Scan|^SCAN (?!CONSTANT)/.test(step)), [])
            for (const index of indexes) assert.include(steps.join("\n"), index)
          }))
      const store = SessionStore.SessionStore
      const session = created({ subject: "subject77", authenticatedAt: Date.UTC(2100) })
      const { id, mark } = index[kind.dialect]

      uses("find", [id], Effect.flatMap(session, (_) => Effect.flatMap(store, ({ find }) => find(_.id))))
      uses(
        "listBySubject",
        ["effect_security_sessions_subject"],
        Effect.flatMap(store, ({ listBySubject }) => listBySubject("test", "subject77"))
      )
      uses(
        "removeExpired",
        ["effect_security_sessions_expiry", "effect_security_session_marks_age"],
        Effect.flatMap(store, ({ removeExpired }) => removeExpired(100))
      )
      uses("create", [mark], session)
      uses(
        "update, touch, rotate and remove",
        [id],
        Effect.gen(function*() {
          const given = yield* session
          const { remove, rotate, touch, update } = yield* store
          yield* update(given)
          yield* touch(given.id, 0)
          yield* rotate(given.id, given)
          yield* remove(given.id)
        })
      )
      uses(
        "removeBySubject",
        ["effect_security_sessions_subject"],
        Effect.flatMap(store, (_) => _.removeBySubject("test", "subject77", { except: Option.none() }))
      )
      uses("the current epoch", [], Effect.flatMap(SessionEpoch.SessionEpoch, (_) => _.current("test", "subject77")))
    })
  })
}
