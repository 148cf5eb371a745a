// Nodes of a Cluster go away and come back.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { SessionStore } from "effect-security"
import * as SessionStoreRedis from "effect-security/session/SessionStoreRedis"
import { redisClusterNodes } from "../../servers.js"
import { freshPrefix, recordOf } from "./fixtures.js"
import { eventually, expectSentOnce, expectUnavailable, operations } from "./outages.js"
import * as redisServer from "./redisServer.js"

const realm = "test/Auth"

const layerOf = (servers: ReadonlyArray<redisServer.RedisServer>) =>
  SessionStoreRedis.layerCluster({
    nodes: servers.map(({ port }) => ({ host: "127.0.0.1", port })),
    prefix: freshPrefix(),
    commandTimeout: "500 millis",
    connectTimeout: "500 millis"
  })

const isUnavailable = <A, E extends { readonly _tag: string }>(self: Effect.Effect<A, E>) =>
  Effect.map(Effect.either(self), (result) => {
    if (result._tag === "Left") assert.strictEqual(result.left._tag, "SecurityUnavailable")
    return result._tag === "Left"
  })

describe.skipIf(redisClusterNodes === undefined || !redisServer.hasProgram)("a Cluster", () => {
  it.scopedLive(
    "loses one node and has it again: its subjects are unavailable meanwhile, and others are not",
    () =>
      Effect.gen(function*() {
        const servers = yield* redisServer.makeCluster
        yield* Effect.gen(function*() {
          const store = yield* SessionStore.SessionStore
          const records = yield* Effect.forEach(
            Array.from({ length: 30 }, (_, index) => `user ${index}`),
            (subject) => Effect.tap(recordOf(realm, subject), store.create)
          )
          const [, second] = servers
          const keys = String(yield* second!.command("KEYS", "*:session:*"))
          const isOfSecond = records.map(({ id }) => keys.includes(id))
          assert.include(isOfSecond, true)
          assert.include(isOfSecond, false)
          for (const [leave, comeBack] of [[second!.kill, second!.start], [second!.stop, second!.resume]] as const) {
            yield* leave
            for (let round = 0; round < 3; round++) {
              const isAway = yield* Effect.forEach(records, ({ id }) => isUnavailable(store.find(id)), {
                concurrency: "unbounded"
              })
              assert.deepStrictEqual(isAway, isOfSecond)
            }
            yield* comeBack
            for (const record of records) {
              assert.deepStrictEqual(yield* eventually(store.find(record.id)), Option.some(record))
            }
          }
        }).pipe(Effect.provide(layerOf(servers)))
      }),
    60_000
  )

  it.scopedLive(
    "loses all nodes and has them again: unavailable meanwhile, and the sessions are there again",
    () =>
      Effect.gen(function*() {
        const servers = yield* redisServer.makeCluster
        yield* Effect.gen(function*() {
          const store = yield* SessionStore.SessionStore
          const record = yield* recordOf(realm, "ada")
          yield* store.create(record)
          const all = yield* operations(record)
          for (const leaving of ["kill", "stop"] as const) {
            yield* Effect.forEach(servers, (server) => server[leaving])
            yield* expectUnavailable(all, /^Redis: /)
            yield* expectUnavailable(all, /^Redis: /)
            yield* Effect.forEach(servers, (server) => leaving === "kill" ? server.start : server.resume)
            assert.isTrue(Option.isSome(yield* eventually(store.find(record.id))))
            yield* Effect.forEach(all, ([, operation]) => eventually(operation), { discard: true })
            yield* eventually(store.create(record))
          }
        }).pipe(Effect.provide(layerOf(servers)))
      }),
    60_000
  )

  it.scopedLive("is not there when the Layer is built: unavailable until it is", () =>
    Effect.gen(function*() {
      const servers = yield* redisServer.makeCluster
      yield* Effect.forEach(servers, ({ kill }) => kill)
      yield* Effect.gen(function*() {
        const store = yield* SessionStore.SessionStore
        const record = yield* recordOf(realm, "ada")
        yield* expectUnavailable(yield* operations(record), /^Redis: not connected$/)
        yield* Effect.forEach(servers, ({ start }) => start)
        yield* eventually(store.create(record))
      }).pipe(Effect.provide(layerOf(servers)))
    }), 60_000)

  it.scopedLive(
    "is asked by many at once when nobody has asked it yet: each has an answer",
    () =>
      Effect.gen(function*() {
        const servers = yield* redisServer.makeCluster
        yield* Effect.gen(function*() {
          const store = yield* SessionStore.SessionStore
          yield* Effect.forEach(
            Array.from({ length: 200 }, (_, index) => index),
            (index) => Effect.flatMap(recordOf(realm, `user ${index}`), store.create),
            { concurrency: "unbounded", discard: true }
          )
        }).pipe(Effect.provide(SessionStoreRedis.layerCluster({
          nodes: servers.map(({ port }) => ({ host: "127.0.0.1", port })),
          commandTimeout: "10 seconds"
        })))
      }),
    60_000
  )

  it.scopedLive("stops answering: what was sent is done once at most, however late", () =>
    Effect.gen(function*() {
      const servers = yield* redisServer.makeCluster
      yield* Effect.provide(expectSentOnce(servers), layerOf(servers))
    }), 60_000)
})
