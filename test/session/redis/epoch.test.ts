import { assert, describe, layer } from "@effect/vitest"
import { Clock, Effect } from "effect"
import type { Layer } from "effect"
import { SessionEpoch } from "effect-security"
import * as SessionStoreRedis from "effect-security/session/SessionStoreRedis"
import { Redis } from "ioredis"
import { redisClusterNodes, redisUrl } from "../../servers.js"
import { ahead, day, freshPrefix, hour, layerOf, minute, random } from "./fixtures.js"

const realm = "test/Auth"
const url = redisUrl ?? "redis://127.0.0.1"

const epochs = (title: string, store: Layer.Layer<SessionEpoch.SessionEpoch>) =>
  layer(store, { excludeTestServices: true })(title, (it) => {
    it.effect("is 0 before the first, then at least the time, and greater each time", () =>
      Effect.gen(function*() {
        const { advance, current } = yield* SessionEpoch.SessionEpoch
        const subject = random()
        const now = yield* Clock.currentTimeMillis
        assert.strictEqual(yield* current(realm, subject), 0)
        let last = now - 1
        for (let count = 0; count < 5; count++) {
          const next = yield* advance(realm, subject, now + day)
          assert.isAbove(next, last)
          assert.strictEqual(yield* current(realm, subject), next)
          last = next
        }
      }))

    it.effect("goes on from a clock that was ahead, by one", () =>
      Effect.gen(function*() {
        const { advance, current } = yield* SessionEpoch.SessionEpoch
        const subject = random()
        const until = (yield* Clock.currentTimeMillis) + day
        const first = yield* Effect.withClock(advance(realm, subject, until), ahead(hour))
        assert.strictEqual(yield* advance(realm, subject, until), first + 1)
        assert.strictEqual(yield* Effect.withClock(current(realm, subject), ahead(-minute)), first + 1)
      }))

    it.effect("of many at once, each gets a number of its own", () =>
      Effect.gen(function*() {
        const { advance, current } = yield* SessionEpoch.SessionEpoch
        const subject = random()
        const until = (yield* Clock.currentTimeMillis) + day
        const numbers = yield* Effect.all(Array.from({ length: 50 }, () => advance(realm, subject, until)), {
          concurrency: "unbounded"
        })
        assert.strictEqual(new Set(numbers).size, 50)
        assert.strictEqual(yield* current(realm, subject), Math.max(...numbers))
      }))

    it.effect("is one subject's in one realm", () =>
      Effect.gen(function*() {
        const { advance, current } = yield* SessionEpoch.SessionEpoch
        const subject = random()
        yield* advance(realm, subject, (yield* Clock.currentTimeMillis) + day)
        assert.strictEqual(yield* current(`${realm}2`, subject), 0)
        assert.strictEqual(yield* current(realm, `${subject}2`), 0)
      }))
  })

describe.skipIf(redisUrl === undefined)("Redis", () => {
  epochs("an epoch in one node", layerOf(url))

  const prefix = freshPrefix()
  layer(layerOf(url, prefix), { excludeTestServices: true })("an epoch's key", (it) => {
    it.scoped("lives until the latest time that was asked for, whichever was asked last", () =>
      Effect.gen(function*() {
        const { advance } = yield* SessionEpoch.SessionEpoch
        const redis = yield* Effect.acquireRelease(
          Effect.sync(() => new Redis(url)),
          (client) => Effect.sync(() => client.disconnect())
        )
        const subject = random()
        const now = yield* Clock.currentTimeMillis
        let latest = 0
        for (const until of [now - day, 0, now + minute, now + 30 * day, now + hour, 8_640_000_000_000_000, now]) {
          yield* advance(realm, subject, until)
          latest = Math.max(latest, until)
          const keys = yield* Effect.promise(() => redis.keys(`${prefix}*:epoch:*`))
          assert.strictEqual(keys.length, 1)
          const millis = yield* Effect.promise(() => redis.pttl(keys[0]!))
          assert.isAbove(millis, 0)
          assert.isAtLeast(millis, latest - (yield* Clock.currentTimeMillis))
        }
        yield* Effect.promise(async () => redis.del(...(await redis.keys(`${prefix}*`))))
      }))
  })
})

describe.skipIf(redisClusterNodes === undefined)("a Cluster", () => {
  epochs(
    "an epoch in three nodes",
    SessionStoreRedis.layerCluster({
      nodes: redisClusterNodes ?? [{ host: "127.0.0.1", port: 6379 }],
      prefix: freshPrefix()
    })
  )
})
