import type { SqlClient } from "@effect/sql"
import { assert, describe, layer } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Option } from "effect"
import type { SessionRecord } from "effect-security/session/SessionStore"
import { SessionStore } from "effect-security/session/SessionStore"
import * as SessionStoreSql from "effect-security/session/SessionStoreSql"
import { freshDatabase } from "../../servers.js"
import { pgClient, postgres } from "./databases.js"
import { at, clientOf, created, eventually, realm, record, storeOver, subject } from "./fixtures.js"

// PostgreSQL lets statements run beside each other. What one of them waits for, another connection holds here.

/** Ahead of any real clock, so that the store's own sweeper leaves it alone. */
const later = Date.UTC(2150)

/** A transaction on a connection of its own, as far as `statement`; the effect that is given ends it. */
const hold = (sql: SqlClient.SqlClient, statement: string) =>
  Effect.gen(function*() {
    const connection = yield* sql.reserve
    const execute = (text: string) => connection.executeUnprepared(text, [], undefined)
    yield* execute("BEGIN")
    yield* execute(statement)
    return execute("COMMIT")
  })

/** Until so many connections wait for a lock. */
const waiting = (sql: SqlClient.SqlClient, count: number) =>
  eventually(
    sql<{ n: number }>`SELECT count(*)::int AS n FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    ([row]) => row!.n >= count
  )

/** A store, and a client besides it, of a database whose transactions are isolated as is said. */
class Setup extends Context.Tag("Setup")<Setup, {
  readonly sql: SqlClient.SqlClient
  readonly store: SessionStore["Type"]
}>() {}

const setUp = (isolation: string) =>
  Layer.scoped(
    Setup,
    Effect.gen(function*() {
      const url = yield* freshDatabase
      const sql = yield* clientOf(pgClient(url))
      const name = new URL(url).pathname.slice(1)
      yield* sql.unsafe(`ALTER DATABASE ${name} SET default_transaction_isolation = '${isolation}'`)
      const client = pgClient(url, { maxConnections: 20 })
      yield* Effect.provide(SessionStoreSql.migrate, client)
      return { sql, store: yield* storeOver(client) }
    })
  )

/** A session of a sign-in that no mark stands against. */
const begin = (changes?: Partial<SessionRecord>) =>
  Effect.flatMap(
    Setup,
    ({ store }) => Effect.provideService(created({ authenticatedAt: later + 1, ...changes }), SessionStore, store)
  )

const isolations = ["read committed", "repeatable read", "serializable"]

describe.skipIf(!postgres.isThere)("PostgreSQL", () => {
  for (const isolation of isolations) {
    layer(setUp(isolation), { excludeTestServices: true })(`at the isolation level "${isolation}"`, (it) => {
      it.scoped("a sign-in that waits while all sessions are ended is refused", () =>
        Effect.gen(function*() {
          const { sql, store } = yield* Setup
          const given = yield* begin()
          const release = yield* hold(sql, `SELECT 1 FROM effect_security_sessions WHERE id = '${given.id}' FOR UPDATE`)
          const removal = yield* Effect.fork(
            at(later)(store.removeBySubject(realm, subject, { except: Option.none() }))
          )
          yield* waiting(sql, 1)
          const late = yield* record({ authenticatedAt: later - 1 })
          const signIn = yield* Effect.fork(at(later)(store.create(late)))
          yield* waiting(sql, 2)
          yield* release
          yield* Fiber.join(removal)
          assert.strictEqual((yield* Effect.flip(Fiber.join(signIn)))._tag, "SessionRefused")
          assert.deepStrictEqual(yield* store.listBySubject(realm, subject), [])
        }))

      it.scoped("nothing survives that is rotated, renewed or changed while all sessions are ended", () =>
        Effect.gen(function*() {
          const { sql, store } = yield* Setup
          const ending = store.removeBySubject(realm, subject, { except: Option.none() })
          for (const isFirst of [true, false]) {
            const given = yield* begin()
            const next = yield* record()
            const writes = Effect.all(
              [store.rotate(given.id, next), store.touch(given.id, Date.UTC(2201)), store.update(given)],
              { concurrency: "unbounded", discard: true }
            )
            const release = yield* hold(
              sql,
              `UPDATE effect_security_sessions SET user_agent = '' WHERE id = '${given.id}'`
            )
            const first = yield* Effect.fork(isFirst ? writes : ending)
            yield* waiting(sql, isFirst ? 3 : 1)
            const second = yield* Effect.fork(isFirst ? ending : writes)
            yield* waiting(sql, 4)
            yield* release
            yield* Fiber.join(first)
            yield* Fiber.join(second)
            assert.deepStrictEqual(yield* store.listBySubject(realm, subject), [])
            assert.isTrue(Option.isNone(yield* store.find(next.id)))
          }
        }))

      it.scoped("of many that wait to change a session one does, and none fails", () =>
        Effect.gen(function*() {
          const { sql, store } = yield* Setup
          const given = yield* begin()
          const release = yield* hold(
            sql,
            `UPDATE effect_security_sessions SET user_agent = '' WHERE id = '${given.id}'`
          )
          const updates = yield* Effect.fork(
            Effect.all(Array.from({ length: 10 }, () => store.update(given)), { concurrency: "unbounded" })
          )
          yield* waiting(sql, 10)
          yield* release
          assert.lengthOf((yield* Fiber.join(updates)).filter((won) => won), 1)
        }))
    })
  }

  layer(setUp("read committed"), { excludeTestServices: true })(
    "with a session that somebody else has locked",
    (it) => {
      it.scoped("lets others sign in, and ends the sessions of another subject", () =>
        Effect.gen(function*() {
          const { sql, store } = yield* Setup
          const held = yield* begin()
          const release = yield* hold(sql, `SELECT 1 FROM effect_security_sessions WHERE id = '${held.id}' FOR UPDATE`)
          yield* store.removeBySubject(realm, "bob", { except: Option.none() })
          yield* begin()
          yield* release
        }))

      it.scoped("removes the other expired ones once, by several sweepers", () =>
        Effect.gen(function*() {
          const { sql, store } = yield* Setup
          const sessions = yield* Effect.all(
            Array.from({ length: 50 }, () => begin({ idleDeadline: Date.UTC(2050) })),
            { concurrency: 10 }
          )
          const release = yield* hold(
            sql,
            `SELECT 1 FROM effect_security_sessions WHERE id = '${sessions[7]!.id}' FOR UPDATE`
          )
          const remove = at(Date.UTC(2060))(store.removeExpired(5))
          const sweep: Effect.Effect<number, unknown> = Effect.flatMap(
            remove,
            (removed) => removed === 0 ? Effect.succeed(0) : Effect.map(sweep, (more) => removed + more)
          )
          const removed = yield* Effect.all([sweep, sweep, sweep, sweep], { concurrency: "unbounded" })
          assert.strictEqual(removed.reduce((sum, count) => sum + count, 0), 49)
          yield* release
          assert.strictEqual(yield* remove, 1)
        }))
    }
  )
})
