/**
 * Sessions in Redis 7 or Valkey, in one node or in a Cluster, by `ioredis`, an optional peer dependency. Each Layer also
 * gives the epochs of sealed sessions, over the same connection.
 *
 * All of a subject lies in one slot of a Cluster. Each change is one Lua script, so that it is made wholly or not at
 * all; only `removeExpired` looks through the keys of others. Redis removes by itself, five minutes later, what is over
 * by the clock of those who wrote it: nothing needs to sweep.
 *
 * **What Redis may forget.** Redis acknowledges a write before a replica has it, and before it is on disk. A failover
 * or a crash can so take back the last moments: a sign-in, which is then to be made again, and also a logout or a
 * `revokeAll`, whose sessions are live again until their deadlines. `appendfsync always` keeps what was acknowledged
 * over the crash of a node; nothing does over a failover, `WAIT` and `min-replicas-to-write` only make the loss less
 * likely. Where a logout must not come back, use a store that commits to disk, as `SessionStoreSql` over PostgreSQL.
 *
 * **What Redis must not forget.** The setting `maxmemory-policy` has to be `noeviction`, as it is by default. Every key
 * here has a TTL, so that `volatile-*` and `allkeys-*` evict them when memory is full: people are signed out, and what
 * `revokeAll` has written of sign-ins under way and of sealed sessions is gone. With `noeviction` a full Redis refuses
 * whatever it would need more memory for, with a `SecurityUnavailable`: signing in, changing and renewing a session, and
 * the mark of `revokeAll`. It still finds sessions and removes them one by one.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { Scope } from "effect/Scope"
import type { Cluster, Redis } from "ioredis"
import type { Connection } from "./internal/redis/connection.js"
import { borrowed } from "./internal/redis/connection.js"
import * as epoch from "./internal/redis/epoch.js"
import * as owned from "./internal/redis/owned.js"
import type { Settings } from "./internal/redis/settings.js"
import { parseUrl, resolve } from "./internal/redis/settings.js"
import * as store from "./internal/redis/store.js"
import { SessionEpoch } from "./SessionEpoch.js"
import { SessionStore } from "./SessionStore.js"

// -----------------------------------------------------------------------------
// Models
// -----------------------------------------------------------------------------

/**
 * What every Layer here takes. One that makes no sense is a defect that names it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** What each key begins with, any text without braces. Default `effect-security:`. */
  readonly prefix?: string | undefined
  /** How long Redis may take to answer; after that the operation fails. Default 1.5 seconds. */
  readonly commandTimeout?: Duration.DurationInput | undefined
}

/**
 * What a Layer takes that makes its own client.
 *
 * @since 0.1.0
 * @category models
 */
export interface ConnectionOptions extends Options {
  /** How long Redis may take to accept a connection. Default 1 second. */
  readonly connectTimeout?: Duration.DurationInput | undefined
}

/**
 * One node. `url` is `redis://user:password@host:port/database`, or `rediss://` over TLS; what is left out is that of
 * Redis: no password, port 6379, database 0. User and password are percent-encoded.
 *
 * @since 0.1.0
 * @category models
 */
export interface NodeOptions extends ConnectionOptions {
  readonly url: Redacted.Redacted
}

/**
 * A Cluster. `nodes` are some of its nodes, at least one: they tell the others. `tls` is false by default.
 *
 * @since 0.1.0
 * @category models
 */
export interface ClusterOptions extends ConnectionOptions {
  readonly nodes: ReadonlyArray<{ readonly host: string; readonly port: number }>
  readonly username?: string | undefined
  readonly password?: Redacted.Redacted | undefined
  readonly tls?: boolean | undefined
}

// -----------------------------------------------------------------------------
// Constructors
// -----------------------------------------------------------------------------

const orDie = <A>(result: Either.Either<A, string>): Effect.Effect<A> =>
  Either.match(result, {
    onLeft: (sentence) => Effect.dieMessage(`SessionStoreRedis: ${sentence}`),
    onRight: Effect.succeed
  })

const over = <E, R>(
  options: ConnectionOptions,
  connect: (settings: Settings) => Effect.Effect<Connection, E, R>
): Layer.Layer<SessionStore | SessionEpoch, E, Exclude<R, Scope>> =>
  Layer.scopedContext(
    Effect.flatMap(orDie(resolve(options)), (settings) =>
      Effect.map(connect(settings), (connection) =>
        Context.make(SessionStore, store.make(connection, settings.keys)).pipe(
          Context.add(SessionEpoch, epoch.make(connection, settings.keys))
        )))
  )

// -----------------------------------------------------------------------------
// Layers
// -----------------------------------------------------------------------------

