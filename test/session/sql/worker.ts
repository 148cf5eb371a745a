// One of several processes that share a SQLite file: makes the tables if nobody has, and raises the number that each
// session holds, as often as it was told.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { Effect, Layer, Option, Schedule } from "effect"
import * as SessionStore from "effect-security/session/SessionStore"
import * as SessionStoreSql from "effect-security/session/SessionStoreSql"
import type { SessionId } from "effect-security/session/SessionToken"

const [filename = "", times = "", ...ids] = process.argv.slice(2)

/** The process that started this one makes the sessions when it has started all. */
const begun = (id: SessionId) =>
  Effect.flatMap(
    SessionStore.SessionStore,
    (store) => Effect.repeat(store.find(id), { until: Option.isSome, schedule: Schedule.spaced("5 millis") })
  )

/** Until no other process came between reading and writing. */
const raise = (id: SessionId): Effect.Effect<void, unknown, SessionStore.SessionStore> =>
  Effect.gen(function*() {
    const store = yield* SessionStore.SessionStore
    const current = Option.getOrThrow(yield* store.find(id))
    const next = new SessionStore.SessionRecord({ ...current, data: String(Number(current.data) + 1) })
    yield* store.touch(id, current.idleDeadline + 1)
    if (!(yield* store.update(next))) yield* raise(id)
  })

/** Begins and ends sessions beside it: a transaction of several statements. */
const signInAndOut = Effect.gen(function*() {
  const store = yield* SessionStore.SessionStore
  yield* store.removeBySubject("test", `process ${process.pid}`, { except: Option.none() })
  yield* store.removeExpired(10)
})

const program = Effect.gen(function*() {
  const sessions = ids as Array<SessionId>
  yield* Effect.forEach(sessions, begun)
  yield* Effect.forEach(
    Array.from({ length: Number(times) }),
    () => Effect.zipRight(Effect.forEach(sessions, raise), signInAndOut)
  )
})

const store = SessionStoreSql.layer.pipe(
  Layer.provide(SessionStoreSql.layerMigrations),
  Layer.provide(SqliteClient.layer({ filename }))
)

NodeRuntime.runMain(Effect.provide(program, store))
