import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Layer, Option } from "effect"
import { SessionStore, SessionToken } from "effect-security"
import * as SessionStoreRedis from "effect-security/session/SessionStoreRedis"
import { Redis } from "ioredis"
import { redisUrl } from "../../servers.js"
import { freshPrefix, hour, layerOf, minute, random, recordOf } from "./fixtures.js"
import { client, keysOf, ofKind, over, url } from "./keyspace.js"

const realm = "test/Auth"

describe.skipIf(redisUrl === undefined)("removeExpired", () => {
  const overdue = (subject: string | null) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => recordOf(realm, subject, { idleDeadline: now - 1 }))

  it.live("leaves alone what is not a session of its own prefix, whatever it is called", () => {
    const prefix = freshPrefix()
    return over(({ keys, redis, store }) =>
      Effect.gen(function*() {
        const tag = SessionToken.tagOf(realm, "ada")
        const id = `${tag}.${"f".repeat(43)}`
        const foreign = [
          `${prefix}x:{${tag}}:session:${id}`,
          `${prefix}{${tag}}:session:${id}:x`,
          `${prefix}{${tag}}:session:${id}x`,
          `${prefix}{${tag}}:sessions:${id}`,
          `${prefix}{other}:session:${id}`,
          `${prefix}{${"o".repeat(12)}}:session:${id}`,
          `${prefix}{${tag}}:session:{${tag}}:session:${id}`,
          `${prefix}{${tag}}:index:${"f".repeat(43)}`,
          `${prefix}{${tag}}:mark:${"f".repeat(43)}`,
          `${prefix}session:${id}`,
          `${prefix}`
        ]
        for (const key of foreign) {
          yield* Effect.promise(() => redis.hset(key, { realm, idleDeadline: "1", absoluteDeadline: "1" }))
        }
        const record = yield* overdue("ada")
        yield* store.create(record)
        assert.strictEqual(yield* store.removeExpired(1_000), 1)
        assert.deepStrictEqual(yield* keys, foreign.sort())
      }), prefix)
  })

  it.live("a prefix that others begin with reaches only its own, and so do glob characters", () =>
    Effect.gen(function*() {
      const redis = yield* client
      const base = freshPrefix()
      const prefixes = ["", "*", "?", "[a-z]:", "a", "ab:", "\\", "^-]"].map((end) => base + end)
      const stores = yield* Effect.forEach(
        prefixes,
        (prefix) =>
          Effect.flatMap(
            Layer.build(layerOf(url, prefix)),
            (context) => Effect.provide(SessionStore.SessionStore, context)
          )
      )
      for (const store of stores) {
        yield* store.create(yield* overdue("ada"))
        yield* store.create(yield* overdue(null))
      }
      for (const [at, store] of stores.entries()) {
        const left = ofKind(yield* keysOf(redis, base), "session")
        assert.strictEqual(left.length, 2 * (stores.length - at))
        assert.strictEqual(yield* store.removeExpired(1_000), 2, prefixes[at])
      }
      assert.deepStrictEqual(yield* keysOf(redis, base), [])
    }).pipe(Effect.scoped))

  it.live("finds what is expired among many others, in as many calls as it takes", () =>
    over(({ keys, redis, store }) =>
      Effect.gen(function*() {
        const pipeline = redis.pipeline()
        for (let index = 0; index < 3_000; index++) pipeline.set(`other:${random()}`, "1", "PX", minute)
        yield* Effect.promise(() => pipeline.exec())
        const live = yield* recordOf(realm, "ada")
        yield* store.create(live)
        yield* Effect.forEach(Array.from({ length: 130 }), () => Effect.flatMap(overdue("ada"), store.create), {
          concurrency: 10
        })
        const counts = yield* Effect.forEach([60, 60, 60, 60], (limit) => store.removeExpired(limit))
        assert.deepStrictEqual(counts, [60, 60, 10, 0])
        assert.deepStrictEqual((yield* store.listBySubject(realm, "ada")).map(({ id }) => id), [live.id])
        assert.strictEqual((yield* keys).length, 2)
      })
    ))

  it.live("counts the prefix that the application's own client puts before its keys", () =>
    Effect.gen(function*() {
      const before = `${freshPrefix()}[client]:`
      const redis = yield* client
      const prefixed = yield* Effect.acquireRelease(
        Effect.sync(() => new Redis(url, { keyPrefix: before })),
        (client) => Effect.sync(() => client.disconnect())
      )
      const store = yield* Effect.provide(
        SessionStore.SessionStore,
        yield* Layer.build(SessionStoreRedis.layerClient(prefixed, { prefix: "own:" }))
      )
      const live = yield* recordOf(realm, "ada")
      yield* store.create(live)
      yield* store.create(yield* overdue("ada"))
      yield* store.touch(live.id, live.createdAt + 2 * hour)
      assert.strictEqual(yield* store.removeExpired(10), 1)
      assert.deepStrictEqual((yield* store.listBySubject(realm, "ada")).map(({ id }) => id), [live.id])
      yield* store.removeBySubject(realm, "ada", { except: Option.none() })
      const pattern = before.replace(/[[\]]/g, "\\$&")
      const left = yield* keysOf(redis, pattern)
      assert.deepStrictEqual(left, ofKind(left, "mark"))
      assert.strictEqual(left.length, 1)
      assert.isTrue(left[0]!.startsWith(`${before}own:{`))
      yield* Effect.promise(() => redis.del(left[0]!))
    }).pipe(Effect.scoped))
})
