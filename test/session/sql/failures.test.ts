import { SqlClient } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { assertNone, assertSome } from "@effect/vitest/utils"
import { Cause, Effect, Exit, Fiber, Option } from "effect"
import type { SecurityUnavailable } from "effect-security/SecurityError"
import { SessionStore } from "effect-security/session/SessionStore"
import * as SessionStoreSql from "effect-security/session/SessionStoreSql"
import { connect, createServer } from "node:net"
import type { AddressInfo, Socket } from "node:net"
import { join } from "node:path"
import { inspect } from "node:util"
import { freshDatabase } from "../../servers.js"
import { pgClient, postgres, sqlite, sqliteClient, temporaryFolder } from "./databases.js"
import { clientOf, created, eventually, layerOver, realm, record, storeOver, subject } from "./fixtures.js"

const secret = "\"hunter2\""

/** That it is the failure of a store, says why, and holds nothing of a session in any depth. */
const assertUnavailable = (error: { readonly _tag: string; readonly message: string }, reason: string) => {
  assert.strictEqual(error._tag, "SecurityUnavailable")
  assert.strictEqual(error.message, reason)
  const shown = `${inspect(error, { depth: 10, showHidden: true })} ${
    Cause.pretty(Cause.fail(error), { renderErrorCause: true })
  }`
  assert.notInclude(shown, "hunter2")
  assert.isDefined((error as SecurityUnavailable).cause)
}

/** Every operation of a store over something that does not work. */
const failures = (store: SessionStore["Type"]) =>
  Effect.gen(function*() {
    const given = yield* record({ data: secret })
    return yield* Effect.all([
      Effect.flip(store.create(given)),
      Effect.flip(store.create(yield* record({ subject: null, data: secret }))),
      Effect.flip(store.find(given.id)),
      Effect.flip(store.update(given)),
      Effect.flip(store.touch(given.id, 1)),
      Effect.flip(store.rotate(given.id, given)),
      Effect.flip(store.remove(given.id)),
      Effect.flip(store.removeBySubject(realm, subject, { except: Option.none() })),
      Effect.flip(store.listBySubject(realm, subject)),
      Effect.flip(store.removeExpired(10))
    ], { concurrency: "unbounded" })
  })

/** Stands between a client and its server, and can be cut. */
const makeProxy = (url: string) =>
  Effect.acquireRelease(
    Effect.async<
      { readonly url: string; readonly cut: () => void; readonly mend: () => void; readonly close: () => void }
    >(
      (resume) => {
        const target = new URL(url)
        const sockets = new Set<Socket>()
        let isCut = false
        const server = createServer((downstream) => {
          if (isCut) {
            downstream.destroy()
            return
          }
          const upstream = connect(Number(target.port), target.hostname)
          for (const [from, to] of [[downstream, upstream], [upstream, downstream]] as const) {
            sockets.add(from)
            from.pipe(to)
            from.on("error", () => to.destroy())
            from.on("close", () => to.destroy())
          }
        })
        const cut = () => {
          isCut = true
          for (const socket of sockets) socket.destroy()
          sockets.clear()
        }
        const mend = () => {
          isCut = false
        }
        const close = () => {
          cut()
          server.close()
        }
        server.listen(0, "127.0.0.1", () => {
          const proxied = new URL(url)
          proxied.hostname = "127.0.0.1"
          proxied.port = String((server.address() as AddressInfo).port)
          resume(Effect.succeed({ url: proxied.href, cut, mend, close }))
        })
      }
    ),
    ({ close }) => Effect.sync(close)
  )

