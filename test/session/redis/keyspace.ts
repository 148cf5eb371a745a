// A store whose keys nobody else has, and a look at them.
import { Effect } from "effect"
import { SessionStore } from "effect-security"
import { Redis } from "ioredis"
import { redisUrl } from "../../servers.js"
import { freshPrefix, layerOf } from "./fixtures.js"

export const url = redisUrl ?? "redis://127.0.0.1"

export const client = Effect.acquireRelease(
  Effect.sync(() => new Redis(url)),
  (client) => Effect.sync(() => client.disconnect())
)

export const keysOf = (client: Redis, prefix: string) =>
  Effect.promise(async () => {
    const found: Array<string> = []
    for await (const keys of client.scanStream({ match: `${prefix}*`, count: 1_000 })) {
      found.push(...keys as Array<string>)
    }
    return Array.from(new Set(found)).sort()
  })

export const ofKind = (keys: ReadonlyArray<string>, kind: string) => keys.filter((key) => key.includes(`}:${kind}:`))

/** All at the same moment. */
export const ttls = (client: Redis, keys: ReadonlyArray<string>) =>
  Effect.promise(async () => {
    const found = await client.eval(
      "local found = {} for i, key in ipairs(KEYS) do found[i] = redis.call('PTTL', key) end return found",
      keys.length,
      ...keys
    )
    return found as Array<number>
  })

/** Runs over a store whose keys nobody else has. */
export const over = <A, E>(
  body: (_: {
    readonly store: SessionStore.Service
    readonly redis: Redis
    readonly prefix: string
    readonly keys: Effect.Effect<Array<string>>
  }) => Effect.Effect<A, E, never>,
  prefix = freshPrefix()
) =>
  Effect.gen(function*() {
    const redis = yield* client
    const store = yield* SessionStore.SessionStore
    return yield* Effect.ensuring(
      body({ store, redis, prefix, keys: keysOf(redis, prefix) }),
      Effect.flatMap(keysOf(redis, prefix), (keys) =>
        keys.length === 0 ? Effect.void : Effect.promise(() => redis.del(...keys)))
    )
  }).pipe(Effect.provide(layerOf(url, prefix)), Effect.scoped)