/**
 * Sessions and epochs in one Redis or Valkey. The Layer makes a client, waits until it has connected once or failed to,
 * and closes it with its scope.
 *
 * It does not fail when Redis is away: then, and whenever it is, each operation fails at once with a
 * `SecurityUnavailable`, and the client tries to connect again after at most 2 seconds, for ever. It is logged when
 * Redis goes away, with the reason, and when it is back. What was on its way when the connection ended or the time was
 * up may have been done or not; nothing is sent twice.
 *
 * A URL that is none is a defect that says what is wrong with it, and nothing of what stands in it.
 *
 * @since 0.1.0
 * @category layers
 * @example
 * ```ts
 * import { Redacted } from "effect"
 * import * as SessionStoreRedis from "effect-security/session/SessionStoreRedis"
 *
 * const SessionsLive = SessionStoreRedis.layer({ url: Redacted.make("redis://localhost:6379"), prefix: "shop:" })
 * ```
 */
export const layer = (options: NodeOptions): Layer.Layer<SessionStore | SessionEpoch> =>
  over(
    options,
    (settings) => Effect.flatMap(orDie(parseUrl(Redacted.value(options.url))), (where) => owned.single(where, settings))
  )

/**
 * The same with options from the configuration. A URL that is none is a `ConfigError`.
 *
 * @since 0.1.0
 * @category layers
 * @example
 * ```ts
 * import { Config } from "effect"
 * import * as SessionStoreRedis from "effect-security/session/SessionStoreRedis"
 *
 * const SessionsLive = SessionStoreRedis.layerConfig({ url: Config.redacted("REDIS_URL") })
 * ```
 */
export const layerConfig = (
  config: Config.Config.Wrap<NodeOptions>
): Layer.Layer<SessionStore | SessionEpoch, ConfigError.ConfigError> =>
  Layer.unwrapEffect(
    Effect.map(
      Config.mapOrFail(Config.unwrap(config), (options) =>
        Either.mapBoth(parseUrl(Redacted.value(options.url)), {
          onLeft: (sentence) => ConfigError.InvalidData([], sentence),
          onRight: () => options
        })),
      layer
    )
  )

/**
 * Sessions and epochs in a Cluster, otherwise as `layer`. While one node is away, the subjects whose slots it has are
 * those that are told so, unless the Cluster asks for all slots (`cluster-require-full-coverage`).
 *
 * @since 0.1.0
 * @category layers
 * @example
 * ```ts
 * import * as SessionStoreRedis from "effect-security/session/SessionStoreRedis"
 *
 * const SessionsLive = SessionStoreRedis.layerCluster({
 *   nodes: [{ host: "redis-1.internal", port: 6379 }, { host: "redis-2.internal", port: 6379 }]
 * })
 * ```
 */
export const layerCluster = (options: ClusterOptions): Layer.Layer<SessionStore | SessionEpoch> =>
  over(options, (settings) =>
    options.nodes.length === 0
      ? Effect.dieMessage("SessionStoreRedis: nodes names at least one node")
      : owned.cluster(options.nodes, {
        username: options.username,
        password: options.password && Redacted.value(options.password),
        tls: options.tls ? {} : undefined
      }, settings))

/**
 * Sessions and epochs by a client of the application's own, given or made by an Effect: by Sentinel, with a certificate
 * of its own, or one that serves other things too. It is never closed here, and its errors and its log are the
 * application's; an operation takes `commandTimeout` all the same, and whatever the client then still has in a queue it
 * may send later.
 *
 * Give it `autoResendUnfulfilledCommands: false` and `maxRetriesPerRequest: 0`, a Cluster `retryDelayOnFailover: 0`.
 * What ioredis by default sends again after a connection ended may have been done already, so that an update answers
 * that another write won when it was its own. A Cluster has to read from masters (`scaleReads`, by default so): a
 * replica may still know a session that was ended.
 *
 * @since 0.1.0
 * @category layers
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import * as SessionStoreRedis from "effect-security/session/SessionStoreRedis"
 * import { Redis } from "ioredis"
 *
 * const client = Effect.acquireRelease(
 *   Effect.sync(() =>
 *     new Redis({
 *       sentinels: [{ host: "sentinel.internal", port: 26379 }],
 *       name: "sessions",
 *       autoResendUnfulfilledCommands: false,
 *       maxRetriesPerRequest: 0
 *     })
 *   ),
 *   (client) => Effect.sync(() => client.disconnect())
 * )
 *
 * const SessionsLive = SessionStoreRedis.layerClient(client, { prefix: "shop:" })
 * ```
 */
export const layerClient = <E = never, R = never>(
  client: Redis | Cluster | Effect.Effect<Redis | Cluster, E, R>,
  options: Options = {}
): Layer.Layer<SessionStore | SessionEpoch, E, Exclude<R, Scope>> =>
  over(options, ({ commandTimeout }) =>
    Effect.map(
      Effect.isEffect(client) ? client : Effect.succeed(client),
      (client) => borrowed(client, commandTimeout)
    ))