describe.skipIf(!postgres.isThere)("PostgreSQL", () => {
  it.scopedLive("that is gone is unavailable, and when it is back so are the sessions", () =>
    Effect.gen(function*() {
      const url = yield* freshDatabase
      yield* Effect.provide(SessionStoreSql.migrate, pgClient(url))
      const proxy = yield* makeProxy(url)
      const store = yield* storeOver(pgClient(proxy.url))
      const given = yield* Effect.provideService(created(), SessionStore, store)
      for (let round = 0; round < 2; round++) {
        proxy.cut()
        for (const error of yield* failures(store)) assert.strictEqual(error._tag, "SecurityUnavailable")
        proxy.mend()
        // A pool learns of a cut connection when it uses it.
        yield* eventually(Effect.exit(store.find(given.id)), Exit.isSuccess)
        assertSome(yield* store.find(given.id), given)
      }
    }))

  it.scopedLive("that ends connections in the midst of a transaction is unavailable, and leaves no half of it", () =>
    Effect.gen(function*() {
      const url = yield* freshDatabase
      yield* Effect.provide(SessionStoreSql.migrate, pgClient(url))
      const sql = yield* clientOf(pgClient(url))
      const store = yield* storeOver(pgClient(url, { applicationName: "store" }))
      const given = yield* Effect.provideService(created(), SessionStore, store)
      const connection = yield* sql.reserve
      yield* connection.executeUnprepared("BEGIN", [], undefined)
      yield* connection.execute(
        "SELECT 1 FROM effect_security_sessions WHERE id = $1 FOR UPDATE",
        [given.id],
        undefined
      )
      const removal = yield* Effect.fork(store.removeBySubject(realm, subject, { except: Option.none() }))
      const terminate = sql<{ n: number }>`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'store' AND wait_event_type = 'Lock'`
      yield* eventually(terminate, (rows) => rows.length > 0)
      const error = yield* Effect.flip(Fiber.join(removal))
      assert.strictEqual(error._tag, "SecurityUnavailable")
      yield* connection.executeUnprepared("COMMIT", [], undefined)
      assertSome(yield* store.find(given.id), given)
      yield* store.create(yield* record())
    }))

  it.scopedLive("whose pool is exhausted is unavailable", () =>
    Effect.gen(function*() {
      const url = yield* freshDatabase
      const client = yield* clientOf(pgClient(url, { maxConnections: 1, connectTimeout: "1 second" }))
      yield* Effect.provideService(SessionStoreSql.migrate, SqlClient.SqlClient, client)
      const store = yield* Effect.provide(SessionStore, SessionStoreSql.layer).pipe(
        Effect.provideService(SqlClient.SqlClient, client)
      )
      yield* Effect.scoped(Effect.zipRight(
        client.reserve,
        Effect.tap(failures(store), (errors) =>
          errors.forEach((error) => assertUnavailable(error, "the database of the sessions failed")))
      ))
      assertNone(yield* store.find((yield* record()).id))
    }))

  it.scopedLive("that is read-only, full or refuses a row is unavailable, and repeats no row", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const store = yield* SessionStore
      const given = yield* created({ data: secret })
      const changed = store.update(given)
      const refuse = (code: string) =>
        sql.unsafe(`CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
          $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '${code}', DETAIL = NEW.data; END $$`)

      yield* refuse("53100")
      yield* sql`CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON effect_security_sessions
        FOR EACH ROW EXECUTE FUNCTION refuse()`
      for (const code of ["53100", "25006", "57014"]) {
        yield* refuse(code)
        assertUnavailable(yield* Effect.flip(changed), `the database of the sessions failed (${code})`)
        assertUnavailable(
          yield* Effect.flip(store.create(yield* record({ data: secret }))),
          `the database of the sessions failed (${code})`
        )
      }
      yield* sql`DROP TRIGGER refuse ON effect_security_sessions`

      // What PostgreSQL itself says of a row: "Failing row contains (...)".
      yield* sql`ALTER TABLE effect_security_sessions ADD CHECK (version < 1)`
      assertUnavailable(yield* Effect.flip(changed), "the database of the sessions failed (23514)")
      assertSome(yield* store.find(given.id), given)
    }).pipe(Effect.provide(layerOver(postgres))))

  it.scopedLive("whose row somebody has written by hand is unavailable where it cannot be read", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const store = yield* SessionStore
      const given = yield* created()
      yield* sql`UPDATE effect_security_sessions SET user_agent = '"hunter2'`
      const error = yield* Effect.flip(store.find(given.id))
      assert.strictEqual(error.message, "the database has a session that nobody here wrote")
      assert.notInclude(inspect(error, { depth: 10 }), "hunter2")
    }).pipe(Effect.provide(layerOver(postgres))))

  it.scopedLive("is left by an interrupted operation with no transaction, no lock and no session", () =>
    Effect.gen(function*() {
      const url = yield* freshDatabase
      yield* Effect.provide(SessionStoreSql.migrate, pgClient(url))
      const sql = yield* clientOf(pgClient(url))
      const store = yield* storeOver(pgClient(url, { applicationName: "store", maxConnections: 5 }))
      const [given, bobs] = yield* Effect.provideService(
        Effect.all([created(), created({ subject: "bob" })]),
        SessionStore,
        store
      )
      const states = sql<{ state: string; waits: boolean }>`
        SELECT state, wait_event_type IS NOT DISTINCT FROM 'Lock' AS waits FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'store'`
      const waiting = (count: number) =>
        eventually(states, (rows) => rows.filter(({ waits }) => waits).length === count)

      const connection = yield* sql.reserve
      const execute = (text: string) => connection.executeUnprepared(text, [], undefined)
      yield* execute("BEGIN")
      yield* execute("SELECT 1 FROM effect_security_sessions FOR UPDATE")
      const late = yield* record({ subject: "bob", authenticatedAt: Date.UTC(2100) })
      const removal = yield* Effect.fork(store.removeBySubject(realm, "bob", { except: Option.none() }))
      yield* waiting(1)
      const others = yield* Effect.all([Effect.fork(store.create(late)), Effect.fork(store.rotate(given.id, late))])
      yield* waiting(3)
      yield* Fiber.interruptAll([removal, ...others])
      yield* eventually(states, (rows) => rows.every(({ state }) => state === "idle"))
      yield* execute("COMMIT")
      assert.deepStrictEqual(yield* store.listBySubject(realm, subject), [given])
      assert.deepStrictEqual(yield* store.listBySubject(realm, "bob"), [bobs])
      // The connections are all there again.
      yield* Effect.all(Array.from({ length: 8 }, () => store.create(late).pipe(Effect.ignore)), { concurrency: 8 })
    }))
})

