import { SqlClient } from "@effect/sql"
import { Clock, Context, Effect, Layer, Schedule } from "effect"
import type { Scope } from "effect"
import * as SessionStore from "effect-security/session/SessionStore"
import * as SessionStoreSql from "effect-security/session/SessionStoreSql"
import * as SessionToken from "effect-security/session/SessionToken"
import type { Kind, Renaming } from "./databases.js"
import { layerFresh } from "./databases.js"

export const realm = "test"
export const subject = "ada"

/** A session of a fresh id, that ends long after any clock here. */
export const record = (changes?: Partial<SessionStore.SessionRecord>): Effect.Effect<SessionStore.SessionRecord> => {
  const given = { realm, subject, ...changes }
  return Effect.map(SessionToken.make(given.realm, given.subject), (token) =>
    new SessionStore.SessionRecord({
      id: SessionToken.toId(given.realm, token),
      data: "{}",
      schemaVersion: 1,
      version: 0,
      createdAt: 0,
      authenticatedAt: 0,
      lastSeenAt: 0,
      idleDeadline: Date.UTC(2200),
      absoluteDeadline: Date.UTC(2200),
      remember: true,
      userAgent: "",
      ...given
    }))
}

export const created = (changes?: Partial<SessionStore.SessionRecord>) =>
  Effect.gen(function*() {
    const given = yield* record(changes)
    yield* (yield* SessionStore.SessionStore).create(given)
    return given
  })

/** A store and the client that it works over, in a database of their own. */
export const layerOver = (kind: Kind, options?: Renaming) =>
  SessionStoreSql.layer.pipe(
    Layer.provide(SessionStoreSql.layerMigrations),
    Layer.provideMerge(layerFresh(kind, options)),
    Layer.orDie
  )

/** A store over a client of its own, which ends with the scope. The tables have to be there. */
export const storeOver = (
  client: Layer.Layer<SqlClient.SqlClient>
): Effect.Effect<SessionStore.Service, never, Scope.Scope> =>
  Effect.map(Layer.build(Layer.provide(SessionStoreSql.layer, client)), Context.get(SessionStore.SessionStore))

export const clientOf = (
  client: Layer.Layer<SqlClient.SqlClient>
): Effect.Effect<SqlClient.SqlClient, never, Scope.Scope> =>
  Effect.map(Layer.build(client), Context.get(SqlClient.SqlClient))

/** Runs an effect at a moment, while what sleeps does so by the real clock. */
export const at = (time: number) => {
  const { sleep } = Clock.make()
  return Effect.withClock({
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    unsafeCurrentTimeMillis: () => time,
    unsafeCurrentTimeNanos: () => BigInt(time) * 1_000_000n,
    currentTimeMillis: Effect.succeed(time),
    currentTimeNanos: Effect.succeed(BigInt(time) * 1_000_000n),
    sleep
  })
}

/** Asks a database again and again, until the answer is as it is to be. By the real clock. */
export const eventually = <A, E, R>(self: Effect.Effect<A, E, R>, isReached: (_: A) => boolean) =>
  Effect.repeat(self, { until: isReached, schedule: Schedule.spaced("5 millis") })
