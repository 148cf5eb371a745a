// Redis goes away, is slow or is full, and comes back.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Redacted } from "effect"
import { SessionStore, SessionToken } from "effect-security"
import * as SessionStoreRedis from "effect-security/session/SessionStoreRedis"
import { Redis } from "ioredis"
import { redisUrl } from "../../servers.js"
import { freshPrefix, hour, recordOf } from "./fixtures.js"
import { eventually, expectSentOnce, expectUnavailable, operations } from "./outages.js"
import * as redisServer from "./redisServer.js"

const realm = "test/Auth"

const layerOf = (server: redisServer.RedisServer) =>
  SessionStoreRedis.layer({
    url: Redacted.make(server.url),
    prefix: freshPrefix(),
    commandTimeout: "500 millis",
    connectTimeout: "500 millis"
  })

describe.skipIf(redisUrl === undefined || !redisServer.hasProgram)("Redis", () => {
  it.scopedLive(
    "dies and is started again: unavailable meanwhile, and the sessions are there again",
    () =>
      Effect.gen(function*() {
        const server = yield* redisServer.make()
        yield* Effect.gen(function*() {
          const store = yield* SessionStore.SessionStore
          const record = yield* recordOf(realm, "ada")
          yield* store.create(record)
          const all = yield* operations(record)
          for (let round = 0; round < 2; round++) {
            yield* server.kill
            yield* expectUnavailable(all, /^Redis: (not connected|the connection has ended)$/)
            yield* expectUnavailable(all, /^Redis: not connected$/)
            yield* server.start
            assert.deepStrictEqual(yield* eventually(store.find(record.id)), Option.some(record))
            assert.strictEqual((yield* store.listBySubject(realm, "ada")).length, 1)
          }
          yield* Effect.forEach(all, ([, operation]) => operation, { discard: true })
        }).pipe(Effect.provide(layerOf(server)))
      }),
    60_000
  )

  it.scopedLive("is not there when the Layer is built: unavailable until it is", () =>
    Effect.gen(function*() {
      const server = yield* redisServer.make()
      yield* server.kill
      yield* Effect.gen(function*() {
        const store = yield* SessionStore.SessionStore
        const record = yield* recordOf(realm, "ada")
        yield* expectUnavailable(yield* operations(record), /^Redis: not connected$/)
        yield* server.start
        yield* eventually(store.create(record))
        assert.deepStrictEqual(yield* store.find(record.id), Option.some(record))
      }).pipe(Effect.provide(layerOf(server)))
    }))

  it.scopedLive("stops answering: unavailable after the time that a command has, and afterwards there again", () =>
    Effect.gen(function*() {
      const server = yield* redisServer.make()
      yield* Effect.gen(function*() {
        const store = yield* SessionStore.SessionStore
        const record = yield* recordOf(realm, "ada")
        yield* store.create(record)
        const all = yield* operations(record)
        yield* server.stop
        yield* expectUnavailable(all, /^Redis: no answer in time$/)
        // Nothing has come back, so that the connection is a new one, on which the server says nothing either.
        yield* expectUnavailable(all, /^Redis: (not connected|the connection has ended)$/)
        yield* server.resume
        assert.isTrue(Option.isSome(yield* eventually(store.find(record.id))))
      }).pipe(Effect.provide(layerOf(server)))
    }))

  it.scopedLive("is stopped when the Layer is built: the Layer is there, and answers when Redis does", () =>
    Effect.gen(function*() {
      const server = yield* redisServer.make()
      yield* server.stop
      yield* Effect.gen(function*() {
        const store = yield* SessionStore.SessionStore
        const record = yield* recordOf(realm, "ada")
        yield* expectUnavailable(yield* operations(record), /^Redis: not connected$/)
        yield* server.resume
        yield* eventually(store.create(record))
      }).pipe(Effect.provide(layerOf(server)))
    }))

  it.scopedLive("writes nothing for a while: reading goes on, and writing is unavailable", () =>
    Effect.gen(function*() {
      const server = yield* redisServer.make()
      yield* Effect.gen(function*() {
        const store = yield* SessionStore.SessionStore
        const record = yield* recordOf(realm, "ada")
        yield* store.create(record)
        yield* server.command("CLIENT", "PAUSE", 60_000, "WRITE")
        const all = yield* operations(record)
        const isReading = (name: string) => name === "find" || name === "current"
        yield* Effect.forEach(all.filter(([name]) => isReading(name)), ([, operation]) => operation)
        // What looks for expired sessions changes nothing before it has found some, but its scripts could.
        yield* expectUnavailable(
          all.filter(([name]) => !isReading(name) && name !== "removeExpired"),
          /^Redis: (no answer in time|the connection has ended|not connected)$/
        )
        yield* server.command("CLIENT", "UNPAUSE")
        yield* eventually(store.touch(record.id, record.createdAt + 2 * hour))
      }).pipe(Effect.provide(layerOf(server)))
    }))

  it.scopedLive("dies under many writers: each has an answer, and what was acknowledged is there afterwards", () =>
    Effect.gen(function*() {
      const server = yield* redisServer.make()
      yield* Effect.gen(function*() {
        const store = yield* SessionStore.SessionStore
        const records = yield* Effect.forEach(
          Array.from({ length: 20 }),
          () => Effect.tap(recordOf(realm, "ada"), store.create)
        )
        let acknowledged = 0
        const underWay = yield* Effect.makeLatch()
        const write = (record: SessionStore.SessionRecord) =>
          Effect.gen(function*() {
            let version = 0
            let isAway = false
            while (!isAway) {
              const result = yield* Effect.either(store.update(new SessionStore.SessionRecord({ ...record, version })))
              if (result._tag === "Left") {
                assert.strictEqual(result.left._tag, "SecurityUnavailable")
                isAway = true
                yield* underWay.open
              } else {
                assert.isTrue(result.right)
                version++
                if (++acknowledged === 500) yield* underWay.open
              }
            }
            return version
          })
        const [versions] = yield* Effect.all([
          Effect.all(records.map(write), { concurrency: "unbounded" }),
          Effect.zipRight(underWay.await, server.kill)
        ], { concurrency: 2 })
        yield* server.start
        yield* eventually(store.find(records[0]!.id))
        for (const [at, { id }] of records.entries()) {
          const found = yield* store.find(id)
          assert.include([versions[at], versions[at]! + 1], Option.getOrThrow(found).version)
        }
        assert.strictEqual((yield* store.listBySubject(realm, "ada")).length, 20)
      }).pipe(Effect.provide(layerOf(server)))
    }))

  it.scopedLive("is full: creating is unavailable, and finding and ending go on", () =>
    Effect.gen(function*() {
      const server = yield* redisServer.make({ args: ["--maxmemory", "4mb", "--maxmemory-policy", "noeviction"] })
      yield* Effect.gen(function*() {
        const store = yield* SessionStore.SessionStore
        const data = JSON.stringify("oolong".repeat(2_500))
        const first = yield* recordOf(realm, "ada", { data })
        yield* store.create(first)
        const create = Effect.flatMap(recordOf(realm, "grace", { data }), store.create)
        const full = yield* Effect.flip(Effect.forever(create))
        assert.strictEqual(full._tag, "SecurityUnavailable")
        yield* expectUnavailable([
          ["create", create],
          ["update", store.update(first)],
          ["touch", store.touch(first.id, first.createdAt + 2 * hour)]
        ], /^Redis: OOM command not allowed/)
        const found = Option.getOrThrow(yield* store.find(first.id))
        assert.deepStrictEqual([found.version, found.idleDeadline], [0, first.idleDeadline])
        const many = yield* store.listBySubject(realm, "grace")
        assert.isAbove(many.length, 10)
        const next = new SessionStore.SessionRecord({
          ...first,
          id: SessionToken.toId(realm, yield* SessionToken.successor(first.id))
        })
        assert.isTrue(yield* store.rotate(first.id, next))
        yield* store.remove(next.id)
        yield* store.removeBySubject(realm, "grace", { except: Option.none() })
        assert.deepStrictEqual(yield* store.listBySubject(realm, "grace"), [])
        yield* create
      }).pipe(Effect.provide(layerOf(server)))
    }))

  it.scopedLive("does not know a command: unavailable, without the arguments that Redis repeats", () =>
    Effect.gen(function*() {
      const server = yield* redisServer.make({
        args: ["--rename-command", "EVALSHA", "", "--rename-command", "GET", ""]
      })
      yield* Effect.gen(function*() {
        const all = yield* operations(yield* recordOf(realm, "ada"))
        yield* expectUnavailable(
          all.filter(([name]) => name !== "find" && name !== "removeExpired"),
          /^Redis: ERR unknown command '(evalsha|get)'$/
        )
      }).pipe(Effect.provide(layerOf(server)))
    }))

  it.scopedLive("hangs under a client of the application: unavailable after the time that a command has", () =>
    Effect.gen(function*() {
      const server = yield* redisServer.make()
      const client = yield* Effect.acquireRelease(
        Effect.sync(() => new Redis(server.url)),
        (client) => Effect.sync(() => client.disconnect())
      )
      yield* Effect.gen(function*() {
        const store = yield* SessionStore.SessionStore
        const record = yield* recordOf(realm, "ada")
        yield* store.create(record)
        yield* server.stop
        yield* expectUnavailable(yield* operations(record), /^Redis: no answer in time$/)
        yield* server.resume
        assert.isTrue(Option.isSome(yield* store.find(record.id)))
      }).pipe(Effect.provide(SessionStoreRedis.layerClient(client, { commandTimeout: "500 millis" })))
    }))

  it.scopedLive("stops answering: what was sent is done once at most, however late", () =>
    Effect.gen(function*() {
      const server = yield* redisServer.make()
      yield* Effect.provide(expectSentOnce([server]), layerOf(server))
    }), 60_000)
})