describe.skipIf(!sqlite.isThere)("SQLite", () => {
  const setUp = Effect.gen(function*() {
    const filename = join(yield* temporaryFolder, "test.db")
    const [client, other] = [yield* clientOf(sqliteClient(filename)), yield* clientOf(sqliteClient(filename))]
    yield* Effect.provideService(SessionStoreSql.migrate, SqlClient.SqlClient, client)
    const store = yield* Effect.provide(SessionStore, SessionStoreSql.layer).pipe(
      Effect.provideService(SqlClient.SqlClient, client)
    )
    return { client, other, store, filename }
  })

  it.scopedLive("that another process keeps busy for too long is unavailable, and can be read meanwhile", () =>
    Effect.gen(function*() {
      const { client, other, store } = yield* setUp
      const given = yield* Effect.provideService(created(), SessionStore, store)
      yield* client`PRAGMA busy_timeout = 1`
      const reason = "the database of the sessions failed (SQLITE_BUSY)"
      yield* other.withTransaction(Effect.gen(function*() {
        yield* other`DELETE FROM effect_security_session_marks`
        assertUnavailable(yield* Effect.flip(store.update(given)), reason)
        assertUnavailable(yield* Effect.flip(store.create(yield* record({ data: secret }))), reason)
        assertUnavailable(
          yield* Effect.flip(store.removeBySubject(realm, subject, { except: Option.none() })),
          reason
        )
        assertSome(yield* store.find(given.id), given)
      }))
      assert.isTrue(yield* store.update(given))
    }))

  it.scopedLive("that is full is unavailable, and sessions can be ended", () =>
    Effect.gen(function*() {
      const { client, store } = yield* setUp
      const given = yield* Effect.provideService(created(), SessionStore, store)
      yield* client`PRAGMA max_page_count = 1`
      const large = yield* record({ data: secret.padEnd(100_000) })
      assertUnavailable(yield* Effect.flip(store.create(large)), "the database of the sessions failed (SQLITE_FULL)")
      assertNone(yield* store.find(large.id))
      yield* store.remove(given.id)
      assertNone(yield* store.find(given.id))
      yield* client`PRAGMA max_page_count = 1000000`
      yield* store.create(large)
    }))

  it.scopedLive("that is read-only is unavailable", () =>
    Effect.gen(function*() {
      const { filename } = yield* setUp
      const store = yield* storeOver(sqliteClient(filename, { readonly: true, disableWAL: true }))
      assertUnavailable(
        yield* Effect.flip(store.create(yield* record({ data: secret }))),
        "the database of the sessions failed (SQLITE_READONLY)"
      )
    }))

  it.scopedLive("without a write-ahead log is refused when the Layer is built", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const exit = yield* Effect.exit(storeOver(sqliteClient(join(folder, "test.db"), { disableWAL: true })))
      assert.include(String(exit), "SQLite is to be in WAL mode")
    }))

  it.scopedLive("whose trigger repeats a row is unavailable, and the failure repeats it nowhere", () =>
    Effect.gen(function*() {
      const { client, store } = yield* setUp
      yield* client.unsafe(
        "CREATE TRIGGER loud BEFORE UPDATE ON effect_security_sessions " +
          "BEGIN SELECT RAISE(ABORT, 'refused: hunter2'); END"
      )
      const given = yield* record({ data: secret })
      yield* store.create(given)
      assertUnavailable(
        yield* Effect.flip(store.update(given)),
        "the database of the sessions failed (SQLITE_CONSTRAINT_TRIGGER)"
      )
    }))

  it.live("that was closed is unavailable", () =>
    Effect.gen(function*() {
      const store = yield* Effect.scoped(Effect.map(setUp, ({ store }) => store))
      const given = yield* record({ data: secret })
      const errors = yield* Effect.all([
        Effect.flip(store.create(given)),
        Effect.flip(store.find(given.id)),
        // The driver does not fail here but throw.
        Effect.flip(store.removeBySubject(realm, subject, { except: Option.none() }))
      ])
      for (const error of errors) assertUnavailable(error, "the database of the sessions failed")
    }))
})
