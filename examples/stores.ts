// Where sessions and people are, by SESSION_STORE. Each is a Layer of the same services, so no route knows which it is.
import { FileSystem, Path } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import type { SqlClient } from "@effect/sql"
import { PgClient } from "@effect/sql-pg"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Config, Console, Effect, Layer, Option } from "effect"
import { SessionStore, SessionStoreKeyValue } from "effect-security"
import * as SealedSession from "effect-security/session/SealedSession"
import * as SessionStoreRedis from "effect-security/session/SessionStoreRedis"
import * as SessionStoreSql from "effect-security/session/SessionStoreSql"
import * as UserRepositorySql from "effect-security/user/UserRepositorySql"
import { Auth, AuthLive, exclude, retrieveUser, Users } from "./accounts.js"

// -----------------------------------------------------------------------------
// Where data goes
// -----------------------------------------------------------------------------

/** DATA_FOLDER, or a new temporary folder. Whoever gives the same one again finds what was there. */
const dataFolder = Effect.flatMap(
  Config.option(Config.nonEmptyString("DATA_FOLDER")),
  Option.match({
    onNone: () => Effect.flatMap(FileSystem.FileSystem, (files) => files.makeTempDirectory({ prefix: "accounts-" })),
    onSome: Effect.succeed
  })
).pipe(Effect.tap((folder) => Console.log(`The data is in ${folder}; DATA_FOLDER=${folder} goes on there.`)))

/** Sessions and people in one database. Both sets of tables are there before anything asks for them. */
const inDatabase = <E, R>(client: Layer.Layer<SqlClient.SqlClient, E, R>) =>
  Layer.merge(SessionStoreSql.layer, UserRepositorySql.layer(Users)).pipe(
    Layer.provide([SessionStoreSql.layerMigrations, UserRepositorySql.layerMigrations]),
    Layer.provide(client)
  )

/** SESSION_KEYS, the newest first, or a random one. */
const sessionKeys = Effect.gen(function*() {
  const keys = yield* Config.option(Config.array(Config.redacted(), "SESSION_KEYS"))
  if (Option.isSome(keys)) {
    return keys.value
  }
  yield* Console.log("SESSION_KEYS is not set: a random key seals the sessions, which end with this process.")
  return [yield* SealedSession.makeKey]
})

// -----------------------------------------------------------------------------
// The stores
// -----------------------------------------------------------------------------

const stores = {
  memory: AuthLive.pipe(
    Layer.provideMerge(Users.layerMemory),
    Layer.provide(SessionStore.layerMemory)
  ),

  file: AuthLive.pipe(
    Layer.provideMerge(Users.layerMemory),
    Layer.provide(Layer.unwrapEffect(Effect.map(dataFolder, (folder) => SessionStoreKeyValue.layerFileSystem(folder))))
  ),

  sqlite: AuthLive.pipe(
    Layer.provideMerge(inDatabase(Layer.unwrapEffect(
      Effect.map(
        Effect.zip(dataFolder, Path.Path),
        ([folder, path]) => SqliteClient.layer({ filename: path.join(folder, "accounts.sqlite") })
      )
    )))
  ),

  postgres: AuthLive.pipe(
    Layer.provideMerge(inDatabase(PgClient.layerConfig({ url: Config.redacted("DATABASE_URL") })))
  ),

  redis: AuthLive.pipe(
    Layer.provideMerge(Users.layerMemory),
    Layer.provide(SessionStoreRedis.layerConfig({ url: Config.redacted("REDIS_URL") }))
  ),

  cookie: Layer.unwrapEffect(
    Effect.map(sessionKeys, (keys) => SealedSession.layer(Auth, { keys, retrieveUser, exclude, insecureCookie: true }))
  ).pipe(
    Layer.provideMerge(Users.layerMemory)
  )
}

/** `Auth`, its sessions and the people, in the store that SESSION_STORE names. */
export const AccountsLive = Layer.unwrapEffect(
  Effect.map(
    Config.withDefault(
      Config.literal("memory", "file", "sqlite", "postgres", "redis", "cookie")("SESSION_STORE"),
      "memory"
    ),
    (name): Layer.Layer<
      Layer.Layer.Success<typeof stores.memory> | Layer.Layer.Success<typeof stores.cookie>,
      Layer.Layer.Error<typeof stores[keyof typeof stores]>,
      NodeContext.NodeContext
    > => stores[name] as any
  )
).pipe(Layer.provide(NodeContext.layer))
