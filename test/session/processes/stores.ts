// The stores that processes share, by what a process has to know to open one.
import type { SqlClient } from "@effect/sql"
import { PgClient } from "@effect/sql-pg"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Effect, Layer, Option, Redacted } from "effect"
import { SessionStore } from "effect-security"
import * as SessionStoreRedis from "effect-security/session/SessionStoreRedis"
import * as SessionStoreSql from "effect-security/session/SessionStoreSql"

export type Place =
  | { readonly kind: "sqlite"; readonly filename: string }
  | { readonly kind: "postgres"; readonly url: string }
  | { readonly kind: "redis"; readonly url: string; readonly prefix: string }
  | {
    readonly kind: "cluster"
    readonly nodes: ReadonlyArray<{ readonly host: string; readonly port: number }>
    readonly prefix: string
  }

/** The client's own failures are those of its first connection: they end a test. */
const sqlClient = (
  place: Extract<Place, { readonly kind: "sqlite" | "postgres" }>
): Layer.Layer<SqlClient.SqlClient, unknown> =>
  place.kind === "sqlite"
    ? SqliteClient.layer({ filename: place.filename })
    : PgClient.layer({ url: Redacted.make(place.url), maxConnections: 3 })

export const open = (place: Place): Layer.Layer<SessionStore.SessionStore, unknown> => {
  switch (place.kind) {
    case "sqlite":
    case "postgres":
      return Layer.provide(SessionStoreSql.layer, sqlClient(place))
    case "redis":
      return SessionStoreRedis.layer({ url: Redacted.make(place.url), prefix: place.prefix })
    case "cluster":
      return SessionStoreRedis.layerCluster({ nodes: place.nodes, prefix: place.prefix })
  }
}

/** What is done once, before any process opens the store. */
export const prepare = (place: Place): Effect.Effect<void, unknown> =>
  place.kind === "sqlite" || place.kind === "postgres"
    ? Effect.scoped(Layer.build(Layer.provide(SessionStoreSql.layerMigrations, sqlClient(place))))
    : Effect.void

/** Each process answers `find` from what it has found before: what others have ended lives on there. */
export const cached = Layer.effect(
  SessionStore.SessionStore,
  Effect.map(SessionStore.SessionStore, (store): SessionStore.Service => {
    const found = new Map<string, Option.Option<SessionStore.SessionRecord>>()
    return {
      ...store,
      find: (id) =>
        Effect.suspend(() => {
          const hit = found.get(id)
          found.delete(id)
          return hit === undefined
            ? Effect.tap(store.find(id), (record) => Option.isSome(record) && found.set(id, record))
            : Effect.succeed(hit)
        })
    }
  })
)
